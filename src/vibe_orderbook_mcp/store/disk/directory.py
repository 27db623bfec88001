"""What lies in a data directory: no database yet, ours, another program's, or a part of one.

Opening a directory whose CURRENT is gone with `create_if_missing` deletes its data: `inspect` looks first.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import ormsgpack
from rocksdict import AccessType, Rdict

from vibe_orderbook_mcp.model.errors import Damaged
from vibe_orderbook_mcp.process.foreign import foreign_entries
from vibe_orderbook_mcp.store.disk.failures import ForeignDatabase, ForeignFiles, SchemaNewer, storage_error
from vibe_orderbook_mcp.store.disk.layout import FAMILIES, FIRST_FAMILIES, SCHEMA_VERSION, raw_options

SCHEMA_KEY: Final = b"schema_version"

_ROCKS_FILE: Final = re.compile(r"CURRENT|MANIFEST-\d+|OPTIONS-\d+|\d+\.(sst|log|blob)")  # group 1: data
_SIDE_FILE: Final = re.compile(r"IDENTITY|LOG(\.old\.\d+)?|.*\.dbtmp|rocksdict-config\.json")
_CONFIG: Final = "rocksdict-config.json"


def files_of_database(path: Path) -> list[Path]:
    """Whatever belongs to it, but for the lock. People keep other things in a directory too. Raises OSError."""
    return sorted(
        entry
        for entry in path.iterdir()
        if entry.is_file() and (_ROCKS_FILE.fullmatch(entry.name) or _SIDE_FILE.fullmatch(entry.name))
    )


def was_opened_by_us(path: Path) -> bool:
    """Whether a database that cannot be opened bears our binding's mark."""
    return _raw_mode(path) is True


def repair(path: Path) -> int:
    """Make the best of what is left; for a copy. How many table files could not be read whole and are left out."""
    try:
        Rdict.repair(str(path), raw_options())
        lost = path / "lost"
        return len(list(lost.glob("*.sst"))) if lost.exists() else 0
    except Exception as error:
        raise storage_error(error, "repairing a copy") from error


def families_of(path: Path) -> set[str]:
    try:
        return set(Rdict.list_cf(str(path), raw_options()))
    except Exception as error:
        raise storage_error(error, "opening the data directory") from error


def inspect(path: Path) -> bool:
    """True when there is no database yet. Raises for one that is not ours or not whole, without touching it."""
    if foreign_entries(path):
        raise ForeignFiles
    found = {match[0]: match[1] for entry in path.iterdir() if (match := _ROCKS_FILE.fullmatch(entry.name))}
    if not found or ("CURRENT" not in found and not any(found.values())):  # or killed before it could hold anything
        return True
    if _raw_mode(path) is False:
        raise ForeignDatabase
    families = set(Rdict.list_cf(str(path), raw_options()))
    if set(FIRST_FAMILIES) <= families <= set(FAMILIES):
        return False
    if _raw_mode(path) is None:
        raise ForeignDatabase
    return _peek(path, families)


def _peek(path: Path, families: set[str]) -> bool:
    """A database with other families than ours: a newer schema, a creation that was cut short, or foreign."""
    rdict = Rdict(str(path), raw_options(), {family: raw_options() for family in families}, AccessType.read_only(False))
    try:
        version: bytes | None = rdict.get(SCHEMA_KEY)
        empty = rdict.latest_sequence_number() == 0
    finally:
        rdict.close()
    if version is None and empty and families < set(FAMILIES):
        return True
    check_schema(version)
    raise Damaged("The data directory lacks a part of its database. Its data is still there: repair a copy of it.")


def check_schema(stored: bytes | None) -> None:
    if stored is None:
        raise ForeignDatabase
    try:
        version: Any = ormsgpack.unpackb(stored)
    except ValueError:
        raise ForeignDatabase from None
    if not isinstance(version, int):
        raise ForeignDatabase
    if version > SCHEMA_VERSION:
        raise SchemaNewer(version)


def _raw_mode(path: Path) -> bool | None:
    """What rocksdict noted when it last opened the database; None when it never did or the note is damaged."""
    try:
        mode = json.loads((path / _CONFIG).read_bytes())["raw_mode"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return bool(mode)
