"""One instrument of a recording: its books, its trades, and the report on them. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from vibe_orderbook_mcp.model.instrument import Instrument
from vibe_orderbook_mcp.verify.book_check import BookCheck, Top
from vibe_orderbook_mcp.verify.comparison import IdSequence, RecentNames
from vibe_orderbook_mcp.verify.parts import (
    BestPrices,
    BookAnswer,
    BookProof,
    FrameAgain,
    FramesLost,
    LevelsFrame,
    TouchPrices,
    TradeIds,
    TradeName,
    TradesReached,
    UnreadableFrame,
    VenueRules,
)

Verified = Literal["book", "snapshots", "unproved", "chain", "nothing"]

MOST_FAULTS: Final = 20  # that a report lists; all are counted
MOST_EARLY_PRICES: Final = 300_000


class Fault(NamedTuple):
    """What is wrong, at the first line where it can be seen."""

    line: int
    what: str


class InstrumentCheck:
    """Feed it the parts of one symbol in the order of the recording.

    An instrument has one book for each channel that is recorded of it, and one tape.
    """

    def __init__(self, rules: VenueRules, symbol: str, answers: Sequence[BookAnswer]) -> None:
        self.instrument = Instrument(rules.venue, symbol).name
        self.unreadable = 0
        self.is_mentioned_alone = True  # by prices that belong to no book here: there is nothing to report then
        self.faults: list[Fault] = []
        self._rules = rules
        self._answers = answers
        self._books: dict[str, BookCheck] = {}
        self._ids = {"aggregate": IdSequence(), "fill": IdSequence()}
        self._old = 0  # trades from before the recording
        self._names = RecentNames()
        self._prices_before: list[BestPrices | TouchPrices] = []  # of a book that has not come yet

    def receive(self, line: int, part: Any) -> Top | None:
        """The best levels, where a frame of a book could be applied."""
        if not isinstance(part, TouchPrices | FramesLost):
            self.is_mentioned_alone = False
        match part:
            case LevelsFrame():
                return self._frame(line, part)
            case FrameAgain():
                self._book(part.channel).come_again(line, part.why)
            case TradeIds():
                self._trade(line, part)
            case TradeName():
                self._names.add(part.name)
            case TradesReached():
                hole = self._ids["fill"].reach(part.last)
                if hole is not None:
                    self._fault(line, f"fill trades {hole[0]} to {hole[1]} are missing")
            case _:
                for book in self._books.values():
                    book.hear(line, part)
                is_kept = isinstance(part, BestPrices) or (isinstance(part, TouchPrices) and part.at is not None)
                if is_kept and not self._books and len(self._prices_before) < MOST_EARLY_PRICES:
                    self._prices_before.append(part)
        return None

    def unread(self, line: int, why: str) -> None:
        self.unreadable += 1
        self.is_mentioned_alone = False
        self._fault(line, f"cannot be read: {why}")

    def finish(self) -> None:
        for book in self._books.values():
            book.finish()

    def reports(self) -> list[dict[str, Any]]:
        """One for each book: counts, the last best levels, and the first faults. A price is None without a book."""
        return [self._report(channel, book) for channel, book in self._books.items()] or [self._report(None, None)]

    @property
    def is_sound(self) -> bool:
        reports = self.reports()
        names = ("gaps", "crossed", "failed", "trade_ids_missing", "unreadable")
        return not any(report[name] for report in reports for name in names) and all(
            report["verified"] != "nothing" for report in reports
        )

    def _frame(self, line: int, frame: LevelsFrame) -> Top | None:
        book = self._book(frame.channel)
        try:
            return book.receive(line, frame)
        except UnreadableFrame as error:
            book.frames -= 1
            self.unread(line, str(error))
            return None

    def _book(self, channel: str) -> BookCheck:
        book = self._books.get(channel)
        if book is None:
            book = self._books[channel] = BookCheck(self._rules, self.instrument, self._answers, self._fault)
            for told in self._prices_before:
                book.hear(0, told)
            self._prices_before.clear()
        return book

    def _trade(self, line: int, trade: TradeIds) -> None:
        if trade.maker is not None and not trade.is_old:
            for book in self._books.values():
                book.likeness.trade(trade.maker, float(trade.price))
        ids = self._ids[trade.sequence]
        before = ids.count
        hole = ids.add(trade.first)
        for number in range(trade.first + 1, trade.last + 1):
            ids.add(number)
        if trade.is_old:
            self._old += ids.count - before
        if hole is not None:
            self._fault(line, f"{trade.sequence} trades {hole[0]} to {hole[1]} are missing")

    @property
    def _missing(self) -> int | None:
        """None where ids cannot say it."""
        if self._rules.proof.trades != "consecutive_ids":
            return None
        return sum(ids.missing for ids in self._ids.values())

    def _verified(self, book: BookCheck | None) -> Verified:
        """By what: the rebuilt book; or ids that follow each other, where no whole book meets the stream."""
        if book is not None and book.applied:
            by: dict[BookProof | None, Verified] = {"snapshots_only": "snapshots", "none": "unproved"}
            return by.get(book.proved_by, "book")
        links = (
            book is not None
            and book.frames - book.repeated > 1
            and book.proved_by in ("update_ids", "connection_sequence")
        )
        return "chain" if links or any(ids.count > 1 for ids in self._ids.values()) else "nothing"

    def _report(self, channel: str | None, book: BookCheck | None) -> dict[str, Any]:
        counted = BookCheck(self._rules, self.instrument, (), self._fault) if book is None else book
        text = counted.book
        bid, ask = (None, None) if text is None else (text.best("bid"), text.best("ask"))
        proof = self._rules.proof
        if counted.proved_by is not None and counted.proved_by != proof.book:
            levels = self._rules.checked_levels if counted.proved_by == "checksum" else None
            proof = msgspec.structs.replace(proof, book=counted.proved_by, book_levels=levels)
        likeness = counted.likeness
        return {
            "instrument": self.instrument,
            "channel": channel,
            "frames": counted.frames,
            "applied": counted.applied,
            "gaps": counted.gaps,
            "crossed": counted.crossed,
            "repeated": counted.repeated,
            "unreadable": self.unreadable,
            "verified": self._verified(book),
            "proof": msgspec.to_builtins(proof),
            "checked": counted.checked,
            "failed": counted.failed,
            # What goes by no id: that it agrees is likely, and no proof.
            "likely_compared": likeness.compared,
            "likely_agreed": likeness.agreed,
            # Both kinds of one recording tell of the same trades.
            "trades": self._trades,
            "trades_before": self._old,
            "trade_ids_missing": self._missing,
            "best_bid": None if bid is None else bid[0],
            "best_bid_size": None if bid is None else bid[1],
            "best_ask": None if ask is None else ask[0],
            "best_ask_size": None if ask is None else ask[1],
            "levels": 0 if text is None else text.levels,
            "faults": [fault._asdict() for fault in sorted(self.faults)[:MOST_FAULTS]],
        }

    @property
    def _trades(self) -> int:
        return (self._ids["aggregate"].count or self._ids["fill"].count) - self._old + self._names.count

    def _fault(self, line: int, what: str) -> None:
        self.faults.append(Fault(line, what))
        if len(self.faults) > 50 * MOST_FAULTS:
            self.faults = sorted(self.faults)[:MOST_FAULTS]
