from __future__ import annotations

import random
from math import sqrt

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.rows import T0, row, window
from vibe_orderbook_mcp.analytics.flow.order_flow import (
    FlowDirection,
    cvd,
    cvd_z,
    delta_rarity,
    delta_share,
    directions_disagree,
    effective_spread_bps,
    flow_direction,
    impact_buckets,
    impact_fit,
    normalised_mlofi,
    normalised_ofi,
    ofi_direction,
    side_rates,
)
from vibe_orderbook_mcp.analytics.flow.past import Past
from vibe_orderbook_mcp.analytics.windows import SideTotals, Span, cut, total
from vibe_orderbook_mcp.model.rows import SecondRow, SideFlow

_VOLUMES = st.just(0.0) | st.floats(1e-8, 1e18)

# The four trades: +2, -1, +3, -0.5.
TRADES = [
    row(0, buy_volume=2.0, buy_quote=200.0, buy_trades=1, size_squares=4.0),
    row(1, sell_volume=1.0, sell_quote=100.0, sell_trades=1, size_squares=1.0),
    row(2, buy_volume=3.0, buy_quote=300.3, buy_trades=1, size_squares=9.0),
    row(3, sell_volume=0.5, sell_quote=50.0, sell_trades=1, size_squares=0.25),
]


def test_volume_delta_of_the_sheets_trades() -> None:
    """Buy 5, sell 1.5, CVD 3.5, share 0.538462, z 0.927173."""
    sums = total(window(TRADES))
    assert (sums.buy_volume, sums.sell_volume, cvd(sums), sums.fills) == (5.0, 1.5, 3.5, 4)
    assert delta_share(sums.buy_volume, sums.sell_volume) == pytest.approx(0.538462, abs=1e-6)
    assert cvd_z(sums) == pytest.approx(3.5 / sqrt(14.25), abs=1e-12)


def test_no_trades_are_a_delta_of_zero_and_no_share() -> None:
    """Nothing traded is not balanced trading."""
    sums = total(window([row(0)]))
    assert cvd(sums) == 0.0
    assert delta_share(0.0, 0.0) is None
    assert cvd_z(sums) is None
    assert effective_spread_bps(sums) is None


@pytest.mark.parametrize(
    ("buy", "sell", "label"),
    [
        (0, 0, "NO_FLOW"),
        (2, 1, "STRONG_BUY"),
        (1, 0, "STRONG_BUY"),
        (1.2, 1, "MODERATE_BUY"),
        (1, 1, "NEUTRAL"),
        (0.82, 1, "MODERATE_SELL"),
        (0.5, 1, "STRONG_SELL"),
        (0, 1, "STRONG_SELL"),
        (1.19, 1, "NEUTRAL"),
        (1, 1.19, "NEUTRAL"),
        (1, 1.2, "MODERATE_SELL"),
    ],
)
def test_direction_labels_have_the_cuts_worked_by_hand(buy: float, sell: float, label: FlowDirection) -> None:
    """0.82 is the mirror of 1.22, and nothing at all is no buy."""
    assert flow_direction(buy, sell) == label


@settings(deadline=None)
@given(_VOLUMES, _VOLUMES)
def test_swapping_buys_and_sells_mirrors_the_label(buy: float, sell: float) -> None:
    """Swap sides and the sign flips."""
    there, back = flow_direction(buy, sell), flow_direction(sell, buy)
    assert back == there.replace("BUY", "?").replace("SELL", "BUY").replace("?", "SELL")


def test_rates_divide_by_covered_seconds() -> None:
    """Thirty covered seconds of sixty asked for: the market was not half as busy."""
    side = SideTotals(added=60.0, cancelled=20.0, added_quote=6000.0, cancelled_quote=2000.0, add_events=90,
                      cancel_events=30)  # fmt: skip
    rates = side_rates(side, 30.0)
    assert (rates.added_base, rates.cancelled_base, rates.added_quote, rates.cancelled_quote) == (
        2,
        2 / 3,
        200,
        200 / 3,
    )
    assert (rates.added_levels, rates.cancelled_levels, rates.cancel_share) == (3.0, 1.0, 0.25)


def test_order_flow_imbalance_of_the_sheets_events() -> None:
    """Events of +4, +2 and -8 add up to -2; in queues of 4, that is -0.5."""
    rows = [row(i, ofi=e, mlofi=(e,), level_depth=(4.0,), events=1, mid=100.5) for i, e in enumerate((4.0, 2.0, -8.0))]
    sums = total(window(rows))
    assert sums.ofi == -2.0
    assert normalised_ofi(sums) == -0.5
    assert ofi_direction(sums) == "NEUTRAL"


def test_multi_level_imbalance_is_the_mean_of_normalised_levels() -> None:
    """Events [4, -3] and [2, 8]; over depths 2 and 5 that is (6 / 2 + 5 / 5) / 2."""
    rows = [
        row(0, ofi=4.0, mlofi=(4.0, -3.0), level_depth=(2.0, 5.0), events=1),
        row(1, ofi=2.0, mlofi=(2.0, 8.0), level_depth=(2.0, 5.0), events=1),
    ]
    sums = total(window(rows))
    assert sums.mlofi == (6.0, 5.0)
    assert normalised_mlofi(sums) == pytest.approx(2.0)
    assert ofi_direction(sums) == "BUY"
    mirrored = [msgspec.structs.replace(r, ofi=-r.ofi, mlofi=tuple(-e for e in r.mlofi)) for r in rows]
    assert ofi_direction(total(window(mirrored))) == "SELL"


