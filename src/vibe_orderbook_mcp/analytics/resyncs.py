"""Seconds in which this server had lost the book: left out of every figure, and named. The market did nothing there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vibe_orderbook_mcp.analytics.results import iso_second
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow

LOST: Final = int(RowFlag.GAP | RowFlag.RESYNC | RowFlag.DISCONNECTED)
NAMED_MOST: Final = 3


def resync_text(rows: Iterable[SecondRow], *, is_live: bool) -> str | None:
    """When the book was resynchronised within these ascending seconds, as a sentence. None: it never was lost.

    An episode that has no end among the rows is named by its last second. Where the book is live it has ended since.
    """
    mended: list[int] = []
    lost: SecondRow | None = None
    for row in rows:
        if row.flags & LOST:
            lost = row
        elif lost is not None:
            mended.append(lost.second)
            lost = None
    is_mended = lost is not None and lost.flags & RowFlag.RESYNC
    if lost is not None and is_mended:
        mended.append(lost.second)
    said = [f"resynchronised {_clocks(mended)}"] if mended else []
    if lost is not None and not is_mended:
        said.append(f"{'resynchronised after' if is_live else 'out of sequence at'} {clock(lost.second)}")
    return f"The book was {' and '.join(said)}; those seconds are left out." if said else None


def clock(second: int) -> str:
    """Time of day, UTC: 03:37:39."""
    return iso_second(second)[11:19]


def _clocks(seconds: list[int]) -> str:
    if len(seconds) > NAMED_MOST:
        return f"{len(seconds)} times, last at {clock(seconds[-1])}"
    return "at " + ", ".join(clock(second) for second in seconds)
