"""Where a finished second goes, with its top of book, its trades, and what was found and counted in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.rows import SecondRecord, StoredEvent, TradeBatch
from vibe_orderbook_mcp.store.plan import AppendResult


class Sink(Protocol):
    """What recording writes to. `History` is one.

    Every record has a rule that makes writing it twice harmless. Each method raises StorageError when it could not
    write; then nothing of the call is known to be stored, and all of it may be written again.
    """

    async def append(self, seconds: Sequence[SecondRecord], trades: Sequence[TradeBatch] = ()) -> AppendResult:
        """A second of every symbol and the trades that came with it, all or nothing. The first record of a second
        stays; a trade is known by its id.
        """

    async def add_trades(self, batch: TradeBatch) -> AppendResult:
        """Trades of any age, in any order, known or not."""

    async def put_events(self, symbol: str, events: Sequence[StoredEvent]) -> None:
        """Findings; one with the same start and type as a stored one takes its place."""

    async def put_baseline(self, symbol: str, hour_sec: int, data: bytes) -> None:
        """An hour's baseline; a newer state of it takes its place."""

    async def seal(self, symbol: str, before_ms: int) -> int:
        """Minutes that ended before then are over; how many of them have trades and were not sealed."""

    async def verify_ids(self, symbol: str) -> list[Interval]:
        """Ids of trades that were stored and are not there any more: they made room. They are held no longer."""

    async def flush(self, *, sync: bool = True) -> None:
        """What was written survives a power failure from now on."""

    async def forget(self, symbol: str) -> None:
        """Nothing more comes for the symbol for now. What is stored of it stays."""
