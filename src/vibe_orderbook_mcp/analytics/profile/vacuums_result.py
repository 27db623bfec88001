"""What `get_liquidity_vacuums` answers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vibe_orderbook_mcp.analytics.profile.vacuums import Severity
from vibe_orderbook_mcp.analytics.results import Answer, WindowedEnvelope, left_out_if_false, left_out_if_none
from vibe_orderbook_mcp.analytics.windows import Quality
from vibe_orderbook_mcp.model.events import Side

Kind = Literal["traded", "resting"]
Where = Literal["below", "around", "above"]


class VacuumZone(Answer):
    """Prices with little volume."""

    kind: Kind = Field(description="traded: little volume there in the window; resting: little depth there now.")
    side: Where = Field(description="Its side of mid; around: mid is inside it.")
    low: str = Field(description="Lower edge (inclusive), quote units.")
    high: str = Field(description="Upper edge (exclusive), quote units; its highest price with high_inclusive.")
    high_inclusive: bool = left_out_if_false(
        "Present and true: its bins are one tick wide, so high is a price that belongs to it."
    )
    distance_bps: float = Field(description="From mid to its nearer edge, in bps of mid; 0 around mid.")
    width_bps: float = Field(description="Width of its bins together, in bps of mid.")
    deficit_pct: float | None = left_out_if_none("traded: by how much its bins are below a usual bin, 50 to 100 %.")
    severity: Severity | None = left_out_if_none("traded: Medium to 80 % deficit, High to 95, Critical above.")
    notional_before_quote: float | None = left_out_if_none(
        "resting: quote units from the touch to the zone, which must trade to reach it; mean of 60 s."
    )
    notional_inside_quote: float | None = left_out_if_none(
        "resting: quote units that must trade to cross it, mean of 60 s."
    )
    confirmed: bool = left_out_if_false("Present and true: a zone of the other kind overlaps it.")


class TradedRange(Answer):
    """The prices that were searched for traded zones: those of the middle 98 % of the volume."""

    down_to: str = Field(description="Lowest price searched, quote units.")
    up_to: str = Field(description="Highest price searched, or the edge above it.")
    lowest: str = Field(description="Lowest traded price: nothing was traded below it in the window.")
    highest: str = Field(description="Highest traded price: nothing was traded above it.")


class RestingRange(Answer):
    """The part of the resting book that was searched. Beyond it zones are unknown, not absent."""

    bin_width: str = Field(description="Width of a bin of resting depth, quote units.")
    samples: int = Field(description="Samples of each bin in the last 60 s; 10 are needed.")
    down_to: str | None = Field(description="Lowest bid price searched. Null: no bids.")
    up_to: str | None = Field(description="Highest ask price searched, or the edge above it. Null: no asks.")


class RestingColumn(Answer):
    """One side's resting depth by bin, nearest to mid first: mean of the last 60 s."""

    side: Side = Field(description="bid or ask.")
    nearest_low: str = Field(description="Lower edge of the first bin, quote units; bids go down from it, asks up.")
    depth_base: list[float] = Field(description="Base units in each bin of resting.bin_width.")


class VacuumsDetail(Answer):
    """The searched data: volume and depth of every bin."""

    traded_low: str | None = Field(description="Lower edge of the first traded bin, quote units. Null: no traded part.")
    traded_base: list[float] = Field(description="Traded base units in each bin of bin_width, lowest price first.")
    resting: list[RestingColumn] = Field(description="Resting depth of each searched side.")


class LiquidityVacuumsAnswer(WindowedEnvelope):
    """Zones that price crosses easily: thin in past trading, in the present book, or in both."""

    quality: Quality = Field(
        description="Of the traded part. ok: >= 95 % of the requested time is covered; partial: less; else none."
    )
    duration_hours: int = Field(description="Requested hours; window says which part of them is answered.")
    mid: str = Field(
        description="Mid at as_of, quote units; distances start from it. Without a mid: price of the last trade, and "
        "as_of is "
        "its time. Trades are those of window, which ends some seconds before as_of."
    )
    last_trade_age_secs: float | None = left_out_if_none(
        "Present if mid is the last trade's price: age of that trade, seconds."
    )
    zones: list[VacuumZone] = Field(
        description="Nearest to mid first; without detail at most 4 below and 4 above. Empty: none."
    )
    zones_below: int = Field(description="Zones found below mid.")
    zones_above: int = Field(description="Zones found above mid.")
    low_confidence: bool = left_out_if_false("Present and true: a usual bin has fewer than 10 trades.")
    bin_width: str | None = Field(
        description="Width of a bin of traded volume, quote units. Null: too few trades stored."
    )
    usual_bin_base: float | None = Field(
        description="Median volume of the bins that traded, base units; zones are below half of it."
    )
    traded: TradedRange | None = Field(description="Null: too few trades stored, or none in the window.")
    resting: RestingRange | None = Field(description="Null: the book was recorded for less than a minute.")
    detail: VacuumsDetail | None = left_out_if_none("Present with detail=true.")
