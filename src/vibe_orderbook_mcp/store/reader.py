"""Reads, each a piece: the most that a thread does before others get their turn. Synchronous.

A piece comes with the start of the next one, or None after the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeVar

import ormsgpack

from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.intervals import Interval, of_numbers
from vibe_orderbook_mcp.model.rows import BookTop, SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.disk.directory import SCHEMA_KEY
from vibe_orderbook_mcp.store.disk.layout import META, ROW, SNAP, TRADE_MIN, TRADE_SEC
from vibe_orderbook_mcp.store.disk.view import Reads
from vibe_orderbook_mcp.store.records.keys import (
    key_time,
    milli_bounds,
    name_of,
    parse_key,
    second_bounds,
    symbol_bounds,
)
from vibe_orderbook_mcp.store.records.meta import (
    SYMBOL_HIGH,
    SYMBOL_LOW,
    SymbolMeta,
    decode_ids,
    decode_meta,
    ids_key,
    symbol_key,
)
from vibe_orderbook_mcp.store.records.rows import Columns, decode_columns, decode_rows
from vibe_orderbook_mcp.store.records.snapshots import decode_snapshot
from vibe_orderbook_mcp.store.records.trades import MINUTE, decode_minute, decode_second, merge, minute_ids
from vibe_orderbook_mcp.store.writer import Writer

_MAX_SYMBOLS: Final = 10_000
_FOREVER: Final = 10**13  # beyond every key

# A busy minute takes a millisecond, and the same few are read repeatedly. The result is never changed.
minute_of = lru_cache(maxsize=16)(decode_minute)

T = TypeVar("T")
Piece = tuple[list[T], int | None]


def rows(database: Reads, symbol: str, start: int, end: int, limit: int) -> Piece[SecondRow]:
    pairs = database.scan(ROW, *second_bounds(symbol, start, end), limit)
    seconds = [key_time(key) for key, _ in pairs]
    found = decode_rows(seconds, [value for _, value in pairs])
    return found, found[-1].second + 1 if len(found) == limit else None


def columns(
    database: Reads, symbol: str, start: int, end: int, fields: Sequence[str], limit: int
) -> tuple[Columns, int | None]:
    pairs = database.scan(ROW, *second_bounds(symbol, start, end), limit)
    seconds = [int(key[-10:]) for key, _ in pairs]
    found = Columns(seconds, decode_columns([value for _, value in pairs], fields))
    return found, seconds[-1] + 1 if len(pairs) == limit else None


def snapshots(database: Reads, symbol: str, start: int, end: int, limit: int) -> Piece[tuple[int, BookTop]]:
    pairs = database.scan(SNAP, *second_bounds(symbol, start, end), limit)
    found = [(second := key_time(key), decode_snapshot(second, value)) for key, value in pairs]
    return found, found[-1][0] + 1 if len(found) == limit else None


def sealed_trades(database: Reads, symbol: str, start_ms: int, end_ms: int, limit: int) -> Piece[Trade]:
    """From minute blocks."""
    if end_ms <= start_ms:
        return [], None
    first = start_ms // 1000 // MINUTE * MINUTE
    pairs = database.scan(TRADE_MIN, *second_bounds(symbol, first, -(-end_ms // 1000)), limit)
    found = [trade for _, value in pairs for trade in decode_minute(value) if start_ms <= trade.time_ms < end_ms]
    found.sort(key=_by_id)
    return found, (key_time(pairs[-1][0]) + MINUTE) * 1000 if len(pairs) == limit else None


def open_trades(database: Reads, symbol: str, start_ms: int, end_ms: int) -> Piece[Trade]:
    """Trades of the next unsealed minute: its block, if fills have made one, and its seconds."""
    minute = next_minute(database, symbol, start_ms, end_ms)
    if minute is None:
        return [], None
    stop = minute + MINUTE
    blocks = database.scan(TRADE_MIN, *second_bounds(symbol, minute, stop), 1)
    seconds = database.scan(TRADE_SEC, *milli_bounds(symbol, minute * 1000, stop * 1000), MINUTE)
    found = merge(*(decode_minute(value) for _, value in blocks), *(decode_second(value) for _, value in seconds))
    return [trade for trade in found if start_ms <= trade.time_ms < end_ms], stop * 1000


def next_minute(database: Reads, symbol: str, start_ms: int, end_ms: int) -> int | None:
    if end_ms <= start_ms:
        return None
    first = start_ms // 1000 // MINUTE * MINUTE
    block = database.first_key(TRADE_MIN, *second_bounds(symbol, first, -(-end_ms // 1000)))
    second = database.first_key(TRADE_SEC, *milli_bounds(symbol, start_ms // 1000 * 1000, end_ms))
    starts = [key_time(block)] if block else []
    if second:
        starts.append(key_time(second) // 1000 // MINUTE * MINUTE)
    return min(starts, default=None)


def meta(database: Reads, symbol: str) -> SymbolMeta | None:
    stored = database.get(META, symbol_key(symbol))
    return None if stored is None else decode_meta(symbol, stored)


def spec(database: Reads, symbol: str) -> SymbolSpec | None:
    described = meta(database, symbol)
    return None if described is None else described.spec


def sealed(database: Reads, symbol: str) -> int:
    """The second up to which complete minutes of trades are in blocks."""
    described = meta(database, symbol)
    return (described.sealed if described else None) or 0


def ids(database: Reads, symbol: str) -> list[Interval]:
    stored = database.get(META, ids_key(symbol))
    return [] if stored is None else decode_ids(stored)


def held_ids(database: Reads, symbol: str, start_sec: int, limit: int) -> Piece[Interval]:
    """The ids that are really in blocks: FIFO drops files, not ids."""
    pairs = database.scan(TRADE_MIN, second_bounds(symbol, start_sec, _FOREVER)[0], symbol_bounds(symbol)[1], limit)
    held = [interval for _, value in pairs for interval in minute_ids(value)]
    return held, key_time(pairs[-1][0]) + 1 if len(pairs) == limit else None


def held_open_ids(database: Reads, symbol: str, start_ms: int, limit: int) -> Piece[Interval]:
    """The ids that are really in trade seconds."""
    pairs = database.scan(TRADE_SEC, milli_bounds(symbol, start_ms, _FOREVER)[0], symbol_bounds(symbol)[1], limit)
    held = of_numbers(trade.agg_id for _, value in pairs for trade in decode_second(value))
    return held, key_time(pairs[-1][0]) + 1 if len(pairs) == limit else None


def stored_seconds(database: Reads, family: str, symbol: str, start: int, limit: int) -> Piece[int]:
    """The times of a family's keys, values unread."""
    low, high = second_bounds(symbol, start, _FOREVER)[0], symbol_bounds(symbol)[1]
    found = [int(key[-10:]) for key in database.scan_keys(family, low, high, limit)]  # millions of them
    return found, found[-1] + 1 if len(found) == limit else None


