"""The answer of `detect_market_anomalies`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from vibe_orderbook_mcp.analytics.anomalies.measured import Measured, measured_answer
from vibe_orderbook_mcp.analytics.anomalies.text import past_text, summary
from vibe_orderbook_mcp.analytics.anomalies.watch import NotRun
from vibe_orderbook_mcp.analytics.anomalies.watched import Watched
from vibe_orderbook_mcp.analytics.findings import LIMITS, SEVERITIES, TYPES, Finding
from vibe_orderbook_mcp.analytics.flow.toxicity import Vpin
from vibe_orderbook_mcp.analytics.numbers import decimals, exact_price, readable, significant
from vibe_orderbook_mcp.analytics.results import (
    Answer,
    Window,
    WindowedEnvelope,
    about,
    iso,
    iso_second,
    left_out_if_none,
)
from vibe_orderbook_mcp.analytics.usual.own_band import BandChoice, band_change_text
from vibe_orderbook_mcp.analytics.window_notes import age_warnings, newest_used_ms, resync_text
from vibe_orderbook_mcp.analytics.windows import OK_COVERAGE, Cut, check_coverage
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.moment import Status
from vibe_orderbook_mcp.model.symbol import SymbolSpec

EVIDENCE_DIGITS: Final = 5
SHOWN_MOST: Final = 10
PAST_MOST: Final = 50
NEWEST_SECS: Final = 3  # if the book was lost this recently, the summary says so
HOUR: Final = 3600


class ShockComponent(Answer):
    """What one measure reached during a market shock."""

    value: float = Field(description="Its largest value; the unit is that of `measured.measures`.")
    level: int = Field(description="0 usual, 1 unusual, 2 rare for this symbol.")
    at: str = Field(description="The second in which it was reached, ISO 8601 UTC.")


class SweepEvidence(Answer):
    """A taker order, or several in the same millisecond, at three prices or more."""

    at: str = Field(description="ISO 8601 UTC.")
    side: Side = Field(description="The side of the book that it hit; bid: a seller.")
    prices: int = Field(description="Distinct prices.")
    quote: float = Field(description="Quote units.")
    share: float | None = Field(description="Share of the usual depth of that side within the own band.")
    slippage_bps: float | None = Field(description="Average price from the touch; + is a cost.")
    reach_bps: float | None = Field(description="Last price from the touch.")
    levels_cleared: int | None = Field(
        description="Levels better than the last price, counted in a book up to 100 ms old."
    )
    burst_quote: float = Field(description="Total with the sweeps of its side before it, at most 500 ms apart.")


class AnomalyFinding(Answer):
    """Something measurable that is unusual for this symbol. Never a statement about intent, owner or manipulation."""

    type: str = Field(
        description="market_shock, update_burst, fleeting_cluster, crash_precursor, absorption or iceberg (refilled"
        " level)."
    )
    severity: str = Field(description="How big: Low, Medium, High, Critical.")
    start: str = Field(description="When it began, ISO 8601 UTC.")
    end: str | None = Field(description="When it ended; null while it lasts.")
    rarity: float | None = Field(
        description="Rarity in this symbol's own quiet history, 0 to 1, capped by its length."
        " Not a probability. Null: cannot be ranked."
    )
    side: Side | None = left_out_if_none("Side of the book.")
    price: str | None = left_out_if_none("Price of the level.")
    evidence: dict[str, float | str | bool] = Field(description="Measured values; units are in the names.")
    components: dict[str, ShockComponent] | None = left_out_if_none("Market shock: each measure's largest value.")
    sweeps: list[SweepEvidence] | None = left_out_if_none("Market shock only: the three largest sweeps.")
    thresholds: dict[str, float] | None = left_out_if_none(
        "Thresholds that the evidence had to reach; with detail=true."
    )
    limits: str | None = left_out_if_none("What it does not prove, with detail=true; else `limits`.")


class CannotRun(Answer):
    """Detectors that give no verdict now, for one reason. Their silence means nothing."""

    detectors: list[str] = Field(description="As in `type` of a finding.")
    reason: str = Field(description="Why, and what they need.")


class AnomaliesAnswer(WindowedEnvelope):
    """Present findings, past findings, and detectors that gave no verdict."""

    findings: list[AnomalyFinding] = Field(description="Findings that touch the window, most severe first.")
    past_findings: list[AnomalyFinding] | None = left_out_if_none("Earlier ones, newest first; with since_hours > 0.")
    past_hours_watched: float | None = left_out_if_none("Hours of since_hours in which the detectors had a valid book.")
    cannot_run: list[CannotRun] = Field(description="Detectors without a verdict, by reason; empty: all gave one.")
    measured: Measured = Field(description="Values measured in the window, with or without a verdict.")
    baseline_hours: float = Field(description="Hours of the symbol's own history behind the verdicts.")
    limits: list[str] | None = left_out_if_none("What the findings do not prove.")


def anomalies_answer(
    watched: Watched,
    *,
    as_of_ms: int,
    age_ms: int,
    status: Status,
    past: Sequence[Finding] | None = None,
    past_hours: int = 0,
    vpin: Vpin | None = None,
    usual_move_ticks: float | None = None,
    detail: bool = False,
    warnings: Sequence[str] = (),
) -> AnomaliesAnswer:
    """The answer of `detect_market_anomalies`, or a `Refusal` when less than half of the window is covered.

    `past` are stored findings of the last `past_hours`, if requested; `watched` counts from their start. Those that
    touch the window are listed once, as present. `vpin` is the present value, if known. `usual_move_ticks` is
    `absorption.kappa_ticks` of the window.
    """
    spec, span = watched.spec, watched.span
    window = check_coverage(spec.symbol, watched.rows, span)
    start_ms, end_ms = span.start * 1000, span.end * 1000
    present = [each for each in watched.findings if _touches(each, start_ms, end_ms)]
    present.sort(key=lambda each: (-SEVERITIES.index(each.severity), TYPES.index(each.type), -each.start_ms))
    shown, keys = present[:SHOWN_MOST], {each.key for each in present}
    earlier = None
    if past is not None:
        earlier = sorted((each for each in past if each.key not in keys), key=lambda each: -each.start_ms)[:PAST_MOST]
    cannot = _cannot(watched, status, present)
    measured = measured_answer(watched, window, usual_move_ticks, vpin)
    hours_watched = None if past is None else watched.watched_secs / HOUR
    told = dict.fromkeys(each.type for each in (*shown, *(earlier or ())))
    resynced = resync_text(
        (row for row in window.rows if row.second >= span.end - NEWEST_SECS), is_live=status == "live"
    )
    return AnomaliesAnswer(
        **about(spec),
        as_of=iso(newest_used_ms(window, as_of_ms)),
        age_ms=age_ms,
        status=status,
        summary=summary(watched, window, present, cannot, measured)
        + ("" if resynced is None else f" {resynced}")
        + past_text(earlier, past_hours, hours_watched, is_ready=watched.is_ready),
        warnings=[
            *warnings,
            *age_warnings(window),
            *_warnings(window, len(present), watched.band, is_live=status == "live"),
        ],
        window=Window(
            start=iso_second(span.start),
            end=iso_second(span.end),
            requested_secs=span.secs,
            covered_secs=decimals(window.covered_secs, 3),
            coverage=decimals(window.coverage, 4),
            samples=len(window.rows),
        ),
        findings=[_finding(spec, each, detail) for each in shown],
        past_findings=None if earlier is None else [_finding(spec, each, detail) for each in earlier],
        past_hours_watched=decimals(hours_watched, 1),
        cannot_run=cannot,
        measured=measured,
        baseline_hours=decimals(watched.seconds / HOUR, 1),
        limits=None if detail or not told else [LIMITS[kind] for kind in told],
    )


def _cannot(watched: Watched, status: Status, present: Sequence[Finding]) -> list[CannotRun]:
    """Detectors without a verdict, grouped by reason. A detector with a finding in the answer gave a verdict."""
    waiting = list(watched.not_run)
    if status != "live":
        waiting = [NotRun(name, f"the book is {status}: there is no data to judge") for name in TYPES]
    has_found = {each.type for each in present}
    by_reason: dict[str, list[str]] = {}
    for each in waiting:
        if each.detector not in has_found:
            by_reason.setdefault(each.reason, []).append(each.detector)
    return [CannotRun(detectors=detectors, reason=reason) for reason, detectors in by_reason.items()]


def _touches(finding: Finding, start_ms: int, end_ms: int) -> bool:
    return finding.start_ms < end_ms and (finding.end_ms is None or finding.end_ms > start_ms)


def _finding(spec: SymbolSpec, finding: Finding, detail: bool) -> AnomalyFinding:
    return AnomalyFinding(
        type=finding.type,
        severity=finding.severity,
        start=iso(finding.start_ms),
        end=None if finding.end_ms is None else iso(finding.end_ms),
        rarity=decimals(finding.rarity, 4),
        side=finding.side,
        price=None if finding.price is None else exact_price(spec, finding.price),
        evidence={name: _rounded(value) for name, value in finding.evidence.items()},
        components=_components(finding),
        sweeps=_sweeps(finding),
        thresholds={name: significant(value, 4) for name, value in finding.thresholds.items()} if detail else None,
        limits=LIMITS[finding.type] if detail else None,
    )


def _components(finding: Finding) -> dict[str, ShockComponent] | None:
    return {
        name: ShockComponent(value=significant(each.value, 4), level=each.level, at=iso_second(each.at_ms // 1000))
        for name, each in finding.components.items()
    } or None


def _sweeps(finding: Finding) -> list[SweepEvidence] | None:
    return [
        SweepEvidence(
            at=iso(each.at_ms),
            side=each.side,
            prices=each.prices,
            quote=significant(each.quote, EVIDENCE_DIGITS),
            share=significant(each.share, 4),
            slippage_bps=significant(each.slippage_bps, EVIDENCE_DIGITS),
            reach_bps=significant(each.reach_bps, EVIDENCE_DIGITS),
            levels_cleared=each.levels_cleared,
            burst_quote=significant(each.burst_quote, EVIDENCE_DIGITS),
        )
        for each in finding.sweeps
    ] or None


def _rounded(value: float | str | bool) -> float | str | bool:
    return significant(value, EVIDENCE_DIGITS) if isinstance(value, float) else value


def _warnings(window: Cut, present: int, band: BandChoice | None, *, is_live: bool) -> list[str]:
    out = []
    if window.coverage < OK_COVERAGE:
        out.append(f"Only {readable(window.covered_secs)} of {window.span.secs} s have data.")
    if (resynced := resync_text(window.rows, is_live=is_live)) is not None:
        out.append(resynced)
    if band is not None and (changed := band_change_text(band.before or None, band.bps)) is not None:
        out.append(changed)
    if present > SHOWN_MOST:
        out.append(f"{present} findings; the {SHOWN_MOST} most severe are shown.")
    return out
