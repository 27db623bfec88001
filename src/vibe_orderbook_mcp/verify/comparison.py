"""Books against the best prices of another channel, and ids against their sequence. PURE."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple, Protocol

from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.verify.parts import BestPrices, TextPair, TouchPrices

# At most this much of one channel waits for the other, and of channels that come one after the other: memory is
# bounded.
MOST_WAITING: Final = 50_000
MOST_STATES: Final = 300_000


class _Shown(NamedTuple):
    """The best levels of a book after an update; None for an empty side."""

    line: int
    update_id: int
    bid: TextPair | None
    ask: TextPair | None


class Comparison(Protocol):
    """States of a book against best prices that are exactly theirs, by their ids.

    The two channels may reach a recording in any order, so what comes first waits for the other.
    """

    checked: int
    failed: int

    def show(self, line: int, update_id: int, bid: TextPair | None, ask: TextPair | None) -> list[int]:
        """A state of the book. Returns the lines of states that were found to differ."""

    def tell(self, told: BestPrices) -> list[int]:
        """Best prices. Returns as `show` does."""

    def finish(self) -> list[int]:
        """Nothing more comes."""


class NewestComparison:
    """Each state against the newest best prices at or before its id: a channel that tells of every change."""

    def __init__(self) -> None:
        self.checked = 0
        self.failed = 0
        self._shown: deque[_Shown] = deque(maxlen=MOST_STATES)
        self._told: deque[BestPrices] = deque(maxlen=MOST_STATES)

    def show(self, line: int, update_id: int, bid: TextPair | None, ask: TextPair | None) -> list[int]:
        self._shown.append(_Shown(line, update_id, bid, ask))
        return self._compare()

    def tell(self, told: BestPrices) -> list[int]:
        """By ascending ids; others are left out."""
        if self._told and told.update_id < self._told[-1].update_id:
            return []
        self._told.append(told)
        return self._compare()

    def finish(self) -> list[int]:
        """What waits is compared with the newest there is."""
        return self._compare(is_over=True)

    def _compare(self, *, is_over: bool = False) -> list[int]:
        differing: list[int] = []
        shown, told = self._shown, self._told
        while shown and told and (is_over or told[-1].update_id > shown[0].update_id):
            state = shown.popleft()
            while len(told) > 1 and told[1].update_id <= state.update_id:
                told.popleft()
            if told[0].update_id > state.update_id:
                continue  # nothing was said of that time
            self.checked += 1
            if not _is_told(state, told[0]):
                self.failed += 1
                differing.append(state.line)
        return differing


class EqualComparison:
    """States and best prices of one id: a channel that leaves changes out, as the book's does."""

    def __init__(self) -> None:
        self.checked = 0
        self.failed = 0
        self._shown: dict[int, _Shown] = {}
        self._told: dict[int, BestPrices] = {}

    def show(self, line: int, update_id: int, bid: TextPair | None, ask: TextPair | None) -> list[int]:
        state = _Shown(line, update_id, bid, ask)
        told = self._told.pop(update_id, None)
        if told is None:
            _wait(self._shown, update_id, state)
            return []
        return self._compare(state, told)

    def tell(self, told: BestPrices) -> list[int]:
        state = self._shown.pop(told.update_id, None)
        if state is None:
            _wait(self._told, told.update_id, told)
            return []
        return self._compare(state, told)

    def finish(self) -> list[int]:
        return []

    def _compare(self, state: _Shown, told: BestPrices) -> list[int]:
        self.checked += 1
        if _is_told(state, told):
            return []
        self.failed += 1
        return [state.line]


def _wait(waiting: dict[int, Any], update_id: int, what: _Shown | BestPrices) -> None:
    waiting[update_id] = what
    if len(waiting) > MOST_WAITING:
        del waiting[next(iter(waiting))]


def _is_told(state: _Shown, told: BestPrices) -> bool:
    return _equal(state.bid, told.bid) and _equal(state.ask, told.ask)


def _equal(level: TextPair | None, told: TextPair) -> bool:
    price, size = float(told[0]), float(told[1])
    return price == 0.0 if level is None else (float(level[0]), float(level[1])) == (price, size)


