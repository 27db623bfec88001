"""Since when a level stands, and how much was traded against it."""

from __future__ import annotations

from vibe_orderbook_mcp.core.events import Side


class LevelMemory:
    """Levels that were there when the book was loaded have no first-seen time: they are at least that old."""

    __slots__ = ("_seen", "_traded")

    def __init__(self) -> None:
        self._seen: dict[Side, dict[float, int]] = {"bid": {}, "ask": {}}
        self._traded: dict[Side, dict[float, float]] = {"bid": {}, "ask": {}}

    def change(self, side: Side, price: float, before: float, after: float, event_ms: int) -> None:
        if after == 0.0:  # also when it was 0 before: added and taken within one frame
            self._seen[side].pop(price, None)
            self._traded[side].pop(price, None)
        elif before == 0.0:
            self._seen[side][price] = event_ms

    def trade(self, side: Side, price: float, size: float) -> None:
        traded = self._traded[side]
        traded[price] = traded.get(price, 0.0) + size

    def seen(self, side: Side) -> dict[float, int]:
        """Since when the levels of a side stand, to be kept up by whoever sees them come and go."""
        return self._seen[side]

    def first_seen_ms(self, side: Side, price: float) -> int | None:
        return self._seen[side].get(price)

    def traded(self, side: Side, price: float) -> float:
        """Base units traded against the level since it was first seen."""
        return self._traded[side].get(price, 0.0)

    def clear(self) -> None:
        self._seen = {"bid": {}, "ask": {}}
        self._traded = {"bid": {}, "ask": {}}
