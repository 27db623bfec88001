"""Chains of refills: the worked figures of 4.2, and what the settled changes of a book make of them."""

from __future__ import annotations

import pytest

from tests.seconds.rig import START_MS, Rig
from vibe_orderbook_mcp.seconds.refills import RefillChain, RefillWatch, Turnover, common_size

LOT = 0.001


def chain_of(states: list[float], trades: list[float], *, every_ms: int = 100) -> RefillWatch:
    watch = RefillWatch(LOT)
    for place, traded in enumerate(trades):
        event_ms = START_MS + every_ms * (place + 1)
        watch.settled(("bid", 100.0), event_ms, states[place], states[place + 1], traded)
    return watch


def only(watch: RefillWatch) -> RefillChain:
    ((chain,), _) = watch.take(START_MS + 5000)
    return chain


def test_the_iceberg_worked_by_hand() -> None:
    """2.0 shown, five hits of 2.0, four equal refills: executed 10, five times what was shown, 8 put back."""
    chain = only(chain_of([2.0, 2.0, 2.0, 2.0, 2.0, 0.0], [2.0] * 5))
    assert (chain.executed, chain.refills, chain.turnover, chain.replenished) == (10.0, 4, 5.0, 8.0)
    assert (chain.tranche, chain.equal_share, chain.over_execution, chain.max_shown) == (2.0, 1.0, 0.0, 2.0)


def test_the_busy_touch_of_the_sheet_is_none() -> None:
    """8.1 executed against a peak of 5 is 1.62; it counts as a touched level when it is over."""
    watch = chain_of([3.0, 2.4, 4.1, 3.3, 5.0, 1.0], [1.0, 0.7, 2.0, 0.4, 4.0])
    assert watch.take(START_MS + 5000) == ((), ())
    (over,) = watch.take(START_MS + 60_000)[1]
    assert over.times == pytest.approx(1.62)
    assert not over.kept_up


def test_more_was_traded_than_was_shown() -> None:
    """4.0 against 1.0 in one frame: over-execution 3.0. One refill alone is no chain."""
    watch = chain_of([1.0, 1.0], [4.0])
    assert watch.take(START_MS + 1000)[0] == ()
    watch = chain_of([1.0] * 4, [4.0] * 3)
    assert only(watch).over_execution == 9.0


def test_refills_too_far_apart_are_two_chains() -> None:
    """At most 30 s; the first chain's turnover is reported when it ends."""
    states, trades = [2.0] * 4, [2.0] * 3
    assert only(chain_of(states, trades, every_ms=30_000)).refills == 3
    watch = chain_of(states, trades, every_ms=30_001)
    assert watch.take(START_MS + 90_003) == ((), (Turnover(1.0, False), Turnover(1.0, False)))


def test_size_that_is_added_without_a_trade_is_no_refill_but_was_shown() -> None:
    watch = chain_of([2.0, 2.0, 9.0, 2.0, 2.0, 2.0], [2.0, 0.0, 0.0, 2.0, 2.0])
    assert watch.take(START_MS + 1000)[0] == ()  # three refills, but 6 executed against 9 shown


def test_a_level_that_is_left_is_swept_out() -> None:
    watch = chain_of([2.0, 2.0], [2.0])
    assert watch.take(START_MS + 31_000)[1] == (Turnover(1.0, False),)
    assert watch.take(START_MS + 99_000)[1] == ()


def test_a_level_that_is_kept_up_has_three_refills_in_three_seconds() -> None:
    for every_ms, expected in ((1000, False), (1500, True)):
        watch = chain_of([2.0] * 4, [2.0] * 3, every_ms=every_ms)
        (over,) = watch.take(START_MS + 60_000)[1]
        assert over == Turnover(3.0, expected)


def test_what_others_traded_at_the_price_before_is_not_the_icebergs() -> None:
    """Refills of 4.0 and 3.0 come first, then five tranches of 2.0 one after the other."""
    watch = chain_of([3.0, 2.0, 2.5, 2.0, *[2.0] * 5], [5.0, 2.5, 0.5, *[2.0] * 5])
    chain = only(watch)
    assert (chain.tranche, chain.refills, chain.executed, chain.max_shown) == (2.0, 5, 10.0, 2.0)
    assert (chain.start_ms, chain.replenished) == (START_MS + 400, 10.0)
    assert chain.equal_share == pytest.approx(5 / 7)  # of all there were


def test_where_refills_are_not_alike_the_chain_is_told_whole() -> None:
    chain = only(chain_of([1.0] * 8, [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]))
    assert (chain.refills, chain.executed, chain.start_ms) == (7, 17.5, START_MS + 100)


@pytest.mark.parametrize(("sizes", "expected"), [([], 0.0), ([1.0, 1.01, 1.0201], 1.0), ([1, 2, 3, 4], 0.25)])
def test_sizes_that_agree_within_one_percent(sizes: list[float], expected: float) -> None:
    """1.01 agrees with both of its neighbours."""
    assert common_size(sizes)[1] == expected


