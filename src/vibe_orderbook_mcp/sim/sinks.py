"""Where a market's events go, and in which form: the exchange's text, or numbers for a run without sockets. PURE."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from vibe_orderbook_mcp.sim.matching import LevelFill
from vibe_orderbook_mcp.sim.rules import Rules
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, DepthEvent, Event, TextLevel, TradeFill

Units = list[tuple[int, int]]
Numbers = list[tuple[float, float]]
D = TypeVar("D")
T = TypeVar("T")

# Positional, as the fields follow each other in the values a client keeps: symbol, event time, first and final
# update id, bids, asks; aggregate id, time, price, size, first and last trade id, whether the buyer is the maker.
MakeDepth = Callable[[str, int, int, int, Numbers, Numbers], D]
MakeTrade = Callable[[int, int, float, float, int, int, bool], T]


class MarketSink(Protocol):
    """What the model tells, in order."""

    def depth(self, event_ms: int, first_id: int, final_id: int, bids: Units, asks: Units) -> None: ...

    def fill(self, fill: LevelFill, time_ms: int, agg_id: int, first_trade_id: int, buyer_is_maker: bool) -> None: ...

    def touch(self, update_id: int, top: tuple[int, int, int, int]) -> None: ...


class TextSink:
    """The exchange's payloads."""

    def __init__(self, rules: Rules) -> None:
        self.events: list[Event] = []
        self._symbol = rules.symbol
        self._price, self._size = rules.price.text, rules.size.text

    def depth(self, event_ms: int, first_id: int, final_id: int, bids: Units, asks: Units) -> None:
        update = DepthEvent(event_ms, self._symbol, first_id, final_id, self._text(bids), self._text(asks))
        self.events.append(update)

    def fill(self, fill: LevelFill, time_ms: int, agg_id: int, first_trade_id: int, buyer_is_maker: bool) -> None:
        price, symbol, trade_id = self._price(fill.price), self._symbol, first_trade_id
        for lots in fill.sizes:
            size = self._size(lots)
            self.events.append(TradeFill(time_ms, symbol, trade_id, price, size, time_ms, buyer_is_maker))
            trade_id += 1
        total = self._size(sum(fill.sizes))
        self.events.append(
            AggTrade(time_ms, symbol, agg_id, price, total, first_trade_id, trade_id - 1, time_ms, buyer_is_maker)
        )

    def touch(self, update_id: int, top: tuple[int, int, int, int]) -> None:
        price, size = self._price, self._size
        bid, bid_size, ask, ask_size = top
        self.events.append(BookTicker(update_id, self._symbol, price(bid), size(bid_size), price(ask), size(ask_size)))

    def _text(self, levels: Units) -> list[TextLevel]:
        price, size = self._price, self._size
        return [(price(ticks), size(lots)) for ticks, lots in levels]


class NumberSink(Generic[D, T]):
    """Values of the caller's own types, made from doubles: an integer over a power of ten is the double nearest to
    the decimal, the same that reading its text gives.
    """

    def __init__(self, rules: Rules, depth: MakeDepth[D], trade: MakeTrade[T]) -> None:
        self.events: list[D | T] = []
        self._symbol, self._make_depth, self._make_trade = rules.symbol, depth, trade
        self._price, self._size = float(10**rules.price.exp), float(10**rules.size.exp)
        self.loses: Callable[[bool, int], bool] | None = None  # whether an event is lost on its way

    def depth(self, event_ms: int, first_id: int, final_id: int, bids: Units, asks: Units) -> None:
        if self.loses is not None and self.loses(True, event_ms):
            return
        self.events.append(
            self._make_depth(self._symbol, event_ms, first_id, final_id, self.numbers(bids), self.numbers(asks))
        )

    def fill(self, fill: LevelFill, time_ms: int, agg_id: int, first_trade_id: int, buyer_is_maker: bool) -> None:
        if self.loses is not None and self.loses(False, time_ms):
            return
        price, size = fill.price / self._price, sum(fill.sizes) / self._size
        last_id = first_trade_id + len(fill.sizes) - 1
        self.events.append(self._make_trade(agg_id, time_ms, price, size, first_trade_id, last_id, buyer_is_maker))

    def touch(self, update_id: int, top: tuple[int, int, int, int]) -> None:
        """Nobody listens to it here."""

    def numbers(self, levels: Units) -> Numbers:
        price, size = self._price, self._size
        return [(ticks / price, lots / size) for ticks, lots in levels]
