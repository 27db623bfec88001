"""The answer of `get_volume_profile`: at which prices the trading of the last hours took place."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

from pydantic import Field

from vibe_orderbook_mcp.analytics.numbers import decimals, exact_price, plain, readable, significant
from vibe_orderbook_mcp.analytics.profile import PriceHistogram, Profile, WidthChoice, choose_width, rebinned
from vibe_orderbook_mcp.analytics.profile_coverage import (
    LOW_SAMPLE_TRADES,
    TapeCoverage,
    check_tape,
    nothing_traded,
    percent,
    tape_quality,
    tape_warnings,
    tape_window,
)
from vibe_orderbook_mcp.analytics.profile_shape import (
    Run,
    ValueArea,
    ValueAreaRule,
    nodes,
    point_of_control,
    value_area,
)
from vibe_orderbook_mcp.analytics.results import (
    Answer,
    Status,
    WindowedEnvelope,
    iso,
    left_out_if_false,
    left_out_if_none,
)
from vibe_orderbook_mcp.analytics.windows import Quality, Span
from vibe_orderbook_mcp.core.symbol import SymbolSpec

NODES_SHOWN = 3
QUOTE_DIGITS = 10

Standing = Literal["above", "inside", "below"]


class PriceRange(Answer):
    """Prices from `low` (inclusive) to `high` (exclusive), and what was traded there."""

    low: str = Field(description="Lower edge, quote units.")
    high: str = Field(description="Upper edge, quote units; the next bin starts there.")
    share: float = Field(description="Part of the window's volume that was traded there, 0 to 1.")


class OtherValueArea(Answer):
    """The value area by the other rule."""

    rule: ValueAreaRule = Field(description="single_row: one row a side at a time; cbot: two.")
    low: str = Field(description="Lower edge, quote units.")
    high: str = Field(description="Upper edge, quote units.")
    share: float = Field(description="Part of the volume that it holds.")


class ProfileDetail(Answer):
    """The whole histogram as columns: bin i spans low + i * bin_width (inclusive) to low + (i + 1) * bin_width."""

    low: str = Field(description="Lower edge of the first bin, quote units.")
    buy_base: list[float] = Field(description="Aggressive buys by bin, base units, lowest price first.")
    sell_base: list[float] = Field(description="Aggressive sells by bin, base units.")
    trades: list[int] = Field(description="Aggregate trades by bin.")
    value_area_high_centre: str = Field(description="Centre of the value area's top bin.")
    value_area_low_centre: str = Field(description="Centre of the value area's bottom bin.")
    other_value_area: OtherValueArea = Field(description="The value area by the other common rule.")
    high_volume_nodes: list[PriceRange] = Field(description="All of them, lowest price first.")
    low_volume_nodes: list[PriceRange] = Field(description="All of them, lowest price first.")


class VolumeProfileAnswer(WindowedEnvelope):
    """Where the volume of a window was traded, every trade in full at its own price."""

    quality: Quality = Field(description="ok: >= 95 % of the window's trades held; partial: fewer.")
    duration_hours: int = Field(description="Length of the window in hours.")
    poc: str = Field(description="Point of control: centre of the bin with most volume, quote units.")
    poc_bin: PriceRange = Field(description="That bin.")
    value_area_high: str = Field(description="Upper edge (exclusive) of the value area (VAH), quote units.")
    value_area_low: str = Field(description="Lower edge of the value area (VAL), quote units.")
    value_area_share: float = Field(description="Part of the volume inside: 0.7 or, since rows are whole, more.")
    value_area_rule: ValueAreaRule = Field(description="cbot: grown from the POC by two rows at a time.")
    last_price: str | None = Field(description="The price that is compared with the value area. Null: none known.")
    last_vs_value_area: Standing | None = Field(description="Where last_price stands. Null without one.")
    value_area_distance_bps: float | None = Field(
        description="How far last_price stands outside the value area, bps of its nearer edge; 0 inside."
    )
    poc_distance_bps: float | None = Field(description="last_price against poc in bps; negative: below it.")
    total_volume_base: float = Field(description="Traded volume in base units.")
    total_volume_quote: float = Field(description="Traded volume in quote units.")
    buy_volume_base: float = Field(description="Of it, aggressive buys.")
    sell_volume_base: float = Field(description="Of it, aggressive sells.")
    delta_base: float = Field(description="Aggressive buys minus sells, base units.")
    delta_pct: float = Field(description="delta / total in per cent, -100 to 100.")
    high: str = Field(description="Highest traded price; exact decimal.")
    low: str = Field(description="Lowest traded price; exact decimal.")
    trades: int = Field(description="Aggregate trades in the window (fills of one order at one price count once).")
    low_sample: bool = left_out_if_false("Present and true: fewer than 300 trades, the shape says little.")
    bin_width: str = Field(description="Width of a bin in quote units; edges are multiples of it.")
    bins: int = Field(description="Bins from low to high, empty ones included.")
    high_volume_nodes: list[PriceRange] = Field(description="Prices that trade gathers at: largest first, at most 3.")
    low_volume_nodes: list[PriceRange] = Field(
        description="Prices that trade passed by: nearest to last_price first, at most 3."
    )
    detail: ProfileDetail | None = left_out_if_none("Present when asked for with detail=true.")


def volume_profile_answer(
    spec: SymbolSpec,
    histogram: PriceHistogram,
    span: Span,
    tape: TapeCoverage,
    *,
    as_of_ms: int,
    age_ms: int,
    status: Status,
    last_price: float | None = None,
    tick_size: Decimal | None = None,
    rule: ValueAreaRule = "cbot",
    detail: bool = False,
    warnings: Sequence[str] = (),
) -> VolumeProfileAnswer:
    """The answer of `get_volume_profile`, or a `Refusal` when less than half of the window's trades are held.

    `histogram` holds the trades of `span`; `last_price` is mid or the last trade; `tick_size` the bins wished for.
    """
    share = check_tape(spec.symbol, span, tape)
    width = choose_width(histogram, spec, tick_size)
    profile = rebinned(histogram, width.width_ticks)
    control = None if profile is None else point_of_control(profile.volume)
    area, other = (None if profile is None else value_area(profile.volume, each) for each in (rule, _other(rule)))
    if profile is None or control is None or area is None or other is None:
        raise nothing_traded(spec.symbol, span)
    trades = sum(profile.trades)
    prices = BinPrices(profile)
    high_nodes, low_nodes = nodes(profile.volume)
    last = None if last_price is None else Decimal(exact_price(spec, last_price))
    standing, outside_bps = _standing(profile, area, last)
    buy, sell, lot_scale = sum(profile.buy), sum(profile.sell), prices.lot_scale
    quote = histogram.buy_quote_units + histogram.sell_quote_units
    return VolumeProfileAnswer(
        symbol=spec.symbol,
        as_of=iso(as_of_ms),
        age_ms=age_ms,
        status=status,
        summary=_summary(spec, prices, span, share, area) + _standing_text(last, standing, outside_bps),
        warnings=[*warnings, *tape_warnings(span, tape, share, trades), *_width_warnings(profile, width)],
        window=tape_window(span, share, trades),
        quality=tape_quality(share),
        duration_hours=span.secs // 3600,
        poc=plain(prices.centre(control)),
        poc_bin=prices.range((control, control)),
        value_area_high=prices.edge(area.last + 1),
        value_area_low=prices.edge(area.first),
        value_area_share=decimals(area.share, 4),
        value_area_rule=rule,
        last_price=None if last_price is None else exact_price(spec, last_price),
        last_vs_value_area=standing,
        value_area_distance_bps=significant(outside_bps, 4),
        poc_distance_bps=None if last is None else significant(_bps(last, prices.centre(control)), 4),
        total_volume_base=profile.total / lot_scale,
        total_volume_quote=significant(quote / (lot_scale * 10**profile.tick_exp), QUOTE_DIGITS),
        buy_volume_base=buy / lot_scale,
        sell_volume_base=sell / lot_scale,
        delta_base=(buy - sell) / lot_scale,
        delta_pct=decimals(100 * (buy - sell) / profile.total, 2),
        high=_traded(spec, histogram.high_ticks, profile.tick_exp),
        low=_traded(spec, histogram.low_ticks, profile.tick_exp),
        trades=trades,
        low_sample=trades < LOW_SAMPLE_TRADES,
        bin_width=plain(profile.width),
        bins=len(profile.volume),
        high_volume_nodes=[
            prices.range(run) for run in sorted(high_nodes, key=lambda run: -profile.share(*run))[:NODES_SHOWN]
        ],
        low_volume_nodes=[
            prices.range(run) for run in sorted(low_nodes, key=lambda run: _distance(profile, run, last))[:NODES_SHOWN]
        ],
        detail=_detail(prices, area, other, rule, high_nodes, low_nodes) if detail else None,
    )


class BinPrices:
    """A profile's bins as readers see them."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.lot_scale: int = 10**profile.lot_exp
        exponent = profile.width.normalize().as_tuple().exponent
        self._places = max(0, -exponent) if isinstance(exponent, int) else 0

    def edge(self, index: int) -> str:
        """The lower edge of a bin, as a plain decimal."""
        return plain(self.profile.low_edge(index))

    def centre(self, index: int) -> Decimal:
        return (self.profile.low_edge(index) + self.profile.low_edge(index + 1)) / 2

    def spoken(self, first: int, last: int) -> str:
        """Bins in a sentence: 61,850-61,860."""
        low, high = self.profile.low_edge(first), self.profile.low_edge(last + 1)
        return f"{low:,.{self._places}f}-{high:,.{self._places}f}"

    def range(self, run: Run) -> PriceRange:
        first, last = run
        return PriceRange(
            low=self.edge(first), high=self.edge(last + 1), share=decimals(self.profile.share(first, last), 4)
        )


