"""The feed against the simulated exchange, over real sockets, with faults."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

import msgspec
import pytest

from tests.e2e.faults.rig import Relay
from tests.e2e.rig import WatchedMarket, all_live, feeding, listening, until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.book.sync import Outcome
from vibe_orderbook_mcp.model.errors import ExchangeUnavailable, SymbolUnknown
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.sim.faults import (
    CorruptRest,
    Disconnect,
    Drop,
    Refuse,
)
from vibe_orderbook_mcp.venues.binance.wire import TRAITS, BinanceSpot
from vibe_orderbook_mcp.venues.connection import Connection

SHORT_LIVED = BinanceSpot(msgspec.structs.replace(TRAITS, lifetime_secs=1.0))

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def config(**changes: object) -> SimConfig:
    return SimConfig(symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"), seed=11, history_hours=0.0, **changes)  # type: ignore[arg-type]  # a test's own


def wrong_tops(market: WatchedMarket, sim: SimExchange) -> list[tuple[str, int]]:
    """Books that were served as live and were not the true one at their update id."""
    wrong = []
    for symbol, tops in market.tops.items():
        for update_id, bids, asks in tops:
            truth = sim.truth(symbol, update_id, market.levels)
            if truth is None:
                continue  # over a minute ago
            for mine, theirs in ((bids, truth[0]), (asks, truth[1])):
                if [(Decimal(p), Decimal(s)) for p, s in _decimals(mine)] != [
                    (Decimal(p).normalize(), Decimal(s).normalize()) for p, s in theirs
                ]:
                    wrong.append((symbol, update_id))
    return wrong


def _decimals(levels: tuple[tuple[float, float], ...]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(repr(price)).normalize(), Decimal(repr(size)).normalize()) for price, size in levels]


def test_the_top_100_levels_equal_the_true_book_at_every_event() -> None:
    async def run() -> None:
        market = WatchedMarket(levels=100)
        async with SimExchange(config()) as sim, feeding(sim.rest_url, sim.ws_url, SYMBOLS, market) as feed:
            await all_live(feed, SYMBOLS)
            await until(lambda: all(len(market.tops[symbol]) >= 60 for symbol in SYMBOLS))
            assert wrong_tops(market, sim) == []
            assert sum(market.count(symbol, Outcome.GAP) for symbol in SYMBOLS) == 0

    asyncio.run(run())


def test_a_gap_is_said_and_repaired_without_being_asked() -> None:
    async def run() -> None:
        market = WatchedMarket()
        with listening() as logged:
            async with SimExchange(config()) as sim, feeding(sim.rest_url, sim.ws_url, SYMBOLS, market) as feed:
                await all_live(feed, SYMBOLS)
                sim.faults.add(Drop(symbol="BTCUSDT", count=1))
                await until(lambda: market.symbols["BTCUSDT"].counts.gaps == 1)
                await until(lambda: market.symbols["BTCUSDT"].book is not None)
                assert market.symbols["ETHUSDT"].counts.gaps == 0
        expected, got = (int(text.strip(",;")) for text in _gap_line(logged.messages))
        assert got > expected

    asyncio.run(run())


def _gap_line(messages: list[str]) -> tuple[str, str]:
    line = next(message for message in messages if message.startswith("Gap in BTCUSDT depth stream: expected "))
    words = line.removesuffix("; resyncing").split()
    return words[6], words[8]


def test_a_planned_change_of_connection_misses_no_event_and_no_trade() -> None:
    """Make before break: the book never stops being live, and trade ids stay contiguous."""

    async def run() -> None:
        market = WatchedMarket(levels=20)
        async with (
            SimExchange(config()) as sim,
            feeding(
                sim.rest_url,
                sim.ws_url,
                SYMBOLS,
                market,
                SHORT_LIVED,
            ) as feed,
        ):
            await all_live(feed, SYMBOLS)
            line = feed.lines[0]
            line.replace("a test wants it")
            await until(lambda: line.replacements >= 1)
            seen = {symbol: len(market.tops[symbol]) for symbol in SYMBOLS}
            await until(lambda: all(len(market.tops[symbol]) > seen[symbol] + 5 for symbol in SYMBOLS))
            for symbol in SYMBOLS:
                state = market.symbols[symbol]
                assert (state.counts.gaps, state.counts.resyncs) == (0, 1)
                assert state.holes == []
            assert line.reconnects == 0
            assert wrong_tops(market, sim) == []

    asyncio.run(run())


def test_a_symbol_asked_for_later_is_subscribed_on_the_same_connection() -> None:
    async def run() -> None:
        market = WatchedMarket(levels=20)
        async with SimExchange(config()) as sim, feeding(sim.rest_url, sim.ws_url, ("BTCUSDT",), market) as feed:
            await all_live(feed, ("BTCUSDT",))
            specs = await asyncio.gather(*(feed.subscribe("SOLUSDT") for _ in range(5)))
            assert await feed.wait_live("SOLUSDT", PATIENCE_SECS)
            assert len({spec.symbol for spec in specs}) == 1
            assert len(feed.lines) == 1
            assert market.symbols["BTCUSDT"].counts.resyncs == 1
            assert wrong_tops(market, sim) == []

    asyncio.run(run())


def test_a_symbol_added_while_disconnected_comes_with_the_next_connection() -> None:
    async def run() -> None:
        market = WatchedMarket()
        async with SimExchange(config()) as sim, feeding(sim.rest_url, sim.ws_url, ("BTCUSDT",), market) as feed:
            await all_live(feed, ("BTCUSDT",))
            sim.faults.add(Refuse(seconds=1.5))
            sim.faults.add(Disconnect())
            await until(lambda: not feed.is_connected)
            await feed.subscribe("ETHUSDT")
            await all_live(feed, SYMBOLS)

    asyncio.run(run())


def test_a_close_that_is_cut_short_closes_the_socket_all_the_same() -> None:
    """The whole stop has a few seconds, and a peer may take longer to answer a goodbye."""

    async def run() -> None:
        async with SimExchange(config()) as sim, Relay(sim.port) as relay:
            opened = await Connection.open(BinanceSpot(), f"ws://127.0.0.1:{relay.port}", ["btcusdt@aggTrade"])
            relay.freeze()
            closing = asyncio.create_task(opened.close())
            await asyncio.sleep(0)  # it has begun
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            assert closing.cancelled()
            assert opened._socket.transport.is_closing()

    asyncio.run(run())


def test_a_symbol_that_fails_does_not_hold_up_the_others() -> None:
    async def run() -> None:
        symbols = ("NOPEUSDT", *SYMBOLS)
        async with SimExchange(config()) as sim, feeding(sim.rest_url, sim.ws_url, symbols) as feed:
            await all_live(feed, SYMBOLS)
            assert set(feed.failed) == {"NOPEUSDT"}
            with pytest.raises(SymbolUnknown) as caught:
                await feed.subscribe("NOPEUSDT")
            assert caught.value.symbol == "NOPEUSDT"

    asyncio.run(run())


def test_without_an_exchange_subscribing_says_so_and_recovers_when_it_comes() -> None:
    async def run() -> None:
        sim = SimExchange(config())
        async with sim:
            port = sim.port
        async with feeding(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", SYMBOLS) as feed:
            with pytest.raises(ExchangeUnavailable):
                await feed.subscribe("BTCUSDT")
            async with SimExchange(config(port=port)):
                await all_live(feed, SYMBOLS)

    asyncio.run(run())


def test_an_audit_finds_the_book_equal_to_a_fresh_copy() -> None:
    async def run() -> None:
        market = WatchedMarket(levels=20)
        async with (
            SimExchange(config()) as sim,
            feeding(sim.rest_url, sim.ws_url, SYMBOLS, market, audit_every_secs=1.0) as feed,
        ):
            await all_live(feed, SYMBOLS)
            await until(lambda: all(market.symbols[symbol].counts.audits >= 2 for symbol in SYMBOLS))
            assert all(market.symbols[symbol].counts.audit_mismatches == 0 for symbol in SYMBOLS)
            assert all(market.symbols[symbol].counts.resyncs == 1 for symbol in SYMBOLS)
            assert wrong_tops(market, sim) == []

    asyncio.run(run())


def test_an_audit_notices_a_level_that_is_wrong() -> None:
    """The audit must be able to fail: a size that is changed behind its back is found and repaired."""

    async def run() -> None:
        market = WatchedMarket()
        with listening() as logged:
            async with (
                SimExchange(config()) as sim,
                feeding(sim.rest_url, sim.ws_url, ("BTCUSDT",), market, audit_every_secs=1.0) as feed,
            ):
                await all_live(feed, ("BTCUSDT",))
                state = market.symbols["BTCUSDT"]
                assert state.book is not None
                far = state.book.bids.prices[len(state.book.bids.prices) // 10]  # a level that seldom changes
                state.book.bids.apply([(far, state.book.bids.size_at(far) + 1.0)])
                await until(lambda: state.counts.audit_mismatches == 1)
                await until(lambda: state.counts.audits >= 3)
                assert state.counts.audit_mismatches == 1
                await until(lambda: "Audit of BTCUSDT found levels that differ" in logged)

    asyncio.run(run())


def test_a_grid_too_fine_to_be_kept_exactly_leaves_the_symbol_as_it_is() -> None:
    """It is subscribed and live on its former grid: no answer says that it is not."""

    async def run() -> None:
        market = WatchedMarket()
        with listening() as logged:
            async with (
                SimExchange(config()) as sim,
                feeding(sim.rest_url, sim.ws_url, ("BTCUSDT",), market) as feed,
            ):
                await all_live(feed, ("BTCUSDT",))
                await until(lambda: not feed.failed)
                state = market.symbols["BTCUSDT"]
                feed._regridded(msgspec.structs.replace(state.spec, step_size=Decimal("1E-12")))
                assert "BTCUSDT stays on its old grid" in logged
                assert market.symbols["BTCUSDT"] is state
                assert state.book is not None
                assert feed.failed == {}

    asyncio.run(run())


def test_a_snapshot_with_an_unreadable_level_does_not_take_the_place_of_a_book_that_knows_more() -> None:
    """It ends at that level; the book beside it is right as it is."""

    async def run() -> None:
        async with (
            SimExchange(config()) as sim,
            feeding(sim.rest_url, sim.ws_url, ("BTCUSDT",), audit_every_secs=0.5) as feed,
        ):
            await all_live(feed, ("BTCUSDT",))
            state, skipped = feed.market.symbols["BTCUSDT"], feed._rest.skipped
            await until(lambda: state.counts.audits > 0)
            number = sim.faults.add(CorruptRest(mode="bad_rows", endpoint="depth"))
            await until(lambda: skipped["levels"] >= 2)
            audits = state.counts.audits
            await until(lambda: skipped["levels"] >= 3)
            assert (state.counts.audits, state.counts.audit_mismatches, state.status(time.monotonic_ns())) == (
                audits,
                0,
                "live",
            )
            sim.faults.remove(number)
            await until(lambda: state.counts.audits > audits)

    asyncio.run(run())
