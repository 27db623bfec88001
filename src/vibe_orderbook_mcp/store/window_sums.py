"""Sums of the trades of a window, from roll-ups, trades and cached sums. Synchronous.

The same question comes again a second later, about almost the same window. Sums are cached with the stored bytes that
they were made from, and are valid while the stored bytes are the same. So no code must signal a change.

Each step of a generator is the most that a thread does before others get their turn.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Generator
from typing import Final, TypeVar

import msgspec

from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.store import reader, rollup_reads
from vibe_orderbook_mcp.store.disk.layout import TRADE_MIN, TRADE_SEC
from vibe_orderbook_mcp.store.disk.view import Reads
from vibe_orderbook_mcp.store.records.keys import HOURS, milli_bounds, second_bounds
from vibe_orderbook_mcp.store.records.rollups import (
    PriceRollup,
    RollGrid,
    TradeSums,
    add_block,
    add_histogram,
    add_trades,
    empty_histogram,
)
from vibe_orderbook_mcp.store.records.trades import MINUTE, decode_minute, decode_second, merge

T = TypeVar("T")
Steps = Generator[None, None, T]

HOURS_KEPT: Final = 8  # spans of whole hours, about 2 MB each, of a week of a busy symbol
MINUTES_KEPT: Final = 32  # spans of up to an hour, 0.1 MB each
MINUTE_BLOCKS_KEPT: Final = 16  # 0.1 MB each
SECOND_BLOCKS_KEPT: Final = 1024  # 2 KB each
BLOCKS_AT_ONCE: Final = 8

_MINUTE_MS: Final = MINUTE * 1000


class _Base(msgspec.Struct, frozen=True):
    """The initial steps of sums; a trade with more digits makes them finer."""

    grid: RollGrid
    lot_exp: int

    def empty(self) -> PriceRollup:
        return empty_histogram(self.grid, self.lot_exp)


class WindowSums:
    def __init__(self) -> None:
        self._spans: dict[bool, OrderedDict[tuple[str, int, int], tuple[list[bytes], PriceRollup]]] = {
            True: OrderedDict(),
            False: OrderedDict(),
        }
        self._minutes = _Parts(decode_minute, MINUTE_BLOCKS_KEPT)
        self._seconds = _Parts(decode_second, SECOND_BLOCKS_KEPT)

    def forget(self, symbol: str) -> None:
        for spans in self._spans.values():
            for span in [span for span in spans if span[0] == symbol]:
                del spans[span]

    def histogram(self, database: Reads, symbol: str, start_ms: int, end_ms: int) -> Steps[PriceRollup]:
        state = rollup_reads.roll_state(database, symbol)
        base = _Base(state.grid or rollup_reads.grid(database, symbol), state.lot_exp)
        total = base.empty()
        yield from self._add_window(database, symbol, start_ms, end_ms, state, total, base)
        return total

    def sums(self, database: Reads, symbol: str, start_ms: int, end_ms: int) -> Steps[TradeSums]:
        state = rollup_reads.roll_state(database, symbol)
        total = TradeSums(tick_exp=state.grid.tick_exp if state.grid else 0, lot_exp=state.lot_exp)
        yield from self._add_window(database, symbol, start_ms, end_ms, state, total, None)
        return total

    def _add_window(
        self,
        database: Reads,
        symbol: str,
        start_ms: int,
        end_ms: int,
        state: rollup_reads.RollState,
        total: TradeSums,
        base: _Base | None,
    ) -> Steps[None]:
        """Complete minutes from roll-ups, the parts before and after them from trades."""
        floor = rollup_reads.FOREVER if state.grid is None else state.grid.floor
        first = -(-max(start_ms, floor * 1000) // _MINUTE_MS) * MINUTE
        last = min(end_ms, state.border * 1000) // _MINUTE_MS * MINUTE
        if first >= last:
            yield from self._add_raw(database, symbol, start_ms, end_ms, total, base)
            return
        spans = rollup_reads.spans(first, last)
        if isinstance(total, PriceRollup) and base is not None:
            # Hours first: then the largest sum is copied, not added bin by bin.
            for kind, start, end in sorted(spans, key=lambda span: span[0] != HOURS):
                yield from self._add_span(database, symbol, kind, start, end, total, base)
        else:
            while spans:
                spans = rollup_reads.add_blocks(database, symbol, spans, total)
                yield
        yield from self._add_raw(database, symbol, start_ms, first * 1000, total, base)
        yield from self._add_raw(database, symbol, last * 1000, end_ms, total, base)

    def _add_span(
        self, database: Reads, symbol: str, kind: bytes, start: int, end: int, total: PriceRollup, base: _Base
    ) -> Steps[None]:
        """Sums of roll-ups are cached until one of them changes."""
        if start >= end:
            return
        known, key = self._spans[kind == HOURS], (symbol, start, end)
        blocks = rollup_reads.blocks(database, symbol, kind, start, end)
        held = known.pop(key, None)
        if held is None or held[0] != blocks:
            part = base.empty()
            for done, block in enumerate(blocks):
                add_block(part, block)
                if done % BLOCKS_AT_ONCE == 0:
                    yield
            held = blocks, part
        _add(total, held[1])
        known[key] = held
        while len(known) > (HOURS_KEPT if kind == HOURS else MINUTES_KEPT):
            known.popitem(last=False)
        yield

    def _add_raw(
        self, database: Reads, symbol: str, start_ms: int, end_ms: int, total: TradeSums, base: _Base | None
    ) -> Steps[None]:
        """From the trades themselves."""
        if start_ms >= end_ms:
            return
        sealed_ms = reader.sealed(database, symbol) * 1000
        stop_ms = min(end_ms, sealed_ms)
        at: int | None = start_ms // _MINUTE_MS * MINUTE
        while at is not None and at * 1000 < stop_ms:
            bounds = second_bounds(symbol, at, -(-stop_ms // 1000))
            pairs = database.scan(TRADE_MIN, *bounds, BLOCKS_AT_ONCE)
            for _, value in pairs:
                self._minutes.add(total, value, base, start_ms, stop_ms)
            at = int(pairs[-1][0][-10:]) + MINUTE if len(pairs) == BLOCKS_AT_ONCE else None
            yield
        at_ms = max(start_ms, sealed_ms)
        while (minute := reader.next_minute(database, symbol, at_ms, end_ms)) is not None:
            stop = minute + MINUTE
            filled = database.scan(TRADE_MIN, *second_bounds(symbol, minute, stop), 1)
            seconds = database.scan(TRADE_SEC, *milli_bounds(symbol, minute * 1000, stop * 1000), MINUTE)
            if filled:  # the trades of a fill may be among the seconds too
                trades = merge(decode_minute(filled[0][1]), *(decode_second(value) for _, value in seconds))
                add_trades(total, [trade for trade in trades if at_ms <= trade.time_ms < end_ms])
            else:
                for _, value in seconds:
                    self._seconds.add(total, value, base, at_ms, end_ms)
            at_ms = stop * 1000
            yield


class _Parts:
    """Blocks of trades, summed up second by second."""

    def __init__(self, decode: Callable[[bytes], list[Trade]], kept: int) -> None:
        self._decode = decode
        self._kept = kept
        self._known: OrderedDict[tuple[bytes, _Base], list[tuple[int, PriceRollup]]] = OrderedDict()

    def add(self, total: TradeSums, block: bytes, base: _Base | None, start_ms: int, end_ms: int) -> None:
        """The block's trades from `start_ms` to before `end_ms`."""
        if base is None or start_ms % 1000 or end_ms % 1000:
            add_trades(total, [trade for trade in self._decode(block) if start_ms <= trade.time_ms < end_ms])
            return
        for second, part in self._parts(block, base):
            if start_ms <= second * 1000 < end_ms:
                _add(total, part)

    def _parts(self, block: bytes, base: _Base) -> list[tuple[int, PriceRollup]]:
        found = self._known.pop((block, base), None)
        if found is None:
            by_second: dict[int, list[Trade]] = defaultdict(list)
            for trade in self._decode(block):
                by_second[trade.time_ms // 1000].append(trade)
            found = []
            for second, trades in by_second.items():
                part = base.empty()
                add_trades(part, trades)
                found.append((second, part))
        self._known[block, base] = found
        while len(self._known) > self._kept:
            self._known.popitem(last=False)
        return found


def _add(total: TradeSums, part: PriceRollup) -> None:
    """`part` is not changed, because it is cached."""
    if isinstance(total, PriceRollup):
        is_alike = (part.tick_exp, part.lot_exp) == (total.tick_exp, total.lot_exp)
        add_histogram(total, part if is_alike else msgspec.structs.replace(part))
