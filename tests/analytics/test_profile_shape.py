from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given, settings

from tests.analytics.tape import volumes
from vibe_orderbook_mcp.analytics.profile.shape import (
    nodes,
    point_of_control,
    quantile,
    smoothed,
    value_area,
)

WORKED = [5, 10, 20, 40, 60, 35, 18, 25, 30, 4, 3]


@pytest.mark.parametrize(
    ("volume", "index"),
    [
        (WORKED, 4),
        ([7, 1, 1, 7, 1], 3),  # one row from the middle beats two
        ([5, 9, 1, 9, 2], 1),  # as near: the lower half holds 14, the upper 11
        ([2, 9, 1, 9, 5], 3),
        ([3, 9, 1, 9, 3], 1),  # as heavy: the lower price
        ([9, 9], 0),
        ([4], 0),
        ([0, 0], None),
        ([], None),
    ],
)
def test_the_point_of_control_and_its_ties(volume: list[int], index: int | None) -> None:
    assert point_of_control(volume) == index


def test_the_value_area_of_the_sheet_by_both_rules() -> None:
    """Pairs reach 228 of 250 in bins 2 to 8, single rows 198 in bins 2 to 7."""
    pairs, single = value_area(WORKED), value_area(WORKED, "single_row")
    assert pairs is not None
    assert single is not None
    assert (pairs.first, pairs.last, pairs.share) == (2, 8, 228 / 250)
    assert (single.first, single.last, single.share) == (2, 7, 198 / 250)


def test_empty_rows_keep_distant_prices_apart() -> None:
    """Without its three empty rows, 30 and 40 would look like neighbours."""
    area = value_area([30, 0, 0, 0, 40, 20, 10], "single_row")
    assert area is not None
    assert (area.first, area.last) == (4, 6)


@pytest.mark.parametrize(
    ("volume", "first", "last"),
    [
        ([10], 0, 0),
        ([10, 20, 10], 1, 2),  # tie: above
        ([10, 10, 0, 30, 0, 10, 10], 3, 6),  # equal pairs, twice: above
        ([70, 15, 15], 0, 0),  # the target is reached exactly
        ([3, 4, 9, 1], 0, 2),  # one row left above: 1 against 7
    ],
)
def test_ties_and_ends_of_the_value_area(volume: list[int], first: int, last: int) -> None:
    """A tie goes above; what rows remain are the pair; the target itself is enough."""
    area = value_area(volume)
    assert area is not None
    assert (area.first, area.last) == (first, last)


def test_nothing_traded_has_no_value_area() -> None:
    """Null is never replaced by an area."""
    assert value_area([0, 0]) is None
    assert nodes([0, 0, 0]) == ([], [])
    assert nodes([]) == ([], [])


def test_the_nodes_worked_by_hand() -> None:
    """High at 2 and 7, low at 5."""
    assert nodes([1, 8, 30, 9, 2, 1, 7, 25, 10, 3]) == ([(2, 2), (7, 7)], [(5, 5)])


def test_a_plateau_is_one_node() -> None:
    """Three empty rows side by side are one gap to a reader."""
    assert nodes([1, 9, 9, 1, 0, 0, 0, 5, 1])[1] == [(4, 6)]
    assert nodes([1, 9, 9, 1, 0, 0, 0, 5, 1])[0] == [(1, 2), (7, 7)]


def test_long_profiles_are_smoothed() -> None:
    """One quiet bin in a busy stretch of a fine profile is noise, not a node."""
    assert smoothed([4, 0, 4]) == [8, 8, 8]
    spiky = [10, 12] * 30
    assert len(nodes(spiky[:50])[0]) > 20
    assert len(nodes(spiky)[0]) < 3


@pytest.mark.parametrize(("part", "value"), [(0.0, 1.0), (0.25, 1.75), (0.5, 2.5), (1.0, 4.0)])
def test_quantiles_are_of_type_7(part: float, value: float) -> None:
    """Linear between order statistics, as numpy has it."""
    assert quantile([4, 1, 3, 2], part) == value


@settings(deadline=None)
@given(volumes)
def test_every_value_area_holds_its_share_around_the_point_of_control(volume: list[int]) -> None:
    """70 % or more, no row more than a step needs, and the share is what the rows sum to."""
    for rule in ("cbot", "single_row"):
        area, control = value_area(volume, rule), point_of_control(volume)
        if area is None or control is None:
            assert not any(volume)
            continue
        assert 0 <= area.first <= control <= area.last < len(volume)
        assert area.share == sum(volume[area.first : area.last + 1]) / sum(volume)
        assert 0.7 <= area.share <= 1.0
        assert isfinite(area.share)


@settings(deadline=None)
@given(volumes)
def test_scaling_volume_moves_nothing(volume: list[int]) -> None:
    """A unit of size is not information."""
    tenfold = [10 * amount for amount in volume]
    assert point_of_control(volume) == point_of_control(tenfold)
    assert value_area(volume) == value_area(tenfold)
    assert nodes(volume) == nodes(tenfold)


@settings(deadline=None)
@given(volumes)
def test_nodes_of_the_mirror_image_are_mirrored(volume: list[int]) -> None:
    """Up and down are alike."""
    last = len(volume) - 1
    for direct, mirrored in zip(nodes(volume), nodes(volume[::-1]), strict=True):
        assert direct == sorted((last - stop, last - start) for start, stop in mirrored)
