"""One open RocksDB, synchronously: whoever calls decides on which thread.

What rocksdict 0.3.29 taught us, and where it is kept:

* Read bounds are raw pointers into Python's bytes, `set_iterate_lower_bound` sets the upper one, and `items()` ends
  silently at a damaged block: `scan` is the only place that iterates.
* Iterators and column family handles keep the database's lock, also when only a traceback still refers to them:
  iterators are deleted before an error leaves this file, handles live in one dictionary that `close` empties.
* Opening a directory whose CURRENT is gone with `create_if_missing` deletes its data: `inspect` looks first.
* Errors are plain `Exception`s: `storage_error` is the one place that reads their text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import ormsgpack
from loguru import logger
from rocksdict import AccessType, ColumnFamily, DbClosedError, Rdict, ReadOptions, WriteBatch

from vibe_orderbook_mcp.errors import StorageCorrupt, StorageError, StorageLocked
from vibe_orderbook_mcp.store.layout import (
    FAMILIES,
    FIFO_SHARES,
    FIRST_FAMILIES,
    META,
    SCHEMA_VERSION,
    Layout,
    database_options,
    family_options,
    raw_options,
)

Put = tuple[str, bytes, bytes]  # family, key, value
Range = tuple[str, bytes, bytes]  # family, first key, first key after it

SCHEMA_KEY: Final = b"schema_version"

_ROCKS_FILE: Final = re.compile(r"CURRENT|MANIFEST-\d+|OPTIONS-\d+|\d+\.(sst|log|blob)")  # group 1: data
_SIDE_FILE: Final = re.compile(r"IDENTITY|LOG(\.old\.\d+)?|.*\.dbtmp|rocksdict-config\.json")
_CONFIG: Final = "rocksdict-config.json"


class DiskFull(StorageError):
    """No space left. RocksDB stays stuck after space was made: re-open."""


class Damaged(StorageCorrupt):
    """Files of the database are missing or not what they were: what RocksDB itself says, not one record."""


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


# The first that matches says what to raise.
_FAILURES: Final[tuple[tuple[re.Pattern[str], type[StorageError], str], ...]] = (
    (
        re.compile("While lock file|lock hold by current process"),
        StorageLocked,
        "Another process records into this data directory.",
    ),
    (re.compile("No space left"), DiskFull, "The disk is full: {doing} failed."),
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


def storage_error(error: BaseException, doing: str) -> StorageError:
    """What went wrong, without the paths that RocksDB's texts are full of. Those go to our log."""
    if isinstance(error, StorageError):
        return error
    text = str(error)
    if isinstance(error, DbClosedError) or "Already mutably borrowed" in text or "Already borrowed" in text:
        return StorageError(f"History is closed: {doing} is not possible.")
    logger.warning("{} failed: {}: {}", doing.capitalize(), type(error).__name__, text)
    for pattern, kind, sentence in _FAILURES:
        if pattern.search(text):
            return kind(sentence.format(doing=doing))
    return StorageError(f"{doing.capitalize()} failed; the log has the details.")


