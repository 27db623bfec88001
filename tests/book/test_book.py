"""One book against a plain dict, in Python and compiled."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book.exchange import depth, price_at, size_at
from tests.book.implementations import SIDE_TYPES, needs_compiled
from vibe_orderbook_mcp.book.book import BookSide, OrderBook, differing_levels
from vibe_orderbook_mcp.model.events import DepthSnapshot, Side

Ticks = tuple[int, int]  # price and size as whole numbers

SIDES: tuple[Side, Side] = ("bid", "ask")
LEVEL = st.tuples(st.integers(1, 40), st.integers(0, 9))
LEVELS = st.lists(LEVEL, max_size=12, unique_by=lambda level: level[0])
BATCHES = st.lists(st.lists(LEVEL, max_size=8), max_size=8)
SETTINGS = settings(deadline=None, max_examples=200)


def levels_of(levels: Sequence[Ticks]) -> list[tuple[float, float]]:
    return [(price_at(price), size_at(size)) for price, size in levels]


def built(
    kind: type[BookSide], side: Side, start: list[Ticks], batches: list[list[Ticks]], *, complete: bool = True
) -> BookSide:
    book_side = kind(side, levels_of(start), complete=complete)
    for batch in batches:
        book_side.apply(levels_of(batch))
    return book_side


def expected(start: list[Ticks], batches: list[list[Ticks]]) -> dict[int, int]:
    kept = dict(start)
    for batch in batches:
        kept.update(batch)
    return {price: size for price, size in kept.items() if size}


@pytest.mark.parametrize("kind", SIDE_TYPES)
@SETTINGS
@given(st.sampled_from(SIDES), LEVELS, BATCHES, st.integers(0, 15))
def test_a_side_equals_a_dict_in_order(
    kind: type[BookSide], side: Side, start: list[Ticks], batches: list[list[Ticks]], count: int
) -> None:
    """Prices and sizes are kept apart from each other; they are one truth, also of a price that is named twice."""
    book_side = built(kind, side, start, batches)
    kept = expected(start, batches)
    best_first = sorted(kept, reverse=side == "bid")
    assert book_side.prices == [price_at(price) for price in sorted(kept)]
    assert book_side.sizes == {price_at(price): size_at(size) for price, size in kept.items()}
    assert book_side.best == (price_at(best_first[0]) if best_first else None)
    assert book_side.top(count) == [(price_at(price), size_at(kept[price])) for price in best_first[:count]]
    assert book_side.best_levels(count)[0] == [price_at(price) for price in best_first[:count]]
    assert book_side.known_levels() == len(kept)


@pytest.mark.parametrize("kind", SIDE_TYPES)
@pytest.mark.parametrize("side", SIDES)
def test_a_deep_side_equals_a_dict_through_sweeps_and_floods(kind: type[BookSide], side: Side) -> None:
    """Whatever empties or fills the top of a deep book, it shows what a plain dict holds."""
    chance = random.Random(side)
    kept = dict.fromkeys(range(1000, 1600), 5)
    book_side = kind(side, levels_of(list(kept.items())))
    for _ in range(600):
        best_first = sorted((ticks for ticks, lots in kept.items() if lots), reverse=side == "bid")
        at, draw = chance.randrange(400), chance.random()
        if draw < 0.1:  # a sweep
            rows = [(ticks, 0) for ticks in best_first[: chance.randrange(200)]]
        elif draw < 0.3:  # a flood of new levels around the top
            first = (best_first[0] if best_first else 1_300) - 60
            rows = [(ticks, chance.randrange(1, 9)) for ticks in range(first, first + chance.randrange(120))]
        else:
            rows = [(ticks, chance.choice([0, 0, 3, 4])) for ticks in best_first[at : at + 12]]
            rows += [(chance.randrange(900, 1_700), chance.choice([0, 1, 2])) for _ in range(8)]
        chance.shuffle(rows)
        rows = list(dict(rows).items())
        book_side.apply(levels_of(rows))
        kept.update(rows)
        best_first = sorted((ticks for ticks, lots in kept.items() if lots), reverse=side == "bid")
        assert book_side.best == (price_at(best_first[0]) if best_first else None)
        assert book_side.top(10) == [(price_at(ticks), size_at(kept[ticks])) for ticks in best_first[:10]]
        assert book_side.top(150) == [(price_at(ticks), size_at(kept[ticks])) for ticks in best_first[:150]]
        assert book_side.prices == [price_at(ticks) for ticks in sorted(best_first)]
        assert book_side.sizes == {price_at(ticks): size_at(kept[ticks]) for ticks in best_first}


@pytest.mark.parametrize("kind", SIDE_TYPES)
@SETTINGS
@given(st.sampled_from(SIDES), LEVELS, BATCHES)
def test_an_update_answers_with_the_sizes_before_it(
    kind: type[BookSide], side: Side, start: list[Ticks], batches: list[list[Ticks]]
) -> None:
    """Flow is computed from these: of a level that is new, of one that is taken down, and of a price named twice, where
    the second row finds what the first one left.
    """
    book_side = kind(side, levels_of(start))
    kept = dict(start)
    for batch in batches:
        before = []
        for price, size in batch:
            before.append(size_at(kept.get(price, 0)))
            kept[price] = size
        assert book_side.apply(levels_of(batch)) == before


@pytest.mark.parametrize("kind", SIDE_TYPES)
@SETTINGS
@given(st.sampled_from(SIDES), LEVELS, BATCHES, st.lists(st.integers(0, 41), min_size=1, max_size=5))
def test_depth_to_a_limit_is_the_sum_up_to_it(
    kind: type[BookSide], side: Side, start: list[Ticks], batches: list[list[Ticks]], limits: list[int]
) -> None:
    """Limits are inclusive and nothing is counted in two bands, also when the best price is beyond the limit."""
    book_side = built(kind, side, start, batches)
    kept = expected(start, batches)
    limits.sort(reverse=side == "bid")
    depths = book_side.depth_to([price_at(limit) for limit in limits])
    for limit, (base, quote) in zip(limits, depths, strict=True):
        inside = [price for price in kept if (price >= limit if side == "bid" else price <= limit)]
        assert base == pytest.approx(float(Fraction(sum(kept[price] for price in inside), 1000)))
        assert quote == pytest.approx(float(Fraction(sum(price * kept[price] for price in inside), 100_000)))


@pytest.mark.parametrize("kind", SIDE_TYPES)
@SETTINGS
@given(st.sampled_from(SIDES), LEVELS, BATCHES)
def test_the_horizon_is_where_the_snapshot_ended(
    kind: type[BookSide], side: Side, start: list[Ticks], batches: list[list[Ticks]]
) -> None:
    """What the answer did not show is known once it changes, and never counted as known before."""
    book_side = built(kind, side, start, batches, complete=False)
    shown = [level for level, size in start if size]
    if not shown:
        assert book_side.horizon is None
        return
    horizon = min(shown) if side == "bid" else max(shown)
    assert book_side.horizon == price_at(horizon)
    for price in range(42):
        is_inside = price >= horizon if side == "bid" else price <= horizon
        assert book_side.is_beyond_horizon(price_at(price)) is not is_inside
    kept = expected(start, batches)
    assert book_side.known_levels() == sum(p >= horizon if side == "bid" else p <= horizon for p in kept)


@pytest.mark.parametrize("kind", SIDE_TYPES)
@SETTINGS
@given(st.data(), LEVELS, LEVELS)
def test_the_order_of_rows_inside_an_event_does_not_matter(
    kind: type[BookSide], data: st.DataObject, start: list[Ticks], rows: list[Ticks]
) -> None:
    """An event is a set of absolute sizes; the exchange promises no order."""
    shuffled = data.draw(st.permutations(rows))
    one, other = built(kind, "bid", start, [rows]), built(kind, "bid", start, [shuffled])
    assert (one.prices, one.sizes) == (other.prices, other.sizes)


def book(bids: list[tuple[float, float]], asks: list[tuple[float, float]], limit: int | None = None) -> OrderBook:
    return OrderBook(DepthSnapshot(7, bids, asks), limit=limit)


def test_a_side_that_is_shorter_than_asked_for_is_wholly_known() -> None:
    """The exchange would have sent more levels had there been any."""
    two_and_one = book([(9.0, 1.0), (8.0, 1.0)], [(10.0, 1.0)], limit=2)
    assert two_and_one.bids.horizon == 8.0
    assert two_and_one.asks.horizon is None
    assert two_and_one.side("bid") is two_and_one.bids
    assert two_and_one.side("ask") is two_and_one.asks


@pytest.mark.parametrize(
    ("bids", "asks", "mid", "is_crossed", "is_two_sided"),
    [
        ([(9.0, 1.0)], [(10.0, 1.0)], 9.5, False, True),
        ([(10.0, 1.0)], [(10.0, 1.0)], 10.0, True, True),
        ([(11.0, 1.0)], [(10.0, 1.0)], 10.5, True, True),
        ([], [(10.0, 1.0)], None, False, False),
        ([(9.0, 1.0)], [], None, False, False),
        ([], [], None, False, False),
    ],
)
def test_a_book_with_one_side_has_no_mid_and_cannot_cross(
    bids: list[tuple[float, float]],
    asks: list[tuple[float, float]],
    mid: float | None,
    is_crossed: bool,
    is_two_sided: bool,
) -> None:
    """No answer is None. Equal best prices count as crossed: an exchange would have matched them."""
    small = book(bids, asks)
    assert (small.mid, small.is_crossed, small.is_two_sided) == (mid, is_crossed, is_two_sided)


def test_an_applied_event_moves_the_books_id_and_time() -> None:
    """A REST answer carries no exchange time: until an event there is none to state."""
    assert book([(9.0, 1.0)], []).event_ms is None
    small = book([(9.0, 1.0)], [(10.0, 1.0)])
    update = depth(8, 12, [(9.0, 3.0)], [(11.0, 2.0)], event_ms=5_000)
    assert small.apply(update) == ([1.0], [0.0])
    assert (small.last_update_id, small.event_ms) == (12, 5_000)


def test_copies_are_compared_only_where_both_are_complete() -> None:
    """Beyond a horizon a level that one of them lacks may simply not have changed yet."""
    kept = book([(9.0, 1.0), (8.0, 2.0), (7.0, 3.0), (6.0, 1.0)], [(10.0, 1.0), (11.0, 4.0)])
    fresh = book([(9.0, 1.0), (8.0, 2.5), (7.0, 3.0)], [(10.5, 2.0), (11.0, 4.0)], limit=3)
    assert sorted(differing_levels(kept, fresh)) == [
        ("ask", 10.0, 1.0, 0.0),
        ("ask", 10.5, 0.0, 2.0),
        ("bid", 8.0, 2.0, 2.5),
    ]
    assert differing_levels(fresh, fresh) == []
    assert [side for side, *_ in differing_levels(fresh, kept)] == [side for side, *_ in differing_levels(kept, fresh)]


@pytest.mark.parametrize("kind", SIDE_TYPES)
@SETTINGS
@given(st.sampled_from(SIDES), LEVELS, st.lists(st.integers(0, 42), max_size=8).map(sorted))
def test_sums_between_edges(kind: type[BookSide], side: Side, start: list[Ticks], edges: list[int]) -> None:
    """The lower edge is in, the upper one is not; an edge twice, outside or alone is no stretch."""
    expected_sums = [
        sum(size for price, size in start if low <= price < high) for low, high in itertools.pairwise(edges)
    ]
    sums = kind(side, levels_of(start)).sums_between([price_at(edge) for edge in edges])
    assert sums == pytest.approx([size_at(total) for total in expected_sums])


@needs_compiled
@SETTINGS
@given(
    st.sampled_from(SIDES),
    st.lists(st.tuples(st.floats(1, 100), st.floats(1e-3, 1e6)), max_size=30),
    st.lists(st.floats(0, 110), max_size=8).map(sorted),
)
def test_both_ways_of_summing_agree_to_the_last_bit(
    side: Side, levels: list[tuple[float, float]], edges: list[float]
) -> None:
    """What is stored is the same wherever it was made."""
    python, compiled = (kind.values[0](side, levels) for kind in SIDE_TYPES)  # type: ignore[operator]
    assert python.sums_between(edges) == compiled.sums_between(edges)


@pytest.mark.parametrize("kind", SIDE_TYPES)
@pytest.mark.parametrize("side", SIDES)
def test_a_level_stands_since_it_came(kind: type[BookSide], side: Side) -> None:
    """A change of size does not make it younger, a removal ends it, and of what was loaded nothing is known."""
    levels = kind(side, [(9.0, 1.0), (8.0, 1.0)])
    levels.apply([(10.0, 1.0), (9.0, 2.0)], 1_000)
    levels.apply([(10.0, 3.0), (7.0, 1.0)], 2_000)
    assert [levels.since_ms(price) for price in (7.0, 8.0, 9.0, 10.0, 11.0)] == [2_000, None, None, 1_000, None]
    levels.apply([(10.0, 0.0)], 3_000)
    assert levels.since_ms(10.0) is None
    levels.apply([(10.0, 1.0), (9.0, 0.0), (9.0, 1.0)], 4_000)
    assert [levels.since_ms(price) for price in (8.0, 9.0, 10.0)] == [None, 4_000, 4_000]


@pytest.mark.parametrize("kind", SIDE_TYPES)
@SETTINGS
@given(st.sampled_from(SIDES), LEVELS, BATCHES, BATCHES)
def test_a_fresh_copy_keeps_since_when_levels_stand(
    kind: type[BookSide], side: Side, start: list[Ticks], early: list[list[Ticks]], late: list[list[Ticks]]
) -> None:
    """It joins half-way, knows nothing of what was there, and is as old as the copy whose place it takes."""
    kept = built(kind, side, start, [])
    for event_ms, batch in enumerate(early, 1_000):
        kept.apply(levels_of(batch), event_ms)
    fresh = kind(side, list(kept.sizes.items()))
    for event_ms, batch in enumerate(late, 2_000):
        for copy in (kept, fresh):
            copy.apply(levels_of(batch), event_ms)
    fresh.apply([(price_at(50), 1.0)])  # a level that the other one does not reach
    fresh.keep_since(kept)
    assert [fresh.since_ms(price) for price in fresh.prices] == [kept.since_ms(price) for price in fresh.prices]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", SIDE_TYPES)
def test_what_is_no_side_is_not_read_as_one(kind: type[BookSide], side: Side) -> None:
    """Compiled code that takes None for a side reads memory that is not its own."""
    levels = kind(side, [(1.0, 2.0), (3.0, 4.0)])
    with pytest.raises((TypeError, AttributeError)):
        levels.keep_since(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", SIDE_TYPES)
@SETTINGS
@given(st.sampled_from(SIDES), LEVELS, BATCHES, st.integers(0, 15))
def test_the_best_levels_alone_are_kept(
    kind: type[BookSide], side: Side, start: list[Ticks], batches: list[list[Ticks]], count: int
) -> None:
    """A venue that keeps this many in step says nothing of the others any more: they would stand there for good."""
    book_side = built(kind, side, start, batches)
    whole = expected(start, batches)
    book_side.keep_best(count)
    best = sorted(whole, reverse=side == "bid")[:count]
    assert book_side.sizes == {price_at(price): size_at(whole[price]) for price in best}
    assert book_side.prices == sorted(book_side.sizes)
    # As many as there may be: what stands behind the last one is not known. Fewer: there are no others.
    assert book_side.horizon == (price_at(best[-1]) if best and len(best) == count else None)
    book_side.apply([(price_at(7), 1.0)], 5)
    assert book_side.since_ms(price_at(7)) == (None if 7 in best else 5)
