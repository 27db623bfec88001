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
LENGTHS_KEPT: Final = 4  # of windows, for each symbol: 0.2 MB each
FIELDS: Final = ("covered_ms", "mid", "buy_volume", "sell_volume")

_Basis = tuple[int, int]  # where the windows end, and the newest second that they know


class _Symbol:
    """One symbol's day, and the windows that were cut from it last, by their length."""

    __slots__ = ("cuts", "lock", "past")

    def __init__(self) -> None:
        self.past = Past()
        self.lock = asyncio.Lock()
        self.cuts: dict[int, tuple[_Basis, list[EqualWindow]]] = {}


class PastCache:
    def __init__(self) -> None:
        self._symbols: OrderedDict[str, _Symbol] = OrderedDict()

    async def windows(self, history: History, symbol: str, secs: int, before: int) -> list[EqualWindow]:
        """The equal windows of the day before `before`, oldest first. Raises StorageError.

        They end on whole multiples of `secs` instead of at `before`: then they stay the same from one second to the
        next, and are cut once in `secs` seconds instead of for each question.
        """
        known = self._symbols.setdefault(symbol, _Symbol())
        self._symbols.move_to_end(symbol)
        while len(self._symbols) > SYMBOLS_KEPT:
            self._symbols.popitem(last=False)
        end = before - before % secs
        async with known.lock:  # whoever asks while a day is being read waits for it instead of reading it again
            past, oldest = known.past, end - KEPT_SECS
            start = oldest if past.newest is None else max(oldest, past.newest + 1)
            if start < end:
                fresh = await history.columns(symbol, start, end, FIELDS)
                # Tens of milliseconds for a day, some for its windows: not on the event loop.
                await asyncio.to_thread(_extend, past, fresh, oldest)
            basis = end, min(past.newest or 0, end - 1)  # seconds that were not stored yet may come
            if secs not in known.cuts or known.cuts[secs][0] != basis:
                if len(known.cuts) >= LENGTHS_KEPT:
                    del known.cuts[next(iter(known.cuts))]
                known.cuts[secs] = basis, await asyncio.to_thread(past.windows, secs, end)
            return known.cuts[secs][1]


def _extend(past: Past, fresh: Columns, oldest: int) -> None:
    for values in zip(fresh.second, *(fresh[field] for field in FIELDS), strict=True):
        past.add(*values)
    past.drop_before(oldest)
