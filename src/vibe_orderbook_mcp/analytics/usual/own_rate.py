"""The height at which a figure is unusual for its symbol: a floor that is the same for all, and the symbol's own rate.

For every symbol level 1 comes at most about 20 times a day and level 2 about twice. A value must reach the floor and
the k-th largest peak of the symbol's own episodes in the 24 h before, k = 20 (2) a day. Each of n equal peaks is as
likely to be the largest, so this is also the expected rate. Nothing is extrapolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Final, Literal, NamedTuple, get_args

from vibe_orderbook_mcp.analytics.usual.baseline import Baseline
from vibe_orderbook_mcp.analytics.usual.hours import Peak

Measure = Literal["price", "volume", "sweep", "depth", "spread"]

MEASURES: Final[tuple[Measure, ...]] = get_args(Measure)
# Of level 1 and level 2, in the measure's own unit.
FLOORS: Final[dict[Measure, tuple[float, float]]] = {
    "price": (5.0, 8.0),
    "volume": (8.0, 20.0),
    "sweep": (0.25, 1.0),
    "depth": (1.32, 2.32),
    "spread": (3.0, 6.0),
}
A_DAY: Final = (20, 2)
DAY_SECS: Final = 86_400
APART_SECS: Final = 60


class Reached(NamedTuple):
    """A measure in one second. `level` is None without enough history for a verdict."""

    value: float
    level: int | None


Levels = dict[Measure, Reached]  # an unknown measure is missing


def own_threshold(peaks: Sequence[float], days: float, a_day: int) -> float | None:
    """The height that the symbol reached `a_day` times a day, from its peaks in the `days` before.

    None: it had fewer peaks, so the floor alone decides.
    """
    k = max(1, ceil(a_day * days))
    return sorted(peaks, reverse=True)[k - 1] if len(peaks) >= k else None


def level_of(measure: Measure, value: float, peaks: Sequence[float], days: float) -> int:
    """0 usual, 1 unusual, 2 rare."""
    level = 0
    for floor, a_day in zip(FLOORS[measure], A_DAY, strict=True):
        if value >= floor:
            own = own_threshold(peaks, days, a_day)
            level += own is None or value >= own
    return level


class _Streak:
    """Seconds at or above the floor of level 1, a minute apart at most."""

    __slots__ = ("first", "last", "peak")

    def __init__(self, second: int, value: float) -> None:
        self.first = self.last = second
        self.peak: Peak = (second, value)


class Episodes:
    """The peak of each episode of a measure. The baseline stores the peaks."""

    def __init__(self) -> None:
        self._running: dict[str, _Streak] = {}

    def grow(self, measure: str, second: int, value: float) -> None:
        """A value at or above the floor."""
        running = self._running.get(measure)
        if running is None:
            self._running[measure] = _Streak(second, value)
            return
        running.last = second
        if value > running.peak[1]:
            running.peak = second, value

    def end(self, second: int, baseline: Baseline) -> None:
        """A peak counts a minute after the end of its episode. It counts once, even if a restart sees it again."""
        for measure, running in list(self._running.items()):
            if second - running.last < APART_SECS:
                continue
            del self._running[measure]
            counted = baseline.peaks(measure, running.first - APART_SECS)
            if not any(peak[0] <= running.last + APART_SECS for peak in counted):
                baseline.add_peak(measure, running.peak)


class OwnRates:
    """Call `second` for every second in order."""

    def __init__(self) -> None:
        self._episodes = Episodes()

    def second(self, second: int, values: dict[Measure, float], baseline: Baseline) -> Levels:
        """The level of each value. An open episode is not compared with its own peak."""
        is_ready, days = baseline.is_ready, days_of(baseline)
        out: Levels = {}
        for measure, value in values.items():
            level = 0
            if value >= FLOORS[measure][0]:
                level = level_of(measure, value, peaks_of(baseline, measure, second), days)
                self._episodes.grow(measure, second, value)
            out[measure] = Reached(value, level if is_ready else None)
        self._episodes.end(second, baseline)
        return out


def days_of(baseline: Baseline) -> float:
    """How much of the last day was recorded, in days."""
    return min(1.0, baseline.seconds / DAY_SECS)


def peaks_of(baseline: Baseline, measure: str, second: int) -> list[float]:
    """Of the 24 h before."""
    return [value for _, value in baseline.peaks(measure, second - DAY_SECS)]


def times_a_day(baseline: Baseline, measure: Measure, value: float, second: int) -> float | None:
    """How often the symbol's own last day reached the value. None before 24 h of history, and below the floor of
    level 1, below which no peaks are stored.
    """
    days = days_of(baseline)
    if days < 1.0 or value < FLOORS[measure][0]:
        return None
    return sum(peak >= value for peak in peaks_of(baseline, measure, second)) / days
