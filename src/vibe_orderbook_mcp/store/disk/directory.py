"""The state of a data directory: no database yet, ours, another program's, or an incomplete one.

Opening a directory without CURRENT with `create_if_missing` deletes its data, so `inspect` checks first.
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
    """Files of the database, except its lock. The directory may have other files too. Raises OSError."""
    return sorted(
        entry
        for entry in path.iterdir()
        if entry.is_file() and (_ROCKS_FILE.fullmatch(entry.name) or _SIDE_FILE.fullmatch(entry.name))
    )


def was_opened_by_us(path: Path) -> bool:
    """Whether a database that cannot be opened has the mark of our binding."""
    return _raw_mode(path) is True


def repair(path: Path) -> int:
    """Repair a copy. Returns the number of table files that could not be read completely and are left out."""
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
    """True if there is no database yet. Raises for one that is not ours or not complete, without touching it."""
    if foreign_entries(path):
        raise ForeignFiles
    found = {match[0]: match[1] for entry in path.iterdir() if (match := _ROCKS_FILE.fullmatch(entry.name))}
    if not found or ("CURRENT" not in found and not any(found.values())):  # or killed before it had content
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
    """A database with other column families: a newer schema, an interrupted creation, or foreign."""
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
    """The note that rocksdict wrote when it last opened the database; None if missing or damaged."""
    try:
        mode = json.loads((path / _CONFIG).read_bytes())["raw_mode"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return bool(mode)
