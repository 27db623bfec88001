"""Figures of one book at one moment.

Sides are lists of (price, size), best first. A figure that cannot be computed is None, never 0. A side's horizon is the
worst price up to which every level is known; None means that the whole side is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice
from operator import mul, truediv

from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.book.compiled import Ladder
from vibe_orderbook_mcp.model.events import Side

BookLevel = tuple[float, float]
BookLevels = Sequence[BookLevel]

# A level exactly at a limit is inside it, regardless of the last bit of the product.
EDGE = 1e-12


@dataclass(frozen=True, slots=True)
class BookView:
    """Both sides, best first, and how far each is completely known."""

    bids: BookLevels | Ladder
    asks: BookLevels | Ladder
    bid_horizon: float | None = None
    ask_horizon: float | None = None

    def side(self, side: Side) -> BookLevels | Ladder:
        return self.bids if side == "bid" else self.asks

    def horizon(self, side: Side) -> float | None:
        return self.bid_horizon if side == "bid" else self.ask_horizon

    def curve(self, side: Side) -> DepthCurve:
        return DepthCurve(self.side(side), side, self.horizon(side))

    @property
    def best_bid(self) -> float | None:
        return self.bids[0][0] if self.bids else None

    @property
    def best_ask(self) -> float | None:
        return self.asks[0][0] if self.asks else None

    @property
    def mid(self) -> float | None:
        return mid(self.best_bid, self.best_ask)

    @property
    def is_crossed(self) -> bool:
        return bool(self.bids and self.asks) and self.bids[0][0] > self.asks[0][0]

    @property
    def is_locked(self) -> bool:
        return bool(self.bids and self.asks) and self.bids[0][0] == self.asks[0][0]


class DepthCurve:
    """One side and the sums of its levels.

    An order is walked level by level, best first, over as many levels as it needs (`walked`); no level is walked
    twice. Depth up to a limit is summed in one call (`book.book_side.Ladder`).
    """

    def __init__(self, levels: BookLevels | Ladder, side: Side, horizon: float | None = None) -> None:
        self.side: Side = side
        self.horizon = horizon
        self.ladder = levels if isinstance(levels, Ladder) else Ladder(side, levels)
        self._outwards = -1.0 if side == "bid" else 1.0
        self._amounts: list[float] = []  # quote units at each of the levels that were walked
        self._walked = [0.0]  # [i]: of the best i of them
        self._bought = [0.0]

    @property
    def best(self) -> float | None:
        """The best price, None on an empty side."""
        return self.ladder.price(0) if len(self.ladder) else None

    def base(self, count: int) -> float:
        """Base units of the best `count` levels."""
        return self.ladder.depth(count)[0]

    def quote(self, count: int) -> float:
        """Quote units of the best `count` levels."""
        return self.ladder.depth(count)[1]

    def walked(self, notional: float) -> tuple[list[float], list[float]]:
        """Quote units at each of the best levels and their running sum (of none, one, two...), each level added once
        and in order, up to the first sum that reaches `notional` or the end of the known levels."""
        while self._walked[-1] < notional and (done := len(self._amounts)) < self.sure:
            self._amounts += map(mul, *self.ladder.levels(done, min(self.sure, 2 * done + 8)))
            self._walked += islice(accumulate(self._amounts[done:], initial=self._walked[-1]), 1, None)
        return self._amounts, self._walked

    def bought(self, count: int) -> float:
        """Base units that the amounts of the best levels buy: the sizes, apart from the rounding of an order's walk."""
        known = self._bought
        if (done := len(known) - 1) < count:
            parts = map(truediv, self._amounts[done:count], self.ladder.levels(done, count)[0])
            known.extend(islice(accumulate(parts, initial=known[-1]), 1, None))
        return known[count]

    @cached_property
    def sure(self) -> int:
        """Number of levels within the horizon: beyond it some levels between the known ones may be missing."""
        return len(self.ladder) if self.horizon is None else self.count_to(self.horizon)

    def count_to(self, limit: float) -> int:
        """Number of levels between the best price and the limit, inclusive."""
        return self.ladder.count_to(limit * (1 + self._outwards * EDGE))

    def count_before(self, limit: float) -> int:
        """Number of levels up to `limit`."""
        return self.ladder.count_before(limit, EDGE)

    def ends_within(self, limit: float) -> bool:
        """Whether the known book ends before the limit."""
        return self.horizon is not None and is_beyond(limit, self.side, self.horizon)


@dataclass(frozen=True, slots=True)
class BandDepth:
    """Resting size within a band. `truncated`: the band reaches beyond the known book, both are lower bounds."""

    base: float
    quote: float
    truncated: bool


def mid(bid: float | None, ask: float | None) -> float | None:
    """Half way between the best prices. None for a one-sided or crossed book, which has no mid."""
    if bid is None or ask is None or bid > ask:
        return None
    return bid + (ask - bid) / 2


def spread_bps(bid: float | None, ask: float | None) -> float | None:
    """1e4 * (ask - bid) / mid: 0 when locked, negative when crossed (and then the book is invalid)."""
    if bid is None or ask is None:
        return None
    return ratio(1e4 * (ask - bid), (bid + ask) / 2)


def spread_ticks(bid: float | None, ask: float | None, tick: float) -> int | None:
    if bid is None or ask is None or tick <= 0.0:
        return None
    return round((ask - bid) / tick)


def weighted_mid(bid: float | None, bid_size: float, ask: float | None, ask_size: float) -> float | None:
    """(ask * bid_size + bid * ask_size) / (bid_size + ask_size), with the sizes at the best prices alone."""
    if bid is None or ask is None or bid > ask:
        return None
    share = ratio(bid_size, bid_size + ask_size)
    if share is None:
        return None
    return min(max(bid + (ask - bid) * share, bid), ask)


def balance(bid_amount: float, ask_amount: float) -> float | None:
    """(bid - ask) / (bid + ask): -1 to 1, positive when bids are heavier, None for an empty book."""
    return ratio(bid_amount - ask_amount, bid_amount + ask_amount)


def imbalance(bids: DepthCurve, asks: DepthCurve, count: int) -> float | None:
    """Balance of size over the `count` best levels of each side."""
    return balance(bids.base(count), asks.base(count))


def band_imbalance(bids: DepthCurve, asks: DepthCurve, middle: float | None, bps: float) -> float | None:
    """Balance of size within `bps` of mid: comparable between symbols, unlike a count of levels."""
    if middle is None:
        return None
    within = [curve.base(curve.count_to(limit_at(middle, curve.side, bps))) for curve in (bids, asks)]
    return balance(*within)


def band_depth(curve: DepthCurve, middle: float, bps: float) -> BandDepth:
    """Resting base and quote amounts of one side within `bps` of mid, edge included."""
    limit = limit_at(middle, curve.side, bps)
    return BandDepth(*curve.ladder.depth(curve.count_to(limit)), truncated=curve.ends_within(limit))


def limit_at(reference: float, side: Side, bps: float) -> float:
    """The price `bps` away from the reference, outwards."""
    return reference * (1 - bps / 1e4) if side == "bid" else reference * (1 + bps / 1e4)


def is_beyond(price: float, side: Side, limit: float) -> bool:
    """Whether a price of this side is further from mid than the limit."""
    return price < limit * (1 - EDGE) if side == "bid" else price > limit * (1 + EDGE)
