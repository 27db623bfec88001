"""Reads of sums of trades, findings and baselines."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Final, TypeVar

import msgspec

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.numbering import Break, inside, is_own
from vibe_orderbook_mcp.model.rows import StoredEvent
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store import reader, rollup_reads, trade_ids
from vibe_orderbook_mcp.store.disk.view import Reads
from vibe_orderbook_mcp.store.reading import KEYS_A_PIECE, Ask, Reading
from vibe_orderbook_mcp.store.records.rollups import PriceRollup, TradeSums, add_trades, empty_histogram, grid_for
from vibe_orderbook_mcp.store.window_sums import Steps, WindowSums

EVENTS_A_PIECE: Final = 500

T = TypeVar("T")


class IdCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a window's aggregate trades are stored, proved by their consecutive ids.

    `missing` counts the missing ids between the window's neighbours: some next to an edge may be outside of it.
    Without a neighbour (`start_known`, `end_known`) nothing is known beyond that edge.

    Where ids are own numbers (see `model.numbering`) no missing id can be counted: `breaks` is how often the stream was
    interrupted, and `unknown_ms` how much of the window's time that is.
    """

    held: int
    missing: int
    start_known: bool
    end_known: bool
    complete_since_ms: int | None  # since then no trade is missing up to the newest; None without trades
    breaks: int = 0
    unknown_ms: int = 0

    @property
    def is_whole(self) -> bool:
        return not self.missing and not self.breaks


class Summing(Reading):
    def __init__(self, window_sums: WindowSums, places: trade_ids.Places) -> None:
        self._window_sums = window_sums
        self._places = places

    async def histogram(self, symbol: str, start_ms: int, end_ms: int) -> PriceRollup:
        """Trades of a window by price: the exact sum of `trades`, in a fraction of the time."""
        return await self._in_pieces(lambda reads: self._window_sums.histogram(reads, symbol, start_ms, end_ms))

    async def histogram_with(
        self, spec: SymbolSpec, start_ms: int, end_ms: int, waiting: Sequence[Trade]
    ) -> PriceRollup:
        """The same with trades that are not stored yet, ascending by id."""
        if waiting and await self.spec(spec.symbol) is None:  # nothing is stored: its prices decide how wide bins are
            found = empty_histogram(grid_for(waiting[0].price, spec.tick_exp), spec.lot_exp)
        else:
            found = await self.histogram(spec.symbol, start_ms, end_ms)
        add_trades(found, [trade for trade in waiting if start_ms <= trade.time_ms < end_ms])
        return found

    async def trade_sums(self, symbol: str, start_ms: int, end_ms: int) -> TradeSums:
        """The same without prices: faster still."""
        return await self._in_pieces(lambda reads: self._window_sums.sums(reads, symbol, start_ms, end_ms))

    async def _in_pieces(self, work: Callable[[Reads], Steps[T]]) -> T:
        """Run as many steps at once as fit into one piece of a read: each change of threads is a wait."""
        steps: Steps[T] | None = None
        found: list[T] = []

        def go_on(reads: Reads) -> None:
            nonlocal steps
            if steps is None:
                steps = work(reads)
            until = time.perf_counter() + rollup_reads.PIECE_SECS
            try:
                while time.perf_counter() < until:
                    next(steps)
            except StopIteration as done:
                found.append(done.value)
            except BaseException:
                steps = None  # a retry starts from the beginning
                raise

        async with self._moment() as ask:
            while not found:
                await ask(go_on)
        return found[0]

    async def id_coverage(
        self, symbol: str, start_ms: int, end_ms: int, sums: TradeSums | None = None, waiting: Sequence[Trade] = ()
    ) -> IdCoverage:
        """`sums` are the window's, if known; `waiting` are trades that are not stored yet, ascending by id. `sums`
        includes the waiting ones of the window."""
        if sums is None:
            sums = await self.trade_sums(symbol, start_ms, end_ms)
        async with self._moment() as ask:
            return await ask(_id_coverage, symbol, start_ms, end_ms, sums, waiting, self._places)

    # --- findings and baselines ---------------------------------------------------------------------------------

    async def events(self, symbol: str, start_ms: int, end_ms: int) -> list[StoredEvent]:
        """Findings that began in the window, ascending by start."""
        found: list[StoredEvent] = []
        after: bytes | None = b""
        async with self._moment() as ask:
            while after is not None:
                piece, after = await ask(rollup_reads.events, symbol, start_ms, end_ms, after, EVENTS_A_PIECE)
                found += piece
        return found

    async def count_events(self, symbol: str) -> int:
        total = 0
        after: bytes | None = b""
        async with self._moment() as ask:
            while after is not None:
                count, after = await ask(rollup_reads.count_events, symbol, after, KEYS_A_PIECE)
                total += count
        return total

    async def baselines(self, symbol: str, since_sec: int) -> list[tuple[int, bytes]]:
        """`(hour, data)` since an hour, ascending."""
        found: list[tuple[int, bytes]] = []
        at: int | None = since_sec
        async with self._moment() as ask:
            while at is not None:
                piece, at = await ask(rollup_reads.baselines, symbol, at, EVENTS_A_PIECE)
                found += piece
        return found


