from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import ASKS, BIDS, BOOK, tick_books, view
from vibe_orderbook_mcp.analytics.snapshot import (
    BookLevels,
    BookView,
    DepthCurve,
    band_depth,
    band_imbalance,
    imbalance,
    mid,
    spread_bps,
    spread_ticks,
    weighted_mid,
)

TickSide = list[tuple[int, float]]


def within_levels(bids: BookLevels, asks: BookLevels, count: int) -> float | None:
    return imbalance(DepthCurve(bids, "bid"), DepthCurve(asks, "ask"), count)


def within(book: BookView, bps: float) -> float | None:
    return band_imbalance(book.curve("bid"), book.curve("ask"), book.mid, bps)


@pytest.mark.parametrize(
    ("bid", "ask", "expected"),
    [
        (67650.00, 67650.01, 0.00147819648),
        (0.3521, 0.3532, 31.19240040),
        (95.0, 105.0, 1000.0),  # over the bid it would be 1052.63
        (100.0, 100.0, 0.0),
    ],
)
def test_spread_in_bps_is_over_mid(bid: float, ask: float, expected: float) -> None:
    """Figures worked by hand: a bid-based spread differs where spreads are wide."""
    assert spread_bps(bid, ask) == pytest.approx(expected, abs=1e-6)


def test_a_missing_side_leaves_no_spread_and_a_crossed_one_is_negative() -> None:
    """Null is never replaced by 0: a zero spread would read as a perfect market."""
    assert spread_bps(None, 1.0) is None
    assert spread_bps(1.0, None) is None
    assert spread_ticks(None, 1.0, 0.1) is None
    assert mid(1.0, None) is None
    assert spread_bps(100.2, 100.0) is not None
    assert (spread_bps(100.2, 100.0) or 0.0) < 0.0
    assert mid(100.2, 100.0) is None


def test_a_locked_book_has_its_price_as_mid() -> None:
    """Equal best prices are odd, not impossible: spread 0, and both mids stand there."""
    assert mid(100.0, 100.0) == 100.0
    assert weighted_mid(100.0, 1.0, 100.0, 3.0) == 100.0
    assert within(BookView([(100.0, 3.0)], [(100.0, 1.0)]), 10) == 0.5


@pytest.mark.parametrize(
    ("bid_size", "ask_size", "expected"), [(9.0, 1.0, 100.09), (1.0, 9.0, 100.01), (5.0, 5.0, 100.05)]
)
def test_weighted_mid_leans_towards_the_thin_side(bid_size: float, ask_size: float, expected: float) -> None:
    """A heavy bid pushes fair value towards the ask."""
    assert weighted_mid(100.0, bid_size, 100.1, ask_size) == pytest.approx(expected, abs=1e-9)


def test_sums_over_twenty_levels_would_put_the_weighted_mid_on_the_wrong_side() -> None:
    """Why the sizes at the touch alone may be used: 50 against 250 in 20 levels, 9 against 1 at the touch."""
    assert weighted_mid(100.0, 50.0, 100.1, 250.0) == pytest.approx(100.0166666667, abs=1e-9)


def test_weighted_mid_of_nothing_is_none() -> None:
    """Two zero sizes weigh nothing."""
    assert weighted_mid(100.0, 0.0, 100.1, 0.0) is None
    assert weighted_mid(None, 1.0, 100.1, 1.0) is None


def test_imbalance_changes_sign_with_depth() -> None:
    """One n alone would tell half of the story, so several are answered."""
    assert within_levels(BIDS, ASKS, 1) == pytest.approx(0.6)
    assert within_levels(BIDS, ASKS, 2) == pytest.approx(0.428571, abs=1e-6)
    assert within_levels(BIDS, ASKS, 3) == pytest.approx(-0.090909, abs=1e-6)


def test_imbalance_with_one_side_empty_is_one_and_with_both_none() -> None:
    """An empty side is the heaviest imbalance there is; an empty book has none."""
    assert within_levels([(1.0, 1.0)], [], 5) == 1.0
    assert within_levels([], [(1.0, 1.0)], 5) == -1.0
    assert within_levels([], [], 5) is None


