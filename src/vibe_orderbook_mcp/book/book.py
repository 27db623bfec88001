"""One order book: two sides and their update id."""

from __future__ import annotations

from typing import ClassVar

from vibe_orderbook_mcp.book.compiled import BookSide
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Side

__all__ = ["BookSide", "OrderBook"]


class OrderBook:
    """Both sides and their update id."""

    __slots__ = ("asks", "bids", "event_ms", "last_update_id")

    side_type: ClassVar[type[BookSide]] = BookSide

    def __init__(self, snapshot: DepthSnapshot, *, limit: int | None = None) -> None:
        """`limit` is the requested number of levels a side: a shorter side that is not cut is completely known."""
        bids, asks = snapshot.bids, snapshot.asks
        has_all_bids = not snapshot.bids_cut and (limit is None or len(bids) < limit)
        has_all_asks = not snapshot.asks_cut and (limit is None or len(asks) < limit)
        self.bids = self.side_type("bid", bids, complete=has_all_bids)
        self.asks = self.side_type("ask", asks, complete=has_all_asks)
        self.last_update_id = snapshot.last_update_id
        self.event_ms: int | None = None  # a REST answer carries no exchange time

    def apply(self, update: DepthUpdate) -> tuple[list[float], list[float]]:
        """Apply one update that is known to be next. Returns the replaced sizes of bids and of asks."""
        event_ms = update.event_ms
        before = self.bids.apply(update.bids, event_ms), self.asks.apply(update.asks, event_ms)
        self.last_update_id = update.final_id
        self.event_ms = event_ms
        return before

    def keep_best(self, count: int) -> None:
        """Forget the levels behind the best `count` of each side."""
        self.bids.keep_best(count)
        self.asks.keep_best(count)

    def keep_since(self, former: OrderBook) -> None:
        """Replace an older copy: levels keep the arrival times of that copy."""
        self.bids.keep_since(former.bids)
        self.asks.keep_since(former.asks)

    def side(self, side: Side) -> BookSide:
        return self.bids if side == "bid" else self.asks

    @property
    def mid(self) -> float | None:
        bid, ask = self.bids.best, self.asks.best
        return None if bid is None or ask is None else (bid + ask) / 2

    @property
    def is_crossed(self) -> bool:
        """Best bid at or above best ask: on an exchange that matches, a sign that the copy is wrong."""
        bid, ask = self.bids.best, self.asks.best
        return bid is not None and ask is not None and bid >= ask

    @property
    def is_two_sided(self) -> bool:
        return self.bids.best is not None and self.asks.best is not None


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
    """Whether this book has the levels of `fresh`, the best of both sides."""
    return kept.bids.top(len(fresh.bids)) == fresh.bids and kept.asks.top(len(fresh.asks)) == fresh.asks
