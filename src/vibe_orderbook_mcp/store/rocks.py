"""One open RocksDB, synchronously: whoever calls decides on which thread.

What rocksdict 0.3.29 taught us, and where it is kept:

* Read bounds are raw pointers into Python's bytes, `set_iterate_lower_bound` sets the upper one, and `items()` ends
  silently at a damaged block: `scan` is the only place that iterates.
* Iterators and column family handles keep the database's lock, also when only a traceback still refers to them:
  iterators are deleted before an error leaves this file, handles live in one dictionary that `close` empties.
* Opening may destroy what is there: `directory.inspect` looks first.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import ormsgpack
from rocksdict import AccessType, ColumnFamily, Rdict, ReadOptions, WriteBatch

from vibe_orderbook_mcp.errors import StorageError
from vibe_orderbook_mcp.store.directory import SCHEMA_KEY, check_schema, inspect
from vibe_orderbook_mcp.store.failures import storage_error
from vibe_orderbook_mcp.store.layout import (
    FAMILIES,
    FIFO_SHARES,
    META,
    SCHEMA_VERSION,
    Layout,
    database_options,
    family_options,
    raw_options,
)

Put = tuple[str, bytes, bytes]  # family, key, value
Range = tuple[str, bytes, bytes]  # family, first key, first key after it


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
