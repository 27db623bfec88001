from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.venues.binance.weights import LOOKUPS, MINUTE_SECS, OLDER_PAGES, PAGES, RESERVE, WeightBudget


def test_requests_go_out_until_the_limit_less_its_reserve_is_used() -> None:
    """Others may use this address, too; a client that ignores a 429 is banned."""
    budget = WeightBudget(1000)
    for _ in range(19):
        assert budget.delay(50, 30.0) == 0.0
        budget.spend(50, 30.0)
    assert budget.delay(50, 30.0) == 30.0
    assert budget.delay(1, 59.5) == 0.5


def test_the_count_starts_anew_with_the_minute() -> None:
    """`X-MBX-USED-WEIGHT-1M` counts a minute."""
    budget = WeightBudget(1000)
    budget.spend(950, 59.0)
    assert budget.delay(50, 59.0) == 1.0
    assert budget.delay(50, 60.0) == 0.0
    assert budget.used == 0
    budget.spend(950, 60.0)
    budget.spend(100, 121.0)
    assert budget.used == 100


def test_a_kind_of_request_may_use_its_share_only() -> None:
    """Filling old trades must not keep a book from its snapshot."""
    budget = WeightBudget(1000)
    budget.spend(474, 10.0)
    assert budget.delay(1, 10.0, share=0.5) == 0.0
    assert budget.delay(2, 10.0, share=0.5) == 50.0
    assert budget.delay(2, 10.0) == 0.0


def test_a_lane_has_a_share_of_its_own_and_comes_last() -> None:
    """Whatever clients ask for and however many trades are missing, a book gets its snapshot."""
    budget = WeightBudget(1000)
    for _ in range(5):
        assert budget.delay(20, 10.0, lane=LOOKUPS) == 0.0
        budget.spend(20, 10.0, lane=LOOKUPS)
    assert budget.delay(20, 10.0, lane=LOOKUPS) == 50.0
    assert budget.delay(4, 10.0, lane=PAGES) == 0.0
    assert budget.delay(250, 10.0) == 0.0
    assert budget.delay(20, 60.0, lane=LOOKUPS) == 0.0
    budget.spend(757, 60.0)
    assert budget.delay(4, 60.0, lane=PAGES) == 60.0
    assert budget.delay(20, 60.0, lane=LOOKUPS) == 60.0
    assert budget.delay(20, 60.0) == 0.0


def test_missing_trades_are_fetched_while_a_storm_of_snapshots_uses_half_of_the_weight() -> None:
    """A resync of twenty books used half of it, and every hole of that time then waited for the next minute."""
    budget = WeightBudget(1000)
    budget.spend(700, 10.0)
    assert budget.delay(4, 10.0, lane=PAGES) == 0.0
    assert budget.delay(4, 10.0, lane=OLDER_PAGES) == 50.0


def test_trades_of_long_ago_leave_room_for_those_that_are_missing_since_a_moment_ago() -> None:
    """A backfill of twenty symbols uses up its share minute after minute; a new hole does not wait for that."""
    budget = WeightBudget(1000)
    while budget.delay(4, 10.0, lane=OLDER_PAGES) == 0.0:
        budget.spend(4, 10.0, lane=OLDER_PAGES)
    assert 390 < budget.used <= 400
    assert budget.delay(4, 10.0, lane=PAGES) == 0.0


def test_a_request_that_is_heavier_than_the_limit_goes_out_alone() -> None:
    """It would wait for ever; the exchange may have set a low limit for everybody."""
    budget = WeightBudget(100)
    assert budget.delay(250, 10.0) == 0.0
    budget.spend(1, 10.0)
    assert budget.delay(250, 10.0) == 50.0


def test_the_exchanges_own_count_is_believed_when_it_is_higher() -> None:
    """It includes what others use; a lower one is of a minute that began at another moment."""
    budget = WeightBudget(1000)
    budget.spend(100, 10.0)
    budget.observe(940, 10.0)
    assert budget.delay(50, 10.0) == 50.0
    budget.observe(3, 11.0)
    assert budget.used == 940
    budget.observe(7, 61.0)
    assert budget.used == 7


def test_a_block_holds_everything_back_until_it_is_over() -> None:
    """429 and 418 say for how long. A shorter one that comes later does not end a longer one."""
    budget = WeightBudget(1000)
    budget.block(120.0, 10.0)
    budget.block(5.0, 11.0)
    assert budget.delay(1, 20.0) == 110.0
    assert budget.delay(1, 129.0, share=0.5) == 1.0
    assert budget.delay(1, 130.0) == 0.0


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0, 5.0), st.integers(1, 300), st.sampled_from([0.5, 1.0])), max_size=80),
    st.integers(400, 6000),
)
def test_whoever_waits_as_told_never_exceeds_the_limit(steps: list[tuple[float, int, float]], limit: int) -> None:
    """The rule that keeps the address from being banned."""
    budget = WeightBudget(limit)
    now = 0.0
    spent: dict[int, int] = {}
    for pause, weight, share in steps:
        now += pause
        while (delay := budget.delay(weight, now, share=share)) > 0.0:
            assert delay <= MINUTE_SECS
            now += delay
        budget.spend(weight, now)
        minute = int(now // MINUTE_SECS)
        spent[minute] = spent.get(minute, 0) + weight
    assert max(spent.values(), default=0) <= max(limit * (1 - RESERVE), 300)


@pytest.mark.parametrize("now", [0.0, 59.999, 60.0, 1e9])
def test_an_unused_budget_makes_nobody_wait(now: float) -> None:
    """Whatever the monotonic clock says at the start."""
    assert WeightBudget().delay(250, now) == 0.0
