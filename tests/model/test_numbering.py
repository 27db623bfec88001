"""Numbers of trades whose ids prove nothing."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import msgspec
import pytest

from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.numbering import OWN_FROM, REMEMBERED, Break, OwnNumbers, breaks_between, inside, is_own
from vibe_orderbook_mcp.model.tape import TradeTape

NOW_MS = 1_785_542_400_000


def named(name: int, time_ms: int = NOW_MS) -> Trade:
    return Trade(name, time_ms, 100.0, 1.0, name, name, buyer_is_maker=False)


def numbered(numbers: OwnNumbers, trade: Trade) -> int | None:
    found = numbers.number(trade)
    if found is None:
        return None
    assert found.agg_id == found.first_trade_id == found.last_trade_id
    assert msgspec.structs.replace(trade, agg_id=0, first_trade_id=0, last_trade_id=0) == msgspec.structs.replace(
        found, agg_id=0, first_trade_id=0, last_trade_id=0
    )
    return found.agg_id


def test_numbers_are_consecutive_while_the_stream_is_whole() -> None:
    """Whatever the names and the times are."""
    numbers, random = OwnNumbers(), Random(1)
    found = [numbered(numbers, named(random.getrandbits(62), NOW_MS + random.randrange(-50, 50))) for _ in range(1024)]
    first = found[0]
    assert first is not None
    assert found == list(range(first, first + 1024))
    assert is_own(first)


def test_a_trade_that_came_before_has_no_second_number() -> None:
    """Two connections deliver while one takes over from the other."""
    numbers = OwnNumbers()
    numbered(numbers, named(5))
    numbers.interrupt()
    assert numbered(numbers, named(5)) is None
    assert numbered(numbers, named(6)) is not None


def test_names_are_remembered_for_a_while() -> None:
    numbers = OwnNumbers()
    for name in range(3 * REMEMBERED):
        numbered(numbers, named(name))
    assert numbered(numbers, named(3 * REMEMBERED - REMEMBERED // 2)) is None
    assert numbered(numbers, named(0)) is not None
    assert len(numbers._names) <= REMEMBERED


def test_an_interruption_is_a_hole_in_the_numbers_also_within_a_millisecond() -> None:
    numbers = OwnNumbers()
    found = []
    for name, wait_ms in enumerate((0, 0, 0, 60_000, -5_000)):  # the venue's times may go back
        numbers.interrupt()
        number = numbered(numbers, named(name, NOW_MS + wait_ms))
        assert number is not None
        found.append(number)
    assert all(later > earlier + 1 for earlier, later in pairwise(found))


def test_a_process_that_starts_again_is_above_all_that_is_stored() -> None:
    """Without a look at it: more than a million trades a second would be needed for the numbers to meet."""
    before = OwnNumbers()
    last = [numbered(before, named(name, NOW_MS)) for name in range(50_000)][-1]
    first = numbered(OwnNumbers(), named(1, NOW_MS + 1_000))
    assert first is not None
    assert last is not None
    assert first > last + 1


def test_times_that_make_no_sense_still_give_ascending_numbers() -> None:
    numbers = OwnNumbers()
    found = []
    for name, time_ms in enumerate((0, 10**14, 5)):
        numbers.interrupt()
        number = numbered(numbers, named(name, time_ms))
        assert number is not None
        found.append(number)
    assert found[0] >= OWN_FROM
    assert found == sorted(set(found))


def test_a_tape_does_not_wait_for_trades_that_nobody_can_count() -> None:
    tape, numbers = TradeTape(), OwnNumbers()
    for name in range(4):
        trade = numbers.number(named(name, NOW_MS + 1000 * name))
        assert trade is not None
        assert tape.receive(trade)
        numbers.interrupt()
    assert tape.holes == []
    assert len(tape.take()) == 4


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ((0, 100), (2, 25)),
        ((15, 100), (2, 20)),
        ((0, 12), (1, 2)),
        ((12, 15), (1, 3)),
        ((20, 50), (0, 0)),  # a window between two of them is whole
    ],
)
def test_of_an_interruption_the_part_inside_a_window_counts(window: tuple[int, int], expected: tuple[int, int]) -> None:
    assert inside([Break(10, 20), Break(50, 65)], *window) == expected


def test_an_interruption_without_a_known_start_takes_the_window_up_to_its_end() -> None:
    """More than it was, and never less. One within a millisecond counts as one."""
    assert inside([Break(None, 30)], 10, 100) == (1, 20)
    assert inside([Break(30, 30)], 10, 100) == (1, 1)


@pytest.mark.parametrize("seed", range(20))
def test_the_unknown_time_is_that_of_a_count_by_milliseconds(seed: int) -> None:
    random, numbers, now = Random(seed), OwnNumbers(), NOW_MS
    trades, unknown = list[Trade](), set[int]()
    for name in range(40):
        before, now = now, now + random.randrange(1, 30)
        if trades and random.random() < 0.3:
            numbers.interrupt()
            unknown |= set(range(before, now))
        trade = numbers.number(named(name, now))
        assert trade is not None
        trades.append(trade)
    start, end = NOW_MS + random.randrange(300), NOW_MS + 300 + random.randrange(600)
    count, unknown_ms = inside(breaks_between(trades), start, end)
    assert unknown_ms == sum(start <= each < end for each in unknown)
    assert (count > 0) == (unknown_ms > 0)
