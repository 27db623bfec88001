"""A day of seconds as columns: what windows of any length are compared with, without making rows of them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from math import isnan, nan
from typing import Final, NamedTuple

from vibe_orderbook_mcp.analytics.windows import OK_COVERAGE
from vibe_orderbook_mcp.core.rows import SecondRow

# More would tell a rank finer than anybody asks, and every one of them is summed up for each question.
WINDOWS_MOST: Final = 1440


class EqualWindow(NamedTuple):
    """An earlier window: traded base units, and how far mid went in quote units (None without a mid)."""

    buy_volume: float
    sell_volume: float
    mid_change: float | None


class Past:
    """Ascending seconds. Some may be missing: nobody watched then."""

    __slots__ = ("_buys", "_covered_ms", "_mids", "_seconds", "_sells")

    def __init__(self) -> None:
        self._seconds = array("q")
        self._covered_ms = array("i")
        self._mids = array("d")  # nan: not known
        self._buys = array("d")
        self._sells = array("d")

    @classmethod
    def of(cls, rows: Iterable[SecondRow]) -> Past:
        past = cls()
        for row in rows:
            past.add(row.second, row.covered_ms, row.mid, row.buy_volume, row.sell_volume)
        return past

    @property
    def newest(self) -> int | None:
        return self._seconds[-1] if self._seconds else None

    def add(self, second: int, covered_ms: int, mid: float | None, buy_volume: float, sell_volume: float) -> None:
        """The next second; an earlier one is left out."""
        if self._seconds and second <= self._seconds[-1]:
            return
        self._seconds.append(second)
        self._covered_ms.append(covered_ms)
        self._mids.append(nan if mid is None else mid)
        self._buys.append(buy_volume)
        self._sells.append(sell_volume)

    def drop_before(self, second: int) -> None:
        gone = bisect_left(self._seconds, second)
        for column in (self._seconds, self._covered_ms, self._mids, self._buys, self._sells):
            del column[:gone]

    def windows(self, secs: int, before: int) -> list[EqualWindow]:
        """Non-overlapping windows of `secs` that end at `before` or earlier, oldest first, well covered ones only."""
        if not self._seconds or secs <= 0:
            return []
        found: list[EqualWindow] = []
        last = bisect_left(self._seconds, before)
        for start in range(before - secs, self._seconds[0] - 1, -secs):
            first = bisect_left(self._seconds, start, 0, last)
            if sum(self._covered_ms[first:last]) >= OK_COVERAGE * 1000 * secs:
                change = self._mid_change(start, first, last)
                found.append(EqualWindow(sum(self._buys[first:last]), sum(self._sells[first:last]), change))
                if len(found) == WINDOWS_MOST:
                    break
            last = first
        return found[::-1]

    def _mid_change(self, start: int, first: int, last: int) -> float | None:
        """From mid before the window, or the first one in it, to the last one in it."""
        mids = self._mids
        newest = next((mids[place] for place in range(last - 1, first - 1, -1) if not isnan(mids[place])), None)
        if newest is None:
            return None
        if first > 0 and self._seconds[first - 1] == start - 1 and not isnan(mids[first - 1]):
            return newest - mids[first - 1]
        return newest - next(mids[place] for place in range(first, last) if not isnan(mids[place]))
