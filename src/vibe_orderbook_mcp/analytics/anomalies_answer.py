"""The answer of `detect_market_anomalies`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from vibe_orderbook_mcp.analytics.absorption_answer import AbsorptionEvent, absorbed_levels
from vibe_orderbook_mcp.analytics.detectors.crash import depth_reading
from vibe_orderbook_mcp.analytics.findings import LIMITS, SEVERITIES, TYPES, Finding
from vibe_orderbook_mcp.analytics.measures import spread_floor_bps, spread_times
from vibe_orderbook_mcp.analytics.numbers import decimals, exact_price, ratio, readable, significant
from vibe_orderbook_mcp.analytics.results import (
    Answer,
    Status,
    Window,
    WindowedEnvelope,
    iso,
    iso_second,
    left_out_if_none,
)
from vibe_orderbook_mcp.analytics.toxicity import Vpin
from vibe_orderbook_mcp.analytics.watch import NotRun, SymbolWatch
from vibe_orderbook_mcp.analytics.windows import OK_COVERAGE, Cut, Span, check_coverage
from vibe_orderbook_mcp.core.events import Side
from vibe_orderbook_mcp.core.rows import RowFlag
from vibe_orderbook_mcp.core.symbol import SymbolSpec

EVIDENCE_DIGITS: Final = 5
SHOWN_MOST: Final = 10
SIDES: Final[tuple[Side, Side]] = ("bid", "ask")
PAST_MOST: Final = 50
HOUR: Final = 3600


class AnomalyFinding(Answer):
    """Something measurable that is unusual for this symbol. Never a statement about intent, owner or manipulation."""

    type: str = Field(
        description="update_burst, fleeting_cluster, crash_precursor, absorption or iceberg (refilled level)."
    )
    severity: str = Field(description="How big: Low, Medium, High, Critical.")
    start: str = Field(description="When it began, ISO 8601 UTC.")
    end: str | None = Field(description="When it ended; null while it lasts.")
    rarity: float | None = Field(
        description="How rare against this symbol's own quiet history, 0 to 1, capped at what so much history can"
        " tell. Not a probability of anything. Null: cannot be ranked."
    )
    side: Side | None = left_out_if_none("The side of the book it is about.")
    price: str | None = left_out_if_none("The level's price.")
    evidence: dict[str, float | str | bool] = Field(description="What was measured; units are in the names.")
    thresholds: dict[str, float] | None = left_out_if_none("What the evidence had to reach; with detail=true.")
    limits: str | None = left_out_if_none("What this cannot prove; with detail=true, else once in `limits`.")


class CannotRun(Answer):
    """A detector that can give no verdict now. Its silence means nothing."""

    detector: str = Field(description="As in `type` of a finding.")
    reason: str = Field(description="Why, and what it waits for.")


class Measured(Answer):
    """What the detectors looked at in the window; null: not known. Values, not verdicts."""

    warming_up: bool | None = left_out_if_none("True: under one hour of history, so no verdict is given.")
    updates_per_s_peak: int = Field(description="Most book changes in one second.")
    updates_times_median: float | None = Field(description="That peak / the trailing hour's median second.")
    updates_per_trade: float | None = Field(description="Book changes per fill over the window.")
    depth_drop: float | None = Field(
        description="1 - thinner side's depth within 50 bps (25 if less is known) / its hourly median."
    )
    spread_times: float | None = Field(description="Spread / its hourly median, both at least 1 tick and 0.5 bp.")
    bid_cancel_share: float | None = Field(description="Cancelled / (added + cancelled) bid size in the window.")
    ask_cancel_share: float | None = Field(description="The same for asks.")
    fleeting_walls_bid: int | None = Field(description="Large bids of the window that vanished within 10 s, untraded.")
    fleeting_walls_ask: int | None = Field(description="The same for asks.")
    variance_times: float | None = Field(
        description="Realised variance of mid a second, last minute / trailing hour (5 s steps)."
    )
    absorption: list[AbsorptionEvent] = Field(
        description="Levels that absorbed in the whole window, as in get_order_flow. A finding is rarer: over 60 s, and"
        " a turnover that this symbol's levels exceed 0.1 times a day."
    )
    vpin: float | None = left_out_if_none("Toxicity of flow, 0 to 1, as in get_order_flow; with detail=true.")
    vpin_rarity: float | None = left_out_if_none("Its rank among the values of the day before, 0 to 1.")


class AnomaliesAnswer(WindowedEnvelope):
    """What is unusual now, what was, and which detectors could not look."""

    findings: list[AnomalyFinding] = Field(description="Findings that touch the window, most severe first.")
    past_findings: list[AnomalyFinding] | None = left_out_if_none("Earlier ones, newest first; with since_hours > 0.")
    past_hours_watched: float | None = left_out_if_none(
        "Hours of the since_hours asked for in which detectors had a sound book to look at."
    )
    cannot_run: list[CannotRun] = Field(description="Detectors without a verdict and why; empty: all looked.")
    measured: Measured = Field(description="What was measured in the window, verdict or not.")
    baseline_hours: float = Field(description="Hours of the symbol's own history that verdicts rest on.")
    limits: list[str] | None = left_out_if_none("What the findings cannot prove.")


def anomalies_answer(
    watch: SymbolWatch,
    span: Span,
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

    `past` are stored findings of the last `past_hours` when they were asked for. Those that touch the window are told
    once, as present. `vpin` is of the present, where it is known. `usual_move_ticks` is `absorption.kappa_ticks` of the
    window.
    """
    spec = watch.spec
    window = check_coverage(spec.symbol, list(watch.rows), span)
    start_ms, end_ms = span.start * 1000, span.end * 1000
    known = {finding.key: finding for finding in (*watch.recent, *watch.open)}
    present = [each for each in known.values() if _touches(each, start_ms, end_ms)]
    present.sort(key=lambda each: (-SEVERITIES.index(each.severity), TYPES.index(each.type), -each.start_ms))
    shown, keys = present[:SHOWN_MOST], {each.key for each in present}
    earlier = None
    if past is not None:
        earlier = sorted((each for each in past if each.key not in keys), key=lambda each: -each.start_ms)[:PAST_MOST]
    cannot = watch.not_run()
    if status != "live":
        cannot = [NotRun(name, f"the book is {status}: nothing comes to be judged") for name in TYPES]
    measured = _measured(watch, window, usual_move_ticks, vpin)
    watched = None if past is None else watch.baseline.seconds_since(span.end - past_hours * HOUR) / HOUR
    told = dict.fromkeys(each.type for each in (*shown, *(earlier or ())))
    return AnomaliesAnswer(
        symbol=spec.symbol,
        as_of=iso(as_of_ms),
        age_ms=age_ms,
        status=status,
        summary=_summary(watch, window, present, cannot, measured) + _past_text(earlier, past_hours, watched),
        warnings=[*warnings, *_warnings(window, len(present))],
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
        past_hours_watched=decimals(watched, 1),
        cannot_run=[CannotRun(detector=each.detector, reason=each.reason) for each in cannot],
        measured=measured,
        baseline_hours=decimals(watch.baseline.seconds / HOUR, 1),
        limits=None if detail or not told else [LIMITS[kind] for kind in told],
    )


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
        thresholds={name: significant(value, 4) for name, value in finding.thresholds.items()} if detail else None,
        limits=LIMITS[finding.type] if detail else None,
    )


