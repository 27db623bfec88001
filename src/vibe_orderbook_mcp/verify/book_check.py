"""One book of a recording: by the venue's rule, and what contradicts it. PURE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from vibe_orderbook_mcp.model.events import SIDES, Side
from vibe_orderbook_mcp.verify.comparison import Comparison, EqualComparison, Likeness, NewestComparison
from vibe_orderbook_mcp.verify.parts import (
    BestPrices,
    BookAnswer,
    BookProof,
    FramesLost,
    LevelsFrame,
    TextPair,
    TouchPrices,
    UnreadableFrame,
    VenueRules,
)
from vibe_orderbook_mcp.verify.text_book import TextBook

# From the strongest to the weakest.
_STRENGTH: tuple[BookProof, ...] = ("update_ids", "connection_sequence", "checksum", "snapshots_only", "none")


class Top(NamedTuple):
    """The best levels after the frame of a line."""

    line: int
    instrument: str
    bid: TextPair | None
    ask: TextPair | None


class BookCheck:
    """Feed it the frames of one book in the order of the recording.

    `answers` are the whole books that the recording has over REST anywhere: the first frame that continues one begins
    the book, and so does the first one after a gap. `fault` gets what is wrong, and the line.
    """

    def __init__(
        self, rules: VenueRules, name: str, answers: Sequence[BookAnswer], fault: Callable[[int, str], None]
    ) -> None:
        self.frames = self.applied = self.gaps = self.crossed = self.repeated = 0
        self.proved_by: BookProof | None = None
        self.book: TextBook | None = None
        self.likeness = Likeness()
        self._rules = rules
        self._name = name
        self._answers = answers
        self._fault = fault
        self._last_id: int | None = None
        self._depth: int | None = None
        self._full: list[Side] = []  # sides that had as many levels as the subscribed depth when the book came whole
        self._comparison: Comparison = EqualComparison() if rules.compared == "equal" else NewestComparison()
        self._more_checked = self._more_failed = 0

    @property
    def checked(self) -> int:
        return self._comparison.checked + self._more_checked

    @property
    def failed(self) -> int:
        return self._comparison.failed + self._more_failed

    def receive(self, line: int, frame: LevelsFrame) -> Top | None:
        """The best levels, where the frame could be applied. Raises UnreadableFrame, and nothing is changed then."""
        self.frames += 1
        try:
            is_applied = self._begin(line, frame) if frame.whole is not None else self._continue(line, frame)
        except msgspec.ValidationError as error:
            raise UnreadableFrame(str(error)) from error
        weakest = max(self.proved_by or frame.proved_by, frame.proved_by, key=_STRENGTH.index)
        self.proved_by = weakest
        return self._judge(line, self.book, frame) if is_applied and self.book is not None else None

    def come_again(self, line: int, why: str) -> None:
        """A frame that the connection is past."""
        self.frames += 1
        self.repeated += 1
        self._fault(line, why)

    def hear(self, line: int, part: BestPrices | TouchPrices | FramesLost) -> None:
        """What is not a frame of this book, and tells of it."""
        match part:
            case BestPrices():
                self._differ(self._comparison.tell(part))
            case TouchPrices():
                self.likeness.tell(part)
            case FramesLost() if self.frames:
                self.gaps += 1
                self._fault(line, part.why)
                self._forget()

    def finish(self) -> None:
        self._differ(self._comparison.finish())
        self.likeness.finish()

    def _forget(self) -> None:
        """The book begins again with a whole one."""
        self.book = None
        self.likeness.forget()

    def _begin(self, line: int, frame: LevelsFrame) -> bool:
        whole, last_id = frame.whole, self._last_id
        is_snapshots = frame.proved_by == "snapshots_only"
        if is_snapshots and last_id is not None and frame.final_id is not None and frame.final_id < last_id:
            self._repeat(line, frame)
            return False
        self.book = TextBook(frame.bids, frame.asks)
        self._last_id = frame.final_id
        self._depth = None if whole is None else whole.depth
        self._full = [side for side in SIDES if self._depth == self.book.count(side)]
        return True

    def _continue(self, line: int, frame: LevelsFrame) -> bool:
        last_id = self._last_id
        following = "next" if last_id is None else self._rules.follows(last_id, frame)
        if following == "old":
            self._repeat(line, frame)
            return False
        if following == "gap" and last_id is not None:
            self.gaps += 1
            self._fault(line, _missing(last_id, frame))
            self._forget()
        if self.book is None:
            self.book = self._joined(line, frame)
        if self.book is not None:
            self.book.apply(frame.bids, frame.asks)
        self._last_id = frame.final_id
        return self.book is not None

    def _repeat(self, line: int, frame: LevelsFrame) -> None:
        self.repeated += 1
        first = frame.final_id if frame.first_id is None else frame.first_id
        self._fault(line, f"updates {first} to {frame.final_id} came again")

    def _joined(self, line: int, frame: LevelsFrame) -> TextBook | None:
        for answer in self._answers:
            fits = self._rules.joins(answer.update_id, frame)
            if fits and (answer.symbol or _is_near(answer, frame)):
                book = TextBook(answer.bids, answer.asks)
                if self._rules.compared == "equal":
                    self._differ(self._comparison.show(line, answer.update_id, book.best("bid"), book.best("ask")))
                return book
        return None

    def _judge(self, line: int, book: TextBook, frame: LevelsFrame) -> Top:
        """The book after a frame that was applied."""
        self.applied += 1
        depth = self._depth
        if depth is not None:
            if self._rules.beyond_depth == "cut":
                book.keep_best(depth)
            else:
                self._count_levels(line, book, depth)
        if book.book.is_crossed:
            self.crossed += 1
            self._fault(line, "the best bid is not below the best ask")
        if frame.checksum is not None:
            self._more_checked += 1
            if not self._rules.is_right(book, frame.checksum):
                self._more_failed += 1
                self._fault(line, f"the book has not the checksum {frame.checksum} of its frame")
        bid, ask = book.best("bid"), book.best("ask")
        shared_id = frame.final_id if frame.shared_id is None else frame.shared_id
        if shared_id is not None:
            self._differ(self._comparison.show(line, shared_id, bid, ask))
        self.likeness.show(frame.at, bid, ask)
        return Top(line, self._name, bid, ask)

    def _count_levels(self, line: int, book: TextBook, depth: int) -> None:
        """The venue says what leaves: a side has never more levels, nor fewer once it had all of them."""
        for side in SIDES:
            count = book.count(side)
            if count > depth or (count < depth and side in self._full):
                self._more_checked += 1
                self._more_failed += 1
                self._fault(line, f"{count} levels of {side}s, where {depth} are kept")

    def _differ(self, lines: list[int]) -> None:
        for line in lines:
            self._fault(line, "the best prices are others in their own channel")


def _missing(last_id: int, frame: LevelsFrame) -> str:
    if frame.previous_id is not None:
        return f"it continues update {frame.previous_id}, and the last one was {last_id}"
    return f"updates {last_id + 1} to {(frame.first_id or 0) - 1} are missing"


def _is_near(answer: BookAnswer, frame: LevelsFrame) -> bool:
    """Whether a price of the frame lies within the levels of a book that does not say whose it is."""
    prices = [float(price) for levels in (answer.bids, answer.asks) for price, _ in levels]
    changed = [float(price) for levels in (frame.bids, frame.asks) for price, _ in levels]
    return not changed or any(min(prices, default=0.0) <= price <= max(prices, default=0.0) for price in changed)
