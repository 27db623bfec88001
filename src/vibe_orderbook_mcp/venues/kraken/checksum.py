"""Kraken's checksum of a book. Pure.

Kraken, "Book checksum (v2)": CRC32 of the best ten asks from low to high and then the best ten bids from high to low.
Each level is its price and its size in the pair's precision, without the point and without leading zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from zlib import crc32

from vibe_orderbook_mcp.book.book import OrderBook

CHECKED_LEVELS = 10  # a side, whatever depth was subscribed to


def checksum_rule(price_decimals: int, size_decimals: int) -> Callable[[OrderBook, int], bool]:
    """Whether a book is the one that a checksum is of."""

    def text(levels: Iterable[tuple[float, float]]) -> str:
        return "".join(
            f"{price:.{price_decimals}f}".replace(".", "").lstrip("0")
            + f"{size:.{size_decimals}f}".replace(".", "").lstrip("0")
            for price, size in levels
        )

    def is_right(book: OrderBook, checksum: int) -> bool:
        said = text(book.asks.top(CHECKED_LEVELS)) + text(book.bids.top(CHECKED_LEVELS))
        return crc32(said.encode()) == checksum

    return is_right
