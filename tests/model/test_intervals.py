from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.intervals import Interval

numbers = st.sets(st.integers(0, 60))
ends = st.integers(-2, 62)


def _members(held: list[Interval]) -> set[int]:
    return {number for first, last in held for number in range(first, last + 1)}


def _shortest(held: list[Interval]) -> bool:
    return all(a <= b for a, b in held) and all(later[0] > earlier[1] + 1 for earlier, later in pairwise(held))


@given(st.lists(st.integers(0, 60)))
def test_any_order_of_numbers_makes_the_same_set(found: list[int]) -> None:
    held = intervals.of_numbers(found)
    assert _members(held) == set(found)
    assert _shortest(held)


@given(numbers, ends, ends)
def test_adding_and_removing_ranges_is_what_sets_do(members: set[int], first: int, last: int) -> None:
    held = intervals.of_numbers(sorted(members))
    grown, shrunk = intervals.add(held, first, last), intervals.remove(held, first, last)
    assert _members(grown) == members | set(range(first, last + 1))
    assert _members(shrunk) == members - set(range(first, last + 1))
    assert _shortest(grown)
    assert _shortest(shrunk)


@given(numbers, ends, ends)
def test_holes_are_what_is_not_held(members: set[int], first: int, last: int) -> None:
    held = intervals.of_numbers(sorted(members))
    missing = intervals.holes(held, first, last)
    assert _members(missing) == set(range(first, last + 1)) - members
    assert _shortest(missing)


@given(numbers, numbers, st.integers(0, 60))
def test_sets_of_intervals_behave_like_sets(a: set[int], b: set[int], number: int) -> None:
    one, other = intervals.of_numbers(sorted(a)), intervals.of_numbers(sorted(b))
    assert _members(intervals.union(one, other)) == a | b
    assert _members(intervals.difference(one, other)) == a - b
    assert _members(intervals.drop_below(one, number)) == {n for n in a if n >= number}
    assert intervals.contains(one, number) == (number in a)
    assert intervals.count(one) == len(a)
