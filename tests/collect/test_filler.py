"""Trades that were missed, fetched by id: live holes, what a stop left out, and the hours before the first start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import msgspec

from tests.answers.serving import exchange
from tests.collect.venue import fill_with, filler_of, rest_of
from tests.e2e.rig import listening, runtime_for, until
from tests.patience import PATIENCE_SECS
from tests.store.values import BTC, ETH, START, batch, trade
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.filler import FEW_PAGES, Filler
from vibe_orderbook_mcp.collect.recorder import QUEUE_TICKS, Recorder, Tick
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.errors import ExchangeError
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.sim.faults import Drop, RestStatus
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.venues.binance.rest import AGG_TRADES_LIMIT, BinanceRest

HOUR_MS = 3_600_000
SLOW = "ATOMUSDT"  # six trade ids a second of history: an hour is some twenty pages


async def ids_of(runtime: Runtime, symbol: str) -> list[tuple[int, int]]:
    history = runtime.archive.history
    assert history is not None
    return await history.ids(symbol)


async def until_whole(
    runtime: Runtime, symbol: str, *, beyond: int = 0, secs: float = PATIENCE_SECS
) -> tuple[int, int]:
    """Wait until the stored ids are one interval that reaches `beyond`."""
    async with asyncio.timeout(secs):
        while True:
            ids = [] if runtime.archive.history is None else await ids_of(runtime, symbol)
            if len(ids) == 1 and ids[0][1] > beyond:
                return ids[0]
            await asyncio.sleep(0.02)


def started_on(sim: SimExchange, path: Path, symbol: str = "BTCUSDT", hours: int = 0) -> Runtime:
    return runtime_for(sim.rest_url, sim.ws_url, path, symbols=symbol, backfill_hours=hours)


def test_trades_that_the_stream_lost_are_fetched_and_the_hole_is_closed(tmp_path: Path) -> None:
    async def run() -> None:
        with listening("INFO") as logged:
            async with exchange() as sim:
                runtime = started_on(sim, tmp_path / "db")
                async with runtime.hold():
                    await until(lambda: runtime.recorder.trades_stored["BTCUSDT"] > 0)
                    tape = runtime.market.symbols["BTCUSDT"]._chronicle.tape
                    sim.faults.add(Drop(symbol="BTCUSDT", channel="trades", count=5))
                    await until(lambda: bool(tape.holes))
                    lost = tape.last_id or 0
                    await until_whole(runtime, "BTCUSDT", beyond=lost)
                    assert tape.holes == []
                    assert runtime.market.symbols["BTCUSDT"].filling.filled >= 5
                    history = runtime.archive.history
                    assert history is not None
                    first, last = (await ids_of(runtime, "BTCUSDT"))[0]
                    trades = [trade for trade in await history.trades("BTCUSDT", 0, 10**13) if trade.agg_id <= last]
                    assert [trade.agg_id for trade in trades] == list(range(first, last + 1))
                    # What was fetched is what the exchange has.
                    page = await rest_of(runtime).agg_trades("BTCUSDT", first)
                    assert trades[: len(page)] == page[: len(trades)]
        assert "missing trades of BTCUSDT" in logged

    asyncio.run(run())


def test_what_happened_between_two_runs_is_fetched_after_the_start(tmp_path: Path) -> None:
    """Even without a lookback: a hole between stored trades is a hole."""

    async def run() -> None:
        async with exchange() as sim:
            first = started_on(sim, tmp_path / "db")
            async with first.hold():
                await until(lambda: first.recorder.trades_stored["BTCUSDT"] > 0)
            stopped_at = newest_id(sim)
            await until(lambda: newest_id(sim) > stopped_at + 10)  # nobody listens
            second = started_on(sim, tmp_path / "db")
            async with second.hold():
                await until(lambda: second.recorder.trades_stored["BTCUSDT"] > 0)
                whole = await until_whole(second, "BTCUSDT", beyond=stopped_at + 10)
                assert whole[0] < stopped_at
                assert second.market.symbols["BTCUSDT"].filling.filled >= 10
        history = await History.open_secondary(tmp_path / "db")
        assert len(await history.ids("BTCUSDT")) == 1
        await history.close()

    asyncio.run(run())


def test_what_was_missed_is_fetched_although_no_later_trade_shows_that_it_is_missing(tmp_path: Path) -> None:
    """A quiet symbol has no next trade for long, and a profile would call its window whole meanwhile."""

    async def run() -> None:
        async with exchange() as sim:
            first = started_on(sim, tmp_path / "db")
            async with first.hold():
                await until(lambda: first.recorder.trades_stored["BTCUSDT"] > 0)
                connected = newest_id(sim)
                await until_whole(first, "BTCUSDT", beyond=connected)
                sim.faults.add(Drop(symbol="BTCUSDT", channel="trades", count=10**9))
                unseen = newest_id(sim) + 10
                await until(lambda: newest_id(sim) > unseen)
                sim.faults.add(Drop(symbol="BTCUSDT", count=1))  # of depth: what else was lost is not known
                await until_whole(first, "BTCUSDT", beyond=unseen)
                sim.faults.clear()
                await until_whole(first, "BTCUSDT", beyond=newest_id(sim))
                await until(lambda: not first.market.symbols["BTCUSDT"].holes)
                sim.faults.add(Drop(symbol="BTCUSDT", channel="trades", count=10**9))
            stopped_at = newest_id(sim)
            await until(lambda: newest_id(sim) > stopped_at + 10)  # nobody listens
            second = started_on(sim, tmp_path / "db")
            async with second.hold():
                await until_whole(second, "BTCUSDT", beyond=stopped_at + 10)
                assert second.recorder.trades_stored["BTCUSDT"] == 0

    asyncio.run(run())


def newest_id(sim: SimExchange) -> int:
    last = sim.venue.states["BTCUSDT"].trades.last()
    assert last is not None
    return last.agg_id


def test_the_hours_before_the_start_are_fetched_newest_first_and_no_further(tmp_path: Path) -> None:
    """The stored trades stay one interval that ends now, so a profile can be answered at any point on the way."""

    async def run() -> None:
        async with SimExchange(SimConfig(symbols=(SLOW,), seed=5, history_hours=2.0)) as sim:
            runtime = started_on(sim, tmp_path / "db", SLOW, hours=1)
            began: list[int] = []
            async with counted(runtime), runtime.hold():
                async with asyncio.timeout(PATIENCE_SECS):
                    oldest_ms = 10**13
                    while (now_ms := runtime.market.exchange_ms(time.monotonic_ns())) is None or (
                        oldest_ms > now_ms - HOUR_MS
                    ):
                        history = runtime.archive.history
                        if history is not None and (span := await history.trade_span(SLOW)) is not None:
                            oldest_ms = span[0]
                            ids = await history.ids(SLOW)
                            began.append(ids[0][0])
                        await asyncio.sleep(0.01)
                assert began == sorted(began, reverse=True)
                assert len(set(began)) > 5
                whole = await until_whole(runtime, SLOW)
                await looked_again(runtime)
                assert (await ids_of(runtime, SLOW))[0][0] == whole[0]
                assert now_ms - HOUR_MS - oldest_ms < 1000 / 6 * 1.5 * 1000  # a page at most
                assert runtime.market.symbols[SLOW].filling.filled > 15_000

    asyncio.run(run())


def test_ids_that_the_exchange_has_no_more_are_given_up_and_not_asked_for_again(tmp_path: Path) -> None:
    async def run() -> None:
        with listening("INFO") as logged:
            async with exchange() as sim:  # an exchange without a past
                first = started_on(sim, tmp_path / "db", hours=1)
                async with counted(first) as rest, first.hold():
                    await until(lambda: first.recorder.trades_stored["BTCUSDT"] > 0)
                    await until(lambda: any(owner.filling._floor for owner in first.market.symbols.values()))
                    await _asks_no_more(first, rest)
            await asyncio.sleep(1)  # its successor begins with later ids, and knows none of those between
            async with exchange() as sim:
                second = started_on(sim, tmp_path / "db")
                async with counted(second) as rest, second.hold():
                    await until(lambda: second.recorder.trades_stored["BTCUSDT"] > 0)
                    await until(lambda: ": the exchange has none" in logged)
                    await _asks_no_more(second, rest)
                    assert len(await ids_of(second, "BTCUSDT")) == 2
                    # A hole that can be filled still is.
                    tape = second.market.symbols["BTCUSDT"]._chronicle.tape
                    sim.faults.add(Drop(symbol="BTCUSDT", channel="trades", count=2))
                    await until(lambda: bool(tape.holes))
                    await until(lambda: tape.holes == [])
        assert logged.count(": the exchange has none") == 1

    asyncio.run(run())


class Counted(BinanceRest):
    """Knows how often it was asked for trades: books need requests of their own."""

    pages = 0
    failed_at: float | None = None
    pause_secs: float | None = None  # from the first request that failed to the next one

    async def agg_trades(
        self, symbol: str, from_id: int | None, *, is_older: bool = False, limit: int = AGG_TRADES_LIMIT
    ) -> list[Trade]:
        self.pages += 1
        if self.failed_at is not None and self.pause_secs is None:
            self.pause_secs = time.monotonic() - self.failed_at
        try:
            return await super().agg_trades(symbol, from_id, is_older=is_older, limit=limit)
        except ExchangeError:
            self.failed_at = time.monotonic()
            raise


class Looking(Filler):
    """Counts its looks at what is missing."""

    looks = 0

    async def missing(self, owner: InstrumentOwner) -> list[tuple[int, int]]:
        self.looks += 1
        return await super().missing(owner)


def counted(runtime: Runtime) -> Counted:
    """Before the start: the filler asks through this one."""
    rest = Counted(runtime.settings.rest_url, budget=rest_of(runtime).budget)
    hours = runtime.settings.backfill_hours
    filler = Looking(runtime.market, runtime.archive, rest, trades_a_page=AGG_TRADES_LIMIT, backfill_hours=hours)
    fill_with(runtime, filler)
    return rest


async def looked_again(runtime: Runtime) -> None:
    """Wait until the filler has begun a look and ended it."""
    filler = filler_of(runtime)
    assert isinstance(filler, Looking)
    looks = filler.looks
    await until(lambda: filler.looks >= looks + 2)


async def _asks_no_more(runtime: Runtime, rest: Counted) -> None:
    """It may need a few looks to see that a page began later than it was asked to."""
    async with asyncio.timeout(PATIENCE_SECS):
        while True:
            pages = rest.pages
            await looked_again(runtime)
            if rest.pages == pages:
                break
    assert 0 < pages <= 4


def test_when_the_exchange_asks_to_wait_the_filler_waits_and_an_error_is_tried_again(tmp_path: Path) -> None:
    async def failing(fault: RestStatus, path: Path, at_least_secs: float) -> None:
        async with exchange() as sim:
            runtime = started_on(sim, path)
            async with counted(runtime) as rest, runtime.hold():
                await until(lambda: runtime.recorder.trades_stored["BTCUSDT"] > 0)
                tape = runtime.market.symbols["BTCUSDT"]._chronicle.tape
                sim.faults.add(fault)
                sim.faults.add(Drop(symbol="BTCUSDT", channel="trades", count=3))
                await until(lambda: rest.pause_secs is not None and tape.holes == [])
                assert rest.pause_secs is not None
                assert rest.pause_secs >= at_least_secs
                assert rest.failures.total() == 1  # nothing was sent in between
                assert runtime.market.symbols["BTCUSDT"].book is not None

    async def run() -> None:
        await asyncio.gather(
            failing(RestStatus(status=429, endpoint="aggTrades", retry_after=2, count=1), tmp_path / "a", 1.9),
            failing(RestStatus(status=500, endpoint="aggTrades", count=1), tmp_path / "b", 0.4),
        )

    asyncio.run(run())


# --- trades that cannot be stored, and those that were not ----------------------------------------------------------


class Pages:
    """The exchange's trades by id, the newest page without one."""

    def __init__(self, *trades: Trade) -> None:
        self.trades = {each.agg_id: each for each in trades}
        self.asked: list[int | None] = []
        self.older: set[bool] = set()

    async def agg_trades(
        self, symbol: str, from_id: int | None, *, is_older: bool = False, limit: int = AGG_TRADES_LIMIT
    ) -> list[Trade]:
        self.asked.append(from_id)
        self.older |= {is_older} if from_id is not None else set()
        found = [each for agg_id, each in sorted(self.trades.items()) if from_id is None or agg_id >= from_id]
        return found[-limit:] if from_id is None else found[:limit]


