"""Which trades are fetched, and which ones stay missing."""

from __future__ import annotations

import pytest

from vibe_orderbook_mcp.market.filling import Filling
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.tape import Backfill


def at_ms(agg_id: int) -> int:
    return 1_000_000 + agg_id * 100


def page(first: int, last: int) -> list[Trade]:
    return [Trade(each, at_ms(each), 1.0, 1.0, each, each, buyer_is_maker=False) for each in range(first, last + 1)]


def test_what_is_missing_is_every_id_between_those_held_and_before_the_first() -> None:
    filling = Filling()
    held = [(50, 60), (70, 80), (90, 90)]
    assert filling.missing(held, None) == [(81, 89), (61, 69), (0, 49)]
    assert [filling.is_lookback(low) for low, _ in filling.missing(held, None)] == [False, False, True]
    assert filling.missing([(0, 5)], None) == []
    assert filling.missing([], None) == []


def test_where_older_trades_are_not_wanted_only_those_that_this_process_missed_are() -> None:
    assert Filling().missing([(50, 60), (70, 80)], [(20, 30), (45, 49), (61, 64)]) == [(61, 69), (45, 49), (20, 30)]


def test_what_is_given_up_is_not_asked_for_again() -> None:
    """It would be the same page every second, for ever."""
    filling = Filling()
    filling.give_up([(62, 63)])
    filling.give_up([(64, 64), (85, 85)])
    assert filling.missing([(50, 60), (70, 80), (90, 90)], []) == [(86, 89), (81, 84), (65, 69), (61, 61)]
    assert (filling.given_up, list(filling.given_up_ids)) == (4, [(62, 64), (85, 85)])


def test_below_its_floor_nothing_is_missing() -> None:
    """What is older than the wanted hours may be what newer trades were dropped for."""
    filling = Filling()
    filling.end_lookback(40)
    filling.end_lookback(30)
    assert filling.missing([(50, 60)], None) == [(40, 49)]
    filling.end_lookback(50)
    assert filling.missing([(50, 60)], None) == []


def test_progress_is_known_from_the_second_page_of_older_trades_until_all_are_there() -> None:
    filling = Filling()
    begun = [filling.is_begun]
    assert filling.progress(0, 10.0) is None
    filling.looked_back(page(901, 1000), 10.0)
    assert [*begun, filling.is_begun] == [False, True]
    assert filling.progress(0, 10.0) is None  # no pace yet
    filling.looked_back(page(801, 900), 14.0)
    target_ms = at_ms(801) - (at_ms(1000) - at_ms(801))  # as far again
    found = filling.progress(target_ms, 14.0)
    assert found == Backfill(target_ms, 200, 50.0)
    assert found is not None
    assert found.eta_secs == 4.0
    filling.end_lookback(801)
    assert filling.progress(target_ms, 15.0) is None


@pytest.mark.parametrize("resyncs", [0, 3])
def test_the_newest_trades_are_asked_for_once_after_each_time_without_events(resyncs: int) -> None:
    filling = Filling()
    assert filling.wants_newest(resyncs)
    filling.asked_newest(resyncs)
    assert not filling.wants_newest(resyncs)
    assert filling.wants_newest(resyncs + 1)
