"""Ordinary least squares with an intercept, for impact figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from vibe_orderbook_mcp.analytics.numbers import ratio


@dataclass(frozen=True, slots=True)
class Line:
    """y = intercept + slope * x. `r2` is None when y does not vary, `t` when there is no residual to judge by."""

    slope: float
    intercept: float
    r2: float | None
    t: float | None
    n: int


def fit_line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """The line of least squares, or None when x does not vary."""
    n = len(x)
    if n < 2 or min(x) == max(x):
        return None
    mean_x, mean_y = sum(x) / n, sum(y) / n
    sxx = sum((value - mean_x) ** 2 for value in x)
    slope = ratio(sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)), sxx)
    if slope is None:
        return None
    intercept = mean_y - slope * mean_x
    residual = sum((b - intercept - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    total = sum((b - mean_y) ** 2 for b in y)
    unexplained = ratio(residual, total)
    error = sqrt(residual / (n - 2) / sxx) if n > 2 else 0.0
    return Line(slope, intercept, None if unexplained is None else max(0.0, 1 - unexplained), ratio(slope, error), n)
