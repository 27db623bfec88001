"""Levels that are refilled while trades hit them repeatedly.

For each interval between two depth events that change a level, with `shown` before it and `traded` in it:

* over-execution: max(0, traded - shown), the volume beyond the displayed size;
* refill: shown after - shown before + traded, if there was a trade and this is above 0. It does not count if a trade of
  its size (1 %) hit the other side of that price within 100 ms: two parties that trade with each other in equal clips
  replace the size that they took, and nothing is hidden there.

Refills of one side and price at most 30 s apart are a chain. If most of its refills are equal, the chain begins
at the first equal one: earlier trades at that price belong to others. A chain is evidence only if four fifths of the
volume at its price meanwhile hit its side.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from vibe_orderbook_mcp.model.events import Side

CHAIN_MS: Final = 30_000
MIN_REFILLS: Final = 3
MIN_TURNOVER: Final = 3.0
SIZES_KEPT: Final = 100
CHAINS_MOST: Final = 5_000
SAME_WITHIN: Final = 0.01
SAME_SHARE: Final = 0.5
MIN_ONE_SIDED: Final = 0.8
MIRROR_MS: Final = 100
# Trades stay in memory by price until every event for a comparison is settled.
TRADES_KEPT_MS: Final = 2_000
# A sweep takes levels that several makers quoted within moments; a refilled level lasts longer.
KEPT_UP_MS: Final = 3_000
# Open chains are checked for ended ones this often.
SWEEP_MS: Final = 5_000
_ROUNDING: Final = 1e-9


class Turnover(NamedTuple):
    """Executed / most shown for a level that trades no longer hit, and whether it was refilled (3 refills, 3 s)."""

    times: float
    kept_up: bool


class RefillChain(msgspec.Struct, frozen=True, gc=False):
    """A level that was hit and refilled. Sizes in base units."""

    side: Side
    price: float
    start_ms: int  # with equal refills: time of the first of them
    last_ms: int
    executed: float
    refills: int
    tranche: float  # the size that most refills share
    equal_share: float  # number of remembered refills within 1 % of it
    over_execution: float
    max_shown: float
    replenished: float
    opposed: float = 0.0  # traded meanwhile at the same price, against the other side

    @property
    def turnover(self) -> float | None:
        """executed / the most that was shown."""
        return self.executed / self.max_shown if self.max_shown > 0.0 else None

    @property
    def is_one_sided(self) -> bool:
        """Whether one side's aggressors made four fifths of the volume at the price."""
        return _is_one_sided(self.executed, self.opposed)

    @property
    def is_evidence(self) -> bool:
        """Three refills, and executed volume of three times the largest displayed size."""
        is_turned_over = self.executed >= MIN_TURNOVER * self.max_shown * (1 - _ROUNDING)
        return self.refills >= MIN_REFILLS and self.max_shown > 0.0 and is_turned_over and self.is_one_sided


class _Refill(msgspec.Struct, gc=False):
    """One refill, and the chain as it was before the interval in which it came."""

    size: float
    event_ms: int
    executed: float
    opposed: float
    over_execution: float
    shown: float
    max_shown: float  # from here on, until the next refill


class Chain:
    """A chain under construction."""

    __slots__ = (
        "executed",
        "first_shown",
        "is_newest_a_refill",
        "last_ms",
        "max_shown",
        "opposed",
        "over_execution",
        "recent",
        "refills",
        "shown",
        "start_ms",
    )

    def __init__(self, start_ms: int, shown: float) -> None:
        self.start_ms = self.last_ms = start_ms
        self.first_shown = self.max_shown = self.shown = shown
        self.executed = self.opposed = self.over_execution = 0.0
        self.refills = 0
        self.is_newest_a_refill = False
        self.recent: list[_Refill] = []

    def hit(self, event_ms: int, shown: float, after: float, traded: float, refill: float) -> None:
        """`refill`: refilled size; 0 if none, or if it does not count."""
        self.is_newest_a_refill = refill > 0.0
        if refill:
            self.refills += 1
            self.last_ms = event_ms
            self.recent.append(
                _Refill(refill, event_ms, self.executed, self.opposed, self.over_execution, shown, shown)
            )
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
        if self.is_newest_a_refill and self.recent and abs(self.recent[-1].size - refill) < half_lot:
            undone = self.recent.pop()
            self.refills -= 1
            if self.recent:
                self.recent[-1].max_shown = max(self.recent[-1].max_shown, undone.max_shown)

    @property
    def may_be_evidence(self) -> bool:
        """A cheap necessary condition for evidence: for the whole chain, or since its first equal refill."""
        if self.refills < MIN_REFILLS:
            return False
        newest = [each.size for each in self.recent[-MIN_REFILLS:]]
        is_run = len(newest) == MIN_REFILLS and all(is_same(size, newest[0]) for size in newest)
        return is_run or self.executed >= MIN_TURNOVER * self.max_shown * (1 - _ROUNDING)

    @property
    def turnover(self) -> Turnover | None:
        if self.max_shown <= 0.0:
            return None
        lasted = self.refills >= MIN_REFILLS and self.last_ms - self.start_ms >= KEPT_UP_MS
        return Turnover(self.executed / self.max_shown, lasted and _is_one_sided(self.executed, self.opposed))

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
            opposed=self.opposed,
        )
        first = next((place for place, size in enumerate(sizes) if is_same(size, tranche)), 0)
        if share < SAME_SHARE or (first == 0 and len(sizes) < self.refills):  # the first of them is dropped
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
            opposed=self.opposed - begin.opposed,
        )


