"""What time it is at the exchange.

Seconds are keyed by the exchange's clock, because a laptop's may be seconds off and a replayed recording lives in
its own past. An event's time minus the moment it came is the offset between the two clocks less the network's
delay; the greatest of the last few seconds is the one that was delayed least.
"""

from __future__ import annotations

# An event this far from what the clock says is not believed until a second one agrees with it.
PLAUSIBLE_MS = 10_000
# Offsets older than two of these are forgotten, so that a replay at another speed is followed.
BUCKET_NS = 2_000_000_000


class ExchangeClock:
    """Monotonic nanoseconds in, exchange milliseconds out."""

    __slots__ = ("_bucket_ns", "_current", "_offset", "_previous", "_suspect")

    def __init__(self) -> None:
        self._current: int | None = None
        self._previous: int | None = None
        self._offset: int | None = None  # the greater of the two
        self._bucket_ns = 0
        self._suspect: int | None = None

    def observe(self, event_ms: int, received_ns: int) -> None:
        offset = event_ms - received_ns // 1_000_000
        known = self._offset
        if known is not None and not known - PLAUSIBLE_MS <= offset <= known + PLAUSIBLE_MS:
            if self._suspect is None or abs(offset - self._suspect) > PLAUSIBLE_MS:
                self._suspect = offset
                return
            self._current = self._previous = None  # two agree: the old offset is the wrong one
        self._suspect = None
        if self._current is None or received_ns - self._bucket_ns > BUCKET_NS:
            self._previous, self._current, self._bucket_ns = self._current, offset, received_ns
        elif offset > self._current:
            self._current = offset
        else:
            return
        self._offset = self._current if self._previous is None else max(self._current, self._previous)

    def now_ms(self, now_ns: int) -> int | None:
        """None before the first event."""
        offset = self._offset
        return None if offset is None else offset + now_ns // 1_000_000


def believable(event_ms: int, now_ms: int | None) -> int:
    """An event's time, or what may be believed of it: a damaged time stamp must not close hours of seconds."""
    return event_ms if now_ms is None or event_ms <= now_ms + PLAUSIBLE_MS else now_ms + PLAUSIBLE_MS
