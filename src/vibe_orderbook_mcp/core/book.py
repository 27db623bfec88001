"""One order book: sizes by price, prices in order.

Each side keeps a dict (price -> size) and the same prices in one ascending list. A changed size touches the dict
alone; a new or emptied level costs a bisection and a memmove of at most a few kilobytes. In return the best
price, the best n levels and the depth within a band are slices that are always current.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import islice
from operator import mul

from vibe_orderbook_mcp.core.events import DepthSnapshot, DepthUpdate, Side


class BookSide:
    """One side's levels. `horizon` is the worst price up to which every level is known; None: all are."""

    __slots__ = ("horizon", "prices", "side", "sizes")

    def __init__(self, side: Side, levels: Sequence[tuple[float, float]] = (), *, complete: bool = True) -> None:
        self.side: Side = side
        self.sizes: dict[float, float] = {price: size for price, size in levels if size > 0.0}
        self.prices: list[float] = sorted(self.sizes)
        self.horizon: float | None = None
        if not complete and self.prices:
            self.horizon = self.prices[0] if side == "bid" else self.prices[-1]

    def apply(self, levels: Sequence[tuple[float, float]]) -> list[float]:
        """Set each level to its new absolute size, 0 removes it. Returns the sizes before, in the same order."""
        sizes, prices = self.sizes, self.prices
        before: list[float] = []
        for price, size in levels:
            old = sizes.get(price, 0.0)
            before.append(old)
            if size > 0.0:
                if old == 0.0:
                    insort(prices, price)
                sizes[price] = size
            elif old > 0.0:
                del sizes[price]
                del prices[bisect_left(prices, price)]
        return before

    @property
    def best(self) -> float | None:
        if not self.prices:
            return None
        return self.prices[-1] if self.side == "bid" else self.prices[0]

    def top(self, count: int) -> list[tuple[float, float]]:
        """The best `count` levels as (price, size), best first."""
        ordered = reversed(self.prices) if self.side == "bid" else iter(self.prices)
        sizes = self.sizes
        return [(price, sizes[price]) for price in islice(ordered, count)]

    def best_prices(self, count: int) -> list[float]:
        return self.prices[: -count - 1 : -1] if self.side == "bid" else self.prices[:count]

    def levels_to(self, limit: float | None = None) -> tuple[list[float], list[float]]:
        """Prices and sizes from the best price to the limit, inclusive; without one, of the whole side."""
        if self.side == "bid":
            prices = self.prices[0 if limit is None else bisect_left(self.prices, limit) :]
            prices.reverse()
        else:
            prices = self.prices[: len(self.prices) if limit is None else bisect_right(self.prices, limit)]
        return prices, list(map(self.sizes.__getitem__, prices))

    def is_beyond_horizon(self, price: float) -> bool:
        """Whether levels at this price are only known once they have changed."""
        if self.horizon is None:
            return False
        return price < self.horizon if self.side == "bid" else price > self.horizon

    def known_levels(self) -> int:
        """How many levels lie within the horizon."""
        if self.horizon is None:
            return len(self.prices)
        if self.side == "bid":
            return len(self.prices) - bisect_left(self.prices, self.horizon)
        return bisect_right(self.prices, self.horizon)

    def depth_to(self, limits: Sequence[float]) -> list[tuple[float, float]]:
        """Cumulative (base, quote) from the best price to each limit, inclusive. Limits go outwards."""
        out: list[tuple[float, float]] = []
        base = quote = 0.0
        prices, size_of = self.prices, self.sizes.__getitem__
        edge = len(prices) if self.side == "bid" else 0
        for limit in limits:
            if self.side == "bid":
                reach = min(bisect_left(prices, limit), edge)
                span = prices[reach:edge]
            else:
                reach = max(bisect_right(prices, limit), edge)
                span = prices[edge:reach]
            sizes = list(map(size_of, span))
            base += sum(sizes)
            quote += sum(map(mul, span, sizes))
            edge = reach
            out.append((base, quote))
        return out


class OrderBook:
    """Both sides and the update they stand at."""

    __slots__ = ("asks", "bids", "event_ms", "last_update_id")

    def __init__(self, snapshot: DepthSnapshot, *, limit: int | None = None) -> None:
        """`limit` is how many levels a side were asked for: a side that is shorter is wholly known."""
        self.bids = BookSide("bid", snapshot.bids, complete=limit is None or len(snapshot.bids) < limit)
        self.asks = BookSide("ask", snapshot.asks, complete=limit is None or len(snapshot.asks) < limit)
        self.last_update_id = snapshot.last_update_id
        self.event_ms: int | None = None  # a REST answer carries no exchange time

    def apply(self, update: DepthUpdate) -> tuple[list[float], list[float]]:
        """Apply one update that is known to be next. Returns the sizes before, for bids and for asks."""
        before = self.bids.apply(update.bids), self.asks.apply(update.asks)
        self.last_update_id = update.final_id
        self.event_ms = update.event_ms
        return before

    def side(self, side: Side) -> BookSide:
        return self.bids if side == "bid" else self.asks

    @property
    def mid(self) -> float | None:
        bid, ask = self.bids.best, self.asks.best
        return None if bid is None or ask is None else (bid + ask) / 2

    @property
    def is_crossed(self) -> bool:
        """Best bid at or above best ask: on an exchange that matches, a sign that the copy is wrong."""
        bid, ask = self.bids.best, self.asks.best
        return bid is not None and ask is not None and bid >= ask

    @property
    def is_two_sided(self) -> bool:
        return bool(self.bids.prices) and bool(self.asks.prices)