def oldest_second(database: Reads, symbol: str) -> int | None:
    key = database.first_key(ROW, *symbol_bounds(symbol))
    return None if key is None else parse_key(key)[1]


def trade_span(database: Reads, symbol: str) -> tuple[int, int] | None:
    """Times of the oldest and the newest trade, in milliseconds."""
    bounds = symbol_bounds(symbol)
    times: list[int] = []
    for family, decode in ((TRADE_MIN, minute_of), (TRADE_SEC, decode_second)):
        for key in (database.first_key(family, *bounds), database.last_key(family, *bounds)):
            value = None if key is None else database.get(family, key)
            if value is not None:
                times += (trade.time_ms for trade in decode(value))
    return (min(times), max(times)) if times else None


def schema_version(database: Reads) -> int:
    stored = database.get(META, SCHEMA_KEY)
    return 0 if stored is None else int(ormsgpack.unpackb(stored))


def newest_second(database: Reads, symbol: str) -> int | None:
    key = database.last_key(ROW, *symbol_bounds(symbol))
    return None if key is None else parse_key(key)[1]


def symbols(database: Reads) -> list[str]:
    keys = database.scan_keys(META, SYMBOL_LOW, SYMBOL_HIGH, _MAX_SYMBOLS)
    return [name_of(key.removeprefix(SYMBOL_LOW)) for key in keys]


def seal_complete(database: Reads, writer: Writer, symbol: str) -> None:
    """Seal every minute except the newest, which may still grow."""
    newest = database.last_key(TRADE_SEC, *symbol_bounds(symbol))
    if newest is not None:
        while writer.seal_minute(symbol, key_time(newest)):
            pass


def _by_id(trade: Trade) -> int:
    return trade.agg_id