def test_settled_events_of_a_book_make_the_chain() -> None:
    """Through the joins. A level that no event names was refilled too."""
    rig = Rig([(100.0, 2.0), (99.0, 7.0)])
    for place in range(4):
        rig.trade(10_150 + 100 * place, 100.0, 2.0, "sell")
        rig.event(10_200 + 100 * place, [(100.0, 2.0)])
    rig.trade(10_600, 100.0, 2.0, "sell")  # nothing names it
    rig.event(10_950, [(99.0, 8.0)])
    rig.event(12_800)
    chain = rig.tracker.take_evidence(10)
    assert chain is not None
    (found,) = chain.chains
    assert (found.side, found.price, found.executed, found.refills) == ("bid", 100.0, 10.0, 5)


def test_a_trade_joined_one_event_early_is_no_refill() -> None:
    """The next event takes away what the first seemed to add."""
    rig = Rig([(100.0, 5.0), (99.0, 7.0)])
    for place in range(4):
        base = 10_100 + 200 * place
        rig.trade(base - 50, 100.0, 1.0, "sell")
        rig.event(base, [(100.0, 5.0 - place)])
        rig.event(base + 100, [(100.0, 4.0 - place)])
    rig.event(12_800)
    refills = rig.tracker._flow.refills._chains["bid", 100.0]
    assert (refills.executed, refills.refills) == (4.0, 0)


def hit_from_both_sides(watch: RefillWatch, clips: int, *, size: float, apart_ms: int, every_ms: int = 1000) -> None:
    """Each clip hits the bid, which is put up again, and `apart_ms` later a clip of `size` hits the ask there."""
    for place in range(clips):
        event_ms = START_MS + every_ms * (place + 1)
        watch.traded("bid", 100.0, 2.0, event_ms)
        watch.traded("ask", 100.0, size, event_ms + apart_ms)
        watch.settled(("bid", 100.0), event_ms, 2.0, 2.0, 2.0)
        if size:
            watch.settled(("ask", 100.0), event_ms + apart_ms, size, 0.0, size)


@pytest.mark.parametrize(
    ("size", "apart_ms", "refills"),
    [(2.0, 0, 0), (2.0, 100, 0), (1.981, 60, 0), (2.0, 101, 8), (2.0, -100, 0), (2.0, -101, 8), (1.97, 60, 8)],
)
def test_what_a_trade_of_the_same_size_mirrors_is_no_refill(size: float, apart_ms: int, refills: int) -> None:
    """Within 100 ms, at that price, against the other side, within 1 %: a bot that trades with itself."""
    watch = RefillWatch(LOT)
    hit_from_both_sides(watch, 8, size=size, apart_ms=apart_ms)
    assert watch._chains["bid", 100.0].refills == refills


def test_a_trade_of_that_size_at_another_price_or_the_same_side_mirrors_nothing() -> None:
    watch = RefillWatch(LOT)
    for place in range(4):
        event_ms = START_MS + 100 * place
        watch.traded("bid", 100.0, 2.0, event_ms)
        watch.traded("ask", 100.01, 2.0, event_ms)
        watch.settled(("bid", 100.0), event_ms, 2.0, 2.0, 2.0)
    assert only(watch).refills == 4


@pytest.mark.parametrize(("against", "expected"), [(0.25, True), (0.51, False), (1.97, False)])
def test_a_price_that_trades_both_ways_is_no_evidence(against: float, expected: bool) -> None:
    """Four fifths must hit the one side, and a level that both sides hit is not kept up either."""
    watch = RefillWatch(LOT)
    hit_from_both_sides(watch, 8, size=against, apart_ms=50)
    chains, _ = watch.take(START_MS + 9_000)
    assert [chain.side for chain in chains] == (["bid"] if expected else [])
    ended = watch.take(START_MS + 60_000)[1]
    assert (Turnover(8.0, True) in ended) is expected


def test_trades_are_forgotten_by_price_and_by_time() -> None:
    """A price that trades all day does not grow."""
    watch = RefillWatch(LOT)
    for second in range(100):
        for _ in range(10):
            watch.traded("bid", 100.0, 2.0, START_MS + 1000 * second)
        watch.traded("ask", 101.0 + second, 2.0, START_MS + 1000 * second)
        watch.take(START_MS + 1000 * second)
    assert sum(map(len, watch._trades.values())) == 3 * 11


def test_an_iceberg_that_a_book_shows_is_hit_from_one_side() -> None:
    """Through the joins: the same tranches, and somebody who buys them back at that price at the same time."""
    for mirrored, expected in ((False, [("bid", 5)]), (True, [])):
        rig = Rig([(100.0, 2.0), (99.0, 7.0)])
        for place in range(5):
            rig.trade(10_150 + 100 * place, 100.0, 2.0, "sell")
            if mirrored:
                rig.trade(10_160 + 100 * place, 100.0, 2.0, "buy")
            rig.event(10_200 + 100 * place, [(100.0, 2.0)])
        rig.event(12_800)
        evidence = rig.tracker.take_evidence(10)
        assert evidence is not None
        assert [(chain.side, chain.refills) for chain in evidence.chains] == expected


def test_a_lost_book_forgets_its_chains() -> None:
    watch = chain_of([2.0] * 6, [2.0] * 5)
    watch.clear()
    assert watch.take(START_MS + 99_000) == ((), ())
