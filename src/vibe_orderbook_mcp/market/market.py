"""All instruments of an exchange and its clock. The feed passes events to it by symbol. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from vibe_orderbook_mcp.book.compiled import IS_COMPILED
from vibe_orderbook_mcp.book.sync import BookRule, Loaded, Outcome
from vibe_orderbook_mcp.market.clock import ExchangeClock
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import BookReplaced


class Market:
    """`now_ns` arguments are a monotonic clock's.

    Events of an unknown symbol are ignored: they can still arrive after the symbol was dropped.
    """

    is_compiled: ClassVar[bool] = IS_COMPILED  # books in compiled code, else in plain Python

    def __init__(self) -> None:
        self.symbols: dict[str, InstrumentOwner] = {}
        self.clock = ExchangeClock()

    def add(self, spec: SymbolSpec, rule: BookRule | None = None) -> InstrumentOwner:
        """The instrument's owner: a new one, unless it has one. `rule` is what else its venue says of its book."""
        owner = self.symbols.get(spec.symbol)
        if owner is None:
            owner = self.symbols[spec.symbol] = InstrumentOwner(spec, self.clock, rule=rule)
        return owner

    def regrid(self, spec: SymbolSpec, rule: BookRule | None = None) -> InstrumentOwner:
        """The symbol has another tick or step size now. Its book must be loaded again."""
        owner = self.symbols[spec.symbol] = self.symbols[spec.symbol].succeed(spec, rule)
        return owner

    def give_up(self, symbol: str) -> None:
        """Drop the symbol."""
        self.symbols.pop(symbol, None)

    def receive_depth(self, update: DepthUpdate, now_ns: int) -> Outcome | None:
        """None for an unknown symbol."""
        owner = self.symbols.get(update.symbol)
        return None if owner is None else owner.receive_depth(update, now_ns)

    def receive_trade(self, symbol: str, trade: Trade) -> bool:
        """Whether the trade is new."""
        owner = self.symbols.get(symbol)
        return owner is not None and owner.receive_trade(trade)

    def load(self, symbol: str, snapshot: DepthSnapshot, limit: int, now_ns: int) -> Loaded:
        """A snapshot of at most `limit` levels a side."""
        owner = self.symbols.get(symbol)
        return Loaded.NOT_NEEDED if owner is None else owner.load(snapshot, limit, now_ns)

    def replace(self, replaced: BookReplaced, now_ns: int) -> Outcome | None:
        """The stream itself sent a whole book. None for a symbol that is not kept."""
        owner = self.symbols.get(replaced.symbol)
        return None if owner is None else owner.replace(replaced, now_ns)

    def confirm(self, symbol: str) -> None:
        """The stream is open and silent: the snapshot is confirmed."""
        if (owner := self.symbols.get(symbol)) is not None:
            owner.confirm()

    def disconnected(self, symbols: Iterable[str]) -> None:
        """The connection of these symbols was lost."""
        for symbol in symbols:
            if (owner := self.symbols.get(symbol)) is not None:
                owner.disconnect()

    def exchange_ms(self, now_ns: int) -> int | None:
        """The exchange's time; None before the first event."""
        return self.clock.now_ms(now_ns)
