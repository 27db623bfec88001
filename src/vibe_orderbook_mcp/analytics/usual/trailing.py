"""The trailing hour of one figure: its median and spread at any moment."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

MAD_TO_SIGMA: Final = 1.4826


class Trailing:
    """Values of the last `span_secs`, at most one in `every_secs`, also kept in order.

    Adding is O(log n) and a short memmove. It allocates all memory at the start, 24 bytes a value, so memory does not
    grow during the day.
    """

    __slots__ = ("_count", "_first", "_ordered", "_seconds", "_span_secs", "_values")

    def __init__(self, span_secs: int, every_secs: int = 1) -> None:
        most = span_secs // every_secs
        self._span_secs = span_secs
        self._count = 0
        self._first = 0  # index of the oldest value in the two rings
        self._seconds = array("q", [0]) * most
        self._values = array("d", [0.0]) * most
        self._ordered = array("d", [0.0]) * most  # the first `_count`

    def __len__(self) -> int:
        return self._count

    def add(self, second: int, value: float) -> None:
        """The next second."""
        most = len(self._values)
        while self._count and (self._count == most or self._seconds[self._first] <= second - self._span_secs):
            self._drop_oldest()
        place = (self._first + self._count) % most
        self._seconds[place], self._values[place] = second, value
        self._ordered.insert(bisect_left(self._ordered, value, 0, self._count), value)
        self._ordered.pop()
        self._count += 1

    def drop_before(self, second: int) -> None:
        """Drop old values although no new one comes."""
        while self._count and self._seconds[self._first] < second:
            self._drop_oldest()

    @property
    def ordered(self) -> array[float]:
        """A copy of the values, ascending."""
        return self._ordered[: self._count]

    def add_all(self, later: Trailing) -> None:
        """Add all values of another object; they are newer than the newest one here."""
        most = len(later._values)
        for place in range(later._first, later._first + later._count):
            self.add(later._seconds[place % most], later._values[place % most])

    def _drop_oldest(self) -> None:
        self._ordered.pop(bisect_left(self._ordered, self._values[self._first], 0, self._count))
        self._ordered.append(0.0)
        self._first = (self._first + 1) % len(self._values)
        self._count -= 1

    @property
    def median(self) -> float | None:
        ordered, count = self._ordered, self._count
        if not count:
            return None
        half = count // 2
        return ordered[half] if count % 2 else (ordered[half - 1] + ordered[half]) / 2

    def sigma(self, middle: float) -> float:
        """1.4826 * median |value - middle|."""
        count = self._count
        if count == 0:
            return 0.0
        half = count // 2
        upper = self._deviation(middle, half + 1)
        return MAD_TO_SIGMA * (upper if count % 2 else (self._deviation(middle, half) + upper) / 2)

    def _deviation(self, middle: float, nth: int) -> float:
        """The nth smallest |value - middle|. To both sides of `middle` distances ascend: search how many of the
        nth smallest lie to the left.
        """
        ordered, count = self._ordered, self._count
        split = bisect_left(ordered, middle, 0, count)
        low, high = max(0, nth - (count - split)), min(nth, split)
        while low < high:
            left = (low + high) // 2
            if middle - ordered[split - 1 - left] < ordered[split + nth - left - 1] - middle:
                low = left + 1
            else:
                high = left
        furthest = 0.0
        if low:
            furthest = middle - ordered[split - low]
        if nth > low:
            furthest = max(furthest, ordered[split + nth - low - 1] - middle)
        return furthest
