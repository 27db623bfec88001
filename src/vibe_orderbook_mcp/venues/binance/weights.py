"""How much of the exchange's request weight may be used, and when. Pure: time comes in as an argument.

Binance counts a weight per address and minute (`X-MBX-USED-WEIGHT-1M`), answers 429 with `Retry-After` when it is
used up, and 418 (a ban of minutes to days) to whoever goes on. So the count is kept here and requests wait.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

MINUTE_SECS = 60.0
DEFAULT_LIMIT = 6000
# What is left alone for whoever else uses this address.
RESERVE = 0.05


class Lane(NamedTuple):
    """A kind of request that must not keep the books waiting. Shares are of the limit.

    `own`: what all of the kind together may use in a minute. `until`: how much everybody may have used before it waits.
    """

    own: float
    until: float


LOOKUPS = Lane(0.1, 0.8)  # that clients cause: a snapshot goes before somebody's spelling mistake
GLANCES = Lane(0.2, 0.8)  # at books whose streams are silent
PAGES = Lane(0.2, 0.8)  # of trades that are missing since a moment ago
OLDER_PAGES = Lane(0.4, 0.6)  # of trades before the oldest one held, and of long holes


class WeightBudget:
    """Seconds are any monotonic clock's."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.used = 0
        self.used_by: Counter[Lane] = Counter()  # the parts of it
        self.blocked_until_secs = 0.0
        self._minute = -1

    def delay(self, weight: int, now_secs: float, *, share: float = 1.0, lane: Lane | None = None) -> float:
        """How long to wait before a request of this weight. `share` is the part of the limit its kind may use."""
        if now_secs < self.blocked_until_secs:
            return self.blocked_until_secs - now_secs
        self._roll(now_secs)
        share = share if lane is None else lane.until
        is_free = self.used == 0 or self.used + weight <= self.limit * (1 - RESERVE) * share
        if lane is not None and (used := self.used_by[lane]) > 0:
            is_free = is_free and used + weight <= self.limit * lane.own
        return 0.0 if is_free else MINUTE_SECS - now_secs % MINUTE_SECS

    def spend(self, weight: int, now_secs: float, *, lane: Lane | None = None) -> None:
        self._roll(now_secs)
        self.used += weight
        if lane is not None:
            self.used_by[lane] += weight

    def observe(self, used: int, now_secs: float) -> None:
        """The exchange's own count, which includes what others use. Its minute may start at another moment."""
        self._roll(now_secs)
        self.used = max(self.used, used)

    def block(self, secs: float, now_secs: float) -> None:
        self.blocked_until_secs = max(self.blocked_until_secs, now_secs + secs)

    def _roll(self, now_secs: float) -> None:
        minute = int(now_secs // MINUTE_SECS)
        if minute != self._minute:
            self._minute, self.used = minute, 0
            self.used_by.clear()
