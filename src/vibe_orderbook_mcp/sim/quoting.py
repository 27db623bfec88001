"""Scenarios that makers make: bursts of updates, and walls that come and go. PURE."""

from __future__ import annotations

import math
from typing import Final

from vibe_orderbook_mcp.sim.episode import SIDES, Episode, StandingOrder
from vibe_orderbook_mcp.sim.ledger import ASK, BID
from vibe_orderbook_mcp.sim.scenarios import RepeatedWall, UpdateBurst
from vibe_orderbook_mcp.sim.sinks import MarketSink
from vibe_orderbook_mcp.sim.stage import Mood

GUARD: Final = 20.0  # usual orders that hold the touch while a burst goes on
LIVE: Final = 40  # orders of a burst that stand at the same time
CANCELLED: Final = 0.45  # share of cancels until that many stand
SPREAD_BPS: Final = 4.0  # their mean distance from the touch
MARGIN: Final = 1.1  # a burst is somewhat faster than was asked for
TRADES_A_SECOND: Final = 0.5

WALL_LIFE_MS: Final = (3_000.0, 8_000.0)
WALL_PAUSE_MS: Final = (1_500.0, 4_000.0)
WALL_BPS: Final = (8.0, 30.0)
WALL_SHARE: Final = 0.4  # of what stands within 1 % on its side


class UpdateBurstEpisode(Episode[UpdateBurst]):
    def begin(self, at: float) -> None:
        market = self.market
        self.change_mood(Mood(takes=0.0, vol=0.0), at)
        bid, ask = market.book.best(BID), market.book.best(ASK)
        low = math.floor(market.fair)
        low = low if ask is None else min(low, ask - 1)
        low = low if bid is None else max(low, bid)
        self._touch = (max(1, low), max(1, low) + 1)
        market.fair = self._touch[BID] + 0.5
        self._guards = [
            market.book.place(side, price, round(market.profile.typical_lots * GUARD))
            for side, price in enumerate(self._touch)
        ]
        self._live: list[int] = []
        usual = max(self.truth.numbers["usual_ids_per_s"], 0.1)
        self._rate = usual * self.request.times * MARGIN
        self._next_trade = at + 1000.0 / TRADES_A_SECOND
        self.truth.numbers["own_orders"] = 0
        self.wait(at, self._rate)

    def act(self, at: float, sink: MarketSink) -> None:
        self.wait(at, self._rate)
        if at >= self._next_trade:
            self._next_trade += 1000.0 / TRADES_A_SECOND
            side = BID if self.random.random() < 0.5 else ASK
            self.market.send(side, self.lots(0.02), self._touch[side], int(at), sink)
        elif len(self._live) >= LIVE or (self._live and self.random.random() < CANCELLED):
            self.market.book.cancel(self._live.pop(self.random.randrange(len(self._live))))
        else:
            side = BID if self.random.random() < 0.5 else ASK
            away = 1 + int(self.random.expovariate(1 / SPREAD_BPS) * self.market.fair / 1e4)
            price = self._touch[side] - away if side == BID else self._touch[side] + away
            self._live.append(self.market.book.place(side, max(1, price), self.lots(0.2)))
            self.truth.numbers["own_orders"] += 1

    def leave(self, at: float) -> None:
        for order in (*self._live, *self._guards):
            self.market.book.cancel(order)


class WallEpisode(Episode[RepeatedWall]):
    """The market itself is as usual."""

    def begin(self, at: float) -> None:
        self._side = SIDES[self.request.side]
        self._order: int | None = None
        self.next_ms = at

    def act(self, at: float, sink: MarketSink) -> None:
        if self._order is not None:
            self._withdraw(at)
            self.next_ms = at + self.random.uniform(*WALL_PAUSE_MS)
            return
        life = self.random.uniform(*WALL_LIFE_MS)
        if at + life >= self.end_ms:
            self.next_ms = float(self.end_ms)
            return
        self._put_up(at)
        self.next_ms = at + life

    def leave(self, at: float) -> None:
        self._withdraw(at)

    def _put_up(self, at: float) -> None:
        book, side = self.market.book, self._side
        touch = book.best(side)
        if touch is None:
            return
        away = max(1, int(self.random.uniform(*WALL_BPS) * touch / 1e4))
        price = max(1, touch - away if side == BID else touch + away)
        reach = touch // 100
        sizes = book.ledger.sides[side]
        total = sum(sizes[each] for each in book.prices(side, touch - reach if side == BID else touch + reach))
        self._lots = max(1, round(total * WALL_SHARE * self.random.uniform(0.9, 1.3)))
        self._order = book.place(side, price, self._lots)
        standing = StandingOrder(int(at), int(at), self.price(price), self.size(self._lots), 0.0)
        self.truth.orders.append(standing)

    def _withdraw(self, at: float) -> None:
        if self._order is None:
            return
        book, standing = self.market.book, self.truth.orders[-1]
        standing.end_ms = int(at)
        standing.traded = self.size(self._lots - book.shown(self._order))
        book.cancel(self._order)
        self._order = None
