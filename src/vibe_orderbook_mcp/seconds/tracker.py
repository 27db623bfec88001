"""From events to one row a second."""

from __future__ import annotations

from collections.abc import Callable

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.compiled import EventImbalance
from vibe_orderbook_mcp.model.events import PLAUSIBLE_MS, DepthUpdate, Side, Trade
from vibe_orderbook_mcp.model.rows import BookTop, RowFlag, SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.attribution import Attribution
from vibe_orderbook_mcp.seconds.capture import capture_fields, capture_top
from vibe_orderbook_mcp.seconds.open_second import OpenSecond
from vibe_orderbook_mcp.seconds.taker_groups import TakerGroups
from vibe_orderbook_mcp.seconds.traded import LevelMemory
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence, WallLimits

# A second is final this long after its end: joins are settled by then (attribution.HOLD_MS), late trades are in.
CLOSE_MS = 700
# Time that jumps further than this (a laptop slept) leaves a hole instead of hundreds of empty rows.
JUMP_SECONDS = 120
# An event this much older than the present time belongs to a final second. It counts in the current second, which is
# then marked as longer than a second. Beyond PLAUSIBLE_MS the clock was set back, and the event counts nowhere.
LATE_MS = 1_000
# The least size of a wall changes slowly, and computing it costs a walk through the book.
WALL_LIMITS_SECS = 10
EVIDENCE_SECS = 120


