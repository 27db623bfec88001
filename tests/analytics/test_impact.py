from __future__ import annotations

from math import isfinite

import pytest
from hypothesis import given, settings

from tests.analytics.rows import T0, generated_rows, row
from vibe_orderbook_mcp.analytics.flow.impact import (
    KYLE_BUCKET_SECS,
    MIN_KYLE_BUCKETS,
    amihud,
    illiquidity,
    kyle_fit,
    kyle_lambda,
    moves,
)
from vibe_orderbook_mcp.model.rows import SecondRow

END = T0 + 600


def priced(flows: list[float], bps_per_100k: float = 2.0, noise: float = 0.1) -> list[SecondRow]:
    """A bucket of ten rows for each net amount (in 100k), whose close answers it; one row before them."""
    rows, mid = [row(-1, mid=1000.0)], 1000.0
    for index, flow in enumerate(flows):
        mid *= 1 + (bps_per_100k * flow + (noise if index % 2 else -noise)) / 1e4
        for second in range(10):
            buy = 1e5 * max(flow, 0.0) if second == 3 else 0.0
            sell = 1e5 * max(-flow, 0.0) if second == 3 else 0.0
            rows.append(row(10 * index + second, mid=mid, buy_quote=buy, sell_quote=sell))
    return rows


def test_kyles_lambda_worked_by_hand() -> None:
    fit = kyle_fit([1.0, -2.0, 0.5, 3.0, -1.5, 0.0], [0.6, -0.9, 0.2, 1.4, -0.8, 0.1], minimum=6)
    assert fit is not None
    assert fit.bps_per_100k == pytest.approx(7.8 / (16.5 - 1 / 6), abs=1e-12)
    assert fit.r2 == pytest.approx(0.990664, abs=1e-6)
    assert fit.t == pytest.approx(20.60, abs=5e-3)
    assert fit.significant


def test_lambda_is_in_bps_per_100k_of_quote() -> None:
    """Thirty buckets that were made with 2 bps per 100 000."""
    flows = [float(i % 7 - 3) for i in range(60)]
    fit, count = kyle_lambda(priced(flows), END)
    assert count == 60
    assert fit is not None
    assert fit.bps_per_100k == pytest.approx(2.0, abs=0.05)
    assert (fit.significant, fit.buckets) == (True, 60)


def test_thirty_buckets_are_needed() -> None:
    """Twenty-nine are too few, and say so by their number."""
    flows = [float(i % 7 - 3) for i in range(29)]
    assert kyle_lambda(priced(flows), T0 + 290) == (None, 29)
    fit, count = kyle_lambda(priced([*flows, 1.0]), T0 + 300)
    assert (fit is not None, count) == (True, 30)


def test_no_variation_in_flow_has_no_lambda_and_noise_no_significance() -> None:
    """A slope through nothing is null; one that could be chance is marked."""
    assert kyle_lambda(priced([1.0] * 40), T0 + 400) == (None, 40)
    fit, _ = kyle_lambda(priced([float(i // 2 % 4) for i in range(60)], bps_per_100k=0.0), END)
    assert fit is not None
    assert not fit.significant
    exact = kyle_fit([0.0, 1.0] * 20, [0.0, 0.0] * 20)
    assert exact is not None
    assert (exact.t, exact.significant) == (None, False)


def test_amihud_worked_by_hand() -> None:
    """Four minutes, one of them without trades."""
    found = illiquidity([0.0004, -0.0002, 0.0, 0.0010], [200_000.0, 100_000.0, 0.0, 400_000.0])
    assert found.value == pytest.approx(0.002166667, abs=1e-9)
    assert (found.buckets, found.skipped) == (3, 1)
    nothing = illiquidity([], [])
    assert (nothing.value, nothing.buckets, nothing.skipped) == (None, 0, 0)
    assert illiquidity([0.1], [0.0]).value is None


def test_amihud_is_over_whole_minutes() -> None:
    """A minute of 60 rows: from mid before it to mid at its end, over all of its volume."""
    rows = [row(-1, mid=100.0)] + [row(i, mid=100.0 if i < 59 else 100.1, buy_quote=1000.0) for i in range(60)]
    found = amihud(rows, T0 + 60)
    assert found.value == pytest.approx(0.001 / 60_000 * 1e6)
    assert (found.buckets, found.skipped) == (1, 0)
    assert amihud(rows[:-1], T0 + 60).buckets == 0  # its end is not known


def test_buckets_stand_on_the_clock_within_the_hour() -> None:
    """A later answer must use the same ones, and uncovered ones are left out."""
    rows = [row(i, mid=100.0, covered_ms=0 if i == 25 else 1000) for i in range(-1, 60)]
    starts = [move.bucket.span.start - T0 for move in moves(rows, T0 + 57, 10)]
    assert starts == [0, 10, 30, 40]
    assert [move.bucket.span.start - T0 for move in moves(rows, T0 + 3600 + 5, 10)] == [10, 30, 40, 50]


@settings(deadline=None)
@given(generated_rows())
def test_every_list_of_rows_gives_finite_figures(rows: list[SecondRow]) -> None:
    """Never NaN or inf, whatever was recorded."""
    found, (fit, count) = amihud(rows, T0 + 60), kyle_lambda(rows, T0 + 60)
    assert found.value is None or (isfinite(found.value) and found.value >= 0.0)
    assert fit is None or isfinite(fit.bps_per_100k)
    assert count == len(list(moves(rows, T0 + 60, KYLE_BUCKET_SECS)))
    assert fit is None or count >= MIN_KYLE_BUCKETS


def test_scaling_price_leaves_lambda_alone_and_mirroring_too() -> None:
    """Bps do not know the unit; sells that push down are buys that push up."""
    flows = [float(i % 7 - 3) for i in range(60)]
    rows = priced(flows)
    scaled = [row(r.second - T0, mid=10 * (r.mid or 0.0), buy_quote=r.buy_quote, sell_quote=r.sell_quote) for r in rows]
    one, two = kyle_lambda(rows, END)[0], kyle_lambda(scaled, END)[0]
    three = kyle_lambda(priced([-flow for flow in flows], noise=-0.1), END)[0]
    assert one is not None
    assert two is not None
    assert three is not None
    assert one.bps_per_100k == pytest.approx(two.bps_per_100k)
    assert one.bps_per_100k == pytest.approx(three.bps_per_100k, rel=1e-3)
