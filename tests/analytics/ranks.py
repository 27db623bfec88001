"""The rank of a value among others, counted the slow way."""

from __future__ import annotations

from collections.abc import Sequence


def percentile_rank(values: Sequence[float], value: float) -> float:
    """(#less + #equal / 2 + 1/2) / (n + 1)."""
    less = sum(other < value for other in values)
    equal = sum(other == value for other in values)
    return (less + 0.5 * equal + 0.5) / (len(values) + 1)
