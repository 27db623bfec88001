"""What can be asked of history about seconds and trades; `History` says on which thread it is answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, Literal, TypeVar

from vibe_orderbook_mcp.core.events import Trade
from vibe_orderbook_mcp.core.rows import BookTop, SecondRow
from vibe_orderbook_mcp.core.symbol import SymbolSpec
from vibe_orderbook_mcp.store import intervals, reader
from vibe_orderbook_mcp.store.intervals import Interval
from vibe_orderbook_mcp.store.rows import Columns
from vibe_orderbook_mcp.store.writer import Writer

T = TypeVar("T")

ROWS_A_PIECE: Final = 500  # some 10 ms of decoding
COLUMNS_A_PIECE: Final = 2000  # some 6 ms
KEYS_A_PIECE: Final = 5000
BLOCKS_A_PIECE: Final = 20


class Threads(ABC):
    """Where the work of a call is done. Implemented by `History`."""

    @abstractmethod
    async def _read(self, work: Callable[..., T], *args: object) -> T:
        """On the thread that reads."""

    @abstractmethod
    async def _write(self, work: Callable[[Writer], T]) -> T:
        """On the thread that writes."""

    @abstractmethod
    async def _catch_up(self) -> None:
        """See what another process has written since the last call."""


class Reading(Threads):
    async def rows(self, symbol: str, start_sec: int, end_sec: int) -> list[SecondRow]:
        """Ascending; seconds without a row are absent."""
        return [row async for piece in self.iter_rows(symbol, start_sec, end_sec) for row in piece]

    async def columns(self, symbol: str, start_sec: int, end_sec: int, fields: Sequence[str]) -> Columns:
        """A few fields of many rows, for a tenth of what the rows cost. Seconds without a row are absent.

        `fields.FIELDS` names them.
        """
        await self._catch_up()
        found, at = await self._read(reader.columns, symbol, start_sec, end_sec, fields, COLUMNS_A_PIECE)
        while at is not None:
            piece, at = await self._read(reader.columns, symbol, at, end_sec, fields, COLUMNS_A_PIECE)
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
        await self._catch_up()
        while at is not None:
            piece, at = await self._read(reader.rows, symbol, at, end_sec, ROWS_A_PIECE)
            yield piece

    async def iter_snapshots(
        self, symbol: str, start_sec: int, end_sec: int
    ) -> AsyncIterator[list[tuple[int, BookTop]]]:
        at: int | None = start_sec
        await self._catch_up()
        while at is not None:
            piece, at = await self._read(reader.snapshots, symbol, at, end_sec, ROWS_A_PIECE)
            yield piece

    async def iter_trades(self, symbol: str, start_ms: int, end_ms: int) -> AsyncIterator[list[Trade]]:
        """In pieces of whole minutes, minute after minute; ascending by id within a piece, no trade twice."""
        await self._catch_up()
        # Sealing copies from seconds to minutes and takes nothing away: knowing first how far it has come, and then
        # reading minutes before seconds, no trade can slip through between the two.
        sealed = await self._read(reader.sealed, symbol)
        at: int | None = start_ms
        while at is not None:
            piece, at = await self._read(reader.sealed_trades, symbol, at, min(end_ms, sealed * 1000), BLOCKS_A_PIECE)
            yield piece
        at = max(start_ms, sealed * 1000)
        while at is not None:
            piece, at = await self._read(reader.open_trades, symbol, at, end_ms)
            yield piece

    async def ids(self, symbol: str) -> list[Interval]:
        """The aggregate trade ids that are held, as intervals with both ends included."""
        await self._catch_up()
        return await self._read(reader.ids, symbol)

    async def spec(self, symbol: str) -> SymbolSpec | None:
        """The symbol's grid as it was last recorded."""
        await self._catch_up()
        return await self._read(reader.spec, symbol)

    async def iter_seconds(self, family: Literal["row", "snap"], symbol: str) -> AsyncIterator[list[int]]:
        """Which seconds are stored, without reading them."""
        at: int | None = 0
        await self._catch_up()
        while at is not None:
            piece, at = await self._read(reader.stored_seconds, family, symbol, at, KEYS_A_PIECE)
            yield piece

    async def trade_span(self, symbol: str) -> tuple[int, int] | None:
        """Times in milliseconds of the oldest and the newest stored trade."""
        await self._catch_up()
        return await self._read(reader.trade_span, symbol)

    async def schema_version(self) -> int:
        return await self._read(reader.schema_version)

    async def oldest_second(self, symbol: str) -> int | None:
        await self._catch_up()
        return await self._read(reader.oldest_second, symbol)

    async def newest_second(self, symbol: str) -> int | None:
        await self._catch_up()
        return await self._read(reader.newest_second, symbol)

    async def symbols(self) -> list[str]:
        """Every symbol that something was ever stored of."""
        await self._catch_up()
        return await self._read(reader.symbols)

    async def verify_ids(self, symbol: str) -> list[Interval]:
        """Walk the stored trades and give up the ids that are not there any more; which they were.

        Space and age drop whole files, oldest written first. Late fills are written late, so what they filled can
        outlive newer trades, and the ids say more than is there until this is called. Once a day is enough.
        """
        gone = await self.ids(symbol)
        at: int | None = 0
        while at is not None:
            held, at = await self._read(reader.held_ids, symbol, at, BLOCKS_A_PIECE)
            gone = intervals.difference(gone, held)
        at = 0
        while at is not None:
            held, at = await self._read(reader.held_open_ids, symbol, at, ROWS_A_PIECE)
            gone = intervals.difference(gone, held)
        if gone:
            await self._write(lambda writer: writer.disown_ids(symbol, gone))
        return gone
