"""The read side of one instrument. Pure.

Every change happens in a plain call on one thread. So code that reads without an await in between sees one moment.
Values that must outlast the next event are a `Moment` or a `BookFrame`.
"""

from __future__ import annotations

from collections.abc import Sequence

from vibe_orderbook_mcp.analytics.anomalies.fleeting import wall_limits
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.anomalies.watched import NormalNow, Usual, Watched, watched
from vibe_orderbook_mcp.analytics.microprice import MicropriceTable
from vibe_orderbook_mcp.analytics.resting import RestingDepth, RestingGrid
from vibe_orderbook_mcp.analytics.views import NEAR_BPS, BookFrame, near_view, view
from vibe_orderbook_mcp.analytics.windows import Span, held_part
from vibe_orderbook_mcp.book.audit import BookAudit
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import BookRule
from vibe_orderbook_mcp.market.chronicle import DELISTED, TRADING, Chronicle, Counts
from vibe_orderbook_mcp.market.clock import ExchangeClock
from vibe_orderbook_mcp.market.detection import Detection, Unsaved
from vibe_orderbook_mcp.market.filling import Filling
from vibe_orderbook_mcp.market.ticks import FairPrice
from vibe_orderbook_mcp.model.events import SIDES, Trade
from vibe_orderbook_mcp.model.moment import Moment, Status
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.past_hour import PastHour
from vibe_orderbook_mcp.seconds.recorded_book import RecordedBook
from vibe_orderbook_mcp.seconds.traded import with_trades

# With fewer known levels than this on a side, the market is about to leave the loaded range.
FEW_LEVELS = 200


