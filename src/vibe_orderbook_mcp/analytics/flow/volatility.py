"""How much mid moved over the trailing hour, and how much of that in jumps.

These use mid, because trades bounce between bid and ask without a price move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, pi, sqrt

from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.windows import Rows

GRID_SECS = 5
HOUR_SECS = 3600
MIN_RETURNS = 12
MIN_COVERAGE = 0.8
ENOUGH_STEPS = 180  # a quarter of an hour
YEAR_SECS = 365 * 86_400


class VarianceTimes:
    """Realised variance of the last minute against the trailing hour's, fed with mid at the end of each second."""

    __slots__ = ("_before", "_squares")

    def __init__(self) -> None:
        self._before: tuple[int, float] | None = None
        self._squares: deque[tuple[int, float]] = deque()

    def second(self, second: int, mid: float | None) -> None:
        if (second + 1) % GRID_SECS:
            return
        before, self._before = self._before, None if mid is None else (second, mid)
        if mid is not None and before is not None and before[0] == second - GRID_SECS:
            self._squares.append((second, log(mid / before[1]) ** 2))
        while self._squares and self._squares[0][0] <= second - HOUR_SECS:
            self._squares.popleft()

    def times(self, second: int) -> float | None:
        """None with fewer than 12 steps in the last minute, with less than a quarter of an hour, or without a move."""
        recent = [square for at, square in self._squares if at > second - GRID_SECS * MIN_RETURNS]
        if len(recent) < MIN_RETURNS or len(self._squares) < ENOUGH_STEPS:
            return None
        usual = sum(square for _, square in self._squares) / len(self._squares)
        return ratio(sum(recent) / len(recent), usual)


@dataclass(frozen=True, slots=True)
class Volatility:
    """Realised over `span_secs`. `variance` is None with too few returns or too many holes; it is scaled up for the
    missing ones. `jump_share` is None without a move."""

    variance: float | None
    jump_share: float | None
    span_secs: int
    returns: int
    coverage: float

    @property
    def bps(self) -> float | None:
        """Over the span."""
        return None if self.variance is None else 1e4 * sqrt(self.variance)

    @property
    def annualised(self) -> float | None:
        """As a fraction: 0.5 is 50 % a year."""
        return None if self.variance is None else sqrt(self.variance / self.span_secs * YEAR_SECS)


def hour_volatility(rows: Rows, end: int) -> Volatility:
    """Volatility of the hour before `end`, or of the part with rows."""
    mids = grid_mids(rows, end)
    return realised(mids, GRID_SECS)


def grid_mids(rows: Rows, end: int) -> list[float | None]:
    """Mid at every fifth second of the clock, from the first row of the hour; None if unknown."""
    at_end_of = {row.second + 1: row.mid for row in rows if row.second >= end - HOUR_SECS - 1 and row.second < end}
    if not at_end_of:
        return []
    first = -(-max(min(at_end_of), end - HOUR_SECS) // GRID_SECS) * GRID_SECS
    return [at_end_of.get(at) for at in range(first, end + 1, GRID_SECS)]


def realised(mids: Sequence[float | None], step_secs: int) -> Volatility:
    """Sum of squared log returns between neighbours that are both known."""
    steps = [None if a is None or b is None else log(b / a) for a, b in pairwise(mids)]
    returns = [step for step in steps if step is not None]
    span = len(steps) * step_secs
    coverage = ratio(len(returns), len(steps)) or 0.0
    if len(returns) < MIN_RETURNS or coverage < MIN_COVERAGE:
        return Volatility(None, None, span, len(returns), coverage)
    variance = sum(step * step for step in returns)
    products = [abs(a) * abs(b) for a, b in pairwise(steps) if a is not None and b is not None]
    # A hole removes more pairs of neighbours than returns: scale the sum to the full number of pairs.
    pairs = ratio(len(returns) - 1, len(products))
    continuous = None if pairs is None else pi / 2 * sum(products) * pairs
    smooth = None if continuous is None else ratio(continuous, variance)
    return Volatility(
        variance / coverage, None if smooth is None else max(0.0, 1 - smooth), span, len(returns), coverage
    )
