"""What `scripts/soak` calls growth."""

from __future__ import annotations

import random

import pytest

from tests.e2e.growth import BUSY_PERCENT, Rule, growth

LOOK_HOURS = 5 / 3600
MEMORY = Rule("memory, MB", 60.0, 8.0, False, "")
LAG = Rule("loop lag, ms", 20.0, 5.0, True, "")


def hours(minutes: float) -> list[float]:
    return [number * LOOK_HOURS for number in range(round(minutes * 60 / 5))]


@pytest.mark.parametrize("minutes", [1.0, 15.0, 180.0])
@pytest.mark.parametrize("seed", range(20))
def test_noise_of_a_level_figure_is_no_growth_however_short_the_run(minutes: float, seed: int) -> None:
    """A line through half a minute of noise rises by hundreds an hour."""
    chance = random.Random(seed)
    at = hours(minutes)
    assert growth(MEMORY, at, [chance.gauss(170.0, 3.0) for _ in at], [0.0] * len(at)).is_fine


@pytest.mark.parametrize(("minutes", "mb_an_hour"), [(15.0, 150.0), (60.0, 90.0), (180.0, 70.0)])
def test_a_leak_is_growth(minutes: float, mb_an_hour: float) -> None:
    """The longer the run, the smaller the leak that it finds."""
    at = hours(minutes)
    found = growth(MEMORY, at, [170.0 + mb_an_hour * hour for hour in at], [0.0] * len(at))
    assert not found.is_fine
    assert found.risen == pytest.approx(mb_an_hour * 2 / 3 * minutes / 60, rel=0.05)


def test_a_moment_of_a_busy_machine_is_no_growth() -> None:
    at = hours(15.0)
    lag = [1.0] * (len(at) - 12) + [400.0] * 12
    assert growth(LAG, at, lag, [0.0] * len(at)).is_fine


def test_looks_without_a_processor_count_for_what_depends_on_time_only_where_it_had_one() -> None:
    at = hours(15.0)
    busy = [0.0 if number < 60 else BUSY_PERCENT for number in range(len(at))]
    rising = [float(number) for number in range(len(at))]
    assert growth(LAG, at, rising, busy).risen is None  # nothing is known of its last third
    assert growth(LAG, at, rising, busy).is_fine
    assert not growth(LAG, at, rising, [0.0] * len(at)).is_fine
    assert not growth(MEMORY, at, rising, busy).is_fine  # a leak is one on a busy machine too


def test_too_few_looks_say_nothing() -> None:
    at = hours(0.5)
    assert growth(MEMORY, at, [1e6 * hour for hour in at], [0.0] * len(at)).risen is None
