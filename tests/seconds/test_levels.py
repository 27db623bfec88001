from __future__ import annotations

from vibe_orderbook_mcp.seconds.traded import LevelMemory


def test_volume_is_counted_for_the_life_of_a_level() -> None:
    """What was traded before the level came back says nothing about the one that stands there now."""
    memory = LevelMemory()
    memory.trade("ask", 10.0, 2.0)
    memory.trade("ask", 10.0, 0.5)
    assert memory.traded("ask", 10.0) == 2.5
    assert memory.traded("bid", 10.0) == 0.0
    memory.gone("ask", 10.0)
    assert memory.traded("ask", 10.0) == 0.0


def test_a_lost_book_takes_its_levels_memory_with_it() -> None:
    """What happened while nobody looked may have ended every one of them."""
    memory = LevelMemory()
    memory.trade("bid", 9.0, 1.0)
    memory.clear()
    assert memory.traded("bid", 9.0) == 0.0


def test_levels_that_went_without_an_event_are_forgotten() -> None:
    """A fresh copy of the book may not reach as far as the one whose place it takes: no event will end those levels."""
    memory = LevelMemory()
    memory.trade("bid", 9.0, 1.0)
    memory.trade("ask", 10.0, 2.0)
    memory.keep_standing(lambda side, price: 5.0 if (side, price) == ("ask", 10.0) else 0.0)
    assert (memory.traded("bid", 9.0), memory.traded("ask", 10.0)) == (0.0, 2.0)
