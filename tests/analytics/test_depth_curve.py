"""The figures read off running sums, against the walks through the levels that define them."""

from __future__ import annotations

from itertools import accumulate
from math import inf, nextafter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.analytics.books import ASKS, BIDS, price_at, tick_books, view
from vibe_orderbook_mcp.analytics.book.slippage import Fill, MoveCost, notional_to_move, walk
from vibe_orderbook_mcp.analytics.snapshot import (
    BandDepth,
    BookLevels,
    BookView,
    DepthCurve,
    band_depth,
    is_beyond,
    limit_at,
)
from vibe_orderbook_mcp.model.events import Side

TickSide = list[tuple[int, float]]
ROUNDING = 1e-12  # Python 3.12 and later sum up doubles more exactly than a loop does
SIDES: tuple[Side, Side] = ("bid", "ask")


def walked(levels: BookLevels, notional: float) -> Fill:
    """Level by level, as one would by hand."""
    remaining, filled, base, used = notional, 0.0, 0.0, 0
    worst: float | None = None
    for price, size in levels:
        if remaining <= 0.0:
            break
        take = min(price * size, remaining)
        remaining -= take
        filled += take
        base += take / price
        worst = price
        used += 1
    short = remaining > notional * 1e-9
    vwap = filled / base if base else None
    if vwap is not None and worst is not None:
        vwap = min(max(vwap, min(levels[0][0], worst)), max(levels[0][0], worst))
    return Fill(vwap, worst, used, filled, filled / notional if short else 1.0, short)


def walked_band(levels: BookLevels, side: Side, middle: float, bps: float, horizon: float | None) -> BandDepth:
    limit = limit_at(middle, side, bps)
    base = quote = 0.0
    for price, size in levels:
        if is_beyond(price, side, limit):
            break
        base += size
        quote += price * size
    return BandDepth(base, quote, truncated=horizon is not None and is_beyond(limit, side, horizon))


def walked_move(levels: BookLevels, side: Side, reference: float, bps: float, horizon: float | None) -> MoveCost | None:
    if not levels:
        return None
    target = limit_at(reference, side, bps)
    notional = 0.0
    for price, size in levels:
        if not is_beyond(target, side, price):
            break
        notional += price * size
    return MoveCost(notional, lower_bound=horizon is not None and is_beyond(target, side, horizon))


def check(book: BookView, amounts: list[float]) -> None:
    """Walks equal to the last bit, which decides whether one more level is used; sums as closely as doubles add up."""
    for side in SIDES:
        levels, horizon = list(book.side(side)), book.horizon(side)
        sure = [level for level in levels if horizon is None or not is_beyond(level[0], side, horizon)]
        assert book.curve(side).sure == len(sure)
        # An order for exactly what the best levels hold, and a hair more or less, decides where a walk ends.
        sums = accumulate(price * size for price, size in levels[:5])
        exact = [amount * part for amount in sums for part in (1.0, 1 - 2e-16, 1 + 3e-16)]
        curve = book.curve(side)  # one for all, as an answer has it: what was asked before must not matter
        for notional in (*amounts, *exact):
            assert walk(curve, notional) == walk(book.curve(side), notional) == walked(sure, notional)
        for bps in (25, 5, 1000, 10, 0, 100, 50):
            reference = book.mid or curve.best or 1.0
            move = notional_to_move(curve, reference, bps)
            slow_move = walked_move(levels, side, reference, bps, horizon)
            assert (move is None) == (slow_move is None)
            if move is not None and slow_move is not None:
                assert move.notional == pytest.approx(slow_move.notional, rel=ROUNDING)
                assert move.lower_bound == slow_move.lower_bound
            if (middle := book.mid) is not None:
                band, slow_band = band_depth(curve, middle, bps), walked_band(levels, side, middle, bps, horizon)
                assert (band.base, band.quote) == pytest.approx((slow_band.base, slow_band.quote), rel=ROUNDING)
                assert band.truncated == slow_band.truncated
                limit = limit_at(middle, side, bps)
                assert curve.count_to(limit) == sum(not is_beyond(price, side, limit) for price, _ in levels)


@settings(deadline=None)
@given(tick_books(), st.lists(st.floats(1e-6, 1e12), max_size=5), st.integers(0, 40), st.sampled_from(["0.01", "0.1"]))
def test_reading_off_sums_gives_what_walking_gives(
    sides: tuple[TickSide, TickSide], amounts: list[float], known: int, tick: str
) -> None:
    """For every book, order and horizon."""
    whole = view(*sides, tick=tick)
    check(whole, amounts)
    bids, asks = whole.bids, whole.asks
    check(
        BookView(
            bids,
            asks,
            bids[min(known, len(bids) - 1)][0] if bids else None,
            asks[min(known, len(asks) - 1)][0] if asks else None,
        ),
        amounts,
    )


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.1, 0.3, 1e-5, 2.7]), min_size=1, max_size=40),
    st.sampled_from([1.0, 1.1, 99.99, 1000.0]),
)
@example([1e-5] * 40, 1.0)
def test_orders_of_round_parts_end_at_the_same_level(sizes: list[float], factor: float) -> None:
    """Tenths do not add up exactly: whether the last crumb needs one more level must not depend on the method."""
    asks = [(price_at(10_000 + i), size) for i, size in enumerate(sizes)]
    total = sum(price * size for price, size in asks)
    check(BookView([], asks), [total * factor, total / factor, 10.0, 0.1 + 0.2])


def test_a_horizon_inside_the_spread_leaves_nothing_to_walk() -> None:
    """No level is surely known: nothing fills, and nothing is divided by it."""
    curve = DepthCurve(ASKS, "ask", horizon=100.0)
    assert walk(curve, 10.0) == walked([], 10.0)
    assert DepthCurve(BIDS, "bid", horizon=101.0).sure == 0


@pytest.mark.parametrize("side", SIDES)
def test_a_level_at_a_limit_is_inside_and_one_at_a_target_stays(side: Side) -> None:
    """The last bit of a product decides neither."""
    sign = -1 if side == "bid" else 1
    curve = DepthCurve([(price_at(10_000 + sign * i), 1.0) for i in range(200)], side)
    for index in (1, 7, 10, 99):
        price = curve.ladder.price(index)
        for limit in (price, nextafter(price, 0.0), nextafter(price, inf)):
            assert curve.count_to(limit) == index + 1
            assert curve.count_before(limit) == index
