"""The answer of `get_microstructure_health`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any, Literal

from pydantic import ConfigDict, Field

from vibe_orderbook_mcp.analytics.health.score import (
    WEIGHTS,
    Component,
    HealthLevel,
    MarketClass,
    Part,
    health_of,
    level_of,
    market_class,
    usd_rate_of,
)
from vibe_orderbook_mcp.analytics.health.seconds import NOW_SECS, Health, band_bps, health_of_window
from vibe_orderbook_mcp.analytics.health.text import PHRASES, SILENT_MOST, health_summary
from vibe_orderbook_mcp.analytics.numbers import decimals, secs_text, significant
from vibe_orderbook_mcp.analytics.results import (
    Answer,
    Window,
    WindowedEnvelope,
    about,
    iso,
    iso_second,
    left_out_if_none,
)
from vibe_orderbook_mcp.analytics.usual.measures import Measures
from vibe_orderbook_mcp.analytics.usual.normal import FULL_SECS, Normal
from vibe_orderbook_mcp.analytics.usual.own_band import band_change_text
from vibe_orderbook_mcp.analytics.window_notes import age_warnings, newest_used_ms, resync_text
from vibe_orderbook_mcp.analytics.windows import (
    MIN_COVERAGE,
    OK_COVERAGE,
    SHORTEST_WINDOW_SECS,
    Cut,
    Rows,
    Span,
    cut,
    longest_covered,
    secs_until,
)
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.moment import Status
from vibe_orderbook_mcp.model.symbol import SymbolSpec


class HealthComponents(Answer):
    """0 to 100 each; null: not measurable, so the others share its weight."""

    spread_stability: float | None = Field(description="Spread against its usual value (weight 0.20).")
    liquidity_depth: float | None = Field(
        description="Depth of the thinner side against its usual value (weight 0.30)."
    )
    price_stability: float | None = Field(description="Move of mid against usual moves (weight 0.15).")
    flow_balance: float | None = Field(description="Takers' buys against sells; 100 is even (weight 0.20).")
    update_rate: float | None = Field(description="Freshness and usual pace of book updates (weight 0.15).")


class HealthDetail(Answer):
    """The inputs of the components. "usual" is the median of the last 24 h; null: unknown.

    "now" is the median of the three seconds before `window.end`.
    """

    spread_now_bps: float | None = Field(description="In basis points of mid.")
    spread_bps: float | None = Field(description="Median of the window's seconds.")
    spread_usual_bps: float | None = Field(description="Usual value.")
    spread_floor_bps: float = Field(description="One tick, at least 0.5: spreads below it count as this.")
    spread_times_now: float | None = Field(description="Spread now / usual, each at least spread_floor_bps.")
    spread_times_most: float | None = Field(description="Its maximum over the seconds of the window.")
    band_bps: int = Field(description="The symbol's own band, bps from mid: depth is measured within it.")
    depth_now_quote: float | None = Field(description="Depth of `thinner_side`, quote units.")
    depth_usual_bid_quote: float | None = Field(description="Usual depth of bids.")
    depth_usual_ask_quote: float | None = Field(description="Usual depth of asks.")
    depth_share_now: float | None = Field(description="Depth now / usual, on the side with the lower ratio.")
    depth_share_least: float | None = Field(description="Its minimum over the seconds of the window.")
    price_z_now: float | None = Field(description="Move of mid over 1, 10 or 60 s / its usual size; 2 is ordinary.")
    price_z_most: float | None = Field(description="Its maximum over the seconds of the window.")
    buy_volume_quote: float = Field(description="Takers' buys in quote units.")
    sell_volume_quote: float = Field(description="Takers' sells in quote units.")
    usual_volume_quote: float | None = Field(description="Usual volume of a window of this length, quote units.")
    updates_per_s: float | None = Field(description="Book changes per second of the window.")
    updates_usual_per_s: float | None = Field(description="Usual value.")
    updates_times: float | None = Field(description="Updates / usual.")


class HealthScoreAnswer(WindowedEnvelope):
    """How close the market is to its own usual state, the components of that, and the cost of trading."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    health_score: float | None = Field(
        description="0 (unusable) to 100 (as usual). Null: too little was measurable, or this server has no book; see"
        " `reason`. 0 without components: the exchange's book is empty, one-sided or crossed."
    )
    level: HealthLevel = Field(
        description="Excellent >= 80 (every component >= 50), Good >= 60, Fair >= 40, Poor >= 20, Critical; Unknown:"
        " no score, or below 15 minutes of history."
    )
    market_class: MarketClass | None = Field(
        alias="class",
        description="Cost of a 10,000 USD round trip, median of the last 24 h: A <= 2 bps, B <= 10, C <= 30,"
        " D <= 100, E more or not fillable. No part of the score. Null: no dollar quote, or below 15 minutes.",
    )
    round_trip_bps: float | None = Field(description="That cost in bps. Null: as `class`, or not fillable.")
    thinner_side: Side | None = Field(
        description="bid or ask: the side with the lower depth / usual (below 15 minutes: with less depth), in the 3 "
        "s before"
        " `window.end`. Null: unknown."
    )
    band_bps: int = Field(description="The symbol's own band, bps from mid: depth is measured within it.")
    weakest_component: Component | None = Field(description="The lowest component.")
    components: HealthComponents | None = Field(
        description="The components of the score, each the smaller of now and window. Null without a score."
    )
    now: HealthComponents | None = Field(
        description="Components of the last 3 seconds (median). Flow and updates cover the window."
    )
    window_mean: HealthComponents | None = Field(
        description="Components of the window: the mean of its seconds' scores."
    )
    baseline_secs: int = Field(description="Seconds of the last 24 h behind 'usual'.")
    baseline: str | None = left_out_if_none("warming_up: below 15 minutes of history, so no verdict.")
    baseline_weight: float | None = left_out_if_none(
        "Weight of this symbol's own usual against a general scale, 0 to 1; absent: only its own usual counts."
    )
    reason: str | None = left_out_if_none("Why there is no score, or why it is 0.")
    detail: HealthDetail | None = left_out_if_none("Present with detail=true.")


