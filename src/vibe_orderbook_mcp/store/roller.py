"""The roll-ups of one symbol as one batch of writes changes them. Synchronous.

A minute's roll-up says what its block in `trade_min` holds, an hour's what the roll-ups of its minutes hold: they are
written together, so a killed process leaves them agreeing. Trades are added once, when their block gets them.
"""

from __future__ import annotations

from collections.abc import Sequence

from vibe_orderbook_mcp.core.events import Trade
from vibe_orderbook_mcp.store.keys import HOURS, MINUTES, roll_bounds, roll_key
from vibe_orderbook_mcp.store.layout import ROLL
from vibe_orderbook_mcp.store.rocks import Database, Put
from vibe_orderbook_mcp.store.rollups import (
    HOUR,
    Histogram,
    RollGrid,
    add_block,
    add_histogram,
    add_trades,
    decode_block,
    empty_histogram,
    encode_block,
)

_MINUTES_AN_HOUR = 60


class Roller:
    def __init__(self, database: Database, symbol: str, grid: RollGrid, lot_exp: int) -> None:
        self._database = database
        self._symbol = symbol
        self._grid = grid
        self._lot_exp = lot_exp
        self._blocks: dict[bytes, Histogram] = {}

    def change(self, minute: int, trades: Sequence[Trade], fresh: Sequence[Trade]) -> None:
        """A block now holds `trades`, of which `fresh` were not in it before."""
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
        # The block was dropped for space and comes back piece by piece, while its roll-up was kept: start anew.
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

    def _block(self, key: bytes) -> Histogram:
        if key not in self._blocks:
            stored = self._database.get(ROLL, key)
            empty = empty_histogram(self._grid, self._lot_exp)
            self._blocks[key] = empty if stored is None else decode_block(stored, self._grid)
        return self._blocks[key]
