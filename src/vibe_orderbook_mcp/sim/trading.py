"""Scenarios that aggressors make: one-sided flow, news, and an iceberg that is hit again and again. PURE."""

from __future__ import annotations

import math
from typing import Final

from vibe_orderbook_mcp.sim.episode import SIDES, Episode
from vibe_orderbook_mcp.sim.ledger import ASK, BID
from vibe_orderbook_mcp.sim.scenarios import Iceberg, NewsBurst, OneSidedFlow
from vibe_orderbook_mcp.sim.sinks import MarketSink
from vibe_orderbook_mcp.sim.stage import Mood

REACH_BPS: Final = 3.0  # how far beyond the touch an aggressor follows the price
FLOW_TIMES: Final = 3.0  # how lively a one-sided flow is against the usual one
LEAST_FLOW: Final = 2.0  # orders a second
FLOW_DRIFT: Final = 0.5  # bps a second: flow moves prices
NEWS_TICKS: Final = 4.0  # a second, at least: on a coarse grid a few bps would be no move at all
NEWS_TRADES: Final = 2.0  # trades quicken more than quotes do
HIT_SHARES: Final = (0.35, 0.95)  # of the tranche: one hit shows one new tranche at most
HIT_WITHIN: Final = 0.75  # of the episode, for the whole iceberg


class OneSidedFlowEpisode(Episode[OneSidedFlow]):
    """All aggressors are this episode's, so that the ratio of their volumes is what was asked for."""

    def begin(self, at: float) -> None:
        self._eaten = ASK if self.request.side == "buy" else BID
        self._got = [0, 0]
        sign = 1.0 if self.request.side == "buy" else -1.0
        self.change_mood(Mood(takes=0.0, drift=sign * FLOW_DRIFT), at)
        self._rate = max(LEAST_FLOW, FLOW_TIMES * self.market.takes_a_second)
        self.wait(at, self._rate)

    def act(self, at: float, sink: MarketSink) -> None:
        self.wait(at, self._rate)
        top = self.market.book.top()
        if top is None:
            return
        lots, side = self.lots(0.3, 1.0), self._eaten
        # The others get an order in whenever it leaves the ratio, and some room, above what was asked for.
        if self.request.ratio * (self._got[1 - side] + lots) <= self._got[side]:
            side = 1 - side
        reach = max(1, round(REACH_BPS * top[2] / 1e4))
        limit = top[2] + reach if side == ASK else max(1, top[0] - reach)
        self._got[side] += self.market.send(side, lots, limit, int(at), sink)


class NewsBurstEpisode(Episode[NewsBurst]):
    """The agents themselves, all in a hurry, after a fair price that runs away."""

    def begin(self, at: float) -> None:
        request = self.request
        sign = 1.0 if request.side == "buy" else -1.0
        drift = sign * max(request.move_bps / request.seconds, NEWS_TICKS * 1e4 / self.market.fair)
        self.change_mood(Mood(makes=request.times, takes=request.times * NEWS_TRADES, drift=drift), at)


class IcebergEpisode(Episode[Iceberg]):
    """An order at the touch, alone at its price; the fair price stays beside it until it is eaten."""

    def begin(self, at: float) -> None:
        market, request = self.market, self.request
        side = self._side = SIDES[request.side]
        price = self._price = stand_at(self, side, at)
        self.change_mood(Mood(takes=0.3, vol=0.0, avoided=(side, price)), at)
        self._tranche = max(2, round(market.profile.typical_lots * request.tranche))
        self._total = self._tranche * request.parts
        self._order = market.book.place_iceberg(side, price, self._tranche, self._total)
        mean = sum(HIT_SHARES) / 2 * self._tranche
        self._rate = self._total / mean / (request.seconds * HIT_WITHIN)
        self.truth.price = self.price(price)
        self.truth.numbers |= {
            "tranche": self.size(self._tranche),
            "total": self.size(self._total),
            "executed": 0.0,
            "hits": 0,
        }
        self._hit_again(at)

    def act(self, at: float, sink: MarketSink) -> None:
        lots = max(1, round(self._tranche * self.random.uniform(*HIT_SHARES)))
        if self.market.send(self._side, lots, self._price, int(at), sink):
            self.truth.numbers["hits"] += 1
        if self._note():
            self._hit_again(at)
        else:
            self.end_ms = math.ceil(at)
            self.next_ms = float(self.end_ms)

    def leave(self, at: float) -> None:
        self._note()
        self.market.book.cancel(self._order)

    def _note(self) -> int:
        book = self.market.book
        left = book.shown(self._order) + book.hidden(self._order)
        self.truth.numbers["executed"] = self.size(self._total - left)
        return left

    def _hit_again(self, at: float) -> None:
        """Evenly enough that a frame of 100 ms seldom holds two hits."""
        self.next_ms = at + self.random.uniform(0.6, 1.4) * 1000.0 / self._rate


def stand_at(episode: Episode[Iceberg], side: int, at: float) -> int:
    """A price at the touch that nobody else stands at, with the fair price half a tick beside it."""
    market = episode.market
    book, fair = market.book, market.fair
    bid, ask = book.best(BID), book.best(ASK)
    if side == BID:
        price = math.floor(fair)
        price = price if ask is None else min(price, ask - 1)
        price = max(1, price if bid is None else max(price, bid))
    else:
        price = math.ceil(fair)
        price = price if bid is None else max(price, bid + 1)
        price = price if ask is None else min(price, ask)
    for order_id, _ in book.orders_at(side, price):
        book.cancel(order_id)
    market.fair = price + (0.5 if side == BID else -0.5)
    return price