def health_score_answer(
    spec: SymbolSpec,
    rows: Rows,
    span: Span,
    normal: Normal | None,
    *,
    as_of_ms: int,
    age_ms: int,
    status: Status,
    measures: Iterable[Measures] = (),
    invalid_reason: str | None = None,
    unseen_reason: str | None = None,
    usd_rate: float | None = None,
    detail: bool = False,
    warnings: Sequence[str] = (),
) -> HealthScoreAnswer:
    """The answer of `get_microstructure_health`.

    `measures` are those of the rows (`SymbolWatch.measures`); without them price stability is unknown. With
    `invalid_reason` (the market's book is invalid now) the score is 0. With `unseen_reason` (this server has no book in
    sequence), or with less than half of the window covered, there is no score. `usd_rate` is dollars per quote unit if
    the caller knows it; for dollar-like quotes it is 1.
    """
    window, normal = cut(rows, span), normal or Normal()
    if invalid_reason is None and unseen_reason is None and status == "syncing":
        unseen_reason = "the book is not in sequence"
    head = {**_head(spec, window, as_of_ms, age_ms, status), **_usual_of(spec, normal, window)}
    reason = invalid_reason or unseen_reason or (_uncovered(window) if window.coverage < MIN_COVERAGE else None)
    if reason is not None:
        is_market = invalid_reason is not None
        said = _without_words(reason, is_market=is_market, is_ours=unseen_reason is not None)
        if status == "stale" and not is_market:
            said = f"no update for {age_ms / 1000:.0f} s; {said}"
        told = [*warnings, *_about_the_seconds(window, normal, is_live=status == "live")]
        return _without_score(head, f"{spec.symbol}: {said}", told, reason, 0.0 if is_market else None)
    rate = usd_rate if usd_rate is not None else usd_rate_of(spec.quote_asset)
    found = health_of_window(
        window,
        measures,
        normal,
        tick=float(spec.tick_size),
        age_ms=age_ms,
        is_live=status == "live",
        usd_rate=rate,
    )
    parts = found.parts()
    is_silent = status == "stale"
    score, level = _told(parts, normal, is_silent=is_silent)
    weakest = None if score is None else min(parts.items(), key=lambda part: part[1].felt)[0]
    silent_secs = age_ms / 1000 if is_silent else None
    resynced = resync_text((row for row in window.rows if row.second >= span.end - NOW_SECS), is_live=status == "live")
    summary = health_summary(spec, found, normal, score, level, weakest, secs=span.secs, silent_secs=silent_secs)
    return HealthScoreAnswer(
        **head,
        summary=summary if resynced is None else f"{summary} {resynced}",
        warnings=[
            *warnings,
            *age_warnings(window),
            *_about_the_seconds(window, normal, is_live=status == "live"),
            *_warnings(spec, window, parts, normal, rate),
        ],
        health_score=score,
        level=level,
        thinner_side=None if found.thinnest is None else found.thinnest.thinner_side,
        weakest_component=weakest,
        components=_components(found, "score"),
        now=_components(found, "now"),
        window_mean=_components(found, "window"),
        detail=_detail(found, normal) if detail else None,
    )


def _told(parts: dict[Component, Part], normal: Normal, *, is_silent: bool) -> tuple[float | None, HealthLevel]:
    """The score to one decimal, and the level of that rounded score."""
    score = decimals(health_of(parts)[0], 1)
    if score is None:
        return None, "Unknown"
    if is_silent:
        score = min(score, SILENT_MOST)
    weakest = min(round(part.felt, 1) for part in parts.values())
    return score, level_of(score, weakest) if normal.is_warm else "Unknown"


def _without_words(reason: str, *, is_market: bool, is_ours: bool) -> str:
    if is_market:
        return f"health 0 (Critical): {reason}."
    if is_ours:
        return f"no health score: this server has no valid book now ({reason}). That is our connection, not the market."
    return f"no health score: {reason}."


