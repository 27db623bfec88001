"""What tools keep and count of history between questions."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from vibe_orderbook_mcp.analytics.flow.answer import order_flow_answer
from vibe_orderbook_mcp.analytics.flow.past import EqualWindow
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.collect.past_cache import PastCache
from vibe_orderbook_mcp.collect.row_cache import RowCache
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.collect.trade_window import stored_day, traded_window
from vibe_orderbook_mcp.collect.volume_clock import CHECK_MS, VolumeClocks
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import (
    KEPT_FIELDS,
    KEPT_SECS,
    SecondRecord,
    SecondRow,
    SideFlow,
    TouchedLevel,
    TradeBatch,
    kept,
)
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.records.rows import Columns

SPEC = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"))
NOW = 1_700_000_100  # a multiple of 300


def an_hour_of_rows(seed: int = 3) -> list[SecondRow]:
    """Every field that a figure could be made of, a gap, and seconds that were not covered."""
    dice = random.Random(seed)
    mid, out = 6_000_000, []

    def size() -> float:
        return dice.randrange(1, 10**6) / 1e5

    for second in range(NOW - KEPT_SECS, NOW):
        if NOW - 2000 <= second < NOW - 1990:
            continue
        mid += dice.randrange(-40, 41)
        touched = TouchedLevel("bid", mid / 100, 30 * size(), 25, 1.0, 1.0, 1.0)
        out.append(
            SecondRow(
                second=second,
                covered_ms=1000 if dice.random() < 0.95 else 300,
                flags=dice.choice((0, 0, 0, 1)),
                mid=None if dice.random() < 0.02 else mid / 100,
                events=10,
                rows=100,
                ids=200,
                bid=SideFlow(size(), size(), size(), 5, 4, 0),
                ask=SideFlow(size(), size(), size(), 5, 4, 0),
                ofi=size() - 5,
                mlofi=tuple(size() - 5 for _ in range(10)),
                level_depth=tuple(size() for _ in range(10)),
                buy_volume=size(),
                sell_volume=size(),
                buy_quote=dice.randrange(10**12) / 1e7,
                sell_quote=dice.randrange(10**12) / 1e7,
                buy_trades=3,
                sell_trades=2,
                size_squares=size(),
                high=mid / 100 + 1,
                low=mid / 100 - 1,
                effective_spread_sum=size(),
                effective_spread_volume=size(),
                touched=(touched,),
            )
        )
    return out


def past_row(row: SecondRow) -> SecondRow:
    return kept(getattr(row, field) for field in KEPT_FIELDS)


@pytest.mark.parametrize("secs", [10, 60, 300])
@pytest.mark.parametrize("seen_secs", [0, 120, KEPT_SECS], ids=["restarted now", "restarted within", "long running"])
def test_flow_from_memory_is_flow_from_whole_rows(tmp_path: Path, secs: int, seen_secs: int) -> None:
    """What is kept of seconds that are over suffices for every figure, wherever memory ends and the disk begins."""
    rows = an_hour_of_rows()
    state = InstrumentOwner(SPEC)
    span = Span(NOW - secs, NOW)
    facts: dict[str, Any] = {"as_of_ms": NOW * 1000, "age_ms": 1, "status": "live", "detail": True}

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            await history.append([SecondRecord(SPEC, row, None) for row in rows])
            for row in rows:
                if row.second >= NOW - seen_secs:
                    state.past.add(row)
                    state.watch.rows.append(row)
            # What was stored came back rounded, as documented; what was seen did not.
            stored = await history.rows("BTCUSDT", 0, NOW - seen_secs)
            whole = [*stored, *(row for row in rows if row.second >= NOW - seen_secs)]
            truth = order_flow_answer(SPEC, whole, span, **facts)
            cache = RowCache()
            for _ in range(2):
                found = await cache.hour_and_window(history, state, span)
                assert [row.second for row in found] == [row.second for row in rows]
                assert order_flow_answer(SPEC, found, span, **facts) == truth
            seen = [row for row in rows if row.second >= NOW - seen_secs]
            assert state.past.before(NOW) == [past_row(row) for row in seen]  # a question fills no memory but its own
            state.past.add(SecondRow(second=NOW + 100, covered_ms=1000))
            later = await cache.hour_before(history, state, Span(NOW + 41, NOW + 101))
            assert [row.second for row in later] == [s for row in rows if (s := row.second) >= NOW + 100 - KEPT_SECS]
        finally:
            await history.close()

    asyncio.run(run())


def test_a_day_of_seconds_is_read_once_and_then_continued(tmp_path: Path) -> None:
    """Two questions at once read it once; windows of five minutes reach back as far as there is history."""

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            asked: list[tuple[int, int]] = []
            columns = history.columns

            async def noted(symbol: str, start_sec: int, end_sec: int, fields: Sequence[str]) -> Columns:
                asked.append((start_sec, end_sec))
                return await columns(symbol, start_sec, end_sec, fields)

            history.columns = noted  # type: ignore[method-assign]
            rows = [
                SecondRow(
                    second=NOW - 9000 + n,
                    covered_ms=1000,
                    mid=100.0,
                    buy_volume=1.0,
                    sell_volume=0.5,
                    buy_quote=100.0,
                    sell_quote=50.0,
                )
                for n in range(9000)
            ]
            for first in range(0, 9000, 1000):
                await history.append([SecondRecord(SPEC, row, None) for row in rows[first : first + 1000]])
            cache = PastCache(patience_secs=300)
            for found in await asyncio.gather(
                *(cache.windows(history, "BTCUSDT", 300, NOW - 300) for _ in range(2)),
            ):
                assert (list(found.windows), found.read_secs) == (
                    [EqualWindow(300.0, 150.0, 30_000.0, 15_000.0, 0.0, 0.0)] * 29,
                    None,
                )
            assert asked == [(NOW - 300 - 3600 * (n + 1), NOW - 300 - 3600 * n) for n in range(24)]
            assert len((await cache.windows(history, "BTCUSDT", 60, NOW)).windows) == 150
            assert asked[24:] == [(NOW - 300, NOW)]
            again = [await cache.windows(history, "BTCUSDT", secs, NOW + 30) for secs in (60, 300)]
            assert [len(each.windows) for each in again] == [150, 30]
            assert asked[25:] == []
        finally:
            await history.close()

    asyncio.run(run())


def test_the_first_question_is_answered_before_the_whole_day_is_read(tmp_path: Path) -> None:
    """With the newest hours, and it is said how many; one caller gets a failure, and the next call continues there."""

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            columns, gates = history.columns, {n: asyncio.Event() for n in range(24)}
            is_broken = True

            async def slow(symbol: str, start_sec: int, end_sec: int, fields: Sequence[str]) -> Columns:
                hour = (NOW - start_sec) // 3600 - 1
                await gates.get(hour, gates[0]).wait()
                if is_broken and hour == 5:
                    raise StorageError("a damaged file")
                return await columns(symbol, start_sec, end_sec, fields)

            history.columns = slow  # type: ignore[method-assign]
            for hour in range(9):
                rows = [SecondRow(second=NOW - 3600 * hour - n, covered_ms=1000, mid=1.0) for n in range(3600, 0, -1)]
                await history.append([SecondRecord(SPEC, row, None) for row in rows])
            impatient, patient = PastCache(patience_secs=0), PastCache(patience_secs=300)
            nothing = await impatient.windows(history, "BTCUSDT", 300, NOW)
            assert (len(nothing.windows), nothing.read_secs) == (0, 0)
            gates[0].set()
            gates[1].set()
            while impatient._symbols["BTCUSDT"].read_from != NOW - 7200:
                await asyncio.sleep(0)
            partly = await impatient.windows(history, "BTCUSDT", 300, NOW)
            assert (len(partly.windows), partly.read_secs) == (24, 7200)
            assert not impatient.is_whole("BTCUSDT")
            for gate in gates.values():
                gate.set()
            with pytest.raises(StorageError):
                await patient.windows(history, "BTCUSDT", 300, NOW)
            assert not patient.is_whole("BTCUSDT")
            is_broken = False
            whole = await patient.windows(history, "BTCUSDT", 300, NOW)
            assert (len(whole.windows), whole.read_secs) == (108, None)
            assert patient.is_whole("BTCUSDT")
            with contextlib.suppress(StorageError):
                await asyncio.wait_for(asyncio.shield(reading_of(impatient)), 60)
        finally:
            await history.close()

    asyncio.run(run())


def reading_of(cache: PastCache) -> asyncio.Task[None]:
    reading = cache._symbols["BTCUSDT"].reading
    assert reading is not None
    return reading


def test_windows_stay_until_the_next_one_is_over_and_take_in_what_is_stored_late(tmp_path: Path) -> None:
    """The next is cut when it is over; a second that is stored after the question was asked is not lost."""

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            start = NOW - NOW % 60
            rows = [SecondRow(second=start + n, covered_ms=1000, mid=100.0, buy_volume=1.0) for n in range(180)]
            await history.append([SecondRecord(SPEC, row, None) for row in rows[:118]])
            cache = PastCache(patience_secs=300)
            first = (await cache.windows(history, "BTCUSDT", 60, start + 119)).windows
            assert [each.buy_volume for each in first] == [60.0]
            # 118 of the 120 s are stored: covered well enough to count, and counted in whole once the rest has come.
            early = (await cache.windows(history, "BTCUSDT", 60, start + 121)).windows
            assert [each.buy_volume for each in early] == [60.0, 58.0]
            await history.append([SecondRecord(SPEC, row, None) for row in rows[118:]])
            for before in (start + 121, start + 179):
                late = (await cache.windows(history, "BTCUSDT", 60, before)).windows
                assert [each.buy_volume for each in late] == [60.0, 60.0]
            assert len((await cache.windows(history, "BTCUSDT", 60, start + 180)).windows) == 3
            for secs in (10, 20, 30, 90, 45):
                found = (await cache.windows(history, "BTCUSDT", secs, start + 180)).windows
                assert sum(each.buy_volume for each in found) >= 135.0
        finally:
            await history.close()

    asyncio.run(run())


def test_what_the_exchange_never_had_is_not_missing(tmp_path: Path) -> None:
    """A symbol that was listed an hour ago has a whole day's profile: nothing was traded before."""

    def runtime(exhausted: set[str]) -> Runtime:
        filler = SimpleNamespace(
            is_exhausted=exhausted.__contains__, progress=lambda _: None, is_beginning=lambda _: False
        )
        exchanges = SimpleNamespace(of=lambda _: SimpleNamespace(filler=filler))
        return cast("Runtime", SimpleNamespace(exchanges=exchanges, recorder=SimpleNamespace(waiting=lambda _: [])))

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            trades = [
                Trade(number, (NOW - 3600) * 1000 + number, 100.0, 1.0, number, number, False)
                for number in range(1000, 1050)
            ]
            await history.add_trades(TradeBatch(SPEC, tuple(trades)))
            day = Span(NOW - 86_400, NOW)
            bitcoin, ether = InstrumentOwner(SPEC), InstrumentOwner(msgspec.structs.replace(SPEC, symbol="ETHUSDT"))
            part = (await traded_window(runtime(set()), history, bitcoin, day)).tape
            assert 0.0 < part.share(day) < 0.05
            whole = (await traded_window(runtime({"BTCUSDT"}), history, bitcoin, day)).tape
            assert whole.share(day) == 1.0
            never = (await traded_window(runtime({"ETHUSDT"}), history, ether, day)).tape
            assert (never.held, never.never_traded) == (0, True)
        finally:
            await history.close()

    asyncio.run(run())


