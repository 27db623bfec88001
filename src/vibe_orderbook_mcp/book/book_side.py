"""One side of an order book in plain Python, for installations without the compiled `_book_side`."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from functools import cached_property, reduce
from itertools import accumulate, pairwise
from math import inf
from operator import add, mul
from typing import Any

from vibe_orderbook_mcp.model.events import Side


class BookSide:
    """One side's levels, always sorted, with the best price at hand.

    `horizon` is the worst price up to which every level is known; None: all are. Sums are plain additions of doubles
    from the best price outwards, so that both implementations agree to the last bit on every Python.
    """

    __slots__ = ("_keys", "_sign", "_since_ms", "_sizes", "horizon", "side")

    def __init__(self, side: Side, levels: Sequence[tuple[float, float]] = (), *, complete: bool = True) -> None:
        self.side: Side = side
        self._sign = 1.0 if side == "bid" else -1.0
        self._sizes: dict[float, float] = {}
        self._since_ms: dict[float, int] = {}  # of the levels that arrived during recording
        # Prices of bids and negative prices of asks, ascending: the best is last, where a change moves least.
        self._keys: list[float] = []
        self.apply(sorted(dict(levels).items(), reverse=side == "ask"))
        self.horizon: float | None = None if complete or not self._keys else self._sign * self._keys[0]

    def __len__(self) -> int:
        return len(self._keys)

    def apply(self, levels: Sequence[tuple[float, float]], event_ms: int = 0) -> list[float]:
        """Set each level to its new absolute size, 0 removes it. Returns the sizes before, each as the
        row found it; if a price comes twice, the last one counts. `event_ms` is the arrival time of new levels; 0: some
        time before.

        Raises ValueError, and changes nothing, for a price that is not positive and finite, or a size that is negative
        or not finite.
        """
        for price, size in levels:
            if not (0.0 < price < inf and 0.0 <= size < inf):
                raise ValueError(f"not a level: {price!r}, {size!r}")
        keys, sizes, since_ms, sign = self._keys, self._sizes, self._since_ms, self._sign
        before = []
        for price, size in levels:
            old = sizes.get(price, 0.0)
            before.append(old)
            if size:
                sizes[price] = size
                if not old:
                    insort(keys, sign * price)
                    if event_ms:
                        since_ms[price] = event_ms
            elif old:
                since_ms.pop(price, None)
                del sizes[price]
                del keys[bisect_left(keys, sign * price)]
        return before

    @property
    def best(self) -> float | None:
        """The best price, None on an empty side."""
        return self._sign * self._keys[-1] if self._keys else None

    @property
    def sizes(self) -> dict[float, float]:
        """A copy: size by price."""
        return self._sizes.copy()

    @property
    def prices(self) -> list[float]:
        """A copy: all prices, ascending."""
        return self._keys.copy() if self.side == "bid" else [-key for key in reversed(self._keys)]

    def size_at(self, price: float) -> float:
        """0 without a level."""
        return self._sizes.get(price, 0.0)

    def since_ms(self, price: float) -> int | None:
        """Time of the level's arrival; None without a level, or if it arrived before recording began."""
        return self._since_ms.get(price)

    def keep_best(self, count: int) -> None:
        """Forget the levels behind the best `count`: nobody says any more what stands there."""
        surplus = len(self._keys) - max(0, count)
        if surplus > 0:
            for key in self._keys[:surplus]:
                price = self._sign * key
                del self._sizes[price]
                self._since_ms.pop(price, None)
            del self._keys[:surplus]
        self.horizon = self._sign * self._keys[0] if self._keys and surplus >= 0 else None

    def keep_since(self, former: BookSide) -> None:
        """Replace an older copy and keep its arrival times."""
        for price in self._sizes.keys() & former._sizes.keys():
            if (since_ms := former.since_ms(price)) is None:
                self._since_ms.pop(price, None)
            else:
                self._since_ms[price] = since_ms

    def top(self, count: int) -> list[tuple[float, float]]:
        """The best `count` levels as (price, size), best first."""
        return list(zip(*self.best_levels(count), strict=True))

    def best_levels(self, count: int) -> tuple[list[float], list[float]]:
        """The best `count` prices, best first, and the sizes there."""
        keys = self._keys[: -count - 1 : -1]
        prices = keys if self.side == "bid" else [-key for key in keys]
        return prices, list(map(self._sizes.__getitem__, prices))

    def ladder(self, count: int) -> Ladder:
        """The present best `count` levels."""
        ladder = Ladder(self.side)
        ladder._prices, ladder._sizes = self.best_levels(max(0, count))
        ladder._since_ms = {price: self._since_ms[price] for price in ladder._prices if price in self._since_ms}
        return ladder

    def count_to(self, limit: float) -> int:
        """Number of levels between the best price and the limit, inclusive."""
        return len(self._keys) - bisect_left(self._keys, self._sign * limit)

    def is_beyond_horizon(self, price: float) -> bool:
        """Whether levels at this price are only known once they have changed."""
        return self.horizon is not None and self._sign * price < self._sign * self.horizon

    def known_levels(self) -> int:
        """Number of levels within the horizon."""
        return len(self._keys) if self.horizon is None else self.count_to(self.horizon)

    def depth_to(self, limits: Sequence[float]) -> list[tuple[float, float]]:
        """Cumulative (base, quote) from the best price to each limit, inclusive. Limits go outwards."""
        counts = [self.count_to(limit) for limit in limits]
        prices, sizes = self.best_levels(max(counts, default=0))
        base = list(accumulate(sizes, initial=0.0))
        quote = list(accumulate(map(mul, prices, sizes), initial=0.0))
        return [(base[count], quote[count]) for count in counts]

    def sums_between(self, edges: Sequence[float]) -> list[float]:
        """Base units from each edge up to the next one, which is not in it. Edges ascend."""
        is_bid, prices = self.side == "bid", self.prices
        sums = []
        for low, high in pairwise(edges):
            span = prices[(first := bisect_left(prices, low)) : bisect_left(prices, high, first)]
            outwards = reversed(span) if is_bid else span
            sums.append(reduce(add, map(self._sizes.__getitem__, outwards), 0.0))
        return sums


