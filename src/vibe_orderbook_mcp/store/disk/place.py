"""Checks of the history directory: still the opened one, writable, with free space.

RocksDB reports none of this in time. After a full disk it stays stuck until it is closed, even when space is free
again. It writes to a removed directory without an error, and all of that is lost. It notices a lost permission only at
the next new file, minutes later. So the directory is checked before every write, in a few microseconds.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from vibe_orderbook_mcp.model.errors import PlaceGone, StorageError, WritingPaused

_RESUME: Final = 1.25  # this much of the reserve must be free again, or writing would fail every other second
_MB: Final = 1e6
OPENING_BYTES: Final = 400 * 2**20  # three threads with their stacks and heaps; nearly all of it stays untouched


class Place:
    """Made after the database has been opened."""

    def __init__(self, path: Path, reserve_bytes: int) -> None:
        self._path = path
        self._reserve_bytes = reserve_bytes
        self._lock = _identity(path)
        self._was_low = False

    def check(self) -> None:
        """Raises WritingPaused or PlaceGone if writing is not possible now."""
        if self._lock is not None and _identity(self._path) != self._lock:
            raise PlaceGone("The data directory was removed while it was in use.")
        if not os.access(self._path, os.W_OK | os.X_OK):
            raise WritingPaused("The data directory is not writable any more.")
        free = free_bytes(self._path)
        needed = self._reserve_bytes * (_RESUME if self._was_low else 1.0)
        self._was_low = free < needed
        if self._was_low:
            resumes = self._reserve_bytes * _RESUME
            raise WritingPaused(
                f"The disk is nearly full: {math.floor(10 * free / _MB) / 10} MB are free, and writing resumes when "
                f"{math.ceil(10 * resumes / _MB) / 10} MB are."
            )


def check_memory() -> None:
    """Whether there is address space to open a database. Raises StorageError.

    RocksDB ends the process if it cannot start one of its threads, so the space is reserved first and released.
    """
    if sys.platform == "win32":  # here a reservation would use memory
        return
    try:
        mmap.mmap(-1, OPENING_BYTES).close()
    except OSError as error:
        raise StorageError(
            f"Memory does not suffice to open the data directory: {OPENING_BYTES // 2**20} MB of address space are "
            "needed for its threads. Raise the limit of the process (ulimit -v)."
        ) from error


def free_bytes(path: Path) -> int:
    """Free bytes of the file system of a directory, existing or not. Raises OSError."""
    return shutil.disk_usage(existing_parent(path)).free


def existing_parent(path: Path) -> Path:
    return next((parent for parent in (path, *path.absolute().parents) if parent.exists()), Path("/"))


def _identity(path: Path) -> tuple[int, int] | None:
    """Identity of the lock file, which lives as long as the directory. None if unknown."""
    try:
        found = (path / "LOCK").stat()
    except FileNotFoundError:
        return None
    except OSError as error:  # not even readable
        raise WritingPaused("The data directory is not readable any more.") from error
    return found.st_dev, found.st_ino


def directory_bytes(path: Path) -> int:
    total = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                try:
                    total += entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:  # deleted meanwhile
                    continue
    except OSError:
        return total
    return total