def _rounded(value: float | str | bool) -> float | str | bool:
    return significant(value, EVIDENCE_DIGITS) if isinstance(value, float) else value


def _measured(watch: SymbolWatch, window: Cut, usual_move: float | None, vpin: Vpin | None) -> Measured:
    rows, baseline = window.rows, watch.baseline
    peak = max((row.ids for row in rows), default=0)
    usual = baseline.median("updates")
    fills = sum(row.buy_trades + row.sell_trades for row in rows)
    newest = next((row for row in reversed(rows) if row.mid is not None), None)
    drop = times = None
    if newest is not None and newest.mid:
        _, drop, _ = depth_reading(newest, baseline)
        spread = baseline.median("spread")
        if spread is not None and newest.spread_mean:
            floor = spread_floor_bps(watch.tick, newest.mid)
            times = spread_times(1e4 * newest.spread_mean / newest.mid, spread, floor)
    bid, ask = (watch.fleeting(side, window.span.start) for side in SIDES)
    return Measured(
        warming_up=None if baseline.is_ready else True,
        updates_per_s_peak=peak,
        updates_times_median=None if usual is None else significant(ratio(peak, usual), 3),
        updates_per_trade=significant(ratio(sum(row.ids for row in rows), fills), 3),
        depth_drop=decimals(drop, 3),
        spread_times=significant(times, 3),
        bid_cancel_share=decimals(_cancel_share(window, "bid"), 3),
        ask_cancel_share=decimals(_cancel_share(window, "ask"), 3),
        fleeting_walls_bid=None if bid is None else bid.walls,
        fleeting_walls_ask=None if ask is None else ask.walls,
        variance_times=significant(watch.variance_times, 3),
        absorption=absorbed_levels(watch.spec, window, usual_move),
        vpin=None if vpin is None else decimals(vpin.value, 4),
        vpin_rarity=None if vpin is None else decimals(vpin.rarity, 4),
    )


def _cancel_share(window: Cut, side: Side) -> float | None:
    flows = [row.bid if side == "bid" else row.ask for row in window.rows]
    cancelled = sum(flow.cancelled for flow in flows)
    return ratio(cancelled, cancelled + sum(flow.added for flow in flows))


