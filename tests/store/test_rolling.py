"""Roll-ups in a real store: whatever happens to it, they say what the trades say."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.test_rollups import plainly
from tests.store.values import BTC, ETH, START, batch, trade
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import TradeBatch
from vibe_orderbook_mcp.store import rollup_reads
from vibe_orderbook_mcp.store.disk.layout import META, ROLL, TRADE_MIN, TRADE_SEC
from vibe_orderbook_mcp.store.disk.rocks import Database
from vibe_orderbook_mcp.store.disk.view import Reads
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.records.keys import HOURS, MINUTES, roll_bounds, roll_key
from vibe_orderbook_mcp.store.records.meta import grid_key
from vibe_orderbook_mcp.store.records.rollups import PriceRollup, RollGrid, decode_grid, encode_grid
from vibe_orderbook_mcp.store.retention import retain
from vibe_orderbook_mcp.store.window_sums import WindowSums

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000
START_MS = START * 1000
FOREVER_MS = 10**13


async def _open(path: Path, cap_mb: int = 64, retention_days: float = 7) -> History:
    return await History.open(path, cap_mb=cap_mb, retention_days=retention_days)


def _database(history: History) -> Database:
    assert history._database is not None
    return history._database


def _expect(found: PriceRollup, trades: list[Trade], start_ms: int, end_ms: int) -> None:
    inside = [t for t in trades if start_ms <= t.time_ms < end_ms]
    grid = RollGrid(found.width_ticks, found.tick_exp)
    assert found == plainly(inside, grid, found.tick_exp, found.lot_exp)


async def _same(history: History, trades: list[Trade], start_ms: int = 0, end_ms: int = FOREVER_MS) -> None:
    found = await history.histogram("BTCUSDT", start_ms, end_ms)
    _expect(found, trades, start_ms, end_ms)
    sums = await history.trade_sums("BTCUSDT", start_ms, end_ms)
    assert {name: getattr(found, name) for name in sums.__struct_fields__} == msgspec.structs.asdict(sums)


def _day(dice: random.Random, count: int = 3000, hours: int = 6) -> list[Trade]:
    price = 6_500_000
    trades = []
    for agg_id, offset in enumerate(sorted(dice.randrange(hours * HOUR_MS) for _ in range(count))):
        price += dice.randrange(-300, 301)
        trades.append(msgspec.structs.replace(trade(agg_id, START_MS + offset), price=price / 100))
    return trades


async def _sealed(path: Path, trades: list[Trade]) -> History:
    history = await _open(path)
    await history.append([], [TradeBatch(BTC, tuple(trades))])
    await history.seal("BTCUSDT", FOREVER_MS)
    return history


async def test_any_window_of_any_history_is_what_its_trades_say(tmp_path: Path) -> None:
    """Live, filled late, sealed in between, reopened: at every moment roll-ups and trades tell one story."""
    dice = random.Random(11)
    trades = _day(dice)
    late = [t for t in trades if dice.random() < 0.3]
    live = [t for t in trades if t not in late]
    dice.shuffle(late)
    history = await _open(tmp_path)
    held: list[Trade] = []
    for at in range(0, len(live), 60):
        part = live[at : at + 60]
        await history.append([], [TradeBatch(BTC, tuple(part))])
        held += part
        fills = [late.pop() for _ in range(min(len(late), dice.randrange(50)))]
        await history.add_trades(TradeBatch(BTC, (*fills, *dice.sample(held, 5))))
        held += fills
        if dice.random() < 0.7:
            await history.seal("BTCUSDT", part[-1].time_ms - dice.randrange(200_000))
        if dice.random() < 0.1:
            await history.close()
            history = await _open(tmp_path)
        start = START_MS + dice.randrange(-HOUR_MS, 7 * HOUR_MS)
        await _same(history, held, start, start + dice.choice((1, 700, 90_000, HOUR_MS, 3 * HOUR_MS, 8 * HOUR_MS)))
    await _same(history, held)
    await history.close()


moments = st.integers(0, 3 * HOUR_MS)


@given(
    st.lists(moments, min_size=1, max_size=60),
    st.lists(st.tuples(st.sampled_from(("live", "fill", "seal", "again")), st.integers(1, 20)), max_size=12),
    st.lists(st.tuples(moments, moments), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=20)
def test_no_order_of_events_makes_a_window_wrong(
    times: list[int], steps: list[tuple[str, int]], windows: list[tuple[int, int]], dice: random.Random
) -> None:
    trades = [trade(agg_id, START_MS + time) for agg_id, time in enumerate(sorted(times))]
    left = list(trades)
    dice.shuffle(left)

    async def run(path: Path) -> None:
        history = await _open(path)
        held: list[Trade] = []
        for what, count in steps:
            if what == "seal":
                await history.seal("BTCUSDT", START_MS + count * HOUR_MS // 6)
            elif what == "again" and held:
                await history.add_trades(TradeBatch(BTC, tuple(dice.choices(held, k=count))))
            else:
                part, left[:] = left[:count], left[count:]
                held += part
                if what == "fill":
                    await history.add_trades(TradeBatch(BTC, tuple(part)))
                else:
                    await history.append([], [TradeBatch(BTC, tuple(part))])
        for start, end in windows:
            await _same(history, held, START_MS + start, START_MS + end)
        await _same(history, held)
        await history.close()

    with TemporaryDirectory() as path:
        anyio.run(run, Path(path))


WRITER = """
import asyncio, random, sys
from tests.store.values import BTC, START, trade
from vibe_orderbook_mcp.model.rows import TradeBatch
from vibe_orderbook_mcp.store.history import History

