"""What taking liquidity now would cost (definition sheet 1.6).

A static cost: the walk through the book as it stands, without fees, refills or other traders' reactions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.snapshot import BookLevels, is_beyond, limit_at
from vibe_orderbook_mcp.core.events import Side

TakerSide = Literal["buy", "sell"]

# Sums of price * size carry rounding: an amount this small, relative to the order, is not a shortage.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Fill:
    """The outcome of a walk. `vwap` and `worst_price` are None when nothing fills; nothing is extrapolated."""

    vwap: float | None
    worst_price: float | None
    levels: int
    filled: float  # quote units
    filled_fraction: float
    insufficient_depth: bool


@dataclass(frozen=True, slots=True)
class MoveCost:
    """Quote amount that must trade before the best price stands `bps` away. `lower_bound`: the book is not known
    that far out."""

    notional: float
    lower_bound: bool


def walk(levels: BookLevels, notional: float) -> Fill:
    """Consume levels, best first, until `notional` quote units are spent or received.

    Give it levels that are surely complete: a walk across missing ones would overstate the cost.
    """
    remaining, filled, base, used = notional, 0.0, 0.0, 0
    worst: float | None = None
    for price, size in levels:
        if remaining <= 0.0:
            break
        take = min(price * size, remaining)
        remaining -= take
        filled += take
        base += take / price
        worst = price
        used += 1
    short = remaining > notional * _ROUNDING
    vwap = ratio(filled, base)
    if vwap is not None and worst is not None:  # rounding must not make an average better than the best price
        vwap = min(max(vwap, min(levels[0][0], worst)), max(levels[0][0], worst))
    return Fill(vwap, worst, used, filled, filled / notional if short else 1.0, short)


def cost_bps(side: TakerSide, vwap: float | None, reference: float | None) -> float | None:
    """How much worse than the reference, in bps: positive is a cost for buyers and sellers alike."""
    if vwap is None or reference is None:
        return None
    return ratio((1e4 if side == "buy" else -1e4) * (vwap - reference), reference)


def notional_to_move(levels: BookLevels, side: Side, bps: float, horizon: float | None = None) -> MoveCost | None:
    """Quote amount resting at prices less than `bps` from the best one. None on an empty side."""
    if not levels:
        return None
    target = limit_at(levels[0][0], side, bps)
    notional = 0.0
    for price, size in levels:
        # A level at the target stays: the price has then moved by exactly `bps`.
        if not is_beyond(target, side, price):
            break
        notional += price * size
    return MoveCost(notional, lower_bound=horizon is not None and is_beyond(target, side, horizon))
