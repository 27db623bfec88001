"""Changing connections without missing an event: make before break.

A second connection is opened while the first still delivers. Both send the same updates, cut into frames at
different ids. The second one's first frames may run ahead of the first one's last ones; applied at once they
would look like a gap. So they wait here, per symbol, until they continue the book.

Where books begin with a message of the stream, the second connection brings books of its own. They and what follows
them wait until every symbol has one, and then take the place of those of the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from vibe_orderbook_mcp.book.sync import is_gap
from vibe_orderbook_mcp.model.events import DepthUpdate
from vibe_orderbook_mcp.model.wire import BookReplaced


class Handover:
    """Events of the successor connection that do not continue their books yet."""

    def __init__(self, symbols: Iterable[str], *, brings_books: bool = False) -> None:
        """`brings_books`: each book of the successor begins with a message of its stream."""
        self._brings_books = brings_books
        self._books: dict[str, BookReplaced] = {}
        self._waiting: dict[str, deque[DepthUpdate]] = {}
        self._unjoined = set(symbols)

    @property
    def is_complete(self) -> bool:
        """Every symbol has a book of the successor, or had an event of it join its book."""
        return not self._unjoined

    def begin(self, replaced: BookReplaced) -> None:
        """The successor sent a whole book: what it said of the symbol before is of no use."""
        self._books[replaced.symbol] = replaced
        self._waiting.pop(replaced.symbol, None)
        self._unjoined.discard(replaced.symbol)

    def hold(self, update: DepthUpdate) -> None:
        self._waiting.setdefault(update.symbol, deque()).append(update)

    def joining(self, symbol: str, last_update_id: int | None) -> list[DepthUpdate]:
        """Remove and return the events that can be applied now; all of them for a book that is None, which buffers
        them itself."""
        waiting = None if self._brings_books else self._waiting.get(symbol)
        out: list[DepthUpdate] = []
        while waiting and (last_update_id is None or not is_gap(last_update_id, waiting[0])):
            update = waiting.popleft()
            out.append(update)
            if last_update_id is not None:
                last_update_id = max(last_update_id, update.final_id)
        if out:
            self._unjoined.discard(symbol)
        return out

    def remaining(self) -> list[DepthUpdate | BookReplaced]:
        """The remaining events when the first connection ends. They are applied; a real hole then shows as a gap."""
        left: list[DepthUpdate | BookReplaced] = [*self._books.values()]
        for symbol, waiting in self._waiting.items():
            if not self._brings_books or symbol in self._books:
                left += waiting
        return left
