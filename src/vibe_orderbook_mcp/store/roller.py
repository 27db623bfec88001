"""Updates of one symbol's roll-ups in one batch of writes. Synchronous.

A minute's roll-up is the sum of its block in `trade_min`, an hour's is the sum of its minutes. They are written
together, so they agree after a kill. Each trade is added once, when its block gets it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from loguru import logger

from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.disk.layout import ROLL, TRADE_MIN
from vibe_orderbook_mcp.store.disk.rocks import Database, Put
from vibe_orderbook_mcp.store.records.keys import HOURS, MINUTES, key_time, roll_bounds, roll_key, symbol_bounds
from vibe_orderbook_mcp.store.records.rollups import (
    HOUR,
    PriceRollup,
    RollGrid,
    add_block,
    add_histogram,
    add_trades,
    decode_block,
    empty_histogram,
    encode_block,
    grid_for,
)

_MINUTES_AN_HOUR = 60


class Roller:
    def __init__(self, database: Database, symbol: str, grid: RollGrid, lot_exp: int) -> None:
        self._database = database
        self._symbol = symbol
        self._grid = grid
        self._lot_exp = lot_exp
        self._blocks: dict[bytes, PriceRollup] = {}

    def change(self, minute: int, trades: Sequence[Trade], fresh: Sequence[Trade]) -> None:
        """A block now has `trades`; `fresh` are the new ones."""
        if not fresh:
            return
        key = roll_key(MINUTES, self._symbol, minute)
        hour = minute - minute % HOUR
        block = self._block(key)
        if block.trades == len(trades) - len(fresh):
            add_trades(block, fresh)
            part = empty_histogram(self._grid, self._lot_exp)
            add_trades(part, fresh)
            add_histogram(self._block(roll_key(HOURS, self._symbol, hour)), part)
            return
        # The block was dropped for space and is fetched again in pieces, while its roll-up stayed: start again.
        self._blocks[key] = empty_histogram(self._grid, self._lot_exp)
        add_trades(self._blocks[key], trades)
        self._sum_hour(hour)

    def puts(self) -> list[Put]:
        return [(ROLL, key, encode_block(block)) for key, block in self._blocks.items()]

    def _sum_hour(self, hour: int) -> None:
        total = empty_histogram(self._grid, self._lot_exp)
        low, high = roll_bounds(MINUTES, self._symbol, hour, hour + HOUR)
        for key, data in self._database.scan(ROLL, low, high, _MINUTES_AN_HOUR):
            if key not in self._blocks:
                add_block(total, data)
        for key, block in self._blocks.items():
            if low <= key < high:
                add_histogram(total, block)
        self._blocks[roll_key(HOURS, self._symbol, hour)] = total

    def _block(self, key: bytes) -> PriceRollup:
        if key not in self._blocks:
            stored = self._database.get(ROLL, key)
            empty = empty_histogram(self._grid, self._lot_exp)
            self._blocks[key] = empty if stored is None else decode_block(stored, self._grid)
        return self._blocks[key]


def rolled(
    database: Database, spec: SymbolSpec, grid: RollGrid, changes: Mapping[bytes, tuple[list[Trade], list[Trade]]]
) -> tuple[list[Put], RollGrid]:
    """The roll-ups for minutes whose blocks change: key in `trade_min` -> all trades, new trades."""
    roller = Roller(database, spec.symbol, grid, spec.lot_exp)
    for key, (trades, fresh) in sorted(changes.items()):
        minute = key_time(key)
        if minute < grid.floor:
            continue
        try:
            roller.change(minute, trades, fresh)
        except StorageCorrupt as error:  # trades are worth more than their sums: sums start again after it
            logger.warning("Damaged roll-ups of {} up to {} were dropped: {}", spec.symbol, minute, error)
            grid = msgspec.structs.replace(grid, floor=_next_hour(minute))
    return roller.puts(), grid


def first_grid(database: Database, spec: SymbolSpec, price: float) -> RollGrid:
    """Trades stored before there were roll-ups stay without them."""
    grid = grid_for(price, spec.tick_exp)
    newest = database.last_key(TRADE_MIN, *symbol_bounds(spec.symbol))
    return grid if newest is None else msgspec.structs.replace(grid, floor=_next_hour(key_time(newest)))


def _next_hour(second: int) -> int:
    return second - second % HOUR + HOUR
