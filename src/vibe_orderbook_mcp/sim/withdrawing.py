"""Scenarios in which orders are withdrawn: one side drains, or is empty. PURE.

Makers stay away meanwhile. Afterwards what was withdrawn comes back, best first and about as fast as makers act, so
that the return is not a burst of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final, NamedTuple, TypeVar

from vibe_orderbook_mcp.sim.episode import SIDES, Episode
from vibe_orderbook_mcp.sim.ledger import BID
from vibe_orderbook_mcp.sim.scenarios import Drain, EmptySide, Withdrawal
from vibe_orderbook_mcp.sim.sinks import MarketSink
from vibe_orderbook_mcp.sim.stage import Mood

BAND_BPS: Final = 50.0
BEYOND_BPS: Final = 25.0  # withdrawn beyond that, because mid follows the touch
FLOOR_BPS: Final = 0.5  # spreads below this, or one tick, are all equally tight
SPREAD_TIMES: Final = 20.0
LEFT_SHARE: Final = 0.06  # of the depth
DRAIN_SHARE: Final = 0.3  # of the episode; then it stays drained
DRAIN_MOST_MS: Final = 6_000.0
EMPTY_MS: Final = 1_000.0
RETURN_TIMES: Final = 2.0  # against how often makers act

Q = TypeVar("Q", bound=Drain | EmptySide | Withdrawal)


class Order(NamedTuple):
    order_id: int
    price: int
    lots: int
    far_place: int | None


class BackingAway(Episode[Q], ABC):
    """Cancels a list of orders at an even pace, and puts them back."""

    takes: float
    vol = 0.3

    def begin(self, at: float) -> None:
        self._side: int = SIDES[self.request.side]
        self.change_mood(Mood(takes=self.takes, vol=self.vol, absent=self._side), at)
        self._going: list[Order] = self.chosen()[::-1]  # withdrawn from the end
        self._gone: list[Order] = []
        self._pace_ms: float = self.lasting_ms() / max(1, len(self._going))
        self.truth.numbers["withdrawn"] = 0
        self.next_ms = at

    def act(self, at: float, sink: MarketSink) -> None:
        order = self._going.pop()
        if self.market.book.cancel(order.order_id):
            self._gone.append(order)
            self.truth.numbers["withdrawn"] += 1
        if self._going:
            self.next_ms = at + self._pace_ms
        else:
            self.next_ms = float(self.end_ms)
            self.arrived(at)

    def leave(self, at: float) -> None:
        self._gone.sort(key=lambda each: each.price if self._side == BID else -each.price)
        self.settle(at)

    def settle(self, at: float) -> None:
        """Put the best one back that still has room."""
        while self._gone:
            if self._put_back(self._gone.pop(), at):
                break
        if self._gone:
            self.wait(at, RETURN_TIMES * self.market.makes_a_second)

    @abstractmethod
    def chosen(self) -> list[Order]:
        """What is withdrawn, in this order."""

    @abstractmethod
    def lasting_ms(self) -> float:
        """How long that takes."""

    def arrived(self, at: float) -> None:
        """The last of them is gone."""

    def orders(self, limit: int | None) -> list[Order]:
        """The side's orders up to a price, best first."""
        book, side = self.market.book, self._side
        far = self.market.far_place(side)
        return [
            Order(order_id, price, lots, far.get(order_id))
            for price in book.prices(side, limit)
            for order_id, lots in book.orders_at(side, price)
        ]

    def _put_back(self, order: Order, at: float) -> bool:
        market, side = self.market, self._side
        other = market.book.best(1 - side)
        if other is not None and (order.price >= other if side == BID else order.price <= other):
            return False
        order_id = market.book.place(side, order.price, order.lots)
        if order.far_place is not None:
            market.set_far(side, order.far_place, order_id)
        else:
            touch = market.book.best(side) or order.price
            market.expire(at + market.life(abs(order.price - touch) * 1e4 / touch), order_id)
        return True


class DrainEpisode(BackingAway[Drain]):
    takes = 0.3

    def lasting_ms(self) -> float:
        return min(DRAIN_MOST_MS, self.request.seconds * 1000.0 * DRAIN_SHARE)

    def chosen(self) -> list[Order]:
        book, side = self.market.book, self._side
        top = book.top()
        if top is None:
            return []
        mid = (top[0] + top[2]) / 2
        spread = SPREAD_TIMES * max(1.0, FLOOR_BPS * mid / 1e4, top[2] - top[0])
        reach = mid * (BAND_BPS + BEYOND_BPS) / 1e4 + spread
        band = self.orders(round(mid - reach) if side == BID else round(mid + reach))
        edge = top[2] - spread if side == BID else top[0] + spread
        may_stay = [each for each in band if (each.price <= edge if side == BID else each.price >= edge)]
        left = LEFT_SHARE * sum(each.lots for each in band)
        staying: set[int] = set()
        for order in sorted(may_stay, key=lambda each: each.lots):
            left -= order.lots
            if left < 0:
                break
            staying.add(order.order_id)
        self.truth.numbers |= {"depth_before": self._depth(), "spread_before": self.price(top[2] - top[0])}
        going = [each for each in band if each.order_id not in staying]
        self.random.shuffle(going)
        return going

    def arrived(self, at: float) -> None:
        top = self.market.book.top()
        self.truth.numbers |= {"drained_ms": int(at), "depth_after": self._depth()}
        if top is not None:
            self.truth.numbers["spread_after"] = self.price(top[2] - top[0])

    def _depth(self) -> float:
        """Base units within 50 bps of mid."""
        book, side = self.market.book, self._side
        top = book.top()
        if top is None:
            return 0.0
        mid = (top[0] + top[2]) / 2
        limit = int(mid * (1 - BAND_BPS / 1e4)) if side == BID else int(mid * (1 + BAND_BPS / 1e4)) + 1
        sizes = book.ledger.sides[side]
        return self.size(sum(sizes[price] for price in book.prices(side, limit)))


class EmptySideEpisode(BackingAway[EmptySide]):
    takes = 0.0

    def lasting_ms(self) -> float:
        return EMPTY_MS

    def chosen(self) -> list[Order]:
        return self.orders(None)[::-1]  # the far ones first: the touch is the last to go

    def arrived(self, at: float) -> None:
        self.truth.numbers["empty_ms"] = int(at)
