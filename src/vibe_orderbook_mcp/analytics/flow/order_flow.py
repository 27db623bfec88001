"""Orders added to the book, cancelled and traded in a window."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Literal

from vibe_orderbook_mcp.analytics.flow.impact import moves
from vibe_orderbook_mcp.analytics.flow.past import EqualWindow, EqualWindows
from vibe_orderbook_mcp.analytics.numbers import fit_line, ratio
from vibe_orderbook_mcp.analytics.windows import (
    Cut,
    Rows,
    SideTotals,
    WindowTotals,
)

FlowDirection = Literal["STRONG_BUY", "MODERATE_BUY", "NEUTRAL", "MODERATE_SELL", "STRONG_SELL", "NO_FLOW"]
OfiDirection = Literal["BUY", "SELL", "NEUTRAL", "NO_FLOW"]

STRONG_RATIO = 2.0
MODERATE_RATIO = 1.2
MIN_LABEL_TRADES = 20  # aggregate ones: one large order fills against dozens of small ones
MIN_BOOK_EVENTS = 10
NEUTRAL_OFI = 1.0  # average best queues; ours

IMPACT_BUCKET_SECS = 10
MIN_IMPACT_BUCKETS = 30
MIN_BASELINE_WINDOWS = 30


@dataclass(frozen=True, slots=True)
class SideRates:
    """Additions and cancellations of one side per covered second. Lower bounds: within a 100 ms frame they net out."""

    added_base: float
    cancelled_base: float
    added_quote: float
    cancelled_quote: float
    added_levels: float
    cancelled_levels: float
    cancel_share: float | None


@dataclass(frozen=True, slots=True)
class ImpactFit:
    """Mid change in ticks = beta * OFI over 10 s buckets: the price move per unit of book pressure."""

    beta: float  # ticks per base unit
    r2: float | None
    buckets: int


def side_rates(side: SideTotals, covered_secs: float) -> SideRates:
    """Per covered second. Needs at least some coverage."""
    return SideRates(
        added_base=side.added / covered_secs,
        cancelled_base=side.cancelled / covered_secs,
        added_quote=side.added_quote / covered_secs,
        cancelled_quote=side.cancelled_quote / covered_secs,
        added_levels=side.add_events / covered_secs,
        cancelled_levels=side.cancel_events / covered_secs,
        cancel_share=side.cancel_share,
    )


def normalised_ofi(totals: WindowTotals) -> float | None:
    """Order-flow imbalance in average best queues; None without a depth to compare with."""
    return ratio(totals.ofi, totals.level_depth[0]) if totals.level_depth else None


def normalised_mlofi(totals: WindowTotals) -> float | None:
    """Mean over levels of each level's imbalance in that level's average queues."""
    parts = [
        part
        for flow, depth in zip(totals.mlofi, totals.level_depth, strict=False)
        if (part := ratio(flow, depth)) is not None
    ]
    return ratio(sum(parts), len(parts))


def flow_direction(buy: float, sell: float) -> FlowDirection:
    """From traded volume with symmetric cuts at 2 : 1 and 1.2 : 1. Without trades the label is NO_FLOW."""
    if buy == 0.0 and sell == 0.0:
        return "NO_FLOW"
    if buy >= STRONG_RATIO * sell:
        return "STRONG_BUY"
    if sell >= STRONG_RATIO * buy:
        return "STRONG_SELL"
    if buy >= MODERATE_RATIO * sell:
        return "MODERATE_BUY"
    if sell >= MODERATE_RATIO * buy:
        return "MODERATE_SELL"
    return "NEUTRAL"


def ofi_direction(totals: WindowTotals) -> OfiDirection:
    """The sign of OFI, neutral within one average best queue either way (a choice of ours)."""
    pressure = normalised_ofi(totals)
    if totals.events == 0 or pressure is None:
        return "NO_FLOW"
    if abs(pressure) < NEUTRAL_OFI:
        return "NEUTRAL"
    return "BUY" if pressure > 0.0 else "SELL"


def directions_disagree(traded: FlowDirection, resting: OfiDirection) -> bool:
    """One says buy, the other sell. Both are reported; neither is corrected by the other."""
    return (traded.endswith("_BUY") and resting == "SELL") or (traded.endswith("_SELL") and resting == "BUY")


def cvd(totals: WindowTotals) -> float:
    """Aggressive buys minus aggressive sells, base units."""
    return totals.buy_volume - totals.sell_volume


def delta_share(buy: float, sell: float) -> float | None:
    """(buy - sell) / (buy + sell), -1 to 1; None without trades."""
    return ratio(buy - sell, buy + sell)


def cvd_z(totals: WindowTotals) -> float | None:
    """CVD / sqrt(sum of squared sizes). A diagnostic: trade signs are autocorrelated, so no probability follows."""
    return ratio(cvd(totals), sqrt(totals.size_squares))


def delta_rarity(before: EqualWindows, window: Cut) -> tuple[float | None, int]:
    """Rarity of |`delta_share`| among the earlier equal windows, oldest first, and the number with trades."""
    now = cut_delta(window)
    baseline = before.ranks("delta", _abs_delta)
    if now is None or len(baseline) < MIN_BASELINE_WINDOWS:
        return None, len(baseline)
    return baseline.rarity(abs(now)), len(baseline)


def _abs_delta(window: EqualWindow) -> float | None:
    delta = delta_share(window.buy_volume, window.sell_volume)
    return None if delta is None else abs(delta)


def ofi_rarity(before: EqualWindows, totals: WindowTotals) -> float | None:
    """Rarity of |OFI| among the earlier equal windows, oldest first. None below 30 of them."""
    baseline = before.ranks("ofi", _abs_ofi)
    return baseline.rarity(abs(totals.ofi)) if totals.events and len(baseline) >= MIN_BASELINE_WINDOWS else None


def _abs_ofi(window: EqualWindow) -> float:
    return abs(window.ofi)


def cut_delta(window: Cut) -> float | None:
    return delta_share(sum(row.buy_volume for row in window.rows), sum(row.sell_volume for row in window.rows))


def effective_spread_bps(totals: WindowTotals) -> float | None:
    """Effective spread: takers' prices against mid just before, both ways, volume-weighted; None without trades."""
    return ratio(totals.effective_spread_sum, totals.effective_spread_volume)


def impact_buckets(rows: Rows, end: int, tick: float) -> tuple[list[float], list[float]]:
    """OFI and mid change in ticks over the whole 10 s buckets of the hour before `end`."""
    flows: list[float] = []
    changes: list[float] = []
    for move in moves(rows, end, IMPACT_BUCKET_SECS):
        flows.append(sum(row.ofi for row in move.bucket.rows))
        changes.append((move.mid_after - move.mid_before) / tick)
    return flows, changes


def impact_fit(rows: Rows, end: int, tick: float) -> tuple[ImpactFit | None, int]:
    """The fit over the trailing hour, and how many buckets there are; no fit below 30 or without any flow."""
    flows, changes = impact_buckets(rows, end, tick)
    line = fit_line(flows, changes) if len(flows) >= MIN_IMPACT_BUCKETS else None
    return (None if line is None else ImpactFit(line.slope, line.r2, len(flows))), len(flows)