class InstrumentView:
    """One instrument: its book, seconds, trades and detectors. `InstrumentOwner` changes them.

    `now_ns` arguments are a monotonic clock's.
    """

    __slots__ = (
        *("_audit", "_chronicle", "_clock", "_counts", "_detection", "_fair_price", "_reason", "_recorded"),
        *("_resting", "_spec"),
    )

    def __init__(
        self, spec: SymbolSpec, clock: ExchangeClock, chronicle: Chronicle, rule: BookRule | None = None
    ) -> None:
        self._spec = spec
        self._clock = clock
        self._chronicle = chronicle
        self._counts = chronicle.counts
        self._recorded = RecordedBook(spec, rule)
        self._resting = RestingGrid(spec)
        self._fair_price = FairPrice(self._recorded.steps)
        self._detection = Detection(spec, chronicle.unsaved)
        self._audit: BookAudit | None = None
        self._reason = "waiting for the first snapshot"
        tick_size, seconds = float(spec.tick_size), self._recorded.seconds
        seconds.wall_rule = lambda book: wall_limits(book.bids, book.asks, tick_size)
        # Levels are sorted at the end of a second, for one instrument after the other, not for all in one tick.
        seconds.look = lambda book, end_ms: self._resting.sample(end_ms, book.bids, book.asks)

    @property
    def spec(self) -> SymbolSpec:
        return self._spec

    @property
    def counts(self) -> Counts:
        """For reading."""
        return self._counts

    @property
    def book(self) -> OrderBook | None:
        """The book if it is in proven sequence, else None."""
        return self._recorded.book

    @property
    def copy(self) -> OrderBook | None:
        """The book in any state: perhaps not proved yet, or crossed for one event."""
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
        """Why there is no live book; empty if there is one."""
        return self._reason

    @property
    def trading(self) -> str:
        """The exchange's word for whether the instrument trades, or DELISTED."""
        return self._chronicle.trading

    @property
    def suspension(self) -> str | None:
        """Why the instrument cannot be traded, as a sentence; None if it can."""
        return self._chronicle.suspension(self._spec.symbol)

    @property
    def mid(self) -> float | None:
        """The mid, rounded to half a tick: on that grid every mid is exact."""
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
        """Exchange time of the newest second; 0 before the first."""
        return self._recorded.seconds.reached_ms

    @property
    def past(self) -> PastHour:
        """Rows of the last hour, for reading."""
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
        """The state of fetching missing trades by id."""
        return self._chronicle.filling

    @property
    def unsaved(self) -> Unsaved:
        return self._chronicle.unsaved

    @property
    def microprice(self) -> MicropriceTable | None:
        """The learned micro-price; None while there are too few observations."""
        return self._fair_price.table

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
        """Whether a second copy is being made, see `begin_audit`."""
        return self._audit is not None

    @property
    def is_running_short(self) -> bool:
        """Whether the best prices are near the edge of the snapshot's range."""
        book = self.book
        return book is not None and any(
            side.horizon is not None and side.known_levels() < FEW_LEVELS for side in (book.bids, book.asks)
        )

    @property
    def is_off_grid(self) -> bool:
        """Whether the best prices have more places than the tick: the exchange must have changed it."""
        book, exp = self.book, self._spec.tick_exp
        return book is not None and any(
            price is not None and round(price, exp) != price for price in (book.bids.best, book.asks.best)
        )

    def age_ns(self, now_ns: int) -> int | None:
        """Age of the newest depth event."""
        event_ns = self._chronicle.silence.event_ns
        return None if event_ns is None else max(0, now_ns - event_ns)

    def status(self, now_ns: int) -> Status:
        if self.book is None:
            return "syncing"
        chronicle = self._chronicle
        return "stale" if chronicle.trading != TRADING or chronicle.silence.is_stale(now_ns) else "live"

    def is_unusually_silent(self, now_ns: int) -> bool:
        return self._chronicle.silence.is_unusual(now_ns)

    def moment(self, now_ns: int, disconnected: str | None = None) -> Moment:
        """The present state as a value. `disconnected`: why the stream of its events is not connected."""
        book, chronicle, rows = self.book, self._chronicle, self.watch.rows
        return Moment(
            spec=self._spec,
            status=self.status(now_ns),
            now_ms=self._clock.now_ms(now_ns),
            age_ns=self.age_ns(now_ns),
            reason=self._reason,
            suspension=self.suspension,
            is_delisted=chronicle.trading == DELISTED,
            disconnected=disconnected,
            last_update_id=None if book is None else book.last_update_id,
            loads=self._counts.loads,
            defect=None if book is None else defect_of(book),
            event_ms=None if book is None else book.event_ms,
            heard_ms=chronicle.heard_ms,
            newest_second=rows[-1].second if rows else None,
            mid=self.mid,
            last_price=chronicle.tape.last_price,
            last_trade_ms=chronicle.tape.last_ms,
            day_volumes=chronicle.day.volumes,
        )

    def frame(self, levels: int | None = None, *, notional: float = 0.0) -> BookFrame | None:
        """The best `levels` a side; without a number the levels near the best prices, or as far as an order of
        `notional` quote units reaches. None without a book in proven sequence.
        """
        if (book := self.book) is None:
            return None
        cut = near_view(book, NEAR_BPS, notional=notional) if levels is None else view(book, levels)
        return BookFrame(cut, book.last_update_id, book.event_ms, self._recorded.seconds.levels.amounts)

    def usual(self) -> Usual:
        """What a book is compared with."""
        watch = self.watch
        return Usual(watch.baseline.day, tuple(watch.open), self._fair_price.table)

    def normal(self) -> NormalNow:
        """The inputs of the market's health."""
        watch = self.watch
        return NormalNow(watch.normal, tuple(watch.measures))

    def watched(self, span: Span, since: int) -> Watched:
        """What the detectors say of the part of the window that they have seen; how much they watched from `since`."""
        return watched(self.watch, held_part(list(self.watch.rows), span), since)

    def with_trades(self, rows: Sequence[SecondRow], trades: Sequence[Trade]) -> list[SecondRow]:
        """The rows with the sums of these trades, see `seconds.traded`."""
        return with_trades(rows, trades, self._spec)

    def resting(self) -> list[RestingDepth]:
        """Resting depth by price over the last minute, bids first; empty for a side without samples."""
        return [depth for side in SIDES if (depth := self._resting.depth(side)) is not None]


def defect_of(book: OrderBook) -> str | None:
    """The defect of the exchange's book; None for a valid book."""
    if not book.is_two_sided:
        return "one side of the book is empty" if book.bids.best or book.asks.best else "the book is empty"
    return "the book is crossed" if book.is_crossed else None
