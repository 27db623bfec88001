"""Books for the analytics: immutable values with only the levels that are needed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vibe_orderbook_mcp.analytics.snapshot import BookView, limit_at
from vibe_orderbook_mcp.book.book import BookSide, OrderBook
from vibe_orderbook_mcp.book.compiled import Ladder
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import STORED_LEVELS

# Walls are within 1 % of mid, the other figures of a book within 1 % of its best prices; the rest is for rounding.
NEAR_BPS = 101


@dataclass(frozen=True, slots=True)
class BookFrame:
    """A book at one update: its levels, their ages, and the volume traded against them.

    `traded` has base units by side and price; a level without an entry had no trade. Ages are known only if `near` or
    `view` made the sides as ladders.
    """

    view: BookView
    last_update_id: int
    event_ms: int | None  # the exchange's time of the newest event; None: only a snapshot so far
    traded: Mapping[Side, Mapping[float, float]]

    def level_history(self, side: Side, price: float) -> tuple[int | None, float]:
        """Time of the level's arrival (None: before recording began), and base units traded against it since then."""
        levels = self.view.side(side)
        since_ms = levels.since_ms(price) if isinstance(levels, Ladder) else None
        return since_ms, self.traded[side].get(price, 0.0)


def view(book: OrderBook, levels: int | None = None) -> BookView:
    """The book, best first: all levels, or the best `levels` a side."""
    if levels is None:
        bids, asks = book.bids.ladder(len(book.bids)), book.asks.ladder(len(book.asks))
        return BookView(bids, asks, book.bids.horizon, book.asks.horizon)
    return BookView(book.bids.top(levels), book.asks.top(levels), book.bids.horizon, book.asks.horizon)


def near_view(book: OrderBook, bps: float, *, notional: float = 0.0) -> BookView:
    """The same within `bps` of the best prices, or as far as `notional` quote units reach on either side."""
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
