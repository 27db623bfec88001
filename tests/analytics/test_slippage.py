from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import ASKS, BIDS, tick_books, view
from vibe_orderbook_mcp.analytics.book.slippage import TakerSide, cost_bps, notional_to_move, walk
from vibe_orderbook_mcp.analytics.snapshot import DepthCurve

TickSide = list[tuple[int, float]]


def test_a_buy_walks_three_levels() -> None:
    """100.1 and 300.6 from two levels, the remaining 599.3 at 100.9."""
    fill = walk(DepthCurve(ASKS, "ask"), 1000.0)
    assert fill.vwap == pytest.approx(100.608236, abs=1e-6)
    assert (fill.levels, fill.worst_price, fill.filled_fraction) == (3, 100.9, 1.0)
    assert not fill.insufficient_depth
    assert cost_bps("buy", fill.vwap, 100.05) == pytest.approx(55.7957, abs=1e-3)
    assert cost_bps("buy", fill.vwap, 100.1) == pytest.approx(50.7728, abs=1e-3)


def test_a_sell_that_takes_exactly_the_first_level_uses_one_level() -> None:
    """The level after the last one needed must not be counted."""
    fill = walk(DepthCurve(BIDS, "bid"), 400.0)
    assert (fill.vwap, fill.levels, fill.filled_fraction) == (100.0, 1, 1.0)
    assert cost_bps("sell", fill.vwap, 100.05) == pytest.approx(4.9975, abs=1e-4)


def test_an_order_larger_than_the_book_fills_in_part_and_says_so() -> None:
    """Nothing is extrapolated beyond the known book."""
    fill = walk(DepthCurve(ASKS, "ask"), 5000.0)
    assert fill.filled == pytest.approx(2418.7)
    assert fill.filled_fraction == pytest.approx(0.48374, abs=1e-6)
    assert fill.insufficient_depth


def test_an_empty_side_fills_nothing_at_no_price() -> None:
    """No average price exists; 0 would look like a bargain."""
    fill = walk(DepthCurve([], "ask"), 100.0)
    assert (fill.vwap, fill.worst_price, fill.filled_fraction, fill.insufficient_depth) == (None, None, 0.0, True)
    assert cost_bps("buy", None, 100.0) is None
    assert cost_bps("buy", 100.0, None) is None


def test_moving_the_price_costs_what_stands_before_the_target() -> None:
    """From 100.1 by 10 bps to 100.2001: the 1 at 100.1 and the 3 at 100.2 must trade."""
    move = notional_to_move(DepthCurve(ASKS, "ask"), 100.1, 10)
    assert move is not None
    assert move.notional == pytest.approx(100.1 + 300.6)
    assert not move.lower_bound
    bid_move = notional_to_move(DepthCurve(BIDS, "bid"), 100.0, 25)
    assert bid_move is not None
    assert bid_move.notional == pytest.approx(400.0 + 599.4)


def test_a_level_at_the_target_stays() -> None:
    """Once 101 is the best ask, the price has moved by exactly 100 bps."""
    asks, bids = DepthCurve([(100.0, 1.0), (101.0, 5.0)], "ask"), DepthCurve([(100.0, 1.0), (99.0, 5.0)], "bid")
    for curve in (asks, bids):
        move = notional_to_move(curve, 100.0, 100)
        assert move is not None
        assert move.notional == 100.0


def test_a_move_beyond_the_known_book_is_a_lower_bound() -> None:
    """Levels that are not known would have to trade too."""
    move = notional_to_move(DepthCurve(ASKS, "ask", horizon=100.9), 100.1, 100)
    assert move is not None
    assert move.lower_bound
    assert notional_to_move(DepthCurve([], "ask"), 100.0, 10) is None


@settings(deadline=None)
@given(tick_books(min_levels=1), st.floats(1e-6, 1e12))
def test_a_walk_never_costs_less_than_nothing(levels: tuple[TickSide, TickSide], notional: float) -> None:
    """Filling away from the touch cannot beat it, and what fills is between nothing and everything."""
    book = view(*levels)
    sides: tuple[tuple[TakerSide, DepthCurve], ...] = ("buy", book.curve("ask")), ("sell", book.curve("bid"))
    for side, curve in sides:
        fill = walk(curve, notional)
        cost = cost_bps(side, fill.vwap, curve.best)
        assert cost is not None
        assert isfinite(cost)
        assert cost >= 0.0
        assert 0.0 <= fill.filled_fraction <= 1.0
        assert fill.insufficient_depth == (curve.quote(len(curve.ladder)) < notional * (1 - 1e-9))


@settings(deadline=None)
@given(tick_books(min_levels=1), st.sampled_from([1e3, 1e5, 1e7]))
def test_scaling_price_tick_and_order_leaves_the_cost_alone(sides: tuple[TickSide, TickSide], notional: float) -> None:
    """A unit of account is not information."""
    small, large = view(*sides, tick="0.01"), view(*sides, tick="0.1")
    one, ten = walk(small.curve("ask"), notional), walk(large.curve("ask"), 10 * notional)
    assert cost_bps("buy", one.vwap, small.mid) == pytest.approx(cost_bps("buy", ten.vwap, large.mid), abs=1e-6)
