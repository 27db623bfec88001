"""Volume buckets (VPIN) of the symbols that are being asked about.

A day of a major is a million trades: they are read once, in the background, when the first question comes; later
questions add the trades since then. Until the reading is through there is no figure. Trades that are fetched backwards
meanwhile are counted once a minute: the day is read again when they are all there, or as many as were read before.
"""

from __future__ import annotations

import asyncio

from loguru import logger

from vibe_orderbook_mcp.analytics.flow.toxicity import VolumeBuckets, bucket_lots
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.history import History

DAY_MS = 86_400_000
SYMBOLS_KEPT = 20
# The bucket is a fiftieth of a day's volume: sized again after that day.
RESIZE_MS = DAY_MS
CHECK_MS = 60_000


class _Clock:
    def __init__(self, began_ms: int, lot_exp: int) -> None:
        self.began_ms = began_ms
        self.lot_exp = lot_exp  # buckets count in 10^-lot_exp
        self.until_ms = began_ms
        self.buckets: VolumeBuckets | None = None
        self.trades = 0  # in the buckets
        self.late = 0  # stored since, with times before `until_ms`: at the last count
        self.counted_ms = began_ms

    def add(self, trades: list[Trade]) -> None:
        if self.buckets is not None:
            scale = 10.0**self.lot_exp
            for trade in sorted(trades, key=_agg_id):
                self.buckets.add(round(trade.size * scale), is_buy=not trade.buyer_is_maker)
            self.trades += len(trades)


class VolumeClocks:
    def __init__(self) -> None:
        self._clocks: dict[str, _Clock] = {}
        self._reading: set[asyncio.Task[None]] = set()

    def forget(self, symbol: str) -> None:
        """What is still being read is thrown away when it is through."""
        self._clocks.pop(symbol, None)

    def is_known(self, symbol: str) -> bool:
        """Whether the past day was read."""
        clock = self._clocks.get(symbol)
        return clock is not None and clock.buckets is not None

    async def buckets(self, history: History, spec: SymbolSpec, now_ms: int) -> VolumeBuckets | None:
        """None while the past day is being read for the first time. Raises StorageError."""
        clock = self._clocks.get(spec.symbol)
        if clock is None or now_ms - clock.began_ms > RESIZE_MS or clock.lot_exp != spec.lot_exp:
            clock = self._clocks[spec.symbol] = _Clock(now_ms, spec.lot_exp)
            while len(self._clocks) > SYMBOLS_KEPT:
                del self._clocks[next(iter(self._clocks))]
            self._read(history, spec, clock)
        elif clock.buckets is not None and now_ms - clock.counted_ms >= CHECK_MS:
            clock.counted_ms = now_ms
            await self._count_late(history, spec, clock)
        if clock.buckets is not None and now_ms > clock.until_ms:
            start_ms, clock.until_ms = clock.until_ms, now_ms
            clock.add(await history.trades(spec.symbol, start_ms, now_ms))
        return clock.buckets

    async def _count_late(self, history: History, spec: SymbolSpec, clock: _Clock) -> None:
        held = await history.trade_sums(spec.symbol, clock.began_ms - DAY_MS, clock.until_ms)
        before, clock.late = clock.late, held.trades - clock.trades
        if clock.late > 0 and (clock.late == before or clock.late > clock.trades):
            clock.late = 0
            self._read(history, spec, clock)

    def _read(self, history: History, spec: SymbolSpec, clock: _Clock) -> None:
        task = asyncio.create_task(self._read_day(history, spec, clock))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read_day(self, history: History, spec: SymbolSpec, clock: _Clock) -> None:
        """The day before the clock began, and what has passed since. Until it is through, the clock stays as it is."""
        start_ms, until_ms = clock.began_ms - DAY_MS, clock.until_ms
        try:
            async with history.view() as view:
                day = await view.trade_sums(spec.symbol, start_ms, clock.began_ms)
                if day.trades == 0 or day.first_ms is None:
                    self._clocks.pop(spec.symbol, None)  # asked again with the next question
                    return
                held_ms = max(1, clock.began_ms - day.first_ms)
                # As if the rest of the day had been like it. Stored trades may be on a grid that the symbol had before.
                day_lots = (day.buy_lots + day.sell_lots) * 10**spec.lot_exp // 10**day.lot_exp
                lots = day_lots * DAY_MS // held_ms
                fresh = _Clock(clock.began_ms, spec.lot_exp)
                fresh.buckets, fresh.until_ms, fresh.counted_ms = VolumeBuckets(bucket_lots(lots)), until_ms, until_ms
                async for piece in view.iter_trades(spec.symbol, start_ms, until_ms):
                    fresh.add(piece)
                    await asyncio.sleep(0)
        except StorageError as error:
            if clock.buckets is None:
                self._clocks.pop(spec.symbol, None)
            logger.debug("Volume buckets of {} failed and will be tried again: {}", spec.symbol, error)
            return
        if self._clocks.get(spec.symbol) is clock:  # else it started again meanwhile
            self._clocks[spec.symbol] = fresh


def _agg_id(trade: Trade) -> int:
    return trade.agg_id
