"""The worked scores of sheet 6, and the answer around them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import BTC
from tests.analytics.rows import T0, generated_rows, row
from tests.analytics.watching import WARM_SECS, changed, quiet_row, quiet_rows, warm
from vibe_orderbook_mcp.analytics.baseline import Normal
from vibe_orderbook_mcp.analytics.health import (
    Component,
    HealthLevel,
    activity_score,
    balance_score,
    component_scores,
    depth_score,
    freshness_score,
    geometric_mean,
    health_inputs,
    level_of,
    score_of,
    spread_score,
    thinner_score,
    usd_rate_of,
    wider_score,
)
from vibe_orderbook_mcp.analytics.health_answer import HealthScoreAnswer, health_score_answer
from vibe_orderbook_mcp.analytics.windows import Span, cut
from vibe_orderbook_mcp.core.rows import RowFlag, SecondRow
from vibe_orderbook_mcp.errors import Refusal

COLD = Normal(0, None, None, None, None)


def parts(
    spread: float | None, depth: float | None, flow: float | None, pace: float | None
) -> dict[Component, float | None]:
    return {"spread_stability": spread, "liquidity_depth": depth, "flow_balance": flow, "update_rate": pace}


def test_the_quiet_major_of_the_sheet() -> None:
    """0.2 bps, 800 k, x = 0.10: 100 / 97.55 / 90 / 100 make 96.64, Excellent."""
    spread = geometric_mean([spread_score(0.2), wider_score(1.0), 100.0])
    depth = geometric_mean([depth_score(800_000), thinner_score(1.0)])
    score, level = score_of(parts(spread, depth, 90.0, geometric_mean([100.0, activity_score(1.0)])))
    assert depth == pytest.approx(97.55, abs=0.01)
    assert score == pytest.approx(96.6415, abs=1e-3)
    assert level == "Excellent"


def test_the_stressed_market_of_the_sheet() -> None:
    """6 bps at 4x, 60 k at a quarter, x = 0.8, 8x updates: 47.68 / 36.01 / 20 / 50 make 37.02, Poor."""
    spread = geometric_mean([spread_score(6.0), wider_score(4.0), 60.0])
    depth = geometric_mean([depth_score(60_000), thinner_score(0.25)])
    pace = geometric_mean([100.0, activity_score(8.0)])
    score, level = score_of(parts(spread, depth, 20.0, pace))
    assert [spread, depth, pace] == pytest.approx([47.68, 36.01, 50.0], abs=0.01)
    assert score == pytest.approx(37.02, abs=0.01)
    assert level == "Poor"


def test_one_weak_component_caps_the_level() -> None:
    """100 / 45 / 100 / 100 is 80.75 and Good."""
    score, level = score_of(parts(100.0, 45.0, 100.0, 100.0))
    assert score == pytest.approx(80.75)
    assert level == "Good"


def test_what_is_missing_gives_its_weight_to_the_others() -> None:
    """Without trades the other three make the score; one alone makes none."""
    score, _ = score_of(parts(80.0, 60.0, None, 100.0))
    assert score == pytest.approx((0.25 * 80 + 0.35 * 60 + 0.15 * 100) / 0.75)
    assert score_of(parts(None, None, 90.0, None)) == (None, "Unknown")
    assert score_of(parts(None, 90.0, None, 90.0))[0] == pytest.approx(90.0)
    assert score_of(parts(None, None, None, None)) == (None, "Unknown")


@pytest.mark.parametrize(
    ("score", "level"),
    [(80, "Excellent"), (79.9, "Good"), (60, "Good"), (59.9, "Fair"), (40, "Fair"), (20, "Poor"), (19.9, "Critical")],
)
def test_the_levels(score: float, level: HealthLevel) -> None:
    assert level_of(score, 100.0) == level


def test_the_balance_of_the_sheet() -> None:
    """One trade of 1 where 100 is usual is 96.15 and not 0; 90 against 10 is 36; no trades are not balanced."""
    assert balance_score(1, 0, 100) == pytest.approx(96.15, abs=0.01)
    assert balance_score(90, 10, 100) == pytest.approx(36.0)
    assert balance_score(0, 0, 100) is None


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ([spread_score(x) for x in (0.1, 1, 50, 999)], [100, 100, 0, 0]),
        ([wider_score(x) for x in (0.5, 1, 2, 8, 99)], [100, 100, 66.7, 0, 0]),
        ([depth_score(x) for x in (0, 1e4, 1e6, 1e9)], [0, 0, 100, 100]),
        ([thinner_score(x) for x in (2, 1, 0.5, 0.125, 0)], [100, 100, 66.7, 0, 0]),
        ([activity_score(x) for x in (1, 2, 0.5, 16, 0)], [100, 75, 75, 0, 0]),
        ([freshness_score(x) for x in (0, 1000, 5500, 10_000, 99_999)], [100, 100, 50, 0, 0]),
    ],
)
def test_the_ends_of_the_scales(scale: list[float], expected: list[float]) -> None:
    assert scale == pytest.approx(expected, abs=0.05)


# --- the answer -------------------------------------------------------------------------------------------------


def answer(
    rows: list[SecondRow], normal: Normal | None = None, *, secs: int = 60, age_ms: int = 100, **options: object
) -> HealthScoreAnswer:
    end = rows[-1].second + 1 if rows else T0 + 60
    return health_score_answer(
        BTC,
        rows,
        Span(end - secs, end),
        normal,
        as_of_ms=end * 1000,
        age_ms=age_ms,
        **{"status": "live", **options},  # type: ignore[arg-type]  # one dict of them for all tests
    )


def test_a_silent_market_is_poor_at_best() -> None:
    """Whatever it was before: nobody knows what it is now."""
    rows = quiet_rows(60, start=WARM_SECS)
    found = answer(rows, warm().normal, age_ms=4_000, status="stale")
    assert (found.health_score, found.level) == (39.0, "Poor")
    assert found.summary.endswith("health 39/100 (Poor): nothing has come for 4 s, what was measured is of before.")
    assert found.components is not None
    assert answer(rows, warm().normal, age_ms=4_000).level == "Excellent"


def test_a_quiet_market_is_excellent() -> None:
    """As usual in everything: what a desk would call fine."""
    watch = warm()
    found = answer(quiet_rows(60, start=WARM_SECS), watch.normal)
    assert found.level == "Excellent"
    assert found.health_score is not None
    assert found.health_score > 85
    assert found.baseline is None
    assert found.baseline_secs == watch.normal.seconds
    assert "every part is sound" in found.summary
    assert "detail" not in found.model_dump()
    assert answer(quiet_rows(60, start=WARM_SECS), watch.normal, detail=True).detail is not None


def test_a_cold_baseline_leaves_the_relative_part_out() -> None:
    """And says so; the absolute scales stand."""
    found = answer(quiet_rows(60), COLD)
    assert found.baseline == "warming_up"
    assert found.components is not None
    assert found.components.spread_stability == 100.0
    assert any("15 minutes" in each for each in found.warnings)
    assert found.health_score == answer(quiet_rows(60), None).health_score


def test_a_frozen_feed_lowers_health() -> None:
    """The original gave 100 for its own samples, whatever the feed did."""
    rows, normal = quiet_rows(60), warm().normal
    scores = [answer(rows, normal, age_ms=age).health_score or 0.0 for age in (100, 4_000, 9_000, 20_000)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] + 10
    assert answer(rows, normal, age_ms=20_000).weakest_component == "update_rate"


def test_silence_of_a_quiet_symbol_is_fresh() -> None:
    """On a live connection: the feed knows its pace. Not on a stale one."""
    rows = [quiet_row(second, ids=0, rows=0, buy_quote=0.0, sell_quote=0.0) for second in range(60)]
    assert answer(rows, COLD, age_ms=9_000).components.update_rate == 100.0  # type: ignore[union-attr]  # is there
    assert answer(rows, COLD, age_ms=20_000, status="stale").components.update_rate == 0.0  # type: ignore[union-attr]


def test_a_majors_spread_may_widen_by_ticks() -> None:
    """From 0.01 to 0.51 USD of 60 000 is 0.0016 to 0.08 bp: not ill health."""
    watch = warm()
    rows = changed(quiet_rows(60, start=WARM_SECS), spread_mean=0.51)
    found = answer(rows, watch.normal)
    assert found.components is not None
    assert found.components.spread_stability == 100.0


def test_a_spread_of_one_tick_is_tight_whatever_a_tick_is() -> None:
    """A coin at 0.02 with ticks of 0.01 cannot quote tighter than 5000 bps."""
    rows = [quiet_row(second, mid=0.02, spread_mean=0.01) for second in range(60)]
    found = answer(rows, COLD)
    assert found.components is not None
    assert found.components.spread_stability == 100.0


def test_seconds_with_a_wide_spread_or_without_a_book_are_not_stable() -> None:
    rows = quiet_rows(60)
    rows[30:45] = changed(rows[30:45], spread_mean=400.0)
    found = answer(rows, COLD, detail=True)
    assert found.detail is not None
    assert found.detail.spread_stable_share == 0.75


@pytest.mark.parametrize(("status", "reason"), [("syncing", None), ("live", "one side of the book is empty")])
def test_an_invalid_book_is_critical_with_the_reason(status: str, reason: str | None) -> None:
    """0, not null and not the last good score. It is an answer even when nothing of the window is covered."""
    for rows in (quiet_rows(60), []):
        found = answer(rows, None, status=status, invalid_reason=reason)
        assert (found.health_score, found.level, found.components) == (0.0, "Critical", None)
        assert found.reason in (reason, "the book is not in sequence")
        assert found.reason is not None
        assert found.reason in found.summary
        assert ("not the market" in found.summary) is (status == "syncing")  # a one-sided book is the market's


def test_an_uncovered_window_is_refused() -> None:
    with pytest.raises(Refusal):
        answer(quiet_rows(10), None)


def test_depth_in_a_quote_without_a_dollar_rate_is_only_relative() -> None:
    """0.35 of the weight must not hang on a made-up rate."""
    assert usd_rate_of("USDC") == 1.0
    assert usd_rate_of("BTC") is None
    spec = msgspec.structs.replace(BTC, symbol="ETHBTC", base_asset="ETH", quote_asset="BTC")
    rows = quiet_rows(60)

    def ask(normal: Normal | None, rate: float | None = None) -> HealthScoreAnswer:
        span = Span(T0, T0 + 60)
        return health_score_answer(
            spec, rows, span, normal, as_of_ms=span.end * 1000, age_ms=1, status="live", usd_rate=rate
        )

    cold = ask(COLD).components
    assert cold is not None
    assert cold.liquidity_depth is None
    warmed = ask(warm().normal).components
    assert warmed is not None
    assert warmed.liquidity_depth is not None
    assert any("dollar rate" in each for each in ask(COLD).warnings)
    rated = ask(COLD, 60_000.0).components
    assert rated is not None
    assert rated.liquidity_depth == 100.0


def test_the_weakest_part_is_explained() -> None:
    rows = quiet_rows(60, start=WARM_SECS)
    normal = warm().normal
    one_sided = answer(changed(rows, buy_quote=90_000.0, sell_quote=100.0), normal)
    assert "flow balance" in one_sided.summary
    assert "100 % buys" in one_sided.summary
    shallow = answer(changed(rows, bid_band_quote=(10.0, 2e4, 5e4, 1e5, 2e5)), normal)
    assert shallow.weakest_component == "liquidity_depth"
    assert "0.1x its usual" in shallow.summary


def test_buys_and_sells_are_worth_the_same() -> None:
    rows = changed(quiet_rows(60), buy_quote=9_000.0, sell_quote=2_000.0)
    turned = changed(rows, buy_quote=2_000.0, sell_quote=9_000.0)
    assert answer(rows, COLD).health_score == answer(turned, COLD).health_score


@settings(max_examples=80, deadline=None)
@given(generated_rows(), st.booleans(), st.integers(0, 100_000))
def test_any_rows_give_scores_within_their_scale(rows: list[SecondRow], is_warm: bool, age_ms: int) -> None:
    """Holes, zeros, one-sided books: 0 to 100 or null, never NaN."""
    normal = Normal(9_000, 2.0, 1e5, 30.0, 1e4) if is_warm else None
    window = cut(rows, Span(T0 - 20, T0 + 40))
    scores = component_scores(
        health_inputs(window, normal, age_ms=age_ms, tick=0.01), tick_bps=1.0, is_live=True, usd_rate=1.0
    )
    for score in (*scores.values(), score_of(scores)[0]):
        assert score is None or 0.0 <= score <= 100.0
    assert cut([row(0, flags=int(RowFlag.GAP))], Span(T0, T0 + 1)).mid_end is None
