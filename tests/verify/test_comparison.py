"""Sequences of ids, and best prices of two channels in any order."""

from __future__ import annotations

import random

from vibe_orderbook_mcp.verify.comparison import EqualComparison, IdSequence, Likeness, NewestComparison, RecentNames
from vibe_orderbook_mcp.verify.parts import BestPrices, TouchPrices


def test_ids_in_any_order_leave_the_same_number_missing() -> None:
    for seed in range(50):
        chance = random.Random(seed)
        kept = [number for number in range(100, 160) if chance.random() > 0.2] or [100]
        chance.shuffle(kept)
        ids = IdSequence()
        for number in [*kept, *kept[:5]]:
            ids.add(number)
        assert ids.count == len(kept)
        assert ids.missing == max(kept) - min(kept) + 1 - len(kept)


def test_a_jump_is_named_once() -> None:
    ids = IdSequence()
    assert [ids.add(number) for number in (5, 6, 9, 7, 10)] == [None, None, (7, 8), None, None]
    assert ids.missing == 1


def told(update_id: int, bid: str, ask: str = "11") -> BestPrices:
    return BestPrices("AAAUSDT", update_id, (bid, "1.0"), (ask, "1.00"))


def test_a_state_waits_for_the_best_prices_of_its_time_whichever_comes_first() -> None:
    """Two streams of one connection are not in order with each other."""
    for tickers_first in (True, False):
        comparison = NewestComparison()
        differing: list[int] = []
        tickers = [told(5, "9"), told(8, "10.0"), told(12, "10.5")]
        states = [(1, 4, "8"), (2, 7, "9.00"), (3, 8, "10"), (4, 11, "10"), (5, 13, "7")]
        if tickers_first:
            for each in tickers:
                differing += comparison.tell(each)
        for line, update_id, bid in states:
            differing += comparison.show(line, update_id, (bid, "1"), ("11.0", "1"))
        if not tickers_first:
            for each in tickers:
                differing += comparison.tell(each)
        differing += comparison.finish()
        assert (comparison.checked, comparison.failed, differing) == (4, 1, [5])


def test_an_empty_side_is_a_price_of_zero() -> None:
    comparison = NewestComparison()
    comparison.tell(BestPrices("A", 1, ("0.00000000", "0.00000000"), ("11", "1")))
    comparison.show(1, 1, None, ("11", "1"))
    comparison.show(2, 2, ("10", "1"), ("11", "1"))
    assert comparison.finish() == [2]
    assert comparison.checked == 2


def test_channels_that_leave_changes_out_are_compared_where_their_ids_are_equal() -> None:
    for tickers_first in (True, False):
        comparison = EqualComparison()
        differing: list[int] = []
        tickers = [told(5, "9"), told(8, "10.0"), told(12, "10.5")]
        states = [(1, 4, "8"), (2, 8, "10"), (3, 11, "7"), (4, 12, "7")]
        if tickers_first:
            for each in tickers:
                differing += comparison.tell(each)
        for line, update_id, bid in states:
            differing += comparison.show(line, update_id, (bid, "1"), ("11.0", "1"))
        if not tickers_first:
            for each in tickers:
                differing += comparison.tell(each)
        assert (comparison.checked, comparison.failed, differing) == (2, 1, [4])
        assert comparison.finish() == []


def test_the_last_trade_that_a_venue_names_must_have_come() -> None:
    ids = IdSequence()
    assert ids.reach(9) is None  # nothing came yet: it may be from before the recording
    ids.add(10)
    assert [ids.reach(10), ids.reach(12), ids.reach(12), ids.reach(13)] == [None, (11, 12), None, (13, 13)]
    assert ids.missing == 3
    assert [ids.add(11), ids.add(12), ids.add(15)] == [None, None, (14, 14)]
    assert (ids.missing, ids.count) == (2, 4)


def test_a_name_that_came_again_is_no_second_trade() -> None:
    names = RecentNames()
    for name in "abca":
        names.add(name)
    assert names.count == 3


def test_prices_by_time_are_compared_with_the_newest_state_of_their_time() -> None:
    """A ticker may come before the book that it is of."""
    likeness = Likeness()
    likeness.tell(TouchPrices("A", "9", "11", 5))
    likeness.show(5, ("9.0", "1"), ("11", "2"))
    likeness.tell(TouchPrices("A", "9", None, 6))
    likeness.tell(TouchPrices("A", "8", None, 6))
    likeness.show(7, ("7", "1"), None)
    assert (likeness.compared, likeness.agreed) == (3, 2)
    likeness.tell(TouchPrices("A", "7", "0", 8))
    likeness.finish()
    assert (likeness.compared, likeness.agreed) == (4, 3)


def test_prices_without_a_time_and_trades_are_compared_with_the_book_before_them() -> None:
    likeness = Likeness()
    likeness.tell(TouchPrices("A", "9", "11"))
    likeness.trade("bid", 9.0)
    assert likeness.compared == 0
    likeness.show(None, ("9", "1"), ("11", "1"))
    likeness.tell(TouchPrices("A", "9", "11"))
    likeness.trade("bid", 9.0)
    likeness.trade("bid", 9.5)  # above the best bid
    likeness.trade("ask", 11.5)
    likeness.trade("ask", 10.5)
    assert (likeness.compared, likeness.agreed) == (5, 3)
    likeness.forget()
    likeness.trade("ask", 12.0)
    assert likeness.compared == 5