class Ladder(Sequence[tuple[float, float]]):
    """Immutable levels of one side, best first, and their sums."""

    def __init__(self, side: Side, levels: Sequence[tuple[float, float]] = ()) -> None:
        self.side: Side = side
        self._sign = 1.0 if side == "bid" else -1.0
        self._prices = [price for price, _ in levels]
        self._sizes = [size for _, size in levels]
        self._since_ms: dict[float, int] = {}

    def __len__(self) -> int:
        return len(self._prices)

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return zip(self._prices, self._sizes, strict=True)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return list(zip(self._prices[place], self._sizes[place], strict=True))
        return self._prices[place], self._sizes[place]

    def price(self, place: int) -> float:
        """The price at this index; 0 is the best. Raises IndexError."""
        if place < 0:
            raise IndexError(place)
        return self._prices[place]

    def since_ms(self, price: float) -> int | None:
        """Time of the level's arrival; None without a level, or if it arrived before recording began."""
        return self._since_ms.get(price)

    def levels(self, start: int, stop: int) -> tuple[list[float], list[float]]:
        """Prices and sizes from one index to another, like a slice."""
        return self._prices[max(0, start) : max(0, stop)], self._sizes[max(0, start) : max(0, stop)]

    def depth(self, count: int) -> tuple[float, float]:
        """Base and quote units of the best `count` levels, or of all if there are fewer."""
        count = min(max(0, count), len(self._prices))
        return self._base[count], self._quote[count]

    def parts(self, edges: Sequence[int]) -> list[float]:
        """Base units from each of these indices to the next, each sum separate."""
        return [reduce(add, self._sizes[start:stop], 0.0) for start, stop in pairwise(edges)]

    def count_to(self, limit: float) -> int:
        """Number of levels that are not beyond the limit."""
        if self.side == "ask":
            return bisect_right(self._prices, limit)
        return len(self._prices) - bisect_left(self._rising, limit)

    def count_before(self, limit: float, edge: float) -> int:
        """Number of levels that are nearer than `limit` by more than `edge` of their price."""
        factor = 1.0 - self._sign * edge
        return bisect_left(self._prices, True, key=lambda price: self._sign * (price * factor) <= self._sign * limit)

    @cached_property
    def _rising(self) -> list[float]:
        return self._prices[::-1]

    @cached_property
    def _base(self) -> list[float]:
        return list(accumulate(self._sizes, initial=0.0))

    @cached_property
    def _quote(self) -> list[float]:
        return list(accumulate(map(mul, self._prices, self._sizes), initial=0.0))
