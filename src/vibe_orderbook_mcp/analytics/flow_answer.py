"""The answer of `get_order_flow`, built from the rows of a window and those before it."""

from __future__ import annotations

from collections.abc import Sequence

from vibe_orderbook_mcp.analytics.absorption import kappa_ticks, window_absorption
from vibe_orderbook_mcp.analytics.absorption_answer import (
    AbsorptionEvent,
    absorbed_levels,
    absorbed_window,
    absorption_check,
    absorption_text,
    is_worth_telling,
)
from vibe_orderbook_mcp.analytics.flow_result import (
    FlowSide,
    Impact,
    OrderFlowAnswer,
    OrderFlowDetail,
)
from vibe_orderbook_mcp.analytics.impact import amihud, kyle_lambda
from vibe_orderbook_mcp.analytics.impact_answer import (
    amihud_part,
    kyle_part,
    volatility_part,
    vpin_part,
)
from vibe_orderbook_mcp.analytics.numbers import decimals, readable, significant
from vibe_orderbook_mcp.analytics.order_flow import (
    MIN_BOOK_EVENTS,
    MIN_LABEL_TRADES,
    FlowDirection,
    OfiDirection,
    cvd,
    cvd_z,
    delta_pct,
    delta_rarity,
    directions_disagree,
    effective_spread_bps,
    flow_direction,
    impact_fit,
    normalised_mlofi,
    normalised_ofi,
    ofi_direction,
    side_rates,
)
from vibe_orderbook_mcp.analytics.past import EqualWindows, Past
from vibe_orderbook_mcp.analytics.results import (
    Status,
    Window,
    iso,
    iso_second,
)
from vibe_orderbook_mcp.analytics.toxicity import VolumeBuckets
from vibe_orderbook_mcp.analytics.volatility import hour_volatility
from vibe_orderbook_mcp.analytics.windows import (
    OK_COVERAGE,
    Rows,
    SideTotals,
    Span,
    WindowTotals,
    check_coverage,
    quality,
    total,
)
from vibe_orderbook_mcp.core.rows import RowFlag
from vibe_orderbook_mcp.core.symbol import SymbolSpec

QUOTE_DIGITS = 8
# An end of a window from which nothing came, not even a trade, is told from here on where there is no live book.
UNHEARD_SECS = 3


