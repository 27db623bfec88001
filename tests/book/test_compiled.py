"""Which code keeps the books, and that it is the same book whichever does."""

from __future__ import annotations

import contextlib
import gc
import inspect
import os
import random
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book.exchange import price_at, size_at
from tests.book.implementations import SIDE_TYPES, CompiledSide, needs_compiled
from tests.market.recordings import DEPTH_LIMIT, YEAR_2021, YEAR_2024, recorded
from vibe_orderbook_mcp.book.book_side import BookSide
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Side

Levels = list[tuple[float, float]]

SIDES: tuple[Side, Side] = ("bid", "ask")
LOOK_EVERY = 250
NAN, INF = float("nan"), float("inf")


def chosen(pure: str | None, before: str = "") -> str:
    """The module of the side that a process with this VIBE_PURE_PYTHON takes; `before` is run before it chooses."""
    environment = {name: value for name, value in os.environ.items() if name != "VIBE_PURE_PYTHON"}
    if pure is not None:
        environment["VIBE_PURE_PYTHON"] = pure
    code = "from vibe_orderbook_mcp.book.compiled import IS_COMPILED, BookSide; print(BookSide.__module__, IS_COMPILED)"
    command = [sys.executable, "-c", f"{before}\n{code}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)  # noqa: S603  # our own
    return done.stdout.strip()


def test_plain_python_serves_where_it_is_asked_for_or_nothing_was_compiled() -> None:
    """One variable leaves the compiled part alone; without it, it serves where it was built."""
    python, compiled = "vibe_orderbook_mcp.book.book_side False", "vibe_orderbook_mcp.book._book_side True"
    assert chosen("1") == python
    assert chosen(None) == chosen("") == chosen("0") == (python if CompiledSide is None else compiled)


LACKING = "from vibe_orderbook_mcp.book import _book_side; del _book_side.Ladder"
UNLIKE_EACH_OTHER = """
from vibe_orderbook_mcp.book import _book_side
class BookSide(_book_side.BookSide): pass
_book_side.BookSide = BookSide
"""
OTHER_ARGUMENTS = """
from vibe_orderbook_mcp.book import _row_sums
class HeldRows(_row_sums.HeldRows):
    def settle(self, watched, least): pass
_row_sums.HeldRows = HeldRows
"""


@needs_compiled
@pytest.mark.parametrize("before", [LACKING, UNLIKE_EACH_OTHER, OTHER_ARGUMENTS])
def test_plain_python_serves_where_what_was_compiled_is_of_an_older_source(before: str) -> None:
    """Sources were updated and not installed again: called as they are now, what was built would fail at each event."""
    assert chosen(None, before) == "vibe_orderbook_mcp.book.book_side False"


class Both:
    """One side of a book, kept both ways."""

    def __init__(self, side: Side, levels: Levels, *, complete: bool = True) -> None:
        assert CompiledSide is not None
        self.python = BookSide(side, levels, complete=complete)
        self.compiled = CompiledSide(side, levels, complete=complete)
        self.sign = 1 if side == "bid" else -1
        self.compare()

    def apply(self, levels: Levels) -> None:
        self.ask("apply", levels)
        self.ask("best")

    def ask(self, name: str, *arguments: object) -> None:
        """An attribute, or what a method answers: equal to the last bit, because a float has one shortest text."""
        one, other = getattr(self.python, name), getattr(self.compiled, name)
        assert repr(one(*arguments) if callable(one) else one) == repr(other(*arguments) if callable(other) else other)

    def compare(self) -> None:
        for name in ("side", "best", "horizon", "prices", "known_levels"):
            self.ask(name)
        assert len(self.python) == len(self.compiled)
        assert self.python.sizes == self.compiled.sizes
        for count in (0, 1, 10, 10_000):
            self.ask("best_levels", count)
            self.ask("top", count)
        if (best := self.python.best) is None:
            return
        limits = [best * (1 - self.sign * bps / 1e4) for bps in (-5, 0, 1, 10, 50, 100)]
        self.ask("depth_to", limits)
        for limit in (*limits, *self.python.prices[:3], *self.python.prices[-3:]):
            self.ask("size_at", limit)
            self.ask("is_beyond_horizon", limit)
            self.ask("count_to", limit)


@needs_compiled
def test_both_ways_have_the_same_surface() -> None:
    """Types are checked against the one in Python alone: what it has, with its arguments, the compiled one has."""
    assert CompiledSide is not None
    names = {name for name in (*vars(BookSide), "side", "horizon") if not name.startswith("_")}
    assert names == {name for name in vars(CompiledSide) if not name.startswith("_")}
    for name in names:
        if inspect.isfunction(method := vars(BookSide)[name]):
            other = inspect.signature(getattr(CompiledSide, name))
            assert list(inspect.signature(method).parameters) == list(other.parameters), name


@needs_compiled
@pytest.mark.parametrize(
    ("year", "symbol"), [(YEAR_2024, "BTCUSDT"), (YEAR_2024, "ETHUSDT"), (YEAR_2021, "NKNUSDT"), (YEAR_2021, "LRCBTC")]
)
def test_recorded_messages_make_the_same_sides(year: str, symbol: str) -> None:
    """What stood before each row, the best price after each event, and everything else now and then."""
    sides: tuple[Both, Both] | None = None
    events = 0
    for _, one in recorded(year, symbol).told:
        if isinstance(one, DepthSnapshot):
            complete = len(one.bids) < DEPTH_LIMIT
            sides = Both("bid", one.bids, complete=complete), Both("ask", one.asks, complete=complete)
        elif isinstance(one, DepthUpdate) and sides is not None:
            events += 1
            for side, levels in zip(sides, (one.bids, one.asks), strict=True):
                side.apply(levels)
                if events % LOOK_EVERY == 0:
                    side.compare()
    assert sides is not None
    assert events > 5
    for side in sides:
        side.compare()


def drawn(chance: random.Random, spread: int) -> Levels:
    """An event: rows best first as the exchange sends them, or in any order, some prices twice; floods, single rows."""
    rows = [
        (price_at(chance.randrange(1, spread)), size_at(chance.choice([0, 0, 1, 7, 1_234_567])))
        for _ in range(chance.choice([0, 1, 3, 20, 300]))
    ]
    rows = chance.choice([rows, sorted(rows), sorted(rows, reverse=True)])
    return rows + rows[: chance.choice([0, 0, 2])]


@needs_compiled
@settings(deadline=None, max_examples=40)
@given(st.sampled_from(SIDES), st.sampled_from([5, 200, 20_000]), st.integers(0, 2**32), st.booleans())
def test_long_streams_make_the_same_sides(side: Side, spread: int, seed: int, complete: bool) -> None:
    """Sides that fill far beyond their first room, empty again, and name a price twice in one event."""
    chance = random.Random(seed)
    both = Both(side, drawn(chance, spread), complete=complete)
    for step in range(120):
        both.apply(drawn(chance, spread))
        if step % 40 == 0:
            both.compare()
    both.apply([(price, 0.0) for price in both.python.prices])
    assert both.python.best is None
    both.compare()


@needs_compiled
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "wrong",
    [
        *[(price, 1.0) for price in (NAN, INF, -INF, 0.0, -0.0, -5.0)],
        *[(5.0, size) for size in (NAN, INF, -INF, -1.0)],
        *[("5.0", 1.0), (5.0, None), (5.0, b"1"), (object(), 1.0), (1.0,), (1.0, 2.0, 3.0), (), 5.0, None, "ab"],
    ],
)
def test_what_is_no_level_is_refused_and_changes_nothing(side: Side, wrong: object) -> None:
    """The decoder lets none of them through. If one came nevertheless, no book would have half of an event."""
    start = [(4.0, 1.0), (5.0, 2.0), (6.0, 3.0)]
    both = Both(side, start)
    raised = []
    for each in (both.python, both.compiled):
        with pytest.raises((ValueError, TypeError)) as caught:
            each.apply([(4.5, 1.0), (5.0, 0.0), wrong, (7.0, 2.0)])  # type: ignore[list-item]
        raised.append(caught.type)
    assert raised[0] is raised[1]
    both.compare()
    assert both.python.sizes == dict(start)


