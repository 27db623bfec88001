"""A feature row's prices and sizes as whole steps of its symbol's grid. PURE"""

from __future__ import annotations

from typing import Final

import msgspec

from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.store.records import row_codes as codes
from vibe_orderbook_mcp.store.records.grid import exact_steps, sum_steps

_MLOFI_AT: Final = 10  # of the sums


class RowSteps(msgspec.Struct, frozen=True, gc=False):
    """Prices in 10^-`tick_exp`, sizes in 10^-`lot_exp`. None for a None of the row."""

    tick_exp: int
    lot_exp: int
    bid: int | None
    ask: int | None
    low: int | None
    high: int | None
    bid_size: int | None
    ask_size: int | None
    spreads: tuple[int | None, int | None, int | None]  # least, greatest above it, mean above it
    base: int  # the best bid, else the best ask, else 0
    reference: int  # the low, else `base`
    ofi: int
    buys: int
    sells: int
    effective_volume: int
    flows: list[int]  # added, cancelled, traded of the bid, then of the ask
    mlofi: list[int]
    best: int  # the first of `mlofi`, else 0
    ids: int | None  # aggregate trade ids from first to last
    touched_prices: list[int]
    touched_sizes: list[int]  # of each level: at the start, at most, at the end
    touched_traded: list[int]


def row_steps(row: SecondRow, tick_exp: int, lot_exp: int) -> RowSteps:
    """On the given grid, or on a finer one if a value needs it. Raises `OffGrid`."""
    touched = row.touched
    quoted = (row.best_bid, row.best_ask, row.high, row.low)
    prices = [price for price in quoted if price is not None] + [level.price for level in touched]
    shown = (row.best_bid_size, row.best_ask_size)
    sizes = [size for size in shown if size is not None]
    for level in touched:
        sizes += (level.shown_start, level.shown_max, level.shown_end)
    bid_flow, ask_flow = row.bid, row.ask
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
    ofi, buys, sells, effective_volume = totals[:4]
    flows, rest = totals[4:_MLOFI_AT], totals[_MLOFI_AT:]
    mlofi, traded = rest[: len(row.mlofi)], rest[len(row.mlofi) :]
    first_id, last_id = row.first_agg_id, row.last_agg_id
    return RowSteps(
        tick_exp,
        lot_exp,
        bid,
        ask,
        low,
        high,
        bid_size,
        ask_size,
        codes.spread_codes(row, tick_exp),
        base,
        codes.first(low, base),
        ofi,
        buys,
        sells,
        effective_volume,
        flows,
        mlofi,
        mlofi[0] if mlofi else 0,
        None if first_id is None or last_id is None else last_id - first_id + 1,
        list(prices_left),
        list(sizes_left),
        traded,
    )
