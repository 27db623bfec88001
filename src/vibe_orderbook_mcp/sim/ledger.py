"""The true book by level, and how it stood a moment ago. PURE.

Every change writes down what it overwrote. The book at an earlier update id is the present book with the newer
changes undone, so a minute of the full book's past costs one small tuple a change and no copies.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import Final, NamedTuple

BID: Final = 0
ASK: Final = 1
KEEP_MS: Final = 60_000

Side = dict[int, int]


class Boundary(NamedTuple):
    """A depth event ended here."""

    event_ms: int
    final_id: int


class Levels(NamedTuple):
    """Both sides best first, as (price, size) in grid units."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Ledger:
    def __init__(self, last_id: int) -> None:
        self.sides: tuple[Side, Side] = ({}, {})
        self.last_id = last_id
        self.touched: tuple[set[int], set[int]] = (set(), set())
        self.boundaries: deque[Boundary] = deque()
        self._log: deque[tuple[int, int, int, int]] = deque()  # update id, side, price, size before

    def put(self, side: int, price: int, size: int) -> None:
        """Set a level under the current `last_id`; size 0 removes it."""
        levels = self.sides[side]
        self._log.append((self.last_id, side, price, levels.get(price, 0)))
        if size:
            levels[price] = size
        else:
            levels.pop(price, None)
        self.touched[side].add(price)

    def forget(self) -> None:
        """Start the past here: what was put so far is the opening book."""
        self._log.clear()
        self.boundaries.clear()
        for prices in self.touched:
            prices.clear()

    def close_event(self, event_ms: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """End a depth event: the touched levels with their sizes now, and a boundary to come back to."""
        bids, asks = (
            [(price, levels.get(price, 0)) for price in sorted(prices, reverse=side == BID)]
            for side, (levels, prices) in enumerate(zip(self.sides, self.touched, strict=True))
        )
        for prices in self.touched:
            prices.clear()
        self.boundaries.append(Boundary(event_ms, self.last_id))
        while self.boundaries[0].event_ms < event_ms - KEEP_MS:
            gone = self.boundaries.popleft()
            while self._log and self._log[0][0] <= gone.final_id:
                self._log.popleft()
        return bids, asks

    @property
    def oldest_id(self) -> int:
        """The smallest update id whose book is still known."""
        return self._log[0][0] - 1 if self._log else self.last_id

    def at(self, update_id: int) -> tuple[Side, Side] | None:
        """Both sides as they stood after `update_id`; None when that is forgotten or has not happened yet."""
        if not self.oldest_id <= update_id <= self.last_id:
            return None
        sides = (dict(self.sides[BID]), dict(self.sides[ASK]))
        for changed_id, side, price, before in reversed(self._log):
            if changed_id <= update_id:
                break
            if before:
                sides[side][price] = before
            else:
                sides[side].pop(price, None)
        return sides

    def id_at(self, time_ms: int) -> int:
        """The last update id of the newest event that ended at or before `time_ms`, or the oldest one known."""
        index = bisect_right(self.boundaries, time_ms, key=lambda boundary: boundary.event_ms)
        return self.boundaries[index - 1].final_id if index else self.oldest_id


def best_first(sides: tuple[Side, Side], limit: int) -> Levels:
    bids, asks = sides
    return Levels(
        [(price, bids[price]) for price in sorted(bids, reverse=True)[:limit]],
        [(price, asks[price]) for price in sorted(asks)[:limit]],
    )
