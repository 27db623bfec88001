"""Whether a directory may become a data directory: it must be empty or ours.

RocksDB would silently put its files among files of other programs, and a repair would move those with names like its
own.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Final

# One of them is enough: a database (opening it shows its owner), or the remains of a repair of ours.
_DATABASE: Final = re.compile(r"CURRENT|MANIFEST-\d+|\d{6,}\.sst|rocksdict-config\.json")
_OF_A_REPAIR: Final = re.compile(r"corrupt-\d{8}T\d{6}Z.*|moving-aside|repairing|repaired")
# Remains of a start that was killed before it made a database.
_BEGUN: Final = frozenset({"IDENTITY", "LOCK", "LOG"})
# Files that operating systems and tools put into every directory.
_OF_SYSTEMS: Final = re.compile(
    r"lost\+found|\.Trash-\d+|\.nfs.*|\.snapshots?|\.DS_Store|\._.*|\.fseventsd|\.Spotlight-V100|\.Trashes|"
    r"\.TemporaryItems|Thumbs\.db|desktop\.ini|System Volume Information|\$RECYCLE\.BIN|@eaDir|\.gitkeep|\.keep|"
    r"\.gitignore|CACHEDIR\.TAG"
)


def foreign_entries(path: Path) -> list[str]:
    """Names in a directory that is neither empty nor ours, in order; empty if it may be used. Raises OSError."""
    names = sorted(entry.name for entry in path.iterdir())
    if any(_DATABASE.fullmatch(name) or _OF_A_REPAIR.fullmatch(name) for name in names):
        return []
    return [name for name in names if name not in _BEGUN and not _OF_SYSTEMS.fullmatch(name)]


def what_is_there(path: Path) -> str:
    """The end of a sentence that begins with a path without history. Raises OSError."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    if not stat.S_ISDIR(mode):
        return "is a file, not a directory" if stat.S_ISREG(mode) else "is not a directory"
    if foreign_entries(path):
        return "holds files that are not this program's, and no history"
    return "holds no history yet" if any(entry.name in _BEGUN for entry in path.iterdir()) else "is empty"
