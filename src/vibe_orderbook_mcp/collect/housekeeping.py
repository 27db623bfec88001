"""What history needs besides its seconds: findings and hours saved, minutes sealed, ids verified, the log synced."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from loguru import logger

from vibe_orderbook_mcp.collect.watcher import Watcher
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.store.history import History

TRADE_SUMMARY_TICKS = 10
SNAPSHOT_SUMMARY_TICKS = 60
SYNC_TICKS = 10  # how much a power loss may take
SEAL_TICKS = 60
MINUTE_MS = 60_000
SEAL_BEFORE_MS = 10_000  # late trades of a minute are in by then
SAVE_HOURS_TICKS = 60
VERIFY_TICKS = 86_400
VERIFY_FIRST_TICKS = 600  # also where the process is restarted every day


class Housekeeping:
    """`keep` after every write; what is due is told by `ticks`, which come once a second."""

    def __init__(self, market: Market, watcher: Watcher, is_waiting: Callable[[str], bool]) -> None:
        """`is_waiting` says whether something of a symbol is not written yet."""
        self._market = market
        self._watcher = watcher
        self._is_waiting = is_waiting
        self._due: dict[str, int] = {"verify": VERIFY_FIRST_TICKS}
        self._trades: Counter[str] = Counter()
        self._snapshots: Counter[str] = Counter()
        self._left_ms: dict[str, int] = {}  # symbols that are kept no more, and when their last trade may have been
        self.ticks = 0

    def forget(self, symbol: str, until_ms: int) -> None:
        """The symbol is kept no more. Its last minute is sealed when it is over; then the store forgets it as well."""
        self._due.pop(f"seal {symbol}", None)
        self._left_ms[symbol] = until_ms

    def stored(self, trades: Mapping[str, int], snapshots: Mapping[str, int]) -> None:
        """For the summaries in the log. `snapshots`: those without a line of their own."""
        self._trades.update(trades)
        self._snapshots.update(snapshots)

    async def keep(self, history: History) -> None:
        """Raises StorageError."""
        await self._watcher.save(history)
        if self._is_due("hours", SAVE_HOURS_TICKS):
            await self._save_hours(history)
        if self._is_due("summary", TRADE_SUMMARY_TICKS):
            for symbol, count in sorted(self._trades.items()):
                logger.bind(symbol=symbol).info("Stored {} trades for {}", count, symbol)
            self._trades.clear()
        if self._is_due("snapshots", SNAPSHOT_SUMMARY_TICKS):
            self._say_snapshots()
        if self._is_due("sync", SYNC_TICKS):
            await history.flush(sync=True)
        await self._seal(history)
        if self._is_due("verify", VERIFY_TICKS):
            for symbol in list(self._market.symbols):
                if gone := await history.verify_ids(symbol):
                    lost = sum(last - first + 1 for first, last in gone)
                    logger.bind(symbol=symbol).info("{} old trades of {} made room for newer ones", lost, symbol)

    def _say_snapshots(self) -> None:
        if self._snapshots:
            counts = ", ".join(f"{symbol} {count}" for symbol, count in sorted(self._snapshots.items()))
            logger.info("Stored {} snapshots: {}", self._snapshots.total(), counts)
            self._snapshots.clear()

    async def finish(self, history: History) -> None:
        """The process stops. Raises StorageError."""
        self._say_snapshots()
        await self._watcher.save(history)
        await self._save_hours(history)
        await history.flush(sync=True)

    async def _save_hours(self, history: History) -> None:
        await self._watcher.save_hours(history, list(self._market.symbols.values()))

    async def _seal(self, history: History) -> None:
        """Each symbol once a minute, one after the other: all at once would hold up the next second's write."""
        now_ms = self._market.exchange_ms(time.monotonic_ns())
        symbols = list(self._market.symbols)
        for place, symbol in enumerate(symbols):
            if now_ms is not None and self._is_due(f"seal {symbol}", SEAL_TICKS, place * SEAL_TICKS // len(symbols)):
                await history.seal(symbol, now_ms - SEAL_BEFORE_MS)
        for symbol, until_ms in list(self._left_ms.items()):
            if symbol in self._market.symbols:
                del self._left_ms[symbol]  # it is back
            elif self._is_waiting(symbol) or now_ms is None:
                continue
            elif now_ms > until_ms + MINUTE_MS + SEAL_BEFORE_MS:
                await history.seal(symbol, now_ms - SEAL_BEFORE_MS)
                await history.forget(symbol)
                self._left_ms.pop(symbol, None)

    def _is_due(self, chore: str, every_ticks: int, first_ticks: int = 0) -> bool:
        """Whether its time has come. Ticks are written late and several at once, so none is waited for by number."""
        after = self.ticks - (self.ticks - first_ticks) % every_ticks + every_ticks
        if self.ticks < self._due.setdefault(chore, after):
            return False
        self._due[chore] = after
        return True
