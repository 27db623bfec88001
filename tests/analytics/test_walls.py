from __future__ import annotations

from itertools import accumulate
from math import log10
from operator import itemgetter
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.analytics.snapshot import BookLevel, BookLevels, DepthCurve, is_beyond, limit_at
from vibe_orderbook_mcp.analytics.walls import (
    WALL_BAND_BPS,
    PriceGroups,
    Wall,
    find_walls,
    price_groups,
    robust_log_z,
)
from vibe_orderbook_mcp.model.events import Side

SIZES = [0.8, 1.1, 0.5, 2.3, 0.9, 1.7, 0.6, 3.1, 1.2, 0.4, 0.7, 40.0, 1.5, 0.3, 2.0, 1.0, 0.95, 1.3, 0.85, 2.6]
LEVELS = [(100 - i * 0.1, size) for i, size in enumerate(SIZES)]


def walls_of(levels: BookLevels) -> list[Wall] | None:
    """Each level a group of its own."""
    return find_walls(
        PriceGroups(DepthCurve(levels, "ask"), list(range(len(levels) + 1)), [size for _, size in levels])
    )


def candidates(levels: BookLevels, side: Side, middle: float, tick: float) -> list[BookLevel]:
    groups = price_groups(DepthCurve(levels, side), middle, tick)
    return [(max(groups.levels(group), key=itemgetter(1))[0], size) for group, size in enumerate(groups.sizes)]


def test_one_outlier_among_twenty_levels_is_the_only_wall() -> None:
    """Twice the median (1.05) would flag four of these levels."""
    (wall,) = walls_of(LEVELS) or []
    assert wall.size == 40.0
    assert wall.z == pytest.approx(5.536, abs=5e-4)
    assert wall.share == pytest.approx(0.627, abs=5e-4)
    assert median(SIZES) == pytest.approx(1.05)
    assert sum(size > 2 * median(SIZES) for size in SIZES) == 4


def test_fewer_than_twenty_levels_say_nothing() -> None:
    """None is "cannot tell"; an empty list would be "there are none"."""
    assert walls_of(LEVELS[:10]) is None
    assert walls_of([]) is None


def test_a_flat_book_has_no_walls() -> None:
    """Equal sizes have no spread to stand out from."""
    assert walls_of([(float(i + 1), 1.0) for i in range(20)]) == []
    assert robust_log_z([2.0, 2.0, 2.0]) == [0.0, 0.0, 0.0]


def test_a_large_z_without_a_real_share_is_no_wall() -> None:
    """Both gates must hold: 5 times a typical tiny level is not size, if the side holds far more elsewhere."""
    sizes = [1.0 + i * 0.001 for i in range(100)] + [5.0]
    assert robust_log_z(sizes)[-1] > 2.5
    assert walls_of([(float(i + 1), size) for i, size in enumerate(sizes)]) == []


def test_a_wall_split_over_neighbouring_ticks_is_one_candidate() -> None:
    """At 60 000 a basis point is 600 ticks: 5 and 7 a few cents apart are one group, at the larger one's price."""
    levels = [(59_999.90, 5.0), (59_999.80, 7.0), (59_990.00, 1.0)]
    assert candidates(levels, "bid", 60_000.0, 0.01) == [(59_999.80, 12.0), (59_990.00, 1.0)]


def test_a_wall_of_several_levels_says_what_is_of_the_group_and_what_of_its_largest_level() -> None:
    levels = [(60_000.0 - 6 * (i + 1), 1.0 + i % 3) for i in range(25)]
    levels[9:10] = [(59_940.3, 20.0), (59_940.2, 30.0), (59_940.1, 10.0)]
    (wall,) = find_walls(price_groups(DepthCurve(levels, "bid"), 60_000.0, 0.01)) or []
    assert (wall.price, wall.level_size, wall.size, wall.low, wall.high) == (59_940.2, 30.0, 60.0, 59_940.1, 59_940.3)