class Likeness:
    """How often a book agrees with what goes by no id of it. Nothing is proved or refuted by this.

    Best prices by the venue's time are compared with the newest state of the book at or before that time, others, and
    trades, with the state that the recording has just before them.
    """

    def __init__(self) -> None:
        self.compared = 0
        self.agreed = 0
        self._states: deque[tuple[int, float, float]] = deque(maxlen=MOST_WAITING)
        self._told: deque[TouchPrices] = deque(maxlen=MOST_WAITING)

    def show(self, at: int | None, bid: TextPair | None, ask: TextPair | None) -> None:
        """A state of the book, by ascending times. A side that is empty has the price 0."""
        state = at or 0, 0.0 if bid is None else float(bid[0]), 0.0 if ask is None else float(ask[0])
        if at is None:
            self._states.clear()
        self._states.append(state)
        self._compare()

    def forget(self) -> None:
        """There is no book now."""
        self._compare(is_over=True)
        self._states.clear()

    def tell(self, told: TouchPrices) -> None:
        if told.at is None:
            if self._states:
                self._judge(self._states[-1], told)
        else:
            self._told.append(told)
            self._compare()

    def trade(self, maker: Side, price: float) -> None:
        """A trade at or beyond the best price of the maker's side agrees."""
        if self._states:
            _, bid, ask = self._states[-1]
            self.compared += 1
            self.agreed += price <= bid if maker == "bid" else bool(ask) and price >= ask

    def finish(self) -> None:
        self._compare(is_over=True)

    def _compare(self, *, is_over: bool = False) -> None:
        states, told = self._states, self._told
        while told and states and (is_over or states[-1][0] > (told[0].at or 0)):
            prices = told.popleft()
            while len(states) > 1 and states[1][0] <= (prices.at or 0):
                states.popleft()
            if states[0][0] <= (prices.at or 0):
                self._judge(states[0], prices)

    def _judge(self, state: tuple[int, float, float], told: TouchPrices) -> None:
        self.compared += 1
        _, bid, ask = state
        is_same = (told.bid is None or float(told.bid) == bid) and (told.ask is None or float(told.ask) == ask)
        self.agreed += is_same


class IdSequence:
    """Ids that follow each other by one: how many came, and which are missing between the first and the last."""

    def __init__(self) -> None:
        self.count = 0
        self._first = self._last = 0
        self._holes: list[tuple[int, int]] = []  # inclusive, ascending

    @property
    def missing(self) -> int:
        return sum(last - first + 1 for first, last in self._holes)

    def reach(self, number: int) -> tuple[int, int] | None:
        """All ids up to this one must have come. Returns those that are not known to be missing yet, if any are."""
        if not self.count or number <= self._last:
            return None
        hole = self._last + 1, number
        self._holes.append(hole)
        self._last = number
        return hole

    def add(self, number: int) -> tuple[int, int] | None:
        """The ids that were jumped over, if any were. An id that came before is not counted again."""
        if not self.count:
            self._first = self._last = number
        elif number > self._last:
            hole = self._last + 1, number - 1
            self._last = number
            if hole[0] <= hole[1]:
                self._holes.append(hole)
                self.count += 1
                return hole
        elif number < self._first:
            if number + 1 < self._first:
                self._holes.insert(0, (number + 1, self._first - 1))
            self._first = number
        elif not self._fill(number):
            return None
        self.count += 1
        return None

    def _fill(self, number: int) -> bool:
        for place, (first, last) in enumerate(self._holes):
            if first <= number <= last:
                left = [(first, number - 1), (number + 1, last)]
                self._holes[place : place + 1] = [hole for hole in left if hole[0] <= hole[1]]
                return True
        return False


class RecentNames:
    """How many names came; one that came again among the last ones is not counted twice."""

    def __init__(self) -> None:
        self.count = 0
        self._recent: dict[str, None] = {}

    def add(self, name: str) -> None:
        if name in self._recent:
            return
        self.count += 1
        self._recent[name] = None
        if len(self._recent) > MOST_WAITING:
            del self._recent[next(iter(self._recent))]
