"""The budget of the exchange's request weight. Pure: time is an argument.

Binance counts a weight per address and minute (`X-MBX-USED-WEIGHT-1M`). When it is used up it answers 429 with
`Retry-After`, and then 418 (a ban of minutes to days) to clients that go on. So this module counts and requests wait.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import msgspec

MINUTE_SECS = 60.0
DEFAULT_LIMIT = 6000
# Reserved for other programs on this address.
RESERVE = 0.05


class Lane(NamedTuple):
    """A kind of request that must not delay the books. Shares are of the limit.

    `own`: the most that all requests of the kind may use in a minute. `until`: it waits while total use is above this.
    """

    own: float
    until: float


LOOKUPS = Lane(0.1, 0.8)  # for clients: a snapshot has priority over a client's spelling mistake
GLANCES = Lane(0.2, 0.8)  # for books with silent streams
PAGES = Lane(0.2, 0.8)  # for recently missing trades
OLDER_PAGES = Lane(0.4, 0.6)  # for trades before the oldest stored one, and for long holes


class WeightBudget:
    """Seconds are any monotonic clock's."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.used = 0
        self.used_by: Counter[Lane] = Counter()  # the parts of it
        self.blocked_until_secs = 0.0
        self._minute = -1

    def delay(self, weight: int, now_secs: float, *, share: float = 1.0, lane: Lane | None = None) -> float:
        """How long to wait before a request of this weight. `share` is the share of the limit for its kind."""
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
        """The exchange's own count, which includes other programs. Its minute may start at another moment."""
        self._roll(now_secs)
        self.used = max(self.used, used)

    def block(self, secs: float, now_secs: float) -> None:
        self.blocked_until_secs = max(self.blocked_until_secs, now_secs + secs)

    def _roll(self, now_secs: float) -> None:
        minute = int(now_secs // MINUTE_SECS)
        if minute != self._minute:
            self._minute, self.used = minute, 0
            self.used_by.clear()


class Family(msgspec.Struct, frozen=True):
    """One market's REST interface. `depth_weights` has what a snapshot costs, by its most levels, ascending."""

    venue: str
    path: str
    depth_weights: tuple[tuple[int, int], ...]  # (levels, weight)
    short_depth: int  # levels of a snapshot while much of the minute's weight is used
    glance_levels: int
    info_weight: int
    trades_weight: int
    weight_limit: int  # a minute

    @property
    def most_depth(self) -> int:
        return self.depth_weights[-1][0]

    def depth_weight(self, levels: int) -> int:
        return next((weight for most, weight in self.depth_weights if levels <= most), self.depth_weights[-1][1])


_SPOT_DEPTHS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))

SPOT: Final = Family("binance", "/api/v3", _SPOT_DEPTHS, 1000, 100, 20, 4, 6000)
US: Final = Family("binance-us", "/api/v3", _SPOT_DEPTHS, 1000, 100, 20, 4, 1200)
USDM: Final = Family("binance-usdm", "/fapi/v1", ((50, 2), (100, 5), (500, 10), (1000, 20)), 500, 50, 1, 20, 2400)
