"""The answer of `get_order_flow`, built from the rows of a window and those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from vibe_orderbook_mcp.analytics.flow.absorption import kappa_ticks, window_absorption
from vibe_orderbook_mcp.analytics.flow.absorption_answer import (
    AbsorptionCheck,
    absorbed_levels,
    absorbed_window,
    absorption_check,
)
from vibe_orderbook_mcp.analytics.flow.impact import amihud, kyle_lambda
from vibe_orderbook_mcp.analytics.flow.impact_answer import amihud_part, kyle_part, volatility_part, vpin_part
from vibe_orderbook_mcp.analytics.flow.order_flow import (
    MIN_BOOK_EVENTS,
    MIN_LABEL_TRADES,
    cvd,
    cvd_z,
    delta_rarity,
    delta_share,
    effective_spread_bps,
    impact_fit,
    normalised_mlofi,
    normalised_ofi,
    ofi_rarity,
    side_rates,
)
from vibe_orderbook_mcp.analytics.flow.past import EqualWindows, Past
from vibe_orderbook_mcp.analytics.flow.result import FlowSide, Impact, OrderFlowAnswer, OrderFlowDetail
from vibe_orderbook_mcp.analytics.flow.steady_labels import steady_flow_direction, steady_ofi_direction
from vibe_orderbook_mcp.analytics.flow.summary import UNHEARD_SECS, flow_summary
from vibe_orderbook_mcp.analytics.flow.toxicity import VolumeVpin
from vibe_orderbook_mcp.analytics.flow.volatility import hour_volatility
from vibe_orderbook_mcp.analytics.numbers import counted, decimals, exact_mid, readable, significant
from vibe_orderbook_mcp.analytics.results import Window, about, iso, iso_second
from vibe_orderbook_mcp.analytics.window_notes import NEAR_SECS, age_warnings, newest_used_ms
from vibe_orderbook_mcp.analytics.window_price import WindowPrice, window_price
from vibe_orderbook_mcp.analytics.windows import (
    OK_COVERAGE,
    Cut,
    Rows,
    SideTotals,
    Span,
    WindowTotals,
    check_coverage,
    quality,
    total,
)
from vibe_orderbook_mcp.model.moment import Status
from vibe_orderbook_mcp.model.rows import RowFlag
from vibe_orderbook_mcp.model.symbol import SymbolSpec

QUOTE_DIGITS = 8


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
    vpin: VolumeVpin | None = None,
    detail: bool = False,
    warnings: Sequence[str] = (),
) -> OrderFlowAnswer:
    """The answer of `get_order_flow`, or a `Refusal` when less than half of the window is covered.

    `rows` holds the window and older seconds, ascending: the labels, the allowance of absorption and the impact fit use
    the hour before. `before` are the equal windows that rarities are ranked in, oldest first; None: take them from
    `rows`. `session` is (buys, sells) in base units since 00:00 UTC, or None while incomplete. `vpin` is that of the
    trades up to now in buckets of a fiftieth of the day's volume (`toxicity.bucket_lots`), or None if it is unknown.
    """
    tick = float(spec.tick_size)
    window = check_coverage(spec.symbol, rows, span)
    totals, price = total(window), window_price(window)
    before = Past.of(rows).windows(span.secs, span.start) if before is None else before
    kappa = kappa_ticks(rows, window, tick)
    by_window = window_absorption(window, before, tick, kappa)
    absorbed = [*absorbed_levels(spec, window, kappa), *absorbed_window(by_window)]
    labels = steady_flow_direction(rows, totals, spec.lot_exp), steady_ofi_direction(rows, totals)
    unusual = ofi_rarity(before, totals)
    unheard = max(0, span.end - -(-as_of_ms // 1000)) if status == "syncing" else 0
    more = None
    if detail:
        check = absorption_check(kappa, by_window, span.secs, len(before))
        more = _detail(spec, rows, window, totals, before, session, vpin, check)
    delta, lacks = delta_share(totals.buy_volume, totals.sell_volume), session is None and detail
    return OrderFlowAnswer(
        **about(spec),
        as_of=iso(newest_used_ms(window, as_of_ms)),
        age_ms=age_ms,
        status=status,
        summary=flow_summary(spec, totals, price, labels, unusual, absorbed, unheard),
        warnings=[*warnings, *(_unheard(unheard, as_of_ms) or age_warnings(window)), *_warnings(totals, price, lacks)],
        window=_window(totals),
        quality=quality(totals.coverage, totals.events, MIN_BOOK_EVENTS),
        **_price_fields(spec, price),
        flow_direction=labels[0],
        low_sample=totals.agg_trades < MIN_LABEL_TRADES and labels[0] != "NO_FLOW",
        buy_volume_base=decimals(totals.buy_volume, spec.lot_exp),
        sell_volume_base=decimals(totals.sell_volume, spec.lot_exp),
        buy_volume_quote=significant(totals.buy_quote, QUOTE_DIGITS),
        sell_volume_quote=significant(totals.sell_quote, QUOTE_DIGITS),
        cvd_base=decimals(cvd(totals), spec.lot_exp),
        delta_pct=None if delta is None else decimals(100 * delta, 1),
        fills=totals.fills,
        ofi_direction=labels[1],
        ofi_base=decimals(totals.ofi, spec.lot_exp),
        ofi_normalised=significant(normalised_ofi(totals), 5),
        ofi_rarity=decimals(unusual, 4),
        bid_adds_per_sec=significant(totals.bid.add_events / totals.covered_secs, 5),
        ask_adds_per_sec=significant(totals.ask.add_events / totals.covered_secs, 5),
        bid_cancel_share=decimals(totals.bid.cancel_share, 4),
        ask_cancel_share=decimals(totals.ask.cancel_share, 4),
        absorption=absorbed,
        detail=more,
    )


def _window(totals: WindowTotals) -> Window:
    return Window(
        start=iso_second(totals.span.start),
        end=iso_second(totals.span.end),
        requested_secs=totals.span.secs,
        covered_secs=decimals(totals.covered_secs, 3),
        coverage=decimals(totals.coverage, 4),
        samples=totals.samples,
    )


class _PriceFields(TypedDict):
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    change_bps: float | None
    range_bps: float | None
    vwap: float | None


def _price_fields(spec: SymbolSpec, price: WindowPrice) -> _PriceFields:
    exact = [
        None if each is None else exact_mid(spec, each) for each in (price.open, price.high, price.low, price.close)
    ]
    return _PriceFields(
        open=exact[0],
        high=exact[1],
        low=exact[2],
        close=exact[3],
        change_bps=decimals(price.change_bps, 3),
        range_bps=decimals(price.range_bps, 3),
        vwap=decimals(price.vwap, spec.tick_exp + 2),
    )


def _detail(
    spec: SymbolSpec,
    rows: Rows,
    window: Cut,
    totals: WindowTotals,
    before: EqualWindows,
    session: tuple[float, float] | None,
    vpin: VolumeVpin | None,
    check: AbsorptionCheck,
) -> OrderFlowDetail:
    tick, end = float(spec.tick_size), window.span.end
    impact, impact_count = impact_fit(rows, end, tick)
    kyle, kyle_count = kyle_lambda(rows, end)
    unusual, windows = delta_rarity(before, window)
    fit = move = None
    if impact is not None:
        fit = Impact(beta_ticks_per_base=significant(impact.beta), r2=decimals(impact.r2, 4), buckets=impact.buckets)
        move = None if not window.mid_start else 1e4 * impact.beta * totals.ofi * tick / window.mid_start
    return OrderFlowDetail(
        bid=_flow_side(totals.bid, totals),
        ask=_flow_side(totals.ask, totals),
        mlofi_base=[decimals(value, spec.lot_exp) for value in totals.mlofi],
        mlofi_normalised=significant(normalised_mlofi(totals), 4),
        impact=fit,
        impact_buckets=impact_count,
        ofi_move_bps=significant(move, 4),
        cvd_quote=significant(totals.buy_quote - totals.sell_quote, QUOTE_DIGITS),
        cvd_z=significant(cvd_z(totals)),
        cvd_session_base=None if session is None else decimals(session[0] - session[1], spec.lot_exp),
        delta_rarity=decimals(unusual, 4),
        delta_windows=windows,
        effective_spread_bps=significant(effective_spread_bps(totals), 5),
        kyle=None if kyle is None else kyle_part(kyle),
        kyle_buckets=kyle_count,
        amihud=amihud_part(amihud(rows, end)),
        volatility=volatility_part(hour_volatility(rows, end)),
        vpin=None if vpin is None else vpin_part(spec, vpin),
        absorption=check,
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
    return [f"No data after {iso(as_of_ms)}: trades of the window's last {secs} s are not in these volumes."]


def _warnings(totals: WindowTotals, price: WindowPrice, no_session: bool) -> list[str]:
    out = []
    if totals.coverage < OK_COVERAGE:
        out.append(
            f"Only {readable(totals.covered_secs)} of {totals.span.secs} s are covered: figures of the book describe"
            " those, and rates are per covered second."
        )
    if price.close_at is not None and (late := totals.span.end - price.close_at) > NEAR_SECS:
        out.append(
            f"The newest mid, and so close, is from {iso_second(price.close_at)}, {late} s before the window's end."
        )
    if totals.flags & (RowFlag.GAP | RowFlag.RESYNC):
        out.append("The book was resynchronised inside the window.")
    if totals.missing_trades is None:
        out.append("The stream was interrupted inside the window: how many trades are missing is unknown.")
    elif totals.missing_trades:
        missing = counted(totals.missing_trades, "trade")
        out.append(f"{missing} of the window {'is' if totals.missing_trades == 1 else 'are'} missing (by their ids).")
    if totals.events < MIN_BOOK_EVENTS:
        out.append(
            f"Only {counted(totals.events, 'book update')} in the window: too few for a dependable OFI and flow rates."
        )
    if no_session:
        out.append("No cvd_session_base: some trades since 00:00 UTC are not recorded.")
    return out
