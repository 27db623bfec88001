from __future__ import annotations

from math import exp, isfinite, log, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.rows import T0, generated_rows, row
from vibe_orderbook_mcp.analytics.flow.volatility import VarianceTimes, grid_mids, hour_volatility, realised
from vibe_orderbook_mcp.model.rows import SecondRow


def test_a_minute_that_moves_as_the_hour_did_is_one_time_as_variable() -> None:
    """Steps of 1 bp every 5 s for 20 minutes, then of 3 bps for one: nine times, less what it adds itself."""
    times, mid = VarianceTimes(), 100.0
    for second in range(1260):
        if second % 5 == 0:
            mid *= exp(1e-4 if second < 1200 else 3e-4)
        times.second(second, mid)
        if second == 890:
            assert times.times(second) is None  # not yet a quarter of an hour of steps
        if second == 1199:
            assert times.times(second) == pytest.approx(1.0)
    assert times.times(1259) == pytest.approx(9 / ((239 + 12 * 9) / 251))


def test_a_minute_with_a_hole_has_no_ratio_nor_one_in_which_nothing_ever_moved() -> None:
    still, holed = VarianceTimes(), VarianceTimes()
    for second in range(1200):
        still.second(second, 100.0)
        holed.second(second, None if second == 1184 else 100.0 + second)
    assert still.times(1199) is None
    assert holed.times(1199) is None


WORKED = [100.0, 100.1, 100.0, 100.1, 101.0, 101.1]


def padded(mids: list[float], still: int) -> list[float | None]:
    """With returns of 0 behind them: they change neither sum, but make the twelve that are needed."""
    return [*mids, *[mids[-1]] * still]


def test_the_movement_worked_by_hand() -> None:
    """91.703 bps, 63 % of it in the one jump."""
    found = realised(padded(WORKED, 7), 1)
    assert found.variance == pytest.approx(8.409370e-05, abs=1e-11)
    assert found.bps == pytest.approx(91.7026, abs=1e-3)
    assert found.jump_share == pytest.approx(0.6301, abs=1e-4)
    assert (found.returns, found.span_secs, found.coverage) == (12, 12, 1.0)
    assert found.annualised == pytest.approx(sqrt(8.409370e-05 / 12 * 365 * 86_400), rel=1e-6)


def test_twelve_returns_are_needed() -> None:
    """A minute of the grid."""
    assert realised(padded(WORKED, 6), 5).variance is None
    assert realised(padded(WORKED, 6), 5).returns == 11
    assert realised(padded(WORKED, 7), 5).variance is not None
    assert realised([], 5).annualised is None


def test_a_still_market_has_no_jump_share() -> None:
    """Nothing out of nothing is no share."""
    found = realised([100.0] * 20, 5)
    assert (found.variance, found.bps, found.jump_share) == (0.0, 0.0, None)


def test_what_is_missing_is_made_up_for_where_it_is_little() -> None:
    """A tenth of the returns gone: the variance of the rest stands for the whole; with a third gone it does not."""
    swing = [100.0 if i % 2 else 100.1 for i in range(41)]
    whole = realised(swing, 5)
    holed = realised([None if i in {10, 30} else mid for i, mid in enumerate(swing)], 5)
    assert holed.coverage == 0.9
    assert holed.variance == pytest.approx(whole.variance)
    # A large and a small step by turns: holes must not make the lack of neighbouring pairs look like jumps.
    uneven = [100.0 * (1 + (0.0, 4e-4, 5e-4, 1e-4)[i % 4]) for i in range(41)]
    known, part = realised(uneven, 5), realised([None if i in {10, 30} else mid for i, mid in enumerate(uneven)], 5)
    assert known.jump_share == pytest.approx(0.28, abs=0.01)
    assert part.jump_share == pytest.approx(known.jump_share, abs=0.005)
    assert realised([None if i % 8 == 4 else mid for i, mid in enumerate(swing)], 5).variance is None


def test_the_grid_stands_on_the_clock() -> None:
    """A row's mid is that of the end of its second; seconds without a mid leave a hole."""
    rows = [row(i, mid=100.0 + i) for i in range(-3, 20) if i != 9]
    assert grid_mids(rows, T0 + 20) == [99.0, 104.0, None, 114.0, 119.0]
    assert grid_mids(rows, T0 + 22) == [99.0, 104.0, None, 114.0, 119.0]
    assert grid_mids([], T0) == []


def test_only_the_trailing_hour_counts() -> None:
    """Earlier movement is not of this hour."""
    rows = [row(i, mid=100.0 if i >= -1 else 50.0 + i % 3) for i in range(-600, 3600)]
    found = hour_volatility(rows, T0 + 3600)
    assert (found.variance, found.span_secs, found.returns) == (0.0, 3600, 720)


def test_a_young_recording_is_measured_over_its_own_span() -> None:
    """Ten minutes after the start, ten minutes are whole."""
    rows = [row(i, mid=100.0 + i % 10) for i in range(600)]
    found = hour_volatility(rows, T0 + 600)
    assert (found.span_secs, found.coverage, found.returns) == (595, 1.0, 119)
    assert found.variance == pytest.approx(119 * log(109 / 104) ** 2)


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(1e-8, 1e12), max_size=60))
def test_every_grid_gives_finite_figures(mids: list[float | None]) -> None:
    """Never NaN or inf, and a share is one."""
    found = realised(mids, 5)
    for figure in (found.variance, found.bps, found.annualised, found.jump_share, found.coverage):
        assert figure is None or (isfinite(figure) and figure >= 0.0)
    assert found.jump_share is None or found.jump_share <= 1.0


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**6).map(float), min_size=13, max_size=40))
def test_neither_scaling_nor_inverting_price_changes_volatility(mids: list[float]) -> None:
    """The pair quoted the other way round moves as much."""
    one = realised(mids, 5)
    for other in (realised([10 * mid for mid in mids], 5), realised([1 / mid for mid in mids], 5)):
        assert other.bps == pytest.approx(one.bps, abs=1e-6)
        assert other.jump_share is None or other.jump_share == pytest.approx(one.jump_share, abs=1e-6)


@settings(deadline=None)
@given(generated_rows())
def test_every_list_of_rows_is_survived(rows: list[SecondRow]) -> None:
    """Holes, missing mids, nothing at all."""
    found = hour_volatility(rows, T0 + 40)
    assert found.returns <= 720
    assert 0.0 <= found.coverage <= 1.0
