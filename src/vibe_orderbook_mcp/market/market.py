"""All instruments and the clocks of their venues. Feeds pass events to it. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import ClassVar

from vibe_orderbook_mcp.book.compiled import IS_COMPILED
from vibe_orderbook_mcp.book.sync import BookRule, Loaded, Outcome
from vibe_orderbook_mcp.market.clock import ExchangeClock
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import BookReplaced


class Market:
    """`symbols` has every instrument by its name. Events have the venue's symbol instead, and two venues may share one:
    the caller says which venue it is. `now_ns` arguments are a monotonic clock's.

    Events of an unknown symbol are ignored: they can still arrive after the symbol was dropped.
    """

    is_compiled: ClassVar[bool] = IS_COMPILED  # books in compiled code, else in plain Python

    def __init__(self) -> None:
        self.symbols: dict[str, InstrumentOwner] = {}
        self._by_venue: defaultdict[str, dict[str, InstrumentOwner]] = defaultdict(dict)
        self._clocks: defaultdict[str, ExchangeClock] = defaultdict(ExchangeClock)

    def add(self, spec: SymbolSpec, rule: BookRule | None = None) -> InstrumentOwner:
        """The instrument's owner: a new one, unless it has one. `rule` is what else its venue says of its book."""
        owner = self.symbols.get(spec.symbol)
        if owner is None:
            owner = self._keep(InstrumentOwner(spec, self.clock_of(spec.instrument.venue), rule=rule))
        return owner

    def regrid(self, spec: SymbolSpec, rule: BookRule | None = None) -> InstrumentOwner:
        """The instrument has another tick or step size now. Its book must be loaded again."""
        return self._keep(self.symbols[spec.symbol].succeed(spec, rule))

    def _keep(self, owner: InstrumentOwner) -> InstrumentOwner:
        instrument = owner.spec.instrument
        self.symbols[owner.spec.symbol] = self._by_venue[instrument.venue][instrument.symbol] = owner
        return owner

    def of_venue(self, venue: str) -> Mapping[str, InstrumentOwner]:
        """The venue's instruments, by its own spelling of their symbols."""
        return self._by_venue[venue]

    def give_up(self, symbol: str) -> None:
        """Drop the instrument of this name."""
        if (owner := self.symbols.pop(symbol, None)) is not None:
            instrument = owner.spec.instrument
            self._by_venue[instrument.venue].pop(instrument.symbol, None)

    # --- what a venue says: `symbol` is its own spelling ------------------------------------------------------

    def receive_depth(self, update: DepthUpdate, now_ns: int, venue: str = DEFAULT_VENUE) -> Outcome | None:
        """None for an unknown symbol."""
        owner = self._by_venue[venue].get(update.symbol)
        return None if owner is None else owner.receive_depth(update, now_ns)

    def receive_trade(self, symbol: str, trade: Trade, venue: str = DEFAULT_VENUE) -> bool:
        """Whether the trade is new."""
        owner = self._by_venue[venue].get(symbol)
        return owner is not None and owner.receive_trade(trade)

    def load(self, symbol: str, snapshot: DepthSnapshot, limit: int, now_ns: int, venue: str = DEFAULT_VENUE) -> Loaded:
        """A snapshot of at most `limit` levels a side."""
        owner = self._by_venue[venue].get(symbol)
        return Loaded.NOT_NEEDED if owner is None else owner.load(snapshot, limit, now_ns)

    def replace(self, replaced: BookReplaced, now_ns: int, venue: str = DEFAULT_VENUE) -> Outcome | None:
        """The stream itself sent a whole book. None for a symbol that is not kept."""
        owner = self._by_venue[venue].get(replaced.symbol)
        return None if owner is None else owner.replace(replaced, now_ns)

    def confirm(self, symbol: str, venue: str = DEFAULT_VENUE) -> None:
        """The stream is open and silent: the snapshot is confirmed."""
        if (owner := self._by_venue[venue].get(symbol)) is not None:
            owner.confirm()

    def disconnected(self, symbols: Iterable[str], venue: str = DEFAULT_VENUE) -> None:
        """The connection of these symbols was lost."""
        for symbol in symbols:
            if (owner := self._by_venue[venue].get(symbol)) is not None:
                owner.disconnect()

    def interrupted(self, symbols: Iterable[str], venue: str = DEFAULT_VENUE) -> None:
        """Trades of these symbols may have been missed."""
        for symbol in symbols:
            if (owner := self._by_venue[venue].get(symbol)) is not None:
                owner.interrupt()

    # --- what time it is ----------------------------------------------------------------------------------------

    @property
    def clock(self) -> ExchangeClock:
        """The default venue's."""
        return self.clock_of(DEFAULT_VENUE)

    def clock_of(self, venue: str) -> ExchangeClock:
        return self._clocks[venue]

    def exchange_ms(self, now_ns: int) -> int | None:
        """The time at the venues, the latest where their clocks differ; None before the first event."""
        times = (clock.now_ms(now_ns) for clock in self._clocks.values())
        return max((now_ms for now_ms in times if now_ms is not None), default=None)
