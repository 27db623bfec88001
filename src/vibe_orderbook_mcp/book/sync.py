"""Keeping one book in proven sequence.

Binance, "How to manage a local order book correctly" (binance-spot-api-docs, web-socket-streams.md):

 1. Open a connection to the depth stream.
 2. Buffer the events received. Note the `U` of the first one.
 3. Get a depth snapshot.
 4. If its `lastUpdateId` is strictly less than that `U`, go back to step 3.
 5. Discard buffered events whose `u` is <= `lastUpdateId`. The first one left has it within [U; u].
 6. Set the book to the snapshot.
 7. Apply the buffered events, then all that follow:
    - `u` less than the book's update id: ignore the event;
    - `U` greater than the book's update id + 1: events were missed, start again;
    - otherwise set each level to its size (0 removes it) and the book's update id to `u`.

`BookSync` follows steps 2 and 4 to 7. It does no I/O: the caller passes events and snapshots, and the return value says
what to do next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

import msgspec

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.touch_steps import TouchSteps
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.wire import CheckedUpdate

# About a quarter of an hour of 100 ms events. Reaching it means that no snapshot is
# available; older events are then useless, because any later snapshot will be newer.
BUFFER_LIMIT = 10_000


class Outcome(Enum):
    """The result of an event."""

    APPLIED = "applied"
    BUFFERED = "buffered"  # waiting for a snapshot
    OLD = "old"  # already contained in the book
    OUTRUN = "outrun"  # the loaded snapshot, not yet joined by an event, is too old: another is needed
    GAP = "gap"  # events are missing: the book is lost, a snapshot is needed now
    CROSSED = "crossed"  # the copy contradicts itself: a snapshot is needed now
    WRONG = "wrong"  # the copy is not the venue's book, by its own checksum: a snapshot is needed now
    MISCOUNTED = "miscounted"  # the copy has another number of levels than the venue's book: a snapshot is needed now


class Loaded(Enum):
    """The result of a snapshot."""

    LIVE = "live"  # joined with the stream
    UNPROVEN = "unproven"  # loaded, but not yet confirmed by an event of the stream
    TOO_OLD = "too_old"  # older than the first buffered event: fetch another
    NOT_NEEDED = "not_needed"


class BookRule(msgspec.Struct, frozen=True):
    """What else a venue says of its books.

    `depth`: the best levels a side that it keeps in step; a level beyond them is gone without a word. None: all.
    `is_right`: whether a book is the one that the venue's checksum is of. `is_exact`: the venue says of each level when
    it leaves those `depth` levels. So more levels are a fault, and so are fewer on a side that has had all of them.
    `counts_ids`: each id is one change of this book, as on Binance spot. Otherwise changed levels are counted.
    """

    depth: int | None = None
    is_right: Callable[[OrderBook, int], bool] | None = None
    is_exact: bool = False
    counts_ids: bool = False


class BookSync:
    """One symbol's book and its state of proof."""

    __slots__ = (
        "_buffer",
        "_crossed_events",
        "_fullest",
        "_rule",
        "before",
        "book",
        "is_proven",
        "missed",
        "next_id",
        "steps",
    )

    def __init__(self, steps: TouchSteps | None = None, rule: BookRule | None = None) -> None:
        """`steps`, if given, counts the changes of the best prices from event to event."""
        self.steps = steps
        self._rule = rule
        self.book: OrderBook | None = None
        self.is_proven = False
        self.next_id = 0  # the first id that continues the book
        self.before: tuple[list[float], list[float]] = ([], [])  # sizes before the last applied event
        self.missed: tuple[int, int] = (0, 0)  # (expected first id, first id received) of the last gap
        self._buffer: deque[DepthUpdate] = deque(maxlen=BUFFER_LIMIT)
        self._crossed_events = 0
        self._fullest = (0, 0)  # the most levels of bids and of asks since the book began, for an exact depth

    @property
    def is_live(self) -> bool:
        """Whether the book is in sequence, joined with the stream, and consistent."""
        return self.is_proven and self.book is not None and not self.book.is_crossed

    @property
    def needs_snapshot(self) -> bool:
        return self.book is None

    def receive(self, update: DepthUpdate) -> Outcome:
        book = self.book
        if book is None:
            return self._hold(update)
        if update.final_id < self.next_id:
            return Outcome.OLD
        if update.first_id > self.next_id:
            outcome = Outcome.GAP if self.is_proven else Outcome.OUTRUN
            self.missed = (self.next_id, update.first_id)
            self.reset()
            self._buffer.append(update)
            return outcome
        self.before = book.apply(update)
        self.next_id = update.final_id + 1
        self.is_proven = True
        return self._judge(book, update)

    def _judge(self, book: OrderBook, update: DepthUpdate) -> Outcome:
        """Whether the book after an update can be the venue's."""
        if (rule := self._rule) is not None:
            if rule.depth is not None:
                if rule.is_exact and not self._has_exactly(rule.depth, book):
                    self.reset()
                    return Outcome.MISCOUNTED
                book.keep_best(rule.depth)
            if isinstance(update, CheckedUpdate) and not self._is_right(book, update.checksum):
                self.reset()
                return Outcome.WRONG
        bid, ask = book.bids.best, book.asks.best
        if bid is None or ask is None or bid < ask:
            self._crossed_events = 0
            if self.steps is not None and bid is not None and ask is not None:
                self.steps.observe(bid, book.bids.size_at(bid), ask, book.asks.size_at(ask))
            return Outcome.APPLIED
        # One event may show a crossed book while the other side's rows are still in the next frame; two cannot.
        self._crossed_events += 1
        if self._crossed_events < 2:
            return Outcome.APPLIED
        self.reset()
        return Outcome.CROSSED

    def load(self, snapshot: DepthSnapshot, *, limit: int | None = None) -> Loaded:
        """Steps 4 to 7. `limit` is the requested depth, see `OrderBook`."""
        if self.book is not None:
            return Loaded.NOT_NEEDED
        first = self._buffer[0].first_id if self._buffer else None
        # Step 4 refuses `lastUpdateId < U`. At `U - 1` the event still continues the snapshot without a hole.
        if first is not None and snapshot.last_update_id < first - 1:
            return Loaded.TOO_OLD
        book = OrderBook(snapshot, limit=limit)
        for update in self._buffer:
            if update.final_id > snapshot.last_update_id:
                book.apply(update)
            else:
                book.event_ms = update.event_ms
        self.book = book
        self.next_id = book.last_update_id + 1
        self.is_proven = bool(self._buffer)
        self._crossed_events = int(book.is_crossed)
        self._buffer.clear()
        return Loaded.LIVE if self.is_proven else Loaded.UNPROVEN

    def replace(self, book: OrderBook, checksum: int | None = None) -> Outcome:
        """A whole book came by the stream itself: what follows on the stream continues it. WRONG: it is not the one
        that its checksum is of, and there is none now. MISCOUNTED: it has more levels than the venue keeps.
        """
        self.reset()
        if checksum is not None and not self._is_right(book, checksum):
            return Outcome.WRONG
        rule = self._rule
        if rule is not None and rule.is_exact and rule.depth is not None and not self._has_exactly(rule.depth, book):
            return Outcome.MISCOUNTED
        self.book = book
        self.next_id = book.last_update_id + 1
        self.is_proven = True
        self._crossed_events = int(book.is_crossed)
        return Outcome.APPLIED

    def _has_exactly(self, depth: int, book: OrderBook) -> bool:
        """Whether both sides have as many levels as the venue keeps: all of them, or as many as there are."""
        bids, asks = len(book.bids), len(book.asks)
        most_bids, most_asks = self._fullest
        if bids == depth == asks:
            self._fullest = (depth, depth)
            return True
        self._fullest = (max(bids, most_bids), max(asks, most_asks))
        return (bids == depth or max(bids, most_bids) < depth) and (asks == depth or max(asks, most_asks) < depth)

    def _is_right(self, book: OrderBook, checksum: int) -> bool:
        rule = self._rule
        return rule is None or rule.is_right is None or rule.is_right(book, checksum)

    def confirm(self) -> None:
        """Accept a loaded snapshot of a quiet symbol: its stream is open and has been silent since.

        An answer that the exchange cached before the stream opened looks like a fresh one. The symbol's next event then
        shows the gap.
        """
        if self.book is not None:
            self.is_proven = True

    def reset(self) -> None:
        """Clear the book and the buffer: sequence can no longer be proved."""
        self.book = None
        self.is_proven = False
        self._crossed_events = 0
        self._fullest = (0, 0)
        self._buffer.clear()
        if self.steps is not None:
            self.steps.break_chain()  # the next state does not follow from the last one

    def _hold(self, update: DepthUpdate) -> Outcome:
        if self._buffer:
            last = self._buffer[-1].final_id
            if update.final_id <= last:
                return Outcome.OLD
            if is_gap(last, update):
                self._buffer.clear()  # only a snapshot newer than the hole helps
        self._buffer.append(update)
        return Outcome.BUFFERED


def is_gap(last_update_id: int, update: DepthUpdate) -> bool:
    """Rule of step 7: `U` greater than the book's update id + 1."""
    return update.first_id > last_update_id + 1
