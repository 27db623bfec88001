"""RocksDB's lock on a data directory, without opening the database.

A failed opening has a side effect: RocksDB renames the log file of the process that has the directory open.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from vibe_orderbook_mcp.model.errors import StorageError, StorageLocked


def is_held(path: Path) -> bool:
    """Takes RocksDB's own lock and releases it. False if that is not possible: then only opening shows it."""
    if sys.platform == "win32":
        return False
    import fcntl  # noqa: PLC0415  # not on Windows

    try:
        with (path / "LOCK").open("r+b") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.lockf(lock, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def is_recorded_into(path: Path) -> bool | None:
    """Whether a process has the directory open for writing; needs only read permission. None: unknown."""
    if sys.platform == "win32":
        return None
    import fcntl  # noqa: PLC0415  # not on Windows

    try:
        with (path / "LOCK").open("rb") as lock:
            fcntl.lockf(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.lockf(lock, fcntl.LOCK_UN)
    except (BlockingIOError, FileNotFoundError) as error:
        return isinstance(error, BlockingIOError)
    except OSError:
        return None
    return False


@contextlib.contextmanager
def holding(path: Path) -> Iterator[None]:
    """Keeps other processes out of a directory that this one has not opened. Raises StorageLocked, StorageError."""
    if sys.platform == "win32":  # nothing can be moved while a process has it open
        yield
        return
    import fcntl  # noqa: PLC0415  # not on Windows

    try:
        lock = (path / "LOCK").open("a+b")
    except OSError as error:
        raise StorageError("The data directory does not permit it: locking it failed.") from error
    with lock:  # closing it releases the lock
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StorageLocked("Another process records into this data directory.") from error
        yield
