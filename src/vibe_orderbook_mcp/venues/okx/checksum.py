"""OKX's checksum of a book. Pure.

OKX, "WS / Order book channel", checksum: CRC32 as a signed integer of the best 25 levels. Bid and ask take turns, each
as `price:size`, joined by colons; where one side has fewer levels, the other one goes on alone. Numbers are in their
shortest form. The venue sends 0 since it stopped computing it: 0 is no checksum.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import zip_longest
from typing import Final
from zlib import crc32

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.symbol import decimal_text

CHECKED_LEVELS: Final = 25
REMEMBERED: Final = 1024  # texts of levels: from frame to frame few change


def checksum_rule(size_of: Callable[[float], float]) -> Callable[[OrderBook, int], bool]:
    """Whether a book is the one that a checksum is of. `size_of` turns a size of the book into the venue's own."""

    @lru_cache(maxsize=REMEMBERED)
    def text(level: tuple[float, float]) -> str:
        price, size = level
        return f"{decimal_text(price, 0)}:{decimal_text(size_of(size), 0)}"

    def is_right(book: OrderBook, checksum: int) -> bool:
        sides = [map(text, levels.top(CHECKED_LEVELS)) for levels in (book.bids, book.asks)]
        said = crc32(":".join([each for pair in zip_longest(*sides) for each in pair if each is not None]).encode())
        return checksum in (said, said - 2**32)

    return is_right