@asynccontextmanager
async def filling(market: Market, archive: Archive, pages: Pages) -> AsyncIterator[Filler]:
    filler = Looking(market, archive, cast("BinanceRest", pages), trades_a_page=AGG_TRADES_LIMIT, backfill_hours=0)
    running = asyncio.create_task(filler.run())
    try:
        yield filler
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def market_at(second: int) -> Market:
    """One symbol; the exchange's clock says `second`, and goes on from there."""
    market = Market()
    market.add(BTC)
    market.clock.observe(second * 1000, time.monotonic_ns())
    return market


async def ids_held(archive: Archive, wanted: list[tuple[int, int]]) -> None:
    async with asyncio.timeout(PATIENCE_SECS):
        while await archive.writable().ids("BTCUSDT") != wanted:
            await asyncio.sleep(0.02)


def test_a_trade_that_cannot_be_stored_costs_itself_and_is_not_asked_for_again(tmp_path: Path) -> None:
    """A price beyond 64 bits of ticks: raised or skipped with its page, the page would be fetched every second."""
    bad = [msgspec.structs.replace(trade(agg_id), price=1e17) for agg_id in (40, 41)]
    pages = Pages(*map(trade, range(1, 40)), *bad, *map(trade, range(42, 61)))

    async def run() -> None:
        archive = Archive(tmp_path / "db", cap_mb=64, retention_days=7)
        await archive.open()
        await archive.writable().add_trades(batch(1, 60))
        with listening("ERROR") as logged:
            async with filling(market := market_at(START + 10), archive, pages) as filler:
                owner = market.symbols["BTCUSDT"]
                await ids_held(archive, [(1, 39), (42, 60)])
                asked = len(pages.asked)
                assert isinstance(filler, Looking)
                looks = filler.looks
                await until(lambda: filler.looks >= looks + 2)
                assert len(pages.asked) == asked
                assert owner.filling.filled == 56
                assert await filler.missing(owner) == []
        assert logged.messages == ["Trades of BTCUSDT stay missing: 2 in 1 hole, ids 40 to 41: they cannot be stored"]
        await archive.close()

    asyncio.run(run())


