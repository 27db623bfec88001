"""Housekeeping of history: save findings and hours, seal minutes, verify ids, sync the log."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from loguru import logger

from vibe_orderbook_mcp.collect.watcher import Watcher
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.store.sink import Sink

TRADE_SUMMARY_TICKS = 10
SNAPSHOT_SUMMARY_TICKS = 60
SYNC_TICKS = 10  # the most that a power loss may take
SEAL_TICKS = 60
MINUTE_MS = 60_000
SEAL_BEFORE_MS = 10_000  # by then late trades of a minute have arrived
SAVE_HOURS_TICKS = 60
VERIFY_TICKS = 86_400
VERIFY_FIRST_TICKS = 600  # short enough for a process that is restarted every day


class Housekeeping:
    """Call `keep` after every write; `ticks`, one a second, decide what is due."""

    def __init__(self, market: Market, watcher: Watcher, is_waiting: Callable[[str], bool]) -> None:
        """`is_waiting` says whether data of a symbol is not written yet."""
        self._market = market
        self._watcher = watcher
        self._is_waiting = is_waiting
        self._due: dict[str, int] = {"verify": VERIFY_FIRST_TICKS}
        self._trades: Counter[str] = Counter()
        self._snapshots: Counter[str] = Counter()
        self._left_ms: dict[str, int] = {}  # dropped symbols, and the latest possible time of their last trade
        self.ticks = 0

    def forget(self, symbol: str, until_ms: int) -> None:
        """The symbol was dropped. Its last minute is sealed after its end; then the store drops it too."""
        self._due.pop(f"seal {symbol}", None)
        self._left_ms[symbol] = until_ms

    def stored(self, trades: Mapping[str, int], snapshots: Mapping[str, int]) -> None:
        """Count for the log's summaries. `snapshots`: those without their own line."""
        self._trades.update(trades)
        self._snapshots.update(snapshots)

    async def keep(self, sink: Sink) -> None:
        """Raises StorageError."""
        await self._watcher.save(sink)
        if self._is_due("hours", SAVE_HOURS_TICKS):
            await self._save_hours(sink)
        if self._is_due("summary", TRADE_SUMMARY_TICKS):
            for symbol, count in sorted(self._trades.items()):
                logger.bind(symbol=symbol).info("Stored {} trades for {}", count, symbol)
            self._trades.clear()
        if self._is_due("snapshots", SNAPSHOT_SUMMARY_TICKS):
            self._say_snapshots()
        if self._is_due("sync", SYNC_TICKS):
            await sink.flush(sync=True)
        await self._seal(sink)
        if self._is_due("verify", VERIFY_TICKS):
            for symbol in list(self._market.symbols):
                if gone := await sink.verify_ids(symbol):
                    lost = sum(last - first + 1 for first, last in gone)
                    logger.bind(symbol=symbol).info(
                        "{} old trades of {} were dropped to make room for newer ones", lost, symbol
                    )

    def _say_snapshots(self) -> None:
        if self._snapshots:
            counts = ", ".join(f"{symbol} {count}" for symbol, count in sorted(self._snapshots.items()))
            logger.info("Stored {} snapshots: {}", self._snapshots.total(), counts)
            self._snapshots.clear()

    async def finish(self, sink: Sink) -> None:
        """The process stops. Raises StorageError."""
        self._say_snapshots()
        await self._watcher.save(sink)
        await self._save_hours(sink)
        await sink.flush(sync=True)

    async def _save_hours(self, sink: Sink) -> None:
        await self._watcher.save_hours(sink, list(self._market.symbols.values()))

    async def _seal(self, sink: Sink) -> None:
        """Each symbol once a minute, one after the other: all together would delay the next second's write."""
        now_ms = self._market.exchange_ms(time.monotonic_ns())
        symbols = list(self._market.symbols)
        for place, symbol in enumerate(symbols):
            if now_ms is not None and self._is_due(f"seal {symbol}", SEAL_TICKS, place * SEAL_TICKS // len(symbols)):
                await sink.seal(symbol, now_ms - SEAL_BEFORE_MS)
        for symbol, until_ms in list(self._left_ms.items()):
            if symbol in self._market.symbols:
                del self._left_ms[symbol]  # subscribed again
            elif self._is_waiting(symbol) or now_ms is None:
                continue
            elif now_ms > until_ms + MINUTE_MS + SEAL_BEFORE_MS:
                await sink.seal(symbol, now_ms - SEAL_BEFORE_MS)
                await sink.forget(symbol)
                self._left_ms.pop(symbol, None)

    def _is_due(self, chore: str, every_ticks: int, first_ticks: int = 0) -> bool:
        """Whether it is due. Ticks may be written late and several at once, so their numbers may skip."""
        after = self.ticks - (self.ticks - first_ticks) % every_ticks + every_ticks
        if self.ticks < self._due.setdefault(chore, after):
            return False
        self._due[chore] = after
        return True