@needs_compiled
@pytest.mark.parametrize("side", SIDES)
def test_rows_of_other_kinds_are_taken_as_numbers(side: Side) -> None:
    """Whole numbers, lists for tuples, any sequence of them: slower, and right."""
    both = Both(side, [(4.0, 1.0)])
    for each in (both.python, both.compiled):
        assert each.apply(([5, 2], (4, True), (6.5, 0))) == [0.0, 1.0, 0.0]  # type: ignore[arg-type]
        assert each.apply(()) == []
    assert both.python.sizes == both.compiled.sizes == {4.0: 1.0, 5.0: 2.0}


class Meddler:
    """A number that changes the side while the side reads it."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self._meddle = meddle

    def __radd__(self, other: float) -> float:
        self._meddle()
        return 50.0


@needs_compiled
@pytest.mark.parametrize("side", SIDES)
def test_a_number_that_meddles_with_the_side_cannot_harm_it(side: Side) -> None:
    """Foreign code may run while rows are turned into numbers, never while memory is being moved."""
    assert CompiledSide is not None
    book_side = CompiledSide(side, [(float(price), 1.0) for price in range(1, 60)])
    rows: list[object] = [(100.0, 1.0)]
    flood = [(float(price), 2.0) for price in range(1_000, 3_000)]

    def meddle() -> None:
        book_side.apply(flood)
        rows.clear()

    rows += [(Meddler(meddle), 3.0), (200.0, 1.0)]
    book_side.apply(rows)  # type: ignore[arg-type]
    assert rows == []
    assert book_side.sizes == {**dict.fromkeys(map(float, range(1, 60)), 1.0), **dict(flood), 100.0: 1.0, 50.0: 3.0}


class LastWill:
    """Garbage in a ring: the collector, which comes when it likes, runs its last act."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._me = self
        self._act = act

    def __del__(self) -> None:
        self._act()


