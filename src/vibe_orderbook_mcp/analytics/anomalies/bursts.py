"""Update bursts: far more book changes than usual, hardly any trades, and mid stays put.

A second is a candidate when all three hold: (a) updates above the 0.999 quantile and at least five times the
trailing hour's median, (b) updates per trade above the 0.99 quantile, (c) mid moved no more than usual, because
news moves prices. Three candidates among five seconds make a burst. A second with (a) and (b) alone is a surge:
evidence of a market shock, or an unusual value.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from vibe_orderbook_mcp.analytics.findings import Finding, Severity
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline
from vibe_orderbook_mcp.analytics.usual.figures import Sample

UPDATES_SHARE: Final = 0.999
TRADES_SHARE: Final = 0.99
MIN_TIMES: Final = 5.0
HIGH_TIMES: Final = 10.0
CRITICAL_TIMES: Final = 20.0
NEEDED, AMONG = 3, 5
MOVE_TICKS: Final = 2.0
# The least median, in updates per second: five times two updates are not a burst in any market.
LEAST_MEDIAN: Final = 4.0
FIXED_LIMIT: Final = 500.0


@dataclass(frozen=True, slots=True)
class _Candidate:
    second: int
    updates: float
    rows: int
    order_to_trade: float
    move_ticks: float


def severity_of(times: float) -> Severity:
    return "Critical" if times > CRITICAL_TIMES else "High" if times >= HIGH_TIMES else "Medium"


def churn_share(updates: float, rows: int) -> float | None:
    """Share of updates that the 100 ms frames do not show; a lower bound of additions that were cancelled."""
    return max(0.0, 1.0 - rows / updates) if updates > 0 else None


class UpdateBursts:
    def __init__(self) -> None:
        self._recent: deque[_Candidate] = deque(maxlen=AMONG)
        self._open: Finding | None = None
        self._last = 0
        self.surge: float | None = None  # updates / the hour's median, where mid moved more than usual with them

    @property
    def open(self) -> Finding | None:
        return self._open

    def second(self, second: int, sample: Sample | None, rows: int, baseline: Baseline) -> Finding | None:
        """The finding that changed, if any. `sample` is None for a second without usable data (a gap, no book)."""
        recent = self._recent
        while recent and recent[0].second <= second - AMONG:
            recent.popleft()
        self.surge = None
        if sample is not None and baseline.is_ready and (found := candidate(second, sample, rows, baseline)):
            if found.move_ticks <= move_allowed(baseline):
                recent.append(found)
                self._last = second
            else:
                self.surge = times_median(found.updates, baseline)
        if self._open is None:
            if len(recent) < NEEDED:
                return None
            self._open = self._finding(None, baseline)
            return self._open
        if not recent:
            closed = self._open.ended((self._last + 1) * 1000)
            self._open = None
            return closed
        if recent[-1].second == second:
            updated = self._finding(self._open, baseline)
            changed, self._open = updated.severity != self._open.severity, updated
            return updated if changed else None
        return None

    def _finding(self, known: Finding | None, baseline: Baseline) -> Finding:
        """The peak second describes the burst."""
        peak = max(self._recent, key=lambda each: each.updates)
        if known is not None and float(known.evidence["updates_per_s"]) >= peak.updates:
            return known
        times = times_median(peak.updates, baseline)
        standing = baseline.standing("updates", peak.updates)
        churn = churn_share(peak.updates, peak.rows)
        return Finding(
            type="update_burst",
            start_ms=(self._recent[0].second * 1000) if known is None else known.start_ms,
            end_ms=None,
            severity=severity_of(times),
            rarity=None if standing is None else standing.rarity,
            n_eff=None if standing is None else standing.n_eff,
            evidence={
                "updates_per_s": peak.updates,
                "times_median": times,
                "order_to_trade": peak.order_to_trade,
                **({} if churn is None else {"churn_share": churn}),
                "mid_move_ticks": peak.move_ticks,
                "absolute_500": peak.updates >= FIXED_LIMIT,
            },
            thresholds={
                "updates_per_s": baseline.threshold("updates", UPDATES_SHARE) or 0.0,
                "times_median": MIN_TIMES,
                "order_to_trade": baseline.threshold("order_to_trade", TRADES_SHARE) or 0.0,
                "mid_move_ticks": move_allowed(baseline),
            },
        )


def move_allowed(baseline: Baseline) -> float:
    return max(MOVE_TICKS, baseline.median_move_ticks or 0.0)


def times_median(updates: float, baseline: Baseline) -> float:
    return updates / max(baseline.median("updates") or 0.0, LEAST_MEDIAN)


def candidate(second: int, sample: Sample, rows: int, baseline: Baseline) -> _Candidate | None:
    """(a) and (b). The cheap condition comes first: nearly every second fails it."""
    usual = baseline.median("updates")
    if usual is None or sample.updates < MIN_TIMES * max(usual, LEAST_MEDIAN):
        return None
    if sample.move_ticks is None:
        return None
    if (baseline.rank("updates", sample.updates) or 0.0) <= UPDATES_SHARE:
        return None
    if (baseline.rank("order_to_trade", sample.order_to_trade) or 0.0) <= TRADES_SHARE:
        return None
    return _Candidate(second, sample.updates, rows, sample.order_to_trade, sample.move_ticks)
