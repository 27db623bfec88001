"""Splits a change of displayed size into traded, added and cancelled size.

A depth event shows that a level went from 5.0 to 3.2, and a trade took 1.0 from it. The accounting identity
`change = added - cancelled - traded` then leaves 0.8 cancelled. Only the net is known, so both are lower bounds.

Joining the two: a trade at time T belongs to the first depth event with E >= T + 1 ms whose rows contain the
level, within 300 ms. If none does, the level was refilled to the size it had. Message order proves nothing (13 % of
recorded
BTCUSDT trades came after their depth event), so both wait for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.compiled import HeldRows
from vibe_orderbook_mcp.model.events import DepthUpdate, Side, Trade
from vibe_orderbook_mcp.seconds.open_second import OpenSecond, Touched
from vibe_orderbook_mcp.seconds.refills import RefillWatch
from vibe_orderbook_mcp.seconds.traded import LevelMemory
from vibe_orderbook_mcp.seconds.wall_watch import WallWatch

JOIN_MS = 300
# Trades were recorded up to 214 ms late against their own time, so an event stays joinable a little longer.
HOLD_MS = 500
# A trade that was joined one event early shows in the next one, 100 ms later. Rows close 700 ms after their second:
# an event that comes later than this is settled when the first one's row may be final (seconds.CLOSE_MS - HOLD_MS).
SKEW_MS = 200

# Rows of a level are handled one by one until it had no trade for this long, which is longer than any second is open.
SWEEP_MS = 60_000

_Skew = dict[tuple[Side, float], tuple[float, OpenSecond]]  # the addition beside a trade, and its second


class _HeldEvent:
    """An applied depth event that may still be joined with trades."""

    __slots__ = ("asks", "bids", "event_ms", "limits", "second", "traded")

    def __init__(
        self,
        update: DepthUpdate,
        event_ms: int,
        before: tuple[list[float], list[float]],
        book: OrderBook,
        second: OpenSecond,
    ) -> None:
        self.event_ms = event_ms
        self.bids = HeldRows(update.bids, before[0])
        self.asks = HeldRows(update.asks, before[1])
        self.limits = book.bids.horizon, book.asks.horizon
        self.second = second
        self.traded: dict[tuple[Side, float], float] | None = None  # in most events nothing is

    def names(self, side: Side, price: float) -> bool:
        """Whether the event has a row of this level."""
        return self.bids.names(price) if side == "bid" else self.asks.names(price)


class _HeldTrade:
    __slots__ = ("passed", "second", "side", "trade")

    def __init__(self, trade: Trade, second: OpenSecond) -> None:
        self.trade = trade
        self.second = second
        self.side: Side = "bid" if trade.buyer_is_maker else "ask"
        self.passed = False  # an event that could have shown the level did not


class Attribution:
    """Keeps events and trades until they are joined, then adds to the sums of their seconds."""

    def __init__(self, lot: float, shown: Callable[[Side, float], float]) -> None:
        """`lot` is the smallest size; `shown` gives the present displayed size of a level."""
        self._half_lot = lot / 2
        self._shown = shown
        self._events: deque[_HeldEvent] = deque()
        self._trades: deque[_HeldTrade] = deque()
        self._skew: _Skew = {}
        self._skew_ms = 0  # the event that `_skew` is about
        self._from_ms: int | None = None  # the event that was not compared; None: not here yet
        # Levels that were traded or are walls, and the last time of that: their rows are handled one by one.
        self._watched: dict[Side, dict[float, int]] = {"bid": {}, "ask": {}}
        self._swept_ms = 0
        self.levels = LevelMemory()
        self.refills = RefillWatch(lot)
        self.walls = WallWatch()

    def skip_event(self, event_ms: int) -> None:
        """The first event after a sync. Trades up to it belong to it, or to the time before the snapshot."""
        self._from_ms = event_ms
        self._trades = deque(held for held in self._trades if held.trade.time_ms >= event_ms)

    def add_event(
        self,
        update: DepthUpdate,
        event_ms: int,
        before: tuple[list[float], list[float]],
        book: OrderBook,
        second: OpenSecond,
    ) -> None:
        event = _HeldEvent(update, event_ms, before, book, second)
        self._events.append(event)
        if not self._trades:
            return
        waiting: deque[_HeldTrade] = deque()
        for held in self._trades:
            if not _can_join(held.trade, event):
                waiting.append(held)
            elif event.names(held.side, held.trade.price):
                self._join(held, event)
            else:
                held.passed = True
                waiting.append(held)
        self._trades = waiting

    def add_trade(self, trade: Trade, second: OpenSecond) -> None:
        if self._from_ms is not None and trade.time_ms < self._from_ms:
            return
        held = _HeldTrade(trade, second)
        self.refills.traded(held.side, trade.price, trade.size, trade.time_ms)
        for event in self._events:
            if not _can_join(trade, event):
                continue
            if event.names(held.side, trade.price):
                self._join(held, event)
                return
            held.passed = True
        self._trades.append(held)

    def expire(self, watermark_ms: int) -> None:
        """All events up to `watermark_ms` have arrived: settle the ones that can no longer be joined."""
        if self._trades and self._from_ms is not None:
            waiting: deque[_HeldTrade] = deque()
            for held in self._trades:  # in order of arrival, which differs from the order of their times
                if held.trade.time_ms + JOIN_MS + 1 < watermark_ms:
                    self._refilled(held)
                else:
                    waiting.append(held)
            self._trades = waiting
        while self._events and self._events[0].event_ms + HOLD_MS < watermark_ms:
            self._settle(self._events.popleft())
        if watermark_ms - self._swept_ms > SWEEP_MS:
            self._sweep(watermark_ms)

    def clear(self) -> None:
        """The book was lost. Its events up to then count; trades that wait for a lost event do not."""
        while self._events:
            self._settle(self._events.popleft())
        self._trades.clear()
        self._skew = {}
        self._from_ms = None
        self.levels.clear()
        self.refills.clear()
        self.walls.clear()

    def _join(self, held: _HeldTrade, event: _HeldEvent) -> None:
        trade, side = held.trade, held.side
        if held.passed:
            held.second.joins_late += 1
        key = (side, trade.price)
        if event.traded is None:
            event.traded = {}
        event.traded[key] = event.traded.get(key, 0.0) + trade.size
        self._watched[side][trade.price] = event.event_ms
        touched = event.second.touched.setdefault(key, Touched())
        touched.traded += trade.size
        touched.trades += trade.fills

    def _refilled(self, held: _HeldTrade) -> None:
        """No event shows the level: it was refilled to its old size, so the addition equals the trade."""
        trade, second = held.trade, held.second
        second.joins_open += 1
        flow = second.flow(held.side)
        flow.traded += trade.size
        flow.added += trade.size
        flow.add_events += 1
        touched = second.touched.setdefault((held.side, trade.price), Touched())
        touched.traded += trade.size
        touched.trades += trade.fills
        self._watched[held.side][trade.price] = trade.time_ms
        shown = self._shown(held.side, trade.price)
        touched.show(shown, shown)
        if shown > 0.0:
            self.levels.trade(held.side, trade.price, trade.size)
        self.refills.refilled(held.side, trade.price, shown, trade.size, trade.time_ms)

    def _settle(self, event: _HeldEvent) -> None:
        if event.event_ms - self._skew_ms > SKEW_MS:
            self._skew = {}
        skew: _Skew = {}
        if event.bids:
            self._settle_side(event, "bid", event.bids, event.limits[0], skew)
        if event.asks:
            self._settle_side(event, "ask", event.asks, event.limits[1], skew)
        self._skew, self._skew_ms = skew, event.event_ms

    def _settle_side(self, event: _HeldEvent, side: Side, rows: HeldRows, limit: float | None, skew: _Skew) -> None:
        """The rows of one side. Most levels had no trade and are not walls: they are summed in one call."""
        flow, watched, walls = event.second.flow(side), self._watched[side], self.walls
        is_bid = side == "bid"
        bound = (-inf if is_bid else inf) if limit is None else limit
        added, adds, cancelled, cancels, discovered, single = rows.settle(watched, walls.least(side), bound, is_bid)
        flow.added += added
        flow.add_events += adds
        flow.cancelled += cancelled
        flow.cancel_events += cancels
        flow.discovered += discovered
        for place in single:
            price, size, old = rows.row(place)
            self._settle_watched(event, side, price, size, old, skew)
            if price not in watched and walls.knows(side, price):
                watched[price] = event.event_ms

    def _settle_watched(
        self, event: _HeldEvent, side: Side, price: float, size: float, old: float, skew: _Skew
    ) -> None:
        """One row of a level that was traded recently or is a wall."""
        event_ms, key = event.event_ms, (side, price)
        taken = event.traded.get(key, 0.0) if event.traded else 0.0
        flow = event.second.flow(side)
        if taken:
            flow.traded += taken
            self.levels.trade(side, price, taken)
        if not size:
            self.levels.gone(side, price)
        limit = event.limits[side == "ask"]
        if old == 0.0 and limit is not None and (price < limit if side == "bid" else price > limit):
            flow.discovered += 1
        else:
            net = size - old + taken
            if net >= self._half_lot:
                flow.added += net
                flow.add_events += 1
                if taken:
                    skew[key] = (net, event.second)
            elif net <= -self._half_lot and not self._undo_skew(side, price, -net):
                flow.cancelled -= net
                flow.cancel_events += 1
        self.refills.settled(key, event_ms, old, size, taken)
        self.walls.settled(key, event_ms, old, size, taken)
        touched = event.second.touched.get(key)
        if touched is not None:
            touched.show(old, size)

    def _sweep(self, now_ms: int) -> None:
        """Stop handling levels one by one whose trades are old, unless another part needs them."""
        self._swept_ms = now_ms
        for side, watched in self._watched.items():
            old = [price for price, at_ms in watched.items() if now_ms - at_ms > SWEEP_MS]
            for price in old:
                if not (
                    self.refills.knows(side, price) or self.walls.knows(side, price) or self.levels.traded(side, price)
                ):
                    del watched[price]
        self.levels.keep_standing(self._shown)

    def _undo_skew(self, side: Side, price: float, removed: float) -> bool:
        """An addition beside a trade that the next event cancels to the lot shows a trade joined one event early."""
        added, second = self._skew.get((side, price), (0.0, None))
        if second is None or abs(added - removed) >= self._half_lot:
            return False
        flow = second.flow(side)
        flow.added -= added
        flow.add_events -= 1
        self.refills.undo(side, price, added)
        return True


def _can_join(trade: Trade, event: _HeldEvent) -> bool:
    return trade.time_ms + 1 <= event.event_ms <= trade.time_ms + 1 + JOIN_MS
