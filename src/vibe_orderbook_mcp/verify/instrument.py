"""One instrument of a recording: its book by the venue's rule, and what contradicts it. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.verify.comparison import Comparison, IdSequence
from vibe_orderbook_mcp.verify.parts import BestPrices, BookAnswer, BookUpdate, TextPair, TradeNumber, VenueRules
from vibe_orderbook_mcp.verify.text_book import TextBook

Verified = Literal["book", "chain", "nothing"]

MOST_FAULTS: Final = 20  # that a report lists; all are counted


class Fault(NamedTuple):
    """What is wrong, at the first line where it can be seen."""

    line: int
    what: str


class Top(NamedTuple):
    """The best levels after the frame of a line."""

    line: int
    instrument: str
    bid: TextPair | None
    ask: TextPair | None


class InstrumentCheck:
    """Feed it the parts of one symbol in the order of the recording.

    `answers` are the whole books that the recording has anywhere: the first frame that continues one begins the book,
    and so does the first one after a gap.
    """

    def __init__(self, rules: VenueRules, symbol: str, answers: Sequence[BookAnswer]) -> None:
        self.instrument = rules.name(symbol)
        self.frames = self.applied = self.gaps = self.crossed = self.repeated = self.unreadable = 0
        self.faults: list[Fault] = []
        self._rules = rules
        self._answers = answers
        self._last_id: int | None = None
        self._book: TextBook | None = None
        self._comparison = Comparison()
        self._ids = {"aggregate": IdSequence(), "fill": IdSequence()}

    def frame(self, line: int, frame: BookUpdate) -> Top | None:
        """The best levels, where the frame could be applied."""
        self.frames += 1
        update, last_id = frame.update, self._last_id
        following = "next" if last_id is None else self._rules.follows(last_id, update)
        if following == "old":
            self.repeated += 1
            self._fault(line, f"updates {update.first_id} to {update.final_id} came again")
            return None
        if following == "gap" and last_id is not None:
            self.gaps += 1
            self._book = None
            self._fault(line, f"updates {last_id + 1} to {update.first_id - 1} are missing")
        self._last_id = update.final_id
        if self._book is None:
            self._book = self._joined(frame)
        if self._book is None:
            return None
        return self._apply(line, self._book, frame)

    def best_prices(self, told: BestPrices) -> None:
        self._differ(self._comparison.tell(told))

    def trade(self, line: int, trade: TradeNumber) -> None:
        hole = self._ids[trade.sequence].add(trade.number)
        if hole is not None:
            self._fault(line, f"{trade.sequence} trades {hole[0]} to {hole[1]} are missing")

    def unread(self, line: int, why: str) -> None:
        self.unreadable += 1
        self._fault(line, f"cannot be read: {why}")

    def finish(self) -> None:
        self._differ(self._comparison.finish())

    @property
    def is_sound(self) -> bool:
        failed = self.gaps or self.crossed or self._comparison.failed or self._missing or self.unreadable
        return not failed and self.verified != "nothing"

    @property
    def verified(self) -> Verified:
        """By what: the rebuilt book; or ids that follow each other, where no whole book meets the stream."""
        if self.applied:
            return "book"
        links = self.frames - self.repeated > 1 or any(ids.count > 1 for ids in self._ids.values())
        return "chain" if links else "nothing"

    @property
    def _missing(self) -> int:
        return sum(ids.missing for ids in self._ids.values())

    def report(self) -> dict[str, Any]:
        """Counts, the last best levels, and the first faults. A price is None without a book."""
        bid = None if self._book is None else self._book.best("bid")
        ask = None if self._book is None else self._book.best("ask")
        return {
            "instrument": self.instrument,
            "frames": self.frames,
            "applied": self.applied,
            "gaps": self.gaps,
            "crossed": self.crossed,
            "repeated": self.repeated,
            "unreadable": self.unreadable,
            "verified": self.verified,
            "proof": self._rules.proof._asdict(),
            "checked": self._comparison.checked,
            "failed": self._comparison.failed,
            # Both kinds of one recording tell of the same trades.
            "trades": self._ids["aggregate"].count or self._ids["fill"].count,
            "trade_ids_missing": self._missing,
            "best_bid": None if bid is None else bid[0],
            "best_bid_size": None if bid is None else bid[1],
            "best_ask": None if ask is None else ask[0],
            "best_ask_size": None if ask is None else ask[1],
            "levels": 0 if self._book is None else self._book.levels,
            "faults": [fault._asdict() for fault in sorted(self.faults)[:MOST_FAULTS]],
        }

    def _joined(self, frame: BookUpdate) -> TextBook | None:
        for answer in self._answers:
            fits = self._rules.joins(answer.snapshot.last_update_id, frame.update)
            if fits and (answer.symbol or _is_near(answer.snapshot, frame.update)):
                return TextBook(answer)
        return None

    def _apply(self, line: int, book: TextBook, frame: BookUpdate) -> Top:
        book.apply(frame)
        self.applied += 1
        if book.book.is_crossed:
            self.crossed += 1
            self._fault(line, "the best bid is not below the best ask")
        bid, ask = book.best("bid"), book.best("ask")
        self._differ(self._comparison.show(line, frame.update.final_id, bid, ask))
        return Top(line, self.instrument, bid, ask)

    def _differ(self, lines: list[int]) -> None:
        for line in lines:
            self._fault(line, "the best prices are others in their own channel")

    def _fault(self, line: int, what: str) -> None:
        self.faults.append(Fault(line, what))


def _is_near(snapshot: DepthSnapshot, update: DepthUpdate) -> bool:
    """Whether a price of the update lies within the levels of a book that does not say whose it is."""
    prices = [price for levels in (snapshot.bids, snapshot.asks) for price, _ in levels]
    changed = [price for levels in (update.bids, update.asks) for price, _ in levels]
    return not changed or any(min(prices, default=0.0) <= price <= max(prices, default=0.0) for price in changed)
