"""The answer of `get_microstructure_health`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import Field

from vibe_orderbook_mcp.analytics.baseline import Normal
from vibe_orderbook_mcp.analytics.health import (
    WEIGHTS,
    Component,
    HealthInputs,
    HealthLevel,
    component_scores,
    health_inputs,
    level_of,
    score_of,
    usd_rate_of,
)
from vibe_orderbook_mcp.analytics.numbers import decimals, readable, significant
from vibe_orderbook_mcp.analytics.results import (
    Answer,
    Status,
    Window,
    WindowedEnvelope,
    iso,
    iso_second,
    left_out_if_none,
)
from vibe_orderbook_mcp.analytics.windows import (
    OK_COVERAGE,
    Cut,
    Rows,
    Span,
    check_coverage,
    cut,
)
from vibe_orderbook_mcp.core.symbol import SymbolSpec

# A market of which nothing is heard may be anything by now: Poor at best.
SILENT_MOST: Final = 39.0
PHRASES: dict[Component, str] = {
    "spread_stability": "spread",
    "liquidity_depth": "depth",
    "flow_balance": "flow balance",
    "update_rate": "update rate",
}


class HealthComponents(Answer):
    """0 to 100 each; null: not measurable, so its weight is shared among the others."""

    spread_stability: float | None = Field(description="How tight and steady the spread is (weight 0.25).")
    liquidity_depth: float | None = Field(description="Depth within 10 bps of mid on the thinner side (weight 0.35).")
    flow_balance: float | None = Field(description="Takers' buys against sells; 100 is even (weight 0.25).")
    update_rate: float | None = Field(description="Freshness and usual pace of book updates (weight 0.15).")


class HealthDetail(Answer):
    """What the components were computed from. "usual" is the median of the last 24 h; null: not known."""

    spread_bps: float | None = Field(description="Median of the window's seconds, in basis points of mid.")
    spread_usual_bps: float | None = Field(description="Its usual value.")
    spread_times: float | None = Field(description="Spread / usual, both at least 1 tick and 0.5 bp.")
    spread_stable_share: float | None = Field(description="Share of seconds with a spread up to twice the median.")
    depth_10bps_quote: float | None = Field(description="Thinner side within 10 bps of mid, quote units (median).")
    depth_usual_quote: float | None = Field(description="Its usual value.")
    depth_share: float | None = Field(description="Depth / usual.")
    buy_volume_quote: float = Field(description="Takers' buys in quote units.")
    sell_volume_quote: float = Field(description="Takers' sells in quote units.")
    usual_volume_quote: float | None = Field(description="Usual volume of a window of this length, quote units.")
    updates_per_s: float | None = Field(description="Book changes per second.")
    updates_usual_per_s: float | None = Field(description="Its usual value.")
    updates_times: float | None = Field(description="Updates / usual.")


class HealthScoreAnswer(WindowedEnvelope):
    """One number for how well the market works now, and what it is made of."""

    health_score: float | None = Field(
        description="0 (unusable) to 100. Null: too little could be measured. 0 without components: no valid book."
    )
    level: HealthLevel = Field(
        description="Excellent >= 80 (every component >= 50), Good >= 60, Fair >= 40, Poor >= 20, Critical; Unknown."
    )
    weakest_component: Component | None = Field(description="The lowest component, to be looked at first.")
    components: HealthComponents | None = Field(description="Null without a valid book.")
    baseline_secs: int = Field(description="Seconds of the last 24 h that 'usual' rests on; below 900 it is left out.")
    baseline: str | None = left_out_if_none("warming_up: compared with absolute scales only.")
    reason: str | None = left_out_if_none("Why the book is not valid.")
    detail: HealthDetail | None = left_out_if_none("Present when asked for with detail=true.")


def health_score_answer(
    spec: SymbolSpec,
    rows: Rows,
    span: Span,
    normal: Normal | None,
    *,
    as_of_ms: int,
    age_ms: int,
    status: Status,
    invalid_reason: str | None = None,
    unseen_reason: str | None = None,
    usd_rate: float | None = None,
    detail: bool = False,
    warnings: Sequence[str] = (),
) -> HealthScoreAnswer:
    """The answer of `get_microstructure_health`, or a `Refusal` when less than half of the window is covered.

    `invalid_reason` says what the market's book lacks now, `unseen_reason` why this server has no book in sequence;
    with either the score is 0. `usd_rate` is dollars per quote unit where the caller knows it; for dollar-like quotes
    it is 1.
    """
    if invalid_reason is None and unseen_reason is None and status == "syncing":
        unseen_reason = "the book is not in sequence"
    reason = invalid_reason or unseen_reason
    window = cut(rows, span) if reason is not None else check_coverage(spec.symbol, rows, span)
    head = _head(spec, window, as_of_ms, age_ms, status)
    if reason is not None:
        summary = f"{spec.symbol}: health 0 (Critical): {reason}."
        if invalid_reason is None:
            summary = (
                f"{spec.symbol}: no health to be told (0 stands for none): this server has no valid book at the moment,"
                f" {reason}. That is our connection, not the market."
            )
        return HealthScoreAnswer(
            **head,
            summary=summary,
            warnings=list(warnings),
            health_score=0.0,
            level="Critical",
            weakest_component=None,
            components=None,
            baseline_secs=0 if normal is None else normal.seconds,
            reason=reason,
        )
    tick, mid = float(spec.tick_size), window.mid_end
    inputs = health_inputs(window, normal, age_ms=age_ms, tick=tick)
    rate = usd_rate if usd_rate is not None else usd_rate_of(spec.quote_asset)
    parts = component_scores(
        inputs,
        tick_bps=None if mid is None or mid <= 0.0 else 1e4 * tick / mid,
        is_live=status == "live",
        usd_rate=rate,
    )
    score, level = score_of(parts)
    is_silent = status == "stale"
    if is_silent and score is not None and score > SILENT_MOST:
        score, level = SILENT_MOST, level_of(SILENT_MOST, SILENT_MOST)
    known = {name: part for name, part in parts.items() if part is not None}
    weakest = min(known.items(), key=lambda part: part[1])[0] if known else None
    is_warm = inputs.spread_usual_bps is not None
    return HealthScoreAnswer(
        **head,
        summary=_summary(spec, inputs, known, score, level, weakest, is_silent=is_silent),
        warnings=[*warnings, *_warnings(spec, window, known, inputs, rate)],
        health_score=decimals(score, 1),
        level=level,
        weakest_component=weakest,
        components=HealthComponents(
            spread_stability=decimals(parts["spread_stability"], 1),
            liquidity_depth=decimals(parts["liquidity_depth"], 1),
            flow_balance=decimals(parts["flow_balance"], 1),
            update_rate=decimals(parts["update_rate"], 1),
        ),
        baseline_secs=0 if normal is None else normal.seconds,
        baseline=None if is_warm else "warming_up",
        detail=_detail(inputs) if detail else None,
    )


def _head(spec: SymbolSpec, window: Cut, as_of_ms: int, age_ms: int, status: Status) -> dict[str, Any]:
    """The fields that every windowed answer starts with."""
    span = window.span
    return {
        "symbol": spec.symbol,
        "as_of": iso(as_of_ms),
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


def _detail(inputs: HealthInputs) -> HealthDetail:
    return HealthDetail(
        spread_bps=significant(inputs.spread_bps, 4),
        spread_usual_bps=significant(inputs.spread_usual_bps, 4),
        spread_times=significant(inputs.spread_times, 3),
        spread_stable_share=decimals(inputs.spread_stable_share, 3),
        depth_10bps_quote=significant(inputs.depth_10bps_quote),
        depth_usual_quote=significant(inputs.depth_usual_quote, 4),
        depth_share=significant(inputs.depth_share, 3),
        buy_volume_quote=significant(inputs.buy_volume_quote),
        sell_volume_quote=significant(inputs.sell_volume_quote),
        usual_volume_quote=significant(inputs.usual_volume_quote, 4),
        updates_per_s=significant(inputs.updates_per_s, 4),
        updates_usual_per_s=significant(inputs.updates_usual_per_s, 4),
        updates_times=significant(inputs.updates_times, 3),
    )


def _warnings(
    spec: SymbolSpec, window: Cut, known: dict[Component, float], inputs: HealthInputs, rate: float | None
) -> list[str]:
    out = []
    if window.coverage < OK_COVERAGE:
        out.append(f"Only {readable(window.covered_secs)} of {window.span.secs} s are covered.")
    if inputs.spread_usual_bps is None:
        out.append("Under 15 minutes of history: nothing is compared with the symbol's own normal yet.")
    if rate is None:
        out.append(f"No dollar rate for {spec.quote_asset}: depth is only compared with its own normal.")
    missing = [PHRASES[name] for name in WEIGHTS if name not in known]
    if missing:
        out.append(f"Not measurable and left out: {', '.join(missing)}.")
    return out


def _summary(
    spec: SymbolSpec,
    inputs: HealthInputs,
    known: dict[Component, float],
    score: float | None,
    level: HealthLevel,
    weakest: Component | None,
    *,
    is_silent: bool,
) -> str:
    if score is None or weakest is None:
        return f"{spec.symbol}: health unknown, too little could be measured."
    head = f"{spec.symbol} health {score:.0f}/100 ({level})"
    if is_silent:
        return f"{head}: nothing has come for {inputs.age_ms / 1000:.0f} s, what was measured is of before."
    if known[weakest] >= 80:
        return f"{head}: every part is sound; the lowest is {PHRASES[weakest]} at {known[weakest]:.0f}."
    return f"{head}: weakest is {PHRASES[weakest]} at {known[weakest]:.0f}{_why(spec, inputs, weakest)}."


def _why(spec: SymbolSpec, inputs: HealthInputs, weakest: Component) -> str:
    if weakest == "spread_stability" and inputs.spread_bps is not None:
        times = "" if inputs.spread_times is None else f", {readable(inputs.spread_times, 2)}x its usual"
        return f" ({readable(inputs.spread_bps)} bps{times})"
    if weakest == "liquidity_depth" and inputs.depth_10bps_quote is not None:
        share = "" if inputs.depth_share is None else f", {readable(inputs.depth_share, 2)}x its usual"
        return f" ({readable(inputs.depth_10bps_quote)} {spec.quote_asset} within 10 bps on the thinner side{share})"
    if weakest == "flow_balance":
        bought, sold = inputs.buy_volume_quote, inputs.sell_volume_quote
        side, part = ("buys", bought) if bought >= sold else ("sells", sold)
        return f" ({100 * part / (bought + sold):.0f} % {side})" if bought + sold > 0.0 else ""
    if weakest == "update_rate":
        if inputs.age_ms > 1000:
            return f" (last event {inputs.age_ms / 1000:.1f} s ago)"
        if inputs.updates_times is not None:
            return f" ({readable(inputs.updates_times, 2)}x its usual pace)"
    return ""
