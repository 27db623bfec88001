from __future__ import annotations

from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.analytics.walls import find_walls, robust_log_z, wall_candidates

SIZES = [0.8, 1.1, 0.5, 2.3, 0.9, 1.7, 0.6, 3.1, 1.2, 0.4, 0.7, 40.0, 1.5, 0.3, 2.0, 1.0, 0.95, 1.3, 0.85, 2.6]
LEVELS = [(100 - i * 0.1, size) for i, size in enumerate(SIZES)]


def test_one_outlier_among_twenty_levels_is_the_only_wall() -> None:
    """Sheet 1.5: twice the median (1.05) would flag four of these levels."""
    (wall,) = find_walls(LEVELS) or []
    assert wall.size == 40.0
    assert wall.z == pytest.approx(5.536, abs=5e-4)
    assert wall.share == pytest.approx(0.627, abs=5e-4)
    assert median(SIZES) == pytest.approx(1.05)
    assert sum(size > 2 * median(SIZES) for size in SIZES) == 4


def test_fewer_than_twenty_levels_say_nothing() -> None:
    """None is "cannot tell"; an empty list would be "there are none"."""
    assert find_walls(LEVELS[:10]) is None
    assert find_walls([]) is None


def test_a_flat_book_has_no_walls() -> None:
    """Equal sizes have no spread to stand out from."""
    assert find_walls([(float(i + 1), 1.0) for i in range(20)]) == []
    assert robust_log_z([2.0, 2.0, 2.0]) == [0.0, 0.0, 0.0]


def test_a_large_z_without_a_real_share_is_no_wall() -> None:
    """Both gates must hold: 5 times a typical tiny level is not size, if the side holds far more elsewhere."""
    sizes = [1.0 + i * 0.001 for i in range(100)] + [5.0]
    assert robust_log_z(sizes)[-1] > 2.5
    assert find_walls([(float(i + 1), size) for i, size in enumerate(sizes)]) == []


def test_a_wall_split_over_neighbouring_ticks_is_one_candidate() -> None:
    """At 60 000 a basis point is 600 ticks: 5 and 7 a few cents apart are one group, at the larger one's price."""
    levels = [(59_999.90, 5.0), (59_999.80, 7.0), (59_990.00, 1.0)]
    assert wall_candidates(levels, "bid", 60_000.0, 0.01) == [(59_999.80, 12.0), (59_990.00, 1.0)]


def test_a_tick_wider_than_a_basis_point_is_its_own_group() -> None:
    """The grid is never finer than a tick, and levels beyond 1 % of mid are no candidates."""
    levels = [(100.1, 1.0), (100.2, 2.0), (101.0, 3.0), (101.1, 4.0)]
    assert wall_candidates(levels, "ask", 100.0, 0.1) == [(100.1, 1.0), (100.2, 2.0), (101.0, 3.0)]


@settings(deadline=None)
@given(st.lists(st.floats(1e-8, 1e9), min_size=20, max_size=60), st.floats(0.01, 100.0))
def test_walls_do_not_depend_on_the_unit_of_size(sizes: list[float], factor: float) -> None:
    """Sizes in lots or in coins give the same scores."""
    assert robust_log_z([size * factor for size in sizes]) == pytest.approx(robust_log_z(sizes), rel=1e-5, abs=1e-5)


@settings(deadline=None)
@given(st.lists(st.floats(5e-324, 1e17), max_size=60))
def test_every_side_gives_a_list_or_none(sizes: list[float]) -> None:
    """No input makes a score infinite or NaN."""
    for wall in find_walls([(float(i + 1), size) for i, size in enumerate(sizes)]) or []:
        assert wall.z >= 2.5
        assert 0.05 <= wall.share <= 1.0
