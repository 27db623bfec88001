"""Every second of every symbol past its detectors, and what they find into the archive.

A symbol's normal survives a restart: its stored hours and the rows behind them are read once before the first new
row is looked at. Until then new rows wait, so that nothing is seen out of order. Where history cannot be read, the
detectors begin without it and take it in as soon as it can; what they learn is not stored over it meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque

from loguru import logger

from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.findings import Finding, from_stored, to_stored
from vibe_orderbook_mcp.analytics.usual.baseline import restore_from
from vibe_orderbook_mcp.analytics.usual.hours import decode
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.records.findings import StoredEvent

RESTORE_HOURS = 7 * 24
WAITING_MOST = 600  # rows; an archive that takes longer to open is not waited for
UNFINISHED_LOOKBACK_MS = 7 * 86_400_000
RETRY_SECS = 60


class _Watched:
    """One symbol between the market and the archive."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[SecondRow, LevelEvidence | None]] = deque()
        self.detectors: SymbolWatch | None = None  # the one that is or will be restored
        self.is_restored = False
        self.restoring: asyncio.Task[None] | None = None
        self.lacks_before: int | None = None  # the second from which on it was watched without what is stored of before
        self.retry_from = 0
        self.unsaved: dict[tuple[object, ...], Finding] = {}
        self.unsaved_hours: dict[int, bytes] = {}
        self.is_leaving = False  # kept no more: forgotten once it is saved


