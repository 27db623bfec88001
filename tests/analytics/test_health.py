"""The worked scores of health, and what may and may not change them."""

from __future__ import annotations

import random
from itertools import pairwise
from math import inf
from statistics import fmean, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.rows import T0, generated_rows, row
from tests.analytics.watching import quiet_row, quiet_rows
from vibe_orderbook_mcp.analytics.health.score import (
    HARD,
    WEIGHTS,
    Component,
    HealthLevel,
    Part,
    activity_score,
    balance_score,
    depth_score,
    freshness_score,
    geometric_mean,
    health_of,
    level_of,
    market_class,
    spread_score,
    stability_score,
    thinner_score,
    usd_rate_of,
    wider_score,
)
from vibe_orderbook_mcp.analytics.health.seconds import (
    Health,
    Scale,
    Scored,
    absolute_place,
    health_of_window,
    is_broken,
    says_something,
    update_score,
)
from vibe_orderbook_mcp.analytics.usual.measures import Measures
from vibe_orderbook_mcp.analytics.usual.normal import Normal, UsualDepth, weight_of
from vibe_orderbook_mcp.analytics.windows import Span, cut
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow

TICK = 0.01
USUAL = Normal(
    seconds=3600,
    spread_bps=0.0016,
    spread_weight=1.0,
    depth=UsualDepth(10, 1, 2e5, 2e5),
    depth_weight=1.0,
    updates_per_s=40.0,
    minute_volume_quote=720_000.0,
    minutes_weight=1.0,
    price_weight=1.0,
)


def parts(
    spread: float | None, depth: float | None, stability: float | None, flow: float | None, pace: float | None
) -> dict[Component, Part]:
    given = zip(WEIGHTS, (spread, depth, stability, flow, pace), strict=True)
    return {name: Part(score) for name, score in given if score is not None}


def rounded(found: tuple[float | None, HealthLevel]) -> tuple[float, HealthLevel]:
    assert found[0] is not None
    return round(found[0], 6), found[1]


def test_the_scales() -> None:
    assert thinner_score(0.5) == pytest.approx(66.666667)
    assert wider_score(4) == pytest.approx(33.333333)
    assert stability_score(8) == pytest.approx(20.0)
    assert (stability_score(1.3), thinner_score(2.0), thinner_score(0.08)) == (100.0, 100.0, 0.0)
    assert thinner_score(352 / 37) == 100.0
    assert thinner_score(0.15) == pytest.approx(8.767814)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ([spread_score(x) for x in (0.1, 1, 50, 999)], [100, 100, 0, 0]),
        ([wider_score(x) for x in (0.5, 1, 2, 8, 99)], [100, 100, 66.7, 0, 0]),
        ([depth_score(x) for x in (0, 1e4, 1e6, 1e9)], [0, 0, 100, 100]),
        ([thinner_score(x) for x in (2, 1, 0.5, 0.125, 0)], [100, 100, 66.7, 0, 0]),
        ([stability_score(x) for x in (0, 2, 5, 11.32, 99)], [100, 100, 47.1, 0, 0]),
        ([activity_score(x) for x in (1, 2, 0.5, 16, 0)], [100, 75, 75, 0, 0]),
        ([freshness_score(x) for x in (0, 1000, 5500, 10_000, 99_999)], [100, 100, 50, 0, 0]),
    ],
)
def test_the_ends_of_the_scales(scale: list[float], expected: list[float]) -> None:
    assert scale == pytest.approx(expected, abs=0.05)


def test_the_balance() -> None:
    """One trade of 1 where 100 is usual is 96.15 and not 0; 90 against 10 is 36; no trades are not balanced."""
    assert balance_score(1, 0, 100) == pytest.approx(96.15, abs=0.01)
    assert balance_score(90, 10, 100) == pytest.approx(36.0)
    assert balance_score(0, 0, 100) is None


def now_and_window(per_second: list[float]) -> Scored:
    return Scored(median(per_second[-3:]), fmean(per_second[-60:]))


