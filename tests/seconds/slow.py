"""The obvious way to the same books and rows: everything is done at once, level by level, and nothing is delayed.

`OrderBook` is quick because it keeps an order, `SecondTracker` because it leaves out what nobody looks at. Here all
prices are sorted again after every message, every row of every event goes through the whole rule of added, cancelled
and traded, and imbalances are summed as fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.book_side import BookSide
from vibe_orderbook_mcp.model.events import SIDES, Side
from vibe_orderbook_mcp.model.rows import MLOFI_LEVELS
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.attribution import SKEW_MS, Attribution, _HeldEvent
from vibe_orderbook_mcp.seconds.open_second import OpenSecond
from vibe_orderbook_mcp.seconds.tracker import SecondTracker


class SlowSide(BookSide):
    """A dict alone: every question about order sorts everything."""

    __slots__ = ()

    def apply(self, levels: Sequence[tuple[float, float]], event_ms: int = 0) -> list[float]:
        before = []
        for price, size in levels:
            before.append(self._sizes.pop(price, 0.0))
            since_ms = self._since_ms.pop(price, None) if before[-1] else event_ms or None
            if size > 0.0:
                self._sizes[price] = size
                if since_ms is not None:
                    self._since_ms[price] = since_ms
        self._keys = sorted(self._sign * price for price in self._sizes)
        return before

    @property
    def best(self) -> float | None:
        return (max if self.side == "bid" else min)(self._sizes, default=None)

    def best_levels(self, count: int) -> tuple[list[float], list[float]]:
        prices = sorted(self._sizes, reverse=self.side == "bid")[:count]
        return prices, [self._sizes[price] for price in prices]

    def depth_to(self, limits: Sequence[float]) -> list[tuple[float, float]]:
        out = []
        for limit in limits:
            base = quote = 0.0
            for price in sorted(self._sizes, reverse=self.side == "bid"):
                if price >= limit if self.side == "bid" else price <= limit:
                    base += self._sizes[price]
                    quote += price * self._sizes[price]
            out.append((base, quote))
        return out


class SlowBook(OrderBook):
    __slots__ = ()

    side_type = SlowSide


class SlowAttribution(Attribution):
    def _settle(self, event: _HeldEvent) -> None:
        if event.event_ms - self._skew_ms > SKEW_MS:
            self._skew = {}
        skew: dict[tuple[Side, float], tuple[float, OpenSecond]] = {}
        for side, rows in zip(SIDES, (event.bids, event.asks), strict=True):
            for place in range(len(rows)):
                self._settle_watched(event, side, *rows.row(place), skew)
        self._skew, self._skew_ms = skew, event.event_ms


class SlowTracker(SecondTracker):
    def __init__(self, spec: SymbolSpec) -> None:
        super().__init__(spec)
        self._flow = SlowAttribution(10.0**-spec.lot_exp, self._shown)


Rungs = tuple[list[tuple[float, float]], list[tuple[float, float]]]  # the best levels of bids and asks, best first


def rungs(book: OrderBook) -> Rungs | None:
    """None where the order-flow imbalance has no chain: a side is empty, or they touch."""
    bids, asks = book.bids.top(MLOFI_LEVELS), book.asks.top(MLOFI_LEVELS)
    return (bids, asks) if bids and asks and bids[0][0] < asks[0][0] else None


def imbalance(before: Rungs, after: Rungs, lot: Fraction) -> list[Fraction]:
    """Xu, Gould & Howison (2018), eq. 2 to 4, level by level, in whole lots."""
    out = []
    for (b0, q0), (a0, r0), (b1, q1), (a1, r1) in zip(*before, *after, strict=False):
        bid = (lots(q1, lot) if b1 >= b0 else 0) - (lots(q0, lot) if b1 <= b0 else 0)
        ask = (lots(r1, lot) if a1 <= a0 else 0) - (lots(r0, lot) if a1 >= a0 else 0)
        out.append((bid - ask) * lot)
    return out


def lots(size: float, lot: Fraction) -> int:
    return round(Fraction(size) / lot)
