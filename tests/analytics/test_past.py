"""Windows out of columns are the windows out of rows, for as long as there is history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.rows import T0, generated_rows, row
from vibe_orderbook_mcp.analytics.flow.past import WINDOWS_MOST, EqualWindow, Past
from vibe_orderbook_mcp.analytics.windows import equal_windows
from vibe_orderbook_mcp.model.rows import SecondRow


@given(generated_rows(), st.integers(1, 40), st.integers(-5, 60))
def test_windows_of_columns_are_those_of_rows(rows: list[SecondRow], secs: int, before: int) -> None:
    """Holes, half covered seconds and unknown mids included."""
    expected = [EqualWindow.of(each) for each in equal_windows(rows, secs, T0 + before)]
    assert Past.of(rows).windows(secs, T0 + before) == expected


def test_the_latest_windows_are_kept_where_there_are_many() -> None:
    rows = [row(second, buy_volume=float(second)) for second in range(10 * WINDOWS_MOST + 500)]
    found = Past.of(rows).windows(10, T0 + len(rows))
    assert len(found) == WINDOWS_MOST
    assert found[-1].buy_volume == sum(range(len(rows) - 10, len(rows)))


def test_base_and_quote_amounts_of_both_sides_stay_apart() -> None:
    rows = [
        row(0, buy_volume=1.0, sell_volume=2.0, buy_quote=30.0, sell_quote=40.0, mid=5.0, ofi=7.0),
        row(1, buy_volume=4.0),
    ]
    assert Past.of(rows).windows(2, T0 + 2) == [EqualWindow(5.0, 2.0, 30.0, 40.0, 7.0, 0.0)]


def test_seconds_come_once_and_leave_in_order() -> None:
    past = Past.of([row(0, buy_volume=1.0), row(1, buy_volume=2.0), row(1, buy_volume=99.0), row(0), row(2)])
    assert past.newest == T0 + 2
    assert [each.buy_volume for each in past.windows(1, T0 + 3)] == [1.0, 2.0, 0.0]
    past.drop_before(T0 + 2)
    assert [each.buy_volume for each in past.windows(1, T0 + 3)] == [0.0]


def test_nothing_is_left_of_a_past_that_is_over() -> None:
    past = Past.of([row(0)])
    past.drop_before(T0 + 9)
    assert past.newest is None
    assert past.windows(1, T0 + 9) == []


def test_a_window_moves_from_the_mid_before_it() -> None:
    """Where the second before it is missing, from the first one it has."""
    rows = [row(0, mid=100.0), row(1, mid=101.0), row(2, mid=103.0), row(4, mid=107.0), row(5, mid=108.0)]
    past = Past.of(rows)
    assert [each.mid_change for each in past.windows(1, T0 + 6)] == [0.0, 1.0, 2.0, 0.0, 1.0]
    assert [each.mid_change for each in past.windows(2, T0 + 3)] == [3.0]
    assert [each.mid_change for each in Past.of([row(0), row(1)]).windows(2, T0 + 2)] == [None]
