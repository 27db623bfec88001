"""One open RocksDB, synchronous: the caller chooses the thread.

Lessons about rocksdict 0.3.29, and their place in the code:

* Read bounds are raw pointers into Python's bytes, `set_iterate_lower_bound` sets the upper one, and `items()` ends
  silently at a damaged block: only `_walk`, here and in `view`, uses iterators.
* Iterators and column family handles keep the database's lock, also when only a traceback still refers to them:
  iterators are deleted before an error leaves this file, handles live in one dictionary that `close` empties.
* Opening may destroy data: `directory.inspect` checks first.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Lock
from typing import TypeVar
from weakref import WeakSet

import ormsgpack
from rocksdict import AccessType, ColumnFamily, Rdict, RdictIter, ReadOptions, WriteBatch

from vibe_orderbook_mcp.model.errors import NothingRecorded, StorageError
from vibe_orderbook_mcp.process.foreign import foreign_entries, what_is_there
from vibe_orderbook_mcp.store.disk.directory import SCHEMA_KEY, check_schema, inspect
from vibe_orderbook_mcp.store.disk.failures import storage_error
from vibe_orderbook_mcp.store.disk.layout import (
    FAMILIES,
    FIFO_SHARES,
    META,
    SCHEMA_VERSION,
    Layout,
    database_options,
    family_options,
    raw_options,
)
from vibe_orderbook_mcp.store.disk.place import check_memory
from vibe_orderbook_mcp.store.disk.view import Reads, View

T = TypeVar("T")
Put = tuple[str, bytes, bytes]  # family, key, value
Range = tuple[str, bytes, bytes]  # family, first key, first key after it


class Database(Reads):
    """An open database. Methods may be called from any thread; `close` only while no other call runs."""

    def __init__(self, path: Path, rdict: Rdict, families: Iterable[str] = FAMILIES, *, writable: bool) -> None:
        self.writable = writable
        self._path = path
        self._families: dict[str, Rdict] = {META: rdict}
        self._handles: dict[str, ColumnFamily] = {}
        self._views: WeakSet[View] = WeakSet()
        self._moment = Lock()  # locked by a write, and while a view of several families is made
        for family in families:
            if family != META:
                self._families[family] = rdict.get_column_family(family)
        if writable:
            for family in FAMILIES:
                self._handles[family] = rdict.get_column_family_handle(family)

    @classmethod
    def open(cls, path: Path, layout: Layout, *, repaired: bool = False) -> Database:
        """For writing. Creates what is missing; refuses what is not ours, unless it was `repaired` by us.

        A repair leaves out empty families, and loses a version number that was in a damaged file.
        """
        check_memory()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            create = not repaired and inspect(path)
            options = database_options(layout, create=create)
            rdict = Rdict(_spelled(path), options, family_options(layout), AccessType.read_write())
        except Exception as error:
            raise storage_error(error, "opening the data directory") from error
        database = cls(path, rdict, writable=True)
        try:
            database._claim(repaired=repaired)
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open_secondary(cls, path: Path, scratch: Path) -> Database:
        """For reading, with or without another process that writes. `scratch` is for RocksDB's private log."""
        check_memory()
        try:
            nothing = what_is_there(path) if not path.is_dir() or foreign_entries(path) or inspect(path) else None
        except Exception as error:
            raise storage_error(error, "opening the data directory") from error
        if nothing is not None:
            raise NothingRecorded(nothing)
        try:
            layout = Layout(cap_mb=1024, retention_days=7)  # no effect on a reader
            held = Rdict.list_cf(str(path), raw_options())  # a reader cannot create later families
            rdict = Rdict(
                str(path),
                database_options(layout, create=False),
                {family: options for family, options in family_options(layout).items() if family in held},
                AccessType.secondary(str(scratch)),
            )
        except Exception as error:
            raise storage_error(error, "opening the data directory") from error
        database = cls(path, rdict, held, writable=False)
        try:
            database.catch_up()
            check_schema(database.get(META, SCHEMA_KEY))
        except BaseException:
            database.close()
            raise
        return database

    def _claim(self, *, repaired: bool) -> None:
        version = self.get(META, SCHEMA_KEY)
        if version is None and (repaired or all(self.first_key(family) is None for family in FAMILIES)):
            self.write([(META, SCHEMA_KEY, ormsgpack.packb(SCHEMA_VERSION))])
            return
        check_schema(version)

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

    def view(self) -> View:
        """The present state of the database, for all reads of one question."""
        with self._moment:
            lacking = frozenset(FAMILIES) - self._families.keys() if META in self._families else frozenset()
            view = View(self._families, lacking=lacking)
            self._views.add(view)
        return view

    @property
    def is_read(self) -> bool:
        """Whether a view of it is open."""
        return any(view.is_open for view in self._views)

    def _walk(self, family: str, high: bytes | None, work: Callable[[RdictIter], T], nothing: T) -> T:
        if self._lacks(family):
            return nothing
        rdict = self._family(family)
        # `high` and `options` stay referenced until the iterator is deleted: RocksDB points into them.
        options = ReadOptions()
        if high is not None:
            options.set_iterate_upper_bound(high)
        iterator = None
        try:
            iterator = rdict.iter(options)
            return work(iterator)
        except Exception as error:
            # A traceback would keep the iterator, and the iterator the lock of the directory.
            raise storage_error(error, "reading history") from error.with_traceback(None)
        finally:
            del iterator
            del options
            del rdict

    def write(self, puts: Iterable[Put], ranges: Iterable[Range] = ()) -> None:
        """Write atomically. Ranges are deleted first, only in level families, since FIFO would keep the space."""
        try:
            batch = WriteBatch(raw_mode=True)
            for family, low, high in ranges:
                batch.delete_range(low, high, self._handles[family])
            for family, key, value in puts:
                batch.put(key, value, self._handles[family])
            with self._moment:
                self._family(META).write(batch)
        except KeyError as error:
            raise StorageError("History was opened for reading only, or is closed.") from error
        except Exception as error:
            raise storage_error(error, "writing history") from error

    def flush_wal(self, *, sync: bool) -> None:
        try:
            self._family(META).flush_wal(sync)
        except Exception as error:
            raise storage_error(error, "flushing history") from error

    def flush(self) -> None:
        """Memory to files, one family per call even with atomic flushes. RocksDB also flushes by itself."""
        try:
            for family in self._families.values():
                family.flush()
        except Exception as error:
            raise storage_error(error, "flushing history") from error

    def compact(self, family: str) -> None:
        """Free deleted space now. Takes a moment for each 10 MB; other calls may run meanwhile."""
        try:
            self._family(family).compact_range(None, None)
        except Exception as error:
            raise storage_error(error, "compacting history") from error

    def catch_up(self) -> None:
        if self.writable:
            return
        try:
            self._family(META).try_catch_up_with_primary()
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
        """Releases the directory in any case. RocksDB may raise here because of an earlier failed write."""
        for family in reversed(self._let_go()):
            try:
                family.close()
            except Exception as error:  # it is closed nevertheless
                storage_error(error, "closing the data directory")

    def abandon(self) -> None:
        """Abandons a directory that was moved or replaced, without writing. All written data is in the log of the
        opened directory, at its new path.

        Closing would write by path into the replacement: the tables in memory, and then a new manifest and CURRENT,
        since its own manifest is missing there. So the database stays open until the process ends, and `_spelled`
        avoids RocksDB's lock on its path.
        """
        for family in self._let_go():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(family))
        _abandoned[self._path] += 1

    def _let_go(self) -> list[Rdict]:
        """Drop all references to the open database. Returns its parts."""
        self._handles.clear()
        with self._moment:
            for view in list(self._views):  # an iterator keeps the lock of the directory
                view.close()
            families, self._families = self._families, {}
        return list(families.values())

    def _family(self, family: str) -> Rdict:
        try:
            return self._families[family]
        except KeyError:
            raise StorageError("History is closed.") from None

    def _lacks(self, family: str) -> bool:
        """A reader of a directory that was last written before this family existed."""
        return family not in self._families and not self.writable and META in self._families


_abandoned: Counter[Path] = Counter()


def _spelled(path: Path) -> str:
    """A spelling of the path that no abandoned database has: within a process, RocksDB locks by path."""
    return str(path) + "/." * _abandoned[path]
