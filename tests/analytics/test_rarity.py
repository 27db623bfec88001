from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.ranks import percentile_rank
from vibe_orderbook_mcp.analytics.rarity import Ranks, effective_count, lag1_autocorrelation, n_eff, rarity

BASE = [1.0, 2.0, 2.0, 3.0, 5.0]
VALUES = st.floats(-1e9, 1e9)


@pytest.mark.parametrize(("value", "expected"), [(0, 0.0833), (2, 0.4167), (4, 0.75), (99, 0.9167)])
def test_ranks_worked_by_hand(value: float, expected: float) -> None:
    """Half a count for ties, half a count for the value itself."""
    assert Ranks(BASE).rank(value) == percentile_rank(BASE, value) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize(("phi", "expected"), [(0.9, 4547), (0.99, 434)])
def test_a_day_of_seconds_holds_few_independent_ones(phi: float, expected: int) -> None:
    """So that nobody reads 0.9999 off a single day."""
    assert round(n_eff(86_400, phi)) == expected


def test_rarity_is_capped_by_the_independent_count() -> None:
    """A baseline that drifts slowly cannot certify one in 201, however many windows it has."""
    drifting = [float(i // 50) for i in range(200)]
    assert Ranks(drifting).rank(99.0) > 0.997
    assert rarity(drifting, 99.0) == pytest.approx(1 - 1 / (effective_count(drifting) + 1))
    assert rarity(drifting, 99.0) < 0.9
    alternating = [float(i % 2) for i in range(200)]
    assert rarity(alternating, 99.0) == pytest.approx(200 / 201)
    assert rarity(alternating, 0.5) == Ranks(alternating).rank(0.5)


def test_a_constant_series_is_not_autocorrelated() -> None:
    """No variation is no evidence of persistence, and no division by zero."""
    assert lag1_autocorrelation([2.0] * 9) == 0.0
    assert lag1_autocorrelation([]) == 0.0
    assert lag1_autocorrelation([1.0, -1.0] * 50) < -0.9


@settings(deadline=None)
@given(st.lists(VALUES, max_size=50), VALUES, VALUES)
def test_ranks_are_inside_zero_and_one_and_rise_with_the_value(base: list[float], one: float, other: float) -> None:
    """Never 0, never 1, and a larger value is never less rare."""
    low, high = sorted((one, other))
    assert 0.0 < Ranks(base).rank(low) <= Ranks(base).rank(high) < 1.0
    assert 0.0 <= rarity(base, low) <= rarity(base, high) < 1.0
