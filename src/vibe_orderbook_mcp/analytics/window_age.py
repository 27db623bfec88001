"""How old the newest part of a window is: what an answer must not take for the window's end."""

from __future__ import annotations

from typing import Final

from vibe_orderbook_mcp.analytics.results import iso_second
from vibe_orderbook_mcp.analytics.windows import Cut

# Rows come a second at a time and a little late: a figure so many seconds from an end of the window is of that end.
NEAR_SECS: Final = 2


def newest_end(window: Cut) -> int | None:
    """The end (seconds since the epoch) of the newest second with a book or trades; None: there is none."""
    return next(
        (row.second + 1 for row in reversed(window.rows) if row.covered_ms or row.events or row.agg_trades), None
    )


def newest_used_ms(window: Cut, heard_ms: int) -> int:
    """Exchange time of the newest event that figures of the window rest on. `heard_ms` is that of the newest event that
    came: seconds may be missing before it, because nobody watched then or because they are not over."""
    newest = newest_end(window)
    return heard_ms if newest is None else min(heard_ms, newest * 1000)


def age_warnings(window: Cut) -> list[str]:
    """That the window's last seconds are not there, where more than NEAR_SECS are missing."""
    newest = newest_end(window)
    if newest is None or window.span.end - newest <= NEAR_SECS:
        return []
    return [
        f"The newest second seen ended at {iso_second(newest)}, {window.span.end - newest} s before the end of the"
        " window: later ones are not in these figures."
    ]
