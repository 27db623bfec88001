"""Precursors of a flash crash: depth gone, spread wide, cancels dominating.

Depth is that of the thinner side within 50 bps, against the trailing hour's median; the spread likewise, both
floored so that a major's one-tick spread is no yardstick. Ten consecutive seconds raise it, ten quiet ones clear it:
books of quiet markets are swept and filled again within some seconds several times a day. An empty side needs two.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

from vibe_orderbook_mcp.analytics.baseline import Baseline
from vibe_orderbook_mcp.analytics.figures import Sample
from vibe_orderbook_mcp.analytics.findings import SEVERITIES, Evidence, Finding, Severity
from vibe_orderbook_mcp.analytics.measures import spread_floor_bps, spread_times
from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.volatility import VarianceTimes
from vibe_orderbook_mcp.core.events import Side
from vibe_orderbook_mcp.core.rows import RowFlag, SecondRow

CrashLevel = Literal["none", "watch", "warning", "critical"]

Band = Literal["depth_50", "depth_25"]
BANDS: Final[dict[Band, int]] = {"depth_50": 3, "depth_25": 2}

DROP, DROP_CRITICAL = 0.5, 0.8
SPREAD, SPREAD_CRITICAL = 3.0, 10.0
CANCEL, CANCEL_CRITICAL = 0.8, 0.9
CANCEL_SECS: Final = 5
CONFIRM_SECS: Final = 2
LASTING_SECS: Final = 10
RARE_RANK: Final = 0.999
CLEAR_SECS: Final = 10
# Sums of lots carry rounding; a threshold met exactly is met.
_ROUNDING: Final = 1e-9

SEVERITY: Final[dict[CrashLevel, Severity]] = {"watch": "Medium", "warning": "High", "critical": "Critical"}
NO_BOOK: Final = int(RowFlag.GAP | RowFlag.RESYNC | RowFlag.DISCONNECTED)
LEVELS: Final[tuple[CrashLevel, ...]] = ("none", "watch", "warning", "critical")


@dataclass(frozen=True, slots=True)
class CrashState:
    """One second's reading. None: cannot be told."""

    level: CrashLevel
    depth_drop: float | None = None
    spread_times: float | None = None
    cancel_share: float | None = None
    side: Side | None = None  # the thinner one
    is_one_sided: bool = False
    band: Band | None = None  # where depth was read


def crash_level(drop: float | None, times: float | None, cancel: float | None) -> CrashLevel:
    """The rule. Without a reference for depth or spread nothing is said."""
    if drop is None or times is None:
        return "none"
    share = cancel or 0.0
    if _met(drop, DROP_CRITICAL) and _met(times, SPREAD_CRITICAL) and _met(share, CANCEL_CRITICAL):
        return "critical"
    if _met(drop, DROP) and _met(times, SPREAD):
        return "warning"
    if sum((_met(drop, DROP), _met(times, SPREAD), _met(share, CANCEL))) >= 2:
        return "watch"
    return "none"


def depth_drop(depth: float, usual: float) -> float | None:
    share = ratio(depth, usual)
    return None if share is None else 1.0 - share


def thinner_side(row: SecondRow, band: int) -> tuple[Side, float] | None:
    """The side with less within a band, in quote units. A band that leaves the known book tells too little."""
    if len(row.bid_band_quote) <= band or len(row.ask_band_quote) <= band:
        return None
    bid, ask = row.bid_band_quote[band], row.ask_band_quote[band]
    side: Side = "bid" if bid <= ask else "ask"
    truncated = row.bid_truncated if side == "bid" else row.ask_truncated
    return None if truncated >> band & 1 else (side, min(bid, ask))


def depth_reading(row: SecondRow, baseline: Baseline) -> tuple[tuple[Side, float] | None, float | None, Band | None]:
    """The thinner side and its depth, how far that is below usual, and the widest band in which both are known.

    A book loaded with few levels may end within 50 bps; 25 bps against its own usual depth is the next best.
    """
    for name, place in BANDS.items():
        found, usual = thinner_side(row, place), baseline.median(name)
        if found is not None and usual is not None:
            return found, depth_drop(found[1], usual), name
    return thinner_side(row, BANDS["depth_50"]), None, None