def _other(rule: ValueAreaRule) -> ValueAreaRule:
    return "single_row" if rule == "cbot" else "cbot"


def _standing(profile: Profile, area: ValueArea, last: Decimal | None) -> tuple[Standing | None, float | None]:
    """Where a price stands against the value area, edges included, and how far outside, in bps of the edge."""
    if last is None:
        return None, None
    low, high = profile.low_edge(area.first), profile.low_edge(area.last + 1)
    if last > high:
        return "above", _bps(last, high)
    if last < low:
        return "below", -_bps(last, low)
    return "inside", 0.0


def _bps(price: Decimal, reference: Decimal) -> float:
    return float(10_000 * (price - reference) / reference)


def _distance(profile: Profile, run: Run, last: Decimal | None) -> Decimal:
    """From the price to the nearer edge of the bins; 0 inside, and for every run where there is no price."""
    if last is None:
        return Decimal(0)
    return max(Decimal(0), profile.low_edge(run[0]) - last, last - profile.low_edge(run[1] + 1))


def _traded(spec: SymbolSpec, ticks: int | None, tick_exp: int) -> str:
    return exact_price(spec, (ticks or 0) / 10**tick_exp)


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
            high=prices.edge(other.last + 1),
            share=decimals(other.share, 4),
        ),
        high_volume_nodes=[prices.range(run) for run in high_nodes],
        low_volume_nodes=[prices.range(run) for run in low_nodes],
    )


