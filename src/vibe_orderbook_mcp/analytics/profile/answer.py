"""The answer of `get_volume_profile`: the prices at which the last hours traded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict

from vibe_orderbook_mcp.analytics.numbers import decimals, exact_price, plain, significant
from vibe_orderbook_mcp.analytics.profile.bins import Bin, PriceHistogram, Profile, choose_width, is_one_price, rebinned
from vibe_orderbook_mcp.analytics.profile.coverage import (
    LOW_SAMPLE_TRADES,
    TapeCoverage,
    check_tape,
    nothing_traded,
    tape_quality,
    tape_warnings,
    tape_window,
)
from vibe_orderbook_mcp.analytics.profile.result import (
    End,
    OtherValueArea,
    PriceRange,
    ProfileDetail,
    Standing,
    VolumeProfileAnswer,
)
from vibe_orderbook_mcp.analytics.profile.shape import (
    Run,
    ValueArea,
    ValueAreaRule,
    lead,
    nodes,
    point_of_control,
    value_area,
)
from vibe_orderbook_mcp.analytics.profile.text import (
    BinPrices,
    bin_warnings,
    profile_summary,
    standing_text,
)
from vibe_orderbook_mcp.analytics.results import about, iso
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.model.moment import Status
from vibe_orderbook_mcp.model.symbol import SymbolSpec

NODES_SHOWN = 3
QUOTE_DIGITS = 10


def volume_profile_answer(
    spec: SymbolSpec,
    histogram: PriceHistogram,
    span: Span,
    tape: TapeCoverage,
    *,
    as_of_ms: int,
    now_ms: int,
    age_ms: int,
    status: Status,
    tick_size: Decimal | None = None,
    rule: ValueAreaRule = "cbot",
    detail: bool = False,
    warnings: Sequence[str] = (),
) -> VolumeProfileAnswer:
    """The answer of `get_volume_profile`, or a `Refusal` when nothing of the window can be answered.

    `histogram` holds the trades of `tape.answered(span)`; `tick_size` is the requested bin width; `now_ms` is exchange
    time.
    """
    share = check_tape(spec.symbol, span, tape)
    width = choose_width(histogram, spec, tick_size)
    one_price = is_one_price(histogram, spec, width.width_ticks)
    profile = rebinned(histogram, width.width_ticks, width.within, one_price=one_price)
    control = None if profile is None else point_of_control(profile.volume)
    if profile is None or control is None:
        raise nothing_traded(spec.symbol, tape.answered(span))
    area, other = (value_area(profile.volume, each, profile.total) for each in (rule, _other(rule)))
    if area is None or other is None:
        raise nothing_traded(spec.symbol, tape.answered(span))
    single = area if rule == "single_row" else other
    trades, prices, ahead = profile.trade_count, BinPrices(profile), lead(profile.volume, control)
    high_nodes, low_nodes = nodes(profile.volume)
    last = _last_trade(spec, histogram, now_ms)
    standing, outside_bps = _standing(profile, area, last.price)
    below, above = _ends(spec, histogram, prices)
    return VolumeProfileAnswer(
        **about(spec),
        as_of=iso(as_of_ms),
        age_ms=age_ms,
        status=status,
        summary=profile_summary(spec, prices, span, tape, control, ahead, area, single)
        + standing_text(last.price, last.age_secs, standing, outside_bps, trades),
        warnings=[*warnings, *tape_warnings(span, tape, trades), *bin_warnings(profile, width, below, above)],
        window=tape_window(span, tape, trades),
        quality=tape_quality(share),
        duration_hours=span.secs // 3600,
        poc=plain(prices.centre(control)),
        poc_bin=prices.range((control, control)),
        poc_lead_pct=significant(ahead.percent, 3),
        poc_rivals=_first(prices, [(index, index) for index in ahead.rivals]),
        value_area_high=prices.top(area.last),
        value_area_low=prices.edge(area.first),
        value_area_share=decimals(area.share, 4),
        value_area_rule=rule,
        last_price=last.text,
        last_trade_age_secs=decimals(last.age_secs, 1),
        last_vs_value_area=standing,
        value_area_distance_bps=significant(outside_bps, 4),
        poc_distance_bps=_poc_distance(last.price, prices.centre(control)),
        **_volumes(spec, histogram, profile),
        bin_width=plain(profile.width),
        high_inclusive=one_price,
        bins=len(profile.volume),
        below_bins=below,
        above_bins=above,
        high_volume_nodes=_first(prices, sorted(high_nodes, key=lambda run: -profile.share(*run))),
        low_volume_nodes=_first(prices, sorted(low_nodes, key=lambda run: _distance(profile, run, last.price))),
        detail=_detail(prices, area, other, rule, high_nodes, low_nodes) if detail else None,
    )


class _Volumes(TypedDict):
    """The fields of total volume and of the price range."""

    total_volume_base: float
    total_volume_quote: float
    buy_volume_base: float
    sell_volume_base: float
    delta_base: float
    delta_pct: float
    high: str
    low: str
    trades: int
    low_sample: bool


def _volumes(spec: SymbolSpec, histogram: PriceHistogram, profile: Profile) -> _Volumes:
    buy, sell = profile.buys_and_sells
    lot_scale: int = 10**profile.lot_exp
    quote = histogram.buy_quote_units + histogram.sell_quote_units
    return _Volumes(
        total_volume_base=profile.total / lot_scale,
        total_volume_quote=significant(quote / (lot_scale * 10**profile.tick_exp), QUOTE_DIGITS),
        buy_volume_base=buy / lot_scale,
        sell_volume_base=sell / lot_scale,
        delta_base=(buy - sell) / lot_scale,
        delta_pct=decimals(100 * (buy - sell) / profile.total, 2),
        high=_traded(spec, histogram.high_ticks, profile.tick_exp),
        low=_traded(spec, histogram.low_ticks, profile.tick_exp),
        trades=profile.trade_count,
        low_sample=profile.trade_count < LOW_SAMPLE_TRADES,
    )


@dataclass(frozen=True, slots=True)
class _LastTrade:
    """The newest trade of the window: its price, that price in the exchange's spelling, its age. None without one."""

    price: Decimal | None = None
    text: str | None = None
    age_secs: float | None = None


