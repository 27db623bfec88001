"""Reading a database: as it is now, or as it was at one moment.

A question takes many small reads, and seconds are stored between two of them. Read one after the other they would not
fit together: the start of a minute as it was, the minute behind it as it is later, and a hole between. So a question
reads a `View`.

rocksdict 0.3.29 has snapshots, but only single keys are read from them: `Snapshot.iter()` shows what is written after
it, and on a reader beside a recorder so does everything else. An iterator does stay at its moment, on both, so a view
is one iterator for each family, made while nobody writes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeVar

from rocksdict import Rdict, RdictIter

from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.store.disk.failures import storage_error

T = TypeVar("T")
Pair = tuple[bytes, bytes]


class Reads(ABC):
    """What can be read, by family and key. Raises StorageError; a family that is not there is an empty one."""

    @abstractmethod
    def get(self, family: str, key: bytes) -> bytes | None: ...

    @abstractmethod
    def _walk(self, family: str, high: bytes | None, work: Callable[[RdictIter], T], nothing: T) -> T:
        """What `work` makes of an iterator that goes to `high` at least; `nothing` where the family is not there."""

    def scan(self, family: str, low: bytes, high: bytes, limit: int) -> list[Pair]:
        """Up to `limit` pairs with low <= key < high, ascending. Raises at damaged data; never ends early."""
        nothing: list[Pair] = []
        return self._walk(family, high, lambda iterator: _pairs(iterator, low, high, limit, values=True), nothing)

    def scan_keys(self, family: str, low: bytes, high: bytes, limit: int) -> list[bytes]:
        nothing: list[Pair] = []
        pairs = self._walk(family, high, lambda iterator: _pairs(iterator, low, high, limit, values=False), nothing)
        return [key for key, _ in pairs]

    def first_key(self, family: str, low: bytes = b"", high: bytes | None = None) -> bytes | None:
        key = self._walk(family, None, lambda iterator: _first(iterator, low), None)
        return key if key is not None and (high is None or key < high) else None

    def last_key(self, family: str, low: bytes = b"", high: bytes | None = None) -> bytes | None:
        key = self._walk(family, None, lambda iterator: _last(iterator, high), None)
        return key if key is not None and key >= low else None


class View(Reads):
    """A database as it was when the view was made. `close` it soon: files that are deleted meanwhile keep their space.

    One call at a time. The database ends it when it is closed.
    """

    def __init__(self, families: Mapping[str, Rdict], *, lacking: frozenset[str]) -> None:
        try:
            self._iterators = {name: family.iter() for name, family in families.items()}
        except Exception as error:
            raise storage_error(error, "reading history") from error
        self._lacking = lacking

    def get(self, family: str, key: bytes) -> bytes | None:
        return self._walk(family, None, lambda iterator: _value(iterator, key), None)

    @property
    def is_open(self) -> bool:
        return bool(self._iterators)

    def close(self) -> None:
        """May be called twice, and from any thread."""
        self._iterators = {}

    def _walk(self, family: str, high: bytes | None, work: Callable[[RdictIter], T], nothing: T) -> T:
        if family in self._lacking:
            return nothing
        iterator = self._iterators.get(family)
        if iterator is None:
            raise StorageError("History was opened again while it was read. Ask once more.")
        try:
            return work(iterator)
        except Exception as error:
            # A traceback would keep the iterator, and the iterator the lock of the directory.
            raise storage_error(error, "reading history") from error.with_traceback(None)
        finally:
            del iterator


def _pairs(iterator: RdictIter, low: bytes, high: bytes, limit: int, *, values: bool) -> list[Pair]:
    pairs: list[Pair] = []
    iterator.seek(low)
    while len(pairs) < limit and iterator.valid():
        key: bytes = iterator.key()
        if key >= high:
            break
        pairs.append((key, iterator.value() if values else b""))
        iterator.next()
    iterator.status()
    return pairs


def _value(iterator: RdictIter, key: bytes) -> bytes | None:
    iterator.seek(key)
    value: bytes | None = iterator.value() if iterator.valid() and iterator.key() == key else None
    iterator.status()
    return value


def _first(iterator: RdictIter, low: bytes) -> bytes | None:
    iterator.seek(low)
    key: bytes | None = iterator.key() if iterator.valid() else None
    iterator.status()
    return key


def _last(iterator: RdictIter, high: bytes | None) -> bytes | None:
    if high is None:
        iterator.seek_to_last()
    else:
        iterator.seek_for_prev(high)
        if iterator.valid() and iterator.key() >= high:
            iterator.prev()
    key: bytes | None = iterator.key() if iterator.valid() else None
    iterator.status()
    return key
