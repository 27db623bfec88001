"""One order book: sizes by price, and as much order among the prices as somebody needs.

A message of a busy symbol changes dozens of levels, and most of what it changes is never looked at before it changes
again: two of five rows of BTCUSDT put up a level that was not there, two of five take one down. So each side keeps a
dict (price -> size) that is written in C, one `dict.update` a message, and puts off the rest:

* A level that was taken down stays in the dict with size 0 until it is met on the way to something else. Prices that
  are new to the dict are its tail, because it keeps the order of insertion.
* `_near` holds the best few dozen prices in order, from `_edge` to the best. Best price and best levels are its slices,
  less the empty levels among them, which go when they are met.
* `_ordered` holds all prices in order as they stood when somebody last asked for them, which is once a second and not
  ten times; `_was_listed` tells of those that have come or gone since whether they are in it. Most have done both.
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
FEW_CHANGES = 12
# Emptied levels leave the dict after so many messages at the latest, and where nobody asks for all prices they are put
# in order after so many changes.
UNCLEARED_MOST = 16
CHANGED_MOST = 4_096

_price = itemgetter(0)


class BookSide:
    """One side's levels. `horizon` is the worst price up to which every level is known; None: all are.

    `best` is the best price, None on an empty side.
    """

    __slots__ = (
        "_edge",
        "_is_bid",
        "_is_in_order",
        "_near",
        "_ordered",
        "_sizes",
        "_uncleared",
        "_was_listed",
        "best",
        "horizon",
        "side",
    )

    def __init__(self, side: Side, levels: Sequence[tuple[float, float]] = (), *, complete: bool = True) -> None:
        self.side: Side = side
        self._is_bid = side == "bid"
        self._sizes: dict[float, float] = {price: size for price, size in levels if size > 0.0}
        self._ordered: list[float] = sorted(self._sizes)
        self._was_listed: dict[float, bool] = {}
        self._is_in_order = True
        self._uncleared: list[Sequence[tuple[float, float]]] = []
        self.horizon: float | None = None
        if not complete and self._ordered:
            self.horizon = self._ordered[0] if self._is_bid else self._ordered[-1]
        self._near: list[float]
        self._edge: float
        self.best: float | None
        self._refill()

    def apply(self, levels: Sequence[tuple[float, float]]) -> None:
        """Set each level to its new absolute size, 0 removes it. Of one price twice, the last one counts."""
        sizes = self._sizes
        known = len(sizes)
        sizes.update(levels)
        self._uncleared.append(levels)
        self._is_in_order = False
        if grown := len(sizes) - known:
            self._add(list(islice(reversed(sizes), grown)))
        if len(self._uncleared) >= UNCLEARED_MOST:
            self._clear_empty()
        near, place = self._near, -1 if self._is_bid else 0
        while near and not sizes[near[place]]:
            self._drop(near[place])
        if len(near) < NEAR_LEAST and len(near) < len(sizes):
            self._refill()
        else:
            self.best = near[place] if near else None

    def sizes_at(self, levels: Sequence[tuple[float, float]]) -> list[float]:
        """What stands now at the prices of `levels`, in their order; 0 where nothing does."""
        return list(map(self._sizes.get, map(_price, levels), repeat(0.0)))

    def size_at(self, price: float) -> float:
        """0 where nothing stands."""
        return self._sizes.get(price, 0.0)

    @property
    def sizes(self) -> dict[float, float]:
        """Size by price, of all levels. Not to be changed, and not to be kept beyond the next event."""
        if not self._is_in_order:
            self._put_in_order()
        return self._sizes

    @property
    def prices(self) -> list[float]:
        """All prices, ascending. Not to be changed."""
        if not self._is_in_order:
            self._put_in_order()
        return self._ordered

    def top(self, count: int) -> list[tuple[float, float]]:
        """The best `count` levels as (price, size), best first."""
        return list(zip(*self.best_levels(count), strict=True))

    def best_levels(self, count: int) -> tuple[list[float], list[float]]:
        """The best `count` prices, best first, and the sizes there."""
        sizes = self._sizes
        while True:
            if count > len(self._near):
                if not self._is_in_order:
                    self._put_in_order()
                prices = self._ordered[: -count - 1 : -1] if self._is_bid else self._ordered[:count]
            else:
                prices = self._near[: -count - 1 : -1] if self._is_bid else self._near[:count]
            amounts = list(map(sizes.__getitem__, prices))
            if 0.0 not in amounts:
                return prices, amounts
            for price, size in zip(prices, amounts, strict=True):
                if not size:
                    self._drop(price)

    def levels_to(self, limit: float | None = None) -> tuple[list[float], list[float]]:
        """Prices and sizes from the best price to the limit, inclusive; without one, of the whole side."""
        if self._is_bid:
            prices = self.prices[0 if limit is None else bisect_left(self.prices, limit) :]
            prices.reverse()
        else:
            prices = self.prices[: len(self.prices) if limit is None else bisect_right(self.prices, limit)]
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
        prices, size_of = self.prices, self._sizes.__getitem__
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

    def _add(self, come: list[float]) -> None:
        """Prices that are new to the dict."""
        note = self._was_listed.setdefault
        for price in come:
            note(price, False)
        near, edge = self._near, self._edge
        if self._is_bid:
            for price in come:
                if price >= edge:
                    insort(near, price)
        else:
            for price in come:
                if price <= edge:
                    insort(near, price)
        if len(near) > NEAR_MOST:
            self._cut()
        if len(self._was_listed) > CHANGED_MOST:
            self._put_in_order()

    def _drop(self, price: float) -> None:
        """An empty level among the near ones. It leaves the dict too: when it is put up again it is new there."""
        del self._sizes[price]
        del self._near[bisect_left(self._near, price)]
        self._was_listed.setdefault(price, True)

    def _refill(self) -> None:
        """Take the best prices out of all."""
        prices = self.prices
        if len(prices) <= NEAR_KEPT:
            self._near, self._edge = prices.copy(), -inf if self._is_bid else inf
        else:
            self._near = prices[-NEAR_KEPT:] if self._is_bid else prices[:NEAR_KEPT]
            self._edge = self._near[0 if self._is_bid else -1]
        self.best = (self._near[-1] if self._is_bid else self._near[0]) if self._near else None

    def _cut(self) -> None:
        """What lies far behind the best prices again need not be in order after every message."""
        sizes = self._sizes
        empty = [price for price in self._near if not sizes[price]]
        for price in empty:
            del sizes[price]
            self._was_listed.setdefault(price, True)
        self._near = list(filter(sizes.__contains__, self._near))
        if len(self._near) > NEAR_KEPT:
            self._near = self._near[-NEAR_KEPT:] if self._is_bid else self._near[:NEAR_KEPT]
            self._edge = self._near[0 if self._is_bid else -1]

    def _clear_empty(self) -> None:
        """Take the levels out of the dict that messages since the last time have emptied."""
        sizes, note = self._sizes, self._was_listed.setdefault
        count = len(sizes)
        for levels in self._uncleared:
            for price, size in levels:
                if not size and not sizes.get(price, 1.0):
                    del sizes[price]
                    note(price, True)
        self._uncleared.clear()
        if len(sizes) < count:
            self._near = list(filter(sizes.__contains__, self._near))

    def _put_in_order(self) -> None:
        self._clear_empty()
        sizes, ordered = self._sizes, self._ordered
        changed = [price for price, was_listed in self._was_listed.items() if (price in sizes) is not was_listed]
        if len(changed) * FEW_CHANGES > len(ordered):
            self._ordered = sorted(sizes)
        else:
            for price in changed:
                if price in sizes:
                    insort(ordered, price)
                else:
                    del ordered[bisect_left(ordered, price)]
        self._was_listed.clear()
        self._is_in_order = True


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
