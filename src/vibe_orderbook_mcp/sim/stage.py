"""What a scenario needs of the market that it plays in, and the mood that it sets. PURE."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from vibe_orderbook_mcp.sim.catalog import TradingStyle
from vibe_orderbook_mcp.sim.matching import MatchingBook
from vibe_orderbook_mcp.sim.rules import Rules
from vibe_orderbook_mcp.sim.sinks import MarketSink


class Mood(NamedTuple):
    """How the agents differ from their usual selves."""

    makes: float = 1.0  # factor on how often makers act, and on how soon they change their mind
    takes: float = 1.0  # factor on how often takers act
    vol: float = 1.0  # factor on the fair price's movement
    drift: float = 0.0  # of the fair price, in bps a second
    absent: int | None = None  # the side that no maker quotes
    avoided: tuple[int, int] | None = None  # side and price at which nobody else rests an order


USUAL: Final = Mood()


class Stage(Protocol):
    """A market in one symbol. Times in ms, prices in ticks, sizes in lots, sides `BID` and `ASK`."""

    name: str
    profile: TradingStyle
    rules: Rules
    book: MatchingBook
    fair: float
    time_ms: int
    agg_id: int
    trade_id: int
    taken: list[int]

    @property
    def takes_a_second(self) -> float:
        """Taker orders a second, as usual."""

    @property
    def makes_a_second(self) -> float:
        """Actions of makers a second, as usual."""

    def recent_ids_per_s(self) -> float:
        """Updates a second in up to the last minute."""

    def set_mood(self, mood: Mood, at: float) -> None:
        """The agents change their ways at this moment."""

    def send(self, side: int, lots: int, limit: int, time_ms: int, sink: MarketSink) -> int:
        """A taker order that eats `side`; how many lots it got."""

    def expire(self, at: float, order_id: int) -> None:
        """The order is cancelled then."""

    def far_place(self, side: int) -> dict[int, int]:
        """Orders of the far book -> their place in it."""

    def set_far(self, side: int, place: int, order_id: int) -> None:
        """Another order has that place."""

    def life(self, bps: float) -> float:
        """How long an order so far from the touch rests, drawn, in ms."""
