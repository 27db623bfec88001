"""Rows of one second for the tests, and generated ones."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from vibe_orderbook_mcp.analytics.windows import Cut, Span
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import SecondRow, SideFlow, TouchedLevel

T0 = 1_714_564_800  # 2024-05-01T12:00:00Z


def row(second: int, *, covered_ms: int = 1000, **fields: Any) -> SecondRow:
    """A row `second` seconds after T0, wholly covered unless said otherwise."""
    return SecondRow(second=T0 + second, covered_ms=covered_ms, **fields)


def window(rows: list[SecondRow], secs: int | None = None, mid_before: float | None = None) -> Cut:
    """The rows as a window that starts at T0."""
    return Cut(Span(T0, T0 + (len(rows) if secs is None else secs)), rows, mid_before)


def touched(
    side: Side = "bid",
    price: float = 100.0,
    *,
    traded: float,
    trades: int = 20,
    start: float,
    top: float,
    end: float,
) -> TouchedLevel:
    return TouchedLevel(side, price, traded, trades, start, top, end)


_AMOUNTS = st.sampled_from([0.0, 1e-8, 0.001, 0.5, 3.0, 1e6, 1e15])
_COUNTS = st.integers(0, 40)
_SIDE_FLOWS = st.builds(
    SideFlow, added=_AMOUNTS, cancelled=_AMOUNTS, traded=_AMOUNTS, add_events=_COUNTS, cancel_events=_COUNTS
)
_MIDS = st.none() | st.integers(1, 10**7).map(lambda half_ticks: half_ticks * 0.005)
_TOUCHED = st.builds(
    TouchedLevel,
    side=st.sampled_from(["bid", "ask"]),
    price=st.sampled_from([100.0, 100.01]),
    traded=_AMOUNTS,
    trades=_COUNTS,
    shown_start=_AMOUNTS,
    shown_max=_AMOUNTS,
    shown_end=_AMOUNTS,
)


@st.composite
def generated_rows(draw: st.DrawFn, *, max_size: int = 40) -> list[SecondRow]:
    """Ascending rows with holes, some uncovered, some without trades, a book or anything at all."""
    seconds = sorted(draw(st.sets(st.integers(-max_size, max_size), max_size=max_size)))
    rows = []
    for second in seconds:
        levels = draw(st.integers(0, 3))
        flow = [draw(_AMOUNTS) * draw(st.sampled_from([-1, 1])) for _ in range(levels)]
        rows.append(
            row(
                second,
                covered_ms=draw(st.sampled_from([0, 400, 1000])),
                mid=draw(_MIDS),
                events=draw(_COUNTS),
                bid=draw(_SIDE_FLOWS),
                ask=draw(_SIDE_FLOWS),
                ofi=flow[0] if flow else 0.0,
                mlofi=tuple(flow),
                level_depth=tuple(draw(_AMOUNTS) for _ in range(levels)),
                buy_volume=draw(_AMOUNTS),
                sell_volume=draw(_AMOUNTS),
                buy_quote=draw(_AMOUNTS),
                sell_quote=draw(_AMOUNTS),
                buy_trades=draw(_COUNTS),
                sell_trades=draw(_COUNTS),
                size_squares=draw(_AMOUNTS),
                effective_spread_sum=draw(_AMOUNTS),
                effective_spread_volume=draw(_AMOUNTS),
                touched=tuple(draw(st.lists(_TOUCHED, max_size=3))),
            )
        )
    return rows