async def add_trades(history: History, numbers: range, at: Callable[[int], int]) -> None:
    """One a number, of one base unit, by turns bought and sold."""
    trades = [Trade(n, at(n), 100.0, 1.0, n, n, buyer_is_maker=bool(n % 2)) for n in numbers]
    await history.add_trades(TradeBatch(SPEC, tuple(trades)))


def test_the_first_days_session_is_told_when_the_ids_prove_it_whole(tmp_path: Path) -> None:
    """Not before something older than midnight is stored, nor with a trade missing; rows cover the last half minute."""
    midnight = NOW - NOW % 86_400
    end = midnight + 3600

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            await add_trades(history, range(1000, 1101), lambda n: (midnight + 10 * (n - 1000)) * 1000)
            rows = [SecondRow(second=end - 5, covered_ms=1000, buy_volume=3.0, agg_trades=1, first_agg_id=1101,
                              last_agg_id=1101)]  # fmt: skip
            assert await stored_day(history, "BTCUSDT", rows, end) is None  # perhaps the day had earlier ones
            await add_trades(history, range(990, 1000), lambda n: (midnight - 1000 + n - 990) * 1000)
            assert await stored_day(history, "BTCUSDT", rows, end) == (54.0, 50.0)
            assert await stored_day(history, "BTCUSDT", [], end) == (51.0, 50.0)
            late = [msgspec.structs.replace(rows[0], first_agg_id=1102, last_agg_id=1102)]
            assert await stored_day(history, "BTCUSDT", late, end) is None  # 1101 is nowhere
            await add_trades(history, range(1102, 1103), lambda _: (midnight + 2000) * 1000)
            assert await stored_day(history, "BTCUSDT", [], end) is None
        finally:
            await history.close()

    asyncio.run(run())


