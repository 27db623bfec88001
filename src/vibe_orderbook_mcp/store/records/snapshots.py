"""The top of a book as bytes: one MessagePack array of integers that describes itself. PURE

    [1, event_offset_ms, update_id, tick_exp, lot_exp, base,
     [bid price deltas], [bid lots], [ask price deltas], [ask lots]]

The second is in the key; the event time is counted from its start (two bytes on disk instead of seven).
Prices are whole ticks of 10^-tick_exp, sizes whole lots of 10^-lot_exp. `base` is the best bid; without bids the
best ask; 0 without both. A bid delta is the distance below the level before, an ask delta the distance above it;
the first of either side is measured from `base`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import ormsgpack

from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.rows import BookTop
from vibe_orderbook_mcp.store.records.grid import POWERS, exact_steps

VERSION: Final = 1


def encode_snapshot(second: int, top: BookTop, *, tick_exp: int, lot_exp: int) -> bytes:
    tick_exp, ticks = exact_steps([price for price, _ in top.bids] + [price for price, _ in top.asks], tick_exp)
    lot_exp, lots = exact_steps([size for _, size in top.bids] + [size for _, size in top.asks], lot_exp)
    base = ticks[0] if ticks else 0
    split = len(top.bids)
    return ormsgpack.packb(
        [
            VERSION,
            top.event_ms - second * 1000,
            top.last_update_id,
            tick_exp,
            lot_exp,
            base,
            [above - below for above, below in pairwise([base, *ticks[:split]])],
            lots[:split],
            [above - below for below, above in pairwise([base, *ticks[split:]])],
            lots[split:],
        ]
    )


def decode_snapshot(second: int, data: bytes) -> BookTop:
    """The book that `encode_snapshot` was given, every double bit for bit."""
    try:
        record: list[Any] = ormsgpack.unpackb(data)
        if record[0] != VERSION:
            raise StorageCorrupt(f"A snapshot of version {record[0]!r}; this program reads version {VERSION}.")
        _, offset_ms, update_id, tick_exp, lot_exp, base, bid_deltas, bid_lots, ask_deltas, ask_lots = record
        bids = _side(base, -1, bid_deltas, bid_lots, POWERS[tick_exp], POWERS[lot_exp])
        asks = _side(base, 1, ask_deltas, ask_lots, POWERS[tick_exp], POWERS[lot_exp])
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise StorageCorrupt("A stored snapshot cannot be read.") from error
    return BookTop(event_ms=second * 1000 + offset_ms, last_update_id=update_id, bids=bids, asks=asks)


def _side(
    base: int, sign: int, deltas: Sequence[int], lots: Sequence[int], tick_power: int, lot_power: int
) -> tuple[tuple[float, float], ...]:
    levels = []
    ticks = base
    for delta, lot in zip(deltas, lots, strict=True):
        ticks += sign * delta
        levels.append((ticks / tick_power, lot / lot_power))
    return tuple(levels)