def test_a_drain_shows_in_its_second_second_and_is_forgotten_with_the_window() -> None:
    """Depth 8 % and spread 15 x from second 300 to 324."""

    def said(second: int) -> tuple[float, HealthLevel]:
        spread, depth = [
            now_and_window([bad if 300 <= each < 325 else 100.0 for each in range(second + 1)]).score
            for bad in (wider_score(15), thinner_score(0.08))
        ]
        return rounded(health_of(parts(spread, depth, 100.0, 92.0, 100.0)))

    assert said(299) == (98.4, "Excellent")
    assert said(300)[0] == pytest.approx(97.6, abs=0.05)
    for second in range(301, 326):
        assert said(second) == (19.0, "Critical")
    assert said(326) == (round(19 + 0.81 * (100 * 35 / 60), 6), "Good")
    assert said(384) == (98.4, "Excellent")
    scores = [said(second)[0] for second in range(326, 385)]
    assert scores == sorted(scores)


def test_a_price_that_runs_is_poor_whatever_the_book_holds() -> None:
    """A squeeze: depth refills within each second."""
    assert rounded(health_of(parts(93.0, 90.0, 100.0, 60.0, 100.0))) == (87.6, "Excellent")
    assert rounded(health_of(parts(93.0, 90.0, stability_score(14), 60.0, 100.0))) == (39.0, "Poor")


def test_the_two_caps() -> None:
    """Without depth, or with an open spread, Poor at best; without both Critical."""
    assert health_of(parts(100.0, 0.0, 100.0, 100.0, 100.0)) == (39.0, "Poor")
    assert health_of(parts(0.0, 100.0, 100.0, 100.0, 100.0)) == (39.0, "Poor")
    assert health_of(parts(0.0, 0.0, 100.0, 100.0, 100.0)) == (19.0, "Critical")
    assert health_of(parts(100.0, 100.0, 100.0, 0.0, 100.0)) == (80.0, "Good")
    assert health_of(parts(100.0, 100.0, 100.0, 100.0, 0.0)) == (85.0, "Good")


def test_what_is_missing_gives_its_weight_to_the_others() -> None:
    """One alone makes no score."""
    score, _ = health_of(parts(98.0, 90.0, 100.0, None, 80.0))
    assert score == pytest.approx((0.2 * 98 + 0.3 * 90 + 0.15 * 100 + 0.15 * 80) / 0.8)
    assert health_of(parts(None, None, None, 50.0, 100.0)) == (None, "Unknown")
    assert health_of({}) == (None, "Unknown")
    assert health_of(parts(90.0, 90.0, None, None, None))[0] == pytest.approx(90.0)


@pytest.mark.parametrize(
    ("score", "level"),
    [(80, "Excellent"), (79.9, "Good"), (60, "Good"), (59.9, "Fair"), (40, "Fair"), (20, "Poor"), (19.9, "Critical")],
)
def test_the_levels(score: float, level: HealthLevel) -> None:
    assert level_of(score, 50.0) == level
    assert level_of(score, 49.9) == ("Good" if level == "Excellent" else level)


@pytest.mark.parametrize(
    ("cost", "name"), [(0.01, "A"), (2.0, "A"), (2.1, "B"), (10, "B"), (30, "C"), (100, "D"), (100.1, "E"), (inf, "E")]
)
def test_the_classes(cost: float, name: str) -> None:
    assert market_class(cost) == name


def test_dollars() -> None:
    assert (usd_rate_of("USDC"), usd_rate_of("BTC"), usd_rate_of("EUR")) == (1.0, None, None)


def test_no_component_that_falls_raises_the_score() -> None:
    """Whatever is known, and however far it is trusted."""
    rng = random.Random(1)
    for _ in range(4000):
        names = rng.sample(list(WEIGHTS), rng.randint(1, 5))
        before = {name: Part(rng.uniform(0, 100), rng.choice([1.0, rng.random()])) for name in names}
        name = rng.choice(names)
        after = {**before, name: before[name]._replace(score=before[name].score * rng.random())}
        scores = health_of(before)[0], health_of(after)[0]
        assert (scores[0] is None) is (scores[1] is None)
        if scores[0] is not None and scores[1] is not None:
            assert scores[1] <= scores[0] + 1e-9


