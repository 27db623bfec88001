"""The owner of one instrument: all events go to this object, and no other code changes the instrument. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from vibe_orderbook_mcp.book.audit import BookAudit, replaced
from vibe_orderbook_mcp.book.book import is_same
from vibe_orderbook_mcp.book.sync import BookRule, Loaded, Outcome
from vibe_orderbook_mcp.market.chronicle import Chronicle
from vibe_orderbook_mcp.market.clock import ExchangeClock
from vibe_orderbook_mcp.market.silence import Pulse, close_silent
from vibe_orderbook_mcp.market.ticks import FinalSecond, Notice, Notices, Ticked
from vibe_orderbook_mcp.market.view import InstrumentView
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.numbering import OwnNumbers
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRecord, TradeBatch
from vibe_orderbook_mcp.model.symbol import ORDERS_A_LEVEL, SymbolSpec
from vibe_orderbook_mcp.model.wire import BookReplaced
from vibe_orderbook_mcp.seconds.recorded_book import LOSSES


class InstrumentOwner(InstrumentView):
    """Receives events, answers of the exchange and time. `now_ns` arguments are a monotonic clock's."""

    __slots__ = ("_most_price", "_most_size", "_notices")

    def __init__(
        self,
        spec: SymbolSpec,
        clock: ExchangeClock | None = None,
        chronicle: Chronicle | None = None,
        rule: BookRule | None = None,
    ) -> None:
        """`clock` is the exchange's, the same one for all of its instruments; `chronicle` that of a former owner;
        `rule` is what else the venue says of the book.
        """
        super().__init__(spec, clock or ExchangeClock(), chronicle or Chronicle(), rule)
        self._notices = Notices()
        self.describe(spec)

    # --- events --------------------------------------------------------------------------------------------

    def receive_depth(self, update: DepthUpdate, now_ns: int) -> Outcome:
        """Apply the next event to book, seconds and the exchange's clock."""
        outcome = self._recorded.receive(update, self._clock.observe(update.event_ms, now_ns))
        if outcome is Outcome.APPLIED:
            self._counts.events += 1
            self._chronicle.silence.event(now_ns)
            self._chronicle.heard(update.event_ms)
            self._reason = ""
        elif outcome is Outcome.OLD:
            self._counts.old_events += 1
        elif (loss := LOSSES.get(outcome)) is not None:
            self._counts.gaps += outcome is Outcome.GAP
            self._counts.crossings += outcome is Outcome.CROSSED
            self._counts.checksum_failures += outcome is Outcome.WRONG
            self._forget_book(loss.reason)
        if self._audit is not None and outcome in (Outcome.APPLIED, Outcome.BUFFERED):
            self._audit.receive(update)
            self._settle_audit()
        return outcome

    def receive_trade(self, trade: Trade) -> bool:
        """Whether the trade is new."""
        chronicle = self._chronicle
        if trade.price > self._most_price or trade.size > self._most_size:
            self._counts.impossible_trades += 1  # if stored, it would distort every sum over its window
            return False
        if chronicle.numbers is not None:
            numbered = chronicle.numbers.number(trade)
            if numbered is None:
                return False
            trade = numbered
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

    def replace(self, replaced: BookReplaced, now_ns: int) -> Outcome:
        """The stream itself sent the whole book."""
        if self._recorded.copy is not None:
            self._forget_book("")
        event_ms = replaced.event_ms
        at_ms = self._clock.now_ms(now_ns) if event_ms is None else self._clock.observe(event_ms, now_ns)
        outcome = self._recorded.replace(replaced, at_ms)
        if (loss := LOSSES.get(outcome)) is not None:
            self._counts.checksum_failures += outcome is Outcome.WRONG
            self._reason = loss.reason
            return outcome
        self._counts.resyncs += 1
        self._chronicle.silence.begin(now_ns)
        if at_ms is not None:
            self._chronicle.heard(at_ms)
        self._reason = ""
        return outcome

    def confirm(self) -> None:
        """The stream is open and silent: the snapshot is confirmed. See `BookSync.confirm`."""
        self._recorded.confirm()
        if self.book is not None:
            self._reason = ""

    def number_trades(self) -> None:
        """Ids of this instrument's trades prove nothing: its trades get numbers of their own."""
        if self._chronicle.numbers is None:
            self._chronicle.numbers = OwnNumbers()

    def interrupt(self) -> None:
        """Trades may have been missed, and their ids will not show it."""
        if self._chronicle.numbers is not None:
            self._chronicle.numbers.interrupt()

    def disconnect(self) -> None:
        """The connection was lost, and with it the proof of sequence."""
        self.interrupt()
        self._recorded.lose(RowFlag.DISCONNECTED)
        self._forget_book("reconnecting to the exchange")

    def follow(self, pulse: Pulse) -> None:
        """Set the signs of life of the connection of the events."""
        self._chronicle.silence.pulse = pulse

    def describe(self, spec: SymbolSpec) -> None:
        """The exchange's present description of the instrument, on the same grid."""
        self._spec = spec
        # The exchange accepts no order beyond these; 0 means no limit. A taker group may have several of the largest.
        self._most_price = float(spec.max_price) or inf
        self._most_size = ORDERS_A_LEVEL * float(spec.max_size) or inf

    def trades_as(self, status: str) -> bool:
        """`status` is the exchange's own word, or DELISTED. Returns whether it changed."""
        is_other = status != self._chronicle.trading
        self._chronicle.trading = status
        return is_other

    def wait(self, reason: str) -> None:
        """No snapshot is available, and why."""
        self._reason = reason

    # --- the exchange's own book over REST ------------------------------------------------------------------

    def ask(self, now_ns: int) -> bool:
        """Whether to request it now because the silence is doubtful. If so, it counts as requested."""
        silence = self._chronicle.silence
        if self.book is None or self.suspension is not None or not silence.is_to_ask(now_ns):
            return False
        silence.asked_ns = now_ns
        return True

    def unanswered(self) -> None:
        """No answer came."""
        self._chronicle.silence.unanswered()

    def compare(self, snapshot: DepthSnapshot, asked_ns: int, now_ns: int) -> None:
        """Compare with the exchange's own book, requested at `asked_ns`.

        Its id may be newer than ours without a difference: changes that cancel out come with the next event.
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
        """Start a second copy of the book; `load_audit` completes it."""
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
        """Once a second: the new final seconds. The clock closes seconds of a silent instrument."""
        now_ms = self._clock.now_ms(now_ns)
        if now_ms is not None:
            is_lost = self._recorded.needs_snapshot
            close_silent(self._recorded.seconds, self._chronicle.silence, now_ns, now_ms, is_lost=is_lost)
        self._fair_price.tick()
        return self.take()

    def notices(self, now_ns: int) -> list[Notice]:
        """Once after each tick: lines for the operator."""
        return self._notices.tick(self.book, self.status(now_ns), is_suspended=self.suspension is not None)

    def finish(self) -> Ticked:
        """The instrument is dropped, or the process stops: all remaining data, the last second as partial."""
        self._recorded.seconds.finish()
        return self.take()

    def succeed(self, spec: SymbolSpec, rule: BookRule | None = None) -> InstrumentOwner:
        """The owner of the same instrument on another grid; it must load the book. This owner ends here."""
        successor = InstrumentOwner(spec, self._clock, self._chronicle, rule)
        successor._recorded.seconds.succeed(self._recorded.seconds)
        successor._reason = "resyncing: the exchange has changed the symbol's tick or step size"
        self._recorded.lose(RowFlag.RESYNC)  # a pending answer must not be compared with another book
        return successor

    # --- storage ------------------------------------------------------------------------------------

    def fill(self, first_id: int, last_id: int) -> None:
        """Trades with these ids are stored, or will never come: they are not holes any more."""
        self._chronicle.tape.fill(first_id, last_id)

    def lose_trades(self, trades: Iterable[Trade]) -> None:
        """Trades of a tick that could not be stored are missing again."""
        self._chronicle.tape.lose(trades)

    def take(self) -> Ticked:
        """New final seconds and trades since the last call, independent of the time."""
        seconds, chronicle, spec = self._recorded.seconds, self._chronicle, self._spec
        final = []
        for row, top in seconds.take():
            chronicle.past.add(row)
            final.append(FinalSecond(SecondRecord(spec, row, top), seconds.take_evidence(row.second)))
        trades = chronicle.tape.take()
        return Ticked(final, TradeBatch(spec, trades) if trades else None)

    def _forget_book(self, reason: str) -> None:
        """The book was lost: reset everything derived from it."""
        self._reason = reason
        self._audit = None
        self._resting.clear()

    def _settle_audit(self) -> None:
        """At the same update both copies must be equal. The fresh copy stays, since it knows more levels."""
        audit, book = self._audit, self._recorded.copy
        if audit is None or book is None or (fresh := audit.meeting(book)) is None:
            return
        self._audit = None
        self._counts.audits += 1
        self._counts.audit_mismatches += replaced(book, fresh)
        self._recorded.swap(fresh)
