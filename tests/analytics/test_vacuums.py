from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given, settings

from tests.analytics.tape import volumes
from vibe_orderbook_mcp.analytics.profile.vacuums import TradedVacuum, core, severity, traded_vacuums

WORKED = [10, 50, 60, 3, 0, 4, 55, 20, 48, 52, 9]


def zones(volume: list[int]) -> list[tuple[int, int]]:
    return [(zone.first, zone.last) for zone in traded_vacuums(volume, [20] * len(volume)).zones]


def test_the_vacuum_worked_by_hand() -> None:
    """34 is usual, bins 3 to 5 hold 7 of what would be 102; the thin tails are no vacuums."""
    found = traded_vacuums(WORKED, [20] * len(WORKED))
    assert found.reference == 34.0
    (zone,) = found.zones
    assert (zone.first, zone.last, zone.severity) == (3, 5, "High")
    assert zone.deficit_pct == pytest.approx(93.1373, abs=1e-4)
    assert not found.low_confidence


def test_even_trading_has_no_vacuum_and_a_hole_is_a_critical_one() -> None:
    """Prices that nobody traded at count as empty, not as missing."""
    assert zones([20, 30, 25, 28]) == []
    assert traded_vacuums([40, 0, 0, 40], [20] * 4).zones == (TradedVacuum(1, 2, 100.0, "Critical"),)


def test_mostly_empty_profiles_are_still_seen_through() -> None:
    """The median of all bins would be 0 here, and nothing below it."""
    assert zones([40, 0, 0, 0, 0, 40, 0, 0, 0, 38]) == [(1, 4), (6, 8)]


def test_half_of_usual_is_not_low() -> None:
    """The rule says less than half."""
    assert zones([40, 20, 40]) == []
    assert zones([40, 19, 40]) == [(1, 1)]


def test_the_core_leaves_out_the_last_percent_at_each_end() -> None:
    """A spike that hardly traded must not stretch the range."""
    assert core([1, 0, 50, 60, 0, 1]) == (2, 3)
    assert core([1, 99]) == (1, 1)  # exactly 1 % is outside
    assert core([99, 1]) == (0, 0)
    assert core([5]) == (0, 0)
    assert core([0, 0]) is None
    assert core([]) is None


@pytest.mark.parametrize(
    ("deficit", "name"),
    [(50.1, "Medium"), (80.0, "Medium"), (80.1, "High"), (95.0, "High"), (95.1, "Critical"), (100.0, "Critical")],
)
def test_severity_bands(deficit: float, name: str) -> None:
    assert severity(deficit) == name


def test_few_trades_a_bin_are_low_confidence() -> None:
    """Nine trades a bin: half of that is chance."""
    assert traded_vacuums([40, 1, 40], [9, 30, 9]).low_confidence
    assert not traded_vacuums([40, 1, 40], [10, 1, 10]).low_confidence
    assert traded_vacuums([0, 0], [0, 0]).low_confidence
    assert traded_vacuums([0, 0], [0, 0]).reference is None


@settings(deadline=None)
@given(volumes)
def test_every_vacuum_is_inside_thin_and_graded(volume: list[int]) -> None:
    """Whatever was traded: finite, within the core, below half of usual, and all of it."""
    found = traded_vacuums(volume, [1] * len(volume))
    if found.reference is None:
        assert not any(volume)
        return
    first, last = core(volume) or (0, 0)
    inside = set()
    for zone in found.zones:
        assert first < zone.first <= zone.last < last
        assert 50 < zone.deficit_pct <= 100
        assert isfinite(zone.deficit_pct)
        inside |= set(range(zone.first, zone.last + 1))
        assert 2 * volume[zone.first - 1] >= found.reference
        assert 2 * volume[zone.last + 1] >= found.reference
    assert all(2 * volume[index] < found.reference for index in inside)


@settings(deadline=None)
@given(volumes)
def test_scaling_and_mirroring_move_no_vacuum(volume: list[int]) -> None:
    last = len(volume) - 1
    assert zones([10 * amount for amount in volume]) == zones(volume)
    assert sorted((last - stop, last - start) for start, stop in zones(volume[::-1])) == zones(volume)
