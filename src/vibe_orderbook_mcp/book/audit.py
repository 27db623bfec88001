"""A second copy of a book, for the proof that the first one is right."""

from __future__ import annotations

from vibe_orderbook_mcp.book.book import OrderBook, differing_levels
from vibe_orderbook_mcp.book.sync import BookSync, Loaded
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate


class BookAudit:
    """A check of a book in proven sequence: a fresh snapshot and the same events must give the same levels.

    `receive` every later event of the book, `load` the snapshot when it arrives, and ask `meeting` whether both copies
    are at the same update.
    """

    __slots__ = ("_copy", "_from_id")

    def __init__(self, book: OrderBook) -> None:
        self._copy = BookSync()
        self._from_id = book.last_update_id

    def receive(self, update: DepthUpdate) -> None:
        self._copy.receive(update)

    def load(self, snapshot: DepthSnapshot, limit: int) -> Loaded:
        """TOO_OLD: the events between the snapshot and the beginning of the audit were not kept."""
        if snapshot.last_update_id < self._from_id:
            return Loaded.TOO_OLD
        loaded = self._copy.load(snapshot, limit=limit)
        if loaded is Loaded.UNPROVEN:
            self._copy.confirm()  # the audited book has proved the stream
        return loaded

    def meeting(self, book: OrderBook) -> OrderBook | None:
        """The fresh copy, once it is at the same update as the book. It knows at least as many levels."""
        fresh = self._copy.book
        if fresh is None or not self._copy.is_proven or fresh.last_update_id != book.last_update_id:
            return None
        return fresh


def replaced(book: OrderBook, fresh: OrderBook) -> bool:
    """Prepare a fresh copy to replace a book at the same update. Returns whether the two differed."""
    has_differed = bool(differing_levels(book, fresh))
    fresh.event_ms = book.event_ms
    fresh.keep_since(book)
    return has_differed
