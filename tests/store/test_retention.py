from __future__ import annotations

import random
import time
from pathlib import Path

import msgspec
import pytest

from tests.store.values import BTC, START, batch, record, trade
from vibe_orderbook_mcp.model.rows import BookTop, SecondRecord
from vibe_orderbook_mcp.store.disk.layout import SHARES, TRADE_MIN, TRADE_SEC, Layout
from vibe_orderbook_mcp.store.history import History

pytestmark = pytest.mark.anyio

FOREVER = 10**10
CAP_MB = 8


def _busy(second: int, dice: random.Random) -> SecondRecord:
    """A second that does not compress: some 400 bytes on disk."""
    sides = [tuple((float(price), dice.randrange(10**10) / 10**5) for price in range(1000, 1020)) for _ in range(2)]
    whole = record(second)
    touched = msgspec.structs.replace(whole.row, mlofi=tuple(dice.randrange(10**10) / 10**5 for _ in range(10)))
    return SecondRecord(BTC, touched, BookTop(second * 1000, dice.randrange(2**40), sides[0], sides[1]))


async def test_the_cap_holds_and_the_newest_stay(tmp_path: Path) -> None:
    dice = random.Random(1)
    history = await History.open(tmp_path, cap_mb=CAP_MB, retention_days=7)
    most = 0
    for start in range(START, START + 9_000, 100):
        await history.append([_busy(second, dice) for second in range(start, start + 100)])
        most = max(most, history.stats().disk_bytes)
    snapshots = await history.snapshots("BTCUSDT", 0, FOREVER)
    stats = history.stats()
    await history.close()
    assert most < CAP_MB * 1_000_000
    assert 2000 < len(snapshots) < 9_000
    assert [second for second, _ in snapshots] == list(range(START + 9_000 - len(snapshots), START + 9_000))
    assert stats.disk_bytes <= stats.cap_bytes


async def _has_first(history: History) -> bool:
    span = await history.trade_span("BTCUSDT")
    return await history.oldest_second("BTCUSDT") == START or (span is not None and span[0] == trade(0).time_ms)


async def test_age_holds_and_ids_say_what_is_left(tmp_path: Path) -> None:
    """RocksDB forgets the age limit at every open: it must be set again each time."""
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    await history.append([record(START)], [batch(*range(1200))])
    await history.close()
    old = await History.open(tmp_path, cap_mb=64, retention_days=1.5 / 86_400)
    database = old._database
    assert database is not None
    deadline = time.monotonic() + 20
    number = 0
    while await _has_first(old) and time.monotonic() < deadline:
        number += 1
        time.sleep(0.5)  # noqa: ASYNC251 - age is what is tested
        await old.append([record(START + number)], [batch(5000 + 600 * number)])
        await old.seal("BTCUSDT", FOREVER * 1000)
        database.flush()
    assert not await _has_first(old)
    await old.verify_ids("BTCUSDT")
    ids = await old.ids("BTCUSDT")
    held = [t.agg_id for t in await old.trades("BTCUSDT", 0, FOREVER * 1000)]
    await old.close()
    assert ids[0][0] > 0
    assert [n for first, last in ids for n in range(first, last + 1)] == held


async def test_ids_of_dropped_trades_are_given_up(tmp_path: Path) -> None:
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    await history.append([], [batch(*range(2000))])
    await history.seal("BTCUSDT", FOREVER * 1000)
    database = history._database
    assert database is not None
    # What FIFO does to a file, done to a key range: the second minute is gone.
    low, high = b"BTCUSDT:%010d" % (START + 60), b"BTCUSDT:%010d" % (START + 120)
    database._family(TRADE_MIN).delete_range(low, high)
    for family in (TRADE_SEC,):
        database._family(family).delete_range(b"BTCUSDT:", b"BTCUSDT;")
    assert await history.verify_ids("BTCUSDT") == [(600, 1199)]
    assert await history.ids("BTCUSDT") == [(0, 599), (1200, 1999)]
    again = await history.add_trades(batch(*range(600, 1200)))
    assert again.trades == {"BTCUSDT": 600}
    # And when the oldest minute is gone, sealing notices by itself.
    database._family(TRADE_MIN).delete_range(b"BTCUSDT:", b"BTCUSDT:%010d" % (START + 60))
    await history.seal("BTCUSDT", FOREVER * 1000)
    assert await history.ids("BTCUSDT") == [(600, 1999)]
    await history.close()


@pytest.mark.parametrize("cap_mb", [8, 64, 1024, 100_000])
def test_everything_that_takes_space_fits_the_cap(cap_mb: int) -> None:
    layout = Layout(cap_mb=cap_mb, retention_days=7)
    tables = sum(layout.family_bytes(family) for family in SHARES)
    logs = 5_000_000 if cap_mb > 100 else 0
    assert tables + layout.write_ahead_bytes + logs < layout.cap_bytes
    assert layout.family_bytes("trade_sec") > layout.buffer_bytes
