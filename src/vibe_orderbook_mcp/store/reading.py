"""Reads of seconds and trades; `History` chooses the thread and the moment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol, TypeVar

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.rows import BookTop, SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store import reader
from vibe_orderbook_mcp.store.records.rows import Columns

T = TypeVar("T")

ROWS_A_PIECE: Final = 500  # some 10 ms of decoding
COLUMNS_A_PIECE: Final = 2000  # some 6 ms
KEYS_A_PIECE: Final = 5000
BLOCKS_A_PIECE: Final = 20


class Ask(Protocol):
    """Reads a piece, on the reading thread. All pieces of one `Ask` see one moment."""

    async def __call__(self, work: Callable[..., T], *args: object) -> T: ...


class Reading(ABC):
    """In `History` each call sees its own moment; in a `HistoryView` all calls see one moment."""

    @abstractmethod
    def _moment(self) -> AbstractAsyncContextManager[Ask]:
        """For one question, in any number of pieces. Sees all earlier writes, by any process."""

    async def rows(self, symbol: str, start_sec: int, end_sec: int) -> list[SecondRow]:
        """Ascending; seconds without a row are absent."""
        return [row async for piece in self.iter_rows(symbol, start_sec, end_sec) for row in piece]

    async def columns(self, symbol: str, start_sec: int, end_sec: int, fields: Sequence[str]) -> Columns:
        """A few fields of many rows, for a tenth of the cost of rows. Seconds without a row are absent.

        `fields.FIELDS` names them.
        """
        async with self._moment() as ask:
            found, at = await ask(reader.columns, symbol, start_sec, end_sec, fields, COLUMNS_A_PIECE)
            while at is not None:
                piece, at = await ask(reader.columns, symbol, at, end_sec, fields, COLUMNS_A_PIECE)
                found.second.extend(piece.second)
                for field, values in piece.fields.items():
                    found.fields[field].extend(values)
        return found

    async def snapshots(self, symbol: str, start_sec: int, end_sec: int) -> list[tuple[int, BookTop]]:
        """Ascending `(second, book at its end)`; seconds without a book are absent."""
        return [pair async for piece in self.iter_snapshots(symbol, start_sec, end_sec) for pair in piece]

    async def trades(self, symbol: str, start_ms: int, end_ms: int) -> list[Trade]:
        """Ascending by id, each once."""
        trades = [trade async for piece in self.iter_trades(symbol, start_ms, end_ms) for trade in piece]
        trades.sort(key=lambda trade: trade.agg_id)
        return trades

    async def iter_rows(self, symbol: str, start_sec: int, end_sec: int) -> AsyncIterator[list[SecondRow]]:
        """The same in pieces, for long windows."""
        at: int | None = start_sec
        async with self._moment() as ask:
            while at is not None:
                piece, at = await ask(reader.rows, symbol, at, end_sec, ROWS_A_PIECE)
                yield piece

    async def iter_snapshots(
        self, symbol: str, start_sec: int, end_sec: int
    ) -> AsyncIterator[list[tuple[int, BookTop]]]:
        at: int | None = start_sec
        async with self._moment() as ask:
            while at is not None:
                piece, at = await ask(reader.snapshots, symbol, at, end_sec, ROWS_A_PIECE)
                yield piece

    async def iter_trades(self, symbol: str, start_ms: int, end_ms: int) -> AsyncIterator[list[Trade]]:
        """In pieces of whole minutes, minute after minute; ascending by id within a piece, no trade twice."""
        async with self._moment() as ask:
            sealed_ms = await ask(reader.sealed, symbol) * 1000
            at: int | None = start_ms
            while at is not None:
                piece, at = await ask(reader.sealed_trades, symbol, at, min(end_ms, sealed_ms), BLOCKS_A_PIECE)
                yield piece
            at = max(start_ms, sealed_ms)
            while at is not None:
                piece, at = await ask(reader.open_trades, symbol, at, end_ms)
                yield piece

    async def ids(self, symbol: str) -> list[Interval]:
        """The stored aggregate trade ids, as intervals with both ends included."""
        async with self._moment() as ask:
            return await ask(reader.ids, symbol)

    async def spec(self, symbol: str) -> SymbolSpec | None:
        """The symbol's grid, as last recorded."""
        async with self._moment() as ask:
            return await ask(reader.spec, symbol)

    async def iter_seconds(self, family: Literal["row", "snap"], symbol: str) -> AsyncIterator[list[int]]:
        """The stored seconds, without reading their rows."""
        at: int | None = 0
        async with self._moment() as ask:
            while at is not None:
                piece, at = await ask(reader.stored_seconds, family, symbol, at, KEYS_A_PIECE)
                yield piece

    async def trade_span(self, symbol: str) -> tuple[int, int] | None:
        """Times in milliseconds of the oldest and the newest stored trade."""
        async with self._moment() as ask:
            return await ask(reader.trade_span, symbol)

    async def schema_version(self) -> int:
        async with self._moment() as ask:
            return await ask(reader.schema_version)

    async def oldest_second(self, symbol: str) -> int | None:
        async with self._moment() as ask:
            return await ask(reader.oldest_second, symbol)

    async def newest_second(self, symbol: str) -> int | None:
        async with self._moment() as ask:
            return await ask(reader.newest_second, symbol)

    async def symbols(self) -> list[str]:
        """Every symbol that was ever stored."""
        async with self._moment() as ask:
            return await ask(reader.symbols)

    async def gone_ids(self, symbol: str) -> list[Interval]:
        """Ids that count as stored although a walk over the stored trades does not find them."""
        async with self._moment() as ask:
            gone = await ask(reader.ids, symbol)
            at: int | None = 0
            while at is not None:
                held, at = await ask(reader.held_ids, symbol, at, BLOCKS_A_PIECE)
                gone = intervals.difference(gone, held)
            at = 0
            while at is not None:
                held, at = await ask(reader.held_open_ids, symbol, at, ROWS_A_PIECE)
                gone = intervals.difference(gone, held)
        return gone
