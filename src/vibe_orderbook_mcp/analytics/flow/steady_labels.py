"""Labels that do not flip while a figure is close to a cut.

A label begins at its cut and ends a stated part below it. Between the two it depends on the earlier windows: those that
end one, two, three... seconds earlier are checked, back to the newest one outside of that zone. All of it comes from
stored rows, so every caller gets the same label, before and after a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, starmap
from math import inf
from typing import Final

from vibe_orderbook_mcp.analytics.flow.order_flow import (
    MODERATE_RATIO,
    NEUTRAL_OFI,
    STRONG_RATIO,
    FlowDirection,
    OfiDirection,
    flow_direction,
    ofi_direction,
)
from vibe_orderbook_mcp.analytics.windows import Rows, Span, WindowTotals, cut
from vibe_orderbook_mcp.model.rows import SecondRow

LOOKBACK_SECS: Final = 900
# Share of a cut: STRONG ends below 1.84 : 1, MODERATE below 1.104 : 1. So a delta below 5 % of the volume is always
# NEUTRAL.
FLOW_LEFT_AT: Final = 0.92
OFI_LEFT_AT: Final = 0.5

_FLOWS: Final[tuple[FlowDirection, ...]] = ("STRONG_SELL", "MODERATE_SELL", "NEUTRAL", "MODERATE_BUY", "STRONG_BUY")
_PRESSURES: Final[tuple[OfiDirection, ...]] = ("SELL", "NEUTRAL", "BUY")


def steady_step(strengths: Iterable[float], cuts: Sequence[float], left_at: float) -> int:
    """The signed number of cuts that the newest strength is beyond, given the earlier ones.

    `strengths` come newest first, positive for buying; no more of them are read than needed.
    """
    doubtful: list[tuple[int, int]] = []
    step = 0
    for strength in strengths:
        sign = 1 if strength > 0 else -1
        entered = sum(abs(strength) >= edge for edge in cuts)
        stayed = sum(abs(strength) >= left_at * edge for edge in cuts)
        if entered == stayed:
            step = sign * entered
            break
        doubtful.append((entered, stayed) if sign > 0 else (-stayed, -entered))
    else:
        if doubtful:  # nothing older is known: the plain label
            low, high = doubtful[-1]
            step = min((low, high), key=abs)
    for low, high in reversed(doubtful):
        step = min(max(step, low), high)
    return step


def steady_flow_direction(rows: Rows, totals: WindowTotals, lot_exp: int) -> FlowDirection:
    """`flow_direction` of the window of `totals`. `rows` holds the window and the seconds before it."""
    buys, sells = totals.buy_volume, totals.sell_volume
    if flow_direction(buys, sells) == "NO_FLOW":
        return "NO_FLOW"
    lots = 10**lot_exp  # whole numbers: sums that lose and gain a second stay exact
    bought = _earlier_sums(rows, totals.span, lambda row: round(row.buy_volume * lots))
    sold = _earlier_sums(rows, totals.span, lambda row: round(row.sell_volume * lots))
    strengths = starmap(_lead, chain([(buys, sells)], zip(bought, sold, strict=True)))
    return _FLOWS[steady_step(strengths, (MODERATE_RATIO, STRONG_RATIO), FLOW_LEFT_AT) + 2]


def steady_ofi_direction(rows: Rows, totals: WindowTotals) -> OfiDirection:
    """`ofi_direction` of the window. Earlier windows are measured in the average queues of this one."""
    if ofi_direction(totals) == "NO_FLOW":
        return "NO_FLOW"
    queue = totals.level_depth[0]
    flows = chain([totals.ofi], _earlier_sums(rows, totals.span, lambda row: row.ofi))
    return _PRESSURES[steady_step((flow / queue for flow in flows), (NEUTRAL_OFI,), OFI_LEFT_AT) + 1]


def _lead(buys: float, sells: float) -> float:
    """The larger volume / the smaller; positive if buys are larger, infinite if the other side is 0."""
    less, more = sorted((buys, sells))
    times = 0.0 if more == 0.0 else inf if less == 0.0 else more / less
    return times if buys >= sells else -times


def _earlier_sums(rows: Rows, span: Span, value: Callable[[SecondRow], float]) -> Iterator[float]:
    """Strengths of the equal windows that end 1, 2, 3... seconds earlier, as far as rows reach back."""
    known = cut(rows, Span(span.start - LOOKBACK_SECS, span.end)).rows
    if not known:
        return
    values = {row.second: value(row) for row in known}
    window = sum(values.get(second, 0) for second in range(span.start, span.end))
    for start in range(span.start - 1, known[0].second - 1, -1):
        window += values.get(start, 0) - values.get(start + span.secs, 0)
        yield window
