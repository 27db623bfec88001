"""Open, close, range and average of a window, worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.rows import T0, row, window
from vibe_orderbook_mcp.analytics.window_price import WindowPrice, window_price
from vibe_orderbook_mcp.analytics.windows import Span, cut
from vibe_orderbook_mcp.model.rows import SecondRow


def traded(second: int, price: float, size: float, mid: float) -> SecondRow:
    return row(second, mid=mid, buy_volume=size, buy_quote=price * size, agg_trades=1, high=price, low=price)


def test_open_is_the_mid_before_the_window_and_close_the_last_one_in_it() -> None:
    """What happened within the first second is part of the change."""
    rows = [row(-1, mid=100.0), traded(0, 101.0, 1.0, 100.5), traded(1, 99.0, 3.0, 99.5), row(2, mid=99.8)]
    price = window_price(cut(rows, Span(T0, T0 + 3)))
    assert price == WindowPrice(
        open=100.0, close=99.8, high=101.0, low=99.0, vwap=99.5, open_at=T0, close_at=T0 + 3, high_traded=True,
        low_traded=True,
    )  # fmt: skip
    assert price.change_bps == pytest.approx(-20.0)
    assert price.range_bps == pytest.approx(1e4 * 2 / 99)


def test_a_quiet_window_has_a_price_and_no_average() -> None:
    """A coin that does not trade has a mid nevertheless; its range is that of mid."""
    price = window_price(window([row(0, mid=10.0), row(1, mid=10.2)]))
    assert price == WindowPrice(
        open=10.0, close=10.2, high=10.2, low=10.0, vwap=None, open_at=T0 + 1, close_at=T0 + 2, high_traded=False,
        low_traded=False,
    )  # fmt: skip


def test_a_mid_is_not_taken_for_a_trade_and_a_trade_at_a_mid_is_one() -> None:
    rows = [traded(0, 100.0, 1.0, 99.995), traded(1, 100.3, 1.0, 0.1 + 100.2)]
    price = window_price(window(rows))
    assert (price.low, price.low_traded, price.high_traded) == (99.995, False, True)


def test_without_a_book_the_trades_give_the_range_and_nothing_is_invented() -> None:
    price = window_price(window([row(0, buy_volume=1.0, buy_quote=5.0, high=5.0, low=5.0)]))
    assert price == WindowPrice(
        open=None, close=None, high=5.0, low=5.0, vwap=5.0, open_at=None, close_at=None, high_traded=True,
        low_traded=True,
    )  # fmt: skip
    assert (price.change_bps, price.range_bps) == (None, 0.0)
    nothing = window_price(window([row(0)]))
    assert nothing == WindowPrice(None, None, None, None, None, None, None, high_traded=False, low_traded=False)
    assert (nothing.change_bps, nothing.range_bps) == (None, None)


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=20),
    st.none() | st.integers(1, 10**6),
)
def test_the_range_holds_open_close_and_average(seconds: list[tuple[int, int, int]], before: int | None) -> None:
    """Whatever traded: no price of an answer lies outside of its own high and low."""
    rows = [traded(i, price / 100, size / 1000, mid / 100) for i, (price, size, mid) in enumerate(seconds)]
    price = window_price(window(rows, mid_before=None if before is None else before / 100))
    assert price.low is not None
    assert price.high is not None
    for each in (price.open, price.close, price.vwap):
        assert each is not None
        assert price.low <= each <= price.high
