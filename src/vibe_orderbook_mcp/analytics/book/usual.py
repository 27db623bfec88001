"""The present book against what is usual for its symbol."""

from __future__ import annotations

from pydantic import Field

from vibe_orderbook_mcp.analytics.numbers import decimals, ratio, readable, significant
from vibe_orderbook_mcp.analytics.results import Answer
from vibe_orderbook_mcp.analytics.snapshot import BandDepth, DepthCurve, band_depth, spread_bps
from vibe_orderbook_mcp.analytics.usual.baseline import UsualDay
from vibe_orderbook_mcp.analytics.usual.measures import spread_floor_bps, spread_times

SPREAD_UNUSUAL = 3.0  # times its median
DEPTH_UNUSUAL = 0.3  # of its median


class UsualBook(Answer):
    """The present book against the symbol's own last day. `*_times` are the present value / the day's median."""

    history_hours: float = Field(description="Hours of history behind the medians, at most 24.")
    median_spread_bps: float | None = Field(description="Median spread of the last day, basis points.")
    spread_times: float | None = Field(
        description="Spread now / that median, both at least one tick and 0.5 bps: below that all are equally tight."
    )
    band_bps: int | None = Field(description="Distance from mid within which depth is compared: the symbol's own band.")
    median_bid_quote: float | None = Field(description="Median bid amount within band_bps, quote units.")
    median_ask_quote: float | None = Field(description="Median ask amount within band_bps, quote units.")
    bid_times: float | None = Field(description="Bid amount within band_bps now / its median.")
    ask_times: float | None = Field(description="Ask amount within band_bps now / its median.")


def usual_book(day: UsualDay, bids: DepthCurve, asks: DepthCurve, mid: float | None, tick: float) -> UsualBook | None:
    """None below 15 minutes of history, and for a book without a mid."""
    median, usual = day.spread_bps, day.depth
    if mid is None or (median is None and usual is None):
        return None
    spread, times = spread_bps(bids.best, asks.best), None
    if median is not None and spread is not None:
        times = spread_times(spread, median, spread_floor_bps(tick, mid))
    bid = ask = None
    if usual is not None:
        bid = _times(band_depth(bids, mid, usual.band_bps), usual.bid)
        ask = _times(band_depth(asks, mid, usual.band_bps), usual.ask)
    return UsualBook(
        history_hours=decimals(day.seconds / 3600, 2),
        median_spread_bps=significant(median, 4),
        spread_times=significant(times, 3),
        band_bps=None if usual is None else usual.band_bps,
        median_bid_quote=None if usual is None else significant(usual.bid, 4),
        median_ask_quote=None if usual is None else significant(usual.ask, 4),
        bid_times=significant(bid, 3),
        ask_times=significant(ask, 3),
    )


def usual_text(usual: UsualBook, *, is_ready: bool) -> str:
    """The comparison in words. Nothing is called unusual before `is_ready`."""
    parts, unusual = [], []
    if usual.spread_times is not None:
        parts.append(f"spread {readable(usual.spread_times, 2)} ×")
        if usual.spread_times >= SPREAD_UNUSUAL:
            unusual.append("the spread is unusually wide")
    if usual.bid_times is not None and usual.ask_times is not None:
        within = f"within {usual.band_bps} bps bids {readable(usual.bid_times, 2)} ×"
        parts.append(f"{within} and asks {readable(usual.ask_times, 2)} ×")
        thin = [
            name for name, times in (("bids", usual.bid_times), ("asks", usual.ask_times)) if times <= DEPTH_UNUSUAL
        ]
        if thin:
            unusual.append(f"{' and '.join(thin)} are unusually thin")
    if not parts:
        return ""
    hours = usual.history_hours
    span = f"{readable(hours, 2)} h" if hours >= 1 else f"{60 * hours:.0f} min"
    text = f"; against the median of the last {span}: {', '.join(parts)}"
    return f"{text}, so {' and '.join(unusual)}" if unusual and is_ready else text


def _times(depth: BandDepth, usual: float) -> float | None:
    """None for a band that reaches beyond the known book."""
    return None if depth.truncated else ratio(depth.quote, usual)
