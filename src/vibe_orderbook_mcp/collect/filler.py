"""Fetches missing trades of the archive by id.

Aggregate-trade ids are consecutive, so missing trades are known exactly: every id between stored ones, and, back to the
wanted hour, every id before the first stored one. One procedure fills the holes of a gap, a restart and a first start:
newest first, a page at a time. It can resume at any point, because each page is stored with its ids. Trades older than
both a day and the wanted hours are not fetched: newer trades may have been dropped to make room for them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal

from loguru import logger

from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.hole_report import HoleReport, Reason
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.errors import ExchangeError, RateLimited, StorageError
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.rows import TradeBatch
from vibe_orderbook_mcp.model.tape import Backfill
from vibe_orderbook_mcp.process.pace import delays
from vibe_orderbook_mcp.venues.contract import Rest

LOOK_EVERY_SECS = 1.0
PAGES_A_TURN = 20
FEW_PAGES = 5  # a longer hole is filled as older trades are, with what is left of the request limit
# After a failure: with PAGE_SECS of `binance.rest` it bounds the time from the exchange's next answer to "no hole" at
# 10 s.
RETRY_FIRST_SECS = 1.0
RETRY_MOST_SECS = 2.5
TURN_SECS = 1.0
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


_Work = Literal["holes", "older"]


class Filler:
    """Runs in the background with a part of the exchange's request limit, and less of it for older trades.

    Each symbol has its own task, so no symbol waits for another. Holes do not wait for older trades, and after a
    failure they wait at most RETRY_MOST_SECS.
    """

    def __init__(
        self,
        market: Market,
        archive: Archive,
        rest: Rest,
        *,
        trades_a_page: int,
        backfill_hours: int,
        venue: str = DEFAULT_VENUE,
    ) -> None:
        self._market = market
        self._owners = market.of_venue(venue)
        self._clock = market.clock_of(venue)
        self._archive = archive
        self._rest = rest
        self._trades_a_page = trades_a_page
        self._backfill_ms = backfill_hours * HOUR_MS
        self._tasks: dict[tuple[str, _Work], asyncio.Task[None]] = {}
        self._waits: dict[tuple[str, _Work], Iterator[float]] = {}  # of the last failure
        self._turn = asyncio.Lock()
        self._log = HoleReport()

    def progress(self, symbol: str) -> Backfill | None:
        """The progress of fetching older trades; None if none are being fetched."""
        owner, now_ms = self._market.symbols.get(symbol), self._clock.now_ms(time.monotonic_ns())
        if owner is None or now_ms is None:
            return None
        return owner.filling.progress(now_ms - self._backfill_ms, time.monotonic())

    def is_beginning(self, symbol: str) -> bool:
        """Whether older trades will be fetched, and none has arrived yet."""
        owner = self._market.symbols.get(symbol)
        return self._backfill_ms > 0 and self._trades_a_page > 0 and (owner is None or not owner.filling.is_begun)

    def is_exhausted(self, symbol: str) -> bool:
        """Whether the exchange has no older trades than the stored ones."""
        owner = self._market.symbols.get(symbol)
        return owner is not None and owner.filling.is_exhausted

    async def run(self) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_SECS)
                self._log.say(time.monotonic())
                for owner in list(self._owners.values()):
                    self._work(owner.spec.symbol, "holes", self._fill_symbol, owner)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            self._log.say(time.monotonic(), is_end=True)

    def _work(self, symbol: str, kind: _Work, fill: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Begin it, unless it is still running."""
        running = self._tasks.get((symbol, kind))
        if running is None or running.done():
            self._tasks[symbol, kind] = asyncio.create_task(self._try(symbol, kind, fill, *arguments))

    async def _try(self, symbol: str, kind: _Work, fill: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """After a failure only this symbol pauses."""
        try:
            await fill(*arguments)
        except RateLimited as error:
            await asyncio.sleep(error.retry_after_secs)
        except (ExchangeError, StorageError) as error:
            logger.debug("Fetching missing trades of {} failed and will be tried again: {}", symbol, error)
            waits = self._waits.setdefault((symbol, kind), delays(RETRY_FIRST_SECS, RETRY_MOST_SECS))
            await asyncio.sleep(next(waits))
        except Exception as error:  # a bug of ours must not leave a symbol unfilled for good
            logger.opt(exception=error).error("Unexpected error while fetching missing trades of {}", symbol)
        else:
            self._waits.pop((symbol, kind), None)

    def forget(self, symbol: str) -> None:
        """The symbol was dropped: stop fetching for it."""
        for key in [key for key in self._tasks if key[0] == symbol]:
            self._tasks.pop(key).cancel()
            self._waits.pop(key, None)
        self._log.forget(symbol)

    async def missing(self, owner: InstrumentOwner) -> list[Interval]:
        """Inclusive id ranges that are not stored, newest first; the last one may reach back to id 0."""
        held = await self._archive.writable().ids(owner.spec.symbol)
        return owner.filling.missing(held, None if self._backfill_ms else owner.holes)

    async def _fill_symbol(self, owner: InstrumentOwner) -> None:
        symbol, filling = owner.spec.symbol, owner.filling
        if filling.wants_newest(owner.counts.resyncs):
            await self._fill_newest(owner)
        if owner.holes:  # a hole may have been filled, or marked as unavailable, before a later trade showed it
            held = await self._archive.writable().ids(symbol)
            for first, last in [*held, *filling.given_up_ids]:
                owner.fill(first, last)
        missing, pages = await self.missing(owner), PAGES_A_TURN
        holes = [hole for hole in missing if not filling.is_lookback(hole[0])]
        if len(holes) < len(missing):
            self._work(symbol, "older", self._look_back, owner, *missing[-1])
        is_long = intervals.count(holes) > FEW_PAGES * self._trades_a_page
        for low, high in holes:
            if pages > 0:
                pages = await self._fill_range(owner, low, high, pages, is_older=is_long)

    async def _look_back(self, owner: InstrumentOwner, low: int, high: int) -> None:
        """Fetch trades before the oldest stored one."""
        await self._fill_range(owner, low, high, PAGES_A_TURN, is_older=True)

    async def _fill_newest(self, owner: InstrumentOwner) -> None:
        """Fetch the newest trades at the start and whenever events were missed.

        The stream shows a hole only with its next trade, and a quiet symbol may not have one for an hour. Until then
        the window would look complete.
        """
        history, resyncs = self._archive.writable(), owner.counts.resyncs
        held = await history.ids(owner.spec.symbol)
        if held or self._backfill_ms:
            newest = held[-1][1] if held else -1
            page = await self._page(owner, None)
            if missed := tuple(trade for trade in page if trade.agg_id > newest):
                await self._store(owner, missed)
            elif not held and not page:
                owner.filling.exhaust()  # it has never traded
        owner.filling.asked_newest(resyncs)

    async def _fill_range(self, owner: InstrumentOwner, low: int, high: int, pages: int, *, is_older: bool) -> int:
        """Fetch `low` to `high`, newest first, at most `pages` pages. Returns the remaining pages."""
        filling = owner.filling
        is_lookback = filling.is_lookback(low)
        oldest_ms = self._oldest_wanted_ms(is_lookback=is_lookback)
        while high >= low and pages > 0 and oldest_ms is not None:
            start = max(low, high - self._trades_a_page + 1)
            page = await self._page(owner, start, is_older=is_older)
            pages -= 1
            wanted = tuple(trade for trade in page if start <= trade.agg_id <= high)
            if not wanted:
                self._give_up(owner, low, high)
                break
            await self._store(owner, wanted)
            self._give_up_skipped(owner, wanted)
            if is_lookback:
                filling.looked_back(wanted, time.monotonic())
            if wanted[0].time_ms < oldest_ms:
                filling.end_lookback(wanted[0].agg_id)
                break
            high = start - 1
        return pages

    async def _page(self, owner: InstrumentOwner, from_id: int | None, *, is_older: bool = False) -> list[Trade]:
        """One request after the other, but no request waits long for another's answer."""
        symbol = owner.spec.instrument.symbol
        try:
            async with asyncio.timeout(TURN_SECS):
                await self._turn.acquire()
        except TimeoutError:
            return await self._rest.agg_trades(symbol, from_id, is_older=is_older)
        try:
            return await self._rest.agg_trades(symbol, from_id, is_older=is_older)
        finally:
            self._turn.release()

    async def _store(self, owner: InstrumentOwner, trades: tuple[Trade, ...]) -> None:
        """All trades that can be stored: one bad trade must not block its page for ever."""
        symbol = owner.spec.symbol
        result = await self._archive.sink().add_trades(TradeBatch(owner.spec, trades))
        if (why := result.failed.get(symbol)) is None:
            owner.fill(trades[0].agg_id, trades[-1].agg_id)
            owner.filling.stored(len(trades))
            self._log.filled(symbol, len(trades), time.time())
        elif len(trades) > 1:
            middle = len(trades) // 2
            await self._store(owner, trades[:middle])
            await self._store(owner, trades[middle:])
        else:
            bad = trades[0].agg_id
            logger.debug("Trade {} of {} cannot be stored: {}", bad, symbol, why)
            self._note_given_up(owner, [(bad, bad)], "they cannot be stored")

    def _give_up_skipped(self, owner: InstrumentOwner, page: tuple[Trade, ...]) -> None:
        """Ids inside a page that were absent or unreadable. The same request would give the same page."""
        came = intervals.of_numbers(trade.agg_id for trade in page)
        if skipped := intervals.holes(came, page[0].agg_id, page[-1].agg_id):
            self._note_given_up(owner, skipped, "they cannot be read in the exchange's answer")

    def _give_up(self, owner: InstrumentOwner, low: int, high: int) -> None:
        """The exchange has no trades with these ids any more: they stay missing and are not requested again."""
        if owner.filling.is_lookback(low):
            owner.filling.exhaust()
            owner.filling.end_lookback(high + 1)
        else:
            self._note_given_up(owner, [(low, high)], "the exchange has none that can be read")

    def _note_given_up(self, owner: InstrumentOwner, ids: list[Interval], why: Reason) -> None:
        self._log.lost(owner.spec.symbol, ids, why)
        owner.filling.give_up(ids)
        for first, last in ids:
            owner.fill(first, last)  # not holes any more

    def _oldest_wanted_ms(self, *, is_lookback: bool) -> int | None:
        now_ms = self._clock.now_ms(time.monotonic_ns())
        if now_ms is None:
            return None
        return now_ms - (self._backfill_ms if is_lookback else max(self._backfill_ms, DAY_MS))