class Watcher:
    """`observe` every row as it becomes final; `save` once a tick on the writer's side."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._watched: dict[str, _Watched] = {}
        self.findings = 0

    def observe(self, owner: InstrumentOwner, row: SecondRow, evidence: LevelEvidence | None) -> None:
        watched = self._watched.setdefault(owner.spec.symbol, _Watched())
        if watched.detectors is not owner.watch:
            self._begin_anew(watched, owner.watch)
        if watched.is_restored:
            self._see(owner, watched, row, evidence)
            if watched.lacks_before is not None and row.second >= watched.retry_from:
                self._try_again(owner, watched, row.second)
            return
        watched.waiting.append((row, evidence))
        if len(watched.waiting) > WAITING_MOST:
            watched.lacks_before = watched.waiting[0][0].second
            self._begin(owner, watched)
        elif watched.restoring is None and self._archive.mode != "opening":
            watched.restoring = asyncio.create_task(self._restore(owner, watched, row.second))

    def forget(self, owner: InstrumentOwner) -> None:
        """The symbol is kept no more. What was found and learned is saved with the next tick, then nothing is left."""
        if (watched := self._watched.get(owner.spec.symbol)) is None:
            return
        if watched.restoring is not None:
            watched.restoring.cancel()
        if watched.is_restored and watched.lacks_before is None:
            watched.unsaved_hours.update(owner.watch.hour_blocks())
        watched.waiting.clear()
        watched.is_leaving = True
        if self._archive.mode == "read_only":
            del self._watched[owner.spec.symbol]  # another process saves

    async def save(self, history: History) -> None:
        """Raises StorageError; what could not be stored is tried again."""
        for symbol, watched in list(self._watched.items()):
            if watched.unsaved:
                unsaved, watched.unsaved = watched.unsaved, {}
                try:
                    await history.put_events(symbol, [_stored(finding) for finding in unsaved.values()])
                except StorageError:
                    watched.unsaved = {**unsaved, **watched.unsaved}
                    raise
            if watched.is_leaving:
                await self._save_hours(history, symbol, watched)
                if watched.is_leaving:  # it has not come back meanwhile
                    self._watched.pop(symbol, None)

    async def save_hours(self, history: History, owners: list[InstrumentOwner]) -> None:
        """Raises StorageError; what could not be stored is tried again."""
        for owner in owners:
            watched = self._watched.setdefault(owner.spec.symbol, _Watched())
            if watched.lacks_before is not None:
                continue  # the hour that is stored may know more
            watched.unsaved_hours.update(owner.watch.hour_blocks())
            await self._save_hours(history, owner.spec.symbol, watched)

    async def _save_hours(self, history: History, symbol: str, watched: _Watched) -> None:
        for hour in sorted(watched.unsaved_hours):
            await history.put_baseline(symbol, hour * 3600, watched.unsaved_hours[hour])
            del watched.unsaved_hours[hour]

    async def aclose(self) -> None:
        tasks = [watched.restoring for watched in self._watched.values() if watched.restoring is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _see(self, owner: InstrumentOwner, watched: _Watched, row: SecondRow, evidence: LevelEvidence | None) -> None:
        for finding in owner.watch.second(row, evidence):
            self._note(owner, watched, finding)

    def _note(self, owner: InstrumentOwner, watched: _Watched, finding: Finding) -> None:
        is_new = finding.is_open and finding.key not in watched.unsaved
        watched.unsaved[finding.key] = finding
        if is_new:
            self.findings += 1
            logger.bind(symbol=owner.spec.symbol).info(
                "Found {} ({}) on {}", finding.type, finding.severity, owner.spec.symbol
            )

    def _begin_anew(self, watched: _Watched, watch: SymbolWatch) -> None:
        """The symbol's first row, or its first on another grid."""
        if watched.restoring is not None:
            watched.restoring.cancel()
        watched.detectors, watched.is_restored, watched.restoring, watched.lacks_before = watch, False, None, None
        watched.is_leaving = False

    def _try_again(self, owner: InstrumentOwner, watched: _Watched, second: int) -> None:
        if self._archive.history is not None and (watched.restoring is None or watched.restoring.done()):
            watched.retry_from = second + RETRY_SECS
            watched.restoring = asyncio.create_task(self._restore(owner, watched, watched.lacks_before or second))

    async def _restore(self, owner: InstrumentOwner, watched: _Watched, second: int) -> None:
        """What is stored of the time before `second`. Begins without it where that cannot be read."""
        history = self._archive.history
        lacks_before: int | None = second
        if history is not None:
            try:
                await self._read_past(history, owner, watched, second)
                lacks_before = None
            except StorageCorrupt as error:
                logger.warning("The past of {} is damaged and left alone: {}", owner.spec.symbol, error)
                lacks_before = None
            except StorageError as error:
                logger.warning("The past of {} cannot be read now: {}", owner.spec.symbol, error)
        watched.lacks_before = lacks_before
        if not watched.is_restored:
            self._begin(owner, watched)

    async def _read_past(self, history: History, owner: InstrumentOwner, watched: _Watched, second: int) -> None:
        symbol = owner.spec.symbol
        hours = [data for _, data in await history.baselines(symbol, second - RESTORE_HOURS * 3600)]
        if watched.is_restored:  # what another process counted of the time since then was counted here too: from rows
            hours = [data for data in hours if decode(data).until < second]
        start = restore_from([decode(data) for data in hours], second)
        rows = await history.rows(symbol, start, second)
        if watched.is_restored:
            owner.watch.take_in(hours, rows)
            logger.info("What is usual for {} is known again from history", symbol)
        else:
            for finding in owner.watch.restore(hours, rows):
                self._note(owner, watched, finding)
        # What was still open when a former process ended lasted until its last row, as far as anybody knows.
        still_open = {finding.key for finding in owner.watch.open}
        ended = []
        for event in await history.events(symbol, second * 1000 - UNFINISHED_LOOKBACK_MS, second * 1000):
            finding = finding_of(event)
            if finding.is_open and finding.key not in still_open:
                end_ms = 1000 * (rows[-1].second + 1) if rows else finding.start_ms
                finding = watched.unsaved[finding.key] = finding.ended(max(end_ms, finding.start_ms))
            ended.append(finding)
        owner.watch.recall(ended, second)

    def _begin(self, owner: InstrumentOwner, watched: _Watched) -> None:
        watched.is_restored = True
        while watched.waiting:
            self._see(owner, watched, *watched.waiting.popleft())


def finding_of(event: StoredEvent) -> Finding:
    """Raises StorageCorrupt."""
    return from_stored(
        {
            "type": event.type,
            "start_ms": event.start_ms,
            "end_ms": event.end_ms,
            "severity": event.severity,
            "rarity": event.rarity,
            "evidence": event.evidence,
        }
    )


def _stored(finding: Finding) -> StoredEvent:
    return StoredEvent(**to_stored(finding))
