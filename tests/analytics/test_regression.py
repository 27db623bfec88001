from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.analytics.numbers import fit_line

POINTS = st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), max_size=40)


def test_the_line_worked_by_hand() -> None:
    """Slope 0.477551, R2 0.990664, t 20.60."""
    line = fit_line([1.0, -2.0, 0.5, 3.0, -1.5, 0.0], [0.6, -0.9, 0.2, 1.4, -0.8, 0.1])
    assert line is not None
    assert line.slope == pytest.approx(7.8 / (16.5 - 1 / 6), abs=1e-12)
    assert line.r2 == pytest.approx(0.990664, abs=1e-6)
    assert line.t == pytest.approx(20.60, abs=5e-3)
    assert line.n == 6


def test_no_variation_in_x_gives_no_line() -> None:
    """Without flow there is no impact to measure."""
    assert fit_line([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert fit_line([], []) is None
    assert fit_line([1.0], [1.0]) is None


def test_a_perfect_line_has_no_t_and_a_flat_one_no_r2() -> None:
    """Both would divide by zero."""
    perfect, flat = fit_line([0.0, 1.0, 2.0], [1.0, 3.0, 5.0]), fit_line([0.0, 1.0, 2.0], [4.0, 4.0, 4.0])
    assert perfect is not None
    assert flat is not None
    assert (perfect.slope, perfect.intercept, perfect.r2, perfect.t) == (2.0, 1.0, 1.0, None)
    assert (flat.slope, flat.r2, flat.t) == (0.0, None, None)


@settings(deadline=None)
@given(POINTS)
def test_every_fit_is_finite(points: list[tuple[float, float]]) -> None:
    """Never NaN or inf, whatever the points are."""
    line = fit_line([x for x, _ in points], [y for _, y in points])
    if line is not None:
        assert all(isfinite(value) for value in (line.slope, line.intercept, line.r2 or 0.0, line.t or 0.0))
        assert line.r2 is None or 0.0 <= line.r2 <= 1.0
