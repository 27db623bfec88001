"""Microstructure health, 0 to 100.

Each component is the geometric mean of an absolute scale (is this market good?) and a relative one (is it good for
itself?), so that neither hides the other. What cannot be measured is left out and its weight with it; below half of
the weights there is no score. A book that is not valid scores 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, log, log2
from statistics import median
from typing import Final, Literal

from vibe_orderbook_mcp.analytics.baseline import Normal
from vibe_orderbook_mcp.analytics.detectors.crash import thinner_side
from vibe_orderbook_mcp.analytics.measures import spread_floor_bps
from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.windows import Cut

Component = Literal["spread_stability", "liquidity_depth", "flow_balance", "update_rate"]
HealthLevel = Literal["Excellent", "Good", "Fair", "Poor", "Critical", "Unknown"]

WEIGHTS: Final[dict[Component, float]] = {
    "spread_stability": 0.25,
    "liquidity_depth": 0.35,
    "flow_balance": 0.25,
    "update_rate": 0.15,
}
MIN_WEIGHT: Final = 0.5
EXCELLENT_LEAST: Final = 50.0  # one weak component caps the level to Good

BEST_SPREAD_BPS, WORST_SPREAD_BPS = 1.0, 50.0
BEST_DEPTH_USD, WORST_DEPTH_USD = 1e6, 1e4
RELATIVE_ZERO: Final = 8.0  # times its usual spread, or a part of its usual depth
ACTIVITY_OCTAVES: Final = 4.0
FRESH_MS, SILENT_MS = 1_000, 10_000
SHRINK: Final = 0.25  # of a usual window's volume
STABLE_TIMES: Final = 2.0
# Below this many updates a second silence is the usual state; the feed's own pace says whether it is dead.
QUIET_UPDATES: Final = 1.0
MINUTE_SECS: Final = 60

# Quote assets that stand for a US dollar closely enough for a scale from 10 thousand to 1 million.
DOLLARS: Final = frozenset({"USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "DAI", "USD", "USD1", "USDE", "PYUSD"})
_BAND_10: Final = 1


def clip01(value: float) -> float:
    return min(1.0, max(0.0, value))


def geometric_mean(scores: Iterable[float | None]) -> float | None:
    """Of the scores that are known."""
    known = [score for score in scores if score is not None]
    if not known:
        return None
    return 0.0 if min(known) <= 0.0 else min(100.0, exp(sum(map(log, known)) / len(known)))


def spread_score(bps: float) -> float:
    """1 bp or less 100, 50 bps or more 0."""
    return 100 * clip01(1 - log(max(bps, BEST_SPREAD_BPS) / BEST_SPREAD_BPS) / log(WORST_SPREAD_BPS / BEST_SPREAD_BPS))


def wider_score(times: float) -> float:
    """As usual or tighter 100, eight times as wide 0."""
    return 100 * clip01(1 - log2(max(times, 1e-9)) / log2(RELATIVE_ZERO))


def depth_score(usd: float) -> float:
    """10 thousand or less 0, 1 million or more 100."""
    return 100 * clip01(log(max(usd, WORST_DEPTH_USD) / WORST_DEPTH_USD) / log(BEST_DEPTH_USD / WORST_DEPTH_USD))


def thinner_score(share: float) -> float:
    """As usual or more 100, an eighth 0."""
    return 100 * clip01(1 + log2(max(share, 1e-9)) / log2(RELATIVE_ZERO))


def activity_score(times: float) -> float:
    """As usual 100, 16 times or a sixteenth 0."""
    return 100 * clip01(1 - abs(log2(max(times, 1e-9))) / ACTIVITY_OCTAVES)


def freshness_score(age_ms: float) -> float:
    return 100 * clip01((SILENT_MS - age_ms) / (SILENT_MS - FRESH_MS))


def balance_score(buy: float, sell: float, usual: float) -> float | None:
    """A quarter of a usual window's volume is added to the denominator: one small trade is no one-sided market."""
    if buy + sell <= 0.0:
        return None
    return 100 * clip01(1 - abs(buy - sell) / (buy + sell + SHRINK * usual))


def score_of(parts: Mapping[Component, float | None]) -> tuple[float | None, HealthLevel]:
    """The weighted mean of what is known, and its level."""
    known = {name: score for name, score in parts.items() if score is not None}
    weight = sum(WEIGHTS[name] for name in known)
    if weight < MIN_WEIGHT - 1e-9:
        return None, "Unknown"
    score = sum(WEIGHTS[name] * part for name, part in known.items()) / weight
    return score, level_of(score, min(known.values()))


