"""Feature rows as bytes: a MessagePack array with a leading version. PURE

What comes back: `decode_row(second, encode_row(row)) == row`, but for

* sums of sizes (volumes, flows, `ofi`, `mlofi`): the nearest lot, so rid of floating-point noise;
* sums of price times size: the nearest 10^-(tick_exp + lot_exp), likewise;
* `spread_min`, `spread_max`: the nearest tick; `spread_mean`: a thousandth of a tick;
* the bands and `effective_spread_sum`: 0.05 %, `size_squares`: 0.1 % (16-bit logarithms; a band's mean price keeps
  1/30 of the band's width, 3.3 bps of the quote amount within 100 bps);
* `mlofi` beyond the first level and `level_depth`: 0.4 % (12-bit logarithms of their share of the greatest of them,
  down to a hundred-billionth of it; `mlofi` is then put on the nearest lot).

They are regressed on, normalised with and compared, never told to the last lot; exact they would cost 65 bytes of
every second. Prices, sizes of single levels, counts and ids are exact. The second itself is in the key.

Version 1 had `mlofi` and `level_depth` among the 16-bit logarithms and a byte for a band's mean price. It is still
read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any, Final

import ormsgpack

from vibe_orderbook_mcp.core.rows import SecondRow, SideFlow
from vibe_orderbook_mcp.errors import StorageCorrupt
from vibe_orderbook_mcp.store import row_codes as codes
from vibe_orderbook_mcp.store.grid import MAX_EXP, POWERS, exact_steps, sum_steps

VERSION: Final = 2
READ_VERSIONS: Final = (1, 2)

# What the array holds, in its order. Sides' traded sizes, quotes, ids and prices are differences: see `_decode`.
RECORD: Final[tuple[str, ...]] = (
    *("version", "tick_exp", "lot_exp", "covered_ms", "flags"),
    *("mid", "bid", "ask", "bid_size", "ask_size"),
    *("spread_min", "spread_range", "spread_mean"),
    *("events", "rows", "ids"),
    *("bid_added", "bid_cancelled", "bid_traded", "bid_add_events", "bid_cancel_events", "bid_discovered"),
    *("ask_added", "ask_cancelled", "ask_traded", "ask_add_events", "ask_cancel_events", "ask_discovered"),
    *("mlofi_best", "ofi", "mlofi_signs"),
    *("lengths", "logs", "bid_band_prices", "ask_band_prices"),
    *("bid_truncated", "ask_truncated"),
    *("buys", "sells", "buy_quote", "sell_quote", "buy_trades", "sell_trades"),
    *("first_agg_id", "id_span", "agg_trades", "low", "high"),
    *("effective_negative", "effective_volume", "joins_late", "joins_open", "touched"),
    "levels",  # from version 2 on
)

_FLOWS_END: Final = 10  # sums before those of the levels: see `encode_row`
_LENGTHS: Final = {1: len(RECORD) - 1, 2: len(RECORD)}


def encode_row(row: SecondRow, *, tick_exp: int, lot_exp: int) -> bytes:
    bid_flow, ask_flow, touched = row.bid, row.ask, row.touched
    quoted = (row.best_bid, row.best_ask, row.high, row.low)
    prices = [price for price in quoted if price is not None] + [level.price for level in touched]
    shown = (row.best_bid_size, row.best_ask_size)
    sizes = [size for size in shown if size is not None]
    for level in touched:
        sizes += (level.shown_start, level.shown_max, level.shown_end)
    sums = [row.ofi, row.buy_volume, row.sell_volume, row.effective_spread_volume]
    sums += (bid_flow.added, bid_flow.cancelled, bid_flow.traded, ask_flow.added, ask_flow.cancelled, ask_flow.traded)
    sums += row.mlofi
    sums += [level.traded for level in touched]
    tick_exp, price_steps = exact_steps(prices, tick_exp)
    lot_exp, size_steps = exact_steps(sizes, lot_exp)
    lot_exp, totals = sum_steps(sums, before := lot_exp)
    if lot_exp != before:
        lot_exp, size_steps = exact_steps(sizes, lot_exp)

    prices_left, sizes_left = iter(price_steps), iter(size_steps)
    bid, ask, high, low = codes.placed(quoted, prices_left)
    bid_size, ask_size = codes.placed(shown, sizes_left)
    base = codes.first(bid, ask)
    reference = codes.first(low, base)
    ofi, buys, sells, effective_volume, *flows = totals[:_FLOWS_END]
    mlofi, traded = totals[_FLOWS_END : _FLOWS_END + len(row.mlofi)], totals[_FLOWS_END + len(row.mlofi) :]
    best = mlofi[0] if mlofi else 0
    approximate: tuple[Sequence[float], ...] = (
        (),  # what is in `levels` now: places of version 1 stay where they were
        (),
        row.bid_band_base,
        row.ask_band_base,
        (math.sqrt(row.size_squares), abs(row.effective_spread_sum)),
    )
    ids = None if row.first_agg_id is None or row.last_agg_id is None else row.last_agg_id - row.first_agg_id + 1
    return ormsgpack.packb(
        [
            VERSION,
            tick_exp,
            lot_exp,
            row.covered_ms,
            row.flags,
            codes.mid_code(row),
            bid,
            codes.minus(ask, codes.first(bid)),
            bid_size,
            ask_size,
            *codes.spread_codes(row, tick_exp),
            row.events,
            row.rows,
            row.ids,
            *(flows[0], flows[1], flows[2] - sells),  # what rests on the bid is traded by sellers: the same, but for
            *(bid_flow.add_events, bid_flow.cancel_events, bid_flow.discovered),  # late joins
            *(flows[3], flows[4], flows[5] - buys),
            *(ask_flow.add_events, ask_flow.cancel_events, ask_flow.discovered),
            best,
            ofi - best,
            sum(1 << index for index, value in enumerate(mlofi) if value < 0),
            [len(part) for part in approximate],
            codes.logs([value for part in approximate for value in part]),
            codes.band_prices(row.bid_band_base, row.bid_band_quote, row.mid, -1),
            codes.band_prices(row.ask_band_base, row.ask_band_quote, row.mid, 1),
            row.bid_truncated,
            row.ask_truncated,
            buys,
            sells,
            codes.quote_code(row.buy_quote, buys * reference, tick_exp + lot_exp),
            codes.quote_code(row.sell_quote, sells * reference, tick_exp + lot_exp),
            row.buy_trades,
            row.sell_trades,
            row.first_agg_id,
            row.last_agg_id if ids is None else ids,
            row.agg_trades - (ids or 0),
            codes.minus(low, base),
            codes.minus(high, reference),
            row.effective_spread_sum < 0,
            effective_volume - buys - sells,
            row.joins_late,
            row.joins_open,
            codes.touched_columns(touched, list(prices_left), list(sizes_left), traded, reference),
            codes.shares([0.0, *map(abs, row.mlofi[1:])] if row.mlofi else (), row.level_depth),
        ]
    )


def decode_row(second: int, data: bytes) -> SecondRow:
    try:
        record: list[Any] = ormsgpack.unpackb(data)
        if record[0] not in READ_VERSIONS:
            raise StorageCorrupt(f"A feature row of version {record[0]!r}; this program reads up to {VERSION}.")
        if len(record) != _LENGTHS[record[0]]:
            raise StorageCorrupt("A stored feature row cannot be read: it lacks a part.")
        return _decode(second, record)
    except (ValueError, TypeError, IndexError, KeyError, struct.error) as error:
        raise StorageCorrupt("A stored feature row cannot be read.") from error


def _decode(second: int, record: list[Any]) -> SecondRow:  # the mirror of encode_row, in its order
    (
        _,
        tick_exp,
        lot_exp,
        covered_ms,
        flags,
        mid,
        bid,
        ask,
        bid_size,
        ask_size,
        spread_min,
        spread_range,
        spread_mean,
        events,
        rows,
        ids,
        bid_added,
        bid_cancelled,
        bid_traded,
        bid_add_events,
        bid_cancel_events,
        bid_discovered,
        ask_added,
        ask_cancelled,
        ask_traded,
        ask_add_events,
        ask_cancel_events,
        ask_discovered,
        mlofi_best,
        ofi,
        mlofi_signs,
        lengths,
        logs,
        bid_band_prices,
        ask_band_prices,
        bid_truncated,
        ask_truncated,
        buys,
        sells,
        buy_quote,
        sell_quote,
        buy_trades,
        sell_trades,
        first_agg_id,
        id_span,
        agg_trades,
        low,
        high,
        effective_negative,
        effective_volume,
        joins_late,
        joins_open,
        touched,
        *levels,
    ) = record
    tick, lot = POWERS[tick_exp], POWERS[lot_exp]
    ask = codes.plus(ask, codes.first(bid))
    base = codes.first(bid, ask)
    low = codes.plus(low, base)
    reference = codes.first(low, base)
    high = codes.plus(high, reference)
    best_bid = None if bid is None else bid / tick
    best_ask = None if ask is None else ask / tick
    if mid is True and best_bid is not None and best_ask is not None:
        mid = (best_bid + best_ask) / 2
    quote = POWERS[tick_exp + lot_exp] if tick_exp + lot_exp <= MAX_EXP else 1
    mlofi, level_depth, bid_band_base, ask_band_base, (size_norm, effective_sum) = codes.parts(
        codes.unlog(logs), lengths
    )
    if levels:
        mlofi, level_depth = codes.unshare(levels[0], 2)
    if first_agg_id is not None and id_span is not None:
        agg_trades += id_span
        id_span += first_agg_id - 1
    return SecondRow(
        second=second,
        covered_ms=covered_ms,
        flags=flags,
        mid=mid,
        best_bid=best_bid,
        best_ask=best_ask,
        best_bid_size=None if bid_size is None else bid_size / lot,
        best_ask_size=None if ask_size is None else ask_size / lot,
        spread_min=None if spread_min is None else spread_min / tick,
        spread_max=None if spread_range is None else ((spread_min or 0) + spread_range) / tick,
        spread_mean=None
        if spread_mean is None
        else ((spread_min or 0) * codes.MEAN_STEPS + spread_mean) / (tick * codes.MEAN_STEPS),
        events=events,
        rows=rows,
        ids=ids,
        bid=SideFlow(
            bid_added / lot,
            bid_cancelled / lot,
            (bid_traded + sells) / lot,
            bid_add_events,
            bid_cancel_events,
            bid_discovered,
        ),
        ask=SideFlow(
            ask_added / lot,
            ask_cancelled / lot,
            (ask_traded + buys) / lot,
            ask_add_events,
            ask_cancel_events,
            ask_discovered,
        ),
        ofi=(ofi + mlofi_best) / lot,
        mlofi=codes.mlofi(mlofi, mlofi_signs, mlofi_best, lot),
        level_depth=level_depth,
        bid_band_base=bid_band_base,
        bid_band_quote=codes.band_quotes(bid_band_base, bid_band_prices, mid, -1),
        ask_band_base=ask_band_base,
        ask_band_quote=codes.band_quotes(ask_band_base, ask_band_prices, mid, 1),
        bid_truncated=bid_truncated,
        ask_truncated=ask_truncated,
        buy_volume=buys / lot,
        sell_volume=sells / lot,
        buy_quote=buy_quote if isinstance(buy_quote, float) else (buy_quote + buys * reference) / quote,
        sell_quote=sell_quote if isinstance(sell_quote, float) else (sell_quote + sells * reference) / quote,
        buy_trades=buy_trades,
        sell_trades=sell_trades,
        agg_trades=agg_trades,
        first_agg_id=first_agg_id,
        last_agg_id=id_span,
        size_squares=size_norm * size_norm,
        high=None if high is None else high / tick,
        low=None if low is None else low / tick,
        effective_spread_sum=-effective_sum if effective_negative else effective_sum,
        effective_spread_volume=(effective_volume + buys + sells) / lot,
        joins_late=joins_late,
        joins_open=joins_open,
        touched=codes.touched_levels(touched, reference, tick, lot) if touched else (),
    )
