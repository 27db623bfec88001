"""The owner of one instrument: whoever has an event of it, or a question about it, calls this object. Pure.

Every change happens in a plain call on one thread, so whoever reads everything it needs without an await in between
sees one moment. What has to outlast the next event is a `Moment` or a `BookFrame`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from math import inf
from typing import Final, NamedTuple

from vibe_orderbook_mcp.analytics.anomalies.fleeting import wall_limits
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.microprice import MicropriceModel, MicropriceTable
from vibe_orderbook_mcp.analytics.resting import RestingDepth, RestingGrid
from vibe_orderbook_mcp.analytics.views import NEAR_BPS, BookFrame, near_view, view
from vibe_orderbook_mcp.book.audit import BookAudit, replaced
from vibe_orderbook_mcp.book.book import OrderBook, is_same
from vibe_orderbook_mcp.book.sync import Loaded, Outcome
from vibe_orderbook_mcp.market.chronicle import DELISTED, TRADING, Chronicle, Counts
from vibe_orderbook_mcp.market.detection import Detection, Unsaved
from vibe_orderbook_mcp.market.filling import Filling
from vibe_orderbook_mcp.market.silence import Pulse, close_silent
from vibe_orderbook_mcp.model.clock import ExchangeClock
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Side, Trade
from vibe_orderbook_mcp.model.moment import Moment, Status
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRecord, TradeBatch
from vibe_orderbook_mcp.model.symbol import ORDERS_A_LEVEL, SymbolSpec
from vibe_orderbook_mcp.seconds.past_hour import PastHour
from vibe_orderbook_mcp.seconds.recorded_book import RecordedBook
from vibe_orderbook_mcp.seconds.tracker import CLOSE_MS
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence

# Where in a second of the exchange's clock the tick is due: the second before is final then, an event later than that
# has shown it (one comes every 100 ms), and was 100 ms late at most.
TICK_AT_MS = CLOSE_MS + 200
# With fewer known levels than this on a side, a market that moved is about to leave what was loaded.
FEW_LEVELS = 200
# The micro-price is learned from what was counted so far: first after a minute of ticks, then every hour.
MICROPRICE_FIRST_TICKS = 60
MICROPRICE_AGAIN_TICKS = 3600
SIDES: Final[tuple[Side, Side]] = ("bid", "ask")

# Why there is no book, by what became of the event that showed it.
LOSSES: Final = {
    Outcome.OUTRUN: "the first snapshot was older than the stream",
    Outcome.GAP: "resyncing after a gap in the stream",
    Outcome.CROSSED: "resyncing after the book crossed",
}


class Notice(Enum):
    """What an operator should read in the log after a tick."""

    NO_BOOK = "no book"  # for a second or longer
    STALE = "stale"
    LIVE_AGAIN = "live again"


class FinalSecond(NamedTuple):
    """A second that nothing changes any more."""

    record: SecondRecord
    evidence: LevelEvidence | None  # what single levels did in it


class Ticked(NamedTuple):
    """What one tick brought: ascending by time."""

    seconds: Sequence[FinalSecond]
    trades: TradeBatch | None
    notices: Sequence[Notice] = ()


class InstrumentOwner:
    """One instrument: its book, seconds, trades and detectors. `now_ns` arguments are a monotonic clock's."""

    __slots__ = (
        *("_audit", "_chronicle", "_clock", "_counts", "_is_bookless", "_microprice", "_microprice_table"),
        *("_most_price", "_most_size", "_reason", "_recorded", "_resting", "_spec", "_ticks", "_was_stale"),
        *("_detection", "_tick_size"),
    )

    def __init__(
        self, spec: SymbolSpec, clock: ExchangeClock | None = None, chronicle: Chronicle | None = None
    ) -> None:
        """`clock` is the exchange's, the same one for all of its instruments; `chronicle` that of a former owner."""
        self._clock = clock or ExchangeClock()
        self._chronicle = chronicle or Chronicle()
        self._counts = self._chronicle.counts
        self._recorded = RecordedBook(spec)
        self._microprice = MicropriceModel()
        self._microprice_table: MicropriceTable | None = None
        self._resting = RestingGrid(spec)
        self._audit: BookAudit | None = None
        self._reason = "waiting for the first snapshot"
        self._ticks = 0
        self._is_bookless = self._was_stale = False
        self._detection = Detection(spec, self._chronicle.unsaved)
        self._tick_size = float(spec.tick_size)
        seconds = self._recorded.seconds
        seconds.wall_rule = lambda book: wall_limits(book.bids, book.asks, self._tick_size)
        # Where a second ends all levels are in order, and instruments come one after the other, not all in one tick.
        seconds.look = lambda book, end_ms: self._resting.sample(end_ms, book.bids, book.asks)
        self.describe(spec)

    # --- what it is now ------------------------------------------------------------------------------------

    @property
    def spec(self) -> SymbolSpec:
        return self._spec

    @property
    def counts(self) -> Counts:
        """For reading."""
        return self._counts

    @property
    def book(self) -> OrderBook | None:
        """The book, if it is in proven sequence."""
        return self._recorded.book

    @property
    def copy(self) -> OrderBook | None:
        """The book as it is being kept: perhaps not proved yet, or crossed for one event."""
        return self._recorded.copy

    @property
    def needs_snapshot(self) -> bool:
        return self._recorded.needs_snapshot

    @property
    def is_proven(self) -> bool:
        return self._recorded.is_proven

    @property
    def missed(self) -> tuple[int, int]:
        """(expected first id, first id received) of the last gap."""
        return self._recorded.missed

    @property
    def reason(self) -> str:
        """Why there is no live book; empty when there is one."""
        return self._reason

    @property
    def trading(self) -> str:
        """The exchange's word for whether the instrument trades, or DELISTED."""
        return self._chronicle.trading

    @property
    def suspension(self) -> str | None:
        """Why the instrument cannot be traded, as a sentence; None when it can."""
        return self._chronicle.suspension(self._spec.symbol)

    @property
    def mid(self) -> float | None:
        """Half a tick is the finest that a mid can have: on that grid it is exact."""
        book = self.book
        mid = book.mid if book is not None else None
        return None if mid is None else round(mid, self._spec.tick_exp + 1)

    @property
    def heard_ms(self) -> int | None:
        """Exchange time of the newest event of book or trades; stays without a book."""
        return self._chronicle.heard_ms

    @property
    def received_ns(self) -> int | None:
        """When the newest depth event was applied, or a snapshot loaded."""
        return self._chronicle.silence.event_ns

    @property
    def reached_ms(self) -> int:
        """Exchange time that seconds have come to; 0 before the first."""
        return self._recorded.seconds.reached_ms

    @property
    def past(self) -> PastHour:
        return self._chronicle.past

    @property
    def detection(self) -> Detection:
        return self._detection

    @property
    def watch(self) -> SymbolWatch:
        """The detectors, for reading."""
        return self._detection.watch

    @property
    def filling(self) -> Filling:
        """Which trades are to be fetched by id."""
        return self._chronicle.filling

    @property
    def unsaved(self) -> Unsaved:
        return self._chronicle.unsaved

    @property
    def microprice(self) -> MicropriceTable | None:
        """What was learned of the micro-price; None while that is too little."""
        return self._microprice_table

    @property
    def day_volumes(self) -> tuple[float, float] | None:
        """Aggressive (buy, sell) volume since 00:00 UTC; None unless every trade since then was seen."""
        return self._chronicle.day.volumes

    @property
    def pending_trades(self) -> tuple[Trade, ...]:
        """Trades since the last tick."""
        return self._chronicle.tape.pending

    @property
    def holes(self) -> Sequence[tuple[int, int]]:
        """Ids of trades that are missing: inclusive ranges, ascending."""
        return self._chronicle.tape.holes

    @property
    def duplicate_trades(self) -> int:
        return self._chronicle.tape.duplicates

    @property
    def is_audited(self) -> bool:
        """A second copy is being made, see `begin_audit`."""
        return self._audit is not None

    @property
    def is_running_short(self) -> bool:
        """The best prices have come near the edge of what the snapshot showed."""
        book = self.book
        return book is not None and any(
            side.horizon is not None and side.known_levels() < FEW_LEVELS for side in (book.bids, book.asks)
        )

    @property
    def is_off_grid(self) -> bool:
        """The best prices have more places than the tick: the exchange must have changed it."""
        book, exp = self.book, self._spec.tick_exp
        return book is not None and any(
            price is not None and round(price, exp) != price for price in (book.bids.best, book.asks.best)
        )

    def age_ns(self, now_ns: int) -> int | None:
        """Since the newest depth event."""
        event_ns = self._chronicle.silence.event_ns
        return None if event_ns is None else max(0, now_ns - event_ns)

    def status(self, now_ns: int) -> Status:
        if self.book is None:
            return "syncing"
        chronicle = self._chronicle
        return "stale" if chronicle.trading != TRADING or chronicle.silence.is_stale(now_ns) else "live"

    def is_unusually_silent(self, now_ns: int) -> bool:
        return self._chronicle.silence.is_unusual(now_ns)

    def moment(self, now_ns: int) -> Moment:
        """What is so now."""
        book, chronicle = self.book, self._chronicle
        return Moment(
            spec=self._spec,
            status=self.status(now_ns),
            now_ms=self._clock.now_ms(now_ns),
            age_ns=self.age_ns(now_ns),
            reason=self._reason,
            suspension=self.suspension,
            is_delisted=chronicle.trading == DELISTED,
            last_update_id=None if book is None else book.last_update_id,
            loads=self._counts.loads,
            defect=None if book is None else defect_of(book),
            event_ms=None if book is None else book.event_ms,
            heard_ms=chronicle.heard_ms,
            mid=self.mid,
            last_price=chronicle.tape.last_price,
            last_trade_ms=chronicle.tape.last_ms,
            day_volumes=chronicle.day.volumes,
        )

    def frame(self, levels: int | None = None, *, notional: float = 0.0) -> BookFrame | None:
        """The best `levels` a side; without a number what lies near the best prices, or as far as an order of
        `notional` quote units reaches. None without a book in proven sequence.
        """
        if (book := self.book) is None:
            return None
        cut = near_view(book, NEAR_BPS, notional=notional) if levels is None else view(book, levels)
        return BookFrame(cut, book.last_update_id, book.event_ms, self._recorded.seconds.levels.amounts)

    def resting(self) -> list[RestingDepth]:
        """What rested by price during the last minute, bids first; of a side that was not seen nothing."""
        return [depth for side in SIDES if (depth := self._resting.depth(side)) is not None]

    # --- what comes of it ----------------------------------------------------------------------------------

    def receive_depth(self, update: DepthUpdate, now_ns: int) -> Outcome:
        """The next event, into book and seconds. It also tells what time it is at the exchange."""
        self._clock.observe(update.event_ms, now_ns)
        outcome = self._recorded.receive(update, self._clock.now_ms(now_ns))
        if outcome is Outcome.APPLIED:
            self._counts.events += 1
            self._chronicle.silence.event(now_ns)
            self._chronicle.heard(update.event_ms)
            self._reason = ""
            self._learn_step()
        elif outcome is Outcome.OLD:
            self._counts.old_events += 1
        elif (reason := LOSSES.get(outcome)) is not None:
            self._counts.gaps += outcome is Outcome.GAP
            self._counts.crossings += outcome is Outcome.CROSSED
            self._forget_book(reason)
        if self._audit is not None and outcome in (Outcome.APPLIED, Outcome.BUFFERED):
            self._audit.receive(update)
            self._settle_audit()
        return outcome

    def receive_trade(self, trade: Trade) -> bool:
        """Whether the trade is new."""
        chronicle = self._chronicle
        if trade.price > self._most_price or trade.size > self._most_size:
            self._counts.impossible_trades += 1  # stored, it would spoil every sum that has it in its window
            return False
        if not chronicle.tape.receive(trade):
            return False
        self._counts.trades += 1
        chronicle.heard(trade.time_ms)
        chronicle.day.add(trade)
        self._recorded.seconds.trade(trade)
        return True

    def load(self, snapshot: DepthSnapshot, limit: int, now_ns: int) -> Loaded:
        """A snapshot of at most `limit` levels a side."""
        loaded = self._recorded.load(snapshot, limit, self._clock.now_ms(now_ns))
        if loaded in (Loaded.LIVE, Loaded.UNPROVEN):
            self._counts.resyncs += 1
            self._chronicle.silence.begin(now_ns)
            self._reason = "" if loaded is Loaded.LIVE else "waiting for the stream to confirm the snapshot"
            if (book := self.copy) is not None and book.event_ms is not None:
                self._chronicle.heard(book.event_ms)
        return loaded

    def confirm(self) -> None:
        """The stream is open and silent: the snapshot stands. See `BookSync.confirm`."""
        self._recorded.confirm()
        if self.book is not None:
            self._reason = ""

    def disconnect(self) -> None:
        """The connection is gone and with it the proof of sequence."""
        self._recorded.lose(RowFlag.DISCONNECTED)
        self._forget_book("reconnecting to the exchange")

    def follow(self, pulse: Pulse) -> None:
        """The signs of life of the connection that the events come on."""
        self._chronicle.silence.pulse = pulse

    def describe(self, spec: SymbolSpec) -> None:
        """What the exchange says of the instrument now; on the same grid."""
        self._spec = spec
        # Beyond these the exchange accepts no order; 0 is no limit. A taker's order may be of several of the largest.
        self._most_price = float(spec.max_price) or inf
        self._most_size = ORDERS_A_LEVEL * float(spec.max_size) or inf

    def trades_as(self, status: str) -> bool:
        """`status` is the exchange's own word, or DELISTED. Returns whether it is another one than before."""
        is_other = status != self._chronicle.trading
        self._chronicle.trading = status
        return is_other

    def wait(self, reason: str) -> None:
        """No snapshot can be had, and why."""
        self._reason = reason

    # --- the exchange's own book, asked for -----------------------------------------------------------------

    def ask(self, now_ns: int) -> bool:
        """Whether to ask for it now, because silence alone is doubtful. If so, it counts as asked for."""
        silence = self._chronicle.silence
        if self.book is None or self.suspension is not None or not silence.is_to_ask(now_ns):
            return False
        silence.asked_ns = now_ns
        return True

    def unanswered(self) -> None:
        """No answer came."""
        self._chronicle.silence.unanswered()

    def compare(self, snapshot: DepthSnapshot, asked_ns: int, now_ns: int) -> None:
        """The exchange's own book, asked for at `asked_ns`.

        Its id may be newer than ours without a difference: changes that undo each other come with the next event.
        """
        silence = self._chronicle.silence
        if (book := self.book) is None or (silence.event_ns or 0) > asked_ns:
            return  # an event came meanwhile
        if snapshot.last_update_id < book.last_update_id:
            silence.unanswered()  # a copy from before
        elif is_same(book, snapshot):
            silence.same(asked_ns)
        else:
            silence.other(now_ns)

    def begin_audit(self) -> None:
        """From now on a second copy is kept beside the book; `load_audit` completes it."""
        if (book := self.book) is not None:
            self._audit = BookAudit(book)

    def load_audit(self, snapshot: DepthSnapshot, limit: int) -> Loaded:
        """TOO_OLD: another snapshot is needed. NOT_NEEDED: the audit has ended, or the book was lost."""
        if self._audit is None:
            return Loaded.NOT_NEEDED
        loaded = self._audit.load(snapshot, limit)
        self._settle_audit()
        return loaded

    def end_audit(self) -> None:
        self._audit = None

    # --- time passes ----------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> Ticked:
        """Once a second: what became final. Seconds of an instrument that is silent are closed by the clock."""
        now_ms = self._clock.now_ms(now_ns)
        if now_ms is not None:
            is_lost = self._recorded.needs_snapshot
            close_silent(self._recorded.seconds, self._chronicle.silence, now_ns, now_ms, is_lost=is_lost)
        notices = self._notices(now_ns)
        self._ticks += 1
        if self._ticks % (MICROPRICE_FIRST_TICKS if self._microprice_table is None else MICROPRICE_AGAIN_TICKS) == 0:
            self._microprice_table = self._microprice.solve() or self._microprice_table
        return self.take()._replace(notices=notices)

    def finish(self) -> Ticked:
        """The instrument is given up, or the process stops: all that there is, the last second as partial."""
        self._recorded.seconds.finish()
        return self.take()

    def succeed(self, spec: SymbolSpec) -> InstrumentOwner:
        """The owner of the same instrument on another grid, who has to load the book. This one ends here."""
        successor = InstrumentOwner(spec, self._clock, self._chronicle)
        successor._recorded.seconds.succeed(self._recorded.seconds)
        successor._reason = "resyncing: the exchange has changed the symbol's tick or step size"
        self._recorded.lose(RowFlag.RESYNC)  # an answer about it that is on its way compares with no book
        return successor

    # --- trades that are stored, or not ---------------------------------------------------------------------

    def fill(self, first_id: int, last_id: int) -> None:
        """Trades with these ids are stored, or nobody waits for them any more: they are no holes."""
        self._chronicle.tape.fill(first_id, last_id)

    def lose_trades(self, trades: Iterable[Trade]) -> None:
        """Trades of a tick that could not be stored: they are missing again."""
        self._chronicle.tape.lose(trades)

    def take(self) -> Ticked:
        """Seconds that became final and trades that came since the last call, without a look at the time."""
        seconds, chronicle, spec = self._recorded.seconds, self._chronicle, self._spec
        final = []
        for row, top in seconds.take():
            chronicle.past.add(row)
            final.append(FinalSecond(SecondRecord(spec, row, top), seconds.take_evidence(row.second)))
        trades = chronicle.tape.take()
        return Ticked(final, TradeBatch(spec, trades) if trades else None)

    def _notices(self, now_ns: int) -> list[Notice]:
        notices, book, status = list[Notice](), self.book, self.status(now_ns)
        has_levels = book is not None and (book.bids.best is not None or book.asks.best is not None)
        if not has_levels and self._is_bookless:  # in its first second a new instrument has none yet
            notices.append(Notice.NO_BOOK)
        self._is_bookless = not has_levels
        if status == "stale" and self.suspension is None and not self._was_stale:
            self._was_stale = True
            notices.append(Notice.STALE)
        elif status == "live" and self._was_stale:
            self._was_stale = False
            notices.append(Notice.LIVE_AGAIN)
        return notices

    def _learn_step(self) -> None:
        """The best prices and their sizes after an event, for the micro-price."""
        if (book := self._recorded.copy) is None:
            return
        bid, ask = book.bids.best, book.asks.best
        if bid is not None and ask is not None and bid < ask:
            self._microprice.observe(bid, book.bids.size_at(bid), ask, book.asks.size_at(ask), self._tick_size)

    def _forget_book(self, reason: str) -> None:
        """The book was lost: what was derived from it is reset with it."""
        self._reason = reason
        self._audit = None
        self._resting.clear()
        self._microprice.break_chain()

    def _settle_audit(self) -> None:
        """Once both copies stand at the same update they must be equal; the fresh one, which knows more, stays."""
        audit, book = self._audit, self._recorded.copy
        if audit is None or book is None or (fresh := audit.meeting(book)) is None:
            return
        self._audit = None
        self._counts.audits += 1
        self._counts.audit_mismatches += replaced(book, fresh)
        self._recorded.swap(fresh)


def defect_of(book: OrderBook) -> str | None:
    """What the exchange's book lacks for a market, None for nothing."""
    if not book.is_two_sided:
        return "one side of the book is empty" if book.bids.best or book.asks.best else "the book is empty"
    return "the book is crossed" if book.is_crossed else None
