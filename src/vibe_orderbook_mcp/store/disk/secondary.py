"""Reading a data directory beside a process that records into it.

RocksDB's secondary follows the files that it opened. When the recorder puts a repaired database in their place, or adds
a column family, that secondary fails at every catch-up for good, or shows the old state for good; opened again it is
right. CURRENT names the manifest, so it is another file then. Each start of a recorder makes it another file too.
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
    """Holds an open database for reading. One call at a time. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scratch = Path(tempfile.mkdtemp(prefix="vibe-orderbook-"))
        self.opened = 0
        self._former: list[Database] = []  # replaced, but still read by questions that began before
        self._is_suspect = False
        try:
            self._current, self.database = self._open()
        except BaseException:
            self._remove_scratch()
            raise

    def fresh(self) -> Database:
        """The database with all that was written until now. Opened again where that is needed, and once only."""
        self._close_former()
        if _identity(self._path) != self._current:
            self._reopen()
        elif self._is_suspect:
            self._is_suspect = False
            with suppress(StorageError):  # then what can still be read of it is read
                self._reopen()
        else:
            try:
                self.database.catch_up()
            except StorageError as error:
                logger.debug("The data directory is opened again: {}", error)
                self._reopen()
        return self.database

    def doubt(self) -> None:
        """A read failed: before that is called damage, the next one is made by a database that was opened again."""
        self._is_suspect = True

    def close(self) -> None:
        for database in (*self._former, self.database):
            database.close()
        self._remove_scratch()

    def _reopen(self) -> None:
        """The old one is let go only when the new one is there: what cannot be opened now is tried again later."""
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
        current = _identity(self._path)  # before: one that is replaced meanwhile is noticed by the next call
        return current, Database.open_secondary(self._path, self._scratch / str(self.opened))

    def _remove_scratch(self) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)


def _identity(path: Path) -> _Identity | None:
    with suppress(OSError):
        found = (path / "CURRENT").stat()
        return found.st_dev, found.st_ino, found.st_mtime_ns
    return None
