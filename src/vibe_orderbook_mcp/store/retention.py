"""Limits of roll-ups and baselines, which FIFO does not limit: by age and by share of the cap. Synchronous."""

from __future__ import annotations

from typing import Final

from loguru import logger

from vibe_orderbook_mcp.store import reader
from vibe_orderbook_mcp.store.disk.layout import BASE, ROLL, Layout
from vibe_orderbook_mcp.store.disk.rocks import Database
from vibe_orderbook_mcp.store.records.keys import HOURS, MINUTES, key_time, roll_bounds, second_bounds, symbol_bounds
from vibe_orderbook_mcp.store.records.rollups import HOUR
from vibe_orderbook_mcp.store.writer import Writer

_KEPT: Final = 0.75  # target share when a family exceeds its limit, so that it does not exceed it again at once


def retain(database: Database, writer: Writer, layout: Layout, now_sec: int) -> None:
    """Delete old hours. For roll-ups, whose raw trades may still be stored, the symbols' floors rise first."""
    symbols = reader.symbols(database)
    oldest_hours = [
        key_time(key.removeprefix(HOURS))
        for symbol in symbols
        if (key := database.first_key(ROLL, *roll_bounds(HOURS, symbol, 0, now_sec)))
    ]
    cut = _cut(database, layout, ROLL, min(oldest_hours, default=now_sec), now_sec)
    for symbol in symbols:
        writer.raise_floor(symbol, cut, [(ROLL, *roll_bounds(kind, symbol, 0, cut)) for kind in (MINUTES, HOURS)])
    oldest_bases = [key_time(key) for symbol in symbols if (key := database.first_key(BASE, *symbol_bounds(symbol)))]
    oldest_base = min(oldest_bases, default=now_sec)
    base_cut = _cut(database, layout, BASE, oldest_base, now_sec)
    if oldest_base < base_cut:
        database.write([], [(BASE, *second_bounds(symbol, 0, base_cut)) for symbol in symbols])
    for family, is_over in ((ROLL, cut), (BASE, base_cut)):
        if is_over > max(0, _whole_hour(layout.oldest_second(family, now_sec))):
            database.compact(family)  # it exceeded its share: do not wait for RocksDB to free the space


def _cut(database: Database, layout: Layout, family: str, oldest: int, now_sec: int) -> int:
    """The first second to keep: by age, or later if the family exceeds its share."""
    cut = layout.oldest_second(family, now_sec)
    held_bytes = database.property(family, "rocksdb.total-sst-files-size")
    if (over := layout.is_over(family, held_bytes)) > 1 and oldest < now_sec:
        cut = max(cut, now_sec - int((now_sec - max(oldest, cut)) / over * _KEPT))
        logger.info("The store's {} exceed their share of the cap: records before {} are deleted", family, cut)
    return max(0, _whole_hour(cut))


def _whole_hour(second: int) -> int:
    return second - second % HOUR
