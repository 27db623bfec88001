"""The trailing hour of one figure: its median and spread at any moment."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import Final

MAD_TO_SIGMA: Final = 1.4826


class Trailing:
    """Values of the last `span_secs`, also kept in order. Adding is O(log n) and a short memmove."""

    __slots__ = ("_by_time", "_ordered", "_span_secs")

    def __init__(self, span_secs: int) -> None:
        self._span_secs = span_secs
        self._by_time: deque[tuple[int, float]] = deque()
        self._ordered: list[float] = []

    def __len__(self) -> int:
        return len(self._ordered)

    def add(self, second: int, value: float) -> None:
        self._by_time.append((second, value))
        insort(self._ordered, value)
        self.expire(second)

    def expire(self, second: int) -> None:
        while self._by_time and self._by_time[0][0] <= second - self._span_secs:
            del self._ordered[bisect_left(self._ordered, self._by_time.popleft()[1])]

    @property
    def median(self) -> float | None:
        ordered = self._ordered
        if not ordered:
            return None
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    def sigma(self, middle: float) -> float:
        """1.4826 * median |value - middle|."""
        count = len(self._ordered)
        if count == 0:
            return 0.0
        half = count // 2
        upper = self._deviation(middle, half + 1)
        return MAD_TO_SIGMA * (upper if count % 2 else (self._deviation(middle, half) + upper) / 2)

    def _deviation(self, middle: float, nth: int) -> float:
        """The nth smallest |value - middle|. To both sides of `middle` distances ascend: search how many of the
        nth smallest lie to the left.
        """
        ordered = self._ordered
        split = bisect_left(ordered, middle)
        low, high = max(0, nth - (len(ordered) - split)), min(nth, split)
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
