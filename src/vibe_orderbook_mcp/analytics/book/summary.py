"""`orderbook_l1` and `orderbook_l2` in words: touch, depth on both sides, cost, and what is not usual."""

from __future__ import annotations

from collections.abc import Sequence

from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.numbers import counted, price_text, readable
from vibe_orderbook_mcp.analytics.snapshot import (
    BookLevels,
    BookView,
    DepthCurve,
    band_depth,
    band_imbalance,
    spread_bps,
    spread_ticks,
)
from vibe_orderbook_mcp.analytics.walls import Wall
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import BANDS_BPS
from vibe_orderbook_mcp.model.symbol import SymbolSpec

# Depth is compared within 10 bps, and further out where that is less than four ticks or four spreads: one level of a
# coarse coin says nothing of its book.
SUMMARY_BPS = 10
WIDTH_IN_STEPS = 4
EVEN = 0.1  # of the sum: 45 to 55 % on either side


def l1_summary(
    spec: SymbolSpec,
    book: BookView,
    bids: DepthCurve,
    asks: DepthCurve,
    wall: tuple[Side, Wall] | None,
    costs: Sequence[tuple[float, float | None, float | None]],
    usual: str,
    findings: Sequence[Finding],
) -> str:
    """`wall`: the largest one, with its side. `costs`: amount in quote units, cost of buying and of selling it in bps
    against mid, None where the known book does not fill it. `usual`: what `usual_text` says, or nothing. `findings`:
    those that have not ended.
    """
    head = touch_text(spec, book)
    if book.mid is None:
        return f"{head}; bids above asks, so this book is not valid." if book.is_crossed else f"{head}."
    sides = f"{_depth_text(spec, book.mid, bids, asks)}{_wall_text(spec, book.mid, wall)}"
    text = f"{head}; {sides}; {_cost_text(spec, costs)}{usual}"
    if findings:
        named = ", ".join(sorted({f"{found.type} ({found.severity})" for found in findings}))
        text += f"; under way: {named}"
    return f"{text}."


def l2_summary(spec: SymbolSpec, book: BookView, bids: BookLevels, asks: BookLevels) -> str:
    base = spec.base_asset
    sums = [readable(sum(size for _, size in side)) for side in (bids, asks)]
    return (
        f"{touch_text(spec, book)}; {counted(len(bids), 'bid level')} {'holds' if len(bids) == 1 else 'hold'} {sums[0]}"
        f" {base}, {counted(len(asks), 'ask level')} {sums[1]} {base}."
    )


def touch_text(spec: SymbolSpec, book: BookView) -> str:
    bid, ask = book.best_bid, book.best_ask
    if bid is None and ask is None:
        return f"{spec.symbol} has an empty book"
    if ask is None or bid is None:
        side, price = ("bid", bid) if ask is None else ("ask", ask)
        missing = "asks" if ask is None else "bids"
        return f"{spec.symbol} has no {missing}: best {side} {price_text(spec, price or 0.0)}, no mid and no spread"
    bps, ticks = spread_bps(bid, ask) or 0.0, spread_ticks(bid, ask, float(spec.tick_size)) or 0
    return (
        f"{spec.symbol} {price_text(spec, bid)} / {price_text(spec, ask)},"
        f" spread {readable(bps, 2)} bps ({counted(ticks, 'tick')})"
    )


def summary_band(spread: float, tick_bps: float) -> int:
    """Within how many bps of mid the summary compares the sides."""
    need = max(SUMMARY_BPS, WIDTH_IN_STEPS * spread, WIDTH_IN_STEPS * tick_bps)
    return next((bps for bps in BANDS_BPS if bps >= need), BANDS_BPS[-1])


def _depth_text(spec: SymbolSpec, mid: float, bids: DepthCurve, asks: DepthCurve) -> str:
    bps = summary_band(spread_bps(bids.best, asks.best) or 0.0, 1e4 * float(spec.tick_size) / mid)
    bid, ask, lead = band_depth(bids, mid, bps), band_depth(asks, mid, bps), band_imbalance(bids, asks, mid, bps)
    if lead is None:
        return f"nothing rests within {bps} bps of mid"
    bids_pct, asks_pct = f"{50 * (1 + lead):.0f} % of the size", f"{50 * (1 - lead):.0f} % of the size"
    heavier = f"bids heavier ({bids_pct})" if lead > 0 else f"asks heavier ({asks_pct})"
    if abs(lead) < EVEN:
        heavier = f"about even (bids {bids_pct})"
    least = "at least " if bid.truncated or ask.truncated else ""
    return (
        f"within {bps} bps of mid {least}{readable(bid.quote)} {spec.quote_asset} of bids and {readable(ask.quote)} of"
        f" asks: {heavier}"
    )


def _wall_text(spec: SymbolSpec, mid: float, found: tuple[Side, Wall] | None) -> str:
    if found is None:
        return ""
    side, wall = found
    ends = dict.fromkeys(price_text(spec, price) for price in (wall.low, wall.high))
    bps = readable(1e4 * abs(wall.price - mid) / mid)
    way = "below" if side == "bid" else "above"
    return f"; {side} wall {readable(wall.amount)} {spec.quote_asset} at {' to '.join(ends)}, {bps} bps {way}"


def _cost_text(spec: SymbolSpec, costs: Sequence[tuple[float, float | None, float | None]]) -> str:
    for amount, buying, selling in reversed(costs):
        if buying is not None and selling is not None:
            return (
                f"{readable(amount)} {spec.quote_asset} at once costs {readable(buying, 2)} bps to buy and"
                f" {readable(selling, 2)} to sell, against mid, before fees"
            )
    return f"the known book does not fill {readable(min(amount for amount, _, _ in costs))} {spec.quote_asset} at once"
