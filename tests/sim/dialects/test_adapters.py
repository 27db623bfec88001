"""Our own adapters take each dialect for its venue: books equal the truth, faults are noticed, trades have no hole."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, get_args

import pytest

from tests.sim.clients import run
from tests.sim.dialects.rig import exchange, following, until
from vibe_orderbook_mcp.book.sync import Outcome
from vibe_orderbook_mcp.sim.corruption import Corruption
from vibe_orderbook_mcp.sim.faults import Corrupt, Disconnect, Drop, Duplicate, Fault, Reorder
from vibe_orderbook_mcp.venues.binance.futures import BinanceUsdm
from vibe_orderbook_mcp.venues.binance.rest import BinanceRest
from vibe_orderbook_mcp.venues.binance.weights import US, USDM
from vibe_orderbook_mcp.venues.binance.wire import US_TRAITS, BinanceSpot
from vibe_orderbook_mcp.venues.bybit.rest import BybitRest
from vibe_orderbook_mcp.venues.bybit.wire import Bybit
from vibe_orderbook_mcp.venues.contract import Rest, Venue
from vibe_orderbook_mcp.venues.feed import Feed
from vibe_orderbook_mcp.venues.kraken.rest import KrakenRest
from vibe_orderbook_mcp.venues.kraken.wire import Kraken
from vibe_orderbook_mcp.venues.okx.rest import OkxRest
from vibe_orderbook_mcp.venues.okx.wire import Okx


class Adapter(NamedTuple):
    venue: Callable[[], Venue]
    rest: Callable[[str], Rest]
    symbols: tuple[str, str]
    has_ids: bool = True  # of the venue's frames; else their times find the true book
    loss: tuple[Outcome, ...] = (Outcome.GAP,)  # what a lost frame of a book is noticed by


ADAPTERS = {
    "binance-usdm": Adapter(BinanceUsdm, lambda url: BinanceRest(url, family=USDM), ("BTCUSDT", "ETHUSDT")),
    "binance-us": Adapter(
        lambda: BinanceSpot(US_TRAITS), lambda url: BinanceRest(url, family=US), ("BTCUSDT", "ETHUSDT")
    ),
    "kraken": Adapter(
        lambda: Kraken(depth=10),
        lambda url: KrakenRest(url, request_secs=0.0),
        ("BTC/USD", "ETH/USD"),
        has_ids=False,
        loss=(Outcome.WRONG,),
    ),
    "okx": Adapter(Okx, lambda url: OkxRest(url, request_secs=0.0), ("BTC-USDT", "BTC-USDT-SWAP")),
    "bybit": Adapter(
        lambda: Bybit("spot"), lambda url: BybitRest(url, "spot", request_secs=0.0), ("BTCUSDT", "ETHUSDT")
    ),
    "bybit-linear": Adapter(
        lambda: Bybit("linear"), lambda url: BybitRest(url, "linear", request_secs=0.0), ("BTCUSDT", "ETHUSDT")
    ),
}


def is_more(feed: Feed, than: int) -> bool:
    """Whether more was noticed of broken frames."""
    return feed.malformed_frames.total() + feed.reconnects > than


@pytest.fixture(params=sorted(ADAPTERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_book_is_the_true_one(name: str) -> None:
    async def body() -> None:
        adapter = ADAPTERS[name]
        async with exchange(*(f"{name}:{symbol}" for symbol in adapter.symbols)) as sim:
            rest = adapter.rest(f"{sim.rest_url}/{name}")
            followed = following(sim, adapter.venue(), rest, adapter.symbols, levels=10, has_ids=adapter.has_ids)
            async with followed as (market, feed):
                await until(lambda: all(market.right[symbol] > 25 for symbol in adapter.symbols))
                assert market.wrong == {}
                assert feed.malformed_frames == {}

    run(body())


@pytest.mark.parametrize(
    "fault", [Drop(count=12), Reorder(count=12), Corrupt(count=12)], ids=lambda fault: type(fault).__name__
)
def test_what_is_lost_is_noticed_and_the_book_comes_back(name: str, fault: Fault) -> None:
    async def body() -> None:
        adapter = ADAPTERS[name]
        async with exchange(*(f"{name}:{symbol}" for symbol in adapter.symbols), scenario="busy") as sim:
            rest, (symbol, _) = adapter.rest(f"{sim.rest_url}/{name}"), adapter.symbols
            followed = following(sim, adapter.venue(), rest, (symbol,), levels=10, has_ids=adapter.has_ids)
            async with followed as (market, feed):
                sim.faults.add(fault)
                if adapter.loss:
                    await until(lambda: any(market.outcomes[symbol][each] for each in adapter.loss))
                await until(lambda: sim.faults.calm)
                assert await feed.wait_live(symbol, 60.0)
                before = market.right[symbol]
                await until(lambda: market.right[symbol] > before + 10)

    run(body())


def test_broken_frames_are_counted_and_the_book_comes_back(name: str) -> None:
    """Whatever is broken in them: JSON, types, numbers, names."""
    modes = get_args(Corruption)

    async def body() -> None:
        adapter = ADAPTERS[name]
        async with exchange(*(f"{name}:{symbol}" for symbol in adapter.symbols), scenario="busy") as sim:
            rest, (symbol, _) = adapter.rest(f"{sim.rest_url}/{name}"), adapter.symbols
            followed = following(sim, adapter.venue(), rest, (symbol,), levels=10, has_ids=adapter.has_ids)
            async with followed as (market, feed):
                for mode in modes:
                    found = feed.malformed_frames.total() + feed.reconnects
                    sim.faults.add(Corrupt(channel="trades", count=1, mode=mode, size=2**23))
                    await until(lambda: sim.faults.calm)
                    # A frame that is too long ends the connection.
                    await until(partial(is_more, feed, found))
                assert await feed.wait_live(symbol, 60.0)
                before = market.right[symbol]
                await until(lambda: market.right[symbol] > before + 5)
                assert market.wrong == {}

    run(body())


def test_frames_that_come_twice_do_no_harm(name: str) -> None:
    async def body() -> None:
        adapter = ADAPTERS[name]
        async with exchange(*(f"{name}:{symbol}" for symbol in adapter.symbols), scenario="busy") as sim:
            rest, (symbol, _) = adapter.rest(f"{sim.rest_url}/{name}"), adapter.symbols
            followed = following(sim, adapter.venue(), rest, (symbol,), levels=10, has_ids=adapter.has_ids)
            async with followed as (market, _):
                sim.faults.add(Duplicate(venue=name, channel="all", count=15))
                await until(lambda: sim.faults.calm and len(market.trades[symbol]) > 1)
                assert market.wrong == {}
                # Events wait until there is a book.
                assert market.outcomes[symbol].keys() <= {Outcome.APPLIED, Outcome.OLD, Outcome.BUFFERED}

    run(body())


def test_after_a_disconnection_books_are_right_and_trades_have_no_hole(name: str) -> None:
    """What was traded meanwhile is fetched by its ids, where they are offered, and it is what the stream says too."""

    async def body() -> None:
        adapter = ADAPTERS[name]
        async with exchange(*(f"{name}:{symbol}" for symbol in adapter.symbols), scenario="busy") as sim:
            rest, venue, (symbol, _) = adapter.rest(f"{sim.rest_url}/{name}"), adapter.venue(), adapter.symbols
            followed = following(sim, venue, rest, (symbol,), levels=10, has_ids=adapter.has_ids)
            async with followed as (market, feed):
                await until(lambda: len(market.trades[symbol]) > 3)
                sim.faults.add(Disconnect(venue=name))
                await until(lambda: feed.reconnects > 0)
                count = len(market.trades[symbol])
                await until(lambda: len(market.trades[symbol]) > count + 3)
                assert market.wrong == {}
                if not venue.traits.trades_a_page:
                    return
                streamed = {trade.agg_id: trade for trade in market.trades[symbol]}
                first, last = min(streamed), max(streamed)
                found = {trade.agg_id: trade for trade in await rest.agg_trades(symbol, first)}
                assert [each for each in sorted(found) if each <= last] == list(range(first, last + 1))
                assert {agg_id: found[agg_id] for agg_id in streamed} == streamed

    run(body())
