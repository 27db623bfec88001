"""Short-lived large levels: when each appeared, when it vanished, and how much of it traded.

It receives every settled change of a level, so lifetimes are exact to the 100 ms frame. The caller sets the limits for
"large" every few seconds; without limits no level is tracked.
"""

from __future__ import annotations

from math import inf
from typing import Final

import msgspec

from vibe_orderbook_mcp.model.events import Side, TakerGroup
from vibe_orderbook_mcp.seconds.refills import RefillChain, Turnover

# The largest remainder of a "vanished" level, as a share of the most it showed.
GONE_SHARE: Final = 0.2
WATCHED_MOST: Final = 2_000
# A level that lives longer does not flicker: it is not tracked to its end.
LONGEST_MS: Final = 10_000


class WallLimits(msgspec.Struct, frozen=True):
    """The least size that stands out on each side, and the price range for it. None: unknown."""

    bid_size: float | None
    ask_size: float | None
    lowest: float
    highest: float


class WallLife(msgspec.Struct, frozen=True, gc=False):
    """A large level from birth to death. Sizes in base units."""

    side: Side
    price: float
    born_ms: int
    died_ms: int
    peak: float
    traded: float


class _Wall(msgspec.Struct, gc=False):
    born_ms: int
    peak: float
    traded: float


class WallWatch:
    __slots__ = ("_ended", "_least", "_limits", "_walls")

    def __init__(self) -> None:
        self._limits: WallLimits | None = None
        self._least: dict[Side, float] = {"bid": inf, "ask": inf}
        self._walls: dict[tuple[Side, float], _Wall] = {}
        self._ended: list[WallLife] = []

    @property
    def limits(self) -> WallLimits | None:
        return self._limits

    @limits.setter
    def limits(self, limits: WallLimits | None) -> None:
        self._limits = limits
        bid, ask = (None, None) if limits is None else (limits.bid_size, limits.ask_size)
        self._least = {"bid": inf if bid is None else bid, "ask": inf if ask is None else ask}

    def least(self, side: Side) -> float:
        """The least size of a tracked level on that side."""
        return self._least[side]

    def born(self, side: Side, price: float, size: float, event_ms: int) -> bool:
        """A level reached the least size. Returns whether it is tracked now."""
        limits = self._limits
        if limits is None or not limits.lowest <= price <= limits.highest:
            return False
        self._walls[side, price] = _Wall(event_ms, size, 0.0)
        return True

    def settled(self, key: tuple[Side, float], event_ms: int, old: float, size: float, traded: float) -> None:
        """A level in an event with all trades joined."""
        known = self._walls.get(key)
        if known is None:
            if old < self._least[key[0]] <= size:
                self.born(*key, size, event_ms)
            return
        known.traded += traded
        known.peak = max(known.peak, size)
        if size <= GONE_SHARE * known.peak:
            del self._walls[key]
            if event_ms - known.born_ms < LONGEST_MS:
                self._ended.append(WallLife(*key, known.born_ms, event_ms, known.peak, known.traded))

    def knows(self, side: Side, price: float) -> bool:
        return (side, price) in self._walls

    def take(self, now_ms: int) -> tuple[WallLife, ...]:
        """Lives of up to ten seconds that ended before `now_ms`, since the last call. Longer ones are dropped."""
        old = [key for key, wall in self._walls.items() if now_ms - wall.born_ms > LONGEST_MS]
        for key in old:
            del self._walls[key]
        while len(self._walls) > WATCHED_MOST:
            del self._walls[next(iter(self._walls))]
        ended = tuple(life for life in self._ended if life.died_ms < now_ms)
        self._ended = [life for life in self._ended if life.died_ms >= now_ms]
        return ended

    def clear(self) -> None:
        """The book was lost: the fate of these levels is unknown."""
        self._walls.clear()


class LevelEvidence(msgspec.Struct, frozen=True, gc=False):
    has_limits: bool  # whether the least size of a wall was known
    walls: tuple[WallLife, ...] = ()  # large levels that vanished within ten seconds
    chains: tuple[RefillChain, ...] = ()  # refilled levels that were hit in this second
    turnovers: tuple[Turnover, ...] = ()  # of levels that are no longer hit
    sweeps: tuple[TakerGroup, ...] = ()  # the largest taker groups of each side, at three prices or more
