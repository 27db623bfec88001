"""One line a fault, however often it strikes."""

from __future__ import annotations

from vibe_orderbook_mcp.process.pace import Repeats


def test_the_first_line_is_written_and_those_behind_it_are_counted() -> None:
    repeats = Repeats(60.0)
    assert repeats.more("gap", 100.0) == ""
    assert [repeats.more("gap", 100.0 + secs) for secs in (0.1, 30.0, 59.9)] == [None, None, None]
    assert repeats.more("gap", 160.0) == " (3 more like this since the last line)"
    assert repeats.more("gap", 161.0) is None
    assert repeats.more("gap", 300.0) == " (1 more like this since the last line)"


def test_each_subject_has_its_own_turn() -> None:
    repeats = Repeats(60.0)
    assert repeats.more(("gap", "BTCUSDT"), 0.0) == ""
    assert repeats.more(("gap", "ETHUSDT"), 0.0) == ""
    assert repeats.more(("gap", "BTCUSDT"), 1.0) is None