class SecondTracker:
    """Turns one symbol's applied events and trades into rows. Exchange time is an argument; no code here reads a clock.

    `RecordedBook` calls `roll` with an event's time *before* it applies the event to the book, because the book before
    the event is the end of the seconds that it closes. Then it calls `applied`.
    """

    def __init__(self, spec: SymbolSpec) -> None:
        self.wall_rule: Callable[[OrderBook], WallLimits | None] | None = None  # without it walls are not tracked
        self.look: Callable[[OrderBook, int], None] | None = None  # with the book at the end of a second, and that time
        self._tick_exp, self._lot_exp = (
            spec.tick_exp,
            spec.lot_exp,
        )  # cached: their properties compute from decimals
        self._book: OrderBook | None = None
        self._seconds: dict[int, OpenSecond] = {}  # ascending; trades may open one ahead of the book's time
        self._current: int | None = None
        self._watermark_ms = 0
        self._settled_ms = 0
        self._close_ms = 0  # when the oldest second becomes final, or before
        self._second = OpenSecond(0)  # the one of `_current`
        self._spread: float | None = None
        self._touch: tuple[float | None, float | None] = (None, None)  # the best prices of `_spread`
        self._is_silent = False
        self._loss = RowFlag.PARTIAL  # why there is no book
        self._imbalance = EventImbalance()
        self._had_book = False
        self._skip_flow = False
        self._groups = TakerGroups()
        self._half_tick = float(spec.tick_size) / 2
        self._unpriced: list[tuple[Trade, OpenSecond]] = []
        self._finished: list[tuple[SecondRow, BookTop | None]] = []
        self._flow = Attribution(10.0**-self._lot_exp, self._shown)
        self._evidence: dict[int, LevelEvidence] = {}

    @property
    def levels(self) -> LevelMemory:
        return self._flow.levels

    @property
    def reached_ms(self) -> int:
        """Exchange time of the newest second; 0 before the first. An older time closes no second."""
        return self._watermark_ms

    def succeed(self, before: SecondTracker) -> None:
        """Pass on the finished rows of another tracker of the symbol; that tracker ends here."""
        before.finish()
        self._finished, self._evidence = before.take(), before._evidence

    def take(self) -> list[tuple[SecondRow, BookTop | None]]:
        """Rows that became final since the last call, ascending, each with the book at its end."""
        taken, self._finished = self._finished, []
        return taken

    def take_evidence(self, second: int) -> LevelEvidence | None:
        """Flow of single levels in a second whose row was taken. Older ones are dropped."""
        found = self._evidence.pop(second, None)
        for old in [each for each in self._evidence if each < second]:
            del self._evidence[old]
        return found

    def roll(self, event_ms: int) -> None:
        """Advance exchange time to `event_ms`."""
        second = event_ms // 1000
        if self._current is None:
            self._start(event_ms, RowFlag.PARTIAL)
        elif second - self._current > JUMP_SECONDS:
            self._close_all(self._current)
            self._start(event_ms, RowFlag.PARTIAL)
        if event_ms <= self._watermark_ms or self._current is None:
            return
        while self._current < second:
            second_over = self._second
            self._settle_time(second_over.end_ms)
            self._end_second(second_over)
            self._current += 1
            self._second = self._open(self._current)
            self._begin_second(self._second)
        self._settle_time(event_ms)
        self._watermark_ms = event_ms
        self._flow.expire(event_ms)
        if self._unpriced:
            self._price_trades(event_ms)
        if event_ms >= self._close_ms:
            self._close(event_ms)

    def _close(self, event_ms: int) -> None:
        """Finish the seconds that are final."""
        for oldest in list(self._seconds.values()):
            self._close_ms = oldest.end_ms + CLOSE_MS
            if self._close_ms > event_ms:
                return
            self._finish(oldest)

    def synced(self, book: OrderBook) -> None:
        """A book was loaded. Its first event is not compared with the state before."""
        self._is_silent = False
        self._book = book
        self._skip_flow = True
        self._imbalance.break_chain()
        if self._current is not None:
            # The first book is the start of recording; every later one repairs a loss.
            self._open(self._current).flags |= RowFlag.RESYNC if self._had_book else RowFlag.PARTIAL
        self._had_book = True
        self._see_spread()

    def swapped(self, book: OrderBook) -> None:
        """A fresh copy, equal at the same update, takes the book's place: the row goes on."""
        self._book = book

    def lost(self, flag: RowFlag) -> None:
        """The book can no longer be trusted."""
        if flag is RowFlag.RESYNC and not self._had_book:
            flag = RowFlag.PARTIAL  # the first snapshot came too late for the stream: no book was lost
        self._book = None
        self._loss = flag
        self._spread = None
        self._imbalance.break_chain()
        self._groups.forget()
        self._flow.clear()
        if self._current is not None:
            self._open(self._current).flags |= flag

    def stale(self) -> None:
        """The time since the last event is unproved: it is not covered, and its seconds have no snapshots.

        Called when a symbol is silent for longer than its usual, and when an event shows that others are missing.
        """
        self._spread = None
        self._is_silent = True

    def stands(self) -> None:
        """The stale book was right: nothing has happened since, and time is covered again from now."""
        if self._is_silent:
            self._is_silent = False
            self._see_spread()

    def applied(self, update: DepthUpdate, before: tuple[list[float], list[float]], ids: int) -> None:
        """An event was applied to the book; `ids` is the number of its new updates."""
        book = self._book
        if book is None or self._current is None:
            return
        self._is_silent = False
        second = self._second
        late_ms = self._watermark_ms - update.event_ms
        if late_ms > LATE_MS:
            second.flags |= RowFlag.PARTIAL
            if late_ms > PLAUSIBLE_MS:
                self._see_spread()
                self._skip_flow = True
                self._imbalance.break_chain()
                return
        second.events += 1
        second.rows += len(update.bids) + len(update.asks)
        second.ids += ids
        # `roll` received the time first, bounded by plausibility.
        event_ms = update.event_ms if update.event_ms < self._watermark_ms else self._watermark_ms
        self._see_spread()
        if self._skip_flow:
            self._skip_flow = False
            self._flow.skip_event(event_ms)
        else:
            self._flow.add_event(update, event_ms, before, book, second)
        self._imbalance.observe(book.bids, book.asks)
        bid, ask = self._touch
        if bid is None or ask is None or self._spread is None:  # one side is empty, or the book is locked or crossed
            self._groups.forget()
        else:
            self._groups.touch(event_ms, bid, ask)

    def trade(self, trade: Trade) -> None:
        """A new trade. A late one, with its second final, counts in the oldest open second."""
        if self._current is None:
            self._start(trade.time_ms, RowFlag.PARTIAL)
        if self._watermark_ms - trade.time_ms > PLAUSIBLE_MS:
            return
        second = self._open(trade.time_ms // 1000)
        second.trades.append(trade)
        self._unpriced.append((trade, second))
        self._groups.add(trade, self._book, self._half_tick)
        if self._book is not None:
            self._flow.add_trade(trade, second)

    def finish(self) -> None:
        """The process stops: close the open seconds, marked as partial."""
        if self._current is not None:
            self._open(self._current).flags |= RowFlag.PARTIAL
            self._close_all(self._current)
            self._current = None

    def _shown(self, side: Side, price: float) -> float:
        return 0.0 if self._book is None else self._book.side(side).size_at(price)

    def _open(self, number: int) -> OpenSecond:
        found = self._seconds.get(number)
        if found is not None:
            return found
        oldest = next(iter(self._seconds), None)
        if oldest is not None and number < oldest:
            return self._seconds[oldest]
        if self._current is not None and number > self._current + JUMP_SECONDS:
            return self._seconds[self._current]  # a time without a confirming depth event opens no second far ahead
        last = max(self._seconds, default=number - 1)
        for between in range(last + 1, number + 1):
            self._seconds[between] = OpenSecond(between)
        return self._seconds[number]

    def _start(self, event_ms: int, flag: RowFlag) -> None:
        self._seconds.clear()
        self._close_ms = 0
        self._current = event_ms // 1000
        self._watermark_ms = self._settled_ms = event_ms
        second = self._second = self._open(self._current)
        second.flags |= flag
        self._begin_second(second)

    def _begin_second(self, second: OpenSecond) -> None:
        if self._spread is not None:
            second.see_spread(self._spread)
        if self._book is None:
            second.flags |= self._loss

    def _end_second(self, second: OpenSecond) -> None:
        second.ofi_events, second.ofi, second.depth = self._imbalance.take()
        self._capture(second)

    def _capture(self, second: OpenSecond) -> None:
        book = self._book
        if book is None or self._is_silent:
            return
        if not book.is_two_sided:
            second.flags |= RowFlag.ONE_SIDED
        elif book.bids.best == book.asks.best:
            second.flags |= RowFlag.LOCKED
        elif book.is_crossed:
            second.flags |= RowFlag.CROSSED
        second.captured = dict(capture_fields(book, self._tick_exp, self._lot_exp))
        if not book.is_crossed and (book.bids.best is not None or book.asks.best is not None):
            second.top = capture_top(book)
        if self.wall_rule is not None and (self._flow.walls.limits is None or second.second % WALL_LIMITS_SECS == 0):
            self._flow.walls.limits = self.wall_rule(book)
        if self.look is not None:
            self.look(book, second.end_ms)

    def _settle_time(self, until_ms: int) -> None:
        """Weight the state since the last event by its duration."""
        passed = until_ms - self._settled_ms
        if passed <= 0 or self._current is None:
            return
        self._settled_ms = until_ms
        if self._spread is not None:
            second = self._second
            second.covered_ms += passed
            second.spread_ms += self._spread * passed

    def _see_spread(self) -> None:
        book = self._book
        if book is None or self._current is None:
            self._spread = None
            return
        touch = bid, ask = book.bids.best, book.asks.best
        if touch == self._touch and self._spread is not None:
            return  # its start within the second: its arrival, or the second's start
        self._touch, self._spread = touch, None
        if bid is not None and ask is not None and bid < ask:
            self._spread = round(ask - bid, self._tick_exp)
            self._second.see_spread(self._spread)

    def _price_trades(self, watermark_ms: int) -> None:
        """Compare trades with the mid of the last book state with E < T, once every such state has arrived."""
        waiting: list[tuple[Trade, OpenSecond]] = []
        for trade, second in self._unpriced:
            if trade.time_ms > watermark_ms:
                waiting.append((trade, second))
                continue
            mid = self._groups.mid_before(trade.time_ms)
            if mid is not None:
                sign = -1 if trade.buyer_is_maker else 1
                second.effective_sum += 2e4 * sign * (trade.price - mid) / mid * trade.size
                second.effective_volume += trade.size
        self._unpriced = waiting

    def _finish(self, second: OpenSecond) -> None:
        del self._seconds[second.second]
        self._finished.append((second.freeze(self._tick_exp, self._lot_exp), second.top))
        chains, turnovers = self._flow.refills.take(second.end_ms)
        walls = self._flow.walls
        self._evidence[second.second] = LevelEvidence(
            has_limits=walls.limits is not None and (walls.limits.bid_size or walls.limits.ask_size) is not None,
            walls=walls.take(second.end_ms),
            chains=chains,
            turnovers=turnovers,
            sweeps=self._groups.take(second.end_ms),
        )
        while len(self._evidence) > EVIDENCE_SECS:
            del self._evidence[next(iter(self._evidence))]

    def _close_all(self, current: int) -> None:
        """Close the open seconds now: the rest of the current second is not covered."""
        self._end_second(self._open(current))
        self._flow.expire(self._watermark_ms + 10 * CLOSE_MS)
        self._price_trades(self._watermark_ms + 10 * CLOSE_MS)
        for second in list(self._seconds.values()):
            self._finish(second)
