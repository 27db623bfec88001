"""The trades of a second, summed up for its row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final, TypedDict

import msgspec

from vibe_orderbook_mcp.book.compiled import on_grid
from vibe_orderbook_mcp.model.events import Side, Trade
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec


class TradeFields(TypedDict):
    """The fields of `SecondRow` that come only from trades."""

    buy_volume: float
    sell_volume: float
    buy_quote: float
    sell_quote: float
    buy_trades: int
    sell_trades: int
    agg_trades: int
    first_agg_id: int | None
    last_agg_id: int | None
    size_squares: float
    high: float | None
    low: float | None


NO_TRADES: Final = TradeFields(
    buy_volume=0.0,
    sell_volume=0.0,
    buy_quote=0.0,
    sell_quote=0.0,
    buy_trades=0,
    sell_trades=0,
    agg_trades=0,
    first_agg_id=None,
    last_agg_id=None,
    size_squares=0.0,
    high=None,
    low=None,
)


def trade_fields(trades: Sequence[Trade], tick_exp: int, lot_exp: int) -> TradeFields:
    """Sums of doubles are rounded to the exchange's grid, where they are exact."""
    if not trades:
        return NO_TRADES
    buys = [trade for trade in trades if not trade.buyer_is_maker]
    sells = [trade for trade in trades if trade.buyer_is_maker]
    ids = [trade.agg_id for trade in trades]
    prices = [trade.price for trade in trades]
    buy_volume, sell_volume = on_grid([sum([trade.size for trade in side]) for side in (buys, sells)], lot_exp)
    amounts = [sum([trade.price * trade.size for trade in side]) for side in (buys, sells)]
    buy_quote, sell_quote = on_grid(amounts, tick_exp + lot_exp)
    return TradeFields(
        buy_volume=buy_volume,
        sell_volume=sell_volume,
        buy_quote=buy_quote,
        sell_quote=sell_quote,
        buy_trades=sum([trade.fills for trade in buys]),
        sell_trades=sum([trade.fills for trade in sells]),
        agg_trades=len(trades),
        first_agg_id=min(ids),
        last_agg_id=max(ids),
        size_squares=sum([trade.size * trade.size for trade in trades]),
        high=max(prices),
        low=min(prices),
    )


def with_trades(rows: Sequence[SecondRow], trades: Sequence[Trade], spec: SymbolSpec) -> list[SecondRow]:
    """The same rows with the sums of these trades, because trades fetched by id came after their rows were final.

    A second without a row (the process was down) gets a row with only its trades. Figures of the book (flow per side,
    effective spread, touched levels) stay as recorded. A row stays as it is if its newest trade is newer than all of
    these: then its trades are not stored yet.
    """
    by_second: dict[int, list[Trade]] = defaultdict(list)
    for trade in trades:
        by_second[trade.time_ms // 1000].append(trade)
    newest = max((trade.agg_id for trade in trades), default=-1)
    known = {row.second for row in rows}
    out = [SecondRow(second=second, covered_ms=0) for second in by_second if second not in known]
    out += rows
    out.sort(key=_second)
    return [
        row
        if row.last_agg_id is not None and row.last_agg_id > newest
        else msgspec.structs.replace(row, **trade_fields(by_second.get(row.second, ()), spec.tick_exp, spec.lot_exp))
        for row in out
    ]


def _second(row: SecondRow) -> int:
    return row.second


class LevelMemory:
    """Base units by side and price. The book knows a level's age (`BookSide.since_ms`)."""

    __slots__ = ("_traded",)

    def __init__(self) -> None:
        self._traded: dict[Side, dict[float, float]] = {"bid": {}, "ask": {}}

    def trade(self, side: Side, price: float, size: float) -> None:
        traded = self._traded[side]
        traded[price] = traded.get(price, 0.0) + size

    def gone(self, side: Side, price: float) -> None:
        """The level was removed, or it was added and taken within one frame."""
        self._traded[side].pop(price, None)

    def traded(self, side: Side, price: float) -> float:
        """Base units traded against the level since it was first seen."""
        return self._traded[side].get(price, 0.0)

    @property
    def amounts(self) -> dict[Side, dict[float, float]]:
        """A copy: `traded` of each level with trades."""
        return {side: traded.copy() for side, traded in self._traded.items()}

    def keep_standing(self, shown: Callable[[Side, float], float]) -> None:
        """Drop levels that left without an event, such as those beyond a fresh copy of the book."""
        for side, traded in self._traded.items():
            for price in [price for price in traded if not shown(side, price)]:
                del traded[price]

    def clear(self) -> None:
        self._traded = {"bid": {}, "ask": {}}
