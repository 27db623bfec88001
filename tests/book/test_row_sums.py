"""The sums of a second's row, in Python and compiled, against plain rules."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from functools import reduce
from itertools import zip_longest
from math import inf, nextafter
from operator import add
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book.exchange import price_at, size_at
from tests.book.implementations import SIDE_TYPES, needs_compiled
from vibe_orderbook_mcp.book import row_sums
from vibe_orderbook_mcp.book.book import BookSide
from vibe_orderbook_mcp.book.row_sums import event_ofi, ladder
from vibe_orderbook_mcp.model.rows import MLOFI_LEVELS

compiled: ModuleType | None
try:
    from vibe_orderbook_mcp.book import _row_sums as compiled
except ImportError:
    compiled = None

IMPLEMENTATIONS = [
    pytest.param(row_sums, id="python"),
    pytest.param(compiled, id="compiled", marks=needs_compiled),
]
ROW = st.tuples(st.integers(1, 30), st.integers(0, 9), st.integers(0, 9))  # price, size, size before


@pytest.mark.parametrize("module", IMPLEMENTATIONS)
@settings(deadline=None, max_examples=300)
@given(
    st.lists(ROW, max_size=20, unique_by=lambda row: row[0]),
    st.sets(st.integers(1, 30)),
    st.integers(0, 31),
    st.booleans(),
)
def test_rows_are_added_cancelled_discovered_or_left_out(
    module: Any, rows: list[tuple[int, int, int]], watched: set[int], bound: int, is_bid: bool
) -> None:
    """Each row by the rule of its own, in whole lots."""
    least = 8
    added = cancelled = adds = cancels = discovered = 0
    left_out = []
    for place, (price, size, old) in enumerate(rows):
        is_beyond = price < bound if is_bid else price > bound
        if price in watched or (old < least <= size):
            left_out.append(place)
        elif old == 0 and is_beyond:
            discovered += 1
        else:
            added += max(size - old, 0)
            adds += size > old
            cancelled += max(old - size, 0)
            cancels += size < old
    held = module.HeldRows(
        [(price_at(price), size_at(size)) for price, size, _ in rows], [size_at(old) for *_, old in rows]
    )
    held = deepcopy(held)
    found = held.settle({price_at(price): 1 for price in watched}, size_at(least), price_at(bound), is_bid)
    assert len(held) == len(rows)
    assert [held.row(place) for place in range(len(rows))] == [
        (price_at(price), size_at(size), size_at(old)) for price, size, old in rows
    ]
    assert [price for price in range(32) if held.names(price_at(price))] == sorted(price for price, *_ in rows)
    assert tuple(found) == (
        pytest.approx(size_at(added)),
        adds,
        pytest.approx(size_at(cancelled)),
        cancels,
        discovered,
        left_out,
    )


@needs_compiled
@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.floats(0.01, 1e6), st.floats(0, 1e9), st.floats(0, 1e9)), max_size=20))
def test_both_ways_of_settling_agree_to_the_last_bit(rows: list[tuple[float, float, float]]) -> None:
    """A row is the same wherever it was made."""
    assert compiled is not None
    told = [(price, size) for price, size, _ in rows], [old for *_, old in rows]
    limits: tuple[Any, ...] = ({}, 5e8, 1e3, True)
    assert compiled.HeldRows(*told).settle(*limits) == tuple(row_sums.HeldRows(*told).settle(*limits))


@pytest.mark.parametrize("module", IMPLEMENTATIONS)
def test_rows_that_are_none_are_refused(module: Any) -> None:
    """As many sizes before as rows; no place outside."""
    with pytest.raises(ValueError, match="each row needs a size"):
        module.HeldRows([(1.0, 2.0)], [])
    held = module.HeldRows([(1.0, 2.0)], [3.0])
    for place in (-1, 1, 10**9):
        with pytest.raises(IndexError):
            held.row(place)
    assert not module.HeldRows([], [])


@needs_compiled
def test_sums_are_put_on_the_grid_as_round_does() -> None:
    """On the grid but for noise, close to a tie, negative, or too many steps for a double to count them in ones."""
    chance = random.Random(7)
    assert compiled is not None
    for exp in range(24):
        values = [0.0, -0.0, 0.5, 2.5, 1e300, 0.1 + 0.2, 4503599627370495.5]
        for _ in range(3_000):
            value = round(chance.uniform(-1, 1) * 10.0 ** chance.randrange(10), chance.randrange(9))
            tie = (chance.randrange(10**6) + 0.5) / 10.0 ** min(exp, 22)
            noisy = value * (1 + chance.uniform(-1, 1) * 1e-14)
            values += [value, noisy, tie, nextafter(tie, inf), nextafter(tie, -inf), chance.uniform(0, 1e9)]
        found = compiled.on_grid(values, exp)
        assert list(map(repr, found)) == list(map(repr, row_sums.on_grid(values, exp)))


SIZES = st.lists(st.integers(0, 5), min_size=14, max_size=14)
STATES = st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=8)


@pytest.mark.parametrize("kind", SIDE_TYPES)
@pytest.mark.parametrize("module", IMPLEMENTATIONS)
@settings(deadline=None, max_examples=100)
@given(states=STATES, restarts=st.sets(st.integers(0, 7)))
def test_imbalances_of_events_add_up_level_by_level(
    module: Any, kind: Callable[..., BookSide], states: list[tuple[list[int], list[int]]], restarts: set[int]
) -> None:
    """Against the formula's own function, for books that empty, touch, thin out and are followed again."""
    summed = module.EventImbalance()
    before = None
    ofi: list[list[float]] = []
    depth: list[list[float]] = []
    for number, (bid_sizes, ask_sizes) in enumerate(states):
        bids = kind("bid", [(price_at(100 - place), size_at(size)) for place, size in enumerate(bid_sizes)])
        asks = kind("ask", [(price_at(99 + place), size_at(size)) for place, size in enumerate(ask_sizes)])
        if number in restarts:
            summed.break_chain()
            before = None
        summed = deepcopy(summed)  # goes on where the other one was
        summed.observe(bids, asks)
        after = ladder(bids, asks)
        if before is not None and after is not None:
            ofi.append(event_ofi(before, after))
            depth.append([bid + ask for bid, ask in zip(after[1], after[3], strict=False)][: len(ofi[-1])])
        before = after
    columns = [[reduce(add, column, 0.0) for column in zip_longest(*rows, fillvalue=0.0)] for rows in (ofi, depth)]
    assert summed.take() == (len(ofi), *columns)
    assert len(columns[0]) <= MLOFI_LEVELS
    assert summed.take() == (0, [], [])


class Meddler:
    """A number that empties the list it came in while it is asked what it is worth."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows = rows

    def __float__(self) -> float:
        self.rows.clear()
        return 1.0


@needs_compiled
def test_rows_that_change_while_they_are_read_are_read_as_they_were() -> None:
    """No decoder makes such numbers; a caller with them must not read foreign memory."""
    assert compiled is not None
    rows: list[Any] = []
    rows += [(Meddler(rows), 2.0), *((float(price), 3.0) for price in range(1, 500))]
    olds: list[Any] = [0.0] * len(rows)
    held = compiled.HeldRows(rows, olds)
    assert rows == []
    assert (len(held), held.row(0), held.row(499)) == (500, (1.0, 2.0, 0.0), (499.0, 3.0, 0.0))
