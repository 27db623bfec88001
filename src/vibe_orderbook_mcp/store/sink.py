"""The destination of a finished second, with its top of book, its trades, findings and baseline counts."""

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
        """Findings; one with the same start and type replaces the stored one."""

    async def put_baseline(self, symbol: str, hour_sec: int, data: bytes) -> None:
        """An hour's baseline; a newer state replaces it."""

    async def seal(self, symbol: str, before_ms: int) -> int:
        """Minutes that ended before then are over; how many of them have trades and were not sealed."""

    async def verify_ids(self, symbol: str) -> list[Interval]:
        """Ids of trades that were dropped to make room; they do not count as stored any more."""

    async def flush(self, *, sync: bool = True) -> None:
        """Make written data survive a power failure."""

    async def forget(self, symbol: str) -> None:
        """No more data comes for the symbol now. Its stored data stays."""
