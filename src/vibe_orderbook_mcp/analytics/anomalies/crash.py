"""Precursors of a flash crash: depth has left, taking liquidity is expensive, cancels dominate.

Depth is measured on the thinner side within the symbol's own band, against the trailing hour's median. Expensive means
a wide spread or, where the spread is one tick, a high cost of taking a quarter of a usual side. Both are measured
against the last day's median.
Three consecutive seconds raise it, thirty quiet ones clear it. An empty side needs two.

Books of quiet markets sometimes lose most of their depth for some seconds, and on a coarse tick half of those seconds
are also expensive. So two more conditions must be met within the last ten seconds. Depth was rare by the symbol's own
rate (level 2 of `own_rate`). Depth and cost together exceeded the symbol's own past episodes (`strain`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from vibe_orderbook_mcp.analytics.anomalies.strain import LASTING_SECS, OwnStrain, strain_of
from vibe_orderbook_mcp.analytics.findings import SEVERITIES, Evidence, Finding, Severity
from vibe_orderbook_mcp.analytics.flow.volatility import VarianceTimes
from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline
from vibe_orderbook_mcp.analytics.usual.figures import Sample
from vibe_orderbook_mcp.analytics.usual.measures import Measures
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import BANDS_BPS, RowFlag, SecondRow

CrashLevel = Literal["none", "watch", "warning", "critical"]

DROP, DROP_CRITICAL = 0.5, 0.8
SPREAD, SPREAD_CRITICAL = 3.0, 10.0
COST, COST_CRITICAL = 2.0, 4.0
CANCEL, CANCEL_CRITICAL = 0.8, 0.9
CANCEL_SECS: Final = 5
CONFIRM_SECS: Final = 2
RARE_RANK: Final = 0.999
RARE_LEVEL: Final = 2
RARE_SECS: Final = 10
CLEAR_SECS: Final = 30
# Sums of lots carry rounding; a threshold met exactly is met.
_ROUNDING: Final = 1e-9

SEVERITY: Final[dict[CrashLevel, Severity]] = {"watch": "Medium", "warning": "High", "critical": "Critical"}
NO_BOOK: Final = int(RowFlag.GAP | RowFlag.RESYNC | RowFlag.DISCONNECTED)
LEVELS: Final[tuple[CrashLevel, ...]] = ("none", "watch", "warning", "critical")


@dataclass(frozen=True, slots=True)
class CrashState:
    """One second's values. None: unknown."""

    level: CrashLevel
    depth_drop: float | None = None
    spread_times: float | None = None
    cost_times: float | None = None
    cancel_share: float | None = None
    side: Side | None = None  # the thinner one
    is_one_sided: bool = False

    @property
    def strain(self) -> float | None:
        """In halvings. None unless half of the depth has left and taking liquidity is expensive."""
        return strain_of(self.depth_drop, max((self.spread_times or 0.0) / SPREAD, (self.cost_times or 0.0) / COST))


def crash_level(drop: float | None, times: float | None, cancel: float | None, cost: float | None = None) -> CrashLevel:
    """The rule. Without a reference for depth, or for both spread and cost, there is no verdict."""
    if drop is None or (times is None and cost is None):
        return "none"
    share = cancel or 0.0
    is_dear = _met(times or 0.0, SPREAD) or _met(cost or 0.0, COST)
    is_very_dear = _met(times or 0.0, SPREAD_CRITICAL) or _met(cost or 0.0, COST_CRITICAL)
    if _met(drop, DROP_CRITICAL) and is_very_dear and _met(share, CANCEL_CRITICAL):
        return "critical"
    if _met(drop, DROP) and is_dear:
        return "warning"
    if sum((_met(drop, DROP), is_dear, _met(share, CANCEL))) >= 2:
        return "watch"
    return "none"


def depth_drop(depth: float, usual: float) -> float | None:
    share = ratio(depth, usual)
    return None if share is None else 1.0 - share


def thinner_side(row: SecondRow, band: int) -> tuple[Side, float] | None:
    """The side with less within a band, in quote units. None for a band that reaches beyond the known book."""
    if len(row.bid_band_quote) <= band or len(row.ask_band_quote) <= band:
        return None
    bid, ask = row.bid_band_quote[band], row.ask_band_quote[band]
    side: Side = "bid" if bid <= ask else "ask"
    truncated = row.bid_truncated if side == "bid" else row.ask_truncated
    return None if truncated >> band & 1 else (side, min(bid, ask))