def test_trust_that_grows_changes_the_score_by_and_by() -> None:
    """A yardstick that has just come must not move the score at once, bad as what it shows may be."""
    for name in HARD:
        known = {each: Part(90.0) for each in WEIGHTS if each != name}
        scores = [health_of(known)[0] or 0.0]
        scores += [health_of({**known, name: Part(0.0, step / 100)})[0] or 0.0 for step in range(101)]
        assert scores[0] == scores[1]
        assert scores == sorted(scores, reverse=True)
        assert max(before - after for before, after in pairwise(scores)) < 1.0


# --- seconds ----------------------------------------------------------------------------------------------------


def health(
    rows: list[SecondRow], normal: Normal = USUAL, *, z: dict[int, float] | None = None, age_ms: int = 100
) -> Health:
    end = rows[-1].second + 1
    measures = [Measures(each.second, price_z=(z or {}).get(each.second - T0, 1.0)) for each in rows]
    return health_of_window(
        cut(rows, Span(end - 60, end)), measures, normal, tick=TICK, age_ms=age_ms, is_live=True, usd_rate=1.0
    )


def score(rows: list[SecondRow], normal: Normal = USUAL, *, z: dict[int, float] | None = None) -> float:
    found, _ = health_of(health(rows, normal, z=z).parts())
    assert found is not None
    return found


def drained(second: int) -> SecondRow:
    """Spread 0.16 to 96 bps wide, a twelfth of the depth within every band."""
    quote = tuple(band * 0.08 for band in (1e5, 2e5, 5e5, 1e6, 2e6))
    return quiet_row(second, spread_mean=60.0, bid_band_quote=quote)


def test_a_drain_of_rows_is_below_40_in_its_second_second() -> None:
    """And comes back the second after its end but one."""
    rows = quiet_rows(100, start=0)
    for second in range(25):
        rows.append(drained(100 + second))
        assert score(rows) < 40.0 or second == 0
    assert score(rows) == pytest.approx(19.0)
    rows += [quiet_row(125), quiet_row(126)]
    assert score(rows) == pytest.approx(19 + 0.81 * 100 * 35 / 60, abs=1.0)
    rows += [quiet_row(127 + second) for second in range(60)]
    assert score(rows) > 90.0


@pytest.mark.parametrize("worse", ["spread", "depth", "price"])
def test_one_of_the_three_alone_makes_it_poor(worse: str) -> None:
    rows = quiet_rows(100)
    bad: dict[str, object] = {
        "spread": {"spread_mean": 60.0},
        "depth": {"ask_band_quote": (0.0, 2e3, 5e5, 1e6, 2e6)},
    }
    rows += [quiet_row(100 + n, **bad.get(worse, {})) for n in range(2)]  # type: ignore[arg-type]  # fields by name
    assert score(rows, z={100: 14.0, 101: 14.0} if worse == "price" else None) <= 39.0


def scored(
    what: list[tuple[float, float, float, float]], normal: Normal, age_ms: int, traded: tuple[float, float]
) -> float | None:
    """Ten seconds of spread in bps, depth of bids and of asks, and move of mid."""
    rows = [
        row(
            n,
            mid=100.0,
            best_bid=99.99,
            best_ask=100.01,
            spread_mean=each[0] / 100.0,
            ids=40,
            bid_band_quote=(0.0, each[1], each[1], each[1], each[1]),
            ask_band_quote=(0.0, each[2], each[2], each[2], each[2]),
            buy_quote=traded[0],
            sell_quote=traded[1],
        )
        for n, each in enumerate(what)
    ]
    measures = [Measures(T0 + n, price_z=each[3]) for n, each in enumerate(what)]
    found = health_of_window(
        cut(rows, Span(T0, T0 + 10)),
        measures,
        normal,
        tick=TICK,
        age_ms=age_ms,
        is_live=True,
        usd_rate=1.0,
    )
    return health_of(found.parts())[0]


