"""What can be asked of history about sums of trades, findings and baselines."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from vibe_orderbook_mcp.store import held, rolled
from vibe_orderbook_mcp.store.findings import StoredEvent
from vibe_orderbook_mcp.store.keys import HOURS
from vibe_orderbook_mcp.store.reading import KEYS_A_PIECE, Reading
from vibe_orderbook_mcp.store.rollups import Histogram, RollGrid, TradeSums, empty_histogram
from vibe_orderbook_mcp.store.trades import MINUTE

EVENTS_A_PIECE: Final = 500
SUMS_KEPT: Final = 8  # about 2 MB each, of a week of a busy symbol

_MINUTE_MS: Final = MINUTE * 1000

S = TypeVar("S", bound=TradeSums)


class IdCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """How many of a window's aggregate trades are held, as far as their ids, which are consecutive, prove it.

    `missing` counts the ids between the neighbours of the window that are not held: some of those next to an edge
    may belong outside of it. Without a neighbour (`start_known`, `end_known`) nothing is known beyond that edge.
    """

    held: int
    missing: int
    start_known: bool
    end_known: bool
    complete_since_ms: int | None  # from then until the newest trade not one is missing; None without trades


class Summing(Reading):
    def __init__(self) -> None:
        # By symbol, first hour and end: the blocks of those hours, and their sum. The newest question stands last.
        self._summed: OrderedDict[tuple[str, int, int], tuple[list[bytes], Histogram]] = OrderedDict()

    async def histogram(self, symbol: str, start_ms: int, end_ms: int) -> Histogram:
        """Trades of a window by price: what summing up `trades` would give, as exactly, in a fraction of the time."""
        await self._catch_up()
        provisional = await self._read(rolled.grid, symbol)

        def empty(state: rolled.RollState) -> Histogram:
            return empty_histogram(state.grid or provisional, state.lot_exp)

        return await self._sum(symbol, start_ms, end_ms, empty)

    async def trade_sums(self, symbol: str, start_ms: int, end_ms: int) -> TradeSums:
        """The same without prices: faster still."""

        def empty(state: rolled.RollState) -> TradeSums:
            return TradeSums(tick_exp=state.grid.tick_exp if state.grid else 0, lot_exp=state.lot_exp)

        return await self._sum(symbol, start_ms, end_ms, empty)

    async def _sum(self, symbol: str, start_ms: int, end_ms: int, empty: Callable[[rolled.RollState], S]) -> S:
        await self._catch_up()
        state = await self._read(rolled.roll_state, symbol)
        while True:
            total = empty(state)
            await self._add_window(symbol, start_ms, end_ms, state, total)
            before, state = state, await self._read(rolled.roll_state, symbol)
            if state.grid == before.grid:
                return total
            # Blocks that were to be read may have been deleted meanwhile, as the oldest are once an hour.

    async def _add_window(
        self, symbol: str, start_ms: int, end_ms: int, state: rolled.RollState, total: TradeSums
    ) -> None:
        """Whole minutes that are rolled up from roll-ups, what is before and behind them from the trades."""
        floor = rolled.FOREVER if state.grid is None else state.grid.floor
        first = -(-max(start_ms, floor * 1000) // _MINUTE_MS) * MINUTE
        last = min(end_ms, state.border * 1000) // _MINUTE_MS * MINUTE
        if first >= last:
            await self._add_raw(symbol, start_ms, end_ms, total)
            return
        left = rolled.spans(first, last)
        if isinstance(total, Histogram):
            left = await self._add_hours(symbol, left, total)  # first: a sum is copied then, not added bin by bin
        await self._add_raw(symbol, start_ms, first * 1000, total)
        while left:
            left = await self._read(rolled.add_blocks, symbol, left, total)
        await self._add_raw(symbol, last * 1000, end_ms, total)

    async def _add_hours(self, symbol: str, spans: list[rolled.Span], total: Histogram) -> list[rolled.Span]:
        """Whole hours are summed up once and again when one of them has changed; the other spans are left."""
        left = [span for span in spans if span[0] != HOURS]
        for _, start, end in (span for span in spans if span[0] == HOURS):
            known = self._summed.pop((symbol, start, end), None)
            blocks = await self._read(rolled.hour_blocks, symbol, start, end)
            if known is None or known[0] != blocks:
                part, done = empty_histogram(RollGrid(total.width_ticks, total.tick_exp), total.lot_exp), 0
                while done < len(blocks):
                    done = await self._read(rolled.add_some, blocks, done, part)
                known = blocks, part
            await self._read(rolled.add_part, total, known[1])
            self._summed[symbol, start, end] = known
            while len(self._summed) > SUMS_KEPT:
                self._summed.popitem(last=False)
        return left

    async def _add_raw(self, symbol: str, start_ms: int, end_ms: int, total: TradeSums) -> None:
        if start_ms < end_ms:
            async for trades in self.iter_trades(symbol, start_ms, end_ms):
                await self._read(rolled.add_raw, total, trades)

    async def id_coverage(self, symbol: str, start_ms: int, end_ms: int, sums: TradeSums | None = None) -> IdCoverage:
        """`sums` are those of the window, where they are known already."""
        if sums is None:
            sums = await self.trade_sums(symbol, start_ms, end_ms)
        before = await self._read(held.last_id_before, symbol, start_ms)
        after = await self._read(held.first_id_from, symbol, end_ms)
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
            complete_since_ms=await self._read(held.complete_since_ms, symbol),
        )

    # --- findings and baselines ---------------------------------------------------------------------------------

    async def put_events(self, symbol: str, events: Sequence[StoredEvent]) -> None:
        """Store findings; one with the same start and type as a stored one takes its place."""
        await self._write(lambda writer: writer.put_events(symbol, events))

    async def events(self, symbol: str, start_ms: int, end_ms: int) -> list[StoredEvent]:
        """Those that began in the window, ascending by start."""
        await self._catch_up()
        found: list[StoredEvent] = []
        after: bytes | None = b""
        while after is not None:
            piece, after = await self._read(rolled.events, symbol, start_ms, end_ms, after, EVENTS_A_PIECE)
            found += piece
        return found

    async def count_events(self, symbol: str) -> int:
        await self._catch_up()
        total = 0
        after: bytes | None = b""
        while after is not None:
            count, after = await self._read(rolled.count_events, symbol, after, KEYS_A_PIECE)
            total += count
        return total

    async def put_baseline(self, symbol: str, hour_sec: int, data: bytes) -> None:
        """Store an hour's baseline, or a newer state of it. What it says, and its version, is the caller's affair."""
        await self._write(lambda writer: writer.put_baseline(symbol, hour_sec, data))

    async def baselines(self, symbol: str, since_sec: int) -> list[tuple[int, bytes]]:
        """`(hour, data)` from an hour on, ascending."""
        await self._catch_up()
        found: list[tuple[int, bytes]] = []
        at: int | None = since_sec
        while at is not None:
            piece, at = await self._read(rolled.baselines, symbol, at, EVENTS_A_PIECE)
            found += piece
        return found
