"""The floor of a measure, and how often the symbol itself reaches a value."""

from __future__ import annotations

import pytest

from tests.analytics.rows import T0
from tests.analytics.watching import WARM_SECS, warm
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline
from vibe_orderbook_mcp.analytics.usual.hours import decode, encode
from vibe_orderbook_mcp.analytics.usual.own_rate import OwnRates, Reached, level_of, own_threshold, times_a_day

BUSY_DAY = [0.25 + 0.01 * k for k in range(300)]  # 300 sweeps of 0.25 to 3.24
NOW = T0 + WARM_SECS


def test_the_numbers_worked_by_hand() -> None:
    """A symbol that meets the floor hundreds of times a day: its own rate decides."""
    assert own_threshold(BUSY_DAY, 1.0, 20) == BUSY_DAY[-20]
    assert own_threshold(BUSY_DAY[:100], 0.25, 2) == BUSY_DAY[99]
    assert own_threshold(BUSY_DAY[:19], 1.0, 20) is None
    assert [level_of("sweep", value, BUSY_DAY, 1.0) for value in (0.5, 3.0, 3.1, 3.3)] == [0, 0, 1, 2]
    assert level_of("sweep", 0.5, (), 1.0) == 1
    assert level_of("sweep", 0.24, (), 1.0) == 0
    assert level_of("volume", 20.0, (), 1 / 24) == 2


def test_an_hour_in_needs_to_be_the_largest_so_far() -> None:
    """A twenty-fourth of a day may have one of either level."""
    assert level_of("price", 9.0, [6.0, 8.5], 1 / 24) == 2
    assert level_of("price", 8.4, [6.0, 8.5], 1 / 24) == 0


def run(baseline: Baseline, values: dict[int, float], until: int) -> list[Reached]:
    """One value a second, 1 where none is given."""
    rates = OwnRates()
    return [
        rates.second(NOW + second, {"price": values.get(second, 1.0)}, baseline)["price"] for second in range(until)
    ]


def test_an_episode_is_seconds_a_minute_apart_and_counts_a_minute_after_its_end() -> None:
    baseline = warm().baseline
    told = run(baseline, {10: 6.0, 40: 7.0, 100: 5.5, 161: 9.0}, 221)
    assert [told[second].level for second in (9, 10, 40, 100, 161)] == [0, 1, 1, 1, 2]
    assert baseline.peaks("price", NOW) == [(NOW + 40, 7.0)]
    run(baseline, {}, 1)
    assert baseline.peaks("price", NOW + 41) == []


def test_a_running_episode_is_not_compared_with_its_own_peak() -> None:
    """Else its second second would have to be larger than its first."""
    assert [each.level for each in run(warm().baseline, {5: 8.5, 6: 8.1, 7: 5.1}, 8)][5:] == [2, 2, 1]


def test_its_own_rate_raises_the_level_of_a_symbol_that_often_reaches_the_floor() -> None:
    baseline = warm().baseline
    told = run(baseline, {120 * k: 6.0 for k in range(10)} | {1250: 6.0, 1400: 5.9, 1600: 6.1}, 1700)
    assert [told[second].level for second in (0, 120, 1250, 1400, 1600)] == [1, 1, 1, 0, 1]


def test_before_an_hour_there_is_no_level_and_peaks_are_learned_all_the_same() -> None:
    baseline = Baseline(0.01)
    assert run(baseline, {5: 8.5}, 70)[5] == Reached(8.5, None)
    assert baseline.peaks("price", 0) == [(NOW + 5, 8.5)]


def test_peaks_survive_a_restart_and_are_counted_once() -> None:
    """The rows behind the stored hours are seen again, and with them the episode."""
    baseline = warm().baseline
    run(baseline, {10: 6.0}, 90)
    again = Baseline(0.01)
    again.restore([decode(encode(block)) for block in baseline.take_blocks()])
    assert again.peaks("price", NOW) == [(NOW + 10, 6.0)]
    run(again, {10: 6.0}, 90)
    assert again.peaks("price", NOW) == [(NOW + 10, 6.0)]
    run(again, {9: 6.2}, 90)  # the same, but for what is usual having changed a little
    assert again.peaks("price", NOW) == [(NOW + 10, 6.0)]


def test_how_often_a_day_needs_a_day() -> None:
    baseline = warm().baseline
    baseline.add_peak("price", (NOW, 6.0))
    assert times_a_day(baseline, "price", 6.0, NOW + 10) is None

    class Day(Baseline):
        seconds = 86_400  # it was watched

    day = Day(0.01)
    for place in range(10):
        day.add_peak("price", (NOW + 200 * place, 5.0 + place))
    assert times_a_day(day, "price", 9.0, NOW + 3000) == pytest.approx(6.0)
    assert times_a_day(day, "price", 20.0, NOW + 3000) == 0.0
    assert times_a_day(day, "price", 4.9, NOW + 3000) is None
    assert times_a_day(day, "price", 9.0, NOW + 86_400 + 1000) == pytest.approx(5.0)  # the oldest have left
