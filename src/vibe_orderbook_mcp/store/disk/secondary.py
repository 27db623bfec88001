"""Reading a data directory while another process records into it.

RocksDB's secondary follows the files that it opened. If the recorder replaces them by a repaired database, or adds a
column family, the secondary fails at every catch-up or shows the old state, until it is opened again. CURRENT, which
names the manifest, is a new file then. Each start of a recorder also makes it a new file.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from loguru import logger

from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.store.disk.rocks import Database

_Identity = tuple[int, int, int]


class Secondary:
    """Owns an open database for reading. One call at a time. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scratch = Path(tempfile.mkdtemp(prefix="vibe-orderbook-"))
        self.opened = 0
        self._former: list[Database] = []  # replaced, but still used by older questions
        self._is_suspect = False
        try:
            self._current, self.database = self._open()
        except BaseException:
            self._remove_scratch()
            raise

    def fresh(self) -> Database:
        """The database with all data written so far. Opened again if needed, at most once."""
        self._close_former()
        if _identity(self._path) != self._current:
            self._reopen()
        elif self._is_suspect:
            self._is_suspect = False
            with suppress(StorageError):  # then its readable part is read
                self._reopen()
        else:
            try:
                self.database.catch_up()
            except StorageError as error:
                logger.debug("The data directory is opened again: {}", error)
                self._reopen()
        return self.database

    def doubt(self) -> None:
        """A read failed: the next read opens the database again, before the failure counts as damage."""
        self._is_suspect = True

    def close(self) -> None:
        for database in (*self._former, self.database):
            database.close()
        self._remove_scratch()

    def _reopen(self) -> None:
        """The old database is released only after the new one is open. A failed opening is tried again later."""
        current, database = self._open()
        self._former.append(self.database)
        self._current, self.database, self._is_suspect = current, database, False
        self._close_former()

    def _close_former(self) -> None:
        for database in self._former:
            if not database.is_read:
                database.close()
        self._former = [database for database in self._former if database.is_read]

    def _open(self) -> tuple[_Identity | None, Database]:
        self.opened += 1
        current = _identity(self._path)  # first: the next call then notices a replacement meanwhile
        return current, Database.open_secondary(self._path, self._scratch / str(self.opened))

    def _remove_scratch(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)


def _identity(path: Path) -> _Identity | None:
    with suppress(OSError):
        found = (path / "CURRENT").stat()
        return found.st_dev, found.st_ino, found.st_mtime_ns
    return None
