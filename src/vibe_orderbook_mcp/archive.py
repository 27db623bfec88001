"""The state of history on disk: who may write it, what is wrong with it, and coming back after an error."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

from loguru import logger

from vibe_orderbook_mcp.errors import StorageError, StorageLocked
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.lock import is_held

Mode = Literal["opening", "recording", "read_only", "unavailable"]


class Archive:
    """Holds the open `History`, if there is one. A failure here never reaches the live book."""

    def __init__(self, path: Path, *, cap_mb: int, retention_days: int) -> None:
        self._path = path
        self._cap_mb = cap_mb
        self._retention_days = retention_days
        self.history: History | None = None
        self.mode: Mode = "opening"
        self.error: str | None = None
        self.errors = 0
        self.written_ns: int | None = None  # monotonic, of the last successful write

    async def open(self) -> None:
        """Open for writing; beside another writer for reading only. Does not raise: `mode` and `error` say."""
        try:
            self.history = await History.open(self._path, cap_mb=self._cap_mb, retention_days=self._retention_days)
        except StorageLocked:
            await self._open_beside_writer()
        except StorageError as error:
            if str(error) != self.error:  # tried again and again: said once
                logger.error("History cannot be opened: {}", error)
            self.fail(error)
            self.mode = "unavailable"
        else:
            self.mode, self.error = "recording", None
            logger.info("History is open for recording at {}", self._path)

    def writable(self) -> History:
        """Raises StorageError while nothing can be recorded."""
        if self.history is None or self.mode != "recording":
            raise StorageError(self.error or "History is not open.")
        return self.history

    def fail(self, error: StorageError) -> None:
        self.errors += 1
        self.error = str(error)

    def succeeded(self) -> None:
        self.error = None
        self.written_ns = time.monotonic_ns()

    async def reopen(self) -> None:
        """After a write error: RocksDB stays stuck on some of them until it was closed."""
        if self.mode == "recording" and self.history is not None:
            try:
                await self.history.reopen()
            except StorageError as error:
                await self._close_history()
                self.mode = "unavailable"
                self.fail(error)
        elif self.mode == "unavailable":
            await self.open()

    async def take_over(self) -> None:
        """Beside another writer: record from now on if it has gone."""
        if self.mode != "read_only" or is_held(self._path):
            return
        try:
            history = await History.open(self._path, cap_mb=self._cap_mb, retention_days=self._retention_days)
        except StorageLocked:
            return
        except StorageError as error:
            self.fail(error)
            return
        await self._close_history()
        self.history, self.mode, self.error = history, "recording", None
        logger.info("The other process has gone: this one records from now on")

    async def close(self) -> None:
        await self._close_history()
        self.mode = "unavailable"

    async def _close_history(self) -> None:
        history, self.history = self.history, None
        if history is not None:
            with suppress(StorageError):
                await history.close()

    async def _open_beside_writer(self) -> None:
        try:
            self.history = await History.open_secondary(self._path)
        except StorageError as error:
            self.fail(error)
            self.mode = "unavailable"
            return
        self.mode = "read_only"
        self.error = "Another process records into this data directory; this one reads its history."
        logger.warning("{}", self.error)
