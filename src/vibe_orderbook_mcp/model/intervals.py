"""Sets of whole numbers as ascending intervals `(first, last)`, both ends included. PURE

No two of them touch: the list is the shortest one for its set, so equal sets are equal lists.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import itemgetter

Interval = tuple[int, int]

_first = itemgetter(0)
_last = itemgetter(1)


def contains(intervals: Sequence[Interval], number: int) -> bool:
    at = bisect_right(intervals, number, key=_first) - 1
    return at >= 0 and number <= intervals[at][1]


def add(intervals: Sequence[Interval], first: int, last: int) -> list[Interval]:
    """The union with [first, last]; nothing when `last` is less than `first`."""
    if last < first:
        return list(intervals)
    start = bisect_left(intervals, first - 1, key=_last)  # the first that reaches up to ours
    stop = bisect_right(intervals, last + 1, key=_first)  # the first that begins beyond it
    if start < stop:
        first, last = min(first, intervals[start][0]), max(last, intervals[stop - 1][1])
    return [*intervals[:start], (first, last), *intervals[stop:]]


def union(intervals: Sequence[Interval], others: Iterable[Interval]) -> list[Interval]:
    joined = list(intervals)
    for first, last in others:
        joined = add(joined, first, last)
    return joined


def of_numbers(numbers: Iterable[int]) -> list[Interval]:
    """The runs of an ascending sequence. Any order gives the right set; ascending is fast."""
    runs: list[Interval] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs = add(runs, number, number)
    return runs


def holes(intervals: Sequence[Interval], first: int, last: int) -> list[Interval]:
    """The numbers of [first, last] that are in none of them."""
    missing = []
    at = first
    for low, high in intervals[bisect_left(intervals, first, key=_last) :]:
        if low > last:
            break
        if at < low:
            missing.append((at, low - 1))
        at = high + 1
    if at <= last:
        missing.append((at, last))
    return missing


def drop_below(intervals: Sequence[Interval], number: int) -> list[Interval]:
    """Only the numbers from `number` up."""
    return [(max(first, number), last) for first, last in intervals if last >= number]


def count(intervals: Iterable[Interval]) -> int:
    return sum(last - first + 1 for first, last in intervals)


def remove(intervals: Sequence[Interval], first: int, last: int) -> list[Interval]:
    """Without [first, last]."""
    if last < first:
        return list(intervals)
    return [
        *((low, min(high, first - 1)) for low, high in intervals if low < first),
        *((max(low, last + 1), high) for low, high in intervals if high > last),
    ]


def difference(intervals: Sequence[Interval], others: Iterable[Interval]) -> list[Interval]:
    """The numbers that are not in `others`."""
    left = list(intervals)
    for first, last in others:
        left = remove(left, first, last)
    return left
