from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import BTC
from tests.analytics.tape import Deal, deals, trades_of
from vibe_orderbook_mcp.analytics.flow.toxicity import VolumeBuckets, bucket_lots
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.symbol import SymbolSpec

Flow = list[tuple[int, bool]]  # lots, bought


def filled(flow: Flow, lots: int) -> VolumeBuckets:
    buckets = VolumeBuckets(lots)
    for size, is_buy in flow:
        buckets.add(size, is_buy=is_buy)
    return buckets


def volume_buckets(trades: Iterable[Trade], spec: SymbolSpec, bucket_lots: int) -> VolumeBuckets:
    """Of trades in the order of their ids."""
    scale = 10.0**spec.lot_exp
    buckets = VolumeBuckets(bucket_lots)
    for trade in trades:
        buckets.add(round(trade.size * scale), is_buy=not trade.buyer_is_maker)
    return buckets


def slow_imbalances(flow: Flow, lots: int) -> tuple[int, ...]:
    """Lot by lot."""
    signs = [1 if is_buy else -1 for size, is_buy in flow for _ in range(size)]
    return tuple(abs(sum(signs[i : i + lots])) for i in range(0, len(signs) - lots + 1, lots))


def test_the_buckets_worked_by_hand() -> None:
    """6 bought 4 sold, 8 bought 2 sold, 5 and 5; three sold are left over and not counted."""
    buckets = filled([(6, True), (4, False), (8, True), (7, False), (5, True), (3, False)], 10)
    assert buckets.imbalances == (2, 6, 0)
    assert sum(buckets.imbalances) / 30 == pytest.approx(0.266667, abs=1e-6)


def test_one_sided_flow_is_wholly_toxic() -> None:
    """25 bought in tens are two full buckets of 1.0; a hundred are ten, and an answer."""
    assert filled([(25, True)], 10).imbalances == (10, 10)
    found = filled([(100, True)], 10).vpin()
    assert (found.value, found.buckets, found.quality) == (1.0, 10, "partial")


@pytest.mark.parametrize(
    ("full", "quality", "is_known"),
    [
        (0, "insufficient", False),
        (9, "insufficient", False),
        (10, "partial", True),
        (49, "partial", True),
        (50, "ok", True),
    ],
)
def test_fewer_than_ten_buckets_are_no_figure(full: int, quality: str, is_known: bool) -> None:
    """Below ten chance decides; below fifty it is said."""
    found = filled([(7, True), (3, False)] * full + [(9, True)], 10).vpin()
    assert (found.quality, found.buckets) == (quality, full)
    assert (found.value is not None) == is_known
    if is_known:
        assert found.value == pytest.approx(0.4)


def test_only_the_last_fifty_buckets_count() -> None:
    """What was one-sided long ago is not now."""
    found = filled([(10, True)] * 100 + [(5, True), (5, False)] * 50, 10).vpin()
    assert (found.value, found.buckets, found.quality) == (0.0, 50, "ok")


def test_a_figure_is_ranked_among_its_own_earlier_values() -> None:
    """There is no level at which flow is toxic for every symbol."""
    calm: Flow = [(6, True), (4, False)] * 240
    one_sided: Flow = [(10, True)] * 50
    risen, fallen = filled([*calm, *one_sided], 10).vpin().rarity, filled([*one_sided, *calm], 10).vpin().rarity
    assert risen is not None
    assert fallen is not None
    assert fallen < 0.5 < risen
    assert filled(calm[:80], 10).vpin().rarity is None


def test_a_bucket_must_hold_something() -> None:
    """A symbol that hardly traded has buckets of one lot, not of none."""
    assert (bucket_lots(5000), bucket_lots(49), bucket_lots(0)) == (100, 1, 1)
    with pytest.raises(ValueError, match="must be above 0"):
        VolumeBuckets(0)


def test_an_enormous_trade_costs_no_more_than_a_small_one() -> None:
    """A billion buckets in one trade: only those that are kept are made."""
    buckets = filled([(10**12, False)], 7)
    assert len(buckets.imbalances) == 1000
    assert buckets.vpin().value == 1.0


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=40), st.integers(1, 50))
def test_splitting_is_exact(flow: Flow, lots: int) -> None:
    """Against lot-by-lot counting, and always between 0 and 1."""
    buckets = filled(flow, lots)
    assert buckets.imbalances == slow_imbalances(flow, lots)
    value = buckets.vpin().value
    assert value is None or (isfinite(value) and 0.0 <= value <= 1.0)


@settings(deadline=None)
@given(deals, st.integers(1, 10**5), st.integers(2, 5))
def test_neither_splitting_trades_nor_swapping_sides_nor_scaling_changes_it(
    made: list[Deal], lots: int, times: int
) -> None:
    one = volume_buckets(trades_of(made, BTC), BTC, lots)
    halves = [(ticks, part, maker) for ticks, size, maker in made for part in (size // 2, size - size // 2)]
    swapped = [(ticks, size, not maker) for ticks, size, maker in made]
    scaled = [(ticks, size * times, maker) for ticks, size, maker in made]
    assert volume_buckets(trades_of(halves, BTC), BTC, lots).imbalances == one.imbalances
    assert volume_buckets(trades_of(swapped, BTC), BTC, lots).imbalances == one.imbalances
    assert volume_buckets(trades_of(scaled, BTC), BTC, lots * times).vpin() == one.vpin()
