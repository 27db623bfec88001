"""What `get_order_flow` answers, field by field."""

from __future__ import annotations

from pydantic import Field

from vibe_orderbook_mcp.analytics.flow.absorption_answer import AbsorptionCheck, AbsorptionEvent
from vibe_orderbook_mcp.analytics.flow.impact_answer import (
    AmihudIlliquidity,
    KyleImpact,
    RealisedVolatility,
    VpinFigure,
)
from vibe_orderbook_mcp.analytics.flow.order_flow import FlowDirection, OfiDirection
from vibe_orderbook_mcp.analytics.results import Answer, WindowedEnvelope, left_out_if_false, left_out_if_none
from vibe_orderbook_mcp.analytics.windows import Quality


class FlowSide(Answer):
    """Additions and cancellations on one side of the book; lower bounds, since they net out within 100 ms frames."""

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


class OrderFlowDetail(Answer):
    """Everything beyond the headline figures."""

    bid: FlowSide = Field(description="Additions and cancellations of bids.")
    ask: FlowSide = Field(description="Additions and cancellations of asks.")
    mlofi_base: list[float] = Field(description="Order-flow imbalance of the best 10 levels, base units, best first.")
    mlofi_normalised: float | None = Field(description="Mean over levels of imbalance / average size at the level.")
    impact: Impact | None = Field(description="Price impact of OFI. Null: under 30 buckets, or no flow.")
    ofi_move_bps: float | None = Field(
        description="Move of mid that the fit predicts for this window's OFI, basis points. Null: no fit."
    )
    impact_buckets: int = Field(description="10 s buckets available for the impact fit; 30 are needed.")
    cvd_quote: float = Field(description="Aggressive buys minus sells in quote units.")
    cvd_z: float | None = Field(description="cvd / sqrt(sum of squared sizes); a diagnostic, not a probability.")
    cvd_session_base: float | None = Field(description="cvd since 00:00 UTC, base units. Null: incomplete.")
    delta_rarity: float | None = Field(
        description="Rank of |delta_pct| among earlier equal windows, 0 to 1. Null: fewer than 30 of them."
    )
    delta_windows: int = Field(description="Earlier equal windows that delta_rarity is measured against.")
    effective_spread_bps: float | None = Field(
        description="What takers paid against mid just before, both ways, volume-weighted. Null: no trades."
    )
    kyle: KyleImpact | None = Field(description="Price impact of trades. Null: under 30 buckets, or no trades.")
    kyle_buckets: int = Field(description="10 s buckets available for kyle; 30 are needed.")
    amihud: AmihudIlliquidity = Field(description="Illiquidity.")
    volatility: RealisedVolatility = Field(description="Realised volatility.")
    vpin: VpinFigure | None = Field(description="Toxicity of flow. Null: the day's volume is not known yet.")
    absorption: AbsorptionCheck = Field(description="Measurements of the absorption rules.")


class OrderFlowAnswer(WindowedEnvelope):
    """Which side was aggressive, how the book reacted, and whether the aggression was absorbed."""

    quality: Quality = Field(description="ok: >= 95 % covered and >= 10 book events; partial: >= 50 % covered.")
    open: str | None = Field(
        description="Mid at the window's start, else its first mid (the summary says from when); exact"
        " decimal. Null: no mid."
    )
    high: str | None = Field(
        description="Highest trade, or mid at the end of a second; exact decimal. The summary says which."
    )
    low: str | None = Field(
        description="Lowest trade, or mid at the end of a second; exact decimal. The summary says which."
    )
    close: str | None = Field(
        description="Last mid of the window; exact decimal. The summary says if it is older than the window's end."
    )
    change_bps: float | None = Field(description="close against open, basis points.")
    range_bps: float | None = Field(description="high against low, basis points.")
    vwap: float | None = Field(description="Volume-weighted average price of all trades, quote units. Null: no trades.")
    flow_direction: FlowDirection = Field(
        description="From traded volume: buys / sells >= 2 STRONG_BUY, >= 1.2 MODERATE_BUY, mirrored for"
        " sells; a label ends 8 % below its cut, so that it does not flip near it, and the summary says so. Else"
        " NEUTRAL. NO_FLOW: no trades."
    )
    low_sample: bool = left_out_if_false("Present and true: fewer than 20 aggregate trades, too few for the label.")
    buy_volume_base: float = Field(description="Aggressive buys in base units.")
    sell_volume_base: float = Field(description="Aggressive sells in base units.")
    buy_volume_quote: float = Field(description="Aggressive buys in quote units.")
    sell_volume_quote: float = Field(description="Aggressive sells in quote units.")
    cvd_base: float = Field(description="Cumulative volume delta: aggressive buys minus sells, base units.")
    delta_pct: float | None = Field(description="cvd / traded volume in per cent, -100 to 100. Null: no trades.")
    fills: int = Field(description="Single fills in the window.")
    ofi_direction: OfiDirection = Field(
        description="Sign of order-flow imbalance at the touch; begins at one average best queue (our choice), ends"
        " at half of one, which the summary says. Else NEUTRAL. NO_FLOW: no book updates."
    )
    ofi_base: float = Field(description="Order-flow imbalance at the touch, base units, from 100 ms states.")
    ofi_normalised: float | None = Field(description="ofi_base / average best size: in average best queues.")
    ofi_rarity: float | None = Field(
        description="Rank of |ofi_base| among equal windows of the last day, 0 to 1. Null: fewer than 30 of them."
    )
    bid_adds_per_sec: float = Field(description="Bid levels added to, per second; a lower bound.")
    ask_adds_per_sec: float = Field(description="Ask levels added to, per second; a lower bound.")
    bid_cancel_share: float | None = Field(description="Cancelled / (added + cancelled) bid size, 0 to 1.")
    ask_cancel_share: float | None = Field(description="Cancelled / (added + cancelled) ask size, 0 to 1.")
    absorption: list[AbsorptionEvent] = Field(description="Aggression that did not move the price; empty: none.")
    detail: OrderFlowDetail | None = left_out_if_none("Present with detail=true.")
