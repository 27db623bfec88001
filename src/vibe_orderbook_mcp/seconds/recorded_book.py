"""A book in proven sequence and the seconds that are made of it."""

from __future__ import annotations

from collections import deque
from typing import Final

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import BookSync, Loaded, Outcome
from vibe_orderbook_mcp.model.events import PLAUSIBLE_MS, DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.rows import RowFlag
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.tracker import SecondTracker

Touch = tuple[float, float, float, float]  # best bid, its size, best ask, its size
TOUCHES_KEPT: Final = 10_000  # far more than come between two ticks; without ticks the oldest are forgotten

# What the second of a loss is marked with.
LOSSES: Final = {Outcome.OUTRUN: RowFlag.RESYNC, Outcome.GAP: RowFlag.GAP, Outcome.CROSSED: RowFlag.CROSSED}


class RecordedBook:
    """Everything that changes the book goes through here, and is counted in its second in the same call.

    So there is one order: what stood until an event's time is the end of the seconds that are over, then the book
    changes, then the event counts. `seconds` may be read, closed by the clock and given trades; events come by
    `receive` alone.
    """

    __slots__ = ("_sync", "_touches", "seconds")

    def __init__(self, spec: SymbolSpec) -> None:
        self._sync = BookSync()
        self.seconds = SecondTracker(spec)
        self._touches: deque[Touch | None] = deque(maxlen=TOUCHES_KEPT)

    @property
    def book(self) -> OrderBook | None:
        """The book, if it is in proven sequence."""
        sync = self._sync
        return sync.book if sync.is_live else None

    @property
    def copy(self) -> OrderBook | None:
        """The book as it is being kept: perhaps not proved yet, or crossed for one event."""
        return self._sync.book

    @property
    def is_proven(self) -> bool:
        return self._sync.is_proven

    @property
    def needs_snapshot(self) -> bool:
        return self._sync.needs_snapshot

    @property
    def missed(self) -> tuple[int, int]:
        """(expected first id, first id received) of the last gap."""
        return self._sync.missed

    def receive(self, update: DepthUpdate, at_ms: int) -> Outcome:
        """The next event; `at_ms` is what may be believed of its time."""
        sync, seconds = self._sync, self.seconds
        book, next_id = sync.book, sync.next_id
        if book is None or update.final_id >= next_id:
            if book is not None and update.first_id > next_id:
                seconds.stale()  # events are missing since the last one: that time was not seen
            seconds.roll(at_ms)
        was_proven = sync.is_proven
        outcome = sync.receive(update)
        if outcome is Outcome.APPLIED and book is not None:
            if not was_proven:
                seconds.synced(book)
            seconds.applied(update, sync.before, update.final_id + 1 - max(next_id, update.first_id))
            bids, asks = book.bids, book.asks
            bid, ask = bids.best, asks.best
            if bid is not None and ask is not None and bid < ask:
                self._touches.append((bid, bids.size_at(bid), ask, asks.size_at(ask)))
        elif (flag := LOSSES.get(outcome)) is not None:
            self._lost(flag)
        return outcome

    def load(self, snapshot: DepthSnapshot, limit: int, now_ms: int | None) -> Loaded:
        """A snapshot of at most `limit` levels a side. It has no time of its own: it counts as of now."""
        loaded = self._sync.load(snapshot, limit=limit)
        book = self._sync.book
        if loaded in (Loaded.LIVE, Loaded.UNPROVEN) and book is not None:
            if book.event_ms is None:
                book.event_ms = now_ms
            if book.event_ms is not None:
                # The time without a book ends here, not where the next event shows that it has passed.
                self.seconds.roll(book.event_ms if now_ms is None else min(book.event_ms, now_ms + PLAUSIBLE_MS))
            if loaded is Loaded.LIVE:
                self.seconds.synced(book)
        return loaded

    def confirm(self) -> None:
        """The stream is open and silent: the snapshot stands. See `BookSync.confirm`."""
        self._sync.confirm()
        if (book := self.book) is not None:
            self.seconds.synced(book)

    def lose(self, flag: RowFlag) -> None:
        """The connection is gone, and with it the proof of sequence."""
        self._sync.reset()
        self._lost(flag)

    def take_touches(self) -> list[Touch | None]:
        """Best prices and their sizes after each event since the last call; None: the book was lost in between."""
        taken = list(self._touches)
        self._touches.clear()
        return taken

    def swap(self, fresh: OrderBook) -> None:
        """An equal copy takes the book's place: the seconds go on."""
        self._sync.book = fresh
        self.seconds.swapped(fresh)

    def _lost(self, flag: RowFlag) -> None:
        self.seconds.lost(flag)
        self._touches.append(None)
