"""Whether a directory may become a data directory: it is empty, or ours, or holds somebody else's files.

RocksDB would put its files among them without a word, and a repair would move what is named like one of its own.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Final

# One of them is enough: a database, whose owner opening it tells, or what a repair of ours has left.
_DATABASE: Final = re.compile(r"CURRENT|MANIFEST-\d+|\d{6,}\.sst|rocksdict-config\.json")
_OF_A_REPAIR: Final = re.compile(r"corrupt-\d{8}T\d{6}Z.*|moving-aside|repairing|repaired")
# What a start leaves that was killed before there was a database.
_BEGUN: Final = frozenset({"IDENTITY", "LOCK", "LOG"})
# What systems, and tools for directories, put into each directory.
_OF_SYSTEMS: Final = re.compile(
    r"lost\+found|\.Trash-\d+|\.nfs.*|\.snapshots?|\.DS_Store|\._.*|\.fseventsd|\.Spotlight-V100|\.Trashes|"
    r"\.TemporaryItems|Thumbs\.db|desktop\.ini|System Volume Information|\$RECYCLE\.BIN|@eaDir|\.gitkeep|\.keep|"
    r"\.gitignore|CACHEDIR\.TAG"
)


def foreign_entries(path: Path) -> list[str]:
    """Names in a directory that is neither empty nor ours, in order; none where it may be used. Raises OSError."""
    names = sorted(entry.name for entry in path.iterdir())
    if any(_DATABASE.fullmatch(name) or _OF_A_REPAIR.fullmatch(name) for name in names):
        return []
    return [name for name in names if name not in _BEGUN and not _OF_SYSTEMS.fullmatch(name)]


def what_is_there(path: Path) -> str:
    """Of a path at which no history is: the end of a sentence that begins with it. Raises OSError."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    if not stat.S_ISDIR(mode):
        return "is a file, not a directory" if stat.S_ISREG(mode) else "is not a directory"
    if foreign_entries(path):
        return "holds files that are not this program's, and no history"
    return "holds no history yet" if any(entry.name in _BEGUN for entry in path.iterdir()) else "is empty"
