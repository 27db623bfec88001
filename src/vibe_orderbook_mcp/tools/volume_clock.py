"""Volume buckets (VPIN) of the symbols that are being asked about.

A day of a major is a million trades: they are read once, in the background, when the first question comes; later
questions add the trades since then. Until the reading is through there is no figure.
"""

from __future__ import annotations

import asyncio

from loguru import logger

from vibe_orderbook_mcp.analytics.toxicity import VolumeBuckets, bucket_lots
from vibe_orderbook_mcp.core.events import Trade
from vibe_orderbook_mcp.core.symbol import SymbolSpec
from vibe_orderbook_mcp.errors import StorageError
from vibe_orderbook_mcp.store.history import History

DAY_MS = 86_400_000
SYMBOLS_KEPT = 20
# The bucket is a fiftieth of a day's volume: sized anew when that day has gone by.
RESIZE_MS = DAY_MS


class _Clock:
    def __init__(self, began_ms: int) -> None:
        self.began_ms = began_ms
        self.until_ms = began_ms
        self.buckets: VolumeBuckets | None = None


class VolumeClocks:
    def __init__(self) -> None:
        self._clocks: dict[str, _Clock] = {}
        self._reading: set[asyncio.Task[None]] = set()

    def is_known(self, symbol: str) -> bool:
        """Whether the past day was read."""
        clock = self._clocks.get(symbol)
        return clock is not None and clock.buckets is not None

    async def buckets(self, history: History, spec: SymbolSpec, now_ms: int) -> VolumeBuckets | None:
        """None while the past day is being read for the first time. Raises StorageError."""
        clock = self._clocks.get(spec.symbol)
        if clock is None or now_ms - clock.began_ms > RESIZE_MS:
            clock = self._clocks[spec.symbol] = _Clock(now_ms)
            while len(self._clocks) > SYMBOLS_KEPT:
                del self._clocks[next(iter(self._clocks))]
            task = asyncio.create_task(self._read_day(history, spec, clock))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)
        if clock.buckets is not None and now_ms > clock.until_ms:
            start_ms, clock.until_ms = clock.until_ms, now_ms
            _add(clock.buckets, await history.trades(spec.symbol, start_ms, now_ms), spec)
        return clock.buckets

    async def _read_day(self, history: History, spec: SymbolSpec, clock: _Clock) -> None:
        start_ms = clock.began_ms - DAY_MS
        try:
            day = await history.trade_sums(spec.symbol, start_ms, clock.began_ms)
            if day.trades == 0 or day.first_ms is None:
                self._clocks.pop(spec.symbol, None)  # asked again with the next question
                return
            held_ms = max(1, clock.began_ms - day.first_ms)
            lots = (day.buy_lots + day.sell_lots) * DAY_MS // held_ms  # as if the rest of the day had been like it
            buckets = VolumeBuckets(bucket_lots(lots))
            async for piece in history.iter_trades(spec.symbol, start_ms, clock.began_ms):
                _add(buckets, piece, spec)
                await asyncio.sleep(0)
            clock.buckets = buckets
        except StorageError as error:
            self._clocks.pop(spec.symbol, None)
            logger.debug("Volume buckets of {} are put off: {}", spec.symbol, error)


def _add(buckets: VolumeBuckets, trades: list[Trade], spec: SymbolSpec) -> None:
    scale = 10.0**spec.lot_exp
    for trade in sorted(trades, key=_agg_id):
        buckets.add(round(trade.size * scale), is_buy=not trade.buyer_is_maker)


def _agg_id(trade: Trade) -> int:
    return trade.agg_id