def test_trades_of_seconds_that_were_dropped_before_anything_was_held_are_fetched(tmp_path: Path) -> None:
    """Without a lookback nothing before the first stored trade is missing, except what this process has seen."""
    pages = Pages(*map(trade, range(1, 31)))

    async def run() -> None:
        archive = Archive(tmp_path / "db", cap_mb=64, retention_days=7)
        market = market_at(START + 3)
        recorder = Recorder(market, archive)
        tape = market.symbols["BTCUSDT"]._chronicle.tape
        for agg_id in range(11, 31):
            tape.receive(trade(agg_id))
            recorder.tick(time.monotonic_ns())
        for _ in range(QUEUE_TICKS - 20 + 5):  # a disk that is away for longer than the queue holds
            recorder._queue.append(Tick([], []))
        recorder._drop_overflow()
        assert tape.holes == [(11, 15)]
        await archive.open()
        recorder.start(1)
        await ids_held(archive, [(16, 30)])
        async with filling(market, archive, pages):
            await ids_held(archive, [(11, 30)])
            await until(lambda: tape.holes == [])
        await recorder.stop()
        await archive.close()

    asyncio.run(run())


class Hanging(Pages):
    """Never answers about one symbol."""

    async def agg_trades(
        self, symbol: str, from_id: int | None, *, is_older: bool = False, limit: int = AGG_TRADES_LIMIT
    ) -> list[Trade]:
        if symbol == "ETHUSDT":
            await asyncio.Event().wait()
        return await super().agg_trades(symbol, from_id, is_older=is_older, limit=limit)


