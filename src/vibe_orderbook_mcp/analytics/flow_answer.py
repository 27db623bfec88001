"""The answer of `get_order_flow`, built from the rows of a window and those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from vibe_orderbook_mcp.analytics.absorption import (
    ABSORBERS,
    WINDOWS_NEEDED,
    Absorber,
    WindowAbsorption,
    absorber,
    kappa_ticks,
    level_absorption,
    replenished,
    window_absorption,
)
from vibe_orderbook_mcp.analytics.impact import amihud, kyle_lambda
from vibe_orderbook_mcp.analytics.impact_answer import (
    AmihudIlliquidity,
    KyleImpact,
    RealisedVolatility,
    VpinFigure,
    amihud_part,
    kyle_part,
    volatility_part,
    vpin_part,
)
from vibe_orderbook_mcp.analytics.numbers import decimals, exact_price, readable, significant
from vibe_orderbook_mcp.analytics.order_flow import (
    MIN_BOOK_EVENTS,
    MIN_LABEL_FILLS,
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
from vibe_orderbook_mcp.analytics.past import EqualWindow, Past
from vibe_orderbook_mcp.analytics.results import (
    Answer,
    Status,
    Window,
    WindowedEnvelope,
    iso,
    iso_second,
    left_out_if_false,
    left_out_if_none,
)
from vibe_orderbook_mcp.analytics.toxicity import VolumeBuckets
from vibe_orderbook_mcp.analytics.volatility import hour_volatility
from vibe_orderbook_mcp.analytics.windows import (
    OK_COVERAGE,
    Cut,
    Quality,
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

LEVELS_SHOWN = 3
QUOTE_DIGITS = 8


class AbsorptionEvent(Answer):
    """Aggression that was taken in without the price giving way. Says nothing about who did it."""

    direction: Absorber = Field(description="passive_buying: bids took in sells; passive_selling: asks took in buys.")
    rule: Literal["level", "window"] = Field(
        description="level: one refilled price; window: rare volume per tick of adverse move over the window."
    )
    price: str | None = left_out_if_none("The level's price (rule level).")
    traded_base: float | None = left_out_if_none("Base units that traded against the level.")
    trades: int | None = left_out_if_none("Fills against the level.")
    shown_max_base: float | None = left_out_if_none("The most the level ever displayed, in base units.")
    replenished_base: float | None = left_out_if_none("Base units that were put back at the level.")
    base_per_tick: float | None = left_out_if_none("Aggressive base units per tick of adverse move (rule window).")
    rarity: float | None = left_out_if_none("Rank of base_per_tick among earlier equal windows, 0 to 1.")


class FlowSide(Answer):
    """Additions to and cancellations from one side of the book; lower bounds, since 100 ms frames net out."""

    added_base_per_s: float = Field(description="Base units added per second.")
    cancelled_base_per_s: float = Field(description="Base units cancelled per second (trades not counted).")
    added_quote_per_s: float = Field(description="Quote units added per second, valued at mid.")
    cancelled_quote_per_s: float = Field(description="Quote units cancelled per second, valued at mid.")
    added_levels_per_s: float = Field(description="Levels that grew, per second.")
    cancelled_levels_per_s: float = Field(description="Levels that shrank by cancelling, per second.")


class Impact(Answer):
    """Least squares of mid change on OFI over 10 s buckets of the trailing hour."""

    beta_ticks_per_base: float = Field(description="Ticks that mid moved per base unit of OFI.")
    r2: float | None = Field(description="Share of mid's variance explained, 0 to 1. Null: mid never moved.")
    buckets: int = Field(description="10 s buckets used; at least 30.")


class AbsorptionCheck(Answer):
    """What the absorption rules were measured against."""

    allowance_ticks: float = Field(description="Adverse mid move that the level rule lets pass, in ticks.")
    kappa_ticks: float | None = Field(
        description="Median absolute mid move of equal windows in the hour before, in ticks. Null: under 15 minutes"
        " of history, so the allowance is one tick."
    )
    buying_base_per_tick: float | None = Field(description="Aggressive sells per tick that mid fell (at least 1).")
    buying_rarity: float | None = Field(description="Its rank among earlier equal windows, 0 to 1. Null: too few.")
    selling_base_per_tick: float | None = Field(description="Aggressive buys per tick that mid rose (at least 1).")
    selling_rarity: float | None = Field(description="Its rank among earlier equal windows, 0 to 1. Null: too few.")
    windows: int = Field(description="Earlier equal windows there are.")
    windows_needed: int = Field(description="Earlier equal windows needed for a rarity.")


class OrderFlowDetail(Answer):
    """Everything beyond the headline."""

    bid: FlowSide = Field(description="Additions and cancellations of bids.")
    ask: FlowSide = Field(description="Additions and cancellations of asks.")
    mlofi_base: list[float] = Field(description="Order-flow imbalance of the best 10 levels, base units, best first.")
    mlofi_normalised: float | None = Field(description="Mean over levels of imbalance / average size at the level.")
    impact: Impact | None = Field(description="Price impact of OFI. Null: under 30 buckets, or no flow.")
    impact_buckets: int = Field(description="10 s buckets there are for the impact fit; 30 are needed.")
    cvd_quote: float = Field(description="Aggressive buys minus sells in quote units.")
    cvd_z: float | None = Field(description="cvd / sqrt(sum of squared sizes); a diagnostic, not a probability.")
    cvd_session_base: float | None = Field(description="cvd since 00:00 UTC, base units. Null: not complete.")
    delta_rarity: float | None = Field(
        description="Rank of |delta_pct| among earlier equal windows, 0 to 1. Null: fewer than 30 of them."
    )
    delta_windows: int = Field(description="Earlier equal windows that delta_rarity is measured against.")
    effective_spread_bps: float | None = Field(
        description="What takers paid against mid just before, both ways, volume-weighted. Null: no trades."
    )
    kyle: KyleImpact | None = Field(description="Price impact of trades. Null: under 30 buckets, or no trades.")
    kyle_buckets: int = Field(description="10 s buckets there are for kyle; 30 are needed.")
    amihud: AmihudIlliquidity = Field(description="Illiquidity.")
    volatility: RealisedVolatility = Field(description="Realised volatility.")
    vpin: VpinFigure | None = Field(description="Toxicity of flow. Null: the day's volume is not known yet.")
    absorption: AbsorptionCheck = Field(description="How the absorption rules were applied.")


class OrderFlowAnswer(WindowedEnvelope):
    """Who was aggressive, how the book answered, and whether something took it in."""

    quality: Quality = Field(description="ok: >= 95 % covered and >= 10 book events; partial: >= 50 % covered.")
    flow_direction: FlowDirection = Field(
        description="From traded volume: buys / sells >= 2 STRONG_BUY, >= 1.2 MODERATE_BUY, mirrored for sells."
    )
    low_sample: bool = left_out_if_false("Present and true: fewer than 20 fills, the label says little.")
    buy_volume_base: float = Field(description="Aggressive buys in base units.")
    sell_volume_base: float = Field(description="Aggressive sells in base units.")
    buy_volume_quote: float = Field(description="Aggressive buys in quote units.")
    sell_volume_quote: float = Field(description="Aggressive sells in quote units.")
    cvd_base: float = Field(description="Cumulative volume delta: aggressive buys minus sells, base units.")
    delta_pct: float | None = Field(description="cvd / traded volume as a fraction, -1 to 1. Null: no trades.")
    fills: int = Field(description="Single fills in the window.")
    ofi_direction: OfiDirection = Field(
        description="Sign of order-flow imbalance at the touch; NEUTRAL within one average best queue (our choice)."
    )
    ofi_base: float = Field(description="Order-flow imbalance at the touch, base units, from 100 ms states.")
    ofi_normalised: float | None = Field(description="ofi_base / average best size: in average best queues.")
    bid_flow_rate: float = Field(description="Bid levels added to, per second; a lower bound.")
    ask_flow_rate: float = Field(description="Ask levels added to, per second; a lower bound.")
    bid_cancel_share: float | None = Field(description="Cancelled / (added + cancelled) bid size, 0 to 1.")
    ask_cancel_share: float | None = Field(description="Cancelled / (added + cancelled) ask size, 0 to 1.")
    absorption: list[AbsorptionEvent] = Field(description="Aggression taken in without price giving way; empty: none.")
    detail: OrderFlowDetail | None = left_out_if_none("Present when asked for with detail=true.")


def order_flow_answer(
    spec: SymbolSpec,
    rows: Rows,
    span: Span,
    *,
    as_of_ms: int,
    age_ms: int,
    status: Status,
    before: Sequence[EqualWindow] | None = None,
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
    by_window = {kind: window_absorption(window, before, kind, tick) for kind in ABSORBERS}
    absorbed = _absorption_events(spec, window, tick, kappa, by_window)
    direction, pressure = flow_direction(totals.buy_volume, totals.sell_volume), ofi_direction(totals)
    grade = quality(totals.coverage, totals.events, MIN_BOOK_EVENTS)
    bid_rates, ask_rates = _flow_side(totals.bid, totals), _flow_side(totals.ask, totals)
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
            absorption=_absorption_check(kappa, by_window, len(before)),
        )
    return OrderFlowAnswer(
        symbol=spec.symbol,
        as_of=iso(as_of_ms),
        age_ms=age_ms,
        status=status,
        summary=_summary(spec, totals, direction, pressure, absorbed),
        warnings=[*warnings, *_warnings(totals, session is None and detail)],
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
        low_sample=totals.fills < MIN_LABEL_FILLS and direction != "NO_FLOW",
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


def _absorption_events(
    spec: SymbolSpec,
    window: Cut,
    tick: float,
    kappa: float | None,
    by_window: dict[Absorber, WindowAbsorption | None],
) -> list[AbsorptionEvent]:
    levels = [
        AbsorptionEvent(
            direction=absorber(level.side),
            rule="level",
            price=exact_price(spec, level.price),
            traded_base=decimals(level.traded, spec.lot_exp),
            trades=level.trades,
            shown_max_base=decimals(level.shown_max, spec.lot_exp),
            replenished_base=decimals(replenished(level), spec.lot_exp),
        )
        for level in level_absorption(window, tick, kappa)[:LEVELS_SHOWN]
    ]
    windows = [
        AbsorptionEvent(
            direction=kind,
            rule="window",
            base_per_tick=significant(found.base_per_tick, 5),
            rarity=decimals(found.rarity, 4),
        )
        for kind, found in by_window.items()
        if found is not None and found.is_event
    ]
    return levels + windows


def _absorption_check(
    kappa: float | None, by_window: dict[Absorber, WindowAbsorption | None], windows: int
) -> AbsorptionCheck:
    buying, selling = by_window["passive_buying"], by_window["passive_selling"]
    return AbsorptionCheck(
        allowance_ticks=significant(max(1.0, kappa or 0.0), 5),
        kappa_ticks=significant(kappa, 5),
        buying_base_per_tick=None if buying is None else significant(buying.base_per_tick, 5),
        buying_rarity=None if buying is None else decimals(buying.rarity, 4),
        selling_base_per_tick=None if selling is None else significant(selling.base_per_tick, 5),
        selling_rarity=None if selling is None else decimals(selling.rarity, 4),
        windows=windows if buying is None else buying.windows,
        windows_needed=WINDOWS_NEEDED,
    )


def _warnings(totals: WindowTotals, no_session: bool) -> list[str]:
    out = []
    if totals.coverage < OK_COVERAGE:
        out.append(
            f"Only {readable(totals.covered_secs)} of {totals.span.secs} s are covered: sums are of what was seen,"
            " rates are per covered second."
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
) -> str:
    base, delta = spec.base_asset, delta_pct(totals.buy_volume, totals.sell_volume)
    part = "" if totals.coverage >= OK_COVERAGE else f" ({readable(totals.covered_secs)} s of it covered)"
    head = f"{spec.symbol}, {totals.span.secs} s{part}: "
    if delta is None:
        text = f"{head}no trades (NO_FLOW)"
    else:
        fills = f"{totals.fills:,} fill{'' if totals.fills == 1 else 's'}"
        few = f", fewer than {MIN_LABEL_FILLS} fills" if totals.fills < MIN_LABEL_FILLS else ""
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
    return f"{text}." + "".join(f" {_absorption_text(event, spec)}" for event in absorbed[:1])


def _absorption_text(event: AbsorptionEvent, spec: SymbolSpec) -> str:
    kind = "Passive buying" if event.direction == "passive_buying" else "Passive selling"
    if event.price is None or event.traded_base is None or event.shown_max_base is None:
        return f"{kind}: volume per tick of adverse move is rare (rank {event.rarity})."
    return (
        f"{kind} at {float(event.price):,.{spec.tick_exp}f}: {readable(event.traded_base)} {spec.base_asset} traded"
        f" against at most {readable(event.shown_max_base)} shown."
    )