def order_flow_answer(
    spec: SymbolSpec,
    rows: Rows,
    span: Span,
    *,
    as_of_ms: int,
    age_ms: int,
    status: Status,
    before: EqualWindows | None = None,
    session: tuple[float, float] | None = None,
    buckets: VolumeBuckets | None = None,
    detail: bool = False,
    warnings: Sequence[str] = (),
) -> OrderFlowAnswer:
    """The answer of `get_order_flow`, or a `Refusal` when less than half of the window is covered.

    `rows` holds the window and whatever is older, ascending: the hour before serves the allowance of absorption
    and the impact fit. `before` are the equal windows that rarities are told from, oldest first; None: those of `rows`.
    `session` is (buys, sells) in base units since
    00:00 UTC, or None while those are not complete. `buckets` holds trades up to now in buckets of a fiftieth of the
    day's volume (`toxicity.bucket_lots`), or None where that is not known.
    """
    tick = float(spec.tick_size)
    window = check_coverage(spec.symbol, rows, span)
    totals = total(window)
    before = Past.of(rows).windows(span.secs, span.start) if before is None else before
    kappa = kappa_ticks(rows, window, tick)
    by_window = window_absorption(window, before, tick, kappa)
    absorbed = [*absorbed_levels(spec, window, kappa), *absorbed_window(by_window)]
    direction, pressure = flow_direction(totals.buy_volume, totals.sell_volume), ofi_direction(totals)
    grade = quality(totals.coverage, totals.events, MIN_BOOK_EVENTS)
    bid_rates, ask_rates = _flow_side(totals.bid, totals), _flow_side(totals.ask, totals)
    unheard = max(0, span.end - -(-as_of_ms // 1000)) if status == "syncing" else 0
    more = None
    if detail:
        impact, impact_count = impact_fit(rows, span.end, tick)
        kyle, kyle_count = kyle_lambda(rows, span.end)
        unusual, windows = delta_rarity(before, window)
        more = OrderFlowDetail(
            bid=bid_rates,
            ask=ask_rates,
            mlofi_base=[decimals(value, spec.lot_exp) for value in totals.mlofi],
            mlofi_normalised=significant(normalised_mlofi(totals), 4),
            impact=None
            if impact is None
            else Impact(
                beta_ticks_per_base=significant(impact.beta), r2=decimals(impact.r2, 4), buckets=impact.buckets
            ),
            impact_buckets=impact_count,
            cvd_quote=significant(totals.buy_quote - totals.sell_quote, QUOTE_DIGITS),
            cvd_z=significant(cvd_z(totals)),
            cvd_session_base=None if session is None else decimals(session[0] - session[1], spec.lot_exp),
            delta_rarity=decimals(unusual, 4),
            delta_windows=windows,
            effective_spread_bps=significant(effective_spread_bps(totals), 5),
            kyle=None if kyle is None else kyle_part(kyle),
            kyle_buckets=kyle_count,
            amihud=amihud_part(amihud(rows, span.end)),
            volatility=volatility_part(hour_volatility(rows, span.end)),
            vpin=None if buckets is None else vpin_part(spec, buckets),
            absorption=absorption_check(kappa, by_window, span.secs, len(before)),
        )
    return OrderFlowAnswer(
        symbol=spec.symbol,
        as_of=iso(as_of_ms),
        age_ms=age_ms,
        status=status,
        summary=_summary(spec, totals, direction, pressure, absorbed, unheard),
        warnings=[*warnings, *_unheard(unheard, as_of_ms), *_warnings(totals, session is None and detail)],
        window=Window(
            start=iso_second(span.start),
            end=iso_second(span.end),
            requested_secs=span.secs,
            covered_secs=decimals(totals.covered_secs, 3),
            coverage=decimals(totals.coverage, 4),
            samples=totals.samples,
        ),
        quality=grade,
        flow_direction=direction,
        low_sample=totals.agg_trades < MIN_LABEL_TRADES and direction != "NO_FLOW",
        buy_volume_base=decimals(totals.buy_volume, spec.lot_exp),
        sell_volume_base=decimals(totals.sell_volume, spec.lot_exp),
        buy_volume_quote=significant(totals.buy_quote, QUOTE_DIGITS),
        sell_volume_quote=significant(totals.sell_quote, QUOTE_DIGITS),
        cvd_base=decimals(cvd(totals), spec.lot_exp),
        delta_pct=decimals(delta_pct(totals.buy_volume, totals.sell_volume)),
        fills=totals.fills,
        ofi_direction=pressure,
        ofi_base=decimals(totals.ofi, spec.lot_exp),
        ofi_normalised=significant(normalised_ofi(totals), 5),
        bid_flow_rate=bid_rates.added_levels_per_s,
        ask_flow_rate=ask_rates.added_levels_per_s,
        bid_cancel_share=decimals(totals.bid.cancel_share, 4),
        ask_cancel_share=decimals(totals.ask.cancel_share, 4),
        absorption=absorbed,
        detail=more,
    )


def _flow_side(side: SideTotals, totals: WindowTotals) -> FlowSide:
    rates = side_rates(side, totals.covered_secs)
    return FlowSide(
        added_base_per_s=significant(rates.added_base, 5),
        cancelled_base_per_s=significant(rates.cancelled_base, 5),
        added_quote_per_s=significant(rates.added_quote, 5),
        cancelled_quote_per_s=significant(rates.cancelled_quote, 5),
        added_levels_per_s=significant(rates.added_levels, 5),
        cancelled_levels_per_s=significant(rates.cancelled_levels, 5),
    )


def _unheard(secs: int, as_of_ms: int) -> list[str]:
    if secs < UNHEARD_SECS:
        return []
    return [f"Nothing came after {iso(as_of_ms)}: trades of the window's last {secs} s are not in these volumes."]


def _warnings(totals: WindowTotals, no_session: bool) -> list[str]:
    out = []
    if totals.coverage < OK_COVERAGE:
        out.append(
            f"Only {readable(totals.covered_secs)} of {totals.span.secs} s are covered: figures of the book are of what"
            " was seen, rates per covered second."
        )
    if totals.flags & (RowFlag.GAP | RowFlag.RESYNC):
        out.append("The book was resynchronised inside the window.")
    if totals.missing_trades:
        out.append(f"{totals.missing_trades} trades of the window are missing (their ids were skipped).")
    if totals.events < MIN_BOOK_EVENTS:
        out.append(f"Only {totals.events} book updates in the window: OFI and flow rates rest on little.")
    if no_session:
        out.append("cvd_session_base needs every trade since 00:00 UTC, and some are not recorded.")
    return out


def _summary(
    spec: SymbolSpec,
    totals: WindowTotals,
    direction: FlowDirection,
    pressure: OfiDirection,
    absorbed: Sequence[AbsorptionEvent],
    unheard_secs: int,
) -> str:
    base, delta = spec.base_asset, delta_pct(totals.buy_volume, totals.sell_volume)
    part = "" if totals.coverage >= OK_COVERAGE else f" (book seen for {readable(totals.covered_secs)} s of it)"
    if unheard_secs >= UNHEARD_SECS:
        part = f"{part}, nothing heard for the last {unheard_secs} of them"
    head = f"{spec.symbol}, {totals.span.secs} s{part}: "
    if delta is None:
        text = f"{head}no trades (NO_FLOW)"
    else:
        fills = f"{totals.fills:,} fill{'' if totals.fills == 1 else 's'}"
        trades = totals.agg_trades
        few = f", only {trades} trade{'' if trades == 1 else 's'}" if trades < MIN_LABEL_TRADES else ""
        net = cvd(totals)
        text = (
            f"{head}takers bought {readable(totals.buy_volume)} and sold {readable(totals.sell_volume)} {base} in"
            f" {fills}, net {'+' if net > 0 else ''}{readable(net)} {base} ({round(100 * delta):+d} %):"
            f" {direction}{few}"
        )
    queues = normalised_ofi(totals)
    if queues is not None and pressure != "NO_FLOW":
        text += (
            f"; book pressure (OFI) {'+' if queues > 0 else ''}{readable(queues, 2)} average best queues: {pressure}"
        )
    if directions_disagree(direction, pressure):
        text += "; trades and book disagree"
    told = next((event for event in absorbed if is_worth_telling(event)), None)
    return f"{text}." if told is None else f"{text}. {absorption_text(told, spec, totals.span.secs)}"
