"""Trades as bytes. PURE

While a minute runs, one MessagePack array a second:

    [1, tick_exp, lot_exp, [[agg_id, time_ms, price_ticks, lots, first_trade_id, last_trade_id, buyer_is_maker], ...]]

After the minute, one block of columns, a third of the size:

    [1, count, tick_exp, lot_exp, first agg_id, first time_ms, first price_ticks, first first_trade_id, columns...]

Ascending by agg_id. Columns, each the change from the trade before unless said otherwise: agg_id (less 1), time,
price, lots (the value), fills (the value less 1), first trade id counted from the last one of the trade before
(less 1), and a bit for buyer_is_maker. See `packing` for the packing of a column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, Final

import ormsgpack

from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.intervals import Interval, of_numbers
from vibe_orderbook_mcp.store.records.grid import POWERS, exact_steps
from vibe_orderbook_mcp.store.records.packing import pack, unpack

VERSION: Final = 1
MINUTE: Final = 60


def encode_second(trades: Sequence[Trade], *, tick_exp: int, lot_exp: int) -> bytes:
    tick_exp, lot_exp, prices, lots = to_integers(trades, tick_exp, lot_exp)
    return ormsgpack.packb(
        [
            VERSION,
            tick_exp,
            lot_exp,
            [
                [t.agg_id, t.time_ms, price, lot, t.first_trade_id, t.last_trade_id, t.buyer_is_maker]
                for t, price, lot in zip(trades, prices, lots, strict=True)
            ],
        ]
    )


def decode_second(data: bytes) -> list[Trade]:
    try:
        record: list[Any] = ormsgpack.unpackb(data)
        _check_version(record[0])
        _, tick_exp, lot_exp, rows = record
        tick, lot = POWERS[tick_exp], POWERS[lot_exp]
        return [
            Trade(agg_id, time_ms, price / tick, lots / lot, first_id, last_id, maker)
            for agg_id, time_ms, price, lots, first_id, last_id, maker in rows
        ]
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise StorageCorrupt("A stored second of trades cannot be read.") from error


def encode_minute(trades: Sequence[Trade], *, tick_exp: int, lot_exp: int) -> bytes:
    """`trades` ascending by agg_id, at least one."""
    tick_exp, lot_exp, prices, lots = to_integers(trades, tick_exp, lot_exp)
    first = trades[0]
    makers = sum(trade.buyer_is_maker << index for index, trade in enumerate(trades))
    return ormsgpack.packb(
        [
            VERSION,
            len(trades),
            tick_exp,
            lot_exp,
            first.agg_id,
            first.time_ms,
            prices[0],
            first.first_trade_id,
            pack([b.agg_id - a.agg_id - 1 for a, b in pairwise(trades)]),
            pack([b.time_ms - a.time_ms for a, b in pairwise(trades)]),
            pack([b - a for a, b in pairwise(prices)]),
            pack(lots),
            pack([trade.last_trade_id - trade.first_trade_id for trade in trades]),
            pack([b.first_trade_id - a.last_trade_id - 1 for a, b in pairwise(trades)]),
            makers.to_bytes((len(trades) + 7) // 8, "little"),
        ]
    )


def decode_minute(data: bytes) -> list[Trade]:
    try:
        record: list[Any] = ormsgpack.unpackb(data)
        _check_version(record[0])
        _, count, tick_exp, lot_exp, agg_id, time_ms, price, first_id, *columns, makers = record
        id_gaps, times, prices, lots, fills, first_gaps = map(unpack, columns)
        if not len(id_gaps) + 1 == len(times) + 1 == len(prices) + 1 == len(first_gaps) + 1 == len(lots) == count:
            raise StorageCorrupt("A stored minute of trades cannot be read: its columns differ in length.")
        tick, lot = POWERS[tick_exp], POWERS[lot_exp]
        bits = int.from_bytes(makers, "little")
        trades = []
        firsts = [0, *first_gaps]
        for index, (gap, now, ticks, size, more, first_gap) in enumerate(
            zip(
                accumulate(id_gaps, lambda a, b: a + b + 1, initial=agg_id),
                accumulate(times, initial=time_ms),
                accumulate(prices, initial=price),
                lots,
                fills,
                firsts,
                strict=True,
            )
        ):
            first_id += first_gap
            trades.append(Trade(gap, now, ticks / tick, size / lot, first_id, first_id + more, bool(bits >> index & 1)))
            first_id += more + 1
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise StorageCorrupt("A stored minute of trades cannot be read.") from error
    return trades


def minute_ids(data: bytes) -> list[Interval]:
    """The ids of a block, without decoding the rest of it."""
    try:
        record: list[Any] = ormsgpack.unpackb(data)
        _check_version(record[0])
        first, gaps = record[4], record[8]
        if not any(gaps[1]):
            return [(first, first + record[1] - 1)]
        return of_numbers(accumulate(unpack(gaps), lambda a, b: a + b + 1, initial=first))
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise StorageCorrupt("A stored minute of trades cannot be read.") from error


def merge(*parts: Iterable[Trade]) -> list[Trade]:
    """Ascending by agg_id, each once; of two with one id the earlier part's."""
    by_id: dict[int, Trade] = {}
    for part in parts:
        for trade in part:
            by_id.setdefault(trade.agg_id, trade)
    return [by_id[agg_id] for agg_id in sorted(by_id)]


def to_integers(trades: Sequence[Trade], tick_exp: int, lot_exp: int) -> tuple[int, int, list[int], list[int]]:
    tick_exp, prices = exact_steps([trade.price for trade in trades], tick_exp)
    lot_exp, lots = exact_steps([trade.size for trade in trades], lot_exp)
    return tick_exp, lot_exp, prices, lots


def _check_version(version: object) -> None:
    if version != VERSION:
        raise StorageCorrupt(f"Trades of version {version!r}; this program reads version {VERSION}.")
