"""Reading a database: its present state, or its state at one moment.

A question takes many small reads, and seconds are stored between them. Such reads would not fit together: an older
state of one minute, a newer state of the next, and a hole between. So a question reads a `View`.

rocksdict 0.3.29 has snapshots, but only reads of single keys respect them: `Snapshot.iter()` shows later writes, and on
a reader next to a recorder so does every call. An iterator stays at its moment on both. So a view is one iterator for
each family, made between two writes.
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
    """Reads by family and key. Raises StorageError; a missing family is empty."""

    @abstractmethod
    def get(self, family: str, key: bytes) -> bytes | None: ...

    @abstractmethod
    def _walk(self, family: str, high: bytes | None, work: Callable[[RdictIter], T], nothing: T) -> T:
        """The result of `work` on an iterator that reaches `high` at least; `nothing` for a missing family."""

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
    """A database at the moment when the view was made. `close` it soon: deleted files keep their space until then.

    One call at a time. Closing the database also closes it.
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
