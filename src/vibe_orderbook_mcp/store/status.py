"""Counts of a data directory, without decoding it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.numbering import is_own
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.summing import HistoryView

UNDER_WAY_SECS = 5  # from the end of a second until it is stored, with a margin for a busy machine


class StoredSpan(msgspec.Struct, frozen=True):
    """Stored seconds: the first, the last, the number, and the missing ones between."""

    first: int
    last: int
    count: int
    gaps: int
    missing_secs: int

    def until(self, second: int) -> StoredSpan:
        """With the open gap at that second, if it is one: the newest seconds are always still to come."""
        open_secs = second - self.last - 1
        if open_secs <= UNDER_WAY_SECS:
            return self
        return msgspec.structs.replace(self, gaps=self.gaps + 1, missing_secs=self.missing_secs + open_secs)


class TradeSpan(msgspec.Struct, frozen=True):
    """Stored trades: times of the oldest and the newest, how many, and the ids missing between."""

    first_ms: int
    last_ms: int
    count: int
    holes: int
    missing_ids: int | None  # None: there are holes, and ids do not say how many trades are missing


class SymbolStatus(msgspec.Struct, frozen=True):
    symbol: str
    snapshots: StoredSpan | None
    rows: StoredSpan | None
    trades: TradeSpan | None
    events: int = 0


class StoreStatus(msgspec.Struct, frozen=True):
    schema_version: int
    disk_bytes: int
    families: dict[str, int]
    symbols: tuple[SymbolStatus, ...]


async def store_status(history: History) -> StoreStatus:
    """All from one moment, except the sizes."""
    async with history.view() as view:
        symbols = [
            SymbolStatus(
                symbol=symbol,
                snapshots=await count_seconds(view.iter_seconds("snap", symbol)),
                rows=await count_seconds(view.iter_seconds("row", symbol)),
                trades=await count_trades(view, symbol),
                events=await view.count_events(symbol),
            )
            for symbol in await view.symbols()
        ]
        schema_version = await view.schema_version()
    stats = history.stats()
    return StoreStatus(
        schema_version=schema_version,
        disk_bytes=stats.disk_bytes,
        families=stats.families,
        symbols=tuple(symbols),
    )


async def count_seconds(pieces: AsyncIterator[list[int]]) -> StoredSpan | None:
    first = last = None
    count = gaps = 0
    async for seconds in pieces:
        if not seconds:
            continue
        if first is None or last is None:
            first, last = seconds[0], seconds[0] - 1
        if seconds[-1] - last != len(seconds):  # there is a gap in this piece
            gaps += sum(later - earlier > 1 for earlier, later in zip([last, *seconds], seconds, strict=False))
        count += len(seconds)
        last = seconds[-1]
    if first is None or last is None:
        return None
    return StoredSpan(first=first, last=last, count=count, gaps=gaps, missing_secs=last - first + 1 - count)


async def count_trades(view: HistoryView, symbol: str) -> TradeSpan | None:
    ids, span = await view.ids(symbol), await view.trade_span(symbol)
    if not ids or span is None:
        return None
    count = intervals.count(ids)
    return TradeSpan(
        first_ms=span[0],
        last_ms=span[1],
        count=count,
        holes=len(ids) - 1,
        missing_ids=None if len(ids) > 1 and is_own(ids[-1][1]) else ids[-1][1] - ids[0][0] + 1 - count,
    )
