"""What every source does, wherever its books and its history are: a suite that each of them has to pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from tests.collect.venue import rest_of
from tests.e2e.rig import settings_for
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.analytics.findings import Finding, to_stored
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.answers.memory_source import MemoryInstrument, MemorySource
from vibe_orderbook_mcp.answers.service import SourceAnswers
from vibe_orderbook_mcp.answers.source import Source
from vibe_orderbook_mcp.answers.tools import TOOLS
from vibe_orderbook_mcp.book.sync import Loaded
from vibe_orderbook_mcp.collect.local_source import LocalSource
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec

pytestmark = pytest.mark.anyio

BTC = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"))
NAME = BTC.symbol
SECS = 40
FIRST_ID = 1000
SIZE = 0.001  # so little that no level is refilled
BIDS = [(round(100 - 0.01 * n, 2), 1.0 + n) for n in range(400)]
ASKS = [(round(100.01 + 0.01 * n, 2), 2.0 + n) for n in range(400)]
FOUND = Finding(type="update_burst", start_ms=0, end_ms=None, severity="Low", rarity=0.99)


class Rig(NamedTuple):
    source: Source
    rows: list[SecondRow]  # that are over
    trades: list[Trade]
    go_on: Callable[[], Awaitable[None]]  # another second passes, with two trades


class Lived:
    """A process that has lived through forty seconds of a market, two trades in each, and has stored most of them."""

    def __init__(self, path: Path, *, has_own_numbers: bool = False) -> None:
        """`has_own_numbers`: trades have names, and after twenty seconds the stream is interrupted once."""
        self.runtime = Runtime(settings_for("http://127.0.0.1:9", "ws://127.0.0.1:9", path, symbols=NAME))
        self.owner = self.runtime.market.add(BTC)
        if has_own_numbers:
            self.owner.number_trades()
        self.trades: list[Trade] = []
        self.passed = 0
        self.began_ns = time.monotonic_ns() - SECS * 1_000_000_000
        self.began_ms = (time.time_ns() // 1_000_000 - SECS * 1000) // 1000 * 1000

    async def live(self) -> None:
        await self.runtime.archive.open()
        history = self.runtime.archive.writable()
        await history.put_events(NAME, [to_stored(msgspec.structs.replace(FOUND, start_ms=self.began_ms + 500))])
        for _ in range(SECS):
            self.second()
        while self.runtime.recorder.queue_ticks:
            await self.runtime.recorder._write_next()
        async with asyncio.timeout(PATIENCE_SECS):
            while len(self.owner.watch.rows) < SECS - 1:  # the detectors wait for the stored past
                await asyncio.sleep(0.01)
        self.second()  # a second that is not stored yet

    def second(self) -> None:
        market, at = self.runtime.market, self.passed
        self.passed += 1
        for part in range(5):
            number, after_ms = 5 * at + part, at * 1000 + part * 200
            now_ns, event_ms = self.began_ns + after_ms * 1_000_000, self.began_ms + after_ms
            size = 3.0 + number % 7
            update = DepthUpdate(NAME, event_ms, 10 + number, 10 + number, [(100.0, size)], [(100.01, 9.0 - size / 2)])
            market.receive_depth(update, now_ns)
            if number == 0:
                loaded = market.load(NAME, DepthSnapshot(10, list(BIDS), list(ASKS)), 400, now_ns)
                assert loaded in (Loaded.LIVE, Loaded.UNPROVEN)
            if part in (1, 3):
                trade_id = FIRST_ID + len(self.trades)
                price = 100.0 if trade_id % 3 else 100.01
                trade = Trade(trade_id, event_ms, price, SIZE, trade_id, trade_id, buyer_is_maker=price == 100.0)
                if number == 5 * SECS // 2 + 1:
                    self.owner.interrupt()
                market.receive_trade(NAME, trade)
                self.trades.append(self.owner.pending_trades[-1])
        self.runtime.recorder.tick(self.began_ns + (at + 1) * 1_000_000_000)

    async def aclose(self) -> None:
        await self.runtime.recorder.watcher.aclose()
        await self.runtime.archive.close()
        await rest_of(self.runtime).aclose()

    def values(self, source: LocalSource) -> MemoryInstrument:
        frame = source.book(NAME, 400)
        assert frame is not None
        return MemoryInstrument(
            moment=source.moment(NAME),
            book=frame.view,
            rows=tuple(self.owner.watch.rows),
            trades=tuple(self.trades),
            findings=(),
            resting=tuple(source.resting(NAME)),
        )


@asynccontextmanager
async def local(path: Path, *, has_own_numbers: bool = False) -> AsyncIterator[Rig]:
    lived = Lived(path, has_own_numbers=has_own_numbers)
    try:
        await lived.live()

        async def go_on() -> None:
            lived.second()

        yield Rig(LocalSource(lived.runtime), list(lived.owner.watch.rows), lived.trades, go_on)
    finally:
        await lived.aclose()


@asynccontextmanager
async def memory(path: Path, *, has_own_numbers: bool = False) -> AsyncIterator[Rig]:
    """Made from the values of a local one."""
    lived = Lived(path, has_own_numbers=has_own_numbers)
    try:
        await lived.live()
        former = LocalSource(lived.runtime)
        findings = tuple(await former.findings(NAME, 0, 10**14))
        known = {NAME: replace(lived.values(former), findings=findings)}

        async def go_on() -> None:
            lived.second()
            known[NAME] = replace(lived.values(former), findings=findings)

        yield Rig(MemorySource(known, None), list(lived.owner.watch.rows), lived.trades, go_on)
    finally:
        await lived.aclose()


@pytest.fixture(params=[local, memory])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with request.param(tmp_path / "db") as made:
        yield made


def end_of(rig: Rig) -> int:
    return rig.rows[-1].second + 1


async def test_who_wants_a_symbol_is_told_the_moment(rig: Rig) -> None:
    now = await rig.source.want(NAME, live=True)
    assert now.spec == BTC
    assert (now.status, now.reason, now.defect) == ("live", "", None)
    assert (now.mid, now.last_price) == (100.005, rig.trades[-1].price)
    assert now.newest_second == rig.rows[-1].second
    assert now.last_update_id == 10 + 5 * SECS + 4
    same = rig.source.moment(NAME)
    assert (same.last_update_id, same.loads, same.event_ms) == (now.last_update_id, now.loads, now.event_ms)


async def test_a_symbol_that_is_not_kept_is_refused(rig: Rig) -> None:
    source, span = rig.source, Span(0, 60)
    plain = source.moment, source.book, source.resting, source.usual, source.normal, source.revision
    for ask in (*plain, lambda symbol: source.watched(symbol, span, 0)):
        with pytest.raises(Refusal):
            ask("ETHUSDT")


async def test_a_book_is_cut_where_it_is_asked_to_be(rig: Rig) -> None:
    frame = rig.source.book(NAME, 3)
    assert frame is not None
    assert [price for price, _ in frame.view.bids] == [100.0, 99.99, 99.98]
    assert [price for price, _ in frame.view.asks] == [100.01, 100.02, 100.03]
    assert frame.last_update_id == rig.source.moment(NAME).last_update_id
    deep = rig.source.book(NAME, notional=50_000.0)
    assert deep is not None
    for side in (deep.view.bids, deep.view.asks):
        assert sum(price * size for price, size in side) >= 50_000.0


async def test_what_was_handed_out_stays_as_it_is(rig: Rig) -> None:
    """An answer is computed for milliseconds, on another thread even, while the next events come."""
    source, end = rig.source, end_of(rig)
    span = Span(end - 20, end)
    moment, frame, usual, normal = source.moment(NAME), source.book(NAME), source.usual(NAME), source.normal(NAME)
    watched, rows = source.watched(NAME, span, 0), await source.rows(NAME, span, "whole")
    assert frame is not None
    before = [repr(each) for each in (moment, usual, normal, watched, rows, source.resting(NAME))]
    levels = list(frame.view.bids), list(frame.view.asks), dict(frame.traded["bid"])
    await rig.go_on()
    assert source.moment(NAME).last_update_id != moment.last_update_id
    assert [repr(each) for each in (moment, usual, normal, watched, rows)] == before[:-1]
    assert (list(frame.view.bids), list(frame.view.asks), dict(frame.traded["bid"])) == levels


async def test_rows_are_those_that_were_seen(rig: Rig) -> None:
    end = end_of(rig)
    span = Span(end - 10, end)
    seen, hour, whole = [await rig.source.rows(NAME, span, part) for part in ("seen", "hour", "whole")]
    assert seen == rig.rows
    assert [row.second for row in hour] == [row.second for row in rig.rows[:-10]]
    assert [row.mid for row in hour] == [row.mid for row in rig.rows[:-10]]
    assert [row.second for row in whole] == [row.second for row in rig.rows]
    assert whole[-10:] == rig.rows[-10:]


async def test_equal_windows_are_of_whole_multiples_of_their_length(rig: Rig) -> None:
    async with asyncio.timeout(PATIENCE_SECS):
        while (earlier := await rig.source.windows(NAME, 10, end_of(rig) - 1)).read_secs is not None:
            await asyncio.sleep(0.01)
    last = (end_of(rig) - 1) // 10 * 10
    starts = [last - 10 * n for n in range(4, 0, -1) if last - 10 * n >= rig.rows[0].second]
    parts = [[row.ofi for row in rig.rows if start <= row.second < start + 10] for start in starts]
    assert [window.ofi for window in earlier.windows] == pytest.approx([sum(part) for part in parts])
    assert len(parts) >= 2
    for window in earlier.windows:
        assert window.buy_volume + window.sell_volume == pytest.approx(20 * SIZE)


async def test_trades_of_a_window_are_summed_with_those_that_are_not_stored_yet(rig: Rig) -> None:
    end = rig.trades[-1].time_ms // 1000 + 1
    span, histogram, tape = await rig.source.sums(NAME, Span(end - 3600, end))
    assert span == Span(end - 3600, end)
    assert sum(count for _, _, count in histogram.bins.values()) == len(rig.trades) == tape.held
    scale = 10**histogram.lot_exp
    for place, is_sell in ((0, False), (1, True)):
        wanted = sum(trade.size for trade in rig.trades if trade.buyer_is_maker is is_sell)
        assert sum(each[place] for each in histogram.bins.values()) / scale == pytest.approx(wanted)
    assert histogram.last_ms == rig.trades[-1].time_ms
    first_ms = rig.trades[0].time_ms
    assert (tape.missing, tape.complete_since_ms, tape.accounted_since_ms) == (0, first_ms, first_ms)
    part = await rig.source.sums(NAME, Span(end - 10, end))
    assert (part.tape.held, part.tape.missing, part.tape.held_share(part.span)) == (20, 0, 1.0)


@pytest.mark.parametrize("source", [local, memory])
async def test_an_interruption_of_trades_that_cannot_be_counted_is_a_time(
    source: Callable[..., AbstractAsyncContextManager[Rig]], tmp_path: Path
) -> None:
    async with source(tmp_path / "db", has_own_numbers=True) as rig:
        first_ms, end = rig.trades[0].time_ms, rig.trades[-1].time_ms // 1000 + 1
        span, _, tape = await rig.source.sums(NAME, Span(first_ms // 1000, end))
        assert (tape.held, tape.missing, tape.breaks, tape.unknown_ms) == (len(rig.trades), 0, 1, 600)
        assert tape.held_share(span) == pytest.approx(1 - 0.6 / span.secs)
        assert tape.complete_since_ms == rig.trades[SECS].time_ms
        part = await rig.source.sums(NAME, Span(end - 10, end))
        assert (part.tape.breaks, part.tape.held_share(part.span)) == (0, 1.0)


async def test_volume_buckets_are_there_once_the_day_was_read(rig: Rig) -> None:
    async with asyncio.timeout(PATIENCE_SECS):
        while (found := await rig.source.vpin(NAME, end_of(rig))) is None:
            await asyncio.sleep(0.01)
    assert found.bucket_lots > len(rig.trades) * SIZE * 1e5 / 50  # as if the whole day had been like it
    assert found.vpin.value is None  # less than ten buckets are full


async def test_volume_of_a_day_that_nobody_saw_begin_is_not_told(rig: Rig) -> None:
    assert await rig.source.today(NAME, end_of(rig)) is None


async def test_findings_are_those_that_began_in_the_window(rig: Rig) -> None:
    start_ms = rig.rows[0].second * 1000
    (found,) = await rig.source.findings(NAME, start_ms, start_ms + 10_000)
    assert (found.type, found.severity, found.rarity) == ("update_burst", "Low", 0.99)
    assert await rig.source.findings(NAME, found.start_ms + 1, start_ms + 10_000) == []


async def test_a_revision_stands_for_what_answers_are_made_from(rig: Rig) -> None:
    before = rig.source.revision(NAME)
    assert rig.source.revision(NAME) == before
    hash(before)
    await rig.go_on()
    assert rig.source.revision(NAME) != before


async def test_the_condition_names_every_book(rig: Rig) -> None:
    condition = rig.source.condition()
    (book,) = condition.books
    assert (book.symbol, book.status, book.bid_levels, book.ask_levels) == (NAME, "live", 400, 400)
    assert condition.newest_ms == rig.source.moment(NAME).event_ms


ARGUMENTS: Mapping[str, dict[str, object]] = {
    "get_order_flow": {"window_duration_secs": 20, "detail": True},
    "get_microstructure_health": {"window_duration_secs": 20},
    "detect_market_anomalies": {"window_duration_secs": 20, "since_hours": 1},
}
# What passes between two calls, what a process tells of itself, or has from single levels that no row remembers.
ITS_OWN = {
    "age_ms",
    "last_trade_age_secs",
    "cannot_run",
    "summary",
    "warnings",
    "measured",
    "bid_walls",
    "ask_walls",
    "detail",
}


async def test_answers_do_not_tell_where_they_come_from(tmp_path: Path) -> None:
    """Each tool answers the same over the values of a process as over the process."""
    lived = Lived(tmp_path / "db")
    try:
        await lived.live()
        former = LocalSource(lived.runtime)
        findings = tuple(await former.findings(NAME, 0, 10**14))
        twin = MemorySource({NAME: replace(lived.values(former), findings=findings)})
        for tool in TOOLS:
            if tool.name == "orderbook_health":
                continue
            said = []
            for source in (former, twin):
                ask = getattr(SourceAnswers(source), tool.name)
                said.append(await outcome(ask(NAME, **ARGUMENTS.get(tool.name, {}))))
            assert said[0] == said[1], tool.name
            # Zones of less than five minutes of trades would be chance.
            assert ("refused" in said[0]) == (tool.name == "get_liquidity_vacuums"), said[0]
    finally:
        await lived.aclose()


async def outcome(asked: Awaitable[object]) -> dict[str, object]:
    answer: object = None
    try:
        answer = await asked
    except Refusal as refusal:
        if refusal.meanwhile is None:
            return {"refused": refusal.message}
        answer = refusal.meanwhile  # the profile is of less than five minutes, and more of it might come
    body: dict[str, object] = answer.model_dump(mode="json")  # type: ignore[attr-defined]  # every answer is a model
    return {name: value for name, value in body.items() if name not in ITS_OWN}


def test_a_moment_is_a_value() -> None:
    now = Moment(
        spec=BTC, status="live", now_ms=1, age_ns=1, reason="", suspension=None, is_delisted=False, last_update_id=1,
        loads=1, defect=None, event_ms=1, heard_ms=1, mid=1.0, last_price=None, last_trade_ms=None, day_volumes=None,
    )  # fmt: skip
    with pytest.raises(AttributeError):
        now.status = "stale"  # type: ignore[misc]  # that it cannot be set is what is tested
