"""How strained a book is: how little depth is left and how expensive it is to take, as one number for three seconds.

The unit is halvings: halvings of depth below the trailing hour's median, plus doublings of cost above the threshold of
`crash_precursor`. In each of the three seconds half of the depth has left and cost is above that threshold. The least
of the three counts, so the number is 1 or more. An eighth of the depth at eight times the threshold gives 6.

A quiet book reaches 1 up to 200 times a day, so that alone is no alarm. The limit is learned from the peaks of the
symbol's own episodes (`tails.alarm_level`). Until there are enough of them there is no limit.
"""

from __future__ import annotations

from collections import deque
from math import log2
from typing import Final, NamedTuple

from vibe_orderbook_mcp.analytics.usual.baseline import Baseline
from vibe_orderbook_mcp.analytics.usual.own_rate import Episodes, days_of, peaks_of
from vibe_orderbook_mcp.analytics.usual.tails import alarm_level

NAME: Final = "strain"
LASTING_SECS: Final = 3
FLOOR_HALVINGS: Final = 1.0
LEAST_LEFT: Final = 1e-3
REMEMBERED_SECS: Final = 10
# A few episodes with one outlier would set a limit that an emptied book cannot reach. A sixteenth of the depth at
# sixteen times the cost threshold is an alarm for every symbol.
MOST_HALVINGS: Final = 8.0
# At 0.1, the rate for single events, simulated days gave limits of 8 to 10 halvings; a draining side reaches 6 to 8.
ALARMS_A_DAY: Final = 0.5
# Sums of lots carry rounding; a threshold met exactly is met.
ROUNDING_HALVINGS: Final = 1e-9


class Strain(NamedTuple):
    """Strain of the last three seconds, in halvings."""

    halvings: float
    limit: float | None  # what the symbol's own episodes exceed ALARMS_A_DAY times; None: too few episodes

    @property
    def is_rare(self) -> bool:
        return self.limit is None or self.halvings >= self.limit


def strain_of(depth_drop: float | None, dearness: float) -> float | None:
    """Strain of one second. `dearness`: cost / the threshold. None: not strained."""
    if depth_drop is None or dearness <= 0.0:
        return None
    halvings, doublings = -log2(max(1.0 - depth_drop, LEAST_LEFT)), log2(dearness)
    if halvings < FLOOR_HALVINGS - ROUNDING_HALVINGS or doublings < -ROUNDING_HALVINGS:
        return None
    return halvings + doublings


class OwnStrain:
    """`second` for every second in turn. Peaks are kept with the baseline."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, float]] = deque(maxlen=LASTING_SECS)  # strained ones
        self._recent: deque[tuple[int, Strain]] = deque()
        self._episodes = Episodes()

    def second(self, second: int, halvings: float | None, baseline: Baseline, *, is_told: bool) -> None:
        """`halvings` are of this second alone. `is_told`: an alarm is running.

        A peak above the limit counts as the limit: one crash must not hide the next.
        """
        self._episodes.end(second, baseline)
        while self._recent and self._recent[0][0] <= second - REMEMBERED_SECS:
            self._recent.popleft()
        if halvings is None:
            return
        self._seconds.append((second, halvings))
        if len(self._seconds) < LASTING_SECS or self._seconds[0][0] != second - LASTING_SECS + 1:
            return
        least = min(value for _, value in self._seconds)
        peaks = [(value, 1) for value in peaks_of(baseline, NAME, second)]
        known = alarm_level(peaks, days_of(baseline), a_day=ALARMS_A_DAY)
        limit = None if known is None else min(known, MOST_HALVINGS)
        self._recent.append((second, Strain(least, limit)))
        if limit is not None:
            self._episodes.grow(NAME, second, min(least, limit))
        elif not is_told:
            self._episodes.grow(NAME, second, least)

    @property
    def strongest(self) -> Strain | None:
        """The largest of the last ten seconds."""
        return max((strain for _, strain in self._recent), key=lambda strain: strain.halvings, default=None)
