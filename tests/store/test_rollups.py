"""Sums of trades by price: on disk, in memory and from the trades themselves they are the same whole numbers."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.values import trade, trade_lists
from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.store.records.packing import number, pack, to_number, unpack
from vibe_orderbook_mcp.store.records.rollups import (
    PriceRollup,
    RollGrid,
    add_block,
    add_trades,
    decode_block,
    decode_grid,
    empty_histogram,
    encode_block,
    encode_grid,
    grid_for,
)


def plainly(trades: list[Trade], grid: RollGrid, tick_exp: int, lot_exp: int) -> PriceRollup:
    """What a roll-up should say, worked out with decimals, one trade after the other."""
    total = empty_histogram(grid, lot_exp)
    total.width_ticks *= 10 ** (tick_exp - grid.tick_exp)
    total.tick_exp = tick_exp
    for each in sorted(trades, key=lambda t: t.agg_id):
        ticks, lots = (int(Decimal(repr(x)).scaleb(e)) for x, e in ((each.price, tick_exp), (each.size, lot_exp)))
        total.trades += 1
        total.fills += each.fills
        buys, sells, count = total.bins.get(ticks // total.width_ticks, (0, 0, 0))
        if each.aggressor == "buy":
            total.buy_lots += lots
            total.buy_quote_units += lots * ticks
            buys += lots
        else:
            total.sell_lots += lots
            total.sell_quote_units += lots * ticks
            sells += lots
        total.bins[ticks // total.width_ticks] = (buys, sells, count + 1)
        if total.first_agg_id is None:
            total.first_agg_id, total.first_ticks, total.first_ms = each.agg_id, ticks, each.time_ms
        total.last_agg_id, total.last_ticks, total.last_ms = each.agg_id, ticks, each.time_ms
        total.high_ticks = ticks if total.high_ticks is None else max(ticks, total.high_ticks)
        total.low_ticks = ticks if total.low_ticks is None else min(ticks, total.low_ticks)
    return total


@pytest.mark.parametrize(
    ("price", "tick_exp", "width_ticks"),
    [(65_000, 2, 100), (3_000, 2, 10), (600, 2, 1), (0.00002, 8, 1), (0.5, 4, 1), (1e9, 2, 10**6), (0.0, 2, 1)],
)
def test_a_bin_is_the_power_of_ten_nearest_to_a_seventh_of_a_basis_point(
    price: float, tick_exp: int, width_ticks: int
) -> None:
    """0.15 bp of 65 000 is a dollar. A tick at least: nothing trades between two."""
    assert grid_for(price, tick_exp) == RollGrid(width_ticks, tick_exp)


@given(st.data(), st.integers(0, 8), st.integers(0, 8), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_blocks_of_any_trades_add_up_to_all_of_them(
    data: st.DataObject, tick_exp: int, lot_exp: int, wide: int
) -> None:
    """Also when a trade has more digits than the grid was made for, and when sums leave 64 bits."""
    trades = data.draw(trade_lists(tick_exp, lot_exp))
    grid = RollGrid(10**wide, data.draw(st.integers(0, tick_exp)))
    lots = data.draw(st.integers(0, lot_exp))
    parts: list[list[Trade]] = [[], [], []]
    for each in data.draw(st.permutations(trades)):
        parts[data.draw(st.integers(0, 2))].append(each)
    total = empty_histogram(grid, lots)
    for part in parts:
        if not part:
            continue
        block = empty_histogram(grid, lots)
        add_trades(block, part)
        stored = encode_block(block)
        read = decode_block(stored, grid)
        assert read == block
        add_block(total, stored)
    assert total == plainly(trades, grid, total.tick_exp, total.lot_exp)


def test_a_block_that_is_none_is_an_error() -> None:
    grid = RollGrid(100, 2)
    block = empty_histogram(grid, 5)
    add_trades(block, [trade(1), trade(2)])
    stored = encode_block(block)
    for damaged in (b"", b"\xc1", stored[:-3], b"\x02", b"\x91\x02", stored.replace(b"\x01", b"\x02", 1)):
        with pytest.raises(StorageCorrupt):
            decode_block(damaged, grid)
    with pytest.raises(StorageCorrupt, match="width"):
        decode_block(stored, RollGrid(10, 2))
    assert decode_grid(encode_grid(grid)) == grid
    for damaged in (b"", b"\xc1", b"\x94\x02\x01\x01\x01"):
        with pytest.raises(StorageCorrupt):
            decode_grid(damaged)


@given(st.lists(st.integers(-(2**70), 2**70) | st.integers(-300, 300), max_size=8))
def test_columns_take_whole_numbers_of_any_size(values: list[int]) -> None:
    assert list(unpack(pack(values))) == values
    for value in values:
        assert to_number(number(value)) == value
