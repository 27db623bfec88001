"""`get_order_flow` in words: price, trades, and the reaction of the book."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vibe_orderbook_mcp.analytics.flow.absorption_answer import AbsorptionEvent, absorption_text, is_worth_telling
from vibe_orderbook_mcp.analytics.flow.order_flow import (
    MIN_LABEL_TRADES,
    MODERATE_RATIO,
    NEUTRAL_OFI,
    STRONG_RATIO,
    FlowDirection,
    OfiDirection,
    cvd,
    delta_share,
    directions_disagree,
    flow_direction,
    normalised_ofi,
    ofi_direction,
)
from vibe_orderbook_mcp.analytics.numbers import counted, price_text, readable
from vibe_orderbook_mcp.analytics.results import clock_text
from vibe_orderbook_mcp.analytics.window_notes import NEAR_SECS
from vibe_orderbook_mcp.analytics.window_price import WindowPrice
from vibe_orderbook_mcp.analytics.windows import OK_COVERAGE, Span, WindowTotals
from vibe_orderbook_mcp.model.symbol import SymbolSpec

# Without a live book, a summary names the silence at the window's end once it has lasted this long.
UNHEARD_SECS: Final = 3
PER_CENT_FROM_BPS: Final = 100.0


def flow_summary(
    spec: SymbolSpec,
    totals: WindowTotals,
    price: WindowPrice,
    labels: tuple[FlowDirection, OfiDirection],
    ofi_rarity: float | None,
    absorbed: Sequence[AbsorptionEvent],
    unheard_secs: int,
) -> str:
    """`ofi_rarity` is None while nothing usual is known: then the size of OFI is left out, since it means nothing
    alone.
    """
    secs = totals.span.secs
    part = "" if totals.coverage >= OK_COVERAGE else f" (book seen for {readable(totals.covered_secs)} s of it)"
    if unheard_secs >= UNHEARD_SECS:
        part = f"{part}, no data for the last {unheard_secs} of them"
    text = f"{spec.symbol}, {secs} s{part}: {_price(spec, price, totals.span)}; {_trades(spec, totals, labels[0])}"
    text += _pressure(totals, labels[1], ofi_rarity)
    few = totals.agg_trades < MIN_LABEL_TRADES
    own = flow_direction(totals.buy_volume, totals.sell_volume), ofi_direction(totals)
    if labels == own and directions_disagree(*labels) and not few:
        text += "; trades and book disagree"
    told = next((event for event in absorbed if is_worth_telling(event)), None)
    return f"{text}." if told is None else f"{text}. {absorption_text(told, spec, secs)}"


def bps_text(bps: float) -> str:
    """A signed change in basis points; from 1 % in per cent."""
    if abs(bps) >= PER_CENT_FROM_BPS:
        return f"{bps / 100:+.2f} %"
    text = readable(bps, 3)
    return f"{'+' if bps > 0 else ''}{text} bps"


def _price(spec: SymbolSpec, price: WindowPrice, span: Span) -> str:
    if price.open is None or price.close is None or price.high is None or price.low is None:
        return "no price known"
    close, change = price_text(spec, price.close), price.change_bps or 0.0
    is_late = price.open_at is not None and price.open_at - span.start > NEAR_SECS
    way = f"mid since {clock_text(price.open_at or 0)}" if is_late else "mid"
    if price.open == price.close:
        way += f" unchanged at {close}"
    else:
        way += f" {price_text(spec, price.open)} to {close} ({bps_text(change)})"
    if price.close_at is not None and span.end - price.close_at > NEAR_SECS:
        before = span.end - price.close_at
        way += f", close is from {clock_text(price.close_at)}, {before} s before the end of the window"
    if price.low < price.high:
        way += f", range {_range(spec, price, price.low, price.high)}"
    return way if price.vwap is None else f"{way}, VWAP {price_text(spec, round(price.vwap, spec.tick_exp))}"


def _range(spec: SymbolSpec, price: WindowPrice, low: float, high: float) -> str:
    """Each end is a trade, or a mid without a trade at it."""
    ends = price_text(spec, low), price_text(spec, high)
    if price.low_traded == price.high_traded:
        return f"{ends[0]} to {ends[1]} ({'trades' if price.low_traded else 'mids'})"
    kinds = [" (trade)" if traded else " (mid)" for traded in (price.low_traded, price.high_traded)]
    return f"{ends[0]}{kinds[0]} to {ends[1]}{kinds[1]}"


def _trades(spec: SymbolSpec, totals: WindowTotals, direction: FlowDirection) -> str:
    share, base = delta_share(totals.buy_volume, totals.sell_volume), spec.base_asset
    if share is None:
        return "no trades"
    net, trades = cvd(totals), totals.agg_trades
    label = f"{direction}{_kept_flow(totals, direction)}"
    if trades < MIN_LABEL_TRADES:
        label = f"too few for a label ({counted(trades, 'trade')})"
    return (
        f"takers bought {readable(totals.buy_volume)} and sold {readable(totals.sell_volume)} {base} in"
        f" {counted(totals.fills, 'fill')}, net {'+' if net > 0 else ''}{readable(net)} {base}"
        f" ({100 * share:+.1f} %): {label}"
    )


def _kept_flow(totals: WindowTotals, direction: FlowDirection) -> str:
    """Empty if the window's own ratio is beyond the label's cut."""
    buys, sells = totals.buy_volume, totals.sell_volume
    if direction == flow_direction(buys, sells):
        return ""
    edge = STRONG_RATIO if direction.startswith("STRONG") else MODERATE_RATIO
    return f" (unchanged: {readable(max(buys, sells) / min(buys, sells))} : 1 now, it began at {readable(edge)})"


def _kept_pressure(totals: WindowTotals, direction: OfiDirection) -> str:
    if direction == ofi_direction(totals):
        return ""
    return f" (unchanged: it began at {counted(round(NEUTRAL_OFI), 'queue')})"


def _pressure(totals: WindowTotals, direction: OfiDirection, rarity: float | None) -> str:
    queues = normalised_ofi(totals)
    if queues is None or direction == "NO_FLOW":
        return ""
    kept = _kept_pressure(totals, direction)
    if rarity is None:
        return f"; book pressure (OFI): {direction}{kept}"
    size = f"{'+' if queues > 0 else ''}{readable(queues, 2)}"
    share = int(100 * rarity)
    rank = f"larger than in {share} %" if share >= 50 else f"smaller than in {100 - share} %"
    return (
        f"; book pressure (OFI) {size} average best queues, {rank} of earlier {totals.span.secs} s windows:"
        f" {direction}{kept}"
    )
