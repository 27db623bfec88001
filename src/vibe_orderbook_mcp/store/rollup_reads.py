"""Reads of sums, each a piece, like `reader`. Synchronous."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from vibe_orderbook_mcp.model.rows import StoredEvent
from vibe_orderbook_mcp.store import reader
from vibe_orderbook_mcp.store.disk.layout import BASE, EVENT, META, ROLL, TRADE_MIN, TRADE_SEC
from vibe_orderbook_mcp.store.disk.view import Reads
from vibe_orderbook_mcp.store.records.keys import (
    HOURS,
    MINUTES,
    key_time,
    milli_bounds,
    parse_event_key,
    roll_bounds,
    second_bounds,
    symbol_bounds,
)
from vibe_orderbook_mcp.store.records.meta import decode_event, grid_key
from vibe_orderbook_mcp.store.records.rollups import (
    HOUR,
    RollGrid,
    TradeSums,
    add_block,
    decode_grid,
    grid_for,
)
from vibe_orderbook_mcp.store.records.trades import MINUTE, decode_minute

FOREVER: Final = 10**10  # beyond every second
PIECE_SECS: Final = 0.004
BLOCKS_AT_ONCE: Final = 8


class RollState(msgspec.Struct, frozen=True):
    """Between `grid.floor` and `border`, both seconds, roll-ups cover all stored complete minutes."""

    grid: RollGrid | None
    border: int
    lot_exp: int


def roll_state(database: Reads, symbol: str) -> RollState:
    """The border is the first minute with unsealed trades: blocks of later minutes have only fills."""
    described = reader.meta(database, symbol)
    stored = database.get(META, grid_key(symbol))
    sealed = (described.sealed if described else None) or 0
    bounds = milli_bounds(symbol, sealed * 1000, FOREVER * 1000)
    unsealed = database.first_key(TRADE_SEC, *bounds)
    return RollState(
        grid=None if stored is None else decode_grid(stored),
        border=FOREVER if unsealed is None else key_time(unsealed) // 1000 // MINUTE * MINUTE,
        lot_exp=described.spec.lot_exp if described else 0,
    )


Span = tuple[bytes, int, int]  # kind of roll-up, from a second to a second


def spans(start_sec: int, end_sec: int) -> list[Span]:
    """Complete hours by the hour, the minutes before and after them by the minute. Both ends are whole minutes."""
    first, last = -(-start_sec // HOUR) * HOUR, end_sec // HOUR * HOUR
    if first >= last:
        return [(MINUTES, start_sec, end_sec)]
    return [(MINUTES, start_sec, first), (HOURS, first, last), (MINUTES, last, end_sec)]


def add_blocks(database: Reads, symbol: str, spans: list[Span], total: TradeSums) -> list[Span]:
    """Adds blocks to `total` for the time of one piece of a read. Returns the remaining spans."""
    until = time.perf_counter() + PIECE_SECS
    for place, (kind, start, end) in enumerate(spans):
        at = start
        while at < end:
            pairs = database.scan(ROLL, *roll_bounds(kind, symbol, at, end), BLOCKS_AT_ONCE)
            for _, data in pairs:
                add_block(total, data)
            at = end if len(pairs) < BLOCKS_AT_ONCE else key_time(pairs[-1][0].removeprefix(kind)) + 1
            if time.perf_counter() > until:
                return [(kind, at, end), *spans[place + 1 :]]
    return []


def blocks(database: Reads, symbol: str, kind: bytes, start: int, end: int) -> list[bytes]:
    """Stored blocks, ascending."""
    return [data for _, data in database.scan(ROLL, *roll_bounds(kind, symbol, start, end), (end - start) // MINUTE)]


def grid(database: Reads, symbol: str) -> RollGrid:
    """The symbol's grid, or the one it would get: all its trades may be from before there were roll-ups."""
    if (stored := database.get(META, grid_key(symbol))) is not None:
        return decode_grid(stored)
    described = reader.meta(database, symbol)
    key = database.first_key(TRADE_MIN, *symbol_bounds(symbol))
    data = database.get(TRADE_MIN, key) if key else None
    tick_exp = described.spec.tick_exp if described else 0
    return grid_for(decode_minute(data)[0].price if data else 0.0, tick_exp)


def events(
    database: Reads, symbol: str, start_ms: int, end_ms: int, after: bytes, limit: int
) -> tuple[list[StoredEvent], bytes | None]:
    low, high = milli_bounds(symbol, start_ms, end_ms)
    pairs = database.scan(EVENT, max(low, after), high, limit)
    found = [decode_event(*parse_event_key(key), value) for key, value in pairs]
    return found, pairs[-1][0] + b"\0" if len(pairs) == limit else None


def count_events(database: Reads, symbol: str, after: bytes, limit: int) -> tuple[int, bytes | None]:
    low, high = symbol_bounds(symbol)
    keys = database.scan_keys(EVENT, max(low, after), high, limit)
    return len(keys), keys[-1] + b"\0" if len(keys) == limit else None


def baselines(database: Reads, symbol: str, since_sec: int, limit: int) -> reader.Piece[tuple[int, bytes]]:
    pairs = database.scan(BASE, *second_bounds(symbol, since_sec, FOREVER), limit)
    found = [(key_time(key), value) for key, value in pairs]
    return found, found[-1][0] + 1 if len(found) == limit else None
