from __future__ import annotations

import asyncio
import random
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.store.values import BTC, CHINESE, ETH, START, batch, book, record, row, trade
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.rows import BookTop, SecondRecord, TradeBatch
from vibe_orderbook_mcp.store import reader
from vibe_orderbook_mcp.store.disk.layout import FAMILIES
from vibe_orderbook_mcp.store.history import History

pytestmark = pytest.mark.anyio

FOREVER = 10**10


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    opened = await History.open(tmp_path / "data", cap_mb=64, retention_days=7)
    yield opened
    await opened.close()


async def _reopened(history: History) -> History:
    await history.close()
    return await History.open(history.path, cap_mb=64, retention_days=7)


async def test_what_is_appended_is_read_back(history: History) -> None:
    specs = (BTC, ETH, CHINESE)
    for second in range(START, START + 20):
        result = await history.append([record(second, spec) for spec in specs], [])
        assert result.rows == result.snapshots == {spec.symbol: 1 for spec in specs}
    for spec in specs:
        assert await history.rows(spec.symbol, START, FOREVER) == [row(s) for s in range(START, START + 20)]
        assert await history.snapshots(spec.symbol, START + 5, START + 7) == [
            (s, book(s)) for s in (START + 5, START + 6)
        ]
        assert await history.newest_second(spec.symbol) == START + 19
        assert await history.oldest_second(spec.symbol) == START
        assert await history.spec(spec.symbol) == spec
    assert await history.symbols() == sorted(spec.symbol for spec in specs)


async def test_long_windows_come_in_pieces_and_lose_nothing(history: History) -> None:
    for start in range(START, START + 1500, 100):
        await history.append([record(second) for second in range(start, start + 100)])
    assert [r.second for r in await history.rows("BTCUSDT", 0, FOREVER)] == list(range(START, START + 1500))
    assert len(await history.snapshots("BTCUSDT", 0, START + 1000)) == 1000
    assert [len(piece) async for piece in history.iter_rows("BTCUSDT", 0, FOREVER)] == [500, 500, 500, 0]


async def test_nothing_stored_is_empty_and_not_an_error(history: History) -> None:
    assert await history.rows("BTCUSDT", 0, FOREVER) == []
    assert await history.snapshots("BTCUSDT", 0, FOREVER) == []
    assert await history.trades("BTCUSDT", 0, FOREVER * 1000) == []
    assert await history.ids("BTCUSDT") == []
    assert await history.newest_second("BTCUSDT") is None
    assert await history.spec("BTCUSDT") is None
    assert await history.seal("BTCUSDT", FOREVER * 1000) == 0


async def test_a_symbol_that_starts_like_another_is_another(history: History) -> None:
    longer = BTC.__class__("BTCUSDTX", "BTC", "USDTX", BTC.tick_size, BTC.step_size)
    await history.append([record(START), record(START, longer), record(START + 1, longer)])
    assert len(await history.rows("BTCUSDT", 0, FOREVER)) == 1
    assert await history.newest_second("BTCUSDT") == START


async def test_a_second_is_written_once(history: History) -> None:
    """A clock that goes back must not rewrite what was seen."""
    await history.append([record(START), record(START + 1)])
    other = SecondRecord(BTC, row(START + 5).__class__(second=START, covered_ms=0), book(START + 9))
    result = await history.append([other, record(START - 1)])
    assert result.skipped_seconds == {"BTCUSDT": 1}
    assert result.rows == {"BTCUSDT": 1}
    assert [r.second for r in await history.rows("BTCUSDT", 0, FOREVER)] == [START - 1, START, START + 1]
    assert (await history.rows("BTCUSDT", START, START + 1))[0] == row(START)
    assert (await history.snapshots("BTCUSDT", START, START + 1))[0] == (START, book(START))
    twice = await history.append([record(START + 2), record(START + 2)])
    assert (twice.rows, twice.skipped_seconds) == ({"BTCUSDT": 1}, {"BTCUSDT": 1})


async def test_a_second_without_a_book_has_a_row_only(history: History) -> None:
    result = await history.append([record(START, top=False)])
    assert (result.rows, result.snapshots) == ({"BTCUSDT": 1}, {})
    assert await history.snapshots("BTCUSDT", 0, FOREVER) == []


async def test_a_restart_continues_existing_data(history: History) -> None:
    await history.append([record(START)], [batch(1, 2, 3)])
    reopened = await _reopened(history)
    try:
        result = await reopened.append([record(START), record(START + 1)], [batch(2, 3, 4)])
        assert result.skipped_seconds == {"BTCUSDT": 1}
        assert result.skipped_trades == {"BTCUSDT": 2}
        assert result.trades == {"BTCUSDT": 1}
        assert len(await reopened.rows("BTCUSDT", 0, FOREVER)) == 2
        assert await reopened.ids("BTCUSDT") == [(1, 4)]
    finally:
        await reopened.close()


