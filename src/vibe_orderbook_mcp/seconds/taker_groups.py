"""Groups of trades from one taker order, or from several in the same millisecond; sweeps are measured by them.

A group is a run of trades with consecutive ids, the same millisecond, the same aggressor and prices that never go back.
One order never falls into two groups; two orders of one side in one millisecond can fall into one.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.events import Side, TakerGroup, Trade

PRICES_LEAST: Final = 3  # most orders trade at fewer
BURST_MS: Final = 500  # orders of one trader were seen in neighbouring milliseconds
KEPT_A_SIDE: Final = 3
TOUCHES_KEPT_MS: Final = 2_000


_Touch = tuple[int, float, float]  # time of an event, best bid and best ask after it


class _Growing:
    """The group that the next trade may belong to."""

    __slots__ = ("base", "cleared", "last", "prices", "quote", "touch")

    def __init__(self, trade: Trade, touch: _Touch | None) -> None:
        self.last = trade
        self.touch = touch
        self.prices = 1
        self.base = trade.size
        self.quote = trade.price * trade.size
        self.cleared: int | None = None

    def takes(self, trade: Trade) -> bool:
        last = self.last
        return (
            trade.agg_id == last.agg_id + 1
            and trade.time_ms == last.time_ms
            and trade.buyer_is_maker == last.buyer_is_maker
            and (trade.price <= last.price if trade.buyer_is_maker else trade.price >= last.price)
        )

    def add(self, trade: Trade) -> None:
        self.prices += trade.price != self.last.price
        self.base += trade.size
        self.quote += trade.price * trade.size
        self.last = trade


class TakerGroups:
    """`touch` after each event of the book, `add` each trade in order, `take` the groups of a second."""

    def __init__(self) -> None:
        self._touches: deque[_Touch] = deque()
        self._growing: _Growing | None = None
        self._whole: list[TakerGroup] = []
        self._bursts: dict[Side, tuple[int, float]] = {}  # time and sum of the newest

    def touch(self, event_ms: int, bid: float, ask: float) -> None:
        """The book was valid after this event."""
        touches = self._touches
        touches.append((event_ms, bid, ask))
        while len(touches) > 1 and touches[1][0] < event_ms - TOUCHES_KEPT_MS:  # the one before it stood then
            touches.popleft()

    def forget(self) -> None:
        """The book is not known any more."""
        self._touches.clear()

    def mid_before(self, time_ms: int) -> float | None:
        """The state of the newest older book."""
        for event_ms, bid, ask in reversed(self._touches):
            if event_ms < time_ms:
                return (bid + ask) / 2
        return None

    def add(self, trade: Trade, book: OrderBook | None, half_tick: float) -> None:
        """The next trade. `book` is the present book; it is used if it is the state before the trade."""
        growing = self._growing
        if growing is not None and growing.takes(trade):
            growing.add(trade)
        else:
            self._close()
            growing = self._growing = _Growing(trade, self._touch_at(trade.time_ms))
        if growing.prices >= PRICES_LEAST and book is not None:
            newest = self._touches[-1] if self._touches else None
            if newest is None or newest is not growing.touch:
                growing.cleared = None
            elif trade.buyer_is_maker:
                growing.cleared = book.bids.count_to(trade.price + half_tick)
            else:
                growing.cleared = book.asks.count_to(trade.price - half_tick)

    def take(self, end_ms: int) -> tuple[TakerGroup, ...]:
        """The largest groups of each side before `end_ms` since the last call, by amount; smaller ones are dropped."""
        if self._growing is not None and self._growing.last.time_ms < end_ms:
            self._close()
        if not self._whole:
            return ()
        ready = [group for group in self._whole if group.time_ms < end_ms]
        self._whole = [group for group in self._whole if group.time_ms >= end_ms]
        ready.sort(key=lambda group: -group.quote)
        sides: tuple[Side, Side] = ("bid", "ask")
        return tuple(group for side in sides for group in [each for each in ready if each.side == side][:KEPT_A_SIDE])

    def _touch_at(self, time_ms: int) -> _Touch | None:
        """The newest book state that is not newer."""
        return next((touch for touch in reversed(self._touches) if touch[0] <= time_ms), None)

    def _close(self) -> None:
        growing, self._growing = self._growing, None
        if growing is None or growing.prices < PRICES_LEAST:
            return
        last, touch = growing.last, growing.touch
        side: Side = "bid" if last.buyer_is_maker else "ask"
        before_ms, burst = self._bursts.get(side, (0, 0.0))
        burst = growing.quote + (burst if last.time_ms - before_ms <= BURST_MS else 0.0)
        self._bursts[side] = last.time_ms, burst
        self._whole.append(
            TakerGroup(
                time_ms=last.time_ms,
                side=side,
                prices=growing.prices,
                base=growing.base,
                quote=growing.quote,
                last_price=last.price,
                touch=None if touch is None else touch[1] if side == "bid" else touch[2],
                mid=None if touch is None else (touch[1] + touch[2]) / 2,
                levels_cleared=growing.cleared,
                burst_quote=burst,
            )
        )
