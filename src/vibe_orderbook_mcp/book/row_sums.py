"""Sums over the events of a second, in plain Python. `_row_sums` compiles it, since this is most of a row's cost.

* `HeldRows`: rows of one side of an event until it is settled, then their additions and cancellations;
* `EventImbalance`: order-flow imbalance and size at the best ten levels (`event_ofi`);
* `on_grid`: sums of doubles rounded to the exchange's grid, where they are exact.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from functools import reduce
from itertools import zip_longest
from operator import add
from typing import NamedTuple

from vibe_orderbook_mcp.book.book_side import BookSide
from vibe_orderbook_mcp.model.rows import MLOFI_LEVELS

# Prices and sizes of the best levels: bid prices, bid sizes, ask prices, ask sizes.
Ladder = tuple[list[float], list[float], list[float], list[float]]


def ladder(bids: BookSide, asks: BookSide, levels: int = MLOFI_LEVELS) -> Ladder | None:
    """None while a side is empty or the book is crossed: a new chain starts after that."""
    if bids.best is None or asks.best is None or bids.best >= asks.best:
        return None
    return (*bids.best_levels(levels), *asks.best_levels(levels))


def event_ofi(before: Ladder, after: Ladder) -> list[float]:
    """The order-flow imbalance of one event at each level, best first; as many levels as all four sides have.

    Xu, Gould & Howison, "Multi-Level Order-Flow Imbalance in a Limit Order Book" (2018); level 1 is the measure of
    Cont, Kukanov & Stoikov, "The Price Impact of Order Book Events" (2014). Between 100 ms frames the path of the
    book is unknown, so this is the imbalance of 100 ms states.

    Bid part: the new size when the m-th price rose, the change when it is equal, minus the old size when it fell.
    The ask part is the mirror image, with a negative sign. Base units.
    """
    return [
        (q1 if b1 > b0 else q1 - q0 if b1 == b0 else -q0) - (r1 if a1 < a0 else r1 - r0 if a1 == a0 else -r0)
        for b0, q0, a0, r0, b1, q1, a1, r1 in zip(*before, *after, strict=False)
    ]


class SettledRows(NamedTuple):
    """Sums over rows of levels that were not traded. Base units."""

    added: float
    adds: int
    cancelled: float
    cancels: int
    discovered: int  # levels beyond the known book, with an unknown old size
    watched: list[int]  # indices of rows that are left out of the sums and handled one by one


class HeldRows:
    """Rows of one side of an event: prices, new sizes, and the sizes before."""

    __slots__ = ("_before", "_levels")

    def __init__(self, levels: Sequence[tuple[float, float]], before: Sequence[float]) -> None:
        if len(levels) != len(before):
            raise ValueError("each row needs a size before")
        self._levels, self._before = levels, before

    def __len__(self) -> int:
        return len(self._levels)

    def row(self, place: int) -> tuple[float, float, float]:
        """Price, size and size before. Raises IndexError."""
        if place < 0:
            raise IndexError(place)
        return (*self._levels[place], self._before[place])

    def names(self, price: float) -> bool:
        """Whether there is a row of this level."""
        return any(level[0] == price for level in self._levels)

    def settle(self, watched: Container[float], least: float, bound: float, is_bid: bool) -> SettledRows:
        """The sums of the rows, without `watched` prices and without levels of the size of a wall (`least`).

        Levels beyond `bound` are discovered, not added. Sizes are on the symbol's grid, so any difference is a lot or
        more.
        """
        added = cancelled = 0.0
        adds = cancels = discovered = 0
        left_out: list[int] = []
        for place, ((price, size), old) in enumerate(zip(self._levels, self._before, strict=True)):
            if size >= least > old or price in watched:
                left_out.append(place)
            elif not old and (price < bound if is_bid else price > bound):
                discovered += 1
            elif size > old:
                added += size - old
                adds += 1
            elif size < old:
                cancelled += old - size
                cancels += 1
        return SettledRows(added, adds, cancelled, cancels, discovered, left_out)


def on_grid(values: Iterable[float], exp: int) -> tuple[float, ...]:
    """Each value rounded to `exp` decimals."""
    return tuple(round(value, exp) for value in values)


class EventImbalance:
    """The order-flow imbalance of each event, summed over a second's events level by level, best first."""

    __slots__ = ("_before", "_depth", "_ofi")

    def __init__(self) -> None:
        self._before: Ladder | None = None
        self._ofi: list[list[float]] = []  # of each event; added up once
        self._depth: list[list[float]] = []

    def observe(self, bids: BookSide, asks: BookSide) -> None:
        """The book after an event. While a side is empty or they touch there is no chain from event to event."""
        before, after = self._before, ladder(bids, asks)
        if before is not None and after is not None:
            self._ofi.append(per_level := event_ofi(before, after))
            self._depth.append([bid + ask for bid, ask in zip(after[1], after[3], strict=False)][: len(per_level)])
        self._before = after

    def break_chain(self) -> None:
        """The next event does not follow from the last one."""
        self._before = None

    def take(self) -> tuple[int, list[float], list[float]]:
        """Since the last call: number of events, their imbalance, and the sizes of both sides after each."""
        taken = len(self._ofi), _column_sums(self._ofi), _column_sums(self._depth)
        self._ofi, self._depth = [], []
        return taken


def _column_sums(rows: list[list[float]]) -> list[float]:
    """Level by level, by plain additions; an event of a thin book has fewer."""
    return [reduce(add, column, 0.0) for column in zip_longest(*rows, fillvalue=0.0)]