def test_a_silent_book_has_no_flow_rather_than_a_neutral_one() -> None:
    """Null is never replaced by "neutral"."""
    sums = total(window([row(0)]))
    assert ofi_direction(sums) == "NO_FLOW"
    assert normalised_ofi(sums) is None
    assert normalised_mlofi(sums) is None


def test_labels_that_point_in_opposite_directions_disagree() -> None:
    """Both are reported; a neutral one contradicts nothing."""
    assert directions_disagree("STRONG_BUY", "SELL")
    assert directions_disagree("MODERATE_SELL", "BUY")
    assert not directions_disagree("STRONG_BUY", "BUY")
    assert not directions_disagree("NEUTRAL", "SELL")
    assert not directions_disagree("STRONG_SELL", "NEUTRAL")


def test_effective_spread_of_the_sheets_trades() -> None:
    """Buy 2 at 100.1 over 100.05, sell 1 at 99.9 under 100 -> 13.330002 bps."""
    rows = [
        row(0, effective_spread_sum=2 * 2e4 * (100.1 - 100.05) / 100.05, effective_spread_volume=2.0),
        row(1, effective_spread_sum=2e4 * (100.0 - 99.9) / 100.0, effective_spread_volume=1.0),
    ]
    assert effective_spread_bps(total(window(rows))) == pytest.approx(13.330002, abs=1e-6)


def _impact_rows(secs: int, beta: float, noise: float, seed: int = 3) -> list[SecondRow]:
    """Mid moves by beta ticks of 0.01 per unit of OFI in the same second, plus noise."""
    rng = random.Random(seed)
    mid, rows = 100.0, []
    for second in range(secs):
        ofi = rng.gauss(0, 5)
        mid += 0.01 * (beta * ofi + rng.gauss(0, noise))
        rows.append(row(second, mid=mid, ofi=ofi, events=5))
    return rows


def test_impact_is_recovered_from_ten_second_buckets() -> None:
    """A book built to move 0.5 ticks per unit must be measured as that."""
    fit, buckets = impact_fit(_impact_rows(1200, beta=0.5, noise=0.0), T0 + 1200, 0.01)
    assert fit is not None
    assert fit.beta == pytest.approx(0.5)
    assert fit.r2 == pytest.approx(1.0)
    assert buckets == fit.buckets == 119  # the first has no mid before it
    noisy, _ = impact_fit(_impact_rows(3700, beta=0.5, noise=5.0), T0 + 3700, 0.01)
    assert noisy is not None
    assert noisy.beta == pytest.approx(0.5, abs=0.1)
    assert noisy.buckets == 360
    assert 0.05 < (noisy.r2 or 0.0) < 0.5


def test_fewer_than_thirty_buckets_give_no_impact() -> None:
    """The count is reported, so that the reader knows how long to wait."""
    assert impact_fit(_impact_rows(300, 0.5, 0.0), T0 + 300, 0.01) == (None, 29)
    fit, buckets = impact_fit(_impact_rows(310, 0.5, 0.0), T0 + 310, 0.01)
    assert fit is not None
    assert buckets == 30
    assert impact_fit([], T0, 0.01) == (None, 0)


def test_buckets_with_a_hole_are_left_out() -> None:
    """A mid change across seconds without a row belongs to no recorded flow."""
    rows = [r for r in _impact_rows(100, 0.5, 0.0) if r.second != T0 + 39]
    flows, _ = impact_buckets(rows, T0 + 100, 0.01)
    assert len(flows) == 7  # without the first, the one with the hole, and the one that starts after it


def test_rarity_of_the_delta_needs_thirty_windows() -> None:
    """One lopsided window among thirty balanced ones is rare; among twenty-nine nobody can say."""
    rows = [row(i, buy_volume=1.0, sell_volume=1.0 + 0.1 * (i // 10 % 2)) for i in range(300)]
    rows += [row(i, buy_volume=1.0) for i in range(300, 310)]
    past = Past.of(rows)
    rank, windows = delta_rarity(past.windows(10, T0 + 300), cut(rows, Span(T0 + 300, T0 + 310)))
    assert windows == 30
    assert rank == pytest.approx(30 / 31)
    assert delta_rarity(Past.of(rows[10:]).windows(10, T0 + 300), cut(rows, Span(T0 + 300, T0 + 310))) == (None, 29)
    assert delta_rarity(past.windows(10, T0 + 400), cut(rows, Span(T0 + 400, T0 + 410))) == (
        None,
        31,
    )  # nothing traded there


def test_splitting_a_second_in_two_changes_nothing() -> None:
    """Flow figures are sums over events, not over rows."""
    one = [row(0, events=6, ofi=3.0, mlofi=(3.0,), level_depth=(5.0,), buy_volume=3.0, sell_volume=1.0,
               bid=SideFlow(added=2.0), mid=10.0)]  # fmt: skip
    two = [
        row(0, covered_ms=400, events=2, ofi=1.0, mlofi=(1.0,), level_depth=(5.0,), buy_volume=2.0,
            bid=SideFlow(added=1.5), mid=10.0),
        row(1, covered_ms=600, events=4, ofi=2.0, mlofi=(2.0,), level_depth=(5.0,), buy_volume=1.0, sell_volume=1.0,
            bid=SideFlow(added=0.5), mid=10.0),
    ]  # fmt: skip
    first, second = total(window(one)), total(window(two))
    assert normalised_ofi(first) == normalised_ofi(second) == 0.6
    assert cvd(first) == cvd(second)
    assert side_rates(first.bid, first.covered_secs) == side_rates(second.bid, second.covered_secs)
