"""Notes about a window: the age of its newest part, and when the book was lost.

Seconds in which this server had lost the book are left out of every figure, and the answer names them. They say nothing
about the market.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vibe_orderbook_mcp.analytics.results import iso_second
from vibe_orderbook_mcp.analytics.windows import Cut
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow

LOST: Final = int(RowFlag.GAP | RowFlag.RESYNC | RowFlag.DISCONNECTED)
NAMED_MOST: Final = 3


def resync_text(rows: Iterable[SecondRow], *, is_live: bool) -> str | None:
    """When the book was resynchronised within these ascending seconds, as a sentence. None: it was never lost.

    An episode without an end among the rows is named by its last second. If the book is live it has ended since.
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


# Rows come once a second and slightly late: a figure this close to an end of the window counts as its value there.
NEAR_SECS: Final = 2


def newest_end(window: Cut) -> int | None:
    """The end (seconds since the epoch) of the newest second with a book or trades; None: no such second."""
    return next(
        (row.second + 1 for row in reversed(window.rows) if row.covered_ms or row.events or row.agg_trades), None
    )


def newest_used_ms(window: Cut, heard_ms: int) -> int:
    """Exchange time of the newest event in the window's figures. `heard_ms` is the time of the newest event received:
    seconds before it may be missing because they were not recorded or have not ended."""
    newest = newest_end(window)
    return heard_ms if newest is None else min(heard_ms, newest * 1000)


def age_warnings(window: Cut) -> list[str]:
    """A sentence if more than NEAR_SECS are missing at the window's end."""
    newest = newest_end(window)
    if newest is None or window.span.end - newest <= NEAR_SECS:
        return []
    return [
        f"The newest recorded second ended at {iso_second(newest)}, {window.span.end - newest} s before the end of the"
        " window: later ones are not in these figures."
    ]
