"""Which connection makes room when all places are taken.

A connection waits for its client (for a request's head or body, or for the next request), or the program works on its
request. The one that has waited longest makes room for a new one, first among clients that were never let in. So a
client that opens connections and stays silent drives out its own. Beyond the limit there are places for probes only.
"""

from __future__ import annotations

from typing import Protocol


class Visitor(Protocol):
    def give_way(self) -> None:
        """Close at once."""


class Connections:
    """Seconds are any monotonic clock's."""

    def __init__(self, limit: int, spare: int, rest_secs: float) -> None:
        """`limit`: that may be worked on. `spare`: places above that, for probes and for who is still to be heard."""
        self._limit = limit
        self._spare = spare
        # A client that was let in before keeps its connection for this long after its request.
        self._rest_secs = rest_secs
        self._open: set[Visitor] = set()
        # Since when, the longest first.
        self._strangers: dict[Visitor, float] = {}
        self._guests: dict[Visitor, float] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def is_full(self) -> bool:
        """Whether as many as there may be are being worked on: only probes are answered then."""
        return len(self._open) - len(self._strangers) - len(self._guests) > self._limit

    def enter(self, connection: Visitor, now_secs: float) -> bool:
        """Take the new connection, which waits for its client. False when there is no place."""
        if len(self._open) >= self._limit + self._spare and not self._make_room(now_secs):
            return False
        self._open.add(connection)
        self._strangers[connection] = now_secs
        return True

    def wait(self, connection: Visitor, now_secs: float, *, was_let_in: bool) -> None:
        """It is the client's turn. Does not count from the start again for one that waits already."""
        if connection in self._open and connection not in self._strangers and connection not in self._guests:
            (self._guests if was_let_in else self._strangers)[connection] = now_secs

    def work(self, connection: Visitor) -> None:
        self._strangers.pop(connection, None)
        self._guests.pop(connection, None)

    def leave(self, connection: Visitor) -> None:
        self.work(connection)
        self._open.discard(connection)

    def _make_room(self, now_secs: float) -> bool:
        longest = next(iter(self._strangers), None)
        if longest is None:
            longest = next(iter(self._guests), None)
            if longest is None or now_secs - self._guests[longest] < self._rest_secs:
                return False
        self.leave(longest)
        longest.give_way()
        return True
