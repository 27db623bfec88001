"""Failures of a database, found from the text of RocksDB's errors.

rocksdict raises plain `Exception`s: `storage_error` is the only code that reads their text.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Final

from loguru import logger
from rocksdict import DbClosedError

from vibe_orderbook_mcp.model.errors import Damaged, DiskFull, StorageError, StorageLocked
from vibe_orderbook_mcp.process.pace import Repeats
from vibe_orderbook_mcp.store.disk.layout import SCHEMA_VERSION


class SchemaNewer(StorageError):
    """Written by a newer version of this program."""

    def __init__(self, found: int) -> None:
        super().__init__(
            f"The data directory has schema version {found}; this program knows up to {SCHEMA_VERSION}. "
            "Use the newer program, or another data directory."
        )
        self.found = found


class ForeignDatabase(StorageError):
    """RocksDB files of another program."""

    def __init__(self) -> None:
        super().__init__("The data directory holds another program's database. Choose another data directory.")


class ForeignFiles(StorageError):
    """A directory that is neither empty nor ours."""

    def __init__(self) -> None:
        super().__init__(
            "The data directory holds files that are not this program's. Choose an empty directory, or one of its own."
        )


# The first match decides the error.
_FAILURES: Final[tuple[tuple[re.Pattern[str], type[StorageError], str], ...]] = (
    (
        re.compile("While lock file|lock hold by current process"),
        StorageLocked,
        "Another process records into this data directory.",
    ),
    (re.compile("No space left"), DiskFull, "The disk is full: {doing} failed."),
    (re.compile("Disk quota exceeded"), DiskFull, "The disk quota is used up: {doing} failed."),
    (
        re.compile("/CURRENT: (does not exist|No such file)"),
        Damaged,
        "The data directory has lost its CURRENT file. Its data is still there: repair a copy of it.",
    ),
    (re.compile("^Corruption:|MANIFEST.*No such file"), Damaged, "Damaged data: {doing} failed."),
    (
        re.compile("Permission denied|Read-only file system"),
        StorageError,
        "The data directory does not permit it: {doing} failed.",
    ),
    (
        re.compile("^Not implemented:"),
        StorageError,
        "History was opened for reading only: {doing} is not possible.",
    ),
)


# A full disk fails each attempt, and each column family that is closed.
_said: Final = Repeats()
_saying: Final = threading.Lock()
_NUMBER: Final = re.compile(r"\d{3,}")  # of a file, or where in it


def storage_error(error: BaseException, doing: str) -> StorageError:
    """The failure, without the paths in RocksDB's text. That text goes to our log."""
    if isinstance(error, StorageError):
        return error
    text = str(error)
    if isinstance(error, DbClosedError) or "Already mutably borrowed" in text or "Already borrowed" in text:
        return StorageError(f"History is closed: {doing} is not possible.")
    found = StorageError(f"{doing.capitalize()} failed; the log has the details.")
    for pattern, kind, sentence in _FAILURES:
        if pattern.search(text):
            found = kind(sentence.format(doing=doing))
            break
    # A second process on one directory is normal.
    level = "DEBUG" if isinstance(found, StorageLocked) else "WARNING"
    with _saying:
        more = _said.more((doing, type(error), _NUMBER.sub("N", text)), time.monotonic())
    if more is not None:
        logger.log(level, "{} failed: {}: {}{}", doing.capitalize(), type(error).__name__, text, more)
    return found
