"""The rows of a window of seconds and of the hour before it, from memory as far as they are there.

A restart leaves holes in memory. What was stored before it is read once for each instrument, as far as a question goes
back; the window is read until the process has seen it itself.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict

from vibe_orderbook_mcp.analytics.windows import Span, cut, missing_trades
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.rows import KEPT_FIELDS, KEPT_SECS, SecondRow, kept
from vibe_orderbook_mcp.store.history import History

SYMBOLS_KEPT = 64


class RowCache:
    """Rows from before the first one that memory has, by instrument: `kept` of them, ascending."""

    def __init__(self) -> None:
        self._older: OrderedDict[str, tuple[object, list[SecondRow]]] = OrderedDict()

    def forget(self, symbol: str) -> None:
        self._older.pop(symbol, None)

    async def hour_and_window(self, history: History, owner: InstrumentOwner, span: Span) -> list[SecondRow]:
        """Ascending rows of up to KEPT_SECS before the window's end: whole ones of the window, `kept` of those before
        it. Raises StorageError.
        """
        earlier = await self.hour_before(history, owner, span)
        rows = list(owner.watch.rows)  # the oldest ones make room for new ones while the rest is read
        seen = rows[0].second if rows else span.end
        stored = await history.rows(owner.spec.symbol, span.start, min(seen, span.end)) if span.start < seen else []
        window = [*stored, *(row for row in rows if max(span.start, seen) <= row.second < span.end)]
        return [*earlier, *window]

    async def hour_before(self, history: History, owner: InstrumentOwner, span: Span) -> list[SecondRow]:
        """`kept` of the rows before the window, ascending. Raises StorageError."""
        symbol, past = owner.spec.symbol, owner.past
        found = self._older.get(symbol)
        if found is None or found[0] is not past:  # a dropped instrument starts again
            until = past.oldest or span.end
            columns = await history.columns(symbol, span.end - KEPT_SECS, until, KEPT_FIELDS)
            rows = [kept(values) for values in zip(*(columns[field] for field in KEPT_FIELDS), strict=True)]
            found = self._older[symbol] = past, rows
            while len(self._older) > SYMBOLS_KEPT:
                self._older.popitem(last=False)
        older = found[1]
        if older and past.newest is not None and older[0].second < past.newest - KEPT_SECS:
            del older[: bisect_left(older, past.newest - KEPT_SECS, key=_second)]
        end = span.start if past.oldest is None else min(past.oldest, span.start)
        return [*older[: bisect_left(older, end, key=_second)], *past.before(span.start)]


async def with_late_trades(
    history: History | None, owner: InstrumentOwner, rows: list[SecondRow], span: Span
) -> list[SecondRow]:
    """The rows of a window with the sums of all stored trades: some trades may have been fetched after their row was
    final, and some seconds may not have been recorded completely. If trades cannot be read, the rows stay as recorded.
    """
    window = cut(rows, span).rows
    # Ids tell what is missing between rows, not before the first: it may be the second in which the process began.
    in_doubt = len(window) < span.secs or window[0].covered_ms < 1000 or missing_trades(window) != 0
    if history is None or not in_doubt:
        return rows
    try:
        stored = await history.trades(owner.spec.symbol, span.start * 1000, span.end * 1000)
    except StorageError:
        return rows  # what was seen, with the warning that trades are missing
    whole = owner.with_trades(window, stored)
    if sum(row.agg_trades for row in whole) <= sum(row.agg_trades for row in window):
        return rows
    return [*(row for row in rows if row.second < span.start), *whole, *(r for r in rows if r.second >= span.end)]


def _second(row: SecondRow) -> int:
    return row.second