@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize(
    ("near", "size"), [([40.0], None), ([40.0, 1.0], None), ([1.0, 40.0], 40.0), ([40.0, 50.0, 30.0], 80.0)]
)
def test_the_best_level_is_no_wall_and_no_part_of_one(side: Side, near: list[float], size: float | None) -> None:
    """What stands at the touch trades next. What stands right behind it is in front of nothing else."""
    sign = -1 if side == "bid" else 1
    levels = [(round(60_003.0 + sign * (i + 1) * 0.01, 2), each) for i, each in enumerate(near)]
    levels += [(60_003.0 + sign * 6 * (i + 1), 1.0 + i % 3) for i in range(25)]
    walls = find_walls(price_groups(DepthCurve(levels, side), 60_003.0, 0.01))
    assert [wall.size for wall in walls or ()] == ([] if size is None else [size])


def test_a_tick_wider_than_a_basis_point_is_its_own_group() -> None:
    """The grid is never finer than a tick, and levels beyond 1 % of mid are no candidates."""
    levels = [(100.1, 1.0), (100.2, 2.0), (101.0, 3.0), (101.1, 4.0)]
    assert candidates(levels, "ask", 100.0, 0.1) == [(100.1, 1.0), (100.2, 2.0), (101.0, 3.0)]


@settings(deadline=None)
@given(st.lists(st.floats(1e-8, 1e9), min_size=20, max_size=60), st.floats(0.01, 100.0))
def test_walls_do_not_depend_on_the_unit_of_size(sizes: list[float], factor: float) -> None:
    """Sizes in lots or in coins give the same scores."""
    assert robust_log_z([size * factor for size in sizes]) == pytest.approx(robust_log_z(sizes), rel=1e-5, abs=1e-5)


@settings(deadline=None)
@given(st.lists(st.floats(5e-324, 1e17), max_size=60))
def test_every_side_gives_a_list_or_none(sizes: list[float]) -> None:
    """No input makes a score infinite or NaN."""
    for wall in walls_of([(float(i + 1), size) for i, size in enumerate(sizes)]) or []:
        assert wall.z >= 2.5
        assert 0.05 <= wall.share <= 1.0


@st.composite
def grouped_sides(draw: st.DrawFn) -> tuple[Side, BookLevels, float, float]:
    """A side on a grid between far finer than a basis point and coarser, dense or with holes."""
    side: Side = draw(st.sampled_from(("bid", "ask")))
    tick, best = draw(st.sampled_from([(0.01, 6_765_001), (0.01, 9_990), (0.1, 1_000), (1e-8, 1_734)]))
    sign = -1 if side == "bid" else 1
    gaps = draw(st.lists(st.integers(1, max(1, best // 9_000)), max_size=120))
    ticks = [best, *accumulate((sign * gap for gap in gaps), initial=best + sign)]
    sizes = draw(st.lists(st.integers(1, 10**9), min_size=len(ticks), max_size=len(ticks)))
    digits = round(-log10(tick))
    levels = [(round(t * tick, digits), lots / 1e5) for t, lots in zip(ticks, sizes, strict=True) if t > 0]
    return side, levels, round((best - sign * 0.5) * tick, digits + 1), tick


@settings(deadline=None)
@given(grouped_sides())
def test_groups_are_what_dividing_every_level_gives(book: tuple[Side, BookLevels, float, float]) -> None:
    """By the definition (1.5), a level at a time, instead of edges found by bisection."""
    side, levels, middle, tick = book
    limit, step = limit_at(middle, side, WALL_BAND_BPS), max(1, round(middle * 1e-4 / tick))
    groups: dict[int, list[BookLevel]] = {}
    for price, size in levels:
        if not is_beyond(price, side, limit):
            groups.setdefault(round(price / tick) // step, []).append((price, size))
    fast, slow = candidates(levels, side, middle, tick), list(groups.values())
    assert [price for price, _ in fast] == [max(group, key=itemgetter(1))[0] for group in slow]
    assert [size for _, size in fast] == pytest.approx([sum(size for _, size in group) for group in slow], rel=1e-12)