def _without_score(
    head: dict[str, Any], summary: str, warnings: Sequence[str], reason: str, score: float | None
) -> HealthScoreAnswer:
    return HealthScoreAnswer(
        **head,
        summary=summary,
        warnings=list(warnings),
        health_score=score,
        level="Unknown" if score is None else "Critical",
        thinner_side=None,
        weakest_component=None,
        components=None,
        now=None,
        window_mean=None,
        reason=reason,
    )


def _head(spec: SymbolSpec, window: Cut, as_of_ms: int, age_ms: int, status: Status) -> dict[str, Any]:
    """The fields that every windowed answer starts with."""
    span = window.span
    return {
        **about(spec),
        "as_of": iso(newest_used_ms(window, as_of_ms)),
        "age_ms": age_ms,
        "status": status,
        "window": Window(
            start=iso_second(span.start),
            end=iso_second(span.end),
            requested_secs=span.secs,
            covered_secs=decimals(window.covered_secs, 3),
            coverage=decimals(window.coverage, 4),
            samples=len(window.rows),
        ),
    }


def _usual_of(spec: SymbolSpec, normal: Normal, window: Cut) -> dict[str, Any]:
    """The fields that do not depend on the present market."""
    cost = normal.round_trip_bps if usd_rate_of(spec.quote_asset) is not None else None
    return {
        "market_class": None if cost is None else market_class(cost),
        "round_trip_bps": None if cost is None or cost == inf else significant(cost, 3),
        "band_bps": band_bps(normal, float(spec.tick_size), window.mid_end),
        "baseline_secs": normal.seconds,
        "baseline": None if normal.is_warm else "warming_up",
        "baseline_weight": None if normal.is_warm else decimals(normal.spread_weight, 3),
    }


def _components(found: Health, of: Literal["score", "now", "window"]) -> HealthComponents:
    parts = found.parts(of)
    return HealthComponents(**{name: decimals(parts[name].score, 1) if name in parts else None for name in WEIGHTS})


def _uncovered(window: Cut) -> str:
    wait, shorter = secs_until(window, MIN_COVERAGE), longest_covered(window)
    now = f"; a window of {shorter} s can be answered now" if shorter >= SHORTEST_WINDOW_SECS else ""
    return (
        f"{secs_text(window.covered_secs)} of the requested {window.span.secs} s are recorded, half of them are needed,"
        f" and while the feed runs that takes {wait} s more{now}"
    )


def _detail(found: Health, normal: Normal) -> HealthDetail:
    depth, thinnest = normal.depth, found.thinnest
    return HealthDetail(
        spread_now_bps=significant(found.latest_of("spread_bps"), 4),
        spread_bps=significant(found.median_of("spread_bps"), 4),
        spread_usual_bps=significant(normal.spread_bps, 4),
        spread_floor_bps=significant(found.spread_floor_bps, 4),
        spread_times_now=significant(found.latest_of("spread_times"), 3),
        spread_times_most=significant(found.most_of("spread_times"), 3),
        band_bps=found.band_bps,
        depth_now_quote=None if thinnest is None else significant(thinnest.depth_quote),
        depth_usual_bid_quote=None if depth is None else significant(depth.bid, 4),
        depth_usual_ask_quote=None if depth is None else significant(depth.ask, 4),
        depth_share_now=None if thinnest is None else significant(thinnest.depth_share, 3),
        depth_share_least=significant(found.least_of("depth_share"), 3),
        price_z_now=significant(found.latest_of("price_z"), 3),
        price_z_most=significant(found.most_of("price_z"), 3),
        buy_volume_quote=significant(found.buy_quote),
        sell_volume_quote=significant(found.sell_quote),
        usual_volume_quote=significant(found.usual_quote, 4),
        updates_per_s=significant(found.updates_per_s, 4),
        updates_usual_per_s=significant(normal.updates_per_s, 4),
        updates_times=significant(found.updates_times, 3),
    )


def _about_the_seconds(window: Cut, normal: Normal, *, is_live: bool) -> list[str]:
    """Warnings: components that were left out, and a changed own band."""
    said = (resync_text(window.rows, is_live=is_live), band_change_text(normal.band_before_bps, normal.own_band_bps))
    return [each for each in said if each is not None]


def _warnings(
    spec: SymbolSpec, window: Cut, parts: dict[Component, Part], normal: Normal, rate: float | None
) -> list[str]:
    out = []
    if window.coverage < OK_COVERAGE:
        out.append(f"Only {secs_text(window.covered_secs)} of {window.span.secs} s have data.")
    if not normal.is_warm:
        own = " and partly on its own first minutes" if normal.spread_weight > 0.0 else ""
        out.append(f"Under {FULL_SECS // 60} minutes of history: scored on general scales{own}; no verdict yet.")
    if rate is None:
        out.append(f"No dollar rate for {spec.quote_asset}: no class, and depth is only compared with its own usual.")
    missing = [PHRASES[name] for name in WEIGHTS if name not in parts]
    if missing:
        out.append(f"Not measurable and left out: {', '.join(missing)}.")
    return out
