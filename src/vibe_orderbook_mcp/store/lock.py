"""Whether another process holds a data directory, without opening it.

A failed opening is not free: RocksDB renames the log file of the process that does hold the directory.
"""

from __future__ import annotations

import sys
from pathlib import Path


def is_held(path: Path) -> bool:
    """Asks for RocksDB's own lock and gives it back. False where that cannot be asked: then opening has to tell."""
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