async def test_a_number_out_of_all_proportion_costs_its_own_second(history: History) -> None:
    """Raised further it would be tried again before everything else, and nothing would be stored any more."""
    beyond = msgspec.structs.replace(row(START), ofi=1e17, buy_volume=9e17)
    result = await history.append([SecondRecord(BTC, beyond, None), record(START, ETH)], [])
    assert list(result.failed) == ["BTCUSDT"]
    assert [stored.second for stored in await history.rows("ETHUSDT", 0, FOREVER)] == [START]
    result = await history.append([record(START + 1)], [])
    assert result.failed == {}
    assert [stored.second for stored in await history.rows("BTCUSDT", 0, FOREVER)] == [START + 1]


async def test_one_symbol_that_cannot_be_stored_does_not_cost_the_others(history: History) -> None:
    beyond = BookTop(START * 1000, 1, ((1e17, 1e-8), (1e-8, 1.0)), ())
    result = await history.append([SecondRecord(BTC, row(START), beyond), record(START, ETH)], [])
    assert list(result.failed) == ["BTCUSDT"]
    assert result.rows == {"ETHUSDT": 1}
    assert await history.rows("BTCUSDT", 0, FOREVER) == []


async def test_a_trade_that_cannot_stand_beside_others_costs_its_own_batch(history: History) -> None:
    """Each could be stored alone. Raised further, it would hold up every symbol, tried again and again."""
    tiny = msgspec.structs.replace(trade(1), price=1.2345678901e-10)
    await history.append([], [batch(0)])
    result = await history.append([record(START)], [TradeBatch(BTC, (tiny,)), batch(0, spec=ETH)])
    assert (list(result.failed), result.trades, result.rows) == (["BTCUSDT"], {"ETHUSDT": 1}, {"BTCUSDT": 1})
    assert await history.ids("BTCUSDT") == [(0, 0)]  # so it counts as missing, and is fetched again
    result = await history.append([], [batch(1, 2)])
    assert (result.failed, await history.ids("BTCUSDT")) == ({}, [(0, 2)])
    assert await history.trades("BTCUSDT", 0, FOREVER * 1000) == [trade(n) for n in range(3)]
    reopened = await _reopened(history)
    assert await reopened.trades("BTCUSDT", 0, FOREVER * 1000) == [trade(n) for n in range(3)]
    await reopened.close()


async def test_a_minute_that_makes_no_block_is_given_up_to_be_fetched_again(history: History) -> None:
    """One trade of it had more digits than the others leave room for. Sealing goes on behind it."""
    tiny = msgspec.structs.replace(trade(30), price=1.2345678901e-10)
    await history.append([], [batch(*range(30)), TradeBatch(BTC, (tiny,)), batch(*range(600, 1200))])
    assert await history.seal("BTCUSDT", START * 1000 + 120_000) == 2
    assert await history.ids("BTCUSDT") == [(600, 1199)]
    await history.add_trades(batch(*range(600)))
    assert await history.trades("BTCUSDT", 0, FOREVER * 1000) == [trade(n) for n in range(1200)]
    assert await history.ids("BTCUSDT") == [(0, 1199)]
    found = await history.histogram("BTCUSDT", 0, FOREVER * 1000)
    assert (found.trades, found.missing_ids) == (1200, 0)


async def test_absurd_trade_ids_are_summed_up_all_the_same(history: History) -> None:
    """How many fills a trade has is what its ids say, and a sum of them has no bound."""
    absurd = tuple(msgspec.structs.replace(trade(n), first_trade_id=0, last_trade_id=2**62) for n in range(6))
    await history.append([], [TradeBatch(BTC, absurd)])
    assert await history.seal("BTCUSDT", START * 1000 + 60_000) == 1
    found = await history.histogram("BTCUSDT", 0, FOREVER * 1000)
    assert found.fills == 6 * (2**62 + 1)


async def test_trades_survive_any_order_of_append_fill_and_seal(history: History) -> None:
    """Live, filled late, sealed in between, stored twice: each trade is read once, by id."""
    dice = random.Random(7)
    everything = [trade(agg_id) for agg_id in range(3000)]  # five minutes
    live = [t for t in everything if dice.random() < 0.7]
    fills = [t for t in everything if t not in live] + dice.sample(everything, 200)
    dice.shuffle(fills)
    parts = [tuple(live[i : i + 40]) for i in range(0, len(live), 40)]
    for part in parts:
        await history.append([], [TradeBatch(BTC, part)])
        take, fills = fills[:15], fills[15:]
        await history.add_trades(TradeBatch(BTC, tuple(take)))
        if dice.random() < 0.3:
            await history.seal("BTCUSDT", part[-1].time_ms - dice.randrange(0, 90_000))
    await history.add_trades(TradeBatch(BTC, tuple(fills)))
    assert await history.trades("BTCUSDT", 0, FOREVER * 1000) == everything
    assert await history.ids("BTCUSDT") == [(0, 2999)]
    await history.seal("BTCUSDT", FOREVER * 1000)
    assert await history.trades("BTCUSDT", 0, FOREVER * 1000) == everything
    inside = [t for t in everything if START * 1000 + 61_500 <= t.time_ms < START * 1000 + 125_000]
    assert await history.trades("BTCUSDT", START * 1000 + 61_500, START * 1000 + 125_000) == inside
    assert await history.verify_ids("BTCUSDT") == []


