"""The cost of taking liquidity now.

The cost is static: a walk through the present book, without fees, refills or other traders' reactions.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import accumulate
from operator import neg, sub
from typing import Literal

from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.snapshot import DepthCurve, limit_at

TakerSide = Literal["buy", "sell"]

# Sums of price * size carry rounding: an amount this small, relative to the order, is not a shortage.
_ROUNDING = 1e-9
# A book with less than this part of an order cannot fill it; the difference is more than rounding.
_CLEARLY = 1 - 1e-6
# How much further to walk when rounding leaves a remainder of an order after the levels that sum up to it.
_CRUMB = 1e-6


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
    """Quote amount that must trade before the best price stands `bps` from the reference. `lower_bound`: the book is
    not known that far out."""

    notional: float
    lower_bound: bool


def walk(curve: DepthCurve, notional: float) -> Fill:
    """Consume levels, best first, until `notional` quote units are spent or received.

    Levels beyond the horizon stay out: a walk across missing ones would overstate the cost.
    """
    known = curve.sure
    if known == 0:
        return Fill(None, None, 0, 0.0, 0.0, insufficient_depth=True)
    amounts, sums = curve.walked(notional)
    if sums[-1] < notional * _CLEARLY:
        used, taken, short = known, amounts[known - 1], True
    else:
        remaining = _countdown(curve, notional)
        used = min(known, bisect_left(remaining, 0.0, key=neg))
        taken = min(amounts[used - 1], remaining[used - 1])  # from the last level
        short = remaining[used] > notional * _ROUNDING
    best, worst = curve.ladder.price(0), curve.ladder.price(used - 1)
    filled = sums[used - 1] + taken
    vwap = ratio(filled, curve.bought(used - 1) + taken / worst)
    if vwap is not None:  # rounding must not make an average better than the best price
        vwap = min(max(vwap, min(best, worst)), max(best, worst))
    return Fill(vwap, worst, used, filled, filled / notional if short else 1.0, short)


def _countdown(curve: DepthCurve, notional: float) -> list[float]:
    """What remains of an order after none, one, two... levels, until nothing does or the known levels end.

    Counted down level by level, as an order is filled: the sum of its parts can differ from an order in the last
    bit, and that bit decides whether one more level is used.
    """
    reach = notional
    while True:
        amounts, _ = curve.walked(reach)
        remaining = list(accumulate(amounts, sub, initial=notional))
        if remaining[-1] <= 0.0 or len(amounts) == curve.sure:
            return remaining
        reach *= 1 + _CRUMB


def cost_bps(side: TakerSide, vwap: float | None, reference: float | None) -> float | None:
    """How much worse than the reference, in bps: positive is a cost for buyers and sellers alike."""
    if vwap is None or reference is None:
        return None
    return ratio((1e4 if side == "buy" else -1e4) * (vwap - reference), reference)


def notional_to_move(curve: DepthCurve, reference: float, bps: float) -> MoveCost | None:
    """Quote amount resting at prices less than `bps` from the reference price. None on an empty side."""
    if curve.best is None:
        return None
    target = limit_at(reference, curve.side, bps)
    # A level at the target stays: the price has then moved by exactly `bps`.
    return MoveCost(curve.quote(curve.count_before(target)), lower_bound=curve.ends_within(target))
