"""How much of the exchange's request weight may be used, and when. Pure: time comes in as an argument.

Binance counts a weight per address and minute (`X-MBX-USED-WEIGHT-1M`), answers 429 with `Retry-After` when it is
used up, and 418 (a ban of minutes to days) to whoever goes on. So the count is kept here and requests wait.
"""

from __future__ import annotations

MINUTE_SECS = 60.0
DEFAULT_LIMIT = 6000
# What is left alone for whoever else uses this address.
RESERVE = 0.05
# Of look-ups that clients cause: together they may use so much of a minute's weight, and none while so much of it is
# used by whatever else. A snapshot of a book goes before somebody's spelling mistake.
LOOKUP_SHARE = 0.1
LOOKUPS_WAIT_AT = 0.8


class WeightBudget:
    """Seconds are any monotonic clock's."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.used = 0
        self.looked_up = 0  # the part of it that clients' look-ups took
        self.blocked_until_secs = 0.0
        self._minute = -1

    def delay(self, weight: int, now_secs: float, *, share: float = 1.0) -> float:
        """How long to wait before a request of this weight. `share` is the part of the limit its kind may use."""
        if now_secs < self.blocked_until_secs:
            return self.blocked_until_secs - now_secs
        self._roll(now_secs)
        allowed = self.limit * (1 - RESERVE) * share
        if self.used == 0 or self.used + weight <= allowed:
            return 0.0
        return MINUTE_SECS - now_secs % MINUTE_SECS

    def lookup_delay(self, weight: int, now_secs: float) -> float:
        """The same for a look-up that a client causes: a small share of its own, and behind everything else."""
        if (delay := self.delay(weight, now_secs, share=LOOKUPS_WAIT_AT)) > 0:
            return delay
        if self.looked_up == 0 or self.looked_up + weight <= self.limit * LOOKUP_SHARE:
            return 0.0
        return MINUTE_SECS - now_secs % MINUTE_SECS

    def spend(self, weight: int, now_secs: float, *, is_lookup: bool = False) -> None:
        self._roll(now_secs)
        self.used += weight
        self.looked_up += weight * is_lookup

    def observe(self, used: int, now_secs: float) -> None:
        """The exchange's own count, which includes what others use. Its minute may start at another moment."""
        self._roll(now_secs)
        self.used = max(self.used, used)

    def block(self, secs: float, now_secs: float) -> None:
        self.blocked_until_secs = max(self.blocked_until_secs, now_secs + secs)

    def _roll(self, now_secs: float) -> None:
        minute = int(now_secs // MINUTE_SECS)
        if minute != self._minute:
            self._minute, self.used, self.looked_up = minute, 0, 0
