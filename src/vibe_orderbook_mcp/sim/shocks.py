"""Scenarios in which the market is shocked: one order through many prices, a run of them, and a side that is withdrawn
behind a touch that stands. PURE.
"""

from __future__ import annotations

from typing import Final

from vibe_orderbook_mcp.sim.episode import Episode
from vibe_orderbook_mcp.sim.ledger import ASK, BID
from vibe_orderbook_mcp.sim.scenarios import Squeeze, Sweep, Withdrawal
from vibe_orderbook_mcp.sim.sinks import MarketSink
from vibe_orderbook_mcp.sim.stage import Mood
from vibe_orderbook_mcp.sim.withdrawing import BackingAway, Order

SWEEP_TICKS: Final = 12.0  # at least, for a grid so coarse that the move would be a few prices
SQUEEZE_TICKS: Final = 4.0  # of each order, at least
ORDERS_A_SECOND: Final = 2.0
CALM_TAKES: Final = 0.3  # the others watch
GUARD_ORDERS: Final = 2  # usual ones: what stays at the touch


class SweepEpisode(Episode[Sweep]):
    """One order eats a side up to its limit; afterwards the fair price is where it ended."""

    def begin(self, at: float) -> None:
        self._side = ASK if self.request.side == "buy" else BID
        self.change_mood(Mood(takes=CALM_TAKES), at)
        self.truth.numbers |= {"swept_base": 0.0, "prices": 0}
        self.next_ms = at

    def act(self, at: float, sink: MarketSink) -> None:
        self.next_ms = float(self.end_ms)
        eaten = _eat(self, self._side, max(SWEEP_TICKS, self.request.move_bps * self.market.fair / 1e4), at, sink)
        self.truth.numbers |= {"swept_base": self.size(eaten[0]), "prices": eaten[1], "swept_ms": int(at)}


class SqueezeEpisode(Episode[Squeeze]):
    """Order after order in one direction. The book fills again behind them, and the price runs."""

    def begin(self, at: float) -> None:
        request = self.request
        self._side = ASK if request.side == "buy" else BID
        self.change_mood(Mood(makes=2.0, takes=CALM_TAKES), at)
        ticks = request.move_bps * self.market.fair / 1e4 / (request.seconds * ORDERS_A_SECOND)
        self._ticks = max(SQUEEZE_TICKS, ticks)
        self.truth.numbers |= {"orders": 0, "swept_base": 0.0}
        self.next_ms = at

    def act(self, at: float, sink: MarketSink) -> None:
        self.next_ms = at + self.random.uniform(0.6, 1.4) * 1000.0 / ORDERS_A_SECOND
        lots, _ = _eat(self, self._side, self._ticks, at, sink)
        self.truth.numbers["orders"] += 1
        self.truth.numbers["swept_base"] += self.size(lots)


class WithdrawalEpisode(BackingAway[Withdrawal]):
    """A side is withdrawn at once but for its touch: mid and spread stand, and nothing is behind them."""

    takes = 0.0
    vol = 0.0

    def lasting_ms(self) -> float:
        return 300.0

    def chosen(self) -> list[Order]:
        market, book, side = self.market, self.market.book, self._side
        top = book.top()
        if top is None:
            return []
        touch = top[0] if side == BID else top[2]
        reach = round(touch * self.request.within_bps / 1e4)
        going = self.orders(touch - reach if side == BID else touch + reach)
        self._guard = book.place(side, touch, GUARD_ORDERS * market.profile.typical_lots)
        market.fair = (top[0] + top[2]) / 2
        self.truth.numbers["touch"] = self.price(touch)
        self.random.shuffle(going)
        return going

    def leave(self, at: float) -> None:
        self.market.book.cancel(self._guard)
        super().leave(at)


def _eat(
    episode: Episode[Sweep] | Episode[Squeeze], side: int, ticks: float, at: float, sink: MarketSink
) -> tuple[int, int]:
    """One taker order up to a number of ticks from the touch: lots and prices. The fair price follows."""
    market = episode.market
    book = market.book
    touch = book.best(side)
    if touch is None:
        return 0, 0
    limit = max(1, touch + round(ticks) if side == ASK else touch - round(ticks))
    prices = book.prices(side, limit)
    lots = sum(book.ledger.sides[side][price] for price in prices)
    got = market.send(side, lots, limit, int(at), sink)
    market.fair = float(limit)
    return got, len(prices)
