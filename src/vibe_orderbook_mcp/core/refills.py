"""Levels that trades hit again and again while they are refilled (definition sheet 4.2).

In each interval between two depth events that change a level, with `shown` before it and `traded` in it:

* over-execution: max(0, traded - shown), more was traded than was there to see;
* refill: shown after - shown before + traded, where something was traded and that is more than nothing.

Refills of one side and price at most 30 s apart are a chain.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

import msgspec

from vibe_orderbook_mcp.core.events import Side

CHAIN_MS: Final = 30_000
MIN_REFILLS: Final = 3
MIN_TURNOVER: Final = 3.0
SIZES_KEPT: Final = 100
CHAINS_MOST: Final = 5_000
SAME_WITHIN: Final = 0.01
# Chains that have not ended are looked through this often for those that have.
SWEEP_MS: Final = 5_000
_ROUNDING: Final = 1e-9


class RefillChain(msgspec.Struct, frozen=True):
    """What is known of a level that was hit and refilled. Sizes in base units."""

    side: Side
    price: float
    start_ms: int
    last_ms: int
    executed: float
    refills: int
    tranche: float  # the size that most refills share
    equal_share: float  # of the refills kept, how many agree with it within 1 %
    over_execution: float
    max_shown: float
    replenished: float

    @property
    def turnover(self) -> float | None:
        """executed / the most that was shown."""
        return self.executed / self.max_shown if self.max_shown > 0.0 else None


class Chain:
    """A chain while it grows."""

    __slots__ = (
        "executed",
        "first_shown",
        "last_ms",
        "max_shown",
        "over_execution",
        "refills",
        "shown",
        "sizes",
        "start_ms",
    )

    def __init__(self, start_ms: int, shown: float) -> None:
        self.start_ms = self.last_ms = start_ms
        self.first_shown = self.max_shown = self.shown = shown
        self.executed = self.over_execution = 0.0
        self.refills = 0
        self.sizes: list[float] = []

    def hit(self, event_ms: int, shown: float, after: float, traded: float, half_lot: float) -> None:
        self.executed += traded
        self.over_execution += max(0.0, traded - shown)
        refill = after - shown + traded
        if refill >= half_lot:
            self.refills += 1
            self.last_ms = event_ms
            self.sizes.append(refill)
            if len(self.sizes) > SIZES_KEPT:
                del self.sizes[0]
        self.show(after)

    def show(self, after: float) -> None:
        self.max_shown = max(self.max_shown, after)
        self.shown = after

    def undo(self, refill: float, half_lot: float) -> None:
        if self.sizes and abs(self.sizes[-1] - refill) < half_lot:
            self.sizes.pop()
            self.refills -= 1

    @property
    def is_evidence(self) -> bool:
        return (
            self.refills >= MIN_REFILLS
            and self.max_shown > 0.0
            and self.executed >= MIN_TURNOVER * self.max_shown * (1 - _ROUNDING)
        )

    def freeze(self, side: Side, price: float) -> RefillChain:
        tranche, share = common_size(self.sizes)
        return RefillChain(
            side=side,
            price=price,
            start_ms=self.start_ms,
            last_ms=self.last_ms,
            executed=self.executed,
            refills=self.refills,
            tranche=tranche,
            equal_share=share,
            over_execution=self.over_execution,
            max_shown=self.max_shown,
            replenished=max(0.0, self.executed - (self.first_shown - self.shown)),
        )


def common_size(sizes: Sequence[float]) -> tuple[float, float]:
    """The size that most others agree with within 1 %, and what share of all does."""
    best, count = 0.0, 0
    ordered = sorted(sizes)
    for size in dict.fromkeys(sizes):
        reach = SAME_WITHIN * size * (1 + _ROUNDING)
        same = bisect_right(ordered, size + reach) - bisect_left(ordered, size - reach)
        if same > count:
            best, count = size, same
    return best, count / len(sizes) if sizes else 0.0


class RefillWatch:
    """All levels that were hit in the last half minute."""

    __slots__ = ("_chains", "_ended", "_half_lot", "_swept_ms", "_touched")

    def __init__(self, lot: float) -> None:
        self._half_lot = lot / 2
        self._chains: dict[tuple[Side, float], Chain] = {}
        self._touched: set[tuple[Side, float]] = set()
        self._ended: list[float] = []
        self._swept_ms = 0

    def settled(self, key: tuple[Side, float], event_ms: int, shown: float, after: float, traded: float) -> None:
        """What an event, whose trades are all joined, says of a level."""
        if traded > 0.0:
            self._hit(key, event_ms, shown, after, traded)
        elif (chain := self._chains.get(key)) is not None:
            chain.show(after)

    def knows(self, side: Side, price: float) -> bool:
        return (side, price) in self._chains

    def refilled(self, side: Side, price: float, shown: float, traded: float, time_ms: int) -> None:
        """A trade that no event shows: the level was refilled to the size it had."""
        if shown > 0.0:
            self._hit((side, price), time_ms, shown, shown, traded)

    def undo(self, side: Side, price: float, refill: float) -> None:
        """That refill was a trade joined one event early."""
        chain = self._chains.get((side, price))
        if chain is not None:
            chain.undo(refill, self._half_lot)

    def take(self, now_ms: int) -> tuple[tuple[RefillChain, ...], tuple[float, ...]]:
        """Chains that are evidence and were hit since the last call, and the turnovers of those that ended."""
        changed = tuple(
            chain.freeze(*key)
            for key in sorted(self._touched)
            if (chain := self._chains.get(key)) and chain.is_evidence
        )
        self._touched.clear()
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now_ms
            for key in [key for key, chain in self._chains.items() if now_ms - chain.last_ms > CHAIN_MS]:
                self._end(key)
        ended, self._ended = tuple(self._ended), []
        return changed, ended

    def clear(self) -> None:
        """The book was lost: what was traded meanwhile is not known."""
        self._chains.clear()
        self._touched.clear()

    def _hit(self, key: tuple[Side, float], event_ms: int, shown: float, after: float, traded: float) -> None:
        chain = self._chains.get(key)
        if chain is not None and event_ms - chain.last_ms > CHAIN_MS:
            self._end(key)
            chain = None
        if chain is None:
            if len(self._chains) >= CHAINS_MOST:
                self._end(next(iter(self._chains)))
            chain = self._chains[key] = Chain(event_ms, shown)
        chain.hit(event_ms, shown, after, traded, self._half_lot)
        self._touched.add(key)

    def _end(self, key: tuple[Side, float]) -> None:
        chain = self._chains.pop(key)
        if chain.max_shown > 0.0:
            self._ended.append(chain.executed / chain.max_shown)
