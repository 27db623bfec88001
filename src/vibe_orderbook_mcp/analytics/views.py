"""Books as the analytics take them: ladders, as far as they are needed. Pure."""

from __future__ import annotations

from vibe_orderbook_mcp.analytics.snapshot import BookView, limit_at
from vibe_orderbook_mcp.book.book import BookSide, OrderBook
from vibe_orderbook_mcp.book.compiled import Ladder
from vibe_orderbook_mcp.model.rows import STORED_LEVELS

# Walls lie within 1 % of mid, the other figures of a book within 1 % of its best prices; a little for rounding.
NEAR_BPS = 101


def view(book: OrderBook, levels: int | None = None) -> BookView:
    """The book as the analytics take it, best first: all of it, or the best `levels` a side."""
    if levels is None:
        bids, asks = book.bids.ladder(len(book.bids)), book.asks.ladder(len(book.asks))
        return BookView(bids, asks, book.bids.horizon, book.asks.horizon)
    return BookView(book.bids.top(levels), book.asks.top(levels), book.bids.horizon, book.asks.horizon)


def near_view(book: OrderBook, bps: float, *, notional: float = 0.0) -> BookView:
    """The same as far as `bps` from the best prices, or as far as `notional` quote units need of either side."""
    reach = _near(book.bids, bps, notional), _near(book.asks, bps, notional)
    return BookView(*reach, book.bids.horizon, book.asks.horizon)


def _near(side: BookSide, bps: float, notional: float) -> Ladder:
    if (best := side.best) is None:
        return side.ladder(0)
    ladder = side.ladder(side.count_to(limit_at(best, side.side, bps)))
    enough = notional * (1 + 1e-4)  # an order's walk may need one level more than the sum of them says
    if len(ladder) >= STORED_LEVELS and ladder.depth(len(ladder))[1] >= enough:
        return ladder
    return side.ladder(len(side))
