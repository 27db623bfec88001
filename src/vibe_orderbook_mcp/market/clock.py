"""The exchange's time.

Seconds are keyed by the exchange's clock, because a laptop's clock may be seconds off and a replayed recording has
its own time. An event's time minus its arrival is the offset between the two clocks less the network's delay. The
largest of the last few seconds had the smallest delay.
"""

from __future__ import annotations

from vibe_orderbook_mcp.model.events import PLAUSIBLE_MS

# Offsets older than two of these are dropped, so that the clock follows a replay at another speed.
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

    def observe(self, event_ms: int, received_ns: int) -> int:
        """Record an event. Returns its time, bounded by plausibility: a damaged time must not close hours."""
        received_ms = received_ns // 1_000_000
        offset, known = event_ms - received_ms, self._offset
        if known is not None and not known - PLAUSIBLE_MS <= offset <= known + PLAUSIBLE_MS:
            if self._suspect is None or abs(offset - self._suspect) > PLAUSIBLE_MS:
                self._suspect = offset
                return min(event_ms, known + received_ms + PLAUSIBLE_MS)
            self._current = self._previous = None  # two agree: the old offset is the wrong one
        self._suspect = None
        if self._current is None or received_ns - self._bucket_ns > BUCKET_NS:
            self._previous, self._current, self._bucket_ns = self._current, offset, received_ns
        elif offset > self._current:
            self._current = offset
        else:
            return event_ms  # later than another: no later than now
        self._offset = self._current if self._previous is None else max(self._current, self._previous)
        return event_ms

    def now_ms(self, now_ns: int) -> int | None:
        """None before the first event."""
        offset = self._offset
        return None if offset is None else offset + now_ns // 1_000_000
