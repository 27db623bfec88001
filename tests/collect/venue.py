"""The default venue of a runtime under test: its feed, what answers over REST, and the filling of its trades."""

from __future__ import annotations

from vibe_orderbook_mcp.collect.filler import Filler
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.venues.binance.rest import BinanceRest
from vibe_orderbook_mcp.venues.feed import Feed


def feed_of(runtime: Runtime) -> Feed:
    return runtime.exchanges.feed("BTCUSDT")


def rest_of(runtime: Runtime) -> BinanceRest:
    rest = runtime.exchanges.of("BTCUSDT").rest
    assert isinstance(rest, BinanceRest)
    return rest


def filler_of(runtime: Runtime) -> Filler:
    return runtime.exchanges.of("BTCUSDT").filler


def fill_with(runtime: Runtime, filler: Filler) -> None:
    """Before the start: trades are filled by this one."""
    exchanges = runtime.exchanges
    exchanges._exchanges["binance"] = exchanges.of("BTCUSDT")._replace(filler=filler)
