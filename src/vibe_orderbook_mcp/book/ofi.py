"""Order-flow imbalance of one event, for the best ten levels.

Xu, Gould & Howison, "Multi-Level Order-Flow Imbalance in a Limit Order Book" (2018); level 1 is the measure of
Cont, Kukanov & Stoikov, "The Price Impact of Order Book Events" (2014). Between 100 ms frames the path of the book
is unknown, so this is the imbalance of 100 ms states.
"""

from __future__ import annotations

from vibe_orderbook_mcp.book.book_side import BookSide
from vibe_orderbook_mcp.model.rows import MLOFI_LEVELS

# Prices and sizes of the best levels: bid prices, bid sizes, ask prices, ask sizes.
Ladder = tuple[list[float], list[float], list[float], list[float]]


def ladder(bids: BookSide, asks: BookSide, levels: int = MLOFI_LEVELS) -> Ladder | None:
    """None while a side is empty or the book is crossed: a new chain starts after that."""
    if bids.best is None or asks.best is None or bids.best >= asks.best:
        return None
    return (*bids.best_levels(levels), *asks.best_levels(levels))


def event_ofi(before: Ladder, after: Ladder) -> list[float]:
    """The imbalance of each level, best first; as many levels as all four sides have.

    Bid part: the new size when the m-th price rose, the change when it is equal, minus the old size when it fell.
    Ask part the mirror image, and it counts against. Base units.
    """
    return [
        (q1 if b1 > b0 else q1 - q0 if b1 == b0 else -q0) - (r1 if a1 < a0 else r1 - r0 if a1 == a0 else -r0)
        for b0, q0, a0, r0, b1, q1, a1, r1 in zip(*before, *after, strict=False)
    ]
