"""The past day of the symbols that are being asked about, a few columns of it, read once and then continued."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from vibe_orderbook_mcp.analytics.flow.past import Earlier, EqualWindows, Past
from vibe_orderbook_mcp.store.history import History

KEPT_SECS: Final = 86_400
SYMBOLS_KEPT: Final = 20  # 5.2 MB each
LENGTHS_KEPT: Final = 4  # of windows, for each symbol: 0.2 MB each
PIECE_SECS: Final = 3600  # of the day are read at once, the newest first
# A day takes a third of a second of an idle core to read, and longer on a busy one. The first
# caller gets the hours read so far, and a warning.
PATIENCE_SECS: Final = 0.15
FIELDS: Final = ("covered_ms", "mid", "buy_volume", "sell_volume", "buy_quote", "sell_quote", "ofi")

_Basis = tuple[int, int, int | None]  # where the windows end, and the newest and the oldest second that they know


class _Symbol:
    """One symbol's day, and the windows that were cut from it last, by their length."""

    __slots__ = ("cuts", "lock", "past", "read_from", "reading")

    def __init__(self) -> None:
        self.past = Past()
        self.lock = asyncio.Lock()  # locked during a change of `past`
        self.read_from: int | None = None  # the second from which on all that is stored was read
        self.reading: asyncio.Task[None] | None = None
        self.cuts: dict[int, tuple[_Basis, EqualWindows]] = {}

    @property
    def is_begun(self) -> bool:
        """Something was found, or there is nothing to be found."""
        return self.past.newest is not None or self.is_whole

    @property
    def is_whole(self) -> bool:
        reading = self.reading
        return reading is not None and reading.done() and not reading.cancelled() and reading.exception() is None


class PastCache:
    def __init__(self, patience_secs: float = PATIENCE_SECS) -> None:
        self._symbols: OrderedDict[str, _Symbol] = OrderedDict()
        self._patience_secs = patience_secs

    def is_whole(self, symbol: str) -> bool:
        """Whether the day was read."""
        known = self._symbols.get(symbol)
        return known is not None and known.is_whole

    def forget(self, symbol: str) -> None:
        known = self._symbols.pop(symbol, None)
        if known is not None and known.reading is not None:
            known.reading.cancel()

    async def windows(self, history: History, symbol: str, secs: int, before: int) -> Earlier:
        """The equal windows of the day before `before`, oldest first. Raises StorageError.

        They end on whole multiples of `secs` instead of at `before`: then they stay the same from one second to the
        next, and are cut once in `secs` seconds instead of for each question.
        """
        known = self._symbols.setdefault(symbol, _Symbol())
        self._symbols.move_to_end(symbol)
        while len(self._symbols) > SYMBOLS_KEPT:
            self._symbols.popitem(last=False)
        end = before - before % secs
        if not known.is_whole:
            await self._begun(history, symbol, known, end)
        async with known.lock:
            past, oldest = known.past, end - KEPT_SECS
            if (start := oldest if past.newest is None else past.newest + 1) < end and known.is_begun:
                fresh = await history.columns(symbol, start, end, FIELDS)
                past.extend(fresh.second, *(fresh[field] for field in FIELDS))
                past.drop_before(oldest)
            # Seconds that were not stored yet may come, and older ones that are still being read.
            basis = end, min(past.newest or 0, end - 1), past.oldest
            if secs not in known.cuts or known.cuts[secs][0] != basis:
                if len(known.cuts) >= LENGTHS_KEPT:
                    del known.cuts[next(iter(known.cuts))]
                known.cuts[secs] = basis, await asyncio.to_thread(past.windows, secs, end)
            return Earlier(known.cuts[secs][1], None if known.is_whole else end - (known.read_from or end))

    async def _begun(self, history: History, symbol: str, known: _Symbol, end: int) -> None:
        """Waits for the day, but not for long. Raises StorageError."""
        if known.reading is None or known.reading.done():  # the first question, or it failed
            known.reading = asyncio.create_task(_read_day(history, symbol, known, end))
            known.reading.add_done_callback(_noticed)
        await asyncio.wait({known.reading}, timeout=self._patience_secs)
        if known.reading.done():
            known.reading.result()


async def _read_day(history: History, symbol: str, known: _Symbol, end: int) -> None:
    """Hour by hour, the newest first. Raises StorageError; the next call continues after the failure."""
    oldest = end - KEPT_SECS
    until = end if known.read_from is None else known.read_from
    while until > oldest:
        start = max(oldest, until - PIECE_SECS)
        piece = await history.columns(symbol, start, until, FIELDS)
        async with known.lock:
            known.past.extend(piece.second, *(piece[field] for field in FIELDS))
            known.read_from = until = start


def _noticed(reading: asyncio.Task[None]) -> None:
    """The next caller gets the failure; at the end of the process nobody does."""
    if not reading.cancelled():
        reading.exception()
