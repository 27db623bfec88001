"""Seconds of the clock, and of symbols."""

from __future__ import annotations

from tests.store.values import BTC, ETH, record
from vibe_orderbook_mcp.collect.lost_seconds import SymbolSeconds


def test_seconds_are_counted_by_the_clock_and_by_symbol() -> None:
    lost = SymbolSeconds()
    assert not lost
    for second in range(16):
        lost.add([record(second, BTC), record(second, ETH)])
    assert (str(lost), lost.clock_secs, lost.symbol_secs) == ("16 seconds of 2 symbols", 16, 32)
    lost.add([record(16, BTC)])
    assert str(lost) == "17 seconds of 2 symbols, not all of each: 33 in total"
    assert str(SymbolSeconds([record(5, BTC)])) == "1 second of 1 symbol"
