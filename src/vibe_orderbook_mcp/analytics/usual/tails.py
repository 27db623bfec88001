"""Thresholds for alarms: how often a quiet market alone would exceed them.

A rank among n values cannot give that rate. The next value exceeds the highest of n with chance 1 / (n + 1), so an
alarm at every record comes ln(24) = 3.2 times between the first hour and the end of the first day. Here the number of
false alarms a day is chosen, and the uncertainty of a young baseline raises the threshold.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# For each kind of alarm and symbol, in a quiet market.
ALARMS_A_DAY: Final = 0.1
PEAK_SHARE: Final = 0.1
PEAKS_LEAST: Final = 8
PEAKS_MOST: Final = 100
VALUES_NEEDED: Final = 2 * PEAKS_LEAST


def alarm_level(values: Iterable[tuple[float, int]], days: float, *, a_day: float = ALARMS_A_DAY) -> float | None:
    """The level that values exceed `a_day` times a day. None: too few values.

    `values` are (value, how often), of `days` of quiet. Beyond a high threshold they exceed it by amounts that are
    about exponentially distributed (peaks over threshold; Pickands 1975, Davison & Smith 1990). With N peaks of mean
    excess m, the next one exceeds it by y with chance (1 + y / (N m)) ** -N: exact for exponential excesses of any
    mean. N peaks give
    that mean only roughly.
    """
    ordered = sorted(values, reverse=True)
    count = sum(often for _, often in ordered)
    if count < VALUES_NEEDED or days <= 0.0:
        return None
    wanted = min(PEAKS_MOST, max(PEAKS_LEAST, int(count * PEAK_SHARE)))
    threshold, peaks, total = ordered[-1][0], 0, 0.0
    for value, often in ordered:
        if peaks >= wanted:
            threshold = value
            break
        peaks, total = peaks + often, total + often * value
    excess = total - peaks * threshold
    times = max(1.0, peaks / days / a_day)
    return threshold + excess * (float(times ** (1 / peaks)) - 1.0)


def three_within(events: int, spans: float) -> float:
    """How many times a span three or more events fall within one span's length, by chance.

    `events` were seen in `spans`. For a rate r a span, an event follows two others within a span r * r**2 / 2 times a
    span (Poisson). The rate itself is estimated from n events: with Jeffreys' prior the mean of r**3 is
    (n + 1/2) (n + 3/2) (n + 5/2) / spans**3.
    """
    return (events + 0.5) * (events + 1.5) * (events + 2.5) / (2 * spans**3)