def _warnings(window: Cut, present: int) -> list[str]:
    out = []
    if window.coverage < OK_COVERAGE:
        out.append(f"Only {readable(window.covered_secs)} of {window.span.secs} s are covered.")
    if any(row.flags & (RowFlag.GAP | RowFlag.RESYNC) for row in window.rows):
        out.append("The book was resynchronised inside the window; those seconds were not judged.")
    if present > SHOWN_MOST:
        out.append(f"{present} findings; the {SHOWN_MOST} most severe are shown.")
    return out


def _summary(
    watch: SymbolWatch, window: Cut, present: Sequence[Finding], cannot: Sequence[NotRun], measured: Measured
) -> str:
    symbol, secs = watch.spec.symbol, window.span.secs
    if present:
        more = f" {len(present) - 1} more." if len(present) > 1 else ""
        return f"{symbol}: {_sentence(watch.spec, present[0])}{more}"
    if len(cannot) == len(TYPES):
        return f"{symbol}: nothing can be judged now: {cannot[0].reason}."
    if measured.warming_up:
        wait = max(1, round(watch.baseline.secs_until_ready / 60))
        return (
            f"{symbol}: no verdict yet; an hour of its own history is needed, about {wait} min to go."
            f" Peak {measured.updates_per_s_peak:,} updates/s in the last {secs} s."
        )
    hours = watch.baseline.seconds / HOUR
    span = f"{hours:.0f} h" if hours >= 1.5 else "1 h"
    quiet = f"{symbol}: quiet, nothing unusual in the last {secs} s against {span} of its own history"
    if cannot:
        return f"{quiet}; not checked: {', '.join(each.detector for each in cannot)}."
    return f"{quiet}."


def _past_text(earlier: Sequence[Finding] | None, hours: int, watched: float | None) -> str:
    """How much was looked at belongs to it: nothing found in hours that nobody watched is no quiet night."""
    if earlier is None or watched is None:
        return ""
    looked = (
        f"the last {hours} h" if watched >= OK_COVERAGE * hours else f"{watched:.1f} h watched of the last {hours} h"
    )
    if not earlier:
        return f" Nothing else in {looked}."
    newest = earlier[0]
    count = f"{len(earlier)} earlier finding{'' if len(earlier) == 1 else 's'}"
    return f" {count} in {looked}, the newest {newest.type} at {iso(newest.start_ms)[11:19]}."


def _sentence(spec: SymbolSpec, finding: Finding) -> str:
    """What a desk would say."""
    evidence = finding.evidence
    clock = iso(finding.start_ms)[11:19]
    when = f"since {clock}" if finding.end_ms is None else f"{clock} to {iso(finding.end_ms)[11:19]}"
    if finding.type == "update_burst":
        return (
            f"Update burst {when} ({finding.severity}): {float(evidence['updates_per_s']):,.0f} updates/s,"
            f" {float(evidence['times_median']):.0f}x its hourly median,"
            f" hardly any trades; mid {_moved(float(evidence['mid_move_ticks']))}."
        )
    if finding.type == "fleeting_cluster":
        return (
            f"Fleeting {finding.side}s {when} ({finding.severity}): {int(evidence['fleeting_walls'])} large levels near"
            f" mid appeared and vanished untraded within 10 s,"
            f" {readable(float(evidence['notional_quote']))} {spec.quote_asset} in all."
        )
    if finding.type == "crash_precursor":
        return f"Liquidity {evidence['level']} {when} ({finding.severity}): {_drained(finding)}."
    price = "" if finding.price is None else f" at {float(finding.price):,.{spec.tick_exp}f}"
    shown = f"{readable(float(evidence['max_shown_base']))} {spec.base_asset} shown at most"
    if finding.type == "absorption":
        kind = "buying" if finding.side == "bid" else "selling"
        return f"Passive {kind}{price} {when}: {readable(float(evidence['traded_base']))} traded against {shown}."
    return (
        f"Refilled {finding.side}{price} {when} ({evidence['class']}): {readable(float(evidence['executed_base']))}"
        f" executed against {shown}, {int(evidence['refills'])} refills."
    )


def _moved(ticks: float) -> str:
    return "did not move" if ticks == 0.0 else f"moved {readable(ticks, 2)} ticks, no more than usual"


def _drained(finding: Finding) -> str:
    evidence = finding.evidence
    if evidence.get("reason") == "one_sided":
        return f"the {finding.side} side is empty"
    parts = []
    if "depth_drop" in evidence:
        parts.append(f"{finding.side} depth {100 * float(evidence['depth_drop']):.0f} % below its hourly median")
    if "spread_times" in evidence:
        parts.append(f"spread {readable(float(evidence['spread_times']), 2)}x")
    if "cancel_share" in evidence:
        parts.append(f"{100 * float(evidence['cancel_share']):.0f} % of changes cancel")
    return ", ".join(parts) or "liquidity is thin"