def is_same(size: float, tranche: float) -> bool:
    return abs(size - tranche) <= SAME_WITHIN * tranche * (1 + _ROUNDING)


def _is_one_sided(executed: float, opposed: float) -> bool:
    return executed >= MIN_ONE_SIDED * (executed + opposed) * (1 - _ROUNDING)


def _other(side: Side) -> Side:
    return "ask" if side == "bid" else "bid"


def common_size(sizes: Sequence[float]) -> tuple[float, float]:
    """The size with most others within 1 % of it, and their share of all."""
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

    __slots__ = ("_chains", "_ended", "_half_lot", "_swept_ms", "_touched", "_trades")

    def __init__(self, lot: float) -> None:
        self._half_lot = lot / 2
        self._chains: dict[tuple[Side, float], Chain] = {}
        self._touched: set[tuple[Side, float]] = set()
        self._ended: list[Turnover] = []
        # By price: when a trade came, which side it hit, its size.
        self._trades: defaultdict[float, deque[tuple[int, Side, float]]] = defaultdict(deque)
        self._swept_ms = 0

    def traded(self, side: Side, price: float, size: float, time_ms: int) -> None:
        """A trade hit that side; called on its arrival."""
        self._trades[price].append((time_ms, side, size))

    def settled(self, key: tuple[Side, float], event_ms: int, shown: float, after: float, traded: float) -> None:
        """A level in an event with all trades joined."""
        if traded > 0.0:
            self._hit(key, event_ms, shown, after, traded)
        elif (chain := self._chains.get(key)) is not None:
            chain.show(after)

    def knows(self, side: Side, price: float) -> bool:
        return (side, price) in self._chains

    def refilled(self, side: Side, price: float, shown: float, traded: float, time_ms: int) -> None:
        """A trade that no event shows: the level was refilled to its old size."""
        if shown > 0.0:
            self._hit((side, price), time_ms, shown, shown, traded)
        else:
            self._oppose(side, price, traded)

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
        if self._trades:
            self._forget_trades(now_ms - TRADES_KEPT_MS)
        if now_ms - self._swept_ms >= SWEEP_MS:
            self._swept_ms = now_ms
            for key in [key for key, chain in self._chains.items() if now_ms - chain.last_ms > CHAIN_MS]:
                self._end(key)
        ended, self._ended = tuple(self._ended), []
        return changed, ended

    def clear(self) -> None:
        """The book was lost: trades meanwhile are unknown."""
        self._chains.clear()
        self._touched.clear()
        self._trades.clear()

    def _hit(self, key: tuple[Side, float], event_ms: int, shown: float, after: float, traded: float) -> None:
        chain = self._chains.get(key)
        if chain is not None and event_ms - chain.last_ms > CHAIN_MS:
            self._end(key)
            chain = None
        if chain is None:
            if len(self._chains) >= CHAINS_MOST:
                self._end(next(iter(self._chains)))
            chain = self._chains[key] = Chain(event_ms, shown)
        refill = after - shown + traded
        if refill < self._half_lot or self._is_mirrored(key, refill, event_ms):
            refill = 0.0
        chain.hit(event_ms, shown, after, traded, refill)
        self._touched.add(key)
        self._oppose(*key, traded)

    def _oppose(self, side: Side, price: float, traded: float) -> None:
        """Add volume against one side of a price to the opposing volume of the other side's chain."""
        if (chain := self._chains.get((_other(side), price))) is not None:
            chain.opposed += traded

    def _is_mirrored(self, key: tuple[Side, float], refill: float, event_ms: int) -> bool:
        """Whether a trade of the refill's size hit the other side of the price at about the same time."""
        side, price = key
        return any(
            hit != side and abs(time_ms - event_ms) <= MIRROR_MS and is_same(size, refill)
            for time_ms, hit, size in self._trades.get(price, ())
        )

    def _forget_trades(self, before_ms: int) -> None:
        for price, trades in list(self._trades.items()):
            while trades and trades[0][0] < before_ms:
                trades.popleft()
            if not trades:
                del self._trades[price]

    def _end(self, key: tuple[Side, float]) -> None:
        turnover = self._chains.pop(key).turnover
        if turnover is not None:
            self._ended.append(turnover)