def test_depth_within_a_band_counts_its_edge() -> None:
    """Within 20 bps of 100.05 stand 10 against 4."""
    bid, ask = band_depth(DepthCurve(BIDS, "bid"), 100.05, 20), band_depth(DepthCurve(ASKS, "ask"), 100.05, 20)
    assert (bid.base, ask.base) == (10.0, 4.0)
    assert (bid.quote, ask.quote) == pytest.approx((4 * 100.0 + 6 * 99.9, 100.1 + 3 * 100.2))
    assert within(BOOK, 20) == pytest.approx(0.428571, abs=1e-6)
    assert band_depth(DepthCurve([(99.0, 1.0)], "bid"), 100.0, 100).base == 1.0
    assert band_depth(DepthCurve([(101.0, 1.0)], "ask"), 100.0, 100).base == 1.0


def test_a_band_beyond_the_known_book_is_marked_as_a_lower_bound() -> None:
    """Levels beyond the horizon are seen only once they have changed: the sum may lack some of them."""
    assert band_depth(DepthCurve(BIDS, "bid", 99.9), 100.05, 20).truncated
    assert not band_depth(DepthCurve(BIDS, "bid", 99.9), 100.05, 10).truncated
    assert band_depth(DepthCurve(ASKS, "ask", 100.9), 100.05, 100).truncated
    assert not band_depth(DepthCurve(ASKS, "ask", None), 100.05, 100).truncated


def test_only_levels_up_to_the_horizon_are_sure() -> None:
    """Anything that walks through the book must stop where levels may be missing."""
    book = BookView(BIDS, ASKS, bid_horizon=99.9, ask_horizon=100.1)
    assert book.curve("bid").sure == 2
    assert book.curve("ask").sure == 1
    assert BOOK.curve("ask").sure == len(ASKS)


@settings(deadline=None)
@given(tick_books())
def test_figures_are_finite_and_ordered_for_every_book(sides: tuple[TickSide, TickSide]) -> None:
    """bid <= weighted mid <= ask, imbalances within -1..1, and never NaN, whatever the book looks like."""
    book = view(*sides)
    bid, ask = book.best_bid, book.best_ask
    bid_size, ask_size = (side[0][1] if side else 0.0 for side in (book.bids, book.asks))
    fair = weighted_mid(bid, bid_size, ask, ask_size)
    if bid is None or ask is None:
        assert fair is None
        assert book.mid is None
    else:
        assert fair is not None
        assert book.mid is not None
        assert bid <= book.mid <= ask
        assert bid <= fair <= ask
    for figure in (*(within_levels(book.bids, book.asks, n) for n in (1, 5, 20)), within(book, 50)):
        assert figure is None or (isfinite(figure) and -1 <= figure <= 1)


@settings(deadline=None)
@given(tick_books(min_levels=1))
def test_scaling_price_and_tick_leaves_bps_figures_alone(sides: tuple[TickSide, TickSide]) -> None:
    """A unit of account is not information."""
    small, large = view(*sides, tick="0.01"), view(*sides, tick="0.1")
    assert spread_bps(small.best_bid, small.best_ask) == pytest.approx(spread_bps(large.best_bid, large.best_ask))
    assert spread_ticks(small.best_bid, small.best_ask, 0.01) == spread_ticks(large.best_bid, large.best_ask, 0.1)
    for bps in (5, 10, 25, 50, 100):
        assert within(small, bps) == pytest.approx(within(large, bps))


@settings(deadline=None)
@given(tick_books(), st.sampled_from([1, 2, 5, 20]))
def test_swapping_the_sides_flips_the_sign_of_imbalance(sides: tuple[TickSide, TickSide], count: int) -> None:
    """Bids and asks are treated alike."""
    book = view(*sides)
    there, back = within_levels(book.bids, book.asks, count), within_levels(book.asks, book.bids, count)
    assert there == (None if back is None else pytest.approx(-back))
