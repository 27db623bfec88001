"""Labels about a cut: entered at it, left well below it, the same for every caller."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.analytics.rows import T0, row
from vibe_orderbook_mcp.analytics.flow.order_flow import FlowDirection, flow_direction
from vibe_orderbook_mcp.analytics.flow.steady_labels import (
    FLOW_LEFT_AT,
    LOOKBACK_SECS,
    steady_flow_direction,
    steady_ofi_direction,
    steady_step,
)
from vibe_orderbook_mcp.analytics.windows import Span, cut, total
from vibe_orderbook_mcp.model.rows import SecondRow

CUTS = (1.2, 2.0)
LOTS = st.integers(0, 400)


def flowing(volumes: list[tuple[float, float]]) -> list[SecondRow]:
    return [row(i, buy_volume=buys, sell_volume=sells) for i, (buys, sells) in enumerate(volumes)]


def label(rows: list[SecondRow], end: int, secs: int = 10) -> FlowDirection:
    """Of the window that ends `end` seconds after T0, given no row that comes later."""
    seen = [each for each in rows if each.second < T0 + end]
    return steady_flow_direction(seen, total(cut(seen, Span(T0 + end - secs, T0 + end))), 5)


@pytest.mark.parametrize(
    ("newest_first", "step"),
    [
        ([2.0], 2), ([1.9], 1), ([1.2], 1), ([1.15], 0), ([-1.15], 0), ([-1.3], -1), ([], 0),
        ([1.9, 2.5], 2), ([1.6, 2.5], 1), ([1.9, 1.3], 1), ([1.15, 1.3], 1), ([1.15, 1.0], 0),
        ([1.84, 1.3, 2.5], 1), ([1.84, 2.5], 2), ([1.83, 2.5], 1), ([1.104, 1.3], 1), ([1.103, 1.3], 0),
        ([1.9, 1.95, 1.85, 2.1], 2),
        ([-1.15, 1.3], 0), ([1.15, -1.15, 1.3], 0),
        ([-1.9, -2.2], -2), ([-1.9, 2.2], -1), ([float("inf")], 2),
    ],
)  # fmt: skip
def test_a_step_is_entered_at_its_cut_and_left_below_it(newest_first: list[float], step: int) -> None:
    """Cuts at 1.2 and 2, left at 0.92 of them: 1.104 and 1.84."""
    assert steady_step(newest_first, CUTS, FLOW_LEFT_AT) == step


def test_no_more_of_the_past_is_looked_at_than_is_in_doubt() -> None:
    taken = []
    strengths = (taken.append(each) or each for each in (1.85, 1.9, 2.5, 1.0, 3.0))  # type: ignore[func-returns-value]
    assert steady_step(strengths, CUTS, FLOW_LEFT_AT) == 2
    assert taken == [1.85, 1.9, 2.5]


def test_a_ratio_about_a_cut_does_not_flip_the_label() -> None:
    """Buys of 1.95 and 2.05 times the sells in turn: one label, where the plain rule has two."""
    rows = flowing([(1.95 if i // 10 % 2 else 2.05, 1.0) for i in range(300)])
    looks = range(20, 300, 10)
    plain = {flow_direction(sum(r.buy_volume for r in rows[end - 10 : end]), 10.0) for end in looks}
    assert plain == {"STRONG_BUY", "MODERATE_BUY"}
    assert {label(rows, end) for end in looks} == {"STRONG_BUY"}


@pytest.mark.parametrize(("buys", "sells"), [(0.989, 1.011), (1.047, 0.953), (1.049, 0.951)])
@pytest.mark.parametrize("before", [(3.0, 1.0), (1.0, 3.0)])
def test_a_window_of_a_few_per_cent_is_neutral_whatever_came_before(
    before: tuple[float, float], buys: float, sells: float
) -> None:
    """-1.1 % is not selling and +4.7 % is not buying, not even a minute after a rush."""
    assert label(flowing([before] * 30 + [(buys, sells)] * 10), 40) == "NEUTRAL"


def test_a_market_that_turns_gets_its_new_label_at_once() -> None:
    rows = flowing([(3.0, 1.0)] * 30 + [(1.0, 3.0)] * 30)
    assert (label(rows, 30), label(rows, 40)) == ("STRONG_BUY", "STRONG_SELL")


def test_nothing_traded_is_no_flow_and_a_first_window_has_the_plain_label() -> None:
    assert label(flowing([(0.0, 0.0)] * 10), 10) == "NO_FLOW"
    assert label(flowing([(1.9, 1.0)] * 10), 10) == "MODERATE_BUY"


@given(st.lists(st.tuples(LOTS, LOTS), min_size=40, max_size=80), st.integers(0, 30))
def test_the_label_is_one_of_the_rows_alone(lots: list[tuple[int, int]], later: int) -> None:
    """A process that started later, but after the last window that left no doubt, says the same; so does a caller that
    comes back: what is known of the time after the window changes nothing."""
    rows = flowing([(buys / 1e5, sells / 1e5) for buys, sells in lots])
    end = len(rows)
    whole, last = label(rows, end), total(cut(rows, Span(T0 + end - 10, T0 + end)))
    future = [*rows, *(row(end + i, buy_volume=9.0) for i in range(later))]
    assert steady_flow_direction(future, last, 5) == whole
    plain = flow_direction(last.buy_volume, last.sell_volume)
    order = ("STRONG_SELL", "MODERATE_SELL", "NEUTRAL", "MODERATE_BUY", "STRONG_BUY")
    if "NO_FLOW" not in (plain, whole):  # never more than a step stronger than the plain label
        assert abs(order.index(plain) - order.index(whole)) <= 1


def test_the_label_follows_from_the_one_a_second_before() -> None:
    """Walking forward second by second with the rule, and asking at any second, are the same."""
    rows = flowing([(2.0 + 0.35 * ((i * 7) % 5 - 2), 1.0) for i in range(200)])
    labels = [label(rows, end) for end in range(10, 200)]
    assert set(labels) == {"STRONG_BUY", "MODERATE_BUY"} or set(labels) == {"STRONG_BUY"}
    assert sum(a != b for a, b in pairwise(labels)) <= 1


def test_doubt_that_lasts_longer_than_is_looked_back_ends_in_the_plain_label() -> None:
    rows = flowing([(3.0, 1.0)] * 20 + [(1.9, 1.0)] * (LOOKBACK_SECS + 30))
    assert label(rows, 60) == "STRONG_BUY"
    assert label(rows, LOOKBACK_SECS + 50) == "MODERATE_BUY"


def test_book_pressure_about_one_queue_does_not_flip_either() -> None:
    """Entered at one average best queue, left at half of one; a sign that changes is neutral at least."""

    def pressure(flows: list[float]) -> str:
        rows = [row(i, ofi=flow, mlofi=(flow,), level_depth=(10.0,), events=1) for i, flow in enumerate(flows)]
        return steady_ofi_direction(rows, total(cut(rows, Span(T0 + len(flows) - 10, T0 + len(flows)))))

    assert pressure([1.1] * 10 + [0.9] * 10) == "BUY"
    assert pressure([0.4] * 10 + [0.9] * 10) == "NEUTRAL"
    assert pressure([1.1] * 10 + [0.4] * 10) == "NEUTRAL"
    assert pressure([1.1] * 10 + [-0.9] * 10) == "NEUTRAL"
    assert pressure([-0.9] * 10 + [-1.1] * 10) == "SELL"
