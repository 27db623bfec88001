from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_orderbook_mcp.analytics.usual.trailing import MAD_TO_SIGMA, Trailing


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(-1e6, 1e6))
def test_median_and_spread_equal_the_plain_ones(values: list[float], middle: float) -> None:
    """The search over the ordered list is a shortcut, not another figure."""
    trailing = Trailing(1000)
    for second, value in enumerate(values):
        trailing.add(second, value)
    assert trailing.median == median(values)
    assert trailing.sigma(middle) == pytest.approx(MAD_TO_SIGMA * median(abs(value - middle) for value in values))


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=40))
def test_only_the_last_seconds_count(values: list[float]) -> None:
    """Equal values must not take each other's place when they leave."""
    trailing = Trailing(5)
    for second, value in enumerate(values):
        trailing.add(second, value)
    assert len(trailing) == len(values[-5:])
    assert trailing.median == median(values[-5:])


def test_nothing_has_no_median() -> None:
    assert Trailing(5).median is None
    assert Trailing(5).sigma(0.0) == 0.0
