"""Clocks that differ: seconds are kept by the exchange's clock, waits by a monotonic one, and nothing by ours."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.e2e.faults.rig import SYMBOLS, exchange, live, watching
from tests.e2e.rig import until
from tests.outcomes import Outcome
from vibe_orderbook_mcp.sim.faults import ClockSkew

MINUTE_MS = 60_000


@pytest.mark.parametrize(
    "minutes",
    [
        pytest.param(
            minutes,
            marks=pytest.mark.fault(
                part="exchange", fault=f"this machine's clock {what} by 7 minutes", promise="its clock is not used"
            ),
        )
        for minutes, what in ((7, "behind the exchange's"), (-7, "ahead of the exchange's"))
    ],
)
def test_a_wrong_clock_of_ours_changes_nothing(minutes: int, outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        start_ms = int(time.time() * 1000) + minutes * MINUTE_MS
        async with exchange(start_ms=start_ms) as sim, watching(sim, tmp_path) as watch:
            began = time.monotonic()
            await watch.all_live()
            over = time.monotonic()
            await until(lambda: min(watch.runtime.recorder.snapshots_stored[s] for s in watch.market.symbols) >= 3)
            await watch.store_is_true()
            history = watch.runtime.archive.writable()
            for symbol in watch.market.symbols:
                newest = await history.newest_second(symbol)
                assert newest is not None
                assert abs(newest - sim.venue.now_ms() / 1000) < 60  # minutes are what is tested
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("minutes", "secs"),
    [
        pytest.param(
            minutes,
            secs,
            marks=pytest.mark.fault(
                part="exchange",
                fault=f"the exchange's clock jumps {what}",
                promise="books go on; seconds follow its clock",
            ),
        )
        for minutes, secs, what in ((3, None, "3 minutes ahead"), (-3, 3.0, "3 minutes back, and forth again"))
    ],
)
def test_a_clock_that_jumps_does_not_touch_the_books(
    minutes: int, secs: float | None, outcome: Outcome, tmp_path: Path
) -> None:
    """History is by the exchange's seconds, each written once: while its clock is back, nothing new is recorded."""

    async def run() -> None:
        async with live(tmp_path) as watch:
            stored = watch.runtime.recorder.snapshots_stored
            await until(lambda: min(stored[symbol] for symbol in SYMBOLS) >= 1)
            began = time.monotonic()
            watch.sim.faults.add(ClockSkew(millis=minutes * MINUTE_MS, seconds=secs))
            await until(lambda: secs is None or watch.sim.faults.listing() == [])
            over = time.monotonic()
            await watch.settled()
            before = dict(stored)
            await until(lambda: all(stored[symbol] >= before[symbol] + 3 for symbol in SYMBOLS))
            assert watch.not_live_at < began
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())
