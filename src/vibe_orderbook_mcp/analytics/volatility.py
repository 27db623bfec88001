"""How much mid moved over the trailing hour, and how much of that in jumps (definition sheet 2.8).

Mid and not trades, whose bouncing between bid and ask is no movement.
"""

from __future__ import annotations

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
YEAR_SECS = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Volatility:
    """Realised over `span_secs`. `variance` is None with too few returns or too many holes; it is scaled up for
    those that remain. `jump_share` is None where nothing moved."""

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
    """Of the hour before `end`, or of as much of it as there are rows."""
    mids = grid_mids(rows, end)
    return realised(mids, GRID_SECS)


def grid_mids(rows: Rows, end: int) -> list[float | None]:
    """Mid at every fifth second of the clock from the first row of the hour on; None where it is not known."""
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
    # Holes cost more neighbouring pairs than returns: what is left is scaled to as many as there should be.
    pairs = ratio(len(returns) - 1, len(products))
    continuous = None if pairs is None else pi / 2 * sum(products) * pairs
    smooth = None if continuous is None else ratio(continuous, variance)
    return Volatility(
        variance / coverage, None if smooth is None else max(0.0, 1 - smooth), span, len(returns), coverage
    )
