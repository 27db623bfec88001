"""A volume profile in words: its bins as readers see them, the summary, and what limits it."""

from __future__ import annotations

from decimal import Decimal

from vibe_orderbook_mcp.analytics.numbers import decimals, plain, readable
from vibe_orderbook_mcp.analytics.profile.bins import Profile, WidthChoice
from vibe_orderbook_mcp.analytics.profile.coverage import (
    LOW_SAMPLE_TRADES,
    TapeCoverage,
    ago,
    percent,
    short_text,
    window_text,
)
from vibe_orderbook_mcp.analytics.profile.result import End, PriceRange, Standing
from vibe_orderbook_mcp.analytics.profile.shape import Lead, Run, ValueArea
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.model.symbol import SymbolSpec

WIDE_AREA_SHARE = 0.75  # above this a value area is clearly larger than 70 %, and the summary says why


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

    def top(self, index: int) -> str:
        """The end of a bin, as a plain decimal: the next one's edge, or its own price if it is one price."""
        return plain(self.profile.high_edge(index))

    def centre(self, index: int) -> Decimal:
        """The middle of a bin; the price of a bin of one price."""
        return (self.profile.low_edge(index) + self.profile.high_edge(index)) / 2

    def spoken(self, first: int, last: int) -> str:
        """Bins in a sentence: 61,850-61,860; a bin of one price alone: 0.2134."""
        low, high = self.profile.low_edge(first), self.profile.high_edge(last)
        texts = [f"{edge:,.{self._places}f}" for edge in ([low] if low == high else [low, high])]
        return "-".join(texts)

    def range(self, run: Run) -> PriceRange:
        first, last = run
        return PriceRange(low=self.edge(first), high=self.top(last), share=decimals(self.profile.share(first, last), 4))


def profile_summary(
    spec: SymbolSpec,
    prices: BinPrices,
    span: Span,
    tape: TapeCoverage,
    control: int,
    ahead: Lead,
    area: ValueArea,
    single: ValueArea,
) -> str:
    """The sentence up to the part of `standing_text`. `single`: the area by the rule of one row a side."""
    profile = prices.profile
    amount = f"{readable(profile.total / prices.lot_scale)} {spec.base_asset}"
    head = f"{spec.symbol}, {window_text(span, tape)}"
    short = short_text(span, tape)
    if profile.trade_count == 1:
        return f"{head}: {short}a single trade, {amount} at {prices.spoken(control, control)}; one trade has no profile"
    few = f"only {profile.trade_count} trades; " if profile.trade_count < LOW_SAMPLE_TRADES else ""
    top = f"{100 * profile.share(control, control):.1f} %"
    at = prices.spoken(control, control)
    if ahead.rivals:
        second, *more = ahead.rivals
        others = f", and {len(more)} more within 10 % of it" if more else ""
        poc = (
            f"no clear POC: {at} has {top} of {amount}, {prices.spoken(second, second)} "
            f"{100 * profile.share(second, second):.1f} %{others}"
        )
    elif ahead.percent is None:
        poc = f"all of {amount} at {at} (POC)" if top == "100.0 %" else f"most traded at {at} (POC, {top} of {amount})"
    else:
        poc = f"most traded at {at} (POC, {top} of {amount}, {readable(ahead.percent, 2)} % ahead of the next bin)"
    where, why = prices.spoken(area.first, area.last), _why_more(profile, area, single)
    return f"{head}: {short}{few}{poc}; value area {where} holds {100 * area.share:.1f} %{why}"


def _why_more(profile: Profile, area: ValueArea, single: ValueArea) -> str:
    """Why a value area has clearly more than 70 %: bins are too wide if even steps of one bin overshoot."""
    if area.share <= WIDE_AREA_SHARE:
        return ""
    if single.share > WIDE_AREA_SHARE and not profile.one_price:
        return " (bins are too wide for 70 %)"
    if area.last_rows == 0:
        return " (that one price)"
    step = "pair of rows" if area.last_rows > 1 else "row"
    return f" (the last {step} added {readable(100 * area.last_share, 2)} %)"


def standing_text(
    last: Decimal | None, age_secs: float | None, standing: Standing | None, outside_bps: float | None, trades: int
) -> str:
    """The last trade against the value area, with its age if that is more than some seconds."""
    if last is None or standing is None or outside_bps is None or trades == 1:
        return "."
    where = "inside" if standing == "inside" else f"{standing} it by {readable(outside_bps)} bps"
    return f"; last trade {Decimal(plain(last)):,f}{ago(age_secs)} is {where}."


def bin_warnings(profile: Profile, width: WidthChoice, below: End | None, above: End | None) -> list[str]:
    return [*_width_warnings(profile, width), *_end_warnings(below, above)]


def _width_warnings(profile: Profile, width: WidthChoice) -> list[str]:
    if width.wished is None or not (width.rounded or width.coarsened):
        return []
    why = "it would need more than 200 bins" if width.coarsened else "bins are whole multiples of what is stored"
    return [f"tick_size {plain(width.wished)} was widened to {plain(profile.width)}: {why}."]


def _end_warnings(below: End | None, above: End | None) -> list[str]:
    """Far prints beyond the bins: they count in every volume, but are in no bin."""
    return [
        f"{_trades(end.trades)} with {percent(end.share)} % of the volume {name} the bins ({_price(end.low)} to "
        f"{_price(end.high)}): too far away for bins."
        for end, name in ((below, "below"), (above, "above"))
        if end is not None
    ]


def _trades(number: int) -> str:
    return "1 trade" if number == 1 else f"{number:,} trades"


def _price(text: str) -> str:
    return f"{Decimal(plain(Decimal(text))):,f}"
