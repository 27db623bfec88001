"""Two copies of one book at the same update must be equal wherever both are complete."""

from __future__ import annotations

from vibe_orderbook_mcp.book.book import BookSide, OrderBook
from vibe_orderbook_mcp.model.events import DepthSnapshot, Side


def differing_levels(kept: OrderBook, fresh: OrderBook) -> list[tuple[Side, float, float, float]]:
    """(side, price, kept size, fresh size) of levels that differ within both horizons; sizes are 0 when absent."""
    return _differing(kept.bids, fresh.bids) + _differing(kept.asks, fresh.asks)


def _differing(kept: BookSide, fresh: BookSide) -> list[tuple[Side, float, float, float]]:
    kept_sizes, fresh_sizes = kept.sizes, fresh.sizes
    return [
        (kept.side, price, kept_sizes.get(price, 0.0), fresh_sizes.get(price, 0.0))
        for price in kept_sizes.keys() | fresh_sizes.keys()
        if kept_sizes.get(price, 0.0) != fresh_sizes.get(price, 0.0)
        and not kept.is_beyond_horizon(price)
        and not fresh.is_beyond_horizon(price)
    ]


def is_same(kept: OrderBook, fresh: DepthSnapshot) -> bool:
    """Whether the levels of `fresh`, the best of both sides, are those that are kept."""
    return kept.bids.top(len(fresh.bids)) == fresh.bids and kept.asks.top(len(fresh.asks)) == fresh.asks
