"""Counts of values in bins, hour by hour, and ranks in merged hours.

A day of seconds has 86 400 values for each figure. Their bins are about a hundred numbers that can be added, expire by
the hour and survive a restart. A bin is 0.05 of a standardised value wide (2 % beyond 8): that is the resolution of
ranks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from math import exp, fsum, log
from struct import pack, unpack
from typing import Final, Literal

import msgspec

from vibe_orderbook_mcp.analytics.rarity import n_eff

Scale = Literal["score", "level"]

SCORE_WIDTH: Final = 0.05
SCORE_LINEAR: Final = 8.0  # beyond this value bins grow with the value
SCORE_GROWTH: Final = 0.02
SCORE_MOST: Final = 1e6
LEVEL_WIDTH: Final = 0.02
MOST_BIN: Final = 32_767  # the largest number in two bytes
CORRELATED_MOST: Final = 10.0  # one extreme score must not decide the correlation of neighbours

_LINEAR_BINS: Final = round(SCORE_LINEAR / SCORE_WIDTH)


def bin_of(scale: Scale, value: float) -> int:
    """The bin whose centre is nearest."""
    if scale == "score":
        size = abs(value)
        if size <= SCORE_LINEAR:
            place = int(size / SCORE_WIDTH + 0.5)
        else:
            place = _LINEAR_BINS + int(log(min(size, SCORE_MOST) / SCORE_LINEAR) / SCORE_GROWTH + 0.5)
        return place if value >= 0.0 else -place
    return max(-MOST_BIN, min(MOST_BIN, round(value / LEVEL_WIDTH)))


def value_of(scale: Scale, place: int) -> float:
    """A bin's centre."""
    if scale == "level":
        return place * LEVEL_WIDTH
    size = abs(place)
    if size <= _LINEAR_BINS:
        return place * SCORE_WIDTH
    value = SCORE_LINEAR * exp((size - _LINEAR_BINS) * SCORE_GROWTH)
    return value if place > 0 else -value


class Sums(msgspec.Struct, array_like=True, gc=False):
    """Sums for the autocorrelation of neighbours."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    pairs: int = 0
    products: float = 0.0
    last_second: int = 0
    last: float = 0.0

    def add(self, second: int, value: float, step: int) -> None:
        """`step` is the time in seconds from one value to its neighbour; 0: any time."""
        value = max(-CORRELATED_MOST, min(CORRELATED_MOST, value))
        if self.last_second and (step == 0 or second - self.last_second == step):
            self.pairs += 1
            self.products += self.last * value
        self.n += 1
        self.total += value
        self.squares += value * value
        self.last_second, self.last = second, value

    def take_in(self, older: Sums) -> None:
        """Add the sums of the values before the first one."""
        self.n += older.n
        self.total += older.total
        self.squares += older.squares
        self.pairs += older.pairs
        self.products += older.products
        if not self.last_second:
            self.last_second, self.last = older.last_second, older.last


class Binned(msgspec.Struct, array_like=True, gc=False):
    """One figure's hour, packed: its bins as 16-bit numbers, their counts as 32-bit ones, little-endian."""

    bins: bytes
    counts: bytes
    sums: Sums

    def items(self) -> Iterable[tuple[int, int]]:
        size = len(self.bins) // 2
        return zip(unpack(f"<{size}h", self.bins), unpack(f"<{size}I", self.counts), strict=True)


def packed(counts: dict[int, int], sums: Sums) -> Binned:
    bins = sorted(counts)
    return Binned(
        pack(f"<{len(bins)}h", *bins),
        pack(f"<{len(bins)}I", *(counts[place] for place in bins)),
        msgspec.structs.replace(sums),
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """The rank of a value in its baseline."""

    rank: float  # share of the baseline below it; never 0 or 1
    rarity: float  # the same, capped by the number of independent values
    n: int
    n_eff: float


class Pool:
    """Merged hours of one figure."""

    def __init__(self, scale: Scale) -> None:
        self.scale: Scale = scale
        self.n = 0
        self.counts: dict[int, int] = {}
        self.hours: set[int] = set()

    def add(self, place: int, count: int = 1) -> None:
        left = self.counts.get(place, 0) + count
        if left:
            self.counts[place] = left
        else:
            del self.counts[place]
        self.n += count

    def merge(self, hour: int, items: Iterable[tuple[int, int]]) -> None:
        self.hours.add(hour)
        for place, count in items:
            self.add(place, count)

    def drop(self, hour: int, items: Iterable[tuple[int, int]]) -> None:
        self.hours.discard(hour)
        for place, count in items:
            self.add(place, -count)

    def items(self) -> Iterable[tuple[float, int]]:
        """(value, how often)."""
        return ((value_of(self.scale, place), count) for place, count in self.counts.items())

    def from_(self, value: float) -> int:
        """Number of values that high or higher, to the bin."""
        own = bin_of(self.scale, value)
        return sum(count for place, count in self.counts.items() if place >= own)

    def rank(self, value: float) -> float | None:
        """`Ranks.rank` at the resolution of the bins. None: no values."""
        if self.n == 0:
            return None
        own = bin_of(self.scale, value)
        less = sum(count for place, count in self.counts.items() if place < own)
        return (less + 0.5 * self.counts.get(own, 0) + 0.5) / (self.n + 1)

    def quantile(self, share: float) -> float | None:
        """The lowest bin that has at least `share` of all values at or below it."""
        if self.n == 0:
            return None
        places = sorted(self.counts)
        for place, below in zip(places, accumulate(self.counts[place] for place in places), strict=True):
            if below >= share * self.n:
                return value_of(self.scale, place)
        return value_of(self.scale, places[-1])

    def standing(self, value: float, hours: Iterable[Sums]) -> Standing | None:
        rank = self.rank(value)
        if rank is None:
            return None
        independent = n_eff(self.n, _autocorrelation(list(hours)))
        return Standing(rank, min(rank, 1 - 1 / (independent + 1)), self.n, independent)


def _autocorrelation(hours: list[Sums]) -> float:
    """Lag 1, over all hours; 0 if undefined. `fsum` gives the same digits for the same hours."""
    n, pairs = sum(each.n for each in hours), sum(each.pairs for each in hours)
    if n < 2 or pairs == 0:
        return 0.0
    mean = fsum(each.total for each in hours) / n
    variance = fsum(each.squares for each in hours) / n - mean * mean
    if variance <= 1e-12:
        return 0.0
    return (fsum(each.products for each in hours) / pairs - mean * mean) / variance