def test_what_gets_worse_in_any_second_never_raises_the_score() -> None:
    """2,500 windows: wider, thinner, further, older, more one-sided, at any of the weights of a young yardstick."""
    rng = random.Random(7)
    for _ in range(2500):
        weight = rng.choice([0.0, 1.0, rng.random()])
        normal = Normal(
            seconds=900,
            spread_bps=rng.uniform(0.5, 20.0),
            spread_weight=weight,
            depth=UsualDepth(25, 2, rng.uniform(1e4, 1e6), rng.uniform(1e4, 1e6)),
            depth_weight=weight,
            minute_volume_quote=rng.uniform(0.0, 1e5),
            minutes_weight=weight,
            price_weight=weight,
        )
        seconds = [
            (rng.uniform(0.01, 500.0), rng.uniform(0.0, 2e6), rng.uniform(0.0, 2e6), rng.uniform(0.0, 20.0))
            for _ in range(10)
        ]
        age, buys, sells = rng.randint(0, 12_000), rng.uniform(0.0, 1e4), rng.uniform(0.0, 1e4)
        worse, place = list(seconds), rng.randrange(10)
        spread, bid, ask, z = seconds[place]
        older, further = age, (buys, sells)
        match rng.randrange(6):
            case 0:
                worse[place] = spread * rng.uniform(1, 20), bid, ask, z
            case 1:
                worse[place] = spread, bid * rng.random(), ask, z
            case 2:
                worse[place] = spread, bid, ask * rng.random(), z
            case 3:
                worse[place] = spread, bid, ask, z * rng.uniform(1, 10)
            case 4:
                older = age + rng.randint(0, 9_000)
            case _:
                gap = min(further)
                further = (buys - gap / 2, sells + gap / 2) if buys < sells else (buys + gap / 2, sells - gap / 2)

        before, after = scored(seconds, normal, age, (buys, sells)), scored(worse, normal, older, further)
        assert before is not None
        assert after is not None
        assert after <= before + 1e-9


def test_a_gap_counts_in_neither_now_nor_window() -> None:
    """Our connection says nothing of the market: what was known stays."""
    rows = [*quiet_rows(58), row(58, flags=int(RowFlag.GAP)), row(59, flags=int(RowFlag.RESYNC), covered_ms=300)]
    found = health(rows)
    assert (len(found.seconds), len(found.latest)) == (58, 1)
    assert score(rows) == pytest.approx(score(quiet_rows(58)), abs=1.0)
    lost = [*quiet_rows(50), *(row(50 + n, flags=int(RowFlag.DISCONNECTED), covered_ms=0) for n in range(10))]
    assert health(lost).scores["spread_stability"].now is None
    assert health(lost).scores["spread_stability"].score == pytest.approx(100.0)


def test_a_book_that_is_one_sided_or_crossed_at_the_exchange_scores_0() -> None:
    rows = quiet_rows(57)
    empty = [row(57 + n, best_bid=60_000.0, flags=int(RowFlag.ONE_SIDED), covered_ms=0) for n in (0, 1)]
    crossed = [quiet_row(57 + n, best_bid=60_001.0, best_ask=60_000.0, flags=int(RowFlag.CROSSED)) for n in (0, 1)]
    for broken in (empty, crossed):
        assert all(is_broken(each) and says_something(each) for each in broken)
        assert score([*rows, *broken]) == pytest.approx(19.0)
    # A one-sided snapshot of a resync is ours.
    assert not says_something(quiet_row(1, flags=int(RowFlag.ONE_SIDED | RowFlag.RESYNC)))


def test_a_majors_spread_may_widen_by_ticks() -> None:
    """From 0.01 to 0.51 USD of 60 000 is 0.0016 to 0.08 bp: not ill health."""
    scale = Scale(USUAL, TICK, 1.0)
    assert scale.second(quiet_row(0, spread_mean=0.51), None).spread == 100.0