def test_trades_fetched_backwards_later_come_into_the_volume_buckets(tmp_path: Path) -> None:
    """Read again once no more of them come; meanwhile the former figure stands."""
    now_ms = NOW * 1000

    async def settled(clocks: VolumeClocks, history: History, at_ms: int) -> int | None:
        await clocks.buckets(history, SPEC, at_ms)
        await asyncio.gather(*clocks._reading)
        buckets = await clocks.buckets(history, SPEC, at_ms)
        return None if buckets is None else len(buckets.imbalances)

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            await add_trades(history, range(5000, 5100), lambda n: now_ms - 3_600_000 + 30_000 * (n - 5000))
            clocks = VolumeClocks()
            first = await settled(clocks, history, now_ms)
            assert first is not None
            await add_trades(history, range(4950, 5000), lambda n: now_ms - 7_200_000 + 30_000 * (n - 4950))
            assert await settled(clocks, history, now_ms + 1) == first
            assert await settled(clocks, history, now_ms + CHECK_MS) == first  # more may be on their way
            again = await settled(clocks, history, now_ms + 2 * CHECK_MS)
            assert again is not None
            held = clocks._clocks["BTCUSDT"]
            assert (held.trades, held.late) == (150, 0)
        finally:
            await history.close()

    asyncio.run(run())


def test_volume_buckets_begin_anew_where_lots_are_counted_in_other_steps(tmp_path: Path) -> None:
    """Else a hundredth of the volume, or a hundred times as much, would fill a bucket once the exchange changes it."""

    async def base_units(clocks: VolumeClocks, history: History, spec: SymbolSpec) -> list[float]:
        await clocks.buckets(history, spec, NOW * 1000)
        await asyncio.gather(*clocks._reading)
        buckets = await clocks.buckets(history, spec, NOW * 1000)
        assert buckets is not None
        return [lots / 10**spec.lot_exp for lots in (buckets.bucket_lots, *buckets.imbalances)]

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            await add_trades(history, range(5000, 5100), lambda n: (NOW - 3600 + 30 * (n - 5000)) * 1000)
            clocks = VolumeClocks()
            before = await base_units(clocks, history, SPEC)
            assert len(before) > 1
            for step in ("0.001", "0.0000001"):
                regridded = msgspec.structs.replace(SPEC, step_size=Decimal(step))
                assert await base_units(clocks, history, regridded) == before
        finally:
            await history.close()

    asyncio.run(run())