def level_of(score: float, weakest: float) -> HealthLevel:
    if score >= 80:
        return "Excellent" if weakest >= EXCELLENT_LEAST else "Good"
    return "Good" if score >= 60 else "Fair" if score >= 40 else "Poor" if score >= 20 else "Critical"


@dataclass(frozen=True, slots=True)
class HealthInputs:
    """What the components are made of. None: not known."""

    spread_bps: float | None
    spread_usual_bps: float | None
    spread_times: float | None  # both floored at max(1 tick, 0.5 bp)
    spread_stable_share: float | None  # of the window's seconds
    depth_10bps_quote: float | None  # the thinner side
    depth_usual_quote: float | None
    depth_share: float | None
    buy_volume_quote: float
    sell_volume_quote: float
    usual_volume_quote: float | None
    updates_per_s: float | None
    updates_usual_per_s: float | None
    updates_times: float | None
    age_ms: int


def health_inputs(window: Cut, normal: Normal | None, *, age_ms: int, tick: float) -> HealthInputs:
    rows = window.rows
    spreads = [
        1e4 * row.spread_mean / row.mid for row in rows if row.mid is not None and row.mid > 0.0 and row.spread_mean
    ]
    spread = median(spreads) if spreads else None
    usual_spread = None if normal is None else normal.spread_bps
    times, mid = None, window.mid_end
    floor = None if mid is None or mid <= 0.0 else spread_floor_bps(tick, mid)
    if spread is not None and usual_spread is not None and floor is not None:
        times = max(spread, floor) / max(usual_spread, floor)
    stable = None
    if spread is not None and floor is not None and window.span.secs > 0:
        limit = STABLE_TIMES * max(spread, floor)
        stable = min(1.0, sum(each <= limit for each in spreads) / window.span.secs)
    depths = [found[1] for row in rows if (found := thinner_side(row, _BAND_10)) is not None]
    depth = median(depths) if depths else None
    usual_depth = None if normal is None else normal.depth_10
    covered = window.covered_secs
    updates = sum(row.ids for row in rows) / covered if covered > 0 else None
    usual_updates = None if normal is None else normal.updates_per_s
    per_minute = None if normal is None else normal.minute_volume_quote
    return HealthInputs(
        spread_bps=spread,
        spread_usual_bps=usual_spread,
        spread_times=times,
        spread_stable_share=stable,
        depth_10bps_quote=depth,
        depth_usual_quote=usual_depth,
        depth_share=None if depth is None or usual_depth is None else ratio(depth, usual_depth),
        buy_volume_quote=sum(row.buy_quote for row in rows),
        sell_volume_quote=sum(row.sell_quote for row in rows),
        usual_volume_quote=None if per_minute is None else per_minute * window.span.secs / MINUTE_SECS,
        updates_per_s=updates,
        updates_usual_per_s=usual_updates,
        updates_times=None if updates is None or usual_updates is None else ratio(updates, usual_updates),
        age_ms=age_ms,
    )


def component_scores(
    inputs: HealthInputs, *, tick_bps: float | None, is_live: bool, usd_rate: float | None
) -> dict[Component, float | None]:
    """`usd_rate` is dollars per quote unit; None leaves the absolute part of depth out. `is_live`: the feed's word."""
    spread = inputs.spread_bps
    spread_parts: list[float | None] = []
    if spread is not None:
        is_one_tick = tick_bps is not None and spread <= tick_bps * (1 + 1e-6)
        spread_parts = [
            100.0 if is_one_tick else spread_score(spread),
            None if inputs.spread_times is None else wider_score(inputs.spread_times),
            None if inputs.spread_stable_share is None else 100 * inputs.spread_stable_share,
        ]
    depth, depth_parts = inputs.depth_10bps_quote, list[float | None]()
    if depth is not None:
        depth_parts = [
            None if usd_rate is None else depth_score(depth * usd_rate),
            None if inputs.depth_share is None else thinner_score(inputs.depth_share),
        ]
    pace = inputs.updates_usual_per_s if inputs.updates_usual_per_s is not None else inputs.updates_per_s
    is_quiet = is_live and pace is not None and pace < QUIET_UPDATES
    return {
        "spread_stability": geometric_mean(spread_parts),
        "liquidity_depth": geometric_mean(depth_parts),
        "flow_balance": balance_score(
            inputs.buy_volume_quote, inputs.sell_volume_quote, inputs.usual_volume_quote or 0.0
        ),
        "update_rate": geometric_mean(
            [
                100.0 if is_quiet else freshness_score(inputs.age_ms),
                None if is_quiet or inputs.updates_times is None else activity_score(inputs.updates_times),
            ]
        ),
    }


def usd_rate_of(quote_asset: str) -> float | None:
    return 1.0 if quote_asset in DOLLARS else None
