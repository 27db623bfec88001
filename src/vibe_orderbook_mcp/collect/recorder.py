"""Once a second: rows, snapshots and trades of every symbol to the archive, and every row to its detectors.

The tick only collects what the market has ready and never waits for the disk. A writer task with a bounded queue waits
for it. If the disk fails, unwritten seconds stay in the queue until the disk works again or the queue is full.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from loguru import logger

from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.housekeeping import Housekeeping
from vibe_orderbook_mcp.collect.lost_seconds import SymbolSeconds
from vibe_orderbook_mcp.collect.watcher import Watcher
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.market.ticks import TICK_AT_MS, Notice, Ticked
from vibe_orderbook_mcp.model.errors import StorageError, WritingPaused
from vibe_orderbook_mcp.model.events import PLAUSIBLE_MS, Trade
from vibe_orderbook_mcp.model.rows import SecondRecord, TradeBatch
from vibe_orderbook_mcp.process.pace import EVERY_SECS, Repeats

TICK_SECS = 1.0
QUEUE_TICKS = 600
BATCH_TICKS = 10  # the most waiting ticks in one write
# Log lines, once a minute, while history cannot be written.
STILL = {
    "opening": "History is still being opened",
    "recording": "Writing history still fails",
    "paused": "Writing history is still paused",
    "unavailable": "History still cannot be opened",
}
STOP_WAIT_SECS = 1.0  # how long a stop waits for an opening history


class Tick(msgspec.Struct):
    """The data of one tick."""

    seconds: list[SecondRecord]
    trades: list[TradeBatch]

    def is_about(self, symbol: str) -> bool:
        specs = (*(record.spec for record in self.seconds), *(batch.spec for batch in self.trades))
        return any(spec.symbol == symbol for spec in specs)


class Recorder:
    """`run` until cancelled, then `stop` once."""

    def __init__(self, market: Market, archive: Archive) -> None:
        self._market = market
        self._archive = archive
        self.watcher = Watcher(archive)
        self._house = Housekeeping(market, self.watcher, self._is_waiting)
        self._queue: deque[Tick] = deque()
        self._writing: list[Tick] = []  # the oldest ones, out of the queue during their write
        self._queued = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._said = Repeats()
        self._waits_since_secs: float | None = None  # or since the last log line about it
        self.says_each_second = True  # a line a second and symbol at INFO; else at DEBUG, and one line a minute
        self.snapshots_stored: Counter[str] = Counter()
        self.trades_stored: Counter[str] = Counter()
        self.is_running = False
        self.lag_secs = 0.0  # of the newest tick behind its schedule
        self.clock_back_secs = 0.0  # of the exchange's clock behind the newest second, while it closes no second

    @property
    def seconds_dropped(self) -> int:
        """Lost seconds of each symbol; their trades are fetched again by id."""
        return self._archive.lost.symbol_secs

    @property
    def queue_ticks(self) -> int:
        return len(self._queue) + len(self._writing)

    @property
    def why_not_recording(self) -> str | None:
        """None while seconds are closed and written."""
        archive = self._archive
        if not self.is_running or archive.mode != "recording" or archive.error is not None:
            return f"{archive.mode}: {archive.error or 'not recording'}"
        if self.clock_back_secs:
            return (
                f"waiting: The exchange's clock is {self.clock_back_secs:.0f} s behind the newest recorded second. "
                "Recording continues after that second."
            )
        return None

    def waiting(self, symbol: str) -> list[Trade]:
        """Trades that were collected and are perhaps not stored. All other collected trades are stored."""
        ticks = (*self._writing, *self._queue)
        return [
            trade for tick in ticks for batch in tick.trades if batch.spec.symbol == symbol for trade in batch.trades
        ]

    def _is_waiting(self, symbol: str) -> bool:
        return any(tick.is_about(symbol) for tick in (*self._writing, *self._queue))

    def start(self, symbols: int) -> None:
        logger.info("Snapshot persistence task started for {} symbols", symbols)
        self.is_running = True
        self._tasks = [asyncio.create_task(self._tick_forever()), asyncio.create_task(self._write_forever())]

    async def stop(self) -> None:
        """Write all remaining data, open seconds included. The feed has stopped."""
        if not self.is_running:
            return
        logger.info("Snapshot persistence task shutting down")
        self.is_running = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.watcher.aclose()
        self._enqueue([(owner, owner.finish()) for owner in self._market.symbols.values()])
        with suppress(TimeoutError):  # an opening history may still take the waiting seconds
            await asyncio.wait_for(self._archive.settled.wait(), STOP_WAIT_SECS)
        history = self._archive.history
        if self._archive.mode == "recording" and history is not None:
            with suppress(StorageError):
                while self._queue:
                    await self._write_next()
                await self._house.finish(history)
        if self.seconds_dropped:
            self._say_dropped()
        if (left := self._waiting_seconds()) and self._archive.mode != "read_only":
            why = self._archive.cause or "history is not open"
            logger.error("Waiting history could not be written and is lost: {}. {}", left, why)
        logger.info("Snapshot persistence task stopped")

    def tick(self, now_ns: int) -> None:
        """Collect final seconds. Fast, without waiting."""
        self._house.ticks += 1
        now_ms = self._market.exchange_ms(now_ns)
        if now_ms is not None and self.is_running:
            self._note_clock(now_ms)
        ticked = [(owner, owner.tick(now_ns)) for owner in self._market.symbols.values()]
        self._enqueue(ticked)
        if self.is_running:
            for owner, _ in ticked:
                for notice in owner.notices(now_ns):
                    self._say(owner, notice, now_ns)
            self._note_waiting(now_ns / 1e9)

    def _waiting_seconds(self) -> SymbolSeconds:
        return SymbolSeconds(record for tick in (*self._writing, *self._queue) for record in tick.seconds)

    def _note_waiting(self, now_secs: float) -> None:
        """A log line a minute after the archive's own line, and each minute after that."""
        archive = self._archive
        if archive.mode == "read_only" or (archive.mode == "recording" and archive.error is None):
            self._waits_since_secs = None
        elif self._waits_since_secs is None:
            self._waits_since_secs = now_secs
        elif now_secs - self._waits_since_secs >= EVERY_SECS:
            self._waits_since_secs = now_secs
            waiting = self._waiting_seconds()
            logger.error(
                "{}, {} in memory: {}",
                STILL[archive.mode],
                f"{waiting} wait" if waiting else "no second waits",
                archive.error or "the disk has not answered",
            )

    def _enqueue(self, ticked: Sequence[tuple[InstrumentOwner, Ticked]]) -> None:
        """New final seconds, through the detectors and into the queue."""
        tick = Tick([], [])
        for owner, each in ticked:
            for second in each.seconds:
                self.watcher.observe(owner, second)
                tick.seconds.append(second.record)
            if each.trades is not None:
                tick.trades.append(each.trades)
        if (tick.seconds or tick.trades) and self._archive.mode != "read_only":
            self._queue.append(tick)
            self._drop_overflow()
            self._queued.set()

    def forget(self, owner: InstrumentOwner) -> None:
        """The symbol was dropped: queue its remaining data, the last second as partial, and clear its state."""
        symbol = owner.spec.symbol
        self._enqueue([(owner, owner.finish())])
        self.watcher.forget(owner)
        self._house.forget(symbol, owner.reached_ms + 1000)
        self._said.forget(symbol)

    def _note_clock(self, now_ms: int) -> None:
        """A second is recorded once. So after the clock was set back, recording waits for the old time."""
        was_back = self.clock_back_secs > 0
        newest_ms = max((owner.reached_ms for owner in self._market.symbols.values()), default=0)
        back_ms = newest_ms - now_ms
        self.clock_back_secs = back_ms / 1000 if back_ms > (0 if was_back else PLAUSIBLE_MS) else 0.0
        if self.clock_back_secs and not was_back:
            logger.warning(
                "The exchange's clock was set back by {:.0f} s: no second is recorded until it reaches its old time",
                self.clock_back_secs,
            )
        elif was_back and not self.clock_back_secs:
            logger.info("The exchange's clock has reached its old time: recording continues")

    def _say(self, owner: InstrumentOwner, notice: Notice, now_ns: int) -> None:
        symbol = owner.spec.symbol
        named = logger.bind(symbol=symbol)
        if notice is Notice.STALE:
            silent_secs = (owner.age_ns(now_ns) or 0) / 1e9
            named.warning("{} has been silent for {:.0f} s: its book is stale", symbol, silent_secs)
        elif notice is Notice.LIVE_AGAIN:
            named.info("{} is live again", symbol)
        elif (more := self._said.more(("skipped", symbol), now_ns / 1e9)) is not None:
            named.warning("Skipping snapshot for {}: empty orderbook{}", symbol, more)

    def _drop_overflow(self) -> None:
        was_dropped = self.seconds_dropped
        while len(self._queue) > QUEUE_TICKS:
            lost = self._queue.popleft()
            self._archive.lost.add(lost.seconds)
            for batch in lost.trades:
                if (owner := self._market.symbols.get(batch.spec.symbol)) is not None:
                    owner.lose_trades(batch.trades)
        if self.seconds_dropped > was_dropped and self._said.more("dropped", time.monotonic()) is not None:
            self._say_dropped()

    def _say_dropped(self) -> None:
        logger.error("History could not be written for too long. Lost since the start: {}", self._archive.lost)

    async def _tick_forever(self) -> None:
        while True:
            began_ns = time.monotonic_ns()
            due = began_ns / 1e9 + secs_to_tick(self._market.exchange_ms(began_ns))
            await asyncio.sleep(due - time.monotonic())
            self.lag_secs = max(0.0, time.monotonic() - due)
            try:
                self.tick(time.monotonic_ns())
            except Exception as error:  # a bug of ours must not end all recording
                logger.opt(exception=error).error("Collecting a second failed")

    async def _write_forever(self) -> None:
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                await self._archive.settled.wait()
                if self._archive.mode == "read_only":
                    self._queue.clear()  # collected before this process knew that another one records
                    break
                with suppress(StorageError):  # not settled until the archive has recovered
                    await self._write_next()
                    await self._housekeep()

    async def _write_next(self) -> None:
        """Write the oldest ticks. They return to the queue if that fails."""
        self._writing = [self._queue.popleft() for _ in range(min(BATCH_TICKS, len(self._queue)))]
        seconds = [record for tick in self._writing for record in tick.seconds]
        trades = [batch for tick in self._writing for batch in tick.trades]
        try:
            result = await self._archive.sink().append(seconds, trades)
            self._writing = []
        except Exception as error:
            self._archive.fail(failure := _as_storage_error(error))
            if not isinstance(failure, WritingPaused):  # no failure: writing was not tried; logged once
                for symbol in sorted({record.spec.symbol for record in seconds}):
                    logger.bind(symbol=symbol).error("Failed to persist {} snapshot: {}", symbol, failure)
            raise failure from error
        finally:
            self._queue.extendleft(reversed(self._writing))
            self._writing = []
            self._drop_overflow()
        self._archive.succeeded()
        for symbol, reason in result.failed.items():
            self._archive.errors += 1
            logger.bind(symbol=symbol).error("Failed to persist {} snapshot: {}", symbol, reason)
        self.snapshots_stored.update(result.snapshots)
        self.trades_stored.update(result.trades)
        for counts in (self.snapshots_stored, self.trades_stored):
            for symbol in counts.keys() - self._market.symbols.keys():
                del counts[symbol]  # dropped: its remaining data was written now
        self._house.stored(result.trades, {} if self.says_each_second else result.snapshots)
        for record in seconds:
            if record.top is not None and record.spec.symbol not in result.failed:
                self._log_stored(record)

    def _log_stored(self, record: SecondRecord) -> None:
        symbol, second, top = record.spec.symbol, record.row.second, record.top
        stored = logger.bind(symbol=symbol, timestamp=second)
        if top is not None:
            stored.debug(
                "Captured snapshot for {} at update {}: {} bids, {} asks",
                symbol,
                top.last_update_id,
                len(top.bids),
                len(top.asks),
            )
        stored.log("INFO" if self.says_each_second else "DEBUG", "Stored snapshot for {} at {}", symbol, second)

    async def _housekeep(self) -> None:
        """Due housekeeping. Raises StorageError."""
        history = self._archive.history
        if history is None:
            return
        try:
            await self._house.keep(history)
        except Exception as error:
            self._archive.fail(failure := _as_storage_error(error))
            if not isinstance(failure, WritingPaused):
                logger.error("Housekeeping of history failed: {}", failure)
            raise failure from error


def secs_to_tick(exchange_ms: int | None) -> float:
    """Seconds until the next tick: about one, so that ticks come when seconds become final."""
    if exchange_ms is None:
        return TICK_SECS
    wait_ms = (TICK_AT_MS - exchange_ms) % 1000
    return (wait_ms if wait_ms >= 500 else wait_ms + 1000) / 1000


def _as_storage_error(error: Exception) -> StorageError:
    """Any other exception is a bug of ours: it is logged in full, and writing continues."""
    if isinstance(error, StorageError):
        return error
    logger.opt(exception=error).error("Unexpected error while writing history")
    return StorageError("Writing failed; the log has the details.")
