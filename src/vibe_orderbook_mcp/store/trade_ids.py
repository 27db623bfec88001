"""The ids and times of stored trades. Synchronous, each call a small piece of a read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.store import reader
from vibe_orderbook_mcp.store.disk.layout import META, ROLL, TRADE_MIN, TRADE_SEC
from vibe_orderbook_mcp.store.disk.view import Reads
from vibe_orderbook_mcp.store.records.keys import (
    HOURS,
    MINUTES,
    key_time,
    milli_key,
    roll_bounds,
    second_key,
    symbol_bounds,
)
from vibe_orderbook_mcp.store.records.meta import grid_key
from vibe_orderbook_mcp.store.records.rollups import TradeSums, add_block, decode_grid
from vibe_orderbook_mcp.store.records.trades import MINUTE, decode_second, minute_ids

_LAST_SECOND: Final = 10**10 - 1


class _Kind(msgspec.Struct, frozen=True):
    """A family of trade blocks: the unit of its keys, and the decoder of its blocks."""

    family: str
    unit_ms: int
    step_ms: int  # unit of the numbers in its keys, ms
    key: Callable[[str, int], bytes]
    decode: Callable[[bytes], list[Trade]]
    first_id: Callable[[bytes], int]

    def at(self, symbol: str, millis: int) -> bytes:
        """The key of the block of this time."""
        start = max(0, min(millis, _LAST_SECOND * 1000)) // self.unit_ms * self.unit_ms
        return self.key(symbol, start // self.step_ms)

    def start_ms(self, key: bytes) -> int:
        return key_time(key) * self.step_ms


_KINDS: Final = (
    _Kind(TRADE_MIN, MINUTE * 1000, 1000, second_key, reader.minute_of, lambda data: minute_ids(data)[0][0]),
    _Kind(TRADE_SEC, 1000, 1, milli_key, decode_second, lambda data: decode_second(data)[0].agg_id),
)


def last_id_before(database: Reads, symbol: str, millis: int) -> int | None:
    """The id of the newest older trade, from trades or their roll-ups."""
    low, _ = symbol_bounds(symbol)
    found: list[int] = []
    for kind in _KINDS:
        own = kind.at(symbol, millis)
        ids = [trade.agg_id for trade in _block(database, kind, own) if trade.time_ms < millis]
        if not ids and (key := database.last_key(kind.family, low, own)):
            ids = [trade.agg_id for trade in _block(database, kind, key)]
        found += ids
    key = database.last_key(ROLL, *roll_bounds(MINUTES, symbol, 0, millis // 1000 // MINUTE * MINUTE))
    if key and (rolled := _sums(database, key)).last_agg_id is not None:
        found.append(rolled.last_agg_id)
    return max(found, default=None)


def first_id_from(database: Reads, symbol: str, millis: int) -> int | None:
    """The id of the oldest trade at this time or later."""
    _, high = symbol_bounds(symbol)
    found: list[int] = []
    for kind in _KINDS:
        own = kind.at(symbol, millis)
        ids = [trade.agg_id for trade in _block(database, kind, own) if trade.time_ms >= millis]
        if not ids and (key := database.first_key(kind.family, own + b"\0", high)):
            ids = [trade.agg_id for trade in _block(database, kind, key)]
        found += ids
    minute = -(-millis // (MINUTE * 1000)) * MINUTE
    key = database.first_key(ROLL, *roll_bounds(MINUTES, symbol, minute, _LAST_SECOND))
    if key and (rolled := _sums(database, key)).first_agg_id is not None:
        found.append(rolled.first_agg_id)
    return min(found, default=None)


def time_of(database: Reads, symbol: str, agg_id: int) -> int | None:
    """The time of the trade with this id; None if it is not stored."""
    for kind in _KINDS:
        found = _first_from(database, kind, symbol, agg_id)
        if found is not None and found.agg_id == agg_id:
            return found.time_ms
    return None


Places = dict[str, tuple[str, bytes]]  # by symbol: the family and key of the block with the requested trade


def complete_since_ms(database: Reads, symbol: str, places: Places | None = None) -> int | None:
    """The time of the oldest trade since which no id is missing up to the newest. Never too early.

    `places` are the previous positions of that trade: checked first, and used only if it is still there.
    """
    ids = reader.ids(database, symbol)
    if not ids:
        return None
    first = ids[-1][0]
    since_ms = _first_time(database, symbol, first, {} if places is None else places)
    if since_ms is None or len(ids) > 1:
        return since_ms
    return _rolled_since(database, symbol, first, since_ms)


def _first_time(database: Reads, symbol: str, agg_id: int, places: Places) -> int | None:
    """The time of the earliest trade with this id or a later one. Times ascend with ids."""
    family, key = places.get(symbol, ("", b""))
    for kind in _KINDS:
        if kind.family == family:
            for trade in _block(database, kind, key):
                if trade.agg_id == agg_id:
                    return trade.time_ms
    times: list[int] = []
    for kind in _KINDS:
        found = _first_from(database, kind, symbol, agg_id)
        if found is not None and found.agg_id == agg_id:
            places[symbol] = kind.family, kind.at(symbol, found.time_ms)
            return found.time_ms
        times += [] if found is None else [found.time_ms]
    return min(times, default=None)


def _rolled_since(database: Reads, symbol: str, first: int, since_ms: int) -> int:
    """How much further back the hours reach without a hole, because roll-ups outlive their trades."""
    stored = database.get(META, grid_key(symbol))
    floor = _LAST_SECOND if stored is None else decode_grid(stored).floor
    low, high = roll_bounds(HOURS, symbol, floor, since_ms // 1000 + 1)
    while key := database.last_key(ROLL, low, high):
        hour = _sums(database, key)
        if hour.missing_ids or hour.first_agg_id is None or hour.last_agg_id is None or hour.first_ms is None:
            break
        if not hour.first_agg_id <= first <= hour.last_agg_id + 1:
            break
        first, since_ms, high = hour.first_agg_id, min(since_ms, hour.first_ms), key
    return since_ms


def _first_from(database: Reads, kind: _Kind, symbol: str, agg_id: int) -> Trade | None:
    """The earliest trade with this id or a later one. Ids ascend with time, so this is a binary search."""
    bounds = symbol_bounds(symbol)
    oldest, newest = database.first_key(kind.family, *bounds), database.last_key(kind.family, *bounds)
    if oldest is None or newest is None:
        return None
    low, high = kind.start_ms(oldest), kind.start_ms(newest)
    while low < high:
        middle = (low + high + 1) // 2
        key = database.first_key(kind.family, kind.key(symbol, -(-middle // kind.step_ms)), bounds[1])
        data = database.get(kind.family, key) if key else None
        if key is None or data is None or kind.start_ms(key) > high or kind.first_id(data) > agg_id:
            high = middle - 1
        else:
            low = kind.start_ms(key)
    for key in (kind.at(symbol, low), database.first_key(kind.family, kind.at(symbol, low) + b"\0", bounds[1])):
        later = [trade for trade in _block(database, kind, key) if trade.agg_id >= agg_id] if key else []
        if later:
            return min(later, key=_time_ms)
    return None


def _time_ms(trade: Trade) -> int:
    return trade.time_ms


def _block(database: Reads, kind: _Kind, key: bytes) -> list[Trade]:
    data = database.get(kind.family, key)
    return [] if data is None else kind.decode(data)


def _sums(database: Reads, key: bytes) -> TradeSums:
    sums = TradeSums(tick_exp=0, lot_exp=0)
    if (data := database.get(ROLL, key)) is not None:
        add_block(sums, data)
    return sums
