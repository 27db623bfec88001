"""What one symbol's detectors say of a window, as a value: it stays as it is while they go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vibe_orderbook_mcp.analytics.anomalies.crash import depth_reading
from vibe_orderbook_mcp.analytics.anomalies.fleeting import FleetingCount
from vibe_orderbook_mcp.analytics.anomalies.watch import NotRun, SymbolWatch
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.microprice import MicropriceTable
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline, UsualDay
from vibe_orderbook_mcp.analytics.usual.measures import Measures
from vibe_orderbook_mcp.analytics.usual.normal import Normal
from vibe_orderbook_mcp.analytics.usual.own_band import BandChoice
from vibe_orderbook_mcp.analytics.usual.own_rate import MEASURES, Measure, times_a_day
from vibe_orderbook_mcp.analytics.windows import Rows, Span
from vibe_orderbook_mcp.model.events import SIDES
from vibe_orderbook_mcp.model.symbol import SymbolSpec


class Usual(NamedTuple):
    """What a book of this moment is compared with."""

    day: UsualDay
    findings: tuple[Finding, ...]  # those that have not ended
    microprice: MicropriceTable | None  # None: too little was learned of it


class NormalNow(NamedTuple):
    """The inputs of a market's health besides its rows."""

    normal: Normal
    measures: tuple[Measures, ...]  # of the last minutes, ascending


class Largest(NamedTuple):
    """A measure's largest value in a window. `level` is None while there is too little history for a verdict.

    `a_day`: how often a day the symbol's last day reached it; None where `own_rate.times_a_day` cannot tell.
    """

    measure: Measure
    value: float
    level: int | None
    second: Measures
    a_day: float | None = None


@dataclass(frozen=True, slots=True)
class Watched:
    """`rows` are all that the detectors remember, ascending; `measures` are of the window alone."""

    spec: SymbolSpec
    span: Span
    rows: Rows
    measures: Sequence[Measures]
    largest: Mapping[Measure, Largest]
    findings: Sequence[Finding]  # ended and open ones, each once
    not_run: Sequence[NotRun]
    fleeting: tuple[FleetingCount | None, FleetingCount | None]  # bids, asks; from the window's start to now
    variance_times: float | None
    depth_drop: float | None  # in the newest second of the window with a mid
    usual_updates: float | None  # a second: the median of the hour before
    band: BandChoice | None
    seconds: int  # of the last day that count as usual
    watched_secs: int  # of those since `since`
    is_ready: bool  # verdicts may be given
    secs_until_ready: int


def watched(watch: SymbolWatch, span: Span, since: int) -> Watched:
    """`since`: from which second on it is asked how much was watched."""
    baseline = watch.baseline
    measures = [each for each in watch.measures if span.start <= each.second < span.end]
    known = {finding.key: finding for finding in (*watch.recent, *watch.open)}
    bids, asks = (watch.fleeting(side, span.start) for side in SIDES)
    return Watched(
        spec=watch.spec,
        span=span,
        rows=tuple(watch.rows),
        measures=measures,
        largest={name: _ranked(baseline, each) for name, each in largest(measures).items()},
        findings=tuple(known.values()),
        not_run=watch.not_run(),
        fleeting=(bids, asks),
        variance_times=watch.variance_times,
        depth_drop=_depth_drop(watch, span),
        usual_updates=baseline.median("updates"),
        band=baseline.band,
        seconds=baseline.seconds,
        watched_secs=baseline.seconds_since(since),
        is_ready=baseline.is_ready,
        secs_until_ready=baseline.secs_until_ready,
    )


def largest(seconds: Sequence[Measures]) -> dict[Measure, Largest]:
    """For each measurable figure, the second with the highest level; among equal levels, the largest value."""
    out: dict[Measure, Largest] = {}
    for second in seconds:
        values = second.values()
        for measure, level in zip(MEASURES, second.levels, strict=True):
            if (value := values.get(measure)) is None:
                continue
            known = out.get(measure)
            if known is None or _order(level, value) > _order(known.level, known.value):
                out[measure] = Largest(measure, value, level, second)
    return out


def _order(level: int | None, value: float) -> tuple[int, float]:
    """A second without a verdict ranks below those with one."""
    return (-1 if level is None else level), value


def _ranked(baseline: Baseline, found: Largest) -> Largest:
    return found._replace(a_day=times_a_day(baseline, found.measure, found.value, found.second.second))


def _depth_drop(watch: SymbolWatch, span: Span) -> float | None:
    rows = (row for row in reversed(watch.rows) if span.start <= row.second < span.end)
    newest = next((row for row in rows if row.mid is not None), None)
    return None if newest is None else depth_reading(newest, watch.baseline)[1]
