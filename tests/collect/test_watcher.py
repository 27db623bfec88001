"""What is usual for a symbol, between history and the detectors."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import msgspec

from tests.analytics.books import BTC
from tests.analytics.test_detectors import calm, stuffing
from tests.analytics.watching import quiet_rows
from vibe_orderbook_mcp.analytics.anomalies.answer import anomalies_answer
from vibe_orderbook_mcp.analytics.findings import Finding, from_stored
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.watcher import Watcher
from vibe_orderbook_mcp.market.detection import RETRY_SECS
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.market.ticks import FinalSecond
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.rows import SecondRecord, SecondRow
from vibe_orderbook_mcp.store.history import History

BEFORE, ALONE = 4000, 200  # what is alone for over a minute has counted seconds of its own


class Closed(SimpleNamespace):
    """A history that is there, and cannot be read yet."""

    async def baselines(self, *_: object) -> list[tuple[int, bytes]]:
        raise StorageError("History is closed.")


async def settled(watcher: Watcher) -> None:
    if BTC.symbol in watcher._restoring:
        await watcher._restoring[BTC.symbol][1]


def final(row: SecondRow) -> FinalSecond:
    return FinalSecond(SecondRecord(BTC, row, None), None)


def test_history_that_comes_late_is_taken_in_and_not_written_over(tmp_path: Path) -> None:
    """Detectors that began without it would warm up for an hour, and store what they learned over what was known."""
    rows = quiet_rows(BEFORE + ALONE + 3 * RETRY_SECS)

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            archive = SimpleNamespace(mode="recording", history=history)
            former, state = Watcher(cast("Archive", archive)), InstrumentOwner(BTC)
            for row in rows[:BEFORE]:
                former.observe(state, final(row))
                await settled(former)
            await history.append([SecondRecord(BTC, row, None) for row in rows[:BEFORE]])
            await former.save_hours(history, [state])
            stored = dict(await history.baselines(BTC.symbol, 0))
            known = state.watch.baseline.seconds

            archive.mode, archive.history = "unavailable", None
            watcher, state = Watcher(cast("Archive", archive)), InstrumentOwner(BTC)
            for row in rows[BEFORE : BEFORE + ALONE]:
                watcher.observe(state, final(row))
                await settled(watcher)
            assert len(state.watch.rows) == ALONE  # it does not wait
            assert state.watch.baseline.secs_until_ready > 0
            await watcher.save_hours(history, [state])
            assert dict(await history.baselines(BTC.symbol, 0)) == stored

            archive.mode, archive.history = "recording", Closed()
            late = iter(rows[BEFORE + ALONE :])
            watcher.observe(state, final(next(late)))
            await settled(watcher)
            assert state.watch.baseline.secs_until_ready > 0
            archive.history = history
            for _ in range(RETRY_SECS + 2):
                watcher.observe(state, final(next(late)))
                await settled(watcher)
            assert state.watch.baseline.secs_until_ready == 0
            assert state.watch.baseline.seconds > known
            await watcher.save_hours(history, [state])
            assert dict(await history.baselines(BTC.symbol, 0)) != stored
        finally:
            await history.close()

    asyncio.run(run())


def test_seconds_that_another_process_counted_too_count_once(tmp_path: Path) -> None:
    """It recorded on while this one had begun without history: its newest hour holds seconds of both."""
    shared = 600
    rows = quiet_rows(BEFORE + 2 * RETRY_SECS)

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            archive = SimpleNamespace(mode="recording", history=history)
            other, state = Watcher(cast("Archive", archive)), InstrumentOwner(BTC)
            for row in rows[:BEFORE]:
                other.observe(state, final(row))
                await settled(other)
            await history.append([SecondRecord(BTC, row, None) for row in rows[:BEFORE]])
            await other.save_hours(history, [state])

            archive.mode, archive.history = "unavailable", None
            watcher, whole = Watcher(cast("Archive", archive)), InstrumentOwner(BTC)
            state = InstrumentOwner(BTC)
            for number, row in enumerate(rows):
                whole.watch.second(row)
                if number >= BEFORE:
                    archive.mode, archive.history = "recording", history
                if number >= BEFORE - shared:
                    watcher.observe(state, final(row))
                    await settled(watcher)
            assert state.watch.baseline.secs_until_ready == 0
            assert state.watch.baseline.seconds == whole.watch.baseline.seconds
        finally:
            await history.close()

    asyncio.run(run())


def test_a_finding_of_a_former_process_still_touches_the_window_after_a_restart(tmp_path: Path) -> None:
    """A minute with a burst is no quiet minute, regardless of the process that saw it. What was open ended with the
    last row."""
    rows = [*quiet_rows(BEFORE), *stuffing(5, start=BEFORE), *calm(BEFORE + 5, 20)]
    again = stuffing(4, start=BEFORE + 25)

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            archive = SimpleNamespace(mode="recording", history=history)
            former, state = Watcher(cast("Archive", archive)), InstrumentOwner(BTC)
            for row in (*rows, *again):
                former.observe(state, final(row))
                await settled(former)
            await history.append([SecondRecord(BTC, row, None) for row in (*rows, *again)])
            await former.save_hours(history, [state])
            await former.save(history)

            watcher, state = Watcher(cast("Archive", archive)), InstrumentOwner(BTC)
            after = calm(BEFORE + 29, 30)
            for row in after:
                watcher.observe(state, final(row))
                await settled(watcher)
            end = after[-1].second + 1
            answer = anomalies_answer(
                state.watched(Span(end - 120, end), end), as_of_ms=end * 1000, age_ms=0, status="live"
            )
            assert [each.type for each in answer.findings] == ["update_burst", "update_burst"]
            assert all(each.end is not None for each in answer.findings)
            assert "Update burst" in answer.summary
        finally:
            await history.close()

    asyncio.run(run())


BURST = Finding(type="update_burst", start_ms=1_700_000_000_000, end_ms=None, severity="High", rarity=0.99)


def test_an_instrument_that_is_given_up_and_comes_back_begins_with_all_that_was_learned_of_it(tmp_path: Path) -> None:
    """What its former owner found and counted is stored a moment later; until then there is no whole past to read."""
    rows = quiet_rows(ALONE + 60)

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            archive = SimpleNamespace(mode="recording", history=history)
            watcher, former = Watcher(cast("Archive", archive)), InstrumentOwner(BTC)
            for row in rows[:ALONE]:
                watcher.observe(former, final(row))
                await settled(watcher)
            former.unsaved.add(msgspec.structs.replace(BURST, start_ms=rows[ALONE - 20].second * 1000))
            watcher.forget(former)

            after, owner = iter(rows[ALONE:]), InstrumentOwner(BTC)
            watcher.observe(owner, final(next(after)))
            await settled(watcher)
            begun = [owner.detection.is_begun]
            await watcher.save(history)
            watcher.observe(owner, final(next(after)))
            await settled(watcher)
            assert [*begun, owner.detection.is_begun] == [False, True]
            assert owner.watch.baseline.seconds >= former.watch.baseline.seconds > 0
            assert [each.type for each in owner.watch.recent] == ["update_burst"]
        finally:
            await history.close()

    asyncio.run(run())


def test_findings_whose_saving_is_broken_off_are_saved_later(tmp_path: Path) -> None:
    """The process stops while the disk hangs: what a detector found must not go with the write that was cancelled."""

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            archive = SimpleNamespace(mode="recording", history=history)
            watcher, owner = Watcher(cast("Archive", archive)), InstrumentOwner(BTC)
            watcher.observe(owner, final(quiet_rows(1)[0]))
            await settled(watcher)
            owner.unsaved.add(BURST)
            began = asyncio.Event()

            class Hanging(SimpleNamespace):
                async def put_events(self, *_: object) -> None:
                    began.set()
                    await asyncio.Event().wait()

            saving = asyncio.create_task(watcher.save(cast("History", Hanging())))
            await began.wait()
            saving.cancel()
            await asyncio.gather(saving, return_exceptions=True)
            await watcher.save(history)
            (stored,) = await history.events(BTC.symbol, 0, 4_102_444_800_000)
            assert from_stored(stored) == BURST
        finally:
            await history.close()

    asyncio.run(run())
