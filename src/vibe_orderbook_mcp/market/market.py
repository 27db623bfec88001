"""Symbol -> book, rows and tape: the one object that the feed writes to and the tools read from. Pure.

Every change happens in a plain call on one thread, so whoever reads everything it needs without an await in
between sees one moment.
"""

from __future__ import annotations

from math import inf

from vibe_orderbook_mcp.analytics.anomalies.fleeting import wall_limits
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.microprice import MicropriceModel, MicropriceTable
from vibe_orderbook_mcp.analytics.profile.thin_zones import RestingDepth, RestingGrid
from vibe_orderbook_mcp.analytics.views import NEAR_BPS, BookFrame, near_view, view
from vibe_orderbook_mcp.book.book import OrderBook, differing_levels, is_same
from vibe_orderbook_mcp.book.sync import BookSync, Loaded, Outcome, is_gap
from vibe_orderbook_mcp.market.silence import Silence
from vibe_orderbook_mcp.model.clock import PLAUSIBLE_MS, ExchangeClock
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Side, Trade
from vibe_orderbook_mcp.model.moment import Moment, Status
from vibe_orderbook_mcp.model.rows import RowFlag
from vibe_orderbook_mcp.model.symbol import ORDERS_A_LEVEL, SymbolSpec
from vibe_orderbook_mcp.model.tape import TradeTape
from vibe_orderbook_mcp.seconds.past_hour import PastHour
from vibe_orderbook_mcp.seconds.tracker import SecondTracker

# The exchange's word for a symbol that trades; others are HALT, BREAK, END_OF_DAY... DELISTED is ours: it has none.
TRADING, DELISTED = "TRADING", "DELISTED"

DAY_MS = 86_400_000
# With fewer known levels than this on a side, a market that moved is about to leave what was loaded.
FEW_LEVELS = 200
SIDES: tuple[Side, Side] = ("bid", "ask")


class Session:
    """Traded volume since 00:00 UTC. Whole from the first midnight on that this process lived through."""

    def __init__(self) -> None:
        self._day: int | None = None
        self._first_id: int | None = None  # the first that may belong to the day; None: it began before this process
        self._last_id = -1
        self._seen = 0  # trades from `_first_id` on
        self.volumes = (0.0, 0.0)

    @property
    def is_whole(self) -> bool:
        """Every id since midnight was added here. One that was fetched into the archive later was not."""
        return self._first_id is not None and self._seen == self._last_id - self._first_id + 1

    def add(self, trade: Trade) -> None:
        day = trade.time_ms // DAY_MS
        if self._day is None or day > self._day:
            self._first_id = None if self._day is None else self._last_id + 1
            self._day, self._seen, self.volumes = day, 0, (0.0, 0.0)
        self._last_id = max(self._last_id, trade.agg_id)
        if self._first_id is not None and trade.agg_id >= self._first_id:
            self._seen += 1
        buy, sell = self.volumes
        if day == self._day:
            self.volumes = (buy, sell + trade.size) if trade.buyer_is_maker else (buy + trade.size, sell)