async def main():
    history = await History.open(sys.argv[1], cap_mb=64, retention_days=7)
    dice = random.Random(5)
    late = []
    for n in range(100_000):
        now = [trade(n * 30 + k, (START + n * 5) * 1000 + k * 160) for k in range(30)]
        late += now[20:]
        await history.append([], [TradeBatch(BTC, tuple(now[:20]))])
        if n % 7 == 6:
            dice.shuffle(late)
            late, part = late[40:], late[:40]
            await history.add_trades(TradeBatch(BTC, tuple(part)))
        if n % 12 == 11:
            await history.seal("BTCUSDT", (START + n * 5) * 1000)
        print(n, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [80, 151, 400])
async def test_a_killed_process_leaves_sums_and_trades_agreeing(tmp_path: Path, after: int) -> None:
    _write_until_killed(tmp_path, after)
    history = await _open(tmp_path)
    trades = await history.trades("BTCUSDT", 0, FOREVER_MS)
    assert len(trades) > after * 20
    await _same(history, trades)
    await history.add_trades(batch(*(t.agg_id for t in trades[:500])))
    await history.seal("BTCUSDT", FOREVER_MS)
    assert await history.trades("BTCUSDT", 0, FOREVER_MS) == trades
    await _same(history, trades)
    await history.close()


def _write_until_killed(path: Path, after: int) -> None:
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if int(line) >= after:
                process.kill()
                return
    pytest.fail("the writer ended by itself")


async def test_whole_hours_and_minutes_are_read_from_sums_alone(tmp_path: Path) -> None:
    """Or a week of a busy symbol would take ten seconds: the trades are gone here, and nobody notices."""
    trades = _day(random.Random(2))
    history = await _sealed(tmp_path, trades)
    database = _database(history)
    for family in (TRADE_MIN, TRADE_SEC):
        database._family(family).delete_range(b"BTCUSDT:", b"BTCUSDT;")
    await _same(history, trades, 0, FOREVER_MS)
    await _same(history, trades, START_MS, START_MS + 5 * HOUR_MS + 60_000)
    assert rollup_reads.spans(3540, 7260) == [(MINUTES, 3540, 3600), (HOURS, 3600, 7200), (MINUTES, 7200, 7260)]
    assert rollup_reads.spans(60, 3540) == [(MINUTES, 60, 3540)]
    await history.close()


