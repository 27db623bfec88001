"""Levels cut out of a book and what they add up to: compiled and in Python, against a walk through them."""

from __future__ import annotations

from itertools import pairwise
from math import inf, nextafter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book.implementations import SIDE_TYPES, CompiledLadder, needs_compiled
from vibe_orderbook_mcp.book import book_side
from vibe_orderbook_mcp.book.book_side import BookSide, Ladder
from vibe_orderbook_mcp.model.events import Side

TYPES = [
    pytest.param(book_side.Ladder, id="python"),
    pytest.param(CompiledLadder, id="compiled", marks=needs_compiled),
]
SIZES = st.floats(1e-8, 1e9)
Levels = list[tuple[float, float]]
BOTH: tuple[Side, Side] = ("bid", "ask")


@st.composite
def sides(draw: st.DrawFn) -> tuple[Side, Levels]:
    """Levels in order, best first."""
    side: Side = draw(st.sampled_from(BOTH))
    ticks = sorted(draw(st.sets(st.integers(1, 400), max_size=60)), reverse=side == "bid")
    return side, [(tick / 100, draw(SIZES)) for tick in ticks]


def slow_depth(levels: Levels, count: int) -> tuple[float, float]:
    base = quote = 0.0
    for price, size in levels[: max(0, count)]:
        base += size
        quote += price * size
    return base, quote


@pytest.mark.parametrize("kind", TYPES)
@settings(deadline=None)
@given(sides(), st.lists(st.integers(-3, 70), max_size=6), st.integers(1, 400), st.sampled_from([0.0, 1e-12, 1e-3]))
def test_sums_and_counts_are_those_of_a_walk(
    kind: type[Ladder], told: tuple[Side, Levels], counts: list[int], tick: int, edge: float
) -> None:
    """To the last bit, on every Python: what an order costs and which level is the last depends on it."""
    side, levels = told
    ladder = kind(side, levels)
    assert list(ladder) == levels
    assert len(ladder) == len(levels)
    for count in counts:
        assert ladder.depth(count) == slow_depth(levels, count)
        prices, sizes = ladder.levels(3, count)
        assert list(zip(prices, sizes, strict=True)) == levels[3 : max(0, count)]
    edges = sorted(max(0, count) for count in counts)
    parts = [slow_depth(levels[start:stop], 99)[0] for start, stop in pairwise(edges)]
    assert ladder.parts(edges) == parts
    sign = 1.0 if side == "bid" else -1.0
    for limit in (tick / 100, nextafter(tick / 100, inf), nextafter(tick / 100, -inf)):
        assert ladder.count_to(limit) == sum(sign * price >= sign * limit for price, _ in levels)
        within = sum(sign * (price * (1.0 - sign * edge)) > sign * limit for price, _ in levels)
        assert ladder.count_before(limit, edge) == within


@pytest.mark.parametrize("kind", TYPES)
def test_places_that_are_not_there_are_refused(kind: type[Ladder]) -> None:
    """The compiled one reads memory of its own: beyond its ends there is somebody else's."""
    ladder = kind("ask", [(100.0, 1.0), (101.0, 2.0)])
    assert (ladder.price(1), ladder[0], ladder[-1]) == (101.0, (100.0, 1.0), (101.0, 2.0))
    assert ladder[:1] == [(100.0, 1.0)]
    for place in (2, -1):
        with pytest.raises(IndexError):
            ladder.price(place)
    with pytest.raises(IndexError):
        ladder[2]
    with pytest.raises(IndexError):
        kind("bid")[0]
    assert kind("bid").depth(5) == (0.0, 0.0)
    assert ladder.levels(-5, 99) == ([100.0, 101.0], [1.0, 2.0])


@pytest.mark.parametrize("kind", SIDE_TYPES)
def test_a_ladder_stays_as_the_side_was(kind: type[BookSide]) -> None:
    """An answer is of one moment, whatever comes while it is being made."""
    for side, best in zip(BOTH, (103.0, 100.0), strict=True):
        book = kind(side, [(100.0 + n, float(n + 1)) for n in range(4)])
        ladder, all_of_it = book.ladder(2), book.ladder(99)
        book.apply([(best, 0.0)])
        assert list(ladder) == list(all_of_it)[:2]
        assert (ladder.side, ladder.price(0), len(all_of_it), len(book.ladder(-1))) == (side, best, 4, 0)
        assert [book.count_to(limit) for limit in (99.0, 101.5, 104.0)] == ([3, 1, 0] if side == "bid" else [0, 1, 3])


@pytest.mark.parametrize("kind", SIDE_TYPES)
@pytest.mark.parametrize("side", BOTH)
def test_a_ladder_knows_since_when_its_levels_stand_and_forgets_none(kind: type[BookSide], side: Side) -> None:
    """An answer that is made on a thread must not see a level come back younger than the book that it describes."""
    book = kind(side, [(100.0, 1.0), (101.0, 2.0)])
    book.apply([(102.0, 1.0), (103.0, 1.0)], 5_000)
    ladder = book.ladder(4)
    book.apply([(102.0, 0.0), (103.0, 2.0)], 6_000)
    book.apply([(102.0, 4.0)], 7_000)
    assert [ladder.since_ms(price) for price in (99.0, 100.0, 101.0, 102.0, 102.5, 103.0, 104.0)] == [
        *(None, None, None, 5_000, None, 5_000, None)
    ]
    assert [book.ladder(4).since_ms(price) for price in (102.0, 103.0)] == [7_000, 5_000]
    assert [book.ladder(1).since_ms(price) for price in (101.0, 102.0)] == [None, None]  # neither is the best one
