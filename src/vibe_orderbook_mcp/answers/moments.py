"""The common fields about the moment of an answer, and the end of a window up to now."""

from __future__ import annotations

from typing import TypedDict

from vibe_orderbook_mcp.model.moment import Moment, Status
from vibe_orderbook_mcp.model.refusals import not_live

HOUR_SECS = 3600
# The newest row is final 0.7 s after its second and stored a tick later. A window with this end is the present.
WRITE_LAG_SECS = 5


class Facts(TypedDict):
    """The common fields about the moment of an answer."""

    as_of_ms: int
    age_ms: int
    status: Status
    warnings: list[str]


def facts(now: Moment, end: int | None = None) -> Facts:
    """`end` is the window's end: later events were not used."""
    newest_ms = now.newest_ms
    as_of_ms = (newest_ms or 0) if end is None else min(newest_ms or end * 1000, end * 1000)
    return Facts(as_of_ms=as_of_ms, age_ms=(now.age_ns or 0) // 1_000_000, status=now.status, warnings=_warnings(now))


def exchange_ms(now: Moment) -> int:
    """The exchange's time. Raises Refusal before the first event."""
    if now.now_ms is None:
        raise not_live(now)
    return now.now_ms


def window_end(now: Moment) -> int:
    """The end of a window up to now: the end of the newest row, unless rows have stopped."""
    second = exchange_ms(now) // 1000
    newest = None if now.newest_second is None else now.newest_second + 1
    return newest if newest is not None and second - WRITE_LAG_SECS <= newest <= second else second


def proven_end(now: Moment) -> int:
    """The same, but not after the last event while no event comes: trades since then may be missing."""
    end = window_end(now)
    if now.status == "live" or now.heard_ms is None:
        return end
    return min(end, now.heard_ms // 1000)


def _warnings(now: Moment) -> list[str]:
    if now.suspension is not None:
        return [f"{now.suspension} Nothing can be traded at these prices."]
    if now.status == "stale":
        return [f"No update for {now.silent_secs:.0f} s: this is the last known book, not the present one."]
    if not now.has_book:
        return [f"The book is resyncing: {now.reason}. Figures cover only the seconds with a book."]
    return []
