"""The book at the end of a second, for the row and the stored snapshot."""

from __future__ import annotations

from typing import Final, TypedDict

from vibe_orderbook_mcp.book.book import BookSide, OrderBook
from vibe_orderbook_mcp.book.compiled import on_grid
from vibe_orderbook_mcp.model.rows import BANDS_BPS, STORED_LEVELS, BookTop

# A level exactly at a band's edge is inside it, regardless of the last bit of the product.
EDGE: Final = 1e-12


class BookFields(TypedDict):
    """The fields of `SecondRow` that describe the book at one moment."""

    mid: float | None
    best_bid: float | None
    best_ask: float | None
    best_bid_size: float | None
    best_ask_size: float | None
    bid_band_base: tuple[float, ...]
    bid_band_quote: tuple[float, ...]
    ask_band_base: tuple[float, ...]
    ask_band_quote: tuple[float, ...]
    bid_truncated: int
    ask_truncated: int


def capture_top(book: OrderBook) -> BookTop:
    return BookTop(
        event_ms=book.event_ms or 0,
        last_update_id=book.last_update_id,
        bids=tuple(book.bids.top(STORED_LEVELS)),
        asks=tuple(book.asks.top(STORED_LEVELS)),
    )


def capture_fields(book: OrderBook, tick_exp: int, lot_exp: int) -> BookFields:
    mid = None if book.is_crossed else book.mid
    bid_base, bid_quote, bid_truncated = _bands(book.bids, mid, tick_exp, lot_exp)
    ask_base, ask_quote, ask_truncated = _bands(book.asks, mid, tick_exp, lot_exp)
    best_bid, best_ask = book.bids.best, book.asks.best
    return BookFields(
        mid=mid,
        best_bid=best_bid,
        best_ask=best_ask,
        best_bid_size=None if best_bid is None else book.bids.size_at(best_bid),
        best_ask_size=None if best_ask is None else book.asks.size_at(best_ask),
        bid_band_base=bid_base,
        bid_band_quote=bid_quote,
        ask_band_base=ask_base,
        ask_band_quote=ask_quote,
        bid_truncated=bid_truncated,
        ask_truncated=ask_truncated,
    )


def _bands(
    side: BookSide, mid: float | None, tick_exp: int, lot_exp: int
) -> tuple[tuple[float, ...], tuple[float, ...], int]:
    if mid is None:
        return (), (), 0
    outwards = -1 if side.side == "bid" else 1
    limits = [mid * (1 + outwards * bps / 1e4) * (1 + outwards * EDGE) for bps in BANDS_BPS]
    depths = side.depth_to(limits)
    truncated = 0
    if side.is_beyond_horizon(limits[-1]):
        truncated = sum(1 << index for index, limit in enumerate(limits) if side.is_beyond_horizon(limit))
    base, quote = zip(*depths, strict=True)
    return on_grid(base, lot_exp), on_grid(quote, tick_exp + lot_exp), truncated
