"""Recovery from a damaged database: it is set aside unchanged, and a repaired copy replaces it.

Everything happens inside the data directory, under its lock: it may be a mounted volume that cannot be renamed, and
may have files that are not ours. The damaged files are moved to `corrupt-<time, UTC>`; this program never deletes or
changes
them there. The copy is repaired before anything is moved. Its tables are hard links if the file
system has them, so the copy needs almost no space. That is safe because RocksDB never changes a written table; its own
checkpoints use hard links too. If no copy can be made or repaired, recording starts from nothing and only the damaged
files have the old history.

After a kill at any moment, `finish` completes the work at the next opening.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.store import reader
from vibe_orderbook_mcp.store.disk.directory import families_of, files_of_database, repair, was_opened_by_us
from vibe_orderbook_mcp.store.disk.layout import FIRST_FAMILIES, ROLL, TRADE_MIN, TRADE_SEC, Layout
from vibe_orderbook_mcp.store.disk.lock import holding
from vibe_orderbook_mcp.store.disk.place import free_bytes
from vibe_orderbook_mcp.store.disk.rocks import Database
from vibe_orderbook_mcp.store.records.keys import HOURS, MINUTES, key_time, roll_bounds, symbol_bounds
from vibe_orderbook_mcp.store.records.rollups import HOUR
from vibe_orderbook_mcp.store.writer import Writer

_ASIDE: Final = "corrupt-"
_MOVING: Final = "moving-aside"  # renamed to corrupt-<time> when everything is in it
_COPY: Final = "repairing"
_REPAIRED: Final = "repaired"
_BLOCKS_A_PIECE: Final = 20
_SECONDS_A_PIECE: Final = 500

_HeldIds = Callable[[Database, str, int, int], reader.Piece[Interval]]


class Rescue(msgspec.Struct, frozen=True):
    """The result. Names are directories inside the data directory."""

    aside: str
    why_not: str | None  # the reason why no repaired copy is in use
    lost_tables: int = 0  # table files left out by the repair
    lost_log: bool = False  # perhaps also records that were not in a table yet


def rescue(path: Path, layout: Layout, now: datetime, *, opens: bool = False) -> Rescue:
    """`opens`: the damage is inside the tables, and a read met it.

    Raises StorageError if the directory must not be touched: it is not ours, in use, or not writable."""
    if not was_opened_by_us(path):
        raise StorageError(
            "The data directory holds a database that cannot be read, and may not be ours: it was not touched."
        )
    with holding(path):
        why_not, lost = None, _Repaired(0, lost_log=False)
        try:
            lost = _make_repaired_copy(path, layout, opens=opens)
        except StorageError as error:
            why_not = str(error)
        except OSError as error:
            why_not = f"Copying failed: {error.strerror}."
        try:
            (path / _MOVING).mkdir(mode=0o700, exist_ok=True)  # after this point `finish` can complete the work
            if (path / _COPY).exists():
                (path / _COPY).rename(path / _REPAIRED)
            aside = _finish(path, now)
        except OSError as error:
            raise _unmovable(error) from error
    return Rescue(aside=aside or "", why_not=why_not, lost_tables=lost.lost_tables, lost_log=lost.lost_log)


def finish(path: Path, now: datetime) -> None:
    """Complete the work of a killed process. Raises StorageError."""
    moving, repaired = path / _MOVING, path / _REPAIRED
    try:
        if not moving.exists() and not repaired.exists():
            return
        with holding(path):
            if not repaired.exists() and not any(moving.iterdir()):
                moving.rmdir()  # nothing was moved: start again
            else:
                _finish(path, now)
    except OSError as error:
        raise _unmovable(error) from error


def _unmovable(error: OSError) -> StorageError:
    return StorageError(f"The damaged history cannot be set aside: {error.strerror}.")


def set_aside(path: Path) -> list[str]:
    """The directories with damaged history, oldest first."""
    try:
        return sorted(entry.name for entry in path.iterdir() if entry.name.startswith(_ASIDE))
    except OSError:
        return []


class _Repaired(NamedTuple):
    lost_tables: int
    lost_log: bool


def _make_repaired_copy(path: Path, layout: Layout, *, opens: bool) -> _Repaired:
    copy = path / _COPY
    try:
        _copy(path, layout)
        if not opens:
            if _points_to_its_manifest(copy, layout):
                return _Repaired(0, lost_log=False)
            _copy(path, layout)  # discard the changes of the attempt
        lost = repair(copy)
        # A repair knows families by their tables. Records only in the log of a family without tables are left out.
        lost_log = any(copy.glob("lost/*.log")) and not set(FIRST_FAMILIES) <= families_of(copy)
        _make_consistent(copy, layout)
        shutil.rmtree(copy / "lost", ignore_errors=True)
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise
    return _Repaired(lost, lost_log=lost_log)


def _points_to_its_manifest(copy: Path, layout: Layout) -> bool:
    """Whether only the file that names the manifest was wrong. Then nothing is lost."""
    manifests = sorted(copy.glob("MANIFEST-*"))
    if not manifests:
        return False
    (copy / "CURRENT").write_text(manifests[-1].name + "\n")
    try:
        Database.open(copy, layout).close()
    except StorageError:
        return False
    return True


def _copy(path: Path, layout: Layout) -> None:
    copy = path / _COPY
    shutil.rmtree(copy, ignore_errors=True)  # from an earlier attempt
    copy.mkdir(mode=0o700)
    for file in files_of_database(path):
        target = copy / file.name
        if file.suffix == ".sst":
            try:
                os.link(file, target)
            except OSError:  # a file system without hard links
                pass
            else:
                continue
        if free_bytes(copy) < file.stat().st_size + layout.reserve_bytes:
            raise StorageError("There is not enough space for a copy.")
        shutil.copyfile(file, target)


def _make_consistent(copy: Path, layout: Layout) -> None:
    """Delete metadata about lost tables, so that their trades are fetched and summed up again."""
    database = Database.open(copy, layout, repaired=True)
    try:
        writer = Writer(database)
        for symbol in reader.symbols(database):
            in_minutes = _ids(database, symbol, reader.held_ids, _BLOCKS_A_PIECE)
            in_seconds = _ids(database, symbol, reader.held_open_ids, _SECONDS_A_PIECE)
            kept = intervals.union(in_minutes, in_seconds)
            writer.disown_ids(symbol, intervals.difference(reader.ids(database, symbol), kept))
            if lost := intervals.difference(in_seconds, in_minutes):
                writer.unseal(symbol, lost[0][0])
            floor = _next_whole_hour(database, symbol)
            writer.raise_floor(
                symbol, floor, [(ROLL, *roll_bounds(kind, symbol, 0, floor)) for kind in (MINUTES, HOURS)]
            )
    finally:
        database.close()


def _ids(database: Database, symbol: str, read: _HeldIds, size: int) -> list[Interval]:
    found: list[Interval] = []
    at: int | None = 0
    while at is not None:
        held, at = read(database, symbol, at, size)
        found = intervals.union(found, held)
    return found


def _next_whole_hour(database: Database, symbol: str) -> int:
    bounds = symbol_bounds(symbol)
    minute, second = database.last_key(TRADE_MIN, *bounds), database.last_key(TRADE_SEC, *bounds)
    newest = max(key_time(minute) if minute else 0, key_time(second) // 1000 if second else 0)
    return newest - newest % HOUR + HOUR


def _finish(path: Path, now: datetime) -> str | None:
    """Move the damaged files away, then the repaired ones in. Each step can be done again. Raises OSError."""
    moving, repaired = path / _MOVING, path / _REPAIRED
    aside = None
    if moving.exists():
        for file in files_of_database(path):
            file.rename(moving / file.name)
        aside = _ASIDE + f"{now:%Y%m%dT%H%M%SZ}"
        while (path / aside).exists():
            aside += "-again"
        moving.rename(path / aside)
    if repaired.exists():
        # The file that makes it a database comes last.
        for file in sorted(files_of_database(repaired), key=lambda file: file.name == "CURRENT"):
            file.rename(path / file.name)
        shutil.rmtree(repaired)
    return aside
