"""The past day of the symbols that are being asked about, a few columns of it, read once and then continued."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from vibe_orderbook_mcp.analytics.past import EqualWindow, Past
from vibe_orderbook_mcp.store.columns import Columns
from vibe_orderbook_mcp.store.history import History

KEPT_SECS: Final = 86_400
SYMBOLS_KEPT: Final = 20  # 3 MB each
FIELDS: Final = ("covered_ms", "mid", "buy_volume", "sell_volume")


class PastCache:
    def __init__(self) -> None:
        self._pasts: OrderedDict[str, tuple[Past, asyncio.Lock]] = OrderedDict()

    async def windows(self, history: History, symbol: str, secs: int, before: int) -> list[EqualWindow]:
        """The equal windows of the day before `before`, oldest first. Raises StorageError."""
        past, lock = self._pasts.setdefault(symbol, (Past(), asyncio.Lock()))
        self._pasts.move_to_end(symbol)
        while len(self._pasts) > SYMBOLS_KEPT:
            self._pasts.popitem(last=False)
        async with lock:  # whoever asks while a day is being read waits for it instead of reading it again
            oldest = before - KEPT_SECS
            start = oldest if past.newest is None else max(oldest, past.newest + 1)
            if start < before:
                fresh = await history.columns(symbol, start, before, FIELDS)
                # Tens of milliseconds for a day, some for its windows: not on the event loop.
                await asyncio.to_thread(_extend, past, fresh, oldest)
            return await asyncio.to_thread(past.windows, secs, before)


def _extend(past: Past, fresh: Columns, oldest: int) -> None:
    for values in zip(fresh.second, *(fresh[field] for field in FIELDS), strict=True):
        past.add(*values)
    past.drop_before(oldest)
