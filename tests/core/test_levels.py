from __future__ import annotations

from vibe_orderbook_mcp.core.levels import LevelMemory


def test_a_level_is_as_old_as_its_first_sight() -> None:
    """A change of size does not make it younger, a removal ends it."""
    memory = LevelMemory()
    memory.change("bid", 9.0, 0.0, 1.0, 1_000)
    memory.change("bid", 9.0, 1.0, 5.0, 2_000)
    assert memory.first_seen_ms("bid", 9.0) == 1_000
    assert memory.first_seen_ms("ask", 9.0) is None
    memory.change("bid", 9.0, 5.0, 0.0, 3_000)
    assert memory.first_seen_ms("bid", 9.0) is None


def test_a_level_of_the_snapshot_has_no_first_sight() -> None:
    """It is at least as old as the book; to say more would be invented."""
    memory = LevelMemory()
    memory.change("bid", 9.0, 4.0, 3.0, 1_000)
    assert memory.first_seen_ms("bid", 9.0) is None


def test_volume_is_counted_for_the_life_of_a_level() -> None:
    """What was traded before the level came back says nothing about the one that stands there now."""
    memory = LevelMemory()
    memory.trade("ask", 10.0, 2.0)
    memory.trade("ask", 10.0, 0.5)
    assert memory.traded("ask", 10.0) == 2.5
    assert memory.traded("bid", 10.0) == 0.0
    memory.change("ask", 10.0, 3.0, 0.0, 1_000)
    assert memory.traded("ask", 10.0) == 0.0


def test_volume_at_a_level_that_never_stood_is_not_kept() -> None:
    """Added and taken within one frame: kept, it would grow without end and be counted for a later level there."""
    memory = LevelMemory()
    memory.trade("ask", 10.0, 2.0)
    memory.change("ask", 10.0, 0.0, 0.0, 1_000)
    assert memory.traded("ask", 10.0) == 0.0


def test_a_lost_book_takes_its_levels_memory_with_it() -> None:
    """What happened while nobody looked may have ended every one of them."""
    memory = LevelMemory()
    memory.change("bid", 9.0, 0.0, 1.0, 1_000)
    memory.trade("bid", 9.0, 1.0)
    memory.clear()
    assert memory.first_seen_ms("bid", 9.0) is None
    assert memory.traded("bid", 9.0) == 0.0