class SymbolState:
    """One symbol: its book, rows, tape, and what has happened to them."""

    def __init__(self, spec: SymbolSpec, clock: ExchangeClock | None = None) -> None:
        """`clock` is the exchange's, the same one for all of its instruments."""
        self.spec = spec
        self._clock = clock or ExchangeClock()
        self.sync = BookSync()
        self.seconds = SecondTracker(spec)
        self.tape = TradeTape()
        self.microprice = MicropriceModel()
        self.watch = SymbolWatch(spec)
        self.resting_grid = RestingGrid(spec)
        self.past = PastHour()
        self.tick = float(spec.tick_size)
        self.seconds.wall_rule = lambda book: wall_limits(book.bids, book.asks, self.tick)
        # Where a second ends all levels are in order anyway, and symbols come one after the other, not all in one tick.
        self.seconds.look = lambda book, end_ms: self.resting_grid.sample(end_ms, book.bids, book.asks)
        self.microprice_table: MicropriceTable | None = None  # solved hourly, off the event path
        self.reason = "waiting for the first snapshot"  # why the book is not live
        self.trading = TRADING  # the exchange's word for whether the symbol trades, or DELISTED
        self.events = 0
        self.old_events = 0
        self.gaps = 0
        self.crossings = 0
        self.resyncs = 0
        self.audits = 0
        self.audit_mismatches = 0
        self.trades = 0
        self.impossible_trades = 0
        self.describe(spec)
        self.silence = Silence()
        self.heard_ms: int | None = None  # exchange time of the newest event of book or trades; stays without a book
        self.shadow: BookSync | None = None
        self.session = Session()
        self.shadow_from_id = 0

    def describe(self, spec: SymbolSpec) -> None:
        """What the exchange says of the symbol now; on the same grid."""
        self.spec = spec
        # Beyond these the exchange accepts no order; 0 is no limit. A taker's order may be of several of the largest.
        self.most_price = float(spec.max_price) or inf
        self.most_size = ORDERS_A_LEVEL * float(spec.max_size) or inf

    def succeed(self, before: SymbolState) -> None:
        """Take over what does not depend on the grid from the state that was kept on another one."""
        self.tape, self.session, self.past = before.tape, before.session, before.past
        self.seconds.succeed(before.seconds)
        self.trading, self.heard_ms, self.silence = before.trading, before.heard_ms, before.silence
        self.reason = "resyncing: the exchange has changed the symbol's tick or step size"
        self.events, self.old_events, self.trades = before.events, before.old_events, before.trades
        self.gaps, self.crossings, self.resyncs = before.gaps, before.crossings, before.resyncs
        self.audits, self.audit_mismatches = before.audits, before.audit_mismatches
        self.impossible_trades = before.impossible_trades

    def moment(self, now_ns: int) -> Moment:
        """What is so now."""
        book, tape = self.book, self.tape
        return Moment(
            spec=self.spec,
            status=self.status(now_ns),
            now_ms=self._clock.now_ms(now_ns),
            age_ns=self.age_ns(now_ns),
            reason=self.reason,
            suspension=self.suspension,
            is_delisted=self.trading == DELISTED,
            last_update_id=None if book is None else book.last_update_id,
            loads=self.resyncs + self.audits,
            defect=None if book is None else defect_of(book),
            event_ms=None if book is None else book.event_ms,
            heard_ms=self.heard_ms,
            mid=self.mid,
            last_price=tape.last_price,
            last_trade_ms=tape.last_ms,
            day_volumes=self.session_volumes,
        )

    def frame(self, levels: int | None = None, *, notional: float = 0.0) -> BookFrame | None:
        """The best `levels` a side; without a number what lies near the best prices, or as far as an order of
        `notional` quote units reaches. None without a book in proven sequence.
        """
        if (book := self.book) is None:
            return None
        cut = near_view(book, NEAR_BPS, notional=notional) if levels is None else view(book, levels)
        return BookFrame(cut, book.last_update_id, book.event_ms, self.seconds.levels.amounts)

    def resting(self) -> list[RestingDepth]:
        """What rested by price during the last minute, bids first; of a side that was not seen nothing."""
        return [depth for side in SIDES if (depth := self.resting_grid.depth(side)) is not None]

    @property
    def is_off_grid(self) -> bool:
        """The best prices have more places than the symbol's tick: the exchange must have changed it."""
        book, exp = self.book, self.spec.tick_exp
        return book is not None and any(
            price is not None and round(price, exp) != price for price in (book.bids.best, book.asks.best)
        )

    @property
    def book(self) -> OrderBook | None:
        """The book, if it is in proven sequence."""
        return self.sync.book if self.sync.is_live else None

    @property
    def last_price(self) -> float | None:
        """The last trade's price, or mid while none has come."""
        return self.mid if self.tape.last_price is None else self.tape.last_price

    @property
    def mid(self) -> float | None:
        """Half a tick is the finest that a mid can have: on that grid it is exact."""
        mid = self.book.mid if self.book is not None else None
        return None if mid is None else round(mid, self.spec.tick_exp + 1)

    def age_ns(self, now_ns: int) -> int | None:
        return None if self.received_ns is None else max(0, now_ns - self.received_ns)

    @property
    def session_volumes(self) -> tuple[float, float] | None:
        """Aggressive (buy, sell) volume since 00:00 UTC; None unless every trade since then was seen."""
        return self.session.volumes if self.session.is_whole else None

    @property
    def received_ns(self) -> int | None:
        """When the newest depth event was applied, or a snapshot loaded."""
        return self.silence.event_ns

    @property
    def stale_after_ns(self) -> int:
        return self.silence.stale_after_ns

    @property
    def quiet_ns(self) -> int:
        return self.silence.quiet_ns

    def status(self, now_ns: int) -> Status:
        if self.book is None:
            return "syncing"
        return "stale" if self.trading != TRADING or self.silence.is_stale(now_ns) else "live"

    @property
    def suspension(self) -> str | None:
        """Why the symbol cannot be traded, as a sentence; None when it can."""
        if self.trading == TRADING:
            return None
        if self.trading == DELISTED:
            return f"The exchange does not list {self.spec.symbol} any more."
        return f"Trading in {self.spec.symbol} is suspended at the exchange (status {self.trading})."

    @property
    def is_running_short(self) -> bool:
        """The best prices have come near the edge of what the snapshot showed."""
        book = self.book
        return book is not None and any(
            side.horizon is not None and side.known_levels() < FEW_LEVELS for side in (book.bids, book.asks)
        )

    def note_event(self, now_ns: int) -> None:
        self.silence.event(now_ns)

    def heard(self, event_ms: int) -> None:
        if self.heard_ms is None or event_ms > self.heard_ms:
            self.heard_ms = event_ms


