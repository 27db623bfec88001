"""The link between the detectors of all instruments and the archive: it reads their past and stores their findings.

`market.detection` decides when the detectors begin and with what. The code here waits for the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from loguru import logger

from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.market.ticks import FinalSecond
from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.sink import Sink

RESTORE_HOURS = 7 * 24
UNFINISHED_LOOKBACK_MS = 7 * 86_400_000


class Watcher:
    """`observe` every final second; the writer calls `save` once a tick."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._owners: dict[str, InstrumentOwner] = {}
        self._leaving: list[InstrumentOwner] = []  # dropped: forgotten once their findings are stored
        self._restoring: dict[str, tuple[InstrumentOwner, asyncio.Task[None]]] = {}
        self.findings = 0

    def observe(self, owner: InstrumentOwner, final: FinalSecond) -> None:
        """Pass the next second of an instrument to its detectors."""
        symbol, detection, row = owner.spec.symbol, owner.detection, final.record.row
        self._owners[symbol] = owner
        for finding in detection.second(row, final.evidence):
            self._say_found(owner, finding.type, finding.severity)
        if self._is_restoring(owner) or any(former.spec.symbol == symbol for former in self._leaving):
            return
        if self._archive.mode == "opening" or (detection.is_begun and self._archive.history is None):
            return
        if (until := detection.want_past(row.second)) is not None:
            self._restoring[symbol] = owner, asyncio.create_task(self._restore(owner, until))

    def forget(self, owner: InstrumentOwner) -> None:
        """The instrument was dropped. Its findings and baseline are saved with the next tick."""
        symbol = owner.spec.symbol
        if (known := self._restoring.pop(symbol, None)) is not None:
            known[1].cancel()
        if self._owners.pop(symbol, None) is not None:
            owner.detection.leave()
            if self._archive.mode != "read_only":  # then another process saves
                self._leaving.append(owner)

    async def save(self, sink: Sink) -> None:
        """Raises StorageError; unsaved data is tried again."""
        for owner in list(self._owners.values()):
            await self._save_findings(sink, owner)
        for owner in list(self._leaving):
            await self._save_findings(sink, owner)
            await self._save_hours(sink, owner)
            self._leaving.remove(owner)

    async def save_hours(self, sink: Sink, owners: Iterable[InstrumentOwner]) -> None:
        """Raises StorageError; unsaved data is tried again."""
        for owner in owners:
            owner.detection.count_hours()
            await self._save_hours(sink, owner)

    async def aclose(self) -> None:
        tasks = [task for _, task in self._restoring.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_restoring(self, owner: InstrumentOwner) -> bool:
        if (known := self._restoring.get(owner.spec.symbol)) is None:
            return False
        former, task = known
        if former is not owner:  # its successor has another grid, or it was dropped and is back
            task.cancel()
        return former is owner and not task.done()

    async def _restore(self, owner: InstrumentOwner, until: int) -> None:
        """The stored past before `until`. The detectors begin without it if it cannot be read."""
        history, symbol = self._archive.history, owner.spec.symbol
        lacks_before: int | None = until
        try:
            if history is not None:
                await self._read_past(history, owner, until)
                return
        except StorageCorrupt as error:
            logger.warning("The stored past of {} is damaged and is not used: {}", symbol, error)
            lacks_before = None
        except StorageError as error:
            logger.warning("The stored past of {} cannot be read now: {}", symbol, error)
        for finding in owner.detection.begin_without(lacks_before):
            self._say_found(owner, finding.type, finding.severity)

    async def _read_past(self, history: History, owner: InstrumentOwner, until: int) -> None:
        symbol, detection = owner.spec.symbol, owner.detection
        hours = [data for _, data in await history.baselines(symbol, until - RESTORE_HOURS * 3600)]
        past = detection.stored_past(hours, until)
        rows = await history.rows(symbol, past.rows_from, until)
        events = await history.events(symbol, until * 1000 - UNFINISHED_LOOKBACK_MS, until * 1000)
        was_begun = detection.is_begun
        for finding in detection.restore(past, rows, events):
            self._say_found(owner, finding.type, finding.severity)
        if was_begun:
            logger.info("The baseline of {} was restored from history", symbol)

    async def _save_findings(self, sink: Sink, owner: InstrumentOwner) -> None:
        unsaved = owner.unsaved
        if events := unsaved.begin_saving():
            try:
                await sink.put_events(owner.spec.symbol, events)
            except BaseException:  # also after a cancel: storing one twice overwrites it
                unsaved.not_saved()
                raise

    async def _save_hours(self, sink: Sink, owner: InstrumentOwner) -> None:
        for hour, data in owner.unsaved.hours:
            await sink.put_baseline(owner.spec.symbol, hour * 3600, data)
            owner.unsaved.saved_hour(hour)

    def _say_found(self, owner: InstrumentOwner, kind: str, severity: str) -> None:
        self.findings += 1
        symbol = owner.spec.symbol
        logger.bind(symbol=symbol).info("Found {} ({}) on {}", kind, severity, symbol)
