"""Levels that trades hit again and again while they are refilled.

In each interval between two depth events that change a level, with `shown` before it and `traded` in it:

* over-execution: max(0, traded - shown), more was traded than was there to see;
* refill: shown after - shown before + traded, where something was traded and that is more than nothing.

Refills of one side and price at most 30 s apart are a chain. Where most of its refills are equal, the chain is told
from the first of those on: what others traded at that price before is not theirs.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from vibe_orderbook_mcp.core.events import Side

CHAIN_MS: Final = 30_000
MIN_REFILLS: Final = 3
MIN_TURNOVER: Final = 3.0
SIZES_KEPT: Final = 100
CHAINS_MOST: Final = 5_000
SAME_WITHIN: Final = 0.01
SAME_SHARE: Final = 0.5
# A sweep takes what several makers put up within moments; a level that is kept up is kept up for longer.
KEPT_UP_MS: Final = 3_000
# Chains that have not ended are looked through this often for those that have.
SWEEP_MS: Final = 5_000
_ROUNDING: Final = 1e-9


class Turnover(NamedTuple):
    """Of a level that is no longer hit: executed / most shown, and whether it was kept up (3 refills, 3 s)."""

    times: float
    kept_up: bool


class RefillChain(msgspec.Struct, frozen=True, gc=False):
    """What is known of a level that was hit and refilled. Sizes in base units."""

    side: Side
    price: float
    start_ms: int  # with equal refills: of the first of them
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

    @property
    def is_evidence(self) -> bool:
        """Three refills, and three times what it ever showed was executed."""
        is_turned_over = self.executed >= MIN_TURNOVER * self.max_shown * (1 - _ROUNDING)
        return self.refills >= MIN_REFILLS and self.max_shown > 0.0 and is_turned_over


class _Refill(msgspec.Struct, gc=False):
    """One refill, and the chain as it was before the interval in which it came."""

    size: float
    event_ms: int
    executed: float
    over_execution: float
    shown: float
    max_shown: float  # from here on, until the next refill


class Chain:
    """A chain while it grows."""

    __slots__ = (
        "executed",
        "first_shown",
        "last_ms",
        "max_shown",
        "over_execution",
        "recent",
        "refills",
        "shown",
        "start_ms",
    )

    def __init__(self, start_ms: int, shown: float) -> None:
        self.start_ms = self.last_ms = start_ms
        self.first_shown = self.max_shown = self.shown = shown
        self.executed = self.over_execution = 0.0
        self.refills = 0
        self.recent: list[_Refill] = []

    def hit(self, event_ms: int, shown: float, after: float, traded: float, half_lot: float) -> None:
        refill = after - shown + traded
        if refill >= half_lot:
            self.refills += 1
            self.last_ms = event_ms
            self.recent.append(_Refill(refill, event_ms, self.executed, self.over_execution, shown, shown))
            if len(self.recent) > SIZES_KEPT:
                del self.recent[0]
        self.executed += traded
        self.over_execution += max(0.0, traded - shown)
        self.show(after)

    def show(self, after: float) -> None:
        self.shown = after
        self.max_shown = max(self.max_shown, after)
        if self.recent and after > (newest := self.recent[-1]).max_shown:
            newest.max_shown = after

    def undo(self, refill: float, half_lot: float) -> None:
        if self.recent and abs(self.recent[-1].size - refill) < half_lot:
            undone = self.recent.pop()
            self.refills -= 1
            if self.recent:
                self.recent[-1].max_shown = max(self.recent[-1].max_shown, undone.max_shown)

    @property
    def may_be_evidence(self) -> bool:
        """Cheap, and true of every chain that is: as a whole, or from the first of its equal refills on."""
        if self.refills < MIN_REFILLS:
            return False
        newest = [each.size for each in self.recent[-MIN_REFILLS:]]
        is_run = len(newest) == MIN_REFILLS and all(is_same(size, newest[0]) for size in newest)
        return is_run or self.executed >= MIN_TURNOVER * self.max_shown * (1 - _ROUNDING)

    @property
    def turnover(self) -> Turnover | None:
        if self.max_shown <= 0.0:
            return None
        is_kept_up = self.refills >= MIN_REFILLS and self.last_ms - self.start_ms >= KEPT_UP_MS
        return Turnover(self.executed / self.max_shown, is_kept_up)

    def freeze(self, side: Side, price: float) -> RefillChain:
        sizes = [each.size for each in self.recent]
        tranche, share = common_size(sizes)
        whole = RefillChain(
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
        first = next((place for place, size in enumerate(sizes) if is_same(size, tranche)), 0)
        if share < SAME_SHARE or (first == 0 and len(sizes) < self.refills):  # the first of them is forgotten
            return whole
        begin = self.recent[first]
        executed = self.executed - begin.executed
        return msgspec.structs.replace(
            whole,
            start_ms=begin.event_ms,
            executed=executed,
            refills=len(sizes) - first,
            over_execution=self.over_execution - begin.over_execution,
            max_shown=max(each.max_shown for each in self.recent[first:]),
            replenished=max(0.0, executed - (begin.shown - self.shown)),
        )


def is_same(size: float, tranche: float) -> bool:
    return abs(size - tranche) <= SAME_WITHIN * tranche * (1 + _ROUNDING)


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
        self._ended: list[Turnover] = []
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

    def take(self, now_ms: int) -> tuple[tuple[RefillChain, ...], tuple[Turnover, ...]]:
        """Chains that are evidence and were hit since the last call, and the turnovers of those that ended."""
        touched = ((key, self._chains.get(key)) for key in sorted(self._touched))
        frozen = (chain.freeze(*key) for key, chain in touched if chain is not None and chain.may_be_evidence)
        changed = tuple(chain for chain in frozen if chain.is_evidence)
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
        turnover = self._chains.pop(key).turnover
        if turnover is not None:
            self._ended.append(turnover)
