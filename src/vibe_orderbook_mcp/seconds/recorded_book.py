"""A book in proven sequence and its seconds."""

from __future__ import annotations

from typing import Final, NamedTuple

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import BookRule, BookSync, Loaded, Outcome
from vibe_orderbook_mcp.book.touch_steps import TouchSteps
from vibe_orderbook_mcp.model.events import PLAUSIBLE_MS, DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.rows import RowFlag
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import BookReplaced
from vibe_orderbook_mcp.seconds.tracker import SecondTracker


class Loss(NamedTuple):
    """The mark of the second of a loss, and the reason why there is no book after it."""

    flag: RowFlag
    reason: str


LOSSES: Final = {
    Outcome.OUTRUN: Loss(RowFlag.RESYNC, "the first snapshot was older than the stream"),
    Outcome.GAP: Loss(RowFlag.GAP, "resyncing after a gap in the stream"),
    Outcome.CROSSED: Loss(RowFlag.CROSSED, "resyncing after the book crossed"),
    Outcome.WRONG: Loss(RowFlag.RESYNC, "resyncing: the book was not the one that the exchange's checksum is of"),
    Outcome.MISCOUNTED: Loss(RowFlag.RESYNC, "resyncing: the book had another number of levels than the exchange's"),
}


class RecordedBook:
    """Every change of the book goes through here, and is counted in its second in the same call.

    So the order is fixed. First the book before an event's time closes the seconds before it. Then the book changes,
    then the event counts. `seconds` may be read, closed by the clock and given trades; events come through `receive`
    only.
    """

    __slots__ = ("_counts_ids", "_sync", "seconds", "steps")

    def __init__(self, spec: SymbolSpec, rule: BookRule | None = None) -> None:
        """`rule`: what else the venue says of the book."""
        self.steps = TouchSteps(float(spec.tick_size))
        self._sync = BookSync(self.steps, rule)
        self._counts_ids = rule is None or rule.counts_ids
        self.seconds = SecondTracker(spec)

    @property
    def book(self) -> OrderBook | None:
        """The book if it is in proven sequence, else None."""
        sync = self._sync
        return sync.book if sync.is_live else None

    @property
    def copy(self) -> OrderBook | None:
        """The book in any state: perhaps not proved yet, or crossed for one event."""
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
        """The next event; `at_ms` is its time, bounded by plausibility."""
        sync, seconds = self._sync, self.seconds
        book, next_id = sync.book, sync.next_id
        if book is None or update.final_id >= next_id:
            if book is not None and update.first_id > next_id:
                seconds.stale()  # events since the last one are missing: that time is not covered
            seconds.roll(at_ms)
        was_proven = sync.is_proven
        outcome = sync.receive(update)
        if outcome is Outcome.APPLIED and book is not None:
            if not was_proven:
                seconds.synced(book)
            seconds.applied(update, sync.before, self._changes(update, next_id))
        elif (loss := LOSSES.get(outcome)) is not None:
            seconds.lost(loss.flag)
        return outcome

    def _changes(self, update: DepthUpdate, next_id: int) -> int:
        """How often the book was changed in an event that continues it."""
        if self._counts_ids:
            return update.final_id + 1 - max(next_id, update.first_id)
        return max(1, len(update.bids) + len(update.asks))

    def load(self, snapshot: DepthSnapshot, limit: int, now_ms: int | None) -> Loaded:
        """A snapshot of at most `limit` levels a side. It has no time of its own: the present time counts."""
        loaded = self._sync.load(snapshot, limit=limit)
        book = self._sync.book
        if loaded in (Loaded.LIVE, Loaded.UNPROVEN) and book is not None:
            if book.event_ms is None:
                book.event_ms = now_ms
            if book.event_ms is not None:
                # The time without a book ends here, not at the next event.
                self.seconds.roll(book.event_ms if now_ms is None else min(book.event_ms, now_ms + PLAUSIBLE_MS))
            if loaded is Loaded.LIVE:
                self.seconds.synced(book)
        return loaded

    def replace(self, replaced: BookReplaced, at_ms: int | None) -> Outcome:
        """The stream itself sent the whole book; `at_ms` is what may be believed of its time."""
        seconds, had_book = self.seconds, self._sync.book is not None
        if had_book:
            seconds.stale()  # what led from the former book to this one was not seen
        if at_ms is not None:
            seconds.roll(at_ms)
        if had_book:
            seconds.lost(RowFlag.RESYNC)
        book = OrderBook(replaced.snapshot, limit=replaced.limit)
        book.event_ms = at_ms
        outcome = self._sync.replace(book, replaced.checksum)
        if (proven := self.book) is not None:
            seconds.synced(proven)
        elif not had_book and (loss := LOSSES.get(outcome)) is not None:
            seconds.lost(loss.flag)
        return outcome

    def confirm(self) -> None:
        """The stream is open and silent: the snapshot is confirmed. See `BookSync.confirm`."""
        self._sync.confirm()
        if (book := self.book) is not None:
            self.seconds.synced(book)

    def lose(self, flag: RowFlag) -> None:
        """The connection was lost, and with it the proof of sequence."""
        self._sync.reset()
        self.seconds.lost(flag)

    def swap(self, fresh: OrderBook) -> None:
        """An equal copy replaces the book: the seconds go on."""
        self._sync.book = fresh
        self.seconds.swapped(fresh)
