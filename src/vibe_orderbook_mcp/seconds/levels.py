"""How much was traded against each level that stands."""

from __future__ import annotations

from collections.abc import Callable

from vibe_orderbook_mcp.model.events import Side


class LevelMemory:
    """Base units by side and price. Since when a level stands is the book's own knowledge (`BookSide.since_ms`)."""

    __slots__ = ("_traded",)

    def __init__(self) -> None:
        self._traded: dict[Side, dict[float, float]] = {"bid": {}, "ask": {}}

    def trade(self, side: Side, price: float, size: float) -> None:
        traded = self._traded[side]
        traded[price] = traded.get(price, 0.0) + size

    def gone(self, side: Side, price: float) -> None:
        """The level was taken away, or it was added and taken within one frame."""
        self._traded[side].pop(price, None)

    def traded(self, side: Side, price: float) -> float:
        """Base units traded against the level since it was first seen."""
        return self._traded[side].get(price, 0.0)

    def keep_standing(self, shown: Callable[[Side, float], float]) -> None:
        """Forget levels that went without an event, such as those that a fresh copy of the book does not reach."""
        for side, traded in self._traded.items():
            for price in [price for price in traded if not shown(side, price)]:
                del traded[price]

    def clear(self) -> None:
        self._traded = {"bid": {}, "ask": {}}
