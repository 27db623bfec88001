"""Silence of a symbol, and the signs that its stream is complete nevertheless. Pure: clocks are arguments.

Silence and loss look alike while they last. These signs distinguish them, the weakest first:

1. **The connection answers**: a frame of any symbol, or the answer to a ping. Everything that the exchange sent on it
before has
   arrived, because a connection keeps the order.
2. **The exchange's own book** is the same as ours: it is requested over REST when a symbol is silent for longer than
its
   usual. It also shows the opposite: a stream that has stopped on a connection that still answers.
3. **The next event** continues the book (`U` is the last id + 1): nothing was missed.

One rule for status, warnings and rows follows: a book is live while its connection has answered within 3 s and, during
unusual silence, while the exchange's own book does not contradict ours.
"""

from __future__ import annotations

from typing import Protocol

from vibe_orderbook_mcp.seconds.tracker import SecondTracker

# A connection without a sign for this long, with a ping every second, does not answer.
UNHEARD_NS = 3_000_000_000
# A major that is silent for 3 s is stuck; an illiquid symbol may be silent for minutes. Unusual is this number of its
# usual intervals, or a minute until its pace is known.
STALE_INTERVALS = 30
STALE_MIN_NS = 3_000_000_000
STALE_UNKNOWN_NS = 60_000_000_000
PACE_KNOWN_EVENTS = 10
# Silence up to this length is accepted without asking the exchange.
QUIET_INTERVALS = 10
QUIET_MIN_NS = 1_000_000_000
# It doubles each time the exchange's own book is the same.
QUIET_MOST_NS = 30_000_000_000
# The longest wait for the exchange's book, and for an event that it already contains.
LOOK_NS = 2_000_000_000
IN_FLIGHT_NS = 1_000_000_000
ASK_AGAIN_NS = 3_000_000_000
# The clock closes the seconds of a silent symbol, this long after the exchange's time.
QUIET_LAG_MS = 1_500
QUIET_NS = QUIET_LAG_MS * 1_000_000
# Events from a time without an answer may still come: seconds stay open for this long.
UNHEARD_MOST_MS = 6_000


class Pulse(Protocol):
    """Signs of life of a connection; one for all symbols on it. Nanoseconds are a monotonic clock's."""

    @property
    def heard_ns(self) -> int: ...  # when the newest sign came
    @property
    def seen_ns(self) -> int: ...  # everything that the exchange sent before this time has arrived


