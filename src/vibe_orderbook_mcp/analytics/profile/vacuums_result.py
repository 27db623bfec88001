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

    kind: Kind = Field(
        description="traded: little was traded there in the window; resting: little stands in the book there now."
    )
    side: Where = Field(description="Where it lies from mid; around: mid is inside it.")
    low: str = Field(description="Lower edge (inclusive), quote units.")
    high: str = Field(description="Upper edge (exclusive), quote units; its highest price with high_inclusive.")
    high_inclusive: bool = left_out_if_false(
        "Present and true: its bins are one tick wide, so high is a price that belongs to it."
    )
    distance_bps: float = Field(description="From mid to its nearer edge, in bps of mid; 0 around mid.")
    width_bps: float = Field(description="Width of its bins together, in bps of mid.")
    deficit_pct: float | None = left_out_if_none("traded: how much less than a usual bin its bins hold, 50 to 100.")
    severity: Severity | None = left_out_if_none("traded: Medium to 80 % deficit, High to 95, Critical above.")
    notional_before_quote: float | None = left_out_if_none(
        "resting: quote units between the touch and the zone, mean of the last 60 s: what must trade to reach it."
    )
    notional_inside_quote: float | None = left_out_if_none("resting: quote units in it, mean of 60 s: what crosses it.")
    confirmed: bool = left_out_if_false("Present and true: a zone of the other kind overlaps it.")


class TradedRange(Answer):
    """Where zones of little trade were looked for: the prices that hold the middle 98 % of the volume."""

    down_to: str = Field(description="Lowest price looked at, quote units.")
    up_to: str = Field(description="Highest price looked at, or the edge above it.")
    lowest: str = Field(description="Lowest traded price: nothing was traded below it in the window.")
    highest: str = Field(description="Highest traded price: nothing was traded above it.")


class RestingRange(Answer):
    """How far the resting book was looked at. A zone beyond it is not known, rather than absent."""

    bin_width: str = Field(description="Width of a bin of resting depth, quote units.")
    samples: int = Field(description="Looks at each bin in the last 60 s; 10 are needed.")
    down_to: str | None = Field(description="Lowest bid price looked at. Null: no bids.")
    up_to: str | None = Field(description="Highest ask price looked at, or the edge above it. Null: no asks.")


class RestingColumn(Answer):
    """One side's resting depth by bin, nearest to mid first: mean of the last 60 s."""

    side: Side = Field(description="bid or ask.")
    nearest_low: str = Field(description="Lower edge of the first bin, quote units; bids go down from it, asks up.")
    depth_base: list[float] = Field(description="Base units in each bin of resting.bin_width.")


class VacuumsDetail(Answer):
    """What zones were looked for in: volume and depth of every bin."""

    traded_low: str | None = Field(description="Lower edge of the first traded bin, quote units. Null: no traded part.")
    traded_base: list[float] = Field(description="Traded base units in each bin of bin_width, lowest price first.")
    resting: list[RestingColumn] = Field(description="Resting depth of each side that was looked at.")


class LiquidityVacuumsAnswer(WindowedEnvelope):
    """Zones that price crosses easily: thin in past trade, in the present book, or in both."""

    quality: Quality = Field(
        description="Of the traded part. ok: >= 95 % of the time asked for is covered; partial: less; else none."
    )
    duration_hours: int = Field(description="Hours asked for; window says which part of them is answered.")
    mid: str = Field(
        description="Mid at as_of, quote units: distances are from it. Without one: price of the last trade, as_of its "
        "time. Trades are of window, and end up to some seconds before as_of."
    )
    last_trade_age_secs: float | None = left_out_if_none(
        "Present where mid is the last trade's price: how long before this answer that was, seconds."
    )
    zones: list[VacuumZone] = Field(
        description="Nearest to mid first; without detail at most 4 below and 4 above. Empty: none."
    )
    zones_below: int = Field(description="Zones found below mid.")
    zones_above: int = Field(description="Zones found above mid.")
    low_confidence: bool = left_out_if_false("Present and true: a usual bin saw fewer than 10 trades.")
    bin_width: str | None = Field(description="Width of a bin of traded volume, quote units. Null: too little held.")
    usual_bin_base: float | None = Field(
        description="Median volume of the bins that traded, base units; zones are below half of it."
    )
    traded: TradedRange | None = Field(description="Null: too little held, or nothing was traded.")
    resting: RestingRange | None = Field(description="Null: the book was watched for less than a minute.")
    detail: VacuumsDetail | None = left_out_if_none("Present when asked for with detail=true.")
