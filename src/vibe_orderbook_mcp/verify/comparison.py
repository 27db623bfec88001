"""Books against the best prices of another channel, and ids against their sequence. PURE."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from vibe_orderbook_mcp.verify.parts import BestPrices, TextPair


class _Shown(NamedTuple):
    """The best levels of a book after an update; None for an empty side."""

    line: int
    update_id: int
    bid: TextPair | None
    ask: TextPair | None


class Comparison:
    """Each state of a book against the newest best prices at or before its update id.

    The two channels may reach a recording in any order, so a state waits until best prices with a later id are known.
    """

    def __init__(self) -> None:
        self.checked = 0
        self.failed = 0
        self._shown: deque[_Shown] = deque()
        self._told: deque[BestPrices] = deque()

    def show(self, line: int, update_id: int, bid: TextPair | None, ask: TextPair | None) -> list[int]:
        """A state of the book. Returns the lines of states that were found to differ."""
        self._shown.append(_Shown(line, update_id, bid, ask))
        return self._compare()

    def tell(self, told: BestPrices) -> list[int]:
        """Best prices, by ascending ids; others are left out. Returns as `show` does."""
        if self._told and told.update_id < self._told[-1].update_id:
            return []
        self._told.append(told)
        return self._compare()

    def finish(self) -> list[int]:
        """Nothing more comes: what waits is compared with the newest there is."""
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
            if not (_equal(state.bid, told[0].bid) and _equal(state.ask, told[0].ask)):
                self.failed += 1
                differing.append(state.line)
        return differing


def _equal(level: TextPair | None, told: TextPair) -> bool:
    price, size = float(told[0]), float(told[1])
    return price == 0.0 if level is None else (float(level[0]), float(level[1])) == (price, size)


class IdSequence:
    """Ids that follow each other by one: how many came, and which are missing between the first and the last."""

    def __init__(self) -> None:
        self.count = 0
        self._first = self._last = 0
        self._holes: list[tuple[int, int]] = []  # inclusive, ascending

    @property
    def missing(self) -> int:
        return sum(last - first + 1 for first, last in self._holes)

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