def test_depth_is_that_of_the_own_band_on_a_coarse_tick() -> None:
    """A tick of 8 bps: the touch alone lies within 10 bps. What counts are 50 bps, each side against its own usual."""
    normal = Normal(
        seconds=9000,
        spread_bps=8.2,
        spread_weight=1.0,
        depth=UsualDepth(50, 3, 40_000.0, 20_000.0),
        depth_weight=1.0,
    )
    scale = Scale(normal, 0.001, 1.0)

    def second(bid: float, ask: float) -> tuple[float, float | None]:
        found = scale.second(
            quiet_row(
                0,
                mid=1.2205,
                best_bid=1.22,
                best_ask=1.221,
                spread_mean=0.001,
                bid_band_quote=(37.0, 352.0, 9e3, bid, 2e5),
                ask_band_quote=(37.0, 352.0, 9e3, ask, 2e5),
            ),
            None,
        )
        assert found.spread == 100.0
        return round(found.depth or 0.0, 3), found.depth_share

    assert second(40_000.0, 20_000.0) == (100.0, 1.0)
    assert second(20_000.0, 20_000.0) == (66.667, 0.5)  # half of the bids are gone
    assert second(6_000.0, 20_000.0) == (8.768, 0.15)
    assert second(40_000.0, 2_500.0) == (0.0, 0.125)


def test_without_a_usual_depth_is_looked_at_where_a_coarse_tick_has_some() -> None:
    """10 bps, or the band that holds four ticks."""
    assert [absolute_place(bps) for bps in (0.001, 2.5, 2.6, 8.2, 20, 99)] == [1, 1, 2, 3, 4, 4]


def test_a_book_that_is_not_known_that_far_has_no_depth_rather_than_little() -> None:
    scale = Scale(USUAL, TICK, None)
    assert scale.second(quiet_row(0, bid_truncated=0b11110), None).depth is None
    assert scale.second(quiet_row(0, bid_truncated=0b11100), None).depth == 100.0


def test_the_weights_of_a_young_yardstick() -> None:
    """Nothing below five minutes, all from fifteen on, and evenly in between."""
    assert [weight_of(secs) for secs in (0, 300, 450, 600, 900, 86_400)] == [0.0, 0.0, 0.25, 0.5, 1.0, 1.0]
    assert [weight_of(minutes, 60) for minutes in (5, 10, 15)] == [0.0, 0.5, 1.0]
    assert update_score(100, 16.0, 0.0) == 100.0
    assert update_score(100, 16.0, 0.5) == 50.0
    assert update_score(100, 16.0, 1.0) == 0.0
    assert update_score(100, None, 1.0) == 100.0
    assert geometric_mean([None]) is None


def test_updates_of_a_quiet_symbol_are_fresh() -> None:
    """On a live connection: the feed knows its pace."""
    rows = [quiet_row(second, ids=0, rows=0, buy_quote=0.0, sell_quote=0.0) for second in range(60)]
    found = health(rows, Normal(), age_ms=9_000)
    assert found.scores["update_rate"].score == 100.0
    assert found.scores["flow_balance"].score is None
    assert health(quiet_rows(60), age_ms=9_000).scores["update_rate"].score == pytest.approx(33.3, abs=2.0)


@settings(max_examples=80, deadline=None)
@given(generated_rows(), st.booleans(), st.integers(0, 100_000))
def test_any_rows_give_scores_within_their_scale(rows: list[SecondRow], is_warm: bool, age_ms: int) -> None:
    """Holes, zeros, one-sided books: 0 to 100 or null, never NaN."""
    found = health_of_window(
        cut(rows, Span(T0 - 20, T0 + 40)),
        [],
        USUAL if is_warm else Normal(),
        tick=TICK,
        age_ms=age_ms,
        is_live=True,
        usd_rate=1.0,
    )
    for scored in found.scores.values():
        assert all(each is None or 0.0 <= each <= 100.0 for each in (*scored, scored.score))
    whole, _ = health_of(found.parts())
    assert whole is None or 0.0 <= whole <= 100.0
