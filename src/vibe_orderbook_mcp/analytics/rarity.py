"""How unusual a value is for this symbol. A rarity is never a probability of intent."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from vibe_orderbook_mcp.analytics.numbers import ratio


class Ranks:
    """A baseline that many values are ranked in. `values` are in order of time: neighbouring windows resemble each
    other, so a day has fewer independent windows than windows."""

    __slots__ = ("_cap", "_ordered")

    def __init__(self, values: Sequence[float]) -> None:
        self._ordered = sorted(values)
        self._cap = 1 - 1 / (effective_count(values) + 1)

    def __len__(self) -> int:
        return len(self._ordered)

    def rank(self, value: float) -> float:
        """(#less + #equal / 2 + 1/2) / (n + 1): never 0 or 1, resolution 1 / (n + 1)."""
        less, not_more = bisect_left(self._ordered, value), bisect_right(self._ordered, value)
        return (less + 0.5 * (not_more - less) + 0.5) / (len(self._ordered) + 1)

    def rarity(self, value: float) -> float:
        """`rank`, capped by the length and persistence of the baseline."""
        return min(self.rank(value), self._cap)

    def quantile(self, share: float) -> float:
        """Between the two values next to it (Hyndman & Fan's type 7). Raises IndexError for no values."""
        place = (len(self._ordered) - 1) * share
        low = int(place)
        high = min(low + 1, len(self._ordered) - 1)
        return self._ordered[low] + (self._ordered[high] - self._ordered[low]) * (place - low)


def rarity(baseline: Sequence[float], value: float) -> float:
    """`Ranks(baseline).rarity(value)`, for one value."""
    return Ranks(baseline).rarity(value)


def lag1_autocorrelation(series: Sequence[float]) -> float:
    """-1 to 1; 0 for a series that does not vary."""
    if len(series) < 2:
        return 0.0
    mean = sum(series) / len(series)
    deviations = [value - mean for value in series]
    products = sum(a * b for a, b in pairwise(deviations))
    return ratio(products, sum(value * value for value in deviations)) or 0.0


def n_eff(n: int, phi: float) -> float:
    """Independent observations in n of an AR(1): n (1 - phi) / (1 + phi), never more than n."""
    phi = min(max(phi, 0.0), 1.0)
    return n * (1 - phi) / (1 + phi)


def effective_count(series: Sequence[float]) -> float:
    return n_eff(len(series), lag1_autocorrelation(series))
