"""What an order would have cost, from a row: exact where whole bands are taken, even between two edges."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.rows import row
from vibe_orderbook_mcp.analytics.usual.row_cost import cost_bps, dearer_cost_bps
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.events import DepthSnapshot
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.seconds.capture import capture_fields

Levels = list[tuple[float, float]]


def book_row(bids: Levels, asks: Levels, limit: int | None = None) -> SecondRow:
    return row(0, **capture_fields(OrderBook(DepthSnapshot(1, bids, asks), limit=limit), 2, 5))


def walked(levels: Levels, mid: float, amount: float) -> float:
    """The same from every level."""
    cost = left = amount
    cost = 0.0
    for price, size in levels:
        part = min(left, price * size)
        cost += part * 1e4 * abs(price - mid) / mid
        left -= part
    assert left == pytest.approx(0.0, abs=1e-6)
    return cost / amount


# mid 1000; a touch of 1 bp on both sides, then levels inside 5, 10 and 25 bps
BIDS = [(999.9, 1.0), (999.6, 2.0), (999.2, 2.0), (998.0, 4.0)]
ASKS = [(1000.1, 1.0), (1000.3, 1.0), (1000.8, 2.0), (1002.4, 4.0)]


def test_at_the_touch_and_for_whole_bands_it_is_exact() -> None:
    both = book_row(BIDS, ASKS)
    assert cost_bps(both, "bid", 500.0) == pytest.approx(1.0)
    assert cost_bps(both, "ask", 1000.1) == pytest.approx(1.0)
    for levels in (2, 3, 4):
        amount = sum(price * size for price, size in BIDS[:levels])
        assert cost_bps(both, "bid", amount) == pytest.approx(walked(BIDS, 1000.0, amount), rel=1e-3)


def test_between_two_edges_an_even_spread_is_taken() -> None:
    """Half of what rests between the touch and 5 bps: from 1 bp on, at a quarter of the way to twice the mean price."""
    both = book_row(BIDS, ASKS)
    touch, band = 999.9, 999.6 * 2.0
    expected = (touch * 1.0 + band / 2 * (1.0 + 0.5 * (4.0 - 1.0))) / (touch + band / 2)
    assert cost_bps(both, "bid", touch + band / 2) == pytest.approx(expected)


def test_what_the_bands_do_not_hold_is_a_lower_bound_and_what_is_not_known_none() -> None:
    both = book_row(BIDS, ASKS)
    whole = sum(price * size for price, size in BIDS)
    held = walked(BIDS, 1000.0, whole)
    assert cost_bps(both, "bid", 2 * whole) == pytest.approx((held + 100.0) / 2, rel=1e-3)
    shallow = book_row(BIDS, ASKS, limit=4)  # as many as were asked for: there may be more
    assert cost_bps(shallow, "bid", 2 * whole) is None
    assert cost_bps(shallow, "bid", 900.0) == pytest.approx(1.0)
    assert cost_bps(row(0), "bid", 1.0) is None
    assert cost_bps(both, "bid", 0.0) is None


def test_the_dearer_side_counts() -> None:
    both = book_row(BIDS, ASKS)
    bid, ask = cost_bps(both, "bid", 5000.0), cost_bps(both, "ask", 4000.0)
    assert bid is not None
    assert ask is not None
    assert dearer_cost_bps(both, 5000.0, 4000.0) == max(bid, ask)
    assert dearer_cost_bps(msgspec.structs.replace(both, best_ask=None), 5000.0, 4000.0) is None


@given(st.lists(st.integers(1, 400), min_size=1, max_size=30, unique=True), st.floats(0.01, 0.99))
def test_more_costs_no_less_and_the_book_itself_agrees(distances: list[int], part: float) -> None:
    """Levels at whole hundredths of a bps from mid: within a band the estimate errs by less than its width."""
    asks = [(round(10_000 + each / 5, 2), 1.0) for each in sorted(distances)]
    bids = [(round(10_000 - each / 5, 2), 1.0) for each in sorted(distances)]
    both = book_row(bids, asks)
    whole = sum(price for price, _ in asks)
    less, more = cost_bps(both, "ask", part * whole), cost_bps(both, "ask", whole)
    assert less is not None
    assert more is not None
    assert less <= more + 1e-6
    assert more == pytest.approx(walked(asks, 10_000.0, whole), rel=1e-3)
    assert abs(less - walked(asks, 10_000.0, part * whole)) <= 50.0
