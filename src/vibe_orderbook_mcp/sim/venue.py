"""What the sockets need from whatever stands behind them: the model, or a recording."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from heapq import nlargest, nsmallest
from typing import Any, Protocol

from vibe_orderbook_mcp.sim.ledger import ASK, BID, Ledger, Levels, best_first
from vibe_orderbook_mcp.sim.rules import Rules
from vibe_orderbook_mcp.sim.trades import TradeLog
from vibe_orderbook_mcp.sim.wire import BookTicker, Depth, Event, TextLevel

Publish = Callable[[str, Sequence[Event]], None]
Wanted = Callable[[str], bool]
Drained = Callable[[], Awaitable[None]]
TruthSides = tuple[list[TextLevel], list[TextLevel]]


class SymbolTruth:
    """One symbol's book and trades as they truly are, and the questions REST asks of them. No I/O."""

    def __init__(self, rules: Rules, ledger: Ledger, trades: TradeLog) -> None:
        self.rules = rules
        self.ledger = ledger
        self.trades = trades

    def depth(self, limit: int, update_id: int | None = None) -> Depth | None:
        """The best levels now, or after `update_id`; None when that moment is not remembered."""
        sides = self.ledger.sides if update_id is None else self.ledger.at(update_id)
        if sides is None:
            return None
        levels = best_first(sides, limit)
        bids, asks = self.text(levels)
        return Depth(self.ledger.last_id if update_id is None else update_id, bids, asks)

    def partial(self, limit: int) -> Depth:
        """The few best levels, without sorting thousands."""
        bids, asks = self.ledger.sides
        best = Levels(
            [(price, bids[price]) for price in nlargest(limit, bids)],
            [(price, asks[price]) for price in nsmallest(limit, asks)],
        )
        return Depth(self.ledger.last_id, *self.text(best))

    def touch(self) -> BookTicker | None:
        bids, asks = self.ledger.sides[BID], self.ledger.sides[ASK]
        if not bids or not asks:
            return None
        bid, ask = max(bids), min(asks)
        price, size = self.rules.price.text, self.rules.size.text
        return BookTicker(
            self.ledger.last_id, self.rules.symbol, price(bid), size(bids[bid]), price(ask), size(asks[ask])
        )

    def text(self, levels: Levels) -> TruthSides:
        price, size = self.rules.price.text, self.rules.size.text
        bids, asks = ([(price(ticks), size(lots)) for ticks, lots in side] for side in levels)
        return bids, asks


class SimVenue(Protocol):
    """An exchange without sockets. `run` plays it and publishes; the rest answers questions about now."""

    states: dict[str, SymbolTruth]
    source: str  # "simulated" or "recording"

    def now_ms(self) -> int: ...

    def refresh(self, symbol: str) -> None:
        """Bring the symbol's state up to now."""

    async def ready(self, symbol: str) -> bool:
        """The same, and wait within reason until there is a book to serve; False when there is none."""

    async def run(self, publish: Publish, wanted: Wanted, drained: Drained) -> None:
        """Play until cancelled. `wanted("btcusdt@bookTicker")`: somebody listens to that stream. Awaiting `drained`
        waits for slow clients, for those whose time is their own.
        """

    def subscribed(self, stream: str) -> None:
        """Somebody began to listen."""

    def exchange_info(self) -> dict[str, Any] | None:
        """A recorded exchangeInfo, when there is one that should be served instead of our own."""

    def status(self) -> dict[str, Any]: ...