def _last_trade(spec: SymbolSpec, histogram: PriceHistogram, now_ms: int) -> _LastTrade:
    if histogram.last_ticks is None:
        return _LastTrade()
    text = _traded(spec, histogram.last_ticks, histogram.tick_exp)
    age_secs = None if histogram.last_ms is None else max(0, now_ms - histogram.last_ms) / 1000
    return _LastTrade(Decimal(text), text, age_secs)


def _poc_distance(last: Decimal | None, poc: Decimal) -> float | None:
    return None if last is None else significant(_bps(last, poc), 4)


def _first(prices: BinPrices, found: Sequence[Run]) -> list[PriceRange]:
    return [prices.range(run) for run in found[:NODES_SHOWN]]


def _other(rule: ValueAreaRule) -> ValueAreaRule:
    return "single_row" if rule == "cbot" else "cbot"


def _standing(profile: Profile, area: ValueArea, last: Decimal | None) -> tuple[Standing | None, float | None]:
    """Whether a price is above, inside (edges included) or below the value area, and its distance in bps of the
    edge."""
    if last is None:
        return None, None
    low, high = profile.low_edge(area.first), profile.high_edge(area.last)
    if last > high:
        return "above", _bps(last, high)
    if last < low:
        return "below", -_bps(last, low)
    return "inside", 0.0


def _bps(price: Decimal, reference: Decimal) -> float:
    return float(10_000 * (price - reference) / reference)


def _distance(profile: Profile, run: Run, last: Decimal | None) -> Decimal:
    """Distance from the price to the nearer edge of the bins; 0 inside, and 0 without a price."""
    if last is None:
        return Decimal(0)
    return max(Decimal(0), profile.low_edge(run[0]) - last, last - profile.high_edge(run[1]))


def _traded(spec: SymbolSpec, ticks: int | None, tick_exp: int) -> str:
    return exact_price(spec, (ticks or 0) / 10**tick_exp)


def _ends(spec: SymbolSpec, histogram: PriceHistogram, prices: BinPrices) -> tuple[End | None, End | None]:
    """Volume below and above the bins."""
    profile = prices.profile

    def end(part: Bin, low: str, high: str) -> End | None:
        lots = part[0] + part[1]
        if part[2] == 0:
            return None
        share = significant(lots / profile.total, 4)
        return End(low=low, high=high, volume_base=lots / prices.lot_scale, share=share, trades=part[2])

    low, high = (_traded(spec, ticks, profile.tick_exp) for ticks in (histogram.low_ticks, histogram.high_ticks))
    return end(profile.below, low, prices.top(-1)), end(profile.above, prices.edge(len(profile.volume)), high)


def _detail(
    prices: BinPrices,
    area: ValueArea,
    other: ValueArea,
    rule: ValueAreaRule,
    high_nodes: Sequence[Run],
    low_nodes: Sequence[Run],
) -> ProfileDetail:
    profile = prices.profile
    return ProfileDetail(
        low=prices.edge(0),
        buy_base=[lots / prices.lot_scale for lots in profile.buy],
        sell_base=[lots / prices.lot_scale for lots in profile.sell],
        trades=list(profile.trades),
        value_area_high_centre=plain(prices.centre(area.last)),
        value_area_low_centre=plain(prices.centre(area.first)),
        other_value_area=OtherValueArea(
            rule=_other(rule),
            low=prices.edge(other.first),
            high=prices.top(other.last),
            share=decimals(other.share, 4),
        ),
        high_volume_nodes=[prices.range(run) for run in high_nodes],
        low_volume_nodes=[prices.range(run) for run in low_nodes],
    )
