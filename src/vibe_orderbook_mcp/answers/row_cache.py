"""The rows of a window of seconds and of the hour before it, from memory as far as they are there."""

from __future__ import annotations

from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.seconds.past_hour import KEPT_FIELDS, KEPT_SECS, kept
from vibe_orderbook_mcp.store.history import History


async def hour_and_window(history: History, state: InstrumentOwner, span: Span) -> list[SecondRow]:
    """Ascending rows of up to KEPT_SECS before the window's end: whole ones of the window, what `PastHour` keeps of
    those before it. Raises StorageError.

    A restart leaves holes in memory: the hour is read once, the window until the process has seen it itself.
    """
    earlier = await hour_before(history, state, span)
    rows = list(state.watch.rows)  # the oldest ones make room for new ones while the rest is read
    seen = rows[0].second if rows else span.end
    stored = await history.rows(state.spec.symbol, span.start, min(seen, span.end)) if span.start < seen else []
    window = [*stored, *(row for row in rows if max(span.start, seen) <= row.second < span.end)]
    return [*earlier, *window]


async def hour_before(history: History, state: InstrumentOwner, span: Span) -> list[SecondRow]:
    """What `PastHour` keeps of the rows before the window, ascending. Raises StorageError."""
    if not state.past.is_filled:
        until = state.past.oldest or span.end
        columns = await history.columns(state.spec.symbol, span.end - KEPT_SECS, until, KEPT_FIELDS)
        state.learn_past([kept(values) for values in zip(*(columns[field] for field in KEPT_FIELDS), strict=True)])
    return state.past.before(span.start)
