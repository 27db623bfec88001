"""What `get_volume_profile` answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vibe_orderbook_mcp.analytics.profile.shape import ValueAreaRule
from vibe_orderbook_mcp.analytics.results import Answer, WindowedEnvelope, left_out_if_false, left_out_if_none
from vibe_orderbook_mcp.analytics.windows import Quality

Standing = Literal["above", "inside", "below"]


class PriceRange(Answer):
    """Prices from `low` to `high`, and the volume there."""

    low: str = Field(description="Lower edge (inclusive), quote units.")
    high: str = Field(
        description="Upper edge (exclusive), quote units: the next bin starts there. With high_inclusive: the highest "
        "price itself."
    )
    share: float = Field(description="Share of the window's volume, 0 to 1.")


class End(Answer):
    """Volume beyond the bins: so small and so far away that bins reaching there would be too wide."""

    low: str = Field(description="Lowest price, quote units.")
    high: str = Field(description="Highest price, quote units; below the bins: where they start.")
    volume_base: float = Field(description="Volume, base units.")
    share: float = Field(description="Share of the window's volume, 0 to 1.")
    trades: int = Field(description="Aggregate trades.")


class OtherValueArea(Answer):
    """The value area by the other rule."""

    rule: ValueAreaRule = Field(description="single_row: one row a side at a time; cbot: two.")
    low: str = Field(description="Lower edge, quote units.")
    high: str = Field(description="Upper edge, quote units; as value_area_high.")
    share: float = Field(description="Share of the volume inside.")


class ProfileDetail(Answer):
    """The whole histogram as columns: bin i spans low + i * bin_width (inclusive) to low + (i + 1) * bin_width."""

    low: str = Field(description="Lower edge of the first bin, quote units.")
    buy_base: list[float] = Field(description="Aggressive buys by bin, base units, lowest price first.")
    sell_base: list[float] = Field(description="Aggressive sells by bin, base units.")
    trades: list[int] = Field(description="Aggregate trades by bin.")
    value_area_high_centre: str = Field(description="Centre of the value area's top bin.")
    value_area_low_centre: str = Field(description="Centre of the value area's bottom bin.")
    other_value_area: OtherValueArea = Field(description="The value area by the other common rule.")
    high_volume_nodes: list[PriceRange] = Field(description="All, lowest price first.")
    low_volume_nodes: list[PriceRange] = Field(description="All, lowest price first.")


class VolumeProfileAnswer(WindowedEnvelope):
    """Volume of a window by price, with every trade in full at its own price."""

    quality: Quality = Field(description="ok: >= 95 % of the requested time is covered; partial: less.")
    duration_hours: int = Field(description="Requested hours; window says which part of them is answered.")
    poc: str = Field(
        description="Point of control, quote units: centre of the bin with most volume. With high_inclusive: its price."
    )
    poc_bin: PriceRange = Field(description="That bin.")
    poc_lead_pct: float | None = Field(
        description="Lead of the POC's volume over the next largest bin, per cent. Null: no other bin traded."
    )
    poc_rivals: list[PriceRange] = Field(
        description="Bins within 10 % of the POC's volume, largest first, at most 3; empty: the POC is clear."
    )
    value_area_high: str = Field(
        description="Upper edge of the value area (VAH), quote units: exclusive, its highest price with high_inclusive."
    )
    value_area_low: str = Field(description="Lower edge (inclusive) of the value area (VAL), quote units.")
    value_area_share: float = Field(description="Share of the volume inside: 0.7, or more if the last rows overshoot.")
    value_area_rule: ValueAreaRule = Field(description="cbot: grown from the POC by two rows at a time.")
    last_price: str | None = Field(description="Price of the newest trade in the window. Null: none known.")
    last_trade_age_secs: float | None = Field(
        description="Age of that trade, seconds of exchange time. Null without one."
    )
    last_vs_value_area: Standing | None = Field(description="last_price against the value area. Null without one.")
    value_area_distance_bps: float | None = Field(
        description="Distance of last_price from the value area, bps of its nearer edge; 0 inside."
    )
    poc_distance_bps: float | None = Field(description="last_price against poc in bps; negative: below it.")
    total_volume_base: float = Field(description="Traded volume in base units.")
    total_volume_quote: float = Field(description="Traded volume in quote units.")
    buy_volume_base: float = Field(description="Of it, aggressive buys.")
    sell_volume_base: float = Field(description="Of it, aggressive sells.")
    delta_base: float = Field(description="Aggressive buys minus sells, base units.")
    delta_pct: float = Field(description="delta_base in per cent of all volume, -100 to 100.")
    high: str = Field(description="Highest traded price; exact decimal.")
    low: str = Field(description="Lowest traded price; exact decimal.")
    trades: int = Field(description="Aggregate trades in the window (fills of one order at one price count once).")
    low_sample: bool = left_out_if_false("Present and true: fewer than 300 trades, too few for a dependable shape.")
    bin_width: str = Field(description="Width of a bin in quote units; edges are multiples of it.")
    high_inclusive: bool = left_out_if_false(
        "Present and true: a bin is one tick wide, so it is one price. Each high and value_area_high is a price that "
        "belongs to its range."
    )
    bins: int = Field(description="Number of bins, empty ones included.")
    below_bins: End | None = left_out_if_none("Present if there are far prints below the bins.")
    above_bins: End | None = left_out_if_none("Present if there are far prints above the bins.")
    high_volume_nodes: list[PriceRange] = Field(description="High volume nodes: largest first, at most 3.")
    low_volume_nodes: list[PriceRange] = Field(description="Low volume nodes: nearest to last_price first, at most 3.")
    detail: ProfileDetail | None = left_out_if_none("Present with detail=true.")
