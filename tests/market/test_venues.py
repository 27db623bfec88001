"""Instruments of several venues in one market: two venues may spell theirs alike."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from vibe_orderbook_mcp.book.sync import Loaded, Outcome
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.instrument import Instrument
from vibe_orderbook_mcp.model.symbol import SymbolSpec

MS = 1_700_000_000_000
BINANCE = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.001"))
BYBIT = msgspec.structs.replace(BINANCE, symbol=Instrument("bybit", "BTCUSDT").name)


def update(first: int, price: float) -> DepthUpdate:
    return DepthUpdate("BTCUSDT", MS + first, first, first, [(price, 1.0)], [(price + 1, 1.0)])


def both() -> Market:
    market = Market()
    market.add(BINANCE)
    market.add(BYBIT)
    for venue, price in (("binance", 100.0), ("bybit", 200.0)):
        market.receive_depth(update(11, price), 0, venue)
        snapshot = DepthSnapshot(10, [(price - 1, 1.0)], [(price + 2, 1.0)])
        assert market.load("BTCUSDT", snapshot, 1000, 0, venue) is Loaded.LIVE
    return market


def test_the_same_symbol_of_two_venues_is_two_instruments() -> None:
    market = both()
    assert list(market.symbols) == ["BTCUSDT", "bybit:BTCUSDT"]
    assert market.receive_depth(update(12, 200.5), 0, "bybit") is Outcome.APPLIED
    assert (market.symbols["BTCUSDT"].mid, market.symbols["bybit:BTCUSDT"].mid) == (100.5, 200.75)
    trade = Trade(1, MS, 201.0, 1.0, 1, 1, False)
    assert market.receive_trade("BTCUSDT", trade, "bybit")
    assert [owner.counts.trades for owner in market.symbols.values()] == [0, 1]
    assert market.receive_depth(update(13, 1.0), 0, "kraken") is None


def test_a_lost_connection_of_one_venue_loses_no_book_of_another() -> None:
    market = both()
    market.disconnected(["BTCUSDT"], "bybit")
    assert market.symbols["BTCUSDT"].book is not None
    assert market.symbols["bybit:BTCUSDT"].book is None


def test_each_venue_has_its_own_clock() -> None:
    market = Market()
    market.clock_of("bybit").observe(MS, 0)
    assert market.clock.now_ms(0) is None
    assert market.exchange_ms(1_000_000_000) == MS + 1000
    market.clock.observe(MS + 5000, 0)
    assert market.clock_of("bybit").now_ms(0) == MS


def test_what_is_given_up_is_found_by_neither_name() -> None:
    market = both()
    market.give_up("bybit:BTCUSDT")
    assert list(market.symbols) == ["BTCUSDT"]
    assert not market.of_venue("bybit")
    assert list(market.of_venue("binance")) == ["BTCUSDT"]
    fine = msgspec.structs.replace(BINANCE, tick_size=Decimal("0.001"))
    assert market.regrid(fine) is market.symbols["BTCUSDT"] is market.of_venue("binance")["BTCUSDT"]
