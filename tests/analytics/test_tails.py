"""How often quiet alone sets off an alarm: the chosen number of times a day, also where little is known yet."""

from __future__ import annotations

import random
from math import exp
from statistics import fmean

import pytest

from vibe_orderbook_mcp.analytics.usual.tails import PEAKS_LEAST, VALUES_NEEDED, alarm_level, three_within


@pytest.mark.parametrize("hours", [1, 3, 24])
def test_exponential_values_exceed_the_level_as_often_as_chosen(hours: int) -> None:
    """A thousand a day. Mean exceedance of the next day over many baselines: 0.1, whatever their length.

    The highest value so far, as a level, is exceeded 24 times a day after the first hour.
    """
    rng = random.Random(hours)
    count = 1000 * hours // 24
    levels, records = [], []
    for _ in range(400):
        values = [rng.expovariate(1.0) for _ in range(count)]
        level = alarm_level([(value, 1) for value in values], hours / 24, a_day=0.1)
        assert level is not None
        levels.append(level)
        records.append(max(values))
    assert 0.05 < 1000 * fmean(exp(-level) for level in levels) < 0.2
    assert 1000 * fmean(exp(-record) for record in records) == pytest.approx(24 / hours, rel=0.3)


def test_a_young_baseline_demands_more() -> None:
    """The same shape of history from an hour and from a day: mean excess 1 over 0."""
    hour = alarm_level([(1.0, PEAKS_LEAST), (0.0, 72)], 1 / 24)
    day = alarm_level([(1.0, 100), (0.0, 1820)], 1.0)
    assert hour == pytest.approx(8 * ((8 * 24 / 0.1) ** (1 / 8) - 1))
    assert day == pytest.approx(100 * ((100 / 0.1) ** (1 / 100) - 1))
    assert hour is not None
    assert day is not None
    assert hour > 1.7 * day


def test_too_little_is_said_to_be_too_little() -> None:
    assert alarm_level([(1.0, VALUES_NEEDED - 1)], 1.0) is None
    assert alarm_level([(1.0, VALUES_NEEDED)], 0.0) is None
    assert alarm_level([(2.0, VALUES_NEEDED)], 1.0) == 2.0  # nothing but one value: beyond it is beyond all


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_three_events_fall_within_a_minute_as_often_as_said(rate: float) -> None:
    """Poisson events: counted over 200,000 minutes against the chance for a rate that is well known."""
    rng = random.Random(7)
    minutes, at, times = 200_000, 0.0, []
    while at < minutes:
        at += rng.expovariate(rate)
        times.append(at)
    triples = sum(third - first <= 1.0 for first, third in zip(times, times[2:], strict=False))
    assert triples / minutes == pytest.approx(three_within(round(rate * minutes), minutes), rel=0.25)


def test_none_in_an_hour_is_not_never() -> None:
    """Two sides of an hour without one event: three at once are expected in 5e-7 of the minutes, not in none."""
    assert three_within(0, 120.0) == pytest.approx(0.5 * 1.5 * 2.5 / (2 * 120**3))
    assert 0.0 < three_within(0, 120.0) < three_within(3, 120.0) < three_within(30, 120.0)