def depth_reading(row: SecondRow, baseline: Baseline) -> tuple[tuple[Side, float] | None, float | None]:
    """The thinner side within the own band, and how far it is below the hour's median."""
    band = baseline.band
    if band is None:
        return None, None
    found, usual = thinner_side(row, BANDS_BPS.index(band.bps)), baseline.median("depth_own")
    return found, None if found is None or usual is None else depth_drop(found[1], usual)


class CrashWatch:
    def __init__(self) -> None:
        self._variance = VarianceTimes()
        self._flows: deque[tuple[int, SecondRow]] = deque()
        self._open: Finding | None = None
        self._rising: Finding | None = None  # has not lasted long enough to be reported
        self._before: CrashState | None = None
        self._before_second = -1
        self._last = 0  # the newest second at any level
        self._rare = -RARE_SECS  # the newest second in which depth was rare by the symbol's own rate
        self._strain = OwnStrain()
        self.state: CrashState | None = None  # of the newest second; None: excluded

    @property
    def open(self) -> Finding | None:
        return self._open

    @property
    def variance_times(self) -> float | None:
        """Realised variance of the last minute / the trailing hour's: reported with a finding, not part of the rule."""
        return self._variance.times(self._before_second)

    def second(self, row: SecondRow, sample: Sample | None, measures: Measures, baseline: Baseline) -> Finding | None:
        """The finding that changed, if any. `sample` is None for a second without usable data (a gap, no book)."""
        second = row.second
        self._variance.second(second, row.mid)
        self._flows.append((second, row))
        while self._flows[0][0] <= second - CANCEL_SECS:
            self._flows.popleft()
        if (measures.level("depth") or 0) >= RARE_LEVEL:
            self._rare = second
        state = self.state = self._read(row, sample, measures, baseline)
        strain = None if state is None else state.strain
        self._strain.second(second, strain, baseline, is_told=self._open is not None)
        before = self._before if self._before_second == second - 1 else None
        self._before, self._before_second = state, second
        if state is not None and state.level != "none":
            self._last = second
        confirmed = _lower(before, state)
        if self._open is None:
            return self._rise(second, state, confirmed, measures, baseline)
        if second - self._last >= CLEAR_SECS:
            closed, self._open = self._open.ended((self._last + 1) * 1000), None
            return closed
        if confirmed == "none" or state is None:
            return None
        worst = self._finding(state, confirmed, self._open, self._open.start_ms, baseline, measures)
        updated = self._strained(worst, self._open)
        changed, self._open = updated.severity != self._open.severity, updated
        return updated if changed else None

    def _rise(
        self, second: int, state: CrashState | None, confirmed: CrashLevel, measures: Measures, baseline: Baseline
    ) -> Finding | None:
        if state is None or confirmed == "none":
            self._rising = None
            return None
        known = self._rising
        start_ms = (second - CONFIRM_SECS + 1) * 1000 if known is None else known.start_ms
        rising = self._rising = self._finding(state, confirmed, known, start_ms, baseline, measures)
        is_lasting = (second + 1) * 1000 - start_ms >= LASTING_SECS * 1000
        is_rare = second - self._rare < RARE_SECS
        if confirmed != "watch":  # a book is strained only while taking liquidity is expensive
            strongest = self._strain.strongest
            is_rare = is_rare and strongest is not None and strongest.is_rare
        if not ((is_lasting and is_rare) or (confirmed == "critical" and state.is_one_sided)):
            return None
        self._open, self._rising = self._strained(rising), None
        return self._open

    def _read(self, row: SecondRow, sample: Sample | None, measures: Measures, baseline: Baseline) -> CrashState | None:
        if row.flags and row.flags & RowFlag.ONE_SIDED and not row.flags & NO_BOOK:
            side: Side = "bid" if row.best_bid is None else "ask"
            return CrashState("critical", side=side, is_one_sided=True)
        if sample is None:
            return None
        found, drop = depth_reading(row, baseline)
        cancel = None
        if found is not None:
            flows = [each.bid if found[0] == "bid" else each.ask for _, each in self._flows]
            cancelled = sum(flow.cancelled for flow in flows)
            cancel = ratio(cancelled, cancelled + sum(flow.added for flow in flows))
        times, cost = measures.spread_times, measures.cost_times
        level = crash_level(drop, times, cancel, cost) if baseline.is_ready else "none"
        if level == "watch" and not _is_rare(found, measures, baseline):
            level = "none"
        return CrashState(level, drop, times, cost, cancel, None if found is None else found[0])

    def _strained(self, finding: Finding, known: Finding | None = None) -> Finding:
        """Evidence with the largest strain of the episode, and the limit at that moment."""
        if "reason" in finding.evidence:  # a side is empty: no strain is needed
            return finding
        halvings = None if known is None else known.evidence.get("strain_halvings")
        limit = None if known is None else known.thresholds.get("strain_halvings")
        strongest = self._strain.strongest
        if strongest is not None and (halvings is None or strongest.halvings > float(halvings)):
            halvings, limit = strongest
        if halvings is None:
            return finding
        return msgspec.structs.replace(
            finding,
            evidence=finding.evidence | {"strain_halvings": halvings},
            thresholds=finding.thresholds | ({} if limit is None else {"strain_halvings": limit}),
        )

    def _finding(
        self,
        state: CrashState,
        level: CrashLevel,
        known: Finding | None,
        start_ms: int,
        baseline: Baseline,
        measures: Measures,
    ) -> Finding:
        """The worst second so far describes the episode."""
        severity = SEVERITY[level]
        if known is not None:
            worst = SEVERITIES.index(known.severity), float(known.evidence.get("depth_drop", 0.0))
            if (SEVERITIES.index(severity), state.depth_drop or 0.0) <= worst:
                return known
        evidence: Evidence = {"level": level}
        if state.is_one_sided:
            evidence["reason"] = "one_sided"
        for name, value in (
            ("depth_drop", state.depth_drop),
            ("spread_times", state.spread_times),
            ("spread_bps", measures.spread_bps),
            ("spread_usual_bps", measures.spread_usual_bps),
            ("cost_times", state.cost_times),
            ("cancel_share", state.cancel_share),
            ("variance_times", self.variance_times),
            ("band_bps", measures.band_bps),
        ):
            if value is not None and not state.is_one_sided:
                evidence[name] = value
        standing = None
        if state.depth_drop is not None and (usual := baseline.median("depth_own")) is not None:
            standing = baseline.standing("depth_own", (1.0 - state.depth_drop) * usual)
        return Finding(
            type="crash_precursor",
            start_ms=start_ms,
            end_ms=None,
            severity=severity,
            rarity=None if standing is None else min(1.0 - standing.rank, 1 - 1 / (standing.n_eff + 1)),
            n_eff=None if standing is None else standing.n_eff,
            side=state.side,
            evidence=evidence,
            thresholds=_thresholds(level),
        )


