"""Something that happens in one symbol's market: its life from waiting to over, and what really happened. PURE.

An episode acts at its own times, between the agents' actions, with orders like theirs. Its draws are its own, so the
market before it is the market without it.
"""

from __future__ import annotations

import math
from random import Random
from typing import ClassVar, Final, Generic, Literal

import msgspec

from vibe_orderbook_mcp.sim.ledger import ASK, BID
from vibe_orderbook_mcp.sim.scenarios import R
from vibe_orderbook_mcp.sim.sinks import MarketSink
from vibe_orderbook_mcp.sim.stage import USUAL, Mood, Stage

State = Literal["waiting", "running", "leaving", "over"]
SIDES: Final = {"bid": BID, "ask": ASK}


class StandingOrder(msgspec.Struct):
    """One order of a scenario that stood for a while. Times in ms, price and sizes in the market's units."""

    start_ms: int
    end_ms: int
    price: float
    size: float
    traded: float


class Truth(msgspec.Struct, kw_only=True):
    """What really happened. `numbers` has figures of the whole episode, sizes in base units, by name:

    ids, fills, agg_trades, buy_base, sell_base       what the market did meanwhile, everybody's
    usual_ids_per_s                                   over up to a minute before
    mid_before, mid_after                             at the start and the end, where there was a mid
    """

    id: int
    scenario: str
    symbol: str
    state: State = "waiting"
    planned_ms: int
    start_ms: int | None = None
    end_ms: int | None = None
    side: str | None = None
    price: float | None = None
    numbers: dict[str, float] = {}
    orders: list[StandingOrder] = []


class Episode(Generic[R]):
    """Subclasses say what is done, and when next, in `next_ms`. An episode that leaves it at infinity in `leave` or
    `settle` is over.
    """

    changes_market: ClassVar[bool] = True  # only one such at a time in a symbol
    mood: Mood = USUAL

    def __init__(self, request: R, number: int, market: Stage, start_ms: int) -> None:
        self.request = request
        self.market = market
        self.truth = Truth(
            id=number,
            scenario=request.name,
            symbol=market.rules.symbol,
            planned_ms=start_ms,
            side=getattr(request, "side", None),
        )
        self.start_ms = start_ms
        self.end_ms = start_ms + round(request.seconds * 1000)
        self.next_ms = float(start_ms)
        self.random = Random(f"{market.name}:{request.name}:{start_ms}")
        self._marks = (0, 0, 0, 0, 0)

    def begin(self, at: float) -> None:
        """The first moment."""

    def act(self, at: float, sink: MarketSink) -> None:
        """The next action."""

    def leave(self, at: float) -> None:
        """The last moment. The agents are their usual selves already."""

    def settle(self, at: float) -> None:
        """The next action after that."""

    def loses(self, is_depth: bool, time_ms: int) -> bool:
        """Whether this event is lost on its way. Asked once for each, in order."""
        return False

    def step(self, at: float, sink: MarketSink) -> None:
        state = self.truth.state
        if state == "waiting":
            self._start(at)
        elif state == "leaving":
            self.next_ms = math.inf
            self.settle(at)
            self._rest()
        elif at >= self.end_ms:
            self.stop(at)
        else:
            self.act(at, sink)
            self.next_ms = min(self.next_ms, self.end_ms)

    def stop(self, at: float) -> None:
        """End it now, as planned or not."""
        if self.truth.state == "waiting":
            self.truth.state = "over"
        if self.truth.state != "running":
            return
        self._measure()
        self.truth.end_ms = int(at)
        self.truth.state = "leaving"
        self.next_ms = math.inf
        if self.changes_market:
            self.market.set_mood(USUAL, at)
        self.leave(at)
        self._rest()

    def lots(self, factor: float, spread: float = 0.6) -> int:
        """A size of `factor` usual orders."""
        return max(1, round(self.market.profile.typical_lots * factor * self.random.lognormvariate(0.0, spread)))

    def size(self, lots: float) -> float:
        return lots / float(10**self.market.rules.size.exp)

    def price(self, ticks: float) -> float:
        return ticks / float(10**self.market.rules.price.exp)

    def wait(self, at: float, actions_a_second: float) -> None:
        self.next_ms = at + self.random.expovariate(actions_a_second / 1000.0)

    def change_mood(self, mood: Mood, at: float) -> None:
        self.mood = mood
        self.market.set_mood(mood, at)

    def _start(self, at: float) -> None:
        market, truth = self.market, self.truth
        truth.state, truth.start_ms = "running", int(at)
        truth.numbers = {"usual_ids_per_s": market.recent_ids_per_s()}
        if self.changes_market:
            market.set_mood(self.mood, at)
        self.next_ms = float(self.end_ms)
        self.begin(at)
        self.next_ms = min(self.next_ms, self.end_ms)
        self._marks = self._counts()
        if (top := market.book.top()) is not None:
            truth.numbers["mid_before"] = self.price((top[0] + top[2]) / 2)

    def _rest(self) -> None:
        if self.next_ms == math.inf:
            self.truth.state = "over"

    def _counts(self) -> tuple[int, int, int, int, int]:
        market = self.market
        return (market.book.ledger.last_id, market.trade_id, market.agg_id, market.taken[ASK], market.taken[BID])

    def _measure(self) -> None:
        numbers, top = self.truth.numbers, self.market.book.top()
        ids, fills, aggs, bought, sold = (now - before for now, before in zip(self._counts(), self._marks, strict=True))
        numbers.update(ids=ids, fills=fills, agg_trades=aggs, buy_base=self.size(bought), sell_base=self.size(sold))
        if top is not None:
            numbers["mid_after"] = self.price((top[0] + top[2]) / 2)
