"""Trades that are missing from the archive, fetched by id.

Aggregate-trade ids are consecutive, so what is missing is a fact: every id between those held, and, back to the
wanted hour, every id before the first one held. One procedure fills what a gap, a restart or a first start left:
newest first, a page at a time, resumable at any point because each page is stored with its ids. What is older
than a day and than the wanted hours is left: the space it would take may be what newer trades were dropped for.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from loguru import logger

from vibe_orderbook_mcp.analytics.profile_coverage import Backfill
from vibe_orderbook_mcp.archive import Archive
from vibe_orderbook_mcp.binance.backoff import delays
from vibe_orderbook_mcp.binance.rest import AGG_TRADES_LIMIT, BinanceRest
from vibe_orderbook_mcp.core.events import Trade
from vibe_orderbook_mcp.core.rows import TradeBatch
from vibe_orderbook_mcp.errors import ExchangeError, RateLimited, StorageError
from vibe_orderbook_mcp.market import Market, SymbolState
from vibe_orderbook_mcp.store import intervals
from vibe_orderbook_mcp.store.intervals import Interval

LOOK_EVERY_SECS = 1.0
PAGES_A_TURN = 20  # then the next symbol gets its turn
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class _Lookback:
    """How far back the trades of one symbol have been fetched, and how fast that goes."""

    def __init__(self, newest_ms: int) -> None:
        self.began = time.monotonic()
        self.newest_ms = newest_ms
        self.reached_ms = newest_ms
        self.ids = 0
        self.is_done = False

    def progress(self, target_ms: int) -> Backfill | None:
        """None when it is through, or has not said anything yet."""
        passed_ms, secs = self.newest_ms - self.reached_ms, time.monotonic() - self.began
        if self.is_done or passed_ms <= 0 or secs <= 0:
            return None
        left = (self.reached_ms - target_ms) * self.ids / passed_ms
        return Backfill(reaches_ms=target_ms, ids_left=max(0, round(left)), ids_per_sec=self.ids / secs)


class Filler:
    """Runs in the background with at most half of the exchange's weight (see `BinanceRest.agg_trades`)."""

    def __init__(self, market: Market, archive: Archive, rest: BinanceRest, *, backfill_hours: int) -> None:
        self._market = market
        self._archive = archive
        self._rest = rest
        self._backfill_ms = backfill_hours * HOUR_MS
        self._floor: dict[str, int] = {}  # ids below this are too old, or the exchange has none
        self._given_up: dict[str, list[Interval]] = {}  # ids that stay missing
        self._newest_asked: dict[str, int] = {}  # the book's resyncs when the newest trades were last asked for
        self._lookback: dict[str, _Lookback] = {}
        self.exhausted: set[str] = set()  # the exchange has no older trades than are held
        self.filled: Counter[str] = Counter()

    def progress(self, symbol: str) -> Backfill | None:
        """How the fetching of older trades stands; None when nothing is being fetched."""
        lookback, now_ms = self._lookback.get(symbol), self._market.exchange_ms(time.monotonic_ns())
        return None if lookback is None or now_ms is None else lookback.progress(now_ms - self._backfill_ms)

    async def run(self) -> None:
        waits = delays(1.0, 60.0)
        while True:
            await asyncio.sleep(LOOK_EVERY_SECS)
            for state in list(self._market.symbols.values()):
                try:
                    await self._fill_symbol(state)
                except RateLimited as error:
                    await asyncio.sleep(error.retry_after_secs)
                except (ExchangeError, StorageError) as error:
                    logger.debug("Filling trades of {} is put off: {}", state.spec.symbol, error)
                    await asyncio.sleep(next(waits))
                else:
                    waits = delays(1.0, 60.0)

    async def missing(self, symbol: str) -> list[Interval]:
        """Inclusive id ranges that are not held, newest first; the last one may reach back to id 0."""
        held = await self._archive.writable().ids(symbol)
        if not held:
            return []
        oldest = held[0][0]
        if self._backfill_ms:
            before = [(0, oldest - 1)] if oldest else []
        else:  # what came since the start and could not be written, or was lost on the way
            state = self._market.symbols.get(symbol)
            holes = [] if state is None else state.tape.holes
            before = [(low, min(high, oldest - 1)) for low, high in holes if low < oldest]
        gaps = intervals.union(before, intervals.holes(held, oldest, held[-1][1]))
        gaps = intervals.difference(gaps, self._given_up.get(symbol, []))
        return intervals.drop_below(gaps, self._floor.get(symbol, 0))[::-1]

    async def _fill_symbol(self, state: SymbolState) -> None:
        symbol = state.spec.symbol
        before = self.filled[symbol]
        if self._newest_asked.get(symbol) != state.resyncs:
            await self._fill_newest(state)
        if state.tape.holes:  # one may have been filled before a later trade showed it
            for first, last in await self._archive.writable().ids(symbol):
                state.tape.fill(first, last)
        pages = PAGES_A_TURN
        for low, high in await self.missing(symbol):
            if pages > 0:
                pages = await self._fill_range(state, low, high, pages)
        if self.filled[symbol] > before:
            logger.bind(symbol=symbol).info("Filled {} missing trades of {}", self.filled[symbol] - before, symbol)

    async def _fill_newest(self, state: SymbolState) -> None:
        """The newest trades, whenever events were missed or nobody listened before. The stream shows a hole only with
        its next trade, which a quiet symbol may not have for an hour; until then the window would look whole.
        """
        symbol, history, resyncs = state.spec.symbol, self._archive.writable(), state.resyncs
        held = await history.ids(symbol)
        if held or self._backfill_ms:
            newest = held[-1][1] if held else -1
            page = await self._rest.agg_trades(symbol, None)
            if missed := tuple(trade for trade in page if trade.agg_id > newest):
                await self._store(state, missed)
        self._newest_asked[symbol] = resyncs

    async def _fill_range(self, state: SymbolState, low: int, high: int, pages: int) -> int:
        """Fetch `low` to `high`, newest first, at most `pages` pages. Returns the pages that are left."""
        symbol = state.spec.symbol
        is_lookback = low == self._floor.get(symbol, 0)
        oldest_ms = self._oldest_wanted_ms(is_lookback=is_lookback)
        while high >= low and pages > 0 and oldest_ms is not None:
            start = max(low, high - AGG_TRADES_LIMIT + 1)
            page = await self._rest.agg_trades(symbol, start)
            pages -= 1
            wanted = tuple(trade for trade in page if start <= trade.agg_id <= high)
            if not wanted:
                self._give_up(symbol, low, high)
                break
            await self._store(state, wanted)
            if is_lookback:
                lookback = self._lookback.setdefault(symbol, _Lookback(wanted[-1].time_ms))
                lookback.reached_ms = wanted[0].time_ms
                lookback.ids += len(wanted)
            if wanted[0].time_ms < oldest_ms:
                self._end_lookback(symbol, wanted[0].agg_id)
                break
            high = start - 1
        return pages

    async def _store(self, state: SymbolState, trades: tuple[Trade, ...]) -> None:
        """All but those that cannot be stored: one of them must not cost its page, again and again."""
        symbol = state.spec.symbol
        result = await self._archive.writable().add_trades(TradeBatch(state.spec, trades))
        if (why := result.failed.get(symbol)) is None:
            state.tape.fill(trades[0].agg_id, trades[-1].agg_id)
            self.filled[symbol] += len(trades)
        elif len(trades) > 1:
            middle = len(trades) // 2
            await self._store(state, trades[:middle])
            await self._store(state, trades[middle:])
        else:
            bad = trades[0].agg_id
            self._given_up[symbol] = intervals.add(self._given_up.get(symbol, []), bad, bad)
            logger.bind(symbol=symbol).error("Trade {} of {} cannot be stored and stays missing: {}", bad, symbol, why)

    def _give_up(self, symbol: str, low: int, high: int) -> None:
        """The exchange has no trades with these ids any more: they stay missing, and are not asked for again."""
        if low == self._floor.get(symbol, 0):
            self.exhausted.add(symbol)
            self._end_lookback(symbol, high + 1)
        else:
            self._given_up[symbol] = intervals.add(self._given_up.get(symbol, []), low, high)
            logger.bind(symbol=symbol).warning("The exchange has no trades {} to {} of {} any more", low, high, symbol)

    def _end_lookback(self, symbol: str, floor: int) -> None:
        self._floor[symbol] = max(self._floor.get(symbol, 0), floor)
        if (lookback := self._lookback.get(symbol)) is not None:
            lookback.is_done = True

    def _oldest_wanted_ms(self, *, is_lookback: bool) -> int | None:
        now_ms = self._market.exchange_ms(time.monotonic_ns())
        if now_ms is None:
            return None
        return now_ms - (self._backfill_ms if is_lookback else max(self._backfill_ms, DAY_MS))