class Database:
    """An open database. Methods may be called from any thread; `close` only while no other call runs."""

    def __init__(self, rdict: Rdict, families: Iterable[str] = FAMILIES, *, writable: bool) -> None:
        self.writable = writable
        self._rdict = rdict
        self._families: dict[str, Rdict] = {META: rdict}
        self._handles: dict[str, ColumnFamily] = {}
        for family in families:
            if family != META:
                self._families[family] = rdict.get_column_family(family)
        if writable:
            for family in FAMILIES:
                self._handles[family] = rdict.get_column_family_handle(family)

    @classmethod
    def open(cls, path: Path, layout: Layout, *, repaired: bool = False) -> Database:
        """For writing. Creates what is missing; refuses what is not ours, unless it was `repaired` by us.

        A repair leaves out families that were empty, and cannot save a version that was in a damaged file.
        """
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            create = not repaired and inspect(path)
            rdict = Rdict(
                str(path), database_options(layout, create=create), family_options(layout), AccessType.read_write()
            )
        except Exception as error:
            raise storage_error(error, "opening the data directory") from error
        database = cls(rdict, writable=True)
        try:
            database._claim(repaired=repaired)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open_secondary(cls, path: Path, scratch: Path) -> Database:
        """For reading, beside a process that writes or none. `scratch` takes RocksDB's private log."""
        try:
            empty = not path.is_dir() or inspect(path)
        except Exception as error:
            raise storage_error(error, "opening the data directory") from error
        if empty:
            raise StorageError("Nothing has been recorded: the data directory does not exist or is empty.")
        try:
            layout = Layout(cap_mb=1024, retention_days=7)  # no effect on a reader
            held = Rdict.list_cf(str(path), raw_options())  # a reader cannot create what came later
            rdict = Rdict(
                str(path),
                database_options(layout, create=False),
                {family: options for family, options in family_options(layout).items() if family in held},
                AccessType.secondary(str(scratch)),
            )
        except Exception as error:
            raise storage_error(error, "opening the data directory") from error
        database = cls(rdict, held, writable=False)
        try:
            database.catch_up()
            _check_schema(database.get(META, SCHEMA_KEY))
        except BaseException:
            database.close()
            raise
        return database

    def _claim(self, *, repaired: bool) -> None:
        version = self.get(META, SCHEMA_KEY)
        if version is None and (repaired or all(self.first_key(family) is None for family in FAMILIES)):
            self.write([(META, SCHEMA_KEY, ormsgpack.packb(SCHEMA_VERSION))])
            return
        _check_schema(version)

    def set_limits(self, layout: Layout) -> None:
        """Cap and age of every FIFO family; RocksDB forgets them when it is closed."""
        for family in FIFO_SHARES:
            try:
                self._families[family].set_options(layout.dynamic(family))
            except Exception as error:
                raise storage_error(error, "setting the limits of the store") from error

    def get(self, family: str, key: bytes) -> bytes | None:
        if self._lacks(family):
            return None
        try:
            value: bytes | None = self._family(family).get(key)
        except Exception as error:
            raise storage_error(error, "reading history") from error
        return value

    def scan(self, family: str, low: bytes, high: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Up to `limit` pairs with low <= key < high, ascending. Raises at damaged data; never ends early."""
        return [(key, value) for key, value in self._iterate(family, low, high, limit, values=True)]

    def scan_keys(self, family: str, low: bytes, high: bytes, limit: int) -> list[bytes]:
        return [key for key, _ in self._iterate(family, low, high, limit, values=False)]

    def _iterate(self, family: str, low: bytes, high: bytes, limit: int, *, values: bool) -> list[tuple[bytes, bytes]]:
        if self._lacks(family):
            return []
        # `high` and `options` stay referenced until the iterator is gone: RocksDB points into them.
        options = ReadOptions()
        options.set_iterate_upper_bound(high)
        pairs: list[tuple[bytes, bytes]] = []
        iterator = None
        try:
            iterator = self._family(family).iter(options)
            iterator.seek(low)
            while len(pairs) < limit and iterator.valid():
                key: bytes = iterator.key()
                if key >= high:
                    break
                pairs.append((key, iterator.value() if values else b""))
                iterator.next()
            iterator.status()
        except Exception as error:
            raise storage_error(error, "reading history") from error
        finally:
            del iterator
            del options
        return pairs

    def first_key(self, family: str, low: bytes = b"", high: bytes | None = None) -> bytes | None:
        return self._edge(family, low, high, last=False)

    def last_key(self, family: str, low: bytes = b"", high: bytes | None = None) -> bytes | None:
        return self._edge(family, low, high, last=True)

    def _edge(self, family: str, low: bytes, high: bytes | None, *, last: bool) -> bytes | None:
        if self._lacks(family):
            return None
        key: bytes | None = None
        iterator = None
        try:
            iterator = self._family(family).iter()
            if not last:
                iterator.seek(low)
            elif high is None:
                iterator.seek_to_last()
            else:
                iterator.seek_for_prev(high)
                if iterator.valid() and iterator.key() >= high:
                    iterator.prev()
            if iterator.valid():
                key = iterator.key()
            iterator.status()
        except Exception as error:
            raise storage_error(error, "reading history") from error
        finally:
            del iterator
        return key if key is not None and key >= low and (high is None or key < high) else None

    def write(self, puts: Iterable[Put], ranges: Iterable[Range] = ()) -> None:
        """All or nothing. Ranges are deleted first; only in level families, FIFO would keep the space."""
        try:
            batch = WriteBatch(raw_mode=True)
            for family, low, high in ranges:
                batch.delete_range(low, high, self._handles[family])
            for family, key, value in puts:
                batch.put(key, value, self._handles[family])
            self._rdict.write(batch)
        except KeyError as error:
            raise StorageError("History was opened for reading only, or is closed.") from error
        except Exception as error:
            raise storage_error(error, "writing history") from error

    def flush_wal(self, *, sync: bool) -> None:
        try:
            self._rdict.flush_wal(sync)
        except Exception as error:
            raise storage_error(error, "flushing history") from error

    def flush(self) -> None:
        """Memory to files. RocksDB does it by itself; even with atomic flushes this call means one family."""
        try:
            for family in self._families.values():
                family.flush()
        except Exception as error:
            raise storage_error(error, "flushing history") from error

    def compact(self, family: str) -> None:
        """Give deleted space back now. Takes a moment for each 10 MB; others may work meanwhile."""
        try:
            self._family(family).compact_range(None, None)
        except Exception as error:
            raise storage_error(error, "compacting history") from error

    def catch_up(self) -> None:
        if self.writable:
            return
        try:
            self._rdict.try_catch_up_with_primary()
        except Exception as error:
            raise storage_error(error, "catching up with the recorder") from error

    def property(self, family: str, name: str) -> int:
        if self._lacks(family):
            return 0
        try:
            return self._family(family).property_int_value(name) or 0
        except Exception as error:
            raise storage_error(error, "measuring the store") from error

    def close(self) -> None:
        """Lets go of the directory whatever happens. RocksDB may raise here for an earlier failed write."""
        self._handles.clear()
        families, self._families = self._families, {}
        for family in reversed(families.values()):
            try:
                family.close()
            except Exception as error:  # it is closed all the same
                storage_error(error, "closing the data directory")

    def _family(self, family: str) -> Rdict:
        try:
            return self._families[family]
        except KeyError:
            raise StorageError("History is closed.") from None

    def _lacks(self, family: str) -> bool:
        """A reader of a directory that was last written before this family was thought of."""
        return family not in self._families and not self.writable and META in self._families


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
    _check_schema(version)
    raise Damaged("The data directory lacks a part of its database. Its data is still there: repair a copy of it.")


def _check_schema(stored: bytes | None) -> None:
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
