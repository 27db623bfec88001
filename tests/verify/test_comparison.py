"""Sequences of ids, and best prices of two channels in any order."""

from __future__ import annotations

import random

from vibe_orderbook_mcp.verify.comparison import Comparison, IdSequence
from vibe_orderbook_mcp.verify.parts import BestPrices


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
        comparison = Comparison()
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
    comparison = Comparison()
    comparison.tell(BestPrices("A", 1, ("0.00000000", "0.00000000"), ("11", "1")))
    comparison.show(1, 1, None, ("11", "1"))
    comparison.show(2, 2, ("10", "1"), ("11", "1"))
    assert comparison.finish() == [2]
    assert comparison.checked == 2