class HistoryView(Summing):
    """History at one moment: results of several calls fit together. See `History.view`."""

    def __init__(self, ask: Ask, window_sums: WindowSums, places: trade_ids.Places) -> None:
        super().__init__(window_sums, places)
        self._ask = ask

    @asynccontextmanager
    async def _moment(self) -> AsyncIterator[Ask]:
        yield self._ask


def _id_coverage(
    reads: Reads,
    symbol: str,
    start_ms: int,
    end_ms: int,
    sums: TradeSums,
    waiting: Sequence[Trade],
    places: trade_ids.Places,
) -> IdCoverage:
    befores = [trade_ids.last_id_before(reads, symbol, start_ms), *(t.agg_id for t in waiting if t.time_ms < start_ms)]
    afters = [trade_ids.first_id_from(reads, symbol, end_ms), *(t.agg_id for t in waiting if t.time_ms >= end_ms)]
    before = max((agg_id for agg_id in befores if agg_id is not None), default=None)
    after = min((agg_id for agg_id in afters if agg_id is not None), default=None)
    complete_since_ms = _complete_since_ms(reads, symbol, waiting, places)
    if any(map(is_own, (before, sums.last_agg_id, after))):
        breaks, unknown_ms = inside(_breaks(reads, symbol, start_ms, waiting), start_ms, end_ms)
        return IdCoverage(
            held=sums.trades,
            missing=0,
            start_known=before is not None,
            end_known=after is not None,
            complete_since_ms=complete_since_ms,
            breaks=breaks,
            unknown_ms=unknown_ms,
        )
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
        complete_since_ms=complete_since_ms,
    )


def _breaks(reads: Reads, symbol: str, start_ms: int, waiting: Sequence[Trade]) -> Iterator[Break]:
    """Interruptions of the stream that reach into the time since `start_ms`, newest first."""
    times = {trade.agg_id: trade.time_ms for trade in waiting}
    runs = intervals.union(reader.ids(reads, symbol), intervals.of_numbers(times))

    def time_of(trade_id: int) -> int | None:
        found = times.get(trade_id)
        return trade_ids.time_of(reads, symbol, trade_id) if found is None else found

    for later, earlier in pairwise(reversed(runs)):
        until_ms = time_of(later[0])
        if until_ms is not None and until_ms <= start_ms:
            return
        if until_ms is not None:
            yield Break(time_of(earlier[1]), until_ms)


def _complete_since_ms(reads: Reads, symbol: str, waiting: Sequence[Trade], places: trade_ids.Places) -> int | None:
    """The time since which all trades up to the newest are stored or waiting, without a hole."""
    if not waiting:
        return trade_ids.complete_since_ms(reads, symbol, places)
    stored = reader.ids(reads, symbol)
    newest = intervals.union(stored, intervals.of_numbers(trade.agg_id for trade in waiting))[-1][0]
    if stored and newest <= stored[-1][1]:
        return trade_ids.complete_since_ms(reads, symbol, places)
    return next(trade.time_ms for trade in waiting if trade.agg_id >= newest)