def defect_of(book: OrderBook) -> str | None:
    """What the exchange's book lacks for a market, None for nothing."""
    if not book.is_two_sided:
        return "one side of the book is empty" if book.bids.best or book.asks.best else "the book is empty"
    return "the book is crossed" if book.is_crossed else None


class Market:
    """All symbols and the exchange's clock. `now_ns` arguments are a monotonic clock's."""

    def __init__(self) -> None:
        self.symbols: dict[str, SymbolState] = {}
        self.clock = ExchangeClock()

    def add(self, spec: SymbolSpec) -> SymbolState:
        return self.symbols.setdefault(spec.symbol, SymbolState(spec, self.clock))

    def regrid(self, spec: SymbolSpec) -> SymbolState:
        """A kept symbol's prices or sizes are counted in other steps from now on. Its book has to be loaded again."""
        state = SymbolState(spec, self.clock)
        state.succeed(self.symbols[spec.symbol])
        self.symbols[spec.symbol] = state
        return state

    def remove(self, symbol: str) -> None:
        self.symbols.pop(symbol, None)

    def receive_depth(self, update: DepthUpdate, now_ns: int) -> Outcome | None:
        """None for a symbol that is not kept (an event can still be on its way after a symbol was dropped)."""
        state = self.symbols.get(update.symbol)
        if state is None:
            return None
        self.clock.observe(update.event_ms, now_ns)
        book = state.sync.book
        known_id = None if book is None else book.last_update_id
        if known_id is not None and is_gap(known_id, update):
            state.seconds.stale()  # events are missing since the last one: that time was not seen
        if known_id is None or update.final_id > known_id:
            state.seconds.roll(self._believable(update.event_ms, now_ns))
        was_proven = state.sync.is_proven
        outcome = state.sync.receive(update)
        if outcome is Outcome.APPLIED:
            if not was_proven and state.sync.book is not None:
                state.seconds.synced(state.sync.book)
            self._applied(state, update, known_id or 0, now_ns)
        elif outcome is Outcome.OLD:
            state.old_events += 1
        elif outcome is Outcome.OUTRUN:
            self._lose(state, RowFlag.RESYNC, "the first snapshot was older than the stream")
        elif outcome is Outcome.GAP:
            state.gaps += 1
            self._lose(state, RowFlag.GAP, "resyncing after a gap in the stream")
        elif outcome is Outcome.CROSSED:
            state.crossings += 1
            self._lose(state, RowFlag.CROSSED, "resyncing after the book crossed")
        if state.shadow is not None and outcome in (Outcome.APPLIED, Outcome.BUFFERED):
            state.shadow.receive(update)
            self._settle_shadow(state)
        return outcome

    def receive_trade(self, symbol: str, trade: Trade) -> bool:
        """Whether the trade is new."""
        state = self.symbols.get(symbol)
        if state is None:
            return False
        if trade.price > state.most_price or trade.size > state.most_size:
            state.impossible_trades += 1  # stored, it would spoil every sum that has it in its window
            return False
        if not state.tape.receive(trade):
            return False
        state.trades += 1
        state.heard(trade.time_ms)
        state.session.add(trade)
        state.seconds.trade(trade)
        return True

    def load(self, symbol: str, snapshot: DepthSnapshot, limit: int, now_ns: int) -> Loaded:
        state = self.symbols.get(symbol)
        if state is None:
            return Loaded.NOT_NEEDED
        loaded = state.sync.load(snapshot, limit=limit)
        book = state.sync.book
        if loaded in (Loaded.LIVE, Loaded.UNPROVEN) and book is not None:
            if book.event_ms is None:
                book.event_ms = self.clock.now_ms(now_ns)
            state.resyncs += 1
            state.silence.begin(now_ns)
            state.reason = "" if loaded is Loaded.LIVE else "waiting for the stream to confirm the snapshot"
            if book.event_ms is not None:
                state.heard(book.event_ms)
                # The time without a book ends here, not where the next event shows that it has passed.
                state.seconds.roll(self._believable(book.event_ms, now_ns))
            if loaded is Loaded.LIVE:
                state.seconds.synced(book)
        return loaded

    def confirm(self, symbol: str) -> None:
        """The stream is open and silent: the snapshot stands. See `BookSync.confirm`."""
        state = self.symbols.get(symbol)
        if state is not None:
            state.sync.confirm()
            if (book := state.book) is not None:
                state.reason = ""
                state.seconds.synced(book)

    def disconnected(self, symbols: set[str]) -> None:
        """The connection is gone and with it the proof of sequence."""
        for symbol in symbols:
            state = self.symbols.get(symbol)
            if state is not None:
                state.sync.reset()
                self._lose(state, RowFlag.DISCONNECTED, "reconnecting to the exchange")

    def look(self, symbol: str, snapshot: DepthSnapshot, asked_ns: int, now_ns: int) -> None:
        """The exchange's own book, asked for at `asked_ns` because the symbol is silent.

        Its id may be newer than ours without a difference: changes that undo each other are told with the next event.
        """
        state = self.symbols.get(symbol)
        if state is None or (book := state.book) is None or (state.received_ns or 0) > asked_ns:
            return  # it has spoken meanwhile
        if snapshot.last_update_id < book.last_update_id:
            state.silence.unanswered()  # a copy from before
        elif is_same(book, snapshot):
            state.silence.same(asked_ns)
        else:
            state.silence.other(now_ns)

    def begin_audit(self, symbol: str) -> None:
        """From now on a second copy is kept beside the book; `load_audit` completes it."""
        state = self.symbols.get(symbol)
        if state is not None and state.book is not None:
            state.shadow = BookSync()
            state.shadow_from_id = state.book.last_update_id

    def load_audit(self, symbol: str, snapshot: DepthSnapshot, limit: int, now_ns: int) -> Loaded:
        state = self.symbols.get(symbol)
        if state is None or state.shadow is None:
            return Loaded.NOT_NEEDED
        if snapshot.last_update_id < state.shadow_from_id:
            return Loaded.TOO_OLD  # events between the two were not kept for the second copy
        loaded = state.shadow.load(snapshot, limit=limit)
        if loaded is Loaded.UNPROVEN:
            state.shadow.confirm()  # the book beside it has proved the stream already
        self._settle_shadow(state)
        return loaded

    def end_audit(self, symbol: str) -> None:
        state = self.symbols.get(symbol)
        if state is not None:
            state.shadow = None

    def exchange_ms(self, now_ns: int) -> int | None:
        return self.clock.now_ms(now_ns)

    def _applied(self, state: SymbolState, update: DepthUpdate, known_id: int, now_ns: int) -> None:
        state.events += 1
        state.note_event(now_ns)
        state.heard(update.event_ms)
        state.reason = ""
        known_id = max(known_id, update.first_id - 1)
        state.seconds.applied(update, state.sync.before, update.final_id - known_id)
        if (book := state.sync.book) is None:
            return
        bid, ask = book.bids.best, book.asks.best
        if bid is not None and ask is not None and bid < ask:
            state.microprice.observe(bid, book.bids.size_at(bid), ask, book.asks.size_at(ask), state.tick)

    def _lose(self, state: SymbolState, flag: RowFlag, reason: str) -> None:
        state.reason = reason
        state.shadow = None
        state.seconds.lost(flag)
        state.resting_grid.clear()
        state.microprice.break_chain()

    def _settle_shadow(self, state: SymbolState) -> None:
        """Once both copies stand at the same update they must be equal; the fresh one, which knows more, stays."""
        shadow, book = state.shadow, state.sync.book
        if shadow is None or shadow.book is None or book is None:
            return
        if not shadow.is_proven or shadow.book.last_update_id != book.last_update_id:
            return
        state.audits += 1
        if differing_levels(book, shadow.book):
            state.audit_mismatches += 1
        shadow.book.event_ms = book.event_ms
        shadow.book.keep_since(book)
        state.sync.book, state.shadow = shadow.book, None
        state.seconds.swapped(shadow.book)

    def _believable(self, event_ms: int, now_ns: int) -> int:
        """A damaged time stamp must not close hours of seconds."""
        now_ms = self.clock.now_ms(now_ns)
        return event_ms if now_ms is None or event_ms <= now_ms + PLAUSIBLE_MS else now_ms + PLAUSIBLE_MS