@needs_compiled
@settings(deadline=None, max_examples=20)
@given(st.sampled_from(SIDES), st.sampled_from([3, 70, 5_000]), st.integers(0, 2**32))
def test_whatever_meddles_and_whatever_is_asked_a_side_stays_in_order(side: Side, spread: int, seed: int) -> None:
    """Worth most under `scripts/sanitize`, which sees a step beyond the end of what a side holds."""
    assert CompiledSide is not None
    chance = random.Random(seed)
    book_side = CompiledSide(side, drawn(chance, spread))
    rows: list[object] = []

    def meddle() -> None:
        what = chance.random()
        if what < 0.5:
            book_side.apply(drawn(chance, spread))
        elif what < 0.7:
            rows.clear()
        elif what < 0.9:
            rows.extend(drawn(chance, spread))
        else:
            book_side.__init__(side, drawn(chance, spread))  # type: ignore[misc]  # nobody should

    usual = gc.get_threshold()
    gc.set_threshold(20, 2, 2)
    try:
        for _ in range(60):
            rows = [*drawn(chance, spread)]
            rows.insert(
                chance.randrange(len(rows) + 1), chance.choice([(Meddler(meddle), 1.0), (1.0, 2.0), (NAN, 1.0)])
            )
            LastWill(meddle)
            with contextlib.suppress(ValueError):
                book_side.apply(rows)  # type: ignore[arg-type]
            for count in (-(2**62), -1, 0, 1, len(book_side), 2**62):
                book_side.best_levels(count)
                book_side.top(count)
            for limit in (NAN, INF, -INF, 0.0, -1.0, spread / 200):
                book_side.count_to(limit)
                book_side.depth_to([limit, NAN, limit])
                book_side.size_at(limit)
                book_side.is_beyond_horizon(limit)
    finally:
        gc.set_threshold(*usual)
        gc.collect()
    prices = book_side.prices
    assert prices == sorted(set(prices))
    assert len(prices) == len(book_side)
    assert all(size > 0.0 for size in book_side.sizes.values())


@pytest.mark.parametrize("side_type", SIDE_TYPES)
@pytest.mark.parametrize("side", SIDES)
def test_a_copy_of_a_side_has_its_levels_and_goes_its_own_way(side_type: type[BookSide], side: Side) -> None:
    one = side_type(side, [(1.0, 2.0), (3.0, 4.0)], complete=False)
    one.apply([(2.0, 5.0)], 77)
    other, ladder = deepcopy(one), deepcopy(one.ladder(2))
    one.apply([(2.0, 0.0), (9.0, 1.0)], 78)
    assert (other.sizes, other.since_ms(2.0), other.side) == ({1.0: 2.0, 2.0: 5.0, 3.0: 4.0}, 77, side)
    assert other.horizon == one.horizon
    assert list(ladder) == other.top(2)
    other.apply([(float(price), 1.0) for price in range(10, 500)])
    assert (len(other), len(one), len(deepcopy(side_type(side)))) == (493, 3, 0)
