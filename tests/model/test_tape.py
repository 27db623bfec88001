from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.model import tape as tape_module
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.tape import PENDING_LIMIT, TradeTape

IDS = st.lists(st.integers(1, 30), max_size=40)
SETTINGS = settings(deadline=None, max_examples=200)


def trade(agg_id: int, price: float = 1.0) -> Trade:
    return Trade(agg_id, 1_000 + agg_id, price, 1.0, agg_id, agg_id + 1, buyer_is_maker=False)


def told(ids: list[int]) -> TradeTape:
    tape = TradeTape()
    for agg_id in ids:
        tape.receive(trade(agg_id))
    return tape


def ids_in(spans: list[tuple[int, int]]) -> list[int]:
    return [agg_id for low, high in spans for agg_id in range(low, high + 1)]


def test_a_trade_knows_its_fills_and_its_aggressor() -> None:
    """The buyer rested, so the seller took; fills are the ids from first to last."""
    assert Trade(1, 1, 1.0, 1.0, 100, 105, buyer_is_maker=True).aggressor == "sell"
    assert Trade(1, 1, 1.0, 1.0, 100, 105, buyer_is_maker=False).aggressor == "buy"
    assert Trade(1, 1, 1.0, 1.0, 100, 105, buyer_is_maker=True).fills == 6


@SETTINGS
@given(IDS)
def test_holes_are_the_ids_that_were_jumped_over(ids: list[int]) -> None:
    """Completeness of a window is a fact only while this holds; also when ids come late, twice, or in any order."""
    tape = told(ids)
    new = [agg_id for place, agg_id in enumerate(ids) if agg_id not in ids[:place] and agg_id >= ids[0]]
    held = set(new)
    assert tape.first_id == (ids[0] if ids else None)
    assert tape.last_id == (max(held) if held else None)
    assert ids_in(tape.holes) == [i for i in range(min(held, default=1), max(held, default=0)) if i not in held]
    assert all(low <= high for low, high in tape.holes)
    assert tape.duplicates == len(ids) - len(new)
    assert [taken.agg_id for taken in tape.take()] == sorted(new)
    assert tape.take() == ()


@SETTINGS
@given(IDS, st.integers(1, 30), st.integers(0, 10))
def test_ids_that_are_held_elsewhere_are_no_holes(ids: list[int], first: int, count: int) -> None:
    """A range may cover a hole, cut it, split it, or miss it."""
    tape = told(ids)
    before = ids_in(tape.holes)
    tape.fill(first, first + count)
    assert ids_in(tape.holes) == [agg_id for agg_id in before if not first <= agg_id <= first + count]


def test_a_late_trade_does_not_set_the_last_price_back() -> None:
    """It fills its hole, and was followed by others long ago."""
    tape = TradeTape()
    tape.receive(trade(1, 10.0))
    tape.receive(trade(3, 12.0))
    assert tape.receive(trade(2, 11.0))
    assert (tape.last_price, tape.last_ms) == (12.0, trade(3, 12.0).time_ms)
    assert not tape.receive(trade(2, 11.0))
    assert tape.holes == []


def test_what_nobody_takes_is_forgotten_and_noted_as_missing() -> None:
    """A recorder that does not run must not fill the memory; what is dropped can be fetched again by id."""
    tape = TradeTape()
    for agg_id in range(1, PENDING_LIMIT + 1):
        tape.receive(trade(agg_id))
    assert tape.holes == []
    tape.receive(trade(PENDING_LIMIT + 3))
    half = (PENDING_LIMIT + 1) // 2
    assert tape.holes == [(1, half), (PENDING_LIMIT + 1, PENDING_LIMIT + 2)]
    assert [taken.agg_id for taken in tape.take()] == [*range(half + 1, PENDING_LIMIT + 1), PENDING_LIMIT + 3]


def test_spans_that_touch_or_overlap_are_one() -> None:
    """Holes are reported as ranges to fetch: one request for each."""
    assert tape_module._merged([(5, 6), (1, 2), (3, 3), (6, 9), (12, 12), (12, 12)]) == [(1, 3), (5, 9), (12, 12)]
