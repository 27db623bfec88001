"""Sums of trades by price: on disk, in memory and from the trades themselves they are the same whole numbers."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.values import BTC, START, trade, trade_lists
from vibe_orderbook_mcp.core.events import Trade
from vibe_orderbook_mcp.core.rows import TradeBatch
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.rollups import (
    Histogram,
    RollGrid,
    add_block,
    add_trades,
    decode_block,
    empty_histogram,
    encode_block,
    grid_for,
)

pytestmark = pytest.mark.anyio

HOUR_MS = 3_600_000


def plainly(trades: list[Trade], grid: RollGrid, tick_exp: int, lot_exp: int) -> Histogram:
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


async def _same(history: History, trades: list[Trade], start_ms: int, end_ms: int) -> None:
    found = await history.histogram("BTCUSDT", start_ms, end_ms)
    inside = [t for t in trades if start_ms <= t.time_ms < end_ms]
    grid = RollGrid(found.width_ticks, found.tick_exp)
    assert found == plainly(inside, grid, found.tick_exp, found.lot_exp)
    sums = await history.trade_sums("BTCUSDT", start_ms, end_ms)
    for name in sums.__struct_fields__:
        assert getattr(sums, name) == getattr(found, name)


def _day(dice: random.Random, count: int = 3000, hours: int = 6) -> list[Trade]:
    times = sorted(dice.randrange(hours * HOUR_MS) for _ in range(count))
    price = 6_500_000
    trades = []
    for agg_id, offset in enumerate(times):
        price += dice.randrange(-300, 301)
        made = trade(agg_id, START * 1000 + offset)
        made.price = price / 100
        trades.append(made)
    return trades


async def test_any_window_of_any_history_is_what_its_trades_say(tmp_path: Path) -> None:
    """Live, filled late, sealed in between, reopened: at every moment roll-ups and trades tell one story."""
    dice = random.Random(11)
    trades = _day(dice)
    late = [t for t in trades if dice.random() < 0.3]
    live = [t for t in trades if t not in late]
    dice.shuffle(late)
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    held: list[Trade] = []
    for at in range(0, len(live), 60):
        part = live[at : at + 60]
        await history.append([], [TradeBatch(BTC, tuple(part))])
        held += part
        now_ms = part[-1].time_ms
        fills = [late.pop() for _ in range(min(len(late), dice.randrange(50)))]
        twice = fills + dice.sample(held, 5)
        await history.add_trades(TradeBatch(BTC, tuple(twice)))
        held += fills
        if dice.random() < 0.7:
            await history.seal("BTCUSDT", now_ms - dice.randrange(200_000))
        if dice.random() < 0.1:
            await history.close()
            history = await History.open(tmp_path, cap_mb=64, retention_days=7)
        for _ in range(3):
            start = START * 1000 + dice.randrange(-HOUR_MS, 7 * HOUR_MS)
            await _same(history, held, start, start + dice.choice((1, 700, 90_000, HOUR_MS, 3 * HOUR_MS, 8 * HOUR_MS)))
    await _same(history, held, 0, 10**13)
    await history.close()