async def test_sealing_is_idempotent_and_takes_whole_minutes_that_are_over(history: History) -> None:
    await history.append([], [batch(*range(1500))])  # two and a half minutes
    assert await history.seal("BTCUSDT", START * 1000 + 119_999) == 1
    assert await history.seal("BTCUSDT", START * 1000 + 119_999) == 0
    assert await history.seal("BTCUSDT", START * 1000 + 120_000) == 1
    assert await history.trades("BTCUSDT", 0, FOREVER * 1000) == [trade(n) for n in range(1500)]


async def test_a_live_trade_of_a_sealed_minute_joins_its_block(history: History) -> None:
    await history.append([], [batch(*range(5), *range(10, 700))])
    await history.seal("BTCUSDT", START * 1000 + 60_000)
    result = await history.append([], [batch(*range(12))])
    assert result.trades == {"BTCUSDT": 5}
    assert result.skipped_trades == {"BTCUSDT": 7}
    assert await history.trades("BTCUSDT", 0, FOREVER * 1000) == [trade(n) for n in range(700)]
    assert await history.ids("BTCUSDT") == [(0, 699)]


async def test_sealing_resumes_after_a_restart(history: History) -> None:
    """What was not sealed when the process ended is sealed on opening, but for the minute that may go on."""
    await history.append([], [batch(*range(1500))])
    reopened = await _reopened(history)
    try:
        assert reopened._database is not None
        assert reader.sealed(reopened._database, "BTCUSDT") == START + 120
        assert await reopened.seal("BTCUSDT", START * 1000 + 120_000) == 0
        assert await reopened.seal("BTCUSDT", FOREVER * 1000) == 1
        assert await reopened.trades("BTCUSDT", 0, FOREVER * 1000) == [trade(n) for n in range(1500)]
    finally:
        await reopened.close()


async def test_ids_of_a_fill_leave_the_hole_they_do_not_fill(history: History) -> None:
    await history.append([], [batch(1, 2, 3, 10, 11)])
    result = await history.add_trades(batch(5, 6))
    assert result.trades == {"BTCUSDT": 2}
    assert await history.ids("BTCUSDT") == [(1, 3), (5, 6), (10, 11)]
    assert (await history.add_trades(batch(5, 6))).skipped_trades == {"BTCUSDT": 2}
    assert (await history.add_trades(TradeBatch(BTC, ()))).trades == {"BTCUSDT": 0}


async def test_the_description_follows_the_exchange(history: History) -> None:
    await history.append([record(START)])
    changed = BTC.__class__("BTCUSDT", "BTC", "USDT", BTC.step_size, BTC.step_size)
    await history.append([record(START + 1, changed)])
    assert await history.spec("BTCUSDT") == changed


async def test_the_loop_runs_while_history_works(history: History) -> None:
    """The hot path never waits for the disk: a tick keeps coming through a long read and a long write."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    for start in range(START, START + 2000, 200):
        await history.append([record(second) for second in range(start, start + 200)])
    ticker = asyncio.create_task(tick())
    before = ticks
    await history.rows("BTCUSDT", 0, FOREVER)
    assert ticks - before > 20
    ticker.cancel()


async def test_closing_twice_is_once_and_closed_is_said(history: History) -> None:
    await history.append([record(START)])
    await history.close()
    await history.close()
    for call in (history.append([]), history.rows("BTCUSDT", 0, 1), history.reopen(), history.flush()):
        with pytest.raises(StorageError, match="closed"):
            await call
    assert history.stats().families == {}


async def test_closing_waits_for_what_is_under_way(history: History) -> None:
    writes = [asyncio.create_task(history.append([record(second)])) for second in range(START, START + 50)]
    await asyncio.sleep(0)
    await history.close()
    await asyncio.gather(*writes)
    reopened = await History.open(history.path, cap_mb=64, retention_days=7)
    assert len(await reopened.rows("BTCUSDT", 0, FOREVER)) == 50
    await reopened.close()


async def test_a_read_under_way_survives_reopening(history: History) -> None:
    """RocksDB cannot be closed under a reader: one waits for the other."""
    for start in range(START, START + 2000, 200):
        await history.append([record(second) for second in range(start, start + 200)])
    reads = [asyncio.create_task(history.rows("BTCUSDT", 0, FOREVER)) for _ in range(4)]
    for _ in range(5):
        await history.reopen()
    assert {len(await read) for read in reads} == {2000}


async def test_the_directory_is_private(history: History) -> None:
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o700


async def test_stats_tell_sizes(history: History) -> None:
    before = history.stats()
    await history.append([record(START)])
    await history.flush()
    after = history.stats()
    assert after.disk_bytes > before.disk_bytes > 0
    assert after.free_bytes > 0
    assert set(after.families) == set(FAMILIES)
