"""Where the price was in a window of seconds: open, close, range, average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isclose

from vibe_orderbook_mcp.analytics.numbers import ratio
from vibe_orderbook_mcp.analytics.snapshot import EDGE
from vibe_orderbook_mcp.analytics.windows import Cut


@dataclass(frozen=True, slots=True)
class WindowPrice:
    """Quote units. None: no book and no trades.

    `open` and `close` are mids, so that a trade at the bid after one at the ask is not a fall. `high` and `low`
    are the extremes of trades and of mid at the ends of seconds: `open`, `close` and `vwap` are between them.
    """

    open: float | None
    close: float | None
    high: float | None
    low: float | None
    vwap: float | None  # of all trades; None without trades
    open_at: int | None  # seconds since the epoch: the window's start if mid just before it is known
    close_at: int | None  # the end of the second of `close`
    high_traded: bool  # False: a mid without a trade at it
    low_traded: bool

    @property
    def change_bps(self) -> float | None:
        """1e4 * (close / open - 1)."""
        return _bps(self.open, self.close)

    @property
    def range_bps(self) -> float | None:
        """1e4 * (high / low - 1)."""
        return _bps(self.low, self.high)


def window_price(window: Cut) -> WindowPrice:
    """`window` holds whole rows."""
    first, last = window.mid_start, window.mid_end
    mids = [row.mid for row in window.rows if row.mid is not None]
    known = mids if first is None else [first, *mids]
    highs = [row.high for row in window.rows if row.high is not None]
    lows = [row.low for row in window.rows if row.low is not None]
    vwap = ratio(
        sum(row.buy_quote + row.sell_quote for row in window.rows),
        sum(row.buy_volume + row.sell_volume for row in window.rows),
    )
    if vwap is not None and lows:  # rounding must not put an average outside of its values
        vwap = min(max(vwap, min(lows)), max(highs))
    high, low = max([*known, *highs], default=None), min([*known, *lows], default=None)
    dated = [row.second + 1 for row in window.rows if row.mid is not None]
    return WindowPrice(
        open=first,
        close=last,
        high=high,
        low=low,
        vwap=vwap,
        open_at=next(iter(dated), None) if window.mid_before is None else window.span.start,
        close_at=dated[-1] if dated else None,
        high_traded=_is_one_of(high, highs),
        low_traded=_is_one_of(low, lows),
    )


def _is_one_of(price: float | None, trades: Sequence[float]) -> bool:
    """A mid is a sum, so it may differ in the last bit from a trade at the same price."""
    return price is not None and any(isclose(price, each, rel_tol=EDGE) for each in trades)


def _bps(start: float | None, end: float | None) -> float | None:
    if start is None or end is None:
        return None
    change = ratio(end, start)
    return None if change is None else 1e4 * (change - 1)
