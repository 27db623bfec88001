"""One order book: sizes by price, and as much order among the prices as somebody needs.

Two of five rows of a busy symbol put up a level that was not there, two of five take one down, and most of them are
never looked at in between. So each side keeps a dict (price -> size) that is written in C, one `dict.update` a message,
and the order in two parts:

* `_near` holds the best few dozen prices in order, from `_edge` to the best, after every message. Best price and best
  levels are its slices.
* `_ordered` holds all prices in order as they stood when somebody last asked for them, which is about once a second;
  `_changed` are those that have come or gone since. Most have done both by then.

Prices that are new to the dict are its tail, because it keeps the order of insertion.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from itertools import islice, repeat
from math import inf
from operator import itemgetter, mul

from vibe_orderbook_mcp.core.events import DepthSnapshot, DepthUpdate, Side

# How many of the best prices are kept in order: fewer than NEAR_LEAST are refilled to NEAR_KEPT, which costs a walk
# through all levels, and more than NEAR_MOST are cut back to it.
NEAR_LEAST, NEAR_KEPT, NEAR_MOST = 20, 96, 256
# Up to one change in so many levels, bisections are quicker than sorting.
FEW_CHANGES = 6
# After so many changes since somebody asked for all prices they are no longer noted: who asks next has them sorted.
CHANGED_MOST = 4_096

_price = itemgetter(0)


class BookSide:
    """One side's levels. `horizon` is the worst price up to which every level is known; None: all are.

    `best` is the best price, None on an empty side. `sizes` (size by price) is written here alone.
    """

    __slots__ = ("_changed", "_edge", "_is_bid", "_near", "_ordered", "best", "horizon", "side", "sizes")

    def __init__(self, side: Side, levels: Sequence[tuple[float, float]] = (), *, complete: bool = True) -> None:
        self.side: Side = side
        self._is_bid = side == "bid"
        self.sizes: dict[float, float] = {price: size for price, size in levels if size > 0.0}
        self._ordered: list[float] = sorted(self.sizes)
        self._changed: list[float] | None = []  # None: too many to be noted
        self.horizon: float | None = None
        if not complete and self._ordered:
            self.horizon = self._ordered[0] if self._is_bid else self._ordered[-1]
        self._near: list[float]
        self._edge: float
        self.best: float | None
        self._keep_near(self._ordered, is_whole=True)

    def apply(self, levels: Sequence[tuple[float, float]]) -> None:
        """Set each level to its new absolute size, 0 removes it. Of one price twice, the last one counts."""
        sizes = self.sizes
        known = len(sizes)
        sizes.update(levels)
        grown = len(sizes) - known
        gone = [price for price, size in levels if not size]
        if not grown and not gone:
            return
        come = list(islice(reversed(sizes), grown))  # among them those that were not there and are not there now
        for price in gone:
            if size := sizes.pop(price, 0.0):
                sizes[price] = size  # the price was named twice, and the last one counts
        if (changed := self._changed) is not None:
            changed += come
            changed += gone
            if len(changed) > CHANGED_MOST:
                self._changed = None
        self._change_near(come, gone)

    def sizes_at(self, levels: Sequence[tuple[float, float]]) -> list[float]:
        """What stands now at the prices of `levels`, in their order; 0 where nothing does."""
        return list(map(self.sizes.get, map(_price, levels), repeat(0.0)))

    def size_at(self, price: float) -> float:
        """0 where nothing stands."""
        return self.sizes.get(price, 0.0)

    @property
    def prices(self) -> list[float]:
        """All prices, ascending. Not to be changed, and not to be kept beyond the next event."""
        if self._changed is None or self._changed:
            self._put_in_order()
        return self._ordered

    def top(self, count: int) -> list[tuple[float, float]]:
        """The best `count` levels as (price, size), best first."""
        return list(zip(*self.best_levels(count), strict=True))

    def best_levels(self, count: int) -> tuple[list[float], list[float]]:
        """The best `count` prices, best first, and the sizes there."""
        ordered = self._near if count <= len(self._near) else self.prices
        prices = ordered[: -count - 1 : -1] if self._is_bid else ordered[:count]
        return prices, list(map(self.sizes.__getitem__, prices))

    def levels_to(self, limit: float | None = None) -> tuple[list[float], list[float]]:
        """Prices and sizes from the best price to the limit, inclusive; without one, of the whole side."""
        ordered = self.prices
        if self._is_bid:
            prices = ordered[0 if limit is None else bisect_left(ordered, limit) :]
            prices.reverse()
        else:
            prices = ordered[: len(ordered) if limit is None else bisect_right(ordered, limit)]
        return prices, list(map(self.sizes.__getitem__, prices))

    def is_beyond_horizon(self, price: float) -> bool:
        """Whether levels at this price are only known once they have changed."""
        if self.horizon is None:
            return False
        return price < self.horizon if self._is_bid else price > self.horizon

    def known_levels(self) -> int:
        """How many levels lie within the horizon."""
        prices = self.prices
        if self.horizon is None:
            return len(prices)
        if self._is_bid:
            return len(prices) - bisect_left(prices, self.horizon)
        return bisect_right(prices, self.horizon)

    def depth_to(self, limits: Sequence[float]) -> list[tuple[float, float]]:
        """Cumulative (base, quote) from the best price to each limit, inclusive. Limits go outwards."""
        out: list[tuple[float, float]] = []
        base = quote = 0.0
        prices, size_of = self.prices, self.sizes.__getitem__
        edge = len(prices) if self._is_bid else 0
        for limit in limits:
            if self._is_bid:
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

    def _change_near(self, come: list[float], gone: list[float]) -> None:
        sizes, near, edge = self.sizes, self._near, self._edge
        if self._is_bid:
            come = [price for price in come if price >= edge]
            gone = [price for price in gone if price >= edge]
        else:
            come = [price for price in come if price <= edge]
            gone = [price for price in gone if price <= edge]
        for price in come:
            insort(near, price)
        for price in gone:
            place = bisect_left(near, price)
            if place < len(near) and near[place] == price and price not in sizes:
                del near[place]
        if len(near) > NEAR_MOST:
            self._keep_near(near, is_whole=False)
        elif len(near) < NEAR_LEAST and len(near) < len(sizes):
            self._refill()
        else:
            self.best = (near[-1] if self._is_bid else near[0]) if near else None

    def _keep_near(self, prices: list[float], *, is_whole: bool) -> None:
        """Take the best of `prices`, which are ascending; `is_whole` says that there are no others."""
        if is_whole and len(prices) <= NEAR_KEPT:
            self._near, self._edge = prices.copy(), -inf if self._is_bid else inf
        else:
            self._near = prices[-NEAR_KEPT:] if self._is_bid else prices[:NEAR_KEPT]
            self._edge = self._near[0 if self._is_bid else -1]
        self.best = (self._near[-1] if self._is_bid else self._near[0]) if self._near else None

    def _refill(self) -> None:
        """Look for the best prices three times as far as the near ones reached, which is seldom too short."""
        near, edge = self._near, self._edge
        reach = edge + 3 * (edge - (near[-1] if self._is_bid else near[0])) if near else edge
        if self._is_bid:
            found = [price for price in self.sizes if price >= reach]
        else:
            found = [price for price in self.sizes if price <= reach]
        if len(found) < NEAR_KEPT:
            self._keep_near(self.prices, is_whole=True)
        else:
            found.sort()
            self._keep_near(found, is_whole=False)

    def _put_in_order(self) -> None:
        sizes, ordered, changed = self.sizes, self._ordered, self._changed
        if changed is None or len(changed) * FEW_CHANGES > len(ordered):
            self._ordered = sorted(sizes)
        else:
            changed.sort()
            place = 0
            for price in changed:  # ascending, so each search begins where the last one ended
                place = bisect_left(ordered, price, place)
                is_listed = place < len(ordered) and ordered[place] == price
                if is_listed is (price in sizes):
                    continue
                if is_listed:
                    del ordered[place]
                else:
                    ordered.insert(place, price)
        self._changed = []


class OrderBook:
    """Both sides and the update they stand at."""

    __slots__ = ("asks", "bids", "event_ms", "last_update_id")

    def __init__(self, snapshot: DepthSnapshot, *, limit: int | None = None) -> None:
        """`limit` is how many levels a side were asked for: a side that is shorter is wholly known."""
        self.bids = BookSide("bid", snapshot.bids, complete=limit is None or len(snapshot.bids) < limit)
        self.asks = BookSide("ask", snapshot.asks, complete=limit is None or len(snapshot.asks) < limit)
        self.last_update_id = snapshot.last_update_id
        self.event_ms: int | None = None  # a REST answer carries no exchange time

    def apply(self, update: DepthUpdate) -> None:
        """Apply one update that is known to be next."""
        if update.bids:
            self.bids.apply(update.bids)
        if update.asks:
            self.asks.apply(update.asks)
        self.last_update_id = update.final_id
        self.event_ms = update.event_ms

    def sizes_at(self, update: DepthUpdate) -> tuple[list[float], list[float]]:
        """What stands now where `update` changes something, for bids and for asks."""
        return self.bids.sizes_at(update.bids), self.asks.sizes_at(update.asks)

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
        return self.bids.best is not None and self.asks.best is not None
