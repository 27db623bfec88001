"""The trailing hour of rows of the symbols that are being asked about, so that a question decodes only new rows."""

from __future__ import annotations

from collections import OrderedDict, deque

from vibe_orderbook_mcp.core.rows import SecondRow
from vibe_orderbook_mcp.store.history import History

KEPT_SECS = 3600 + 300  # the baseline hour before the longest window
SYMBOLS_KEPT = 8  # about 10 MB each


class RowCache:
    def __init__(self) -> None:
        self._rows: OrderedDict[str, deque[SecondRow]] = OrderedDict()

    async def rows(self, history: History, symbol: str, end: int) -> list[SecondRow]:
        """Stored rows of the last KEPT_SECS before `end`, ascending. Raises StorageError."""
        kept = self._rows.get(symbol)
        start = end - KEPT_SECS
        newest = kept[-1].second if kept else None
        fresh = await history.rows(symbol, start if newest is None else max(start, newest + 1), end)
        kept = self._rows.setdefault(symbol, deque())
        self._rows.move_to_end(symbol)
        # Another call may have added the same rows while this one waited.
        last = kept[-1].second if kept else -1
        kept.extend(row for row in fresh if row.second > last)
        while kept and kept[0].second < start:
            kept.popleft()
        while len(self._rows) > SYMBOLS_KEPT:
            self._rows.popitem(last=False)
        return [row for row in kept if row.second < end]
