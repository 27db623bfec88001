"""Trades and histograms for the tests, and generated ones."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from tests.analytics.rows import T0
from vibe_orderbook_mcp.analytics.profile.bins import Bin, Histogram
from vibe_orderbook_mcp.analytics.profile.coverage import TapeCoverage
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.symbol import SymbolSpec

DAY = Span(T0 - 86_400, T0)
WHOLE = TapeCoverage(held=1000, missing=0, complete_since_ms=DAY.start * 1000)

Deal = tuple[int, int, bool]  # ticks, lots, seller was the aggressor


def trades_of(deals: Iterable[Deal], spec: SymbolSpec) -> list[Trade]:
    """One fill each, a second apart, the last one just before T0."""
    listed = list(deals)
    return [
        Trade(
            agg_id=100 + index,
            time_ms=(T0 - len(listed) + index) * 1000,
            price=ticks / 10**spec.tick_exp,
            size=lots / 10**spec.lot_exp,
            first_trade_id=500 + index,
            last_trade_id=500 + index,
            buyer_is_maker=maker,
        )
        for index, (ticks, lots, maker) in enumerate(listed)
    ]


def histogram_of(trades: Iterable[Trade], spec: SymbolSpec, width_ticks: int = 1) -> Histogram:
    """Each trade in full at its own price."""
    tick_scale, lot_scale = 10.0**spec.tick_exp, 10.0**spec.lot_exp
    bins: dict[int, Bin] = {}
    low = high = last = last_ms = None
    bought = sold = 0
    for trade in trades:
        ticks, lots = round(trade.price * tick_scale), round(trade.size * lot_scale)
        buy, sell, count = bins.get(ticks // width_ticks, (0, 0, 0))
        if trade.buyer_is_maker:
            sell += lots
            sold += ticks * lots
        else:
            buy += lots
            bought += ticks * lots
        bins[ticks // width_ticks] = (buy, sell, count + 1)
        low = ticks if low is None or ticks < low else low
        high = ticks if high is None or ticks > high else high
        last, last_ms = ticks, trade.time_ms
    return Histogram(spec.tick_exp, spec.lot_exp, width_ticks, bins, low, high, bought, sold, last, last_ms)


def histogram(deals: Iterable[Deal], spec: SymbolSpec, width: int = 1) -> Histogram:
    return histogram_of(trades_of(deals, spec), spec, width)


def bars(
    volumes: Iterable[int],
    spec: SymbolSpec,
    *,
    first: int = 100,
    width: int = 10,
    trades: int = 20,
    last: int | None = None,
) -> Histogram:
    """Bought volume by bin; bins of 0 are absent, as in a stored roll-up, but for the two ends."""
    listed = list(volumes)
    bins = {first + i: (lots, 0, trades) for i, lots in enumerate(listed) if lots}
    low, high = first * width, (first + len(listed)) * width - 1
    return Histogram(spec.tick_exp, spec.lot_exp, width, bins, low, high, last_ticks=last)


deals = st.lists(
    st.tuples(st.integers(9_000, 9_020) | st.integers(9_000, 12_000), st.integers(1, 10**6), st.booleans()),
    min_size=1,
    max_size=60,
)
volumes = st.lists(st.integers(0, 10**6), min_size=1, max_size=120)
