"""Price impact of trading over the trailing hour: Kyle's lambda and Amihud's illiquidity.

Buckets are aligned to the clock, so that a later answer uses the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vibe_orderbook_mcp.analytics.numbers import fit_line, ratio
from vibe_orderbook_mcp.analytics.windows import OK_COVERAGE, Cut, Rows, Span, cut

HOUR_SECS = 3600
KYLE_BUCKET_SECS = 10
MIN_KYLE_BUCKETS = 30
KYLE_QUOTE_UNIT = 100_000.0
SIGNIFICANT_T = 2.0
AMIHUD_BUCKET_SECS = 60
AMIHUD_SCALE = 1e6


@dataclass(frozen=True, slots=True)
class Move:
    """A bucket, mid before it, and mid at its end."""

    bucket: Cut
    mid_before: float
    mid_after: float


@dataclass(frozen=True, slots=True)
class KyleLambda:
    """Mid's change in bps = slope * signed quote volume / 100 000. `significant`: |t| of 2 or more."""

    bps_per_100k: float
    r2: float | None
    t: float | None
    significant: bool
    buckets: int


@dataclass(frozen=True, slots=True)
class Illiquidity:
    """Mean of |return| / quote volume, times a million; None where no bucket traded."""

    value: float | None
    buckets: int
    skipped: int  # buckets without volume


def moves(rows: Rows, end: int, bucket_secs: int) -> Iterator[Move]:
    """The complete, covered buckets of the hour before `end`, oldest first."""
    last = end - end % bucket_secs
    first = -(-(end - HOUR_SECS) // bucket_secs) * bucket_secs
    for start in range(first, last, bucket_secs):
        bucket = cut(rows, Span(start, start + bucket_secs))
        if bucket.coverage < OK_COVERAGE or bucket.mid_before is None:
            continue
        closing = bucket.rows[-1]
        if closing.second == bucket.span.end - 1 and closing.mid is not None:
            yield Move(bucket, bucket.mid_before, closing.mid)


def kyle_lambda(rows: Rows, end: int) -> tuple[KyleLambda | None, int]:
    """The fit, and how many buckets there are; none below 30, or where signed volume does not vary."""
    flows: list[float] = []
    changes: list[float] = []
    for move in moves(rows, end, KYLE_BUCKET_SECS):
        flows.append(sum(row.buy_quote - row.sell_quote for row in move.bucket.rows) / KYLE_QUOTE_UNIT)
        changes.append(1e4 * (move.mid_after - move.mid_before) / move.mid_before)
    return kyle_fit(flows, changes), len(flows)


def kyle_fit(flows: list[float], changes_bps: list[float], minimum: int = MIN_KYLE_BUCKETS) -> KyleLambda | None:
    line = fit_line(flows, changes_bps) if len(flows) >= minimum else None
    if line is None:
        return None
    # Without a residual there is no t: then a slope of 0 is not significant, and any other slope is.
    clear = line.slope != 0.0 if line.t is None else abs(line.t) >= SIGNIFICANT_T
    return KyleLambda(line.slope, line.r2, line.t, clear, line.n)


def amihud(rows: Rows, end: int) -> Illiquidity:
    """Over one-minute buckets."""
    returns, volumes = [], []
    for move in moves(rows, end, AMIHUD_BUCKET_SECS):
        returns.append((move.mid_after - move.mid_before) / move.mid_before)
        volumes.append(sum(row.buy_quote + row.sell_quote for row in move.bucket.rows))
    return illiquidity(returns, volumes)


def illiquidity(returns: list[float], quote_volumes: list[float]) -> Illiquidity:
    parts = [
        part
        for change, volume in zip(returns, quote_volumes, strict=True)
        if (part := ratio(AMIHUD_SCALE * abs(change), volume)) is not None
    ]
    return Illiquidity(ratio(sum(parts), len(parts)), len(parts), len(returns) - len(parts))