class Silence:
    """The silence of one symbol. Without a `pulse` of its connection, only its pace counts."""

    __slots__ = (
        *("_behind_ns", "_interval_ns", "_looks", "_paced_events", "_proven_ns"),
        *("asked_ns", "event_ns", "is_unanswered", "pulse"),
    )

    def __init__(self) -> None:
        self.pulse: Pulse | None = None
        self.event_ns: int | None = None  # when the newest event arrived, or a snapshot was loaded
        self.asked_ns = 0  # when the exchange's own book was last requested
        self.is_unanswered = False  # requested in this silence, without a useful answer
        self._proven_ns = 0  # nothing was missed until then
        self._behind_ns: int | None = None  # since when the exchange's book is known to differ
        self._looks = 0  # number of checks in this silence that found the same book
        self._interval_ns = 0.0
        self._paced_events = 0

    def event(self, now_ns: int) -> None:
        """An event continued the book."""
        if self.event_ns is not None:
            self._paced_events = events = self._paced_events + 1
            weight = 1 / events if events < 20 else 0.05  # a plain mean at first, then an exponential one
            self._interval_ns += weight * (now_ns - self.event_ns - self._interval_ns)
        self.begin(now_ns)

    def begin(self, now_ns: int) -> None:
        """A silence begins, after an event or a snapshot."""
        self.event_ns = self._proven_ns = now_ns
        self.is_unanswered = False
        self._behind_ns = None
        self._looks = 0

    def same(self, asked_ns: int) -> None:
        """The exchange's own book, requested at `asked_ns`, equals ours: nothing was missed until then."""
        self._proven_ns = max(self._proven_ns, asked_ns)
        self.is_unanswered = False
        self._looks += 1

    def other(self, now_ns: int) -> None:
        """The exchange's book is newer than ours, and differs."""
        if self._behind_ns is None:
            self._behind_ns = now_ns

    def unanswered(self) -> None:
        self.is_unanswered = True

    @property
    def stale_after_ns(self) -> int:
        """The length of silence that is unusual for the symbol."""
        if self._paced_events < PACE_KNOWN_EVENTS:
            return STALE_UNKNOWN_NS
        return max(STALE_MIN_NS, int(STALE_INTERVALS * self._interval_ns))

    @property
    def quiet_ns(self) -> int:
        """How long the symbol may be silent with its book still counted as covered, without a further sign."""
        if self._paced_events < PACE_KNOWN_EVENTS:
            return STALE_UNKNOWN_NS
        return max(QUIET_MIN_NS, int(QUIET_INTERVALS * self._interval_ns))

    def is_unusual(self, now_ns: int) -> bool:
        return self.event_ns is not None and now_ns - self.event_ns > self.stale_after_ns

    def is_doubtful(self, now_ns: int) -> bool:
        """Whether the pace alone no longer explains the silence."""
        return self.event_ns is not None and now_ns - self._proven_ns > self._allowed_ns

    def is_to_ask(self, now_ns: int) -> bool:
        """Whether to request it now: not during a request, and not directly after one without an answer."""
        was_asked = self.asked_ns > (self.event_ns or 0) and now_ns - self.asked_ns < ASK_AGAIN_NS
        return self.is_doubtful(now_ns) and not was_asked

    def is_behind(self, now_ns: int) -> bool:
        """The exchange's book has changed, and the event for that did not arrive."""
        return self._behind_ns is not None and now_ns - self._behind_ns > IN_FLIGHT_NS

    def is_stale(self, now_ns: int) -> bool:
        pulse = self.pulse
        if self.event_ns is None:
            return False
        if pulse is None:
            return self.is_unusual(now_ns)
        if now_ns - max(pulse.heard_ns, self.event_ns) > UNHEARD_NS:
            return True
        if not self.is_unusual(now_ns):
            return False
        return self._behind_ns is not None or self.is_overdue(now_ns)

    def is_overdue(self, now_ns: int) -> bool:
        """The exchange's answer is overdue."""
        return not self.is_unanswered and now_ns - self._proven_ns > self._allowed_ns + LOOK_NS

    @property
    def _allowed_ns(self) -> int:
        quiet_ns = self.quiet_ns
        return max(quiet_ns, min(QUIET_MOST_NS, quiet_ns << self._looks))


def close_silent(seconds: SecondTracker, silence: Silence, now_ns: int, now_ms: int, *, is_lost: bool) -> None:
    """Close the seconds of a silent symbol by the clock; they are covered as far as the signs reach.

    While silence and loss cannot be distinguished they stay open: the next event or the exchange's answer decides.
    That wait is bounded, because a final second never changes. `is_lost`: there is no book. `now_ms` is the
    exchange's time.
    """
    due_ms, event_ns = now_ms - QUIET_LAG_MS, silence.event_ns
    if event_ns is None or is_lost:
        seconds.roll(due_ms)
        return
    age_ns = now_ns - event_ns
    if silence.pulse is None:
        if age_ns > silence.quiet_ns:
            seconds.stale()
        if age_ns > QUIET_NS:
            seconds.roll(due_ms)
    elif age_ns > QUIET_NS:
        seen_ms = now_ms - (now_ns - silence.pulse.seen_ns) // 1_000_000
        is_asked_for = silence.is_doubtful(now_ns) and not silence.is_unanswered
        if silence.is_behind(now_ns) or due_ms - seen_ms > UNHEARD_MOST_MS or silence.is_overdue(now_ns):
            seconds.stale()
            seconds.roll(due_ms)
        elif not is_asked_for:
            seconds.stands()
            seconds.roll(min(due_ms, seen_ms))