async def test_hours_that_were_summed_up_before_are_summed_anew_when_a_trade_comes_late(tmp_path: Path) -> None:
    """The sum of whole hours is kept between questions: a fill into one must not be missed, nor counted twice."""
    trades = _day(random.Random(21), hours=8)
    late = trades[1500]
    history = await _sealed(tmp_path, [each for each in trades if each is not late])
    windows = [(START_MS + 90_000, START_MS + 7 * HOUR_MS + hours * HOUR_MS // 4) for hours in range(3)]
    for start_ms, end_ms in windows * 2:
        await _same(history, [each for each in trades if each is not late], start_ms, end_ms)
    await history.add_trades(TradeBatch(BTC, (late,)))
    for start_ms, end_ms in windows * 2:
        await _same(history, trades, start_ms, end_ms)
    await history.close()


async def test_a_window_that_moves_on_second_by_second_is_what_its_trades_say(tmp_path: Path) -> None:
    """What was worked out a second ago is used again: trades that come live, late or are sealed meanwhile must show."""
    dice = random.Random(22)
    trades = _day(dice, count=4000, hours=3)
    history = await _open(tmp_path)
    held, late = [t for t in trades[:3000] if t.agg_id % 9], [t for t in trades[:3000] if not t.agg_id % 9]
    await history.append([], [TradeBatch(BTC, tuple(held))])
    coming = iter(trades[3000:])
    now = held[-1].time_ms // 1000 + 1
    for second in range(now, now + 60):
        part = [t for _, t in zip(range(dice.randrange(4)), coming, strict=False)]
        if dice.random() < 0.2:
            part.append(late.pop(dice.randrange(len(late))))
        await history.add_trades(TradeBatch(BTC, tuple(part)))
        held += part
        if dice.random() < 0.1:
            await history.seal("BTCUSDT", (second - dice.randrange(90)) * 1000)
        for secs in (7200, 4000):
            await _same(history, held, (second - secs) * 1000, second * 1000)
    await history.close()


async def test_trades_that_were_dropped_and_come_back_are_not_counted_twice(tmp_path: Path) -> None:
    """FIFO drops trades by file; their ids are given up and may be fetched again, in parts."""
    trades = _day(random.Random(3), hours=1)
    history = await _sealed(tmp_path, trades)
    database = _database(history)
    for family in (TRADE_MIN, TRADE_SEC):
        database._family(family).delete_range(b"BTCUSDT:", b"BTCUSDT;")
    await history.verify_ids("BTCUSDT")
    await history.add_trades(TradeBatch(BTC, tuple(trades[1000:2000])))
    for t in (trades[500], trades[1000], trades[-1]):
        minute = t.time_ms // 60_000 * 60_000
        inside = [x for x in trades if minute <= x.time_ms < minute + 60_000]
        known = inside if not 1000 <= t.agg_id < 2000 else [x for x in inside if 1000 <= x.agg_id < 2000]
        _expect(await history.histogram("BTCUSDT", minute, minute + 60_000), known, 0, FOREVER_MS)
    await history.add_trades(TradeBatch(BTC, tuple(trades)))
    await _same(history, trades)
    await history.close()


async def test_trades_from_before_there_were_sums_are_read_themselves(tmp_path: Path) -> None:
    """A directory that was last written before the family existed opens, and its past stays as right as its future."""
    trades = _day(random.Random(4))
    old, new = trades[:1500], trades[1500:]
    history = await _sealed(tmp_path, old)
    await history.close()
    _make_old(tmp_path)
    reader = await History.open_secondary(tmp_path)
    await _same(reader, old)
    assert await reader.events("BTCUSDT", 0, FOREVER_MS) == []
    assert await reader.baselines("BTCUSDT", 0) == []
    assert reader.stats().families[ROLL] == 0
    await reader.close()
    history = await _open(tmp_path)
    await _same(history, old)
    await history.append([], [TradeBatch(BTC, tuple(new[:700]))])
    await history.seal("BTCUSDT", FOREVER_MS)
    await history.add_trades(TradeBatch(BTC, (trade(9_000_000, old[5].time_ms), *new[700:])))
    everything = [*trades, trade(9_000_000, old[5].time_ms)]
    await _same(history, everything)
    for start in range(START_MS, START_MS + 6 * HOUR_MS, 2_777_777):
        await _same(history, everything, start, start + 3_100_000)
    assert decode_grid(_database(history).get(META, grid_key("BTCUSDT")) or b"").floor % 3600 == 0
    await history.close()


def _make_old(path: Path) -> None:
    """Take away what came later."""
    from rocksdict import AccessType, Options, Rdict

    families = Rdict.list_cf(str(path), Options(raw_mode=True))
    options = {family: Options(raw_mode=True) for family in families}
    rdict = Rdict(str(path), Options(raw_mode=True), options, AccessType.read_write())
    rdict.delete(grid_key("BTCUSDT"))
    for family in ("roll", "event", "base"):
        rdict.drop_column_family(family)
    rdict.close()


async def test_damaged_sums_do_not_stop_recording(tmp_path: Path) -> None:
    trades = _day(random.Random(6), hours=3)
    first, later = trades[:1000], trades[1000:]
    history = await _sealed(tmp_path, first)
    hour = first[-1].time_ms // HOUR_MS * 3600
    _database(history).write([(ROLL, roll_key(HOURS, "BTCUSDT", hour), b"\xc1")])
    with pytest.raises(StorageError):
        await history.histogram("BTCUSDT", 0, FOREVER_MS)
    await history.append([], [TradeBatch(BTC, tuple(later[:500]))])
    await history.seal("BTCUSDT", FOREVER_MS)
    await history.add_trades(TradeBatch(BTC, tuple(later[500:])))
    await _same(history, trades)
    await history.close()


async def test_old_sums_go_with_time_and_floors_keep_windows_right(tmp_path: Path) -> None:
    trades = _day(random.Random(7), hours=10)
    history = await _open(tmp_path, retention_days=4 / 24)
    await history.append([], [TradeBatch(BTC, tuple(trades))])
    await history.seal("BTCUSDT", FOREVER_MS)
    database = _database(history)
    newest = trades[-1].time_ms // 1000
    assert database.first_key(ROLL, *roll_bounds(HOURS, "BTCUSDT", 0, newest)) == roll_key(
        HOURS, "BTCUSDT", (newest // 60 * 60 + 60 - 4 * 3600) // 3600 * 3600
    )
    await _same(history, trades)
    oldest = database.first_key(ROLL)
    late = trade(10**6, START_MS + 5)
    await history.add_trades(TradeBatch(BTC, (late, trade(10**6 + 1))))
    assert database.first_key(ROLL) == oldest  # nothing would ever delete it
    await _same(history, [*trades, late, trade(10**6 + 1)])
    await history.retain(newest + 30 * 86_400)
    assert database.first_key(ROLL) is None
    await _same(history, [*trades, late, trade(10**6 + 1)])
    await history.close()


async def test_sums_keep_to_their_share(tmp_path: Path) -> None:
    """The oldest hours of every symbol go first, and at once: the cap is a promise about the whole directory."""
    dice = random.Random(8)
    history = await _open(tmp_path, cap_mb=4, retention_days=30)
    database = _database(history)
    share = history.layout.family_bytes(ROLL)
    most = 0
    for hour in range(16):
        for spec in (BTC, ETH):
            trades = tuple(
                Trade(
                    hour * 4000 + n,
                    START_MS + hour * HOUR_MS + n * 900,
                    dice.randrange(6_000_000, 7_000_000) / 100,
                    dice.randrange(10**9) / 10**5,
                    n,
                    n,
                    dice.random() < 0.5,
                )
                for n in range(1200)
            )
            await history.add_trades(TradeBatch(spec, trades))
        database.flush()
        await history.retain(START + (hour + 1) * 3600)
        most = max(most, database.property(ROLL, "rocksdb.total-sst-files-size"))
        assert history.stats().disk_bytes < history.layout.cap_bytes
    assert share // 4 < most < share
    for name in ("BTCUSDT", "ETHUSDT"):
        oldest = database.first_key(ROLL, *roll_bounds(HOURS, name, 0, 10**10 - 1))
        assert oldest is not None
        assert oldest > roll_key(HOURS, name, START + 3600)
    await _same(history, await history.trades("BTCUSDT", 0, FOREVER_MS), START_MS + 14 * HOUR_MS, FOREVER_MS)
    await history.close()


async def test_sums_deleted_under_a_reader_are_those_of_its_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades = _day(random.Random(9))
    history = await _sealed(tmp_path, trades)
    add_window = WindowSums._add_window
    retained = False

    def delete_then(self: WindowSums, reads: Reads, *args: Any) -> Any:
        nonlocal retained
        if not retained:
            retained = True
            assert history._writer is not None
            retain(_database(history), history._writer, history.layout, trades[-1].time_ms // 1000 + 7 * 86_400)
        return add_window(self, reads, *args)

    monkeypatch.setattr(WindowSums, "_add_window", delete_then)
    await _same(history, trades)
    assert retained
    await history.close()


async def test_a_failed_write_leaves_sums_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trades = _day(random.Random(10), hours=1)
    history = await _open(tmp_path)
    with monkeypatch.context() as full:

        def fail(*_: object) -> None:
            raise StorageError("full")

        full.setattr(_database(history), "write", fail)
        with pytest.raises(StorageError, match="full"):
            await history.add_trades(TradeBatch(BTC, tuple(trades)))
    assert _database(history).get(META, grid_key("BTCUSDT")) is None
    await history.add_trades(TradeBatch(BTC, tuple(trades)))
    await _same(history, trades)
    await history.close()


async def test_a_reader_beside_the_recorder_sees_the_same_sums(tmp_path: Path) -> None:
    trades = _day(random.Random(12), hours=3)
    history = await _open(tmp_path)
    await history.append([], [TradeBatch(BTC, tuple(trades[:1]))])
    reader = await History.open_secondary(tmp_path)
    for at in range(1, len(trades), 500):
        await history.append([], [TradeBatch(BTC, tuple(trades[at : at + 500]))])
        await history.seal("BTCUSDT", trades[at].time_ms)
        await _same(reader, trades[: at + 500])
    await reader.close()
    await history.close()


async def test_nothing_stored_sums_up_to_nothing(tmp_path: Path) -> None:
    history = await _open(tmp_path)
    found = await history.histogram("BTCUSDT", 0, FOREVER_MS)
    assert (found.trades, found.bins, found.high, found.first_agg_id) == (0, {}, None, None)
    assert (await history.trade_sums("BTCUSDT", 0, FOREVER_MS)).buy_volume == 0
    await history.append([], [batch(1, 2)])
    assert (await history.histogram("BTCUSDT", 0, 5)).trades == 0
    assert (await history.histogram("BTCUSDT", FOREVER_MS, 0)).trades == 0
    await history.close()


async def test_sums_are_told_in_the_exchanges_units(tmp_path: Path) -> None:
    history = await _open(tmp_path)
    made = [
        Trade(7, START_MS, 65_000.5, 0.25, 1, 3, False),
        Trade(8, START_MS + 5, 64_999.99, 0.5, 4, 4, True),
    ]
    await history.append([], [TradeBatch(BTC, tuple(made))])
    sums = await history.trade_sums("BTCUSDT", START_MS, START_MS + 6)
    assert (sums.trades, sums.fills, sums.buy_volume, sums.sell_volume) == (2, 4, 0.25, 0.5)
    assert (sums.buy_quote, sums.sell_quote) == (16_250.125, 32_499.995)
    assert (sums.high, sums.low, sums.first_ms, sums.last_ms) == (65_000.5, 64_999.99, START_MS, START_MS + 5)
    histogram = await history.histogram("BTCUSDT", START_MS, START_MS + 6)
    assert histogram.width_ticks == 100
    assert histogram.bins == {64_999: (0, 50_000, 1), 65_000: (25_000, 0, 1)}
    await history.close()


async def test_the_grid_stays_as_it_was_fixed(tmp_path: Path) -> None:
    """Bins of two widths could not be added."""
    history = await _open(tmp_path)
    await history.append([], [batch(1)])
    dear = msgspec.structs.replace(trade(2), price=6_500_000.0)
    await history.append([], [TradeBatch(BTC, (dear,))])
    await history.close()
    history = await _open(tmp_path)
    assert (await history.histogram("BTCUSDT", 0, FOREVER_MS)).width_ticks == 100
    stored = _database(history).get(META, grid_key("BTCUSDT"))
    assert stored == encode_grid(RollGrid(100, 2))
    await history.close()
