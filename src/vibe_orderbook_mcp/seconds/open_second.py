"""The sums of the open second."""

from __future__ import annotations

from vibe_orderbook_mcp.book.compiled import on_grid
from vibe_orderbook_mcp.model.events import Side, Trade
from vibe_orderbook_mcp.model.rows import (
    BookTop,
    SecondRow,
    SideFlow,
    TouchedLevel,
)
from vibe_orderbook_mcp.seconds.traded import trade_fields

# A sweep can run through many levels in a second; the most traded ones carry the evidence. Ten recorded minutes of
# BTCUSDT and of ETHUSDT have the same absorbing levels in every window of 10 to 300 s with 5 as with 8; 4 lose some.
TOUCHED_KEPT = 6


class FlowSums:
    """A `SideFlow` under construction."""

    __slots__ = ("add_events", "added", "cancel_events", "cancelled", "discovered", "traded")

    def __init__(self) -> None:
        self.added = self.cancelled = self.traded = 0.0
        self.add_events = self.cancel_events = self.discovered = 0

    def freeze(self, lot_exp: int) -> SideFlow:
        added, cancelled, traded = on_grid((self.added, self.cancelled, self.traded), lot_exp)
        return SideFlow(added, cancelled, traded, self.add_events, self.cancel_events, self.discovered)


class Touched:
    """A `TouchedLevel` under construction."""

    __slots__ = ("shown_end", "shown_max", "shown_start", "traded", "trades")

    def __init__(self) -> None:
        self.traded = 0.0
        self.trades = 0
        self.shown_start: float | None = None
        self.shown_max = self.shown_end = 0.0

    def show(self, before: float, after: float) -> None:
        if self.shown_start is None:
            self.shown_start = before
        self.shown_max = max(self.shown_max, before, after)
        self.shown_end = after


class OpenSecond:
    """Sums over the events and trades of one second; `freeze` makes the row."""

    __slots__ = (
        "ask",
        "bid",
        "captured",
        "covered_ms",
        "depth",
        "effective_sum",
        "effective_volume",
        "events",
        "flags",
        "ids",
        "joins_late",
        "joins_open",
        "ofi",
        "ofi_events",
        "rows",
        "second",
        "spread_max",
        "spread_min",
        "spread_ms",
        "top",
        "touched",
        "trades",
    )

    def __init__(self, second: int) -> None:
        self.second = second
        self.flags: int = 0  # of RowFlag
        self.covered_ms = 0
        self.spread_ms = 0.0  # spread times milliseconds
        self.spread_min: float | None = None
        self.spread_max: float | None = None
        self.events = self.rows = self.ids = 0
        self.bid, self.ask = FlowSums(), FlowSums()
        self.ofi_events = 0
        self.ofi: list[float] = []  # sums over these events, best level first
        self.depth: list[float] = []  # the same for the sizes of both sides after them
        self.trades: list[Trade] = []
        self.effective_sum = self.effective_volume = 0.0
        self.joins_late = self.joins_open = 0
        self.touched: dict[tuple[Side, float], Touched] = {}
        self.top: BookTop | None = None
        self.captured: dict[str, object] = {}  # fields of the row that describe the book at the second's end

    @property
    def end_ms(self) -> int:
        return (self.second + 1) * 1000

    def flow(self, side: Side) -> FlowSums:
        return self.bid if side == "bid" else self.ask

    def see_spread(self, spread: float) -> None:
        self.spread_min = spread if self.spread_min is None else min(self.spread_min, spread)
        self.spread_max = spread if self.spread_max is None else max(self.spread_max, spread)

    def freeze(self, tick_exp: int, lot_exp: int) -> SecondRow:
        """The row. Sums of doubles are rounded to the exchange's grid, where they are exact."""
        mlofi = on_grid(self.ofi, lot_exp)
        in_two = 2 * self.ofi_events
        return SecondRow(
            second=self.second,
            covered_ms=self.covered_ms,
            flags=int(self.flags),
            spread_mean=self.spread_ms / self.covered_ms if self.covered_ms else None,
            spread_min=self.spread_min,
            spread_max=self.spread_max,
            events=self.events,
            rows=self.rows,
            ids=self.ids,
            bid=self.bid.freeze(lot_exp),
            ask=self.ask.freeze(lot_exp),
            ofi=mlofi[0] if mlofi else 0.0,
            mlofi=mlofi,
            level_depth=tuple([depth / in_two for depth in on_grid(self.depth, lot_exp)]),
            **trade_fields(self.trades, tick_exp, lot_exp),
            effective_spread_sum=self.effective_sum,
            effective_spread_volume=round(self.effective_volume, lot_exp) if self.trades else 0.0,
            joins_late=self.joins_late,
            joins_open=self.joins_open,
            touched=self._most_touched(lot_exp),
            **self.captured,  # type: ignore[arg-type]  # the names are SecondRow's, written in one place: capture.py
        )

    def _most_touched(self, lot_exp: int) -> tuple[TouchedLevel, ...]:
        if not self.touched:
            return ()
        by_volume = sorted(self.touched.items(), key=lambda item: -item[1].traded)
        return tuple(
            TouchedLevel(
                side=side,
                price=price,
                traded=round(level.traded, lot_exp),
                trades=level.trades,
                shown_start=level.shown_start or 0.0,
                shown_max=level.shown_max,
                shown_end=level.shown_end,
            )
            for (side, price), level in by_volume[:TOUCHED_KEPT]
        )