def test_a_symbol_whose_request_hangs_keeps_no_other_waiting(tmp_path: Path) -> None:
    async def run() -> None:
        archive = Archive(tmp_path / "db", cap_mb=64, retention_days=7)
        await archive.open()
        market = Market()
        for spec in (ETH, BTC):
            market.add(spec)
        market.clock.observe((START + 10) * 1000, time.monotonic_ns())
        await archive.writable().add_trades(batch(1, 60))
        await archive.writable().add_trades(msgspec.structs.replace(batch(1, 60), spec=ETH))
        async with filling(market, archive, Hanging(*map(trade, range(1, 61)))):
            await ids_held(archive, [(1, 60)])
        await archive.close()

    asyncio.run(run())


def test_trades_inside_a_page_that_do_not_come_are_given_up(tmp_path: Path) -> None:
    """Asked for again they would be the same: the page was fetched every second or two, for ever."""
    pages = Pages(*(trade(agg_id) for agg_id in range(1, 61) if agg_id not in (20, 21, 40)))

    async def run() -> None:
        archive = Archive(tmp_path / "db", cap_mb=64, retention_days=7)
        await archive.open()
        await archive.writable().add_trades(batch(1, 60))
        with listening("WARNING") as logged:
            async with filling(market := market_at(START + 10), archive, pages) as filler:
                owner = market.symbols["BTCUSDT"]
                await ids_held(archive, [(1, 19), (22, 39), (41, 60)])
                asked = len(pages.asked)
                assert isinstance(filler, Looking)
                looks = filler.looks
                await until(lambda: filler.looks >= looks + 2)
                assert len(pages.asked) == asked
                assert owner.filling.given_up == 3
                assert await filler.missing(owner) == []
        said = (
            "Trades of BTCUSDT stay missing: 3 in 2 holes, ids 20 to 40: they cannot be read in the exchange's answer"
        )
        assert logged.messages == [said]
        await archive.close()

    asyncio.run(run())


def test_a_long_hole_does_not_take_the_weight_of_short_ones(tmp_path: Path) -> None:
    """Neither do the hours before the start; what is missing since a moment ago is there within seconds."""

    async def older(path: Path, last: int) -> set[bool]:
        pages = Pages(*map(trade, range(1, last + 1)))
        archive = Archive(path, cap_mb=64, retention_days=7)
        await archive.open()
        await archive.writable().add_trades(batch(1, last))
        async with filling(market_at(START + 10), archive, pages):
            await ids_held(archive, [(1, last)])
        await archive.close()
        return pages.older

    async def run() -> None:
        assert await older(tmp_path / "a", 60) == {False}
        assert True in await older(tmp_path / "b", FEW_PAGES * AGG_TRADES_LIMIT + 10)

    asyncio.run(run())
