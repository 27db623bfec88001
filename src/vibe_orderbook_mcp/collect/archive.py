"""The state of history on disk: the right to write, errors, and automatic recovery.

| mode | writing | reading | recovery |
|---|---|---|---|
| `opening` | waits | no | |
| `recording` | yes | yes | after a failed write: close and open again, since RocksDB stays stuck after some |
| `paused` | waits | yes | the disk has space, or the directory its permission, again |
| `read_only` | no | yes | the other process, which records, has ended |
| `unavailable` | waits | no | open again, at growing intervals |

Damaged data is set aside and replaced by a repaired copy (see `store.rescue`).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from loguru import logger

from vibe_orderbook_mcp.collect.lost_seconds import SymbolSeconds
from vibe_orderbook_mcp.model.condition import Mode
from vibe_orderbook_mcp.model.errors import Damaged, DiskFull, PlaceGone, StorageError, StorageLocked, WritingPaused
from vibe_orderbook_mcp.process.pace import delays
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.rescue import set_aside
from vibe_orderbook_mcp.store.sink import Sink

LOOK_SECS = 1.0
RETRY_MOST_SECS = 10.0
MANY_SET_ASIDE = 3
GOES_ON = " Writing resumes by itself once that has changed."
RESCUE_AGAIN_SECS = 600.0  # a disk that damages everything is not filled with damaged directories


class Archive:
    """Owns the open `History`, if any. A failure here never reaches the live book."""

    def __init__(self, path: Path, *, cap_mb: int, retention_days: int) -> None:
        self._path = path
        self._cap_mb = cap_mb
        self._retention_days = retention_days
        self.reserve_bytes = History.reserve_bytes(cap_mb=cap_mb, retention_days=retention_days)
        self.history: History | None = None
        self.mode: Mode = "opening"
        self.error: str | None = None  # why history is not written, or not readable
        self.notice: str | None = None  # a warning for the operator while recording goes on
        self.errors = 0
        self.lost = SymbolSeconds()  # seconds lost since the start because too many waited
        self.written_ns: int | None = None  # monotonic, of the last successful write
        self.free_bytes: int | None = None  # of the file system
        self.set_aside: list[str] = []  # directories with damaged history, inside the data directory
        self.settled = asyncio.Event()  # whether writing can be tried; another process that records prevents it
        self._failure: StorageError | None = None  # of the last write, until recovery
        self._rescued: float | None = None
        self._damage_said: str | None = None
        self._waits = delays(1.0, RETRY_MOST_SECS)

    async def run(self) -> None:
        """Open history, and recover it whenever it is lost. Until cancelled."""
        while True:
            try:
                await self._look()
                await self.recover()
            except Exception as error:  # a bug of ours must not lose history for good
                logger.opt(exception=error).error("Unexpected error while recovering history")
            is_failing = self.mode in ("opening", "unavailable") or self._failure is not None
            await asyncio.sleep(next(self._waits) if is_failing else LOOK_SECS)

    async def open(self) -> None:
        """Open for writing, or for reading if another process writes. Does not raise: see `mode` and `error`."""
        try:
            await self._open_for_writing()
        except StorageLocked:
            await self._open_beside_writer()
        except StorageError as error:
            await self._unavailable(error)

    def writable(self) -> History:
        """Raises StorageError while nothing can be recorded."""
        if self.history is None or self.mode != "recording":
            raise StorageError(self.error or "History is not open.")
        return self.history

    def sink(self) -> Sink:
        """Where finished seconds and trades go. Raises StorageError while nothing can be recorded."""
        return self.writable()

    @property
    def cause(self) -> str | None:
        """`error` for a process that ends, without the promise of recovery."""
        return self.error and self.error.removesuffix(GOES_ON)

    @property
    def damage(self) -> str | None:
        """Damage met by a read."""
        return None if self.history is None else self.history.damage

    def fail(self, error: StorageError) -> None:
        """A write failed. `settled` is set after recovery."""
        self.settled.clear()
        if isinstance(error, WritingPaused):
            self._pause(error)
            return
        self.errors += 1
        self.error, self._failure = str(error), error
        if isinstance(error, DiskFull):
            self._pause(error)
        elif isinstance(error, PlaceGone):
            self.notice = f"{error} Its history is lost; recording continued in a new directory."
            logger.error("{} Its history is lost; recording continues in a new directory", error)

    def succeeded(self) -> None:
        self.written_ns = time.monotonic_ns()
        self._waits = delays(1.0, RETRY_MOST_SECS)

    async def recover(self) -> None:
        """One attempt at the step that the present state needs. Does not raise."""
        if self.mode == "read_only":
            await self._take_over()
        elif self.mode == "paused":
            await self._resume()
        elif self.mode in ("opening", "unavailable"):
            await self.open()
        elif self._failure is not None:
            await self._reopen()

    async def close(self) -> None:
        await self._close_history()
        self.mode = "unavailable"

    async def _open_for_writing(self) -> None:
        """Raises StorageError."""
        limits = {"cap_mb": self._cap_mb, "retention_days": self._retention_days}
        try:
            history = await History.open(self._path, **limits)
        except Damaged as error:
            await self._rescue(error, opens=False)
            history = await History.open(self._path, **limits)
        await self._close_history()  # the read-only one
        self.history = history
        self.set_aside = await asyncio.to_thread(set_aside, self._path)
        self._recording()
        logger.info("History is open for recording at {}", self._path)
        if len(self.set_aside) >= MANY_SET_ASIDE:
            logger.warning(
                "The data directory has {} directories with damaged history, {} to {}: they use disk space, "
                "and this program never removes them",
                len(self.set_aside),
                self.set_aside[0],
                self.set_aside[-1],
            )
        with suppress(OSError):
            await self._note_room(history)

    async def _note_room(self, history: History) -> None:
        stats = await asyncio.to_thread(history.stats)
        if (room := stats.disk_bytes + stats.free_bytes - self.reserve_bytes) < stats.cap_bytes:
            logger.warning(
                "VIBE_STORAGE_CAP_MB is {}, but the disk has room for only {:.0f} MB: recording will pause then",
                self._cap_mb,
                max(0.0, room / 1e6),
            )

    async def _rescue(self, error: Damaged, *, opens: bool) -> None:
        """Raises StorageError, the same one when nothing more can be done."""
        if self._rescued is not None and time.monotonic() < self._rescued + RESCUE_AGAIN_SECS:
            raise error
        if str(error) != self._damage_said:  # repeated attempts while it cannot be set aside: logged once
            self._damage_said = str(error)
            logger.error("History is damaged: {} It is being set aside, and a copy is repaired", error)
        await self._close_history()
        limits = {"cap_mb": self._cap_mb, "retention_days": self._retention_days}
        done = await History.rescue(self._path, **limits, opens=opens)
        self._rescued, self._damage_said = time.monotonic(), None
        self.errors += 1
        if done.why_not is not None:
            state = (
                f"It could not be repaired ({done.why_not}), so recording starts from nothing. To rescue it, copy it "
                "to a disk with room, and start the program with VIBE_DATA_PATH set to the copy."
            )
        elif done.lost_tables or done.lost_log:
            log = " A part of its log, with the newest seconds, may be missing." if done.lost_log else ""
            state = f"{done.lost_tables} files of it could not be read; the rest is in use.{log}"
        else:
            state = "All remaining files could be read and are in use."
        self.notice = f"Damaged history was set aside as it was, in {done.aside} inside the data directory. {state}"
        logger.error("{} (data directory: {})", self.notice, self._path)

    async def _open_beside_writer(self) -> None:
        try:
            self.history = await History.open_secondary(self._path)
        except StorageError as error:
            await self._unavailable(error)
            return
        self.mode = "read_only"
        self.error = "Another process records into this data directory; this one reads its history."
        self.settled.set()
        logger.warning("{}", self.error)

    async def _take_over(self) -> None:
        """Take over recording if the other writer has ended."""
        if await asyncio.to_thread(History.is_held, self._path):
            return
        try:
            await self._open_for_writing()
        except StorageLocked:
            pass  # a third process was quicker
        except StorageError as error:
            await self._unavailable(error)
        else:
            logger.info("The other process has ended: this one records now")

    async def _reopen(self) -> None:
        """After a failed write."""
        history, failure = self.history, self._failure
        try:
            if isinstance(failure, Damaged):
                await self._rescue(failure, opens=True)
            if history is None or self.history is None:
                await self._open_for_writing()
            else:
                await history.reopen()
                self._recording()
        except StorageError as error:
            await self._unavailable(error)

    async def _resume(self) -> None:
        history = self.history
        if history is None:
            await self._unavailable(StorageError("History is not open."))
            return
        try:
            await history.check_place()
        except WritingPaused as error:
            self.error = _paused(error)
        except StorageError as error:
            self.fail(error)
            await self._reopen()
        else:
            if self._failure is not None:
                await self._reopen()
            else:
                self._recording()

    async def _look(self) -> None:
        """Check the disk and the permission to write, even without data to write."""
        with suppress(OSError):
            self.free_bytes = await History.free_bytes(self._path)
        if self.mode == "recording" and self._failure is None and self.history is not None:
            try:
                await self.history.check_place()
            except StorageError as error:
                self.fail(error)

    def _recording(self) -> None:
        if self.error is not None and self.mode != "read_only":
            lost = f"lost since the start: {self.lost}" if self.lost else "nothing is lost"
            logger.info("Writing history continues, {}", lost)
        self.mode, self.error, self._failure = "recording", None, None
        self.settled.set()

    def _pause(self, error: StorageError) -> None:
        if self.mode != "paused":
            logger.error("Writing history is paused; seconds wait in memory: {}", error)
        self.mode, self.error = "paused", _paused(error)

    async def _unavailable(self, error: StorageError) -> None:
        await self._close_history()
        if str(error) != self.error:  # repeated attempts: logged once
            logger.error("History cannot be opened: {}", error)
        self.settled.clear()
        self.errors += 1
        self.mode, self.error, self._failure = "unavailable", str(error), None

    async def _close_history(self) -> None:
        history, self.history = self.history, None
        if history is not None:
            with suppress(StorageError):
                await history.close()


def _paused(error: StorageError) -> str:
    return f"{error}{GOES_ON}"