class CrashWatch:
    def __init__(self, tick: float) -> None:
        self._tick = tick
        self._variance = VarianceTimes()
        self._flows: deque[tuple[int, SecondRow]] = deque()
        self._open: Finding | None = None
        self._rising: Finding | None = None  # has not lasted long enough to be told
        self._before: CrashState | None = None
        self._before_second = -1
        self._last = 0  # the newest second at any level
        self.state: CrashState | None = None  # of the newest second; None: excluded

    @property
    def open(self) -> Finding | None:
        return self._open

    @property
    def variance_times(self) -> float | None:
        """Realised variance of the last minute / the trailing hour's: told beside a finding, no part of the rule."""
        return self._variance.times(self._before_second)

    def second(self, row: SecondRow, sample: Sample | None, baseline: Baseline) -> Finding | None:
        second = row.second
        self._variance.second(second, row.mid)
        self._flows.append((second, row))
        while self._flows[0][0] <= second - CANCEL_SECS:
            self._flows.popleft()
        state = self.state = self._read(row, sample, baseline)
        before = self._before if self._before_second == second - 1 else None
        self._before, self._before_second = state, second
        if state is not None and state.level != "none":
            self._last = second
        confirmed = _lower(before, state)
        if self._open is None:
            return self._rise(second, state, confirmed, sample, baseline)
        if second - self._last >= CLEAR_SECS:
            closed, self._open = self._open.ended((self._last + 1) * 1000), None
            return closed
        if confirmed == "none" or state is None:
            return None
        updated = self._finding(state, confirmed, self._open, self._open.start_ms, baseline, sample)
        changed, self._open = updated.severity != self._open.severity, updated
        return updated if changed else None

    def _rise(
        self, second: int, state: CrashState | None, confirmed: CrashLevel, sample: Sample | None, baseline: Baseline
    ) -> Finding | None:
        if state is None or confirmed == "none":
            self._rising = None
            return None
        known = self._rising
        start_ms = (second - CONFIRM_SECS + 1) * 1000 if known is None else known.start_ms
        rising = self._rising = self._finding(state, confirmed, known, start_ms, baseline, sample)
        is_lasting = (second + 1) * 1000 - start_ms >= LASTING_SECS * 1000
        if not (is_lasting or (confirmed == "critical" and state.is_one_sided)):
            return None
        self._open, self._rising = rising, None
        return rising

    def _read(self, row: SecondRow, sample: Sample | None, baseline: Baseline) -> CrashState | None:
        if row.flags and row.flags & RowFlag.ONE_SIDED and not row.flags & NO_BOOK:
            side: Side = "bid" if row.best_bid is None else "ask"
            return CrashState("critical", side=side, is_one_sided=True)
        if sample is None:
            return None
        found, drop, band = depth_reading(row, baseline)
        times, usual_spread = None, baseline.median("spread")
        if sample.spread_bps is not None and usual_spread is not None and sample.mid:
            times = spread_times(sample.spread_bps, usual_spread, spread_floor_bps(self._tick, sample.mid))
        cancel = None
        if found is not None:
            flows = [each.bid if found[0] == "bid" else each.ask for _, each in self._flows]
            cancelled = sum(flow.cancelled for flow in flows)
            cancel = ratio(cancelled, cancelled + sum(flow.added for flow in flows))
        level = crash_level(drop, times, cancel) if baseline.is_ready else "none"
        if level == "watch" and not _is_rare(sample, band, baseline):
            level = "none"
        return CrashState(level, drop, times, cancel, None if found is None else found[0], band=band)

    def _finding(
        self,
        state: CrashState,
        level: CrashLevel,
        known: Finding | None,
        start_ms: int,
        baseline: Baseline,
        sample: Sample | None,
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
            ("cancel_share", state.cancel_share),
        ):
            if value is not None:
                evidence[name] = value
        if (variance := self.variance_times) is not None:
            evidence["variance_times"] = variance
        if state.band is not None:
            evidence["band_bps"] = 50 if state.band == "depth_50" else 25
        standing = depth = None
        if sample is not None and state.band is not None:
            depth = sample.depth_50 if state.band == "depth_50" else sample.depth_25
        if state.band is not None and depth is not None:
            standing = baseline.standing(state.band, depth)
        return Finding(
            type="crash_precursor",
            start_ms=start_ms,
            end_ms=None,
            severity=severity,
            rarity=None if standing is None else min(1.0 - standing.rank, 1 - 1 / (standing.n_eff + 1)),
            n_eff=None if standing is None else standing.n_eff,
            side=state.side,
            evidence=evidence,
            thresholds=(
                {"depth_drop": DROP_CRITICAL, "spread_times": SPREAD_CRITICAL, "cancel_share": CANCEL_CRITICAL}
                if level == "critical"
                else {"depth_drop": DROP, "spread_times": SPREAD, "cancel_share": CANCEL}
            ),
        )


def _lower(one: CrashState | None, other: CrashState | None) -> CrashLevel:
    """What both seconds reach."""
    if one is None or other is None:
        return "none"
    return min(one.level, other.level, key=LEVELS.index)


def _met(value: float, least: float) -> bool:
    return value >= least * (1 - _ROUNDING)


def _is_rare(sample: Sample, band: Band | None, baseline: Baseline) -> bool:
    """Whether depth and spread are both at the end of the symbol's own range.

    Where a halved depth is usual it says nothing, and a spread of three ticks is usual on a coarse grid.
    """
    depth = None if band is None else sample.depth_50 if band == "depth_50" else sample.depth_25
    low = None if band is None or depth is None else baseline.standing(band, depth)
    wide = None if sample.spread_bps is None else baseline.standing("spread", sample.spread_bps)
    is_low = low is not None and low.rank <= 1 - RARE_RANK
    return is_low and wide is not None and wide.rank >= RARE_RANK
