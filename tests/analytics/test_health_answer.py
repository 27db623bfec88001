"""What `get_microstructure_health` answers."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from tests.analytics.books import BTC
from tests.analytics.rows import T0, row
from tests.analytics.watching import QUIET, WARM_SECS, bookless, changed, feed, quiet_row, quiet_rows, warm
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.health.answer import HealthScoreAnswer, health_score_answer
from vibe_orderbook_mcp.analytics.health.seconds import health_of_window
from vibe_orderbook_mcp.analytics.health.text import weakest_figure
from vibe_orderbook_mcp.analytics.usual.normal import Normal
from vibe_orderbook_mcp.analytics.windows import Span, cut
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec

# Sizes for the amounts of a quiet row, each at the mean price of a band that holds them evenly.
BASE = tuple(
    quote / (60_000.0 * (1 - bps / 2e4))
    for bps, quote in zip((5, 10, 25, 50, 100), (1e5, 2e5, 5e5, 1e6, 2e6), strict=True)
)
SIZES: dict[str, Any] = {"best_bid_size": 1e-5, "best_ask_size": 1e-5, "bid_band_base": BASE, "ask_band_base": BASE}
VERDICTS = ("Excellent", "Good", "Fair", "Poor", "Critical")


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


def ask(watch: SymbolWatch, **options: object) -> HealthScoreAnswer:
    options = {"measures": list(watch.measures), **options}
    return answer(list(watch.rows), watch.normal, **options)  # type: ignore[arg-type]  # one dict of them


def drained(second: int, **more: object) -> SecondRow:
    """Spread 16,000 times its usual and 96 bps wide, nothing within 25 bps of one side."""
    fields = {"spread_mean": 580.0, "bid_band_quote": (0.0, 0.0, 0.0, 2e3, 2e4), **more}
    return quiet_row(second, **fields)  # type: ignore[arg-type]  # fields by name


def test_a_window_whose_end_was_not_seen_is_not_dated_by_it() -> None:
    """After a restart events come before their second has ended: the score is from the seconds before."""
    rows, end = [quiet_row(i) for i in range(60)], T0 + 72
    facts: dict[str, Any] = {"as_of_ms": end * 1000 - 5, "age_ms": 5, "status": "live"}
    late = health_score_answer(BTC, rows, Span(end - 60, end), None, **facts)
    assert late.as_of == "2024-05-01T12:01:00.000Z"
    assert late.warnings[0].startswith("The newest recorded second ended at 2024-05-01T12:01:00Z, 12 s before the end")
    assert not any("newest second" in warning for warning in answer(rows).warnings)


def test_a_quiet_market_is_excellent() -> None:
    """As usual in everything: what a desk would call fine. Its class says how expensive it is."""
    watch = SymbolWatch(BTC)
    feed(watch, changed([quiet_row(second) for second in range(1000)], **SIZES))
    found = ask(watch)
    assert found.level == "Excellent"
    assert found.health_score is not None
    assert found.health_score > 90
    assert (found.baseline, found.baseline_weight, found.reason) == (None, None, None)
    assert found.baseline_secs == watch.normal.seconds == 930
    assert found.summary.startswith(f"BTCUSDT health {found.health_score:g}/100 (Excellent): every part is as usual")
    assert found.summary.endswith("; class A: a 10,000 USD round trip usually costs 0.5 bps.")
    assert found.market_class == "A"
    assert found.round_trip_bps == pytest.approx(0.5, rel=0.02)
    said = json.loads(found.model_dump_json())
    assert said["class"] == "A"
    assert "market_class" not in said
    assert "detail" not in said
    assert HealthScoreAnswer.model_validate_json(found.model_dump_json()) == found


def test_an_excellent_market_names_its_weakest_part() -> None:
    """One side at half of its usual is 68 points of depth: Excellent by definition, and no part "as usual"."""
    watch = warm()
    thin = tuple(0.53 * amount for amount in (1e5, 2e5, 5e5, 1e6, 2e6))
    feed(watch, changed([quiet_row(WARM_SECS + n) for n in range(60)], ask_band_quote=thin))
    found = ask(watch)
    assert found.level == "Excellent"
    assert found.components is not None
    assert found.components.liquidity_depth == pytest.approx(69.5, abs=1.0)
    assert found.weakest_component == "liquidity_depth"
    assert "(Excellent): weakest is depth at 69" in found.summary
    assert "as usual" not in found.summary
    feed(watch, [quiet_row(WARM_SECS + 60 + n) for n in range(60)])
    assert "(Excellent): every part is as usual, the weakest is " in ask(watch).summary


def test_a_drain_is_below_40_in_its_second_second_and_never_excellent() -> None:
    """An hour of quiet before it. A window of 60 s hides none of it, and forgets it a minute after its end."""
    watch = warm()
    levels = []
    for place in range(24):
        watch.second(drained(WARM_SECS + place), QUIET)
        found = ask(watch)
        levels.append(found.level)
        assert found.health_score is not None
        assert found.health_score < 40.0 or place == 0
        assert ask(watch, secs=300).health_score == found.health_score or place == 0
    assert found.level == "Critical"
    assert set(levels[1:]) == {"Critical"}
    assert "weakest is spread at 0 (0 now, " in found.summary
    assert ": 96.7 bps, median of the 3 s to 13:03:44, 190x its usual." in found.summary
    scores = []
    for place in range(24, 90):
        watch.second(quiet_row(WARM_SECS + place), QUIET)
        scores.append(ask(watch).health_score or 0.0)
    assert scores[0] < 40.0
    assert 55.0 < scores[1] < 75.0
    assert scores[-1] > 90.0
    assert all(later >= before - 1.5 for before, later in pairwise(scores))


def test_what_the_window_remembers_is_said_beside_what_is_now() -> None:
    watch = warm()
    feed(watch, [drained(WARM_SECS + n, spread_mean=0.01) for n in range(10)])
    feed(watch, [quiet_row(WARM_SECS + 10 + n) for n in range(10)])
    found = ask(watch, detail=True)
    assert "weakest is depth at 82.1 (99.7 now, 82.1 over 60 s)" in found.summary
    assert "as usual" not in found.summary
    assert found.now is not None
    assert found.window_mean is not None
    assert found.components is not None
    assert (found.now.liquidity_depth, found.components.liquidity_depth) == (
        99.7,
        found.window_mean.liquidity_depth,
    )
    assert found.detail is not None
    assert found.detail.depth_share_least == 0.0
    assert found.detail.band_bps in (5, 10)
    assert found.detail.band_bps == found.band_bps
    assert f"USDT within {found.band_bps} bps, median of the 3 s to 13:03:40, 0.99x its usual" in found.summary
    assert "x its usual, down to 0x within the 60 s." in found.summary


def test_a_silent_market_is_poor_at_best_and_the_silence_is_said_first() -> None:
    """Whatever it was before: nobody knows what it is now. The number is a cap, so the summary begins with why."""
    watch = warm()
    found = ask(watch, age_ms=4_000, status="stale")
    assert (found.health_score, found.level) == (39.0, "Poor")
    assert found.summary == (
        "BTCUSDT: no update for 4 s, for that reason health is capped at 39/100 (Poor); the figures are from before the"
        " silence."
    )
    assert found.components is not None
    assert ask(watch, age_ms=4_000).level == "Excellent"
    feed(watch, [drained(WARM_SECS + place) for place in range(10)])
    worse = ask(watch, age_ms=4_000, status="stale")
    assert worse.level == "Critical"
    assert "BTCUSDT: no update for 4 s, health is " in worse.summary
    assert "capped" not in worse.summary


@pytest.mark.parametrize("secs", [60, 500])
def test_a_silent_market_gets_no_verdict_while_it_is_young(secs: int) -> None:
    found = answer(quiet_rows(secs), None, age_ms=18_000, status="stale")
    assert (found.health_score, found.level, found.baseline) == (39.0, "Unknown", "warming_up")
    assert found.summary.startswith("BTCUSDT: no update for 18 s, for that reason health is capped at 39/100; ")
    assert "no verdict yet" in found.summary
    assert not any(word in found.summary for word in VERDICTS)
    uncovered = answer(quiet_rows(10), None, age_ms=50_000, status="stale")
    assert uncovered.summary.startswith("BTCUSDT: no update for 50 s; no health score: ")


def test_a_frozen_feed_lowers_health() -> None:
    watch = warm()
    scores = [ask(watch, age_ms=age).health_score or 0.0 for age in (100, 4_000, 9_000, 20_000)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[-1] + 10
    assert ask(watch, age_ms=20_000).weakest_component == "update_rate"


THIN = tuple(0.3 * amount for amount in (1e5, 2e5, 5e5, 1e6, 2e6))


@pytest.mark.parametrize(("side", "said"), [("bid", "bids"), ("ask", "asks")])
def test_the_thinner_side_is_named_with_the_seconds_that_it_was_seen_in(side: str, said: str) -> None:
    watch = warm()
    feed(watch, changed([quiet_row(WARM_SECS + n) for n in range(60)], **{f"{side}_band_quote": THIN}))
    found = ask(watch, detail=True)
    assert (found.thinner_side, found.band_bps) == (side, 5)
    assert f"{said} 30,000 USDT within 5 bps, median of the 3 s to 13:04:20, 0.3x its usual" in found.summary
    assert found.detail is not None
    assert found.detail.depth_now_quote == 30_000.0
    assert found.detail.depth_share_now == pytest.approx(0.3, abs=0.01)
    young = answer(changed(quiet_rows(60), **{f"{side}_band_quote": THIN}))
    assert (young.thinner_side, young.band_bps) == (side, 10)


def test_the_side_is_that_of_the_amount_beside_it_where_sides_take_turns() -> None:
    """The middle one of three seconds: its own amount, share and side, never a mixture of two sides."""
    watch = warm()
    feed(watch, [quiet_row(WARM_SECS + n) for n in range(57)])
    for place, (side, share) in enumerate((("bid", 0.2), ("ask", 0.4), ("bid", 0.6))):
        amounts = tuple(share * amount for amount in (1e5, 2e5, 5e5, 1e6, 2e6))
        feed(watch, changed([quiet_row(WARM_SECS + 57 + place)], **{f"{side}_band_quote": amounts}))
    found = ask(watch, detail=True)
    assert found.detail is not None
    assert (found.thinner_side, found.detail.depth_now_quote) == ("ask", 40_000.0)


@pytest.mark.parametrize("score", [None, 0.0], ids=["our book is lost", "the market has none"])
def test_the_band_is_said_without_a_score_too(score: float | None) -> None:
    lack = {"unseen_reason": "reconnecting"} if score is None else {"invalid_reason": "the book is empty"}
    found = answer(quiet_rows(60), warm().normal, **lack)  # type: ignore[arg-type]  # fields by name
    assert (found.health_score, found.band_bps, found.thinner_side) == (score, 5, None)


def test_a_band_that_changed_with_the_last_choice_is_said() -> None:
    watch = warm()
    assert not any("band" in each for each in ask(watch).warnings)
    choice = watch.baseline.band
    assert choice is not None
    watch.baseline._band.choice = choice.after(25, choice.day + 1).after(25, choice.day + 2)
    found = ask(watch)
    assert found.band_bps == 25
    assert any("band_bps was 5 and is 25 now" in each for each in found.warnings)


# --- what was ours, and what was the market's --------------------------------------------------------------------


def dropped(second: int) -> list[SecondRow]:
    """One frame was lost: the rest of the second and the next one are without a book, and that one repairs it."""
    return [
        bookless(second, covered_ms=300, flags=int(RowFlag.GAP)),
        quiet_row(second + 1, covered_ms=500, flags=int(RowFlag.GAP | RowFlag.RESYNC)),
    ]


@pytest.mark.parametrize("after", [0, 1, 2, 10])
def test_a_gap_is_ours_and_its_seconds_are_left_out(after: int) -> None:
    """A frame was lost. Nothing was one-sided or crossed, and the answer claims nothing about the unknown present."""
    watch = warm()
    feed(watch, [quiet_row(WARM_SECS + n) for n in range(60)])
    before = ask(watch)
    feed(watch, [*dropped(WARM_SECS + 60), *(quiet_row(WARM_SECS + 62 + n) for n in range(after))])
    found = ask(watch)
    said = "The book was resynchronised at 13:04:21; those seconds are left out."
    assert said in found.warnings
    assert found.summary.endswith(said) is (after < 3)
    assert "one-sided" not in found.summary
    assert "crossed" not in found.summary
    assert found.level == before.level == "Excellent"
    assert (found.health_score or 0.0) > (before.health_score or 0.0) - 3.0


def test_after_a_gap_the_figures_are_those_of_the_window() -> None:
    watch = warm()
    feed(watch, changed([quiet_row(WARM_SECS + n) for n in range(60)], ask_band_quote=THIN))
    gap = int(RowFlag.GAP)
    feed(watch, [*(bookless(WARM_SECS + 60 + n, flags=gap) for n in range(2)), dropped(WARM_SECS + 61)[1]])
    found = ask(watch)
    assert "weakest is depth at 41.8: " in found.summary
    assert "asks 30,000 USDT within 5 bps, median of the 57 s known before 13:04:23, 0.3x its usual" in found.summary
    assert " now" not in found.summary


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"best_ask": 60_000.0, "flags": int(RowFlag.ONE_SIDED)}, "one-sided"),
        ({"best_bid": 60_001.0, "best_ask": 60_000.0, "flags": int(RowFlag.CROSSED)}, "crossed"),
    ],
)
def test_a_book_that_the_market_lacked_is_named_for_what_it_was(fields: dict[str, Any], said: str) -> None:
    watch = warm()
    feed(watch, [quiet_row(WARM_SECS + n) for n in range(60)])
    feed(watch, [*(bookless(WARM_SECS + 60 + n, **fields) for n in range(2)), quiet_row(WARM_SECS + 62)])
    found = ask(watch)
    assert found.level == "Critical"
    assert f": the exchange's book was {said}, median of the 3 s to 13:04:23" in found.summary
    assert not any("resynchronised" in each for each in [*found.warnings, found.summary])


# --- while there is little history ------------------------------------------------------------------------------


@pytest.mark.parametrize("secs", [60, 200, 500, 900])
def test_below_fifteen_minutes_no_verdict_is_given(secs: int) -> None:
    """Neither in the level nor in the summary, and what the score rests on is said."""
    watch = SymbolWatch(BTC)
    feed(watch, quiet_rows(secs))
    found = ask(watch)
    assert (found.baseline, found.level, found.market_class) == ("warming_up", "Unknown", None)
    assert found.health_score is not None
    assert not any(word in found.summary for word in (*VERDICTS, "sound", "as usual"))
    assert "no verdict yet (" in found.summary
    scale = "mixed with this symbol's first minutes (" if watch.normal.spread_weight else "not against this symbol"
    assert f"/100 on a general scale{' ' if watch.normal.spread_weight else ', '}{scale}" in found.summary
    left = max(1, round((900 - watch.normal.seconds) / 60))
    assert f"(about {left} min of its own history to go)" in found.summary
    (warning,) = [each for each in found.warnings if "15 minutes" in each]
    assert ("first minutes" in warning) is (secs > 400)


def test_a_cold_market_is_scored_on_absolute_scales() -> None:
    """One tick of spread is tight, 200,000 USDT within 10 bps are 65."""
    found = answer(quiet_rows(60), Normal())
    assert found.components is not None
    assert found.components.spread_stability == 100.0
    assert found.components.liquidity_depth == pytest.approx(65.0, abs=3.0)
    assert found.components.price_stability is None
    assert found.baseline_weight == 0.0
    assert found.health_score == answer(quiet_rows(60), None).health_score


@pytest.mark.parametrize("depth", [0.02, 1.0])
def test_the_score_does_not_jump_when_the_baseline_comes(depth: float) -> None:
    """A small coin is bad on the absolute scale and as usual for itself: the score goes from one to the other evenly,
    not by twelve points within a second."""
    watch = SymbolWatch(BTC)
    scores = []
    for second in range(1400):
        watch.second(quiet_row(second, depth=depth, mid=60_000.0 + 0.01 * (second // 7 % 5)), QUIET)
        if second >= 120:
            scores.append(ask(watch).health_score or 0.0)
    assert scores[-1] == pytest.approx(100.0, abs=1.0)
    assert max(abs(later - before) for before, later in pairwise(scores)) < 1.0
    if depth < 1.0:
        assert scores[0] < 75.0


# --- no score, or none of the market's --------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [quiet_rows(60), []], ids=["seen before", "never seen"])
def test_a_book_that_the_market_does_not_have_scores_0(rows: list[SecondRow]) -> None:
    found = answer(rows, None, invalid_reason="one side of the book is empty")
    assert (found.health_score, found.level, found.components) == (0.0, "Critical", None)
    assert found.summary == "BTCUSDT: health 0 (Critical): one side of the book is empty."
    assert found.reason == "one side of the book is empty"


@pytest.mark.parametrize("rows", [quiet_rows(60), []], ids=["seen before", "never seen"])
@pytest.mark.parametrize("reason", [None, "reconnecting to the exchange"])
def test_a_book_that_we_do_not_have_has_no_score(rows: list[SecondRow], reason: str | None) -> None:
    """0 would be said of the market. It is our connection."""
    found = answer(rows, warm().normal, status="syncing", unseen_reason=reason)
    assert (found.health_score, found.level, found.components, found.now) == (None, "Unknown", None, None)
    assert found.reason == (reason or "the book is not in sequence")
    assert found.summary.endswith("our connection, not the market.")
    assert not any(word in found.summary for word in VERDICTS)


def test_half_of_the_window_must_be_covered() -> None:
    found = answer(quiet_rows(10), None)
    assert (found.health_score, found.level) == (None, "Unknown")
    assert found.reason == (
        "10 of the requested 60 s are recorded, half of them are needed, and while the feed runs that takes 20 s more;"
        " a window of 10 s can be answered now"
    )
    assert "can be answered now" not in (answer(quiet_rows(9), None).reason or "")
    assert answer(quiet_rows(30), None).health_score is not None
    lost = [row(place, covered_ms=0, flags=int(RowFlag.DISCONNECTED)) for place in range(40)]
    assert answer([*lost, *quiet_rows(20, start=40)], warm().normal).health_score is None


# --- other quotes, other words ----------------------------------------------------------------------------------


def quoted_in(quote: str) -> SymbolSpec:
    return msgspec.structs.replace(BTC, symbol=f"ETH{quote}", base_asset="ETH", quote_asset=quote)


def test_depth_in_a_quote_without_a_dollar_rate_is_only_relative() -> None:
    """0.30 of the weight must not hang on a made-up rate, and neither must a class."""

    def of(normal: Normal | None, rate: float | None = None) -> HealthScoreAnswer:
        rows, span = quiet_rows(60), Span(T0, T0 + 60)
        facts = {"as_of_ms": span.end * 1000, "age_ms": 1, "usd_rate": rate}
        return health_score_answer(quoted_in("BTC"), rows, span, normal, status="live", **facts)  # type: ignore[arg-type]

    cold, warmed, rated = of(None), of(warm().normal), of(None, 60_000.0)
    assert cold.components is not None
    assert warmed.components is not None
    assert rated.components is not None
    assert cold.components.liquidity_depth is None
    assert warmed.components.liquidity_depth is not None
    assert rated.components.liquidity_depth == 100.0
    assert any("No dollar rate for BTC: no class" in each for each in cold.warnings)
    assert (warmed.market_class, warmed.round_trip_bps) == (None, None)
    assert "class" not in warmed.summary


@pytest.mark.parametrize(
    ("depth", "name", "said"),
    [
        (1.0, "A", "usually costs 0.5 bps"),
        (0.08, "B", "usually costs 6"),
        (0.02, "C", "usually cost"),
        (0.006, "D", "usually cost"),
        (0.004, "E", "usually do not fill within 100 bps"),
    ],
)
def test_the_class_says_what_ten_thousand_dollars_cost_whatever_is_usual(depth: float, name: str, said: str) -> None:
    watch = SymbolWatch(BTC)
    base = tuple(size * depth for size in SIZES["bid_band_base"])
    rows = [quiet_row(second, depth=depth) for second in range(1000)]
    feed(watch, changed(rows, **{**SIZES, "bid_band_base": base, "ask_band_base": base}))
    found = ask(watch)
    assert found.health_score is not None
    assert found.health_score > 90.0
    assert found.market_class == name
    assert f"class {name}: " in found.summary
    assert said in found.summary


def test_the_weakest_part_is_explained() -> None:
    watch = warm()
    feed(watch, [quiet_row(WARM_SECS + n, buy_quote=90_000.0, sell_quote=100.0) for n in range(60)])
    assert "weakest is flow balance at 3.4: 100 % buys" in ask(watch).summary
    watch = warm()
    feed(watch, [quiet_row(WARM_SECS + n, mid=60_000.0 + 400.0 * n) for n in range(5)])
    found = ask(watch)
    assert found.weakest_component == "price_stability"
    assert found.health_score == 39.0
    assert "weakest is price stability at 0 (0 now, " in found.summary
    assert ": mid moved " in found.summary


def test_the_detail_names_medians_and_what_is_now() -> None:
    watch = warm()
    feed(watch, changed([quiet_row(WARM_SECS + n) for n in range(10)], spread_mean=6.0))
    detail = ask(watch, detail=True).detail
    assert detail is not None
    assert (detail.spread_now_bps, detail.spread_bps) == (1.0, 0.001667)
    assert (detail.spread_times_now, detail.spread_times_most) == (2.0, 2.0)
    for name, field in type(detail).model_fields.items():
        assert field.description, name


def test_a_score_and_its_level_never_contradict_each_other() -> None:
    """80 is Excellent: 79.8 must not be called 80 and Good, nor 79.97."""
    watch = warm()
    for share in range(40, 110):
        rows = [quiet_row(WARM_SECS + n, buy_quote=100.0 * share, sell_quote=2_000.0) for n in range(60)]
        found = answer(rows, watch.normal)
        assert found.health_score is not None
        assert found.components is not None
        weakest = min(each for each in found.components.model_dump().values() if each is not None)
        assert (found.level == "Excellent") is (found.health_score >= 80.0 and weakest >= 50.0)
        assert f"health {found.health_score:g}/100 ({found.level})" in found.summary


def test_a_spread_below_the_floor_is_not_called_a_multiple() -> None:
    """0.0098 beside a usual 0.0015 bps and "1x": half a basis point hides both."""
    normal = warm().normal
    for spread, said in (
        (0.06, "0.01 bps, {when}, as usual (below 0.5 bps all spreads count alike)"),
        (6.0, "1 bps, {when}, 2x its usual"),
    ):
        rows = [quiet_row(WARM_SECS + n, spread_mean=spread) for n in range(60)]
        window = cut(rows, Span(rows[0].second, rows[-1].second + 1))
        found = health_of_window(window, (), normal, tick=0.01, age_ms=1, is_live=True, usd_rate=1.0)
        assert (
            weakest_figure(BTC, found, "spread_stability", 60)
            == f": {said.format(when='median of the 3 s to 13:04:20')}"
        )
        detail = answer(rows, normal, detail=True).detail
        assert detail is not None
        assert detail.spread_floor_bps == 0.5
