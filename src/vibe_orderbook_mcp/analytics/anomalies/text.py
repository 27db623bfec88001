"""The summary of `detect_market_anomalies`. "Quiet" is a claim: every detector gave a verdict, no finding touches the
window, and no measured value is unusual.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from vibe_orderbook_mcp.analytics.anomalies.measured import Measured
from vibe_orderbook_mcp.analytics.anomalies.watched import Largest, Watched
from vibe_orderbook_mcp.analytics.findings import TYPES, Finding
from vibe_orderbook_mcp.analytics.flow.absorption_answer import absorption_text, is_worth_telling
from vibe_orderbook_mcp.analytics.numbers import readable, span_text
from vibe_orderbook_mcp.analytics.results import iso
from vibe_orderbook_mcp.analytics.usual.own_rate import FLOORS, MEASURES, Measure
from vibe_orderbook_mcp.analytics.windows import OK_COVERAGE, Cut
from vibe_orderbook_mcp.model.symbol import SymbolSpec

HOUR: Final = 3600
ABOUT: Final[dict[Measure, str]] = {
    "price": "price",
    "volume": "volume",
    "sweep": "sweeps",
    "depth": "depth",
    "spread": "spread",
}


class Blocked(Protocol):
    """Detectors that give no verdict, for one reason."""

    @property
    def detectors(self) -> list[str]: ...

    @property
    def reason(self) -> str: ...


def summary(
    watched: Watched, window: Cut, present: Sequence[Finding], cannot: Sequence[Blocked], measured: Measured
) -> str:
    symbol, secs = watched.spec.symbol, window.span.secs
    if present:
        more = f" {len(present) - 1} more." if len(present) > 1 else ""
        return f"{symbol}: {sentence(watched.spec, present[0])}{more}"
    waiting = [name for each in cannot for name in each.detectors]
    if len(waiting) == len(TYPES):
        return f"{symbol}: nothing can be judged now: {cannot[0].reason}."
    if measured.warming_up:
        wait = max(1, round(watched.secs_until_ready / 60))
        return (
            f"{symbol}: no verdict yet; an hour of its own history is needed, about {wait} min to go."
            f" Peak {measured.updates_per_s_peak:,} updates/s in the last {secs} s."
        )
    found = watched.largest
    unknown = [ABOUT[measure] for measure in MEASURES if measure not in found or found[measure].level is None]
    unchecked = f"; not checked: {', '.join(waiting)}" if waiting else ""
    unmeasured = f"; not measured: {', '.join(unknown)}" if unknown else ""
    hours = watched.seconds / HOUR
    history = f"against {hours:.0f} h of its own history" if hours >= 1.5 else "against 1 h of its own history"
    seen = f"the last {secs} s" if window.coverage >= OK_COVERAGE else f"{readable(window.covered_secs)} of {secs} s"
    if unusual := _unusual(watched.spec, window, found, measured):
        return f"{symbol}: no finding in {seen}; largest: {unusual}, {history}{unchecked}{unmeasured}."
    if unchecked or unmeasured or window.coverage < OK_COVERAGE:
        return f"{symbol}: no finding, and nothing measured is unusual in {seen} {history}{unchecked}{unmeasured}."
    return f"{symbol}: quiet, nothing unusual in {seen} {history}."


def _unusual(spec: SymbolSpec, window: Cut, found: Mapping[Measure, Largest], measured: Measured) -> str:
    """The measured value furthest above its usual; empty if none is unusual."""
    levels = [each for each in found.values() if each.level]
    if levels:
        most = max(levels, key=lambda each: (each.level or 0, each.value / FLOORS[each.measure][0]))
        return f"{_largest_text(spec, most)} ({'rare' if (most.level or 0) > 1 else 'unusual'} for it)"
    if measured.update_surge_times is not None:
        return f"updates {readable(measured.update_surge_times, 2)} x the hour's median while the price moved"
    told = [each for each in measured.absorption if is_worth_telling(each)]
    return absorption_text(told[0], spec, window.span.secs).rstrip(".") if told else ""


def _largest_text(spec: SymbolSpec, most: Largest) -> str:
    value, second = readable(most.value, 2), most.second
    if most.measure == "price":
        moved = second.move_bps or 0.0
        return f"price {_signed(moved)} bps in {second.move_secs} s, {value} x a usual move"
    if most.measure == "volume":
        return f"volume {value} x usual"
    if most.measure == "sweep":
        group = max(second.sweeps, key=lambda each: each.quote)
        amount = f"{readable(group.quote)} {spec.quote_asset} over {group.prices} prices"
        return f"a sweep of {value} x the usual depth of the side ({amount})"
    if most.measure == "spread":
        return f"spread {value} x usual"
    if (second.withdrawn or 0.0) >= 1 - 2**-most.value - 1e-9:
        return f"{100 * (second.withdrawn or 0.0):.0f} % of a side's depth withdrawn within seconds"
    return f"depth {readable(second.depth_left or 0.0, 2)} x usual"


def past_text(earlier: Sequence[Finding] | None, hours: int, watched: float | None, *, is_ready: bool) -> str:
    """Past findings, with the hours that had data: no finding in hours without data is not a quiet night."""
    if earlier is None or watched is None:
        return ""
    is_whole = watched >= OK_COVERAGE * hours
    looked = f"the last {hours} h" if is_whole else f"the {watched:.1f} h that were watched of the last {hours} h"
    if earlier:
        count = f"{len(earlier)} earlier finding{'' if len(earlier) == 1 else 's'}"
        return f" {count} in {looked}, the newest {earlier[0].type} at {iso(earlier[0].start_ms)[11:19]}."
    if not is_ready:
        return "" if is_whole else f" Only {span_text(round(3600 * watched))} of the last {hours} h were watched."
    return f" Nothing else in {looked}."


def sentence(spec: SymbolSpec, finding: Finding) -> str:
    """A finding in the words of a trading desk."""
    evidence = finding.evidence
    clock = iso(finding.start_ms)[11:19]
    when = f"since {clock}" if finding.end_ms is None else f"{clock} to {iso(finding.end_ms)[11:19]}"
    if finding.type == "market_shock":
        return f"Market shock {when} ({finding.severity}): {_shocked(spec, finding)}."
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
    if "cost_times" in evidence:
        parts.append(f"cost of a quarter of the usual depth {readable(float(evidence['cost_times']), 2)}x")
    if "cancel_share" in evidence:
        parts.append(f"{100 * float(evidence['cancel_share']):.0f} % of changes cancel")
    return ", ".join(parts) or "liquidity is thin"


def _signed(bps: float) -> str:
    return f"{'+' if bps > 0 else ''}{readable(bps)}"


def _shocked(spec: SymbolSpec, finding: Finding) -> str:
    evidence, parts = finding.evidence, []
    if "size_bps" in evidence:
        secs = int(evidence["peak_secs"])
        parts.append(f"price {_signed(float(evidence['size_bps']))} bps in {secs} s")
    if (price := finding.components.get("price")) is not None:
        parts.append(f"{readable(price.value, 2)}x a usual move")
    if (volume := finding.components.get("volume")) is not None:
        bought, sold = float(evidence["buy_volume_quote"]), float(evidence["sell_volume_quote"])
        way = "buys" if bought >= sold else "sells"
        share = f", {100 * max(bought, sold) / (bought + sold):.0f} % {way}" if bought + sold > 0 else ""
        parts.append(f"volume {readable(volume.value, 2)}x usual{share}")
    if finding.sweeps:
        most = finding.sweeps[0]
        share = "" if most.share is None else f", {readable(most.share, 2)}x the usual depth"
        parts.append(f"largest sweep {readable(most.quote)} {spec.quote_asset} over {most.prices} prices{share}")
    if "retraced" in evidence:
        parts.append(f"{100 * float(evidence['retraced']):.0f} % given back a minute later")
    return ", ".join(parts)
