"""What the ids prove about a window."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.store.values import BTC, START, batch, trade
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import TradeBatch
from vibe_orderbook_mcp.store.disk.layout import TRADE_MIN, TRADE_SEC
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.summing import IdCoverage

pytestmark = pytest.mark.anyio

START_MS = START * 1000
HOUR_MS = 3_600_000
FOREVER_MS = 10**13


def plainly(held: list[Trade], start_ms: int, end_ms: int) -> IdCoverage:
    """The same, computed from all stored trades."""
    inside = [t.agg_id for t in held if start_ms <= t.time_ms < end_ms]
    before = max((t.agg_id for t in held if t.time_ms < start_ms), default=None)
    after = min((t.agg_id for t in held if t.time_ms >= end_ms), default=None)
    low = before + 1 if before is not None else min(inside, default=after or 0)
    high = after - 1 if after is not None else max(inside, default=before or -1)
    newest = sorted(held, key=lambda t: t.agg_id)
    since = None
    for each in reversed(newest):
        if since is not None and each.agg_id != since.agg_id - 1:
            break
        since = each
    return IdCoverage(
        held=len(inside),
        missing=max(0, high - low + 1 - len(inside)),
        start_known=before is not None or (bool(inside) and min(inside) == 0),
        end_known=after is not None,
        complete_since_ms=None if since is None else since.time_ms,
    )


async def test_held_and_missing_are_counted_by_id(tmp_path: Path) -> None:
    """Live, filled and sealed, with holes that close: always what a walk over all trades would say."""
    dice = random.Random(21)
    trades = [
        trade(n, START_MS + offset) for n, offset in enumerate(sorted(dice.randrange(3 * HOUR_MS) for _ in range(2500)))
    ]
    kept = trades[100:400] + trades[460:1400] + trades[1401:2000] + trades[2100:]
    gone = [t for t in trades if t not in kept]
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    held: list[Trade] = []
    for at in range(0, len(kept), 200):
        part = kept[at : at + 200]
        await history.append([], [TradeBatch(BTC, tuple(part))])
        held += part
        if at % 600 == 0:
            await history.seal("BTCUSDT", part[-1].time_ms - 30_000)
        for _ in range(6):
            start = START_MS + dice.randrange(-HOUR_MS // 4, 3 * HOUR_MS)
            end = start + dice.choice((1, 3000, 200_000, HOUR_MS, 2 * HOUR_MS))
            assert await history.id_coverage("BTCUSDT", start, end) == plainly(held, start, end)
    while gone:
        part = [gone.pop() for _ in range(min(40, len(gone)))]
        await history.add_trades(TradeBatch(BTC, tuple(part)))
        held += part
        for start, end in ((0, FOREVER_MS), (trades[1400].time_ms, trades[2050].time_ms)):
            assert await history.id_coverage("BTCUSDT", start, end) == plainly(held, start, end)
    whole = await history.id_coverage("BTCUSDT", 0, FOREVER_MS)
    assert (whole.held, whole.missing, whole.complete_since_ms) == (2500, 0, trades[0].time_ms)
    assert whole.start_known
    await history.close()


async def test_a_window_without_trades_is_complete_when_its_neighbours_follow_each_other(tmp_path: Path) -> None:
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    nothing = await history.id_coverage("BTCUSDT", 0, FOREVER_MS)
    assert nothing == IdCoverage(held=0, missing=0, start_known=False, end_known=False, complete_since_ms=None)
    early, late = trade(5, START_MS), trade(6, START_MS + 2 * HOUR_MS)
    await history.append([], [TradeBatch(BTC, (early, late))])
    quiet = (START_MS + 1, START_MS + HOUR_MS)
    proven = IdCoverage(held=0, missing=0, start_known=True, end_known=True, complete_since_ms=START_MS)
    assert await history.id_coverage("BTCUSDT", *quiet) == proven
    await history.append([], [TradeBatch(BTC, (trade(9, START_MS + 3 * HOUR_MS),))])
    assert (await history.id_coverage("BTCUSDT", START_MS + 2 * HOUR_MS + 1, START_MS + 3 * HOUR_MS)).missing == 2
    await history.close()


async def _without_old_trades(path: Path, numbers: Iterable[int]) -> History:
    """Ten hours, a trade every five seconds; of the first five only the sums are left."""
    history = await History.open(path, cap_mb=64, retention_days=7)
    every = [trade(n, START_MS + n * 5000) for n in numbers]
    await history.append([], [TradeBatch(BTC, tuple(every))])
    await history.seal("BTCUSDT", FOREVER_MS)
    database = history._database
    assert database is not None
    cut = START + 5 * 3600
    database._family(TRADE_MIN).delete_range(b"BTCUSDT:", b"BTCUSDT:%010d" % cut)
    database._family(TRADE_SEC).delete_range(b"BTCUSDT:", b"BTCUSDT:%013d" % (cut * 1000))
    await history.verify_ids("BTCUSDT")
    return history


async def test_a_hole_in_the_sums_ends_what_they_prove(tmp_path: Path) -> None:
    history = await _without_old_trades(tmp_path, [n for n in range(7200) if n != 1000])
    found = await history.id_coverage("BTCUSDT", START_MS, FOREVER_MS)
    assert (found.held, found.missing) == (7199, 1)
    next_hour = -(-(START + 5000) // 3600) * 3600
    assert found.complete_since_ms == next_hour * 1000
    await history.close()


async def test_sums_prove_more_than_the_trades_that_are_left(tmp_path: Path) -> None:
    """Trades go first, when space is short; what they added up to is still known to be whole."""
    history = await _without_old_trades(tmp_path, range(7200))
    assert (await history.ids("BTCUSDT"))[0][0] > 3000
    found = await history.id_coverage("BTCUSDT", START_MS, FOREVER_MS)
    assert (found.held, found.missing, found.complete_since_ms) == (7200, 0, START_MS)
    found = await history.id_coverage("BTCUSDT", START_MS + 2 * HOUR_MS + 60_000, START_MS + 3 * HOUR_MS)
    assert (found.held, found.missing, found.start_known) == (708, 0, True)
    inside_a_minute = await history.id_coverage("BTCUSDT", START_MS + 2 * HOUR_MS + 20_000, START_MS + 3 * HOUR_MS)
    assert (inside_a_minute.held, inside_a_minute.missing) == (708, 12)  # nobody can divide a sum
    await history.add_trades(batch(10**6))
    assert (await history.id_coverage("BTCUSDT", 0, 1)).complete_since_ms == trade(10**6).time_ms
    await history.close()
