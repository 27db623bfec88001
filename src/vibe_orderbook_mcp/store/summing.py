"""What can be asked of history about sums of trades, findings and baselines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from vibe_orderbook_mcp.errors import StorageError
from vibe_orderbook_mcp.store import held, rolled
from vibe_orderbook_mcp.store.findings import StoredEvent
from vibe_orderbook_mcp.store.reading import KEYS_A_PIECE, Reading
from vibe_orderbook_mcp.store.rocks import Database
from vibe_orderbook_mcp.store.rollups import Histogram, TradeSums
from vibe_orderbook_mcp.store.window_sums import Steps, WindowSums

EVENTS_A_PIECE: Final = 500

T = TypeVar("T")


class IdCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a window's aggregate trades are held, as far as their ids, which are consecutive, prove it.

    `missing` counts the ids between the neighbours of the window that are not held: some of those next to an edge
    may belong outside of it. Without a neighbour (`start_known`, `end_known`) nothing is known beyond that edge.
    """

    held: int
    missing: int
    start_known: bool
    end_known: bool
    complete_since_ms: int | None  # from then until the newest trade not one is missing; None without trades


class Summing(Reading):
    def __init__(self) -> None:
        self._window_sums = WindowSums()
        self._places: held.Places = {}

    async def histogram(self, symbol: str, start_ms: int, end_ms: int) -> Histogram:
        """Trades of a window by price: what summing up `trades` would give, as exactly, in a fraction of the time."""
        await self._catch_up()
        return await self._in_pieces(lambda database: self._window_sums.histogram(database, symbol, start_ms, end_ms))

    async def trade_sums(self, symbol: str, start_ms: int, end_ms: int) -> TradeSums:
        """The same without prices: faster still."""
        await self._catch_up()
        return await self._in_pieces(lambda database: self._window_sums.sums(database, symbol, start_ms, end_ms))

    async def _in_pieces(self, work: Callable[[Database], Steps[T]]) -> T:
        """As many steps in one go as a piece of a read may take: every change of threads waits on a busy machine."""
        steps: Steps[T] | None = None
        opened: Database | None = None
        found: list[T] = []

        def go_on(database: Database) -> None:
            nonlocal steps, opened
            if steps is None:
                steps, opened = work(database), database
            elif database is not opened:
                raise StorageError("History was opened anew while it was read.")
            until = time.perf_counter() + rolled.PIECE_SECS
            try:
                while time.perf_counter() < until:
                    next(steps)
            except StopIteration as done:
                found.append(done.value)

        while not found:
            await self._read(go_on)
        return found[0]

    async def id_coverage(self, symbol: str, start_ms: int, end_ms: int, sums: TradeSums | None = None) -> IdCoverage:
        """`sums` are those of the window, where they are known already."""
        if sums is None:
            sums = await self.trade_sums(symbol, start_ms, end_ms)
        return await self._read(_id_coverage, symbol, start_ms, end_ms, sums, self._places)

    # --- findings and baselines ---------------------------------------------------------------------------------

    async def put_events(self, symbol: str, events: Sequence[StoredEvent]) -> None:
        """Store findings; one with the same start and type as a stored one takes its place."""
        await self._write(lambda writer: writer.put_events(symbol, events))

    async def events(self, symbol: str, start_ms: int, end_ms: int) -> list[StoredEvent]:
        """Those that began in the window, ascending by start."""
        await self._catch_up()
        found: list[StoredEvent] = []
        after: bytes | None = b""
        while after is not None:
            piece, after = await self._read(rolled.events, symbol, start_ms, end_ms, after, EVENTS_A_PIECE)
            found += piece
        return found

    async def count_events(self, symbol: str) -> int:
        await self._catch_up()
        total = 0
        after: bytes | None = b""
        while after is not None:
            count, after = await self._read(rolled.count_events, symbol, after, KEYS_A_PIECE)
            total += count
        return total

    async def put_baseline(self, symbol: str, hour_sec: int, data: bytes) -> None:
        """Store an hour's baseline, or a newer state of it. What it says, and its version, is the caller's affair."""
        await self._write(lambda writer: writer.put_baseline(symbol, hour_sec, data))

    async def baselines(self, symbol: str, since_sec: int) -> list[tuple[int, bytes]]:
        """`(hour, data)` from an hour on, ascending."""
        await self._catch_up()
        found: list[tuple[int, bytes]] = []
        at: int | None = since_sec
        while at is not None:
            piece, at = await self._read(rolled.baselines, symbol, at, EVENTS_A_PIECE)
            found += piece
        return found


def _id_coverage(
    database: Database, symbol: str, start_ms: int, end_ms: int, sums: TradeSums, places: held.Places
) -> IdCoverage:
    before = held.last_id_before(database, symbol, start_ms)
    after = held.first_id_from(database, symbol, end_ms)
    missing = sums.missing_ids
    if sums.first_agg_id is not None and sums.last_agg_id is not None:
        missing += 0 if before is None else sums.first_agg_id - before - 1
        missing += 0 if after is None else after - sums.last_agg_id - 1
    elif before is not None and after is not None:
        missing = after - before - 1
    return IdCoverage(
        held=sums.trades,
        missing=max(0, missing),
        start_known=before is not None or sums.first_agg_id == 0,
        end_known=after is not None,
        complete_since_ms=held.complete_since_ms(database, symbol, places),
    )