def _width_warnings(profile: Profile, width: WidthChoice) -> list[str]:
    if width.wished is None or not (width.rounded or width.coarsened):
        return []
    why = "it would need more than 200 bins" if width.coarsened else "bins are whole multiples of what is stored"
    return [f"tick_size {plain(width.wished)} was widened to {plain(profile.width)}: {why}."]


def _summary(spec: SymbolSpec, prices: BinPrices, span: Span, share: float, area: ValueArea) -> str:
    profile = prices.profile
    control = point_of_control(profile.volume) or 0
    held = "" if share >= 1.0 else f" ({percent(share)} % of it covered)"
    return (
        f"{spec.symbol}, {readable(span.secs / 3600)} h{held}: most traded at {prices.spoken(control, control)} (POC,"
        f" {100 * profile.share(control, control):.1f} % of {readable(profile.total / prices.lot_scale)}"
        f" {spec.base_asset}); value area {prices.spoken(area.first, area.last)} holds {100 * area.share:.1f} %"
    )


def _standing_text(last: Decimal | None, standing: Standing | None, outside_bps: float | None) -> str:
    if last is None or standing is None or outside_bps is None:
        return "."
    where = "inside" if standing == "inside" else f"{standing} it by {readable(outside_bps)} bps"
    return f"; last {Decimal(plain(last)):,f} is {where}."