def _thresholds(level: CrashLevel) -> dict[str, float]:
    if level != "critical":
        return {"depth_drop": DROP, "spread_times": SPREAD, "cost_times": COST, "cancel_share": CANCEL}
    return {
        "depth_drop": DROP_CRITICAL,
        "spread_times": SPREAD_CRITICAL,
        "cost_times": COST_CRITICAL,
        "cancel_share": CANCEL_CRITICAL,
    }


def _lower(one: CrashState | None, other: CrashState | None) -> CrashLevel:
    """The values that both seconds reach."""
    if one is None or other is None:
        return "none"
    return min(one.level, other.level, key=LEVELS.index)


def _met(value: float, least: float) -> bool:
    return value >= least * (1 - _ROUNDING)


def _is_rare(found: tuple[Side, float] | None, measures: Measures, baseline: Baseline) -> bool:
    """Whether depth, and spread or cost, are at the extreme of the symbol's own range.

    For some symbols a halved depth is usual, and on a coarse grid so is a spread of three ticks.
    """
    low = None if found is None else baseline.standing("depth_own", found[1])
    if low is None or low.rank > 1 - RARE_RANK:
        return False
    wide = None if measures.spread_bps is None else baseline.standing("spread", measures.spread_bps)
    dear = None if measures.cost_bps is None else baseline.standing_cost(measures.cost_bps)
    return any(each is not None and each.rank >= RARE_RANK for each in (wide, dear))
