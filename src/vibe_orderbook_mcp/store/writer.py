"""What a write changes. Runs on the storage thread only; synchronous.

Caches what it needs to know per symbol. A cache is replaced after its batch was written, never before: a failed
write leaves it saying what the disk says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Final

import msgspec
from loguru import logger

from vibe_orderbook_mcp.core.events import Trade
from vibe_orderbook_mcp.core.rows import SecondRecord, TradeBatch
from vibe_orderbook_mcp.core.symbol import SymbolSpec
from vibe_orderbook_mcp.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.store import intervals
from vibe_orderbook_mcp.store.findings import StoredEvent, encode_event
from vibe_orderbook_mcp.store.grid import OffGrid
from vibe_orderbook_mcp.store.intervals import Interval
from vibe_orderbook_mcp.store.keys import event_key, milli_bounds, milli_key, parse_key, second_key, symbol_bounds
from vibe_orderbook_mcp.store.layout import BASE, EVENT, META, ROW, SNAP, TRADE_MIN, TRADE_SEC
from vibe_orderbook_mcp.store.meta import (
    SymbolMeta,
    decode_ids,
    decode_meta,
    encode_ids,
    encode_meta,
    grid_key,
    ids_key,
    symbol_key,
)
from vibe_orderbook_mcp.store.rocks import Database, Put, Range
from vibe_orderbook_mcp.store.roller import Roller
from vibe_orderbook_mcp.store.rollups import HOUR, RollGrid, decode_grid, encode_grid, grid_for
from vibe_orderbook_mcp.store.rows import encode_row
from vibe_orderbook_mcp.store.snapshots import encode_snapshot
from vibe_orderbook_mcp.store.trades import decode_minute, decode_second, encode_minute, encode_second, merge

MINUTE: Final = 60
_MAX_SECONDS_A_MINUTE: Final = MINUTE + 1


class AppendResult(msgspec.Struct, frozen=True):
    """What a call to `append` or `add_trades` stored, and what it left alone."""

    snapshots: dict[str, int] = {}
    rows: dict[str, int] = {}
    trades: dict[str, int] = {}
    skipped_seconds: dict[str, int] = {}  # already stored: a second is written once
    skipped_trades: dict[str, int] = {}  # already held by id
    failed: dict[str, str] = {}  # symbols whose values cannot be stored, and why; the others were


class _Symbol(msgspec.Struct):
    """What the writer knows of a symbol: the disk's state, or the disk's after the batch being prepared."""

    meta: SymbolMeta | None
    ids: list[Interval]
    newest_second: int | None
    newest_trade_second: int | None  # of trade_sec, in seconds
    grid: RollGrid | None


class _Plan:
    """One batch in the making."""

    def __init__(self) -> None:
        self.puts: dict[tuple[str, bytes], bytes] = {}
        self.trades: dict[tuple[str, bytes], list[Trade]] = {}  # of trade_sec and trade_min, encoded at the end
        self.exps: dict[tuple[str, bytes], SymbolSpec] = {}
        self.fresh: dict[bytes, list[Trade]] = {}  # by key of trade_min: what its block did not hold before
        self.symbols: dict[str, _Symbol] = {}
        self.snapshots: dict[str, int] = {}
        self.rows: dict[str, int] = {}
        self.stored: dict[str, int] = {}
        self.skipped_seconds: dict[str, int] = {}
        self.skipped_trades: dict[str, int] = {}
        self.failed: dict[str, str] = {}

    def result(self) -> AppendResult:
        return AppendResult(
            snapshots=self.snapshots,
            rows=self.rows,
            trades=self.stored,
            skipped_seconds=self.skipped_seconds,
            skipped_trades=self.skipped_trades,
            failed=self.failed,
        )


# What encoding raises. A number out of all proportion (the exchange's, or a sum of such) costs its own second or batch:
# raised further, it would hold up the writing of everything, again and again.
UNSTORABLE = (StorageError, TypeError, OverflowError)
# The same where the disk is read on the way, whose failures are not the numbers' fault.
UNSTORABLE_TOGETHER = (OffGrid, TypeError, OverflowError)


class Writer:
    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._symbols: dict[str, _Symbol] = {}

    # --- seconds and live trades --------------------------------------------------------------------------------

    def append(self, seconds: Sequence[SecondRecord], batches: Sequence[TradeBatch]) -> AppendResult:
        plan = _Plan()
        for record in seconds:
            self._plan_second(plan, record)
        for batch in batches:
            self._plan_trades(plan, batch, live=True)
        self._commit(plan)
        return plan.result()

    def add_trades(self, batch: TradeBatch) -> AppendResult:
        plan = _Plan()
        self._plan_trades(plan, batch, live=False)
        self._commit(plan)
        return plan.result()

    def _plan_second(self, plan: _Plan, record: SecondRecord) -> None:
        spec, row, top = record.spec, record.row, record.top
        name = spec.symbol
        try:
            key = second_key(name, row.second)
            encoded = encode_row(row, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)
            book = (
                top if top is None else encode_snapshot(row.second, top, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)
            )
        except UNSTORABLE as error:
            plan.failed[name] = _why(error)
            return
        symbol = self._planned(plan, name)
        newest = symbol.newest_second
        if newest is not None and row.second <= newest:
            if (ROW, key) in plan.puts or self._database.get(ROW, key) is not None:
                _count(plan.skipped_seconds, name, 1)
                return
        else:
            symbol.newest_second = row.second
        self._describe(plan, symbol, spec)
        plan.puts[ROW, key] = encoded
        _count(plan.rows, name, 1)
        if book is not None:
            plan.puts[SNAP, key] = book
            _count(plan.snapshots, name, 1)

    def _plan_trades(self, plan: _Plan, batch: TradeBatch, *, live: bool) -> None:
        spec = batch.spec
        name = spec.symbol
        if not batch.trades:
            return
        try:
            symbol = self._planned(plan, name)
            # Encoding proves that every value can be stored, before any of the batch's state is touched.
            encode_second(batch.trades, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)
            for edge in (min(t.time_ms for t in batch.trades), max(t.time_ms for t in batch.trades)):
                milli_key(name, edge)
        except UNSTORABLE as error:
            plan.failed[name] = _why(error)
            return
        new = [trade for trade in merge(batch.trades) if not intervals.contains(symbol.ids, trade.agg_id)]
        _count(plan.skipped_trades, name, len(batch.trades) - len(new))
        _count(plan.stored, name, len(new))
        if not new:
            return
        self._describe(plan, symbol, spec)
        if symbol.grid is None:
            symbol.grid = self._first_grid(spec, new[0].price)
        sealed = (symbol.meta.sealed if symbol.meta else None) or 0
        for second, group in groupby(new, lambda trade: trade.time_ms // 1000):
            if live and second >= sealed:
                self._plan_trade_second(plan, symbol, spec, second, list(group))
            else:
                self._merge_into(plan, TRADE_MIN, second_key(name, second - second % MINUTE), spec, group)
        symbol.ids = intervals.union(symbol.ids, intervals.of_numbers(trade.agg_id for trade in new))

    def _plan_trade_second(
        self, plan: _Plan, symbol: _Symbol, spec: SymbolSpec, second: int, trades: list[Trade]
    ) -> None:
        key = milli_key(spec.symbol, second * 1000)
        if symbol.newest_trade_second is None or second > symbol.newest_trade_second:
            symbol.newest_trade_second = second
            plan.trades[TRADE_SEC, key] = trades  # nothing is there: no need to look
            plan.exps[TRADE_SEC, key] = spec
        else:
            self._merge_into(plan, TRADE_SEC, key, spec, trades)

    def _merge_into(self, plan: _Plan, family: str, key: bytes, spec: SymbolSpec, trades: Iterable[Trade]) -> None:
        held = plan.trades.get((family, key))
        if held is None:
            stored = self._database.get(family, key)
            decode = decode_second if family == TRADE_SEC else decode_minute
            held = [] if stored is None else decode(stored)
        trades = list(trades)
        plan.trades[family, key] = merge(held, trades)
        plan.exps[family, key] = spec
        if family == TRADE_MIN:
            plan.fresh.setdefault(key, []).extend(_not_among(held, trades))

    def _first_grid(self, spec: SymbolSpec, price: float) -> RollGrid:
        """What was stored before there were roll-ups stays without."""
        grid = grid_for(price, spec.tick_exp)
        newest = self._database.last_key(TRADE_MIN, *symbol_bounds(spec.symbol))
        return grid if newest is None else msgspec.structs.replace(grid, floor=_next_hour(parse_key(newest)[1]))

    def _describe(self, plan: _Plan, symbol: _Symbol, spec: SymbolSpec) -> None:
        """Keep the symbol's description as the exchange last gave it."""
        if symbol.meta is None:
            symbol.meta = SymbolMeta(spec=spec, created=int(self._now()))
        elif symbol.meta.spec != spec:
            symbol.meta = msgspec.structs.replace(symbol.meta, spec=spec)
        else:
            return
        plan.puts[META, symbol_key(spec.symbol)] = encode_meta(symbol.meta)

    # --- sealing ------------------------------------------------------------------------------------------------

    def seal_minute(self, name: str, before_ms: int) -> bool:
        """Turn the oldest unsealed minute that was over at `before_ms` into a block. False when there is none."""
        symbol = self._known(name)
        if symbol.meta is None:
            return False
        sealed = symbol.meta.sealed or 0
        end = before_ms // 1000 // MINUTE * MINUTE
        oldest = self._database.first_key(TRADE_SEC, *milli_bounds(name, sealed * 1000, end * 1000))
        if oldest is None:
            self._forget_evicted(name, symbol)
            return False
        minute = parse_key(oldest)[1] // 1000 // MINUTE * MINUTE
        low, high = milli_bounds(name, minute * 1000, (minute + MINUTE) * 1000)
        pairs = self._database.scan(TRADE_SEC, low, high, _MAX_SECONDS_A_MINUTE)
        key = second_key(name, minute)
        block = self._database.get(TRADE_MIN, key)
        held = decode_minute(block) if block else []
        trades = merge(held, *(decode_second(value) for _, value in pairs))
        fresh = _not_among(held, trades)
        meta = msgspec.structs.replace(symbol.meta, sealed=minute + MINUTE)
        spec = meta.spec
        grid = symbol.grid or self._first_grid(spec, trades[0].price)
        try:
            encoded = encode_minute(trades, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)
            rolled, grid = self._roll(spec, grid, {key: (trades, fresh)})
        except UNSTORABLE_TOGETHER as error:
            logger.error("{} trades of {} are given up, to be fetched again: {}", len(fresh), name, _why(error))
            ids = intervals.difference(symbol.ids, intervals.of_numbers(trade.agg_id for trade in fresh))
            self._database.write([(META, symbol_key(name), encode_meta(meta)), (META, ids_key(name), encode_ids(ids))])
            symbol.meta, symbol.ids = meta, ids
            return True
        self._database.write(
            [
                (TRADE_MIN, key, encoded),
                (META, symbol_key(name), encode_meta(meta)),
                (META, grid_key(name), encode_grid(grid)),
                *rolled,
            ]
        )
        symbol.meta, symbol.grid = meta, grid
        return True

    def _roll(
        self, spec: SymbolSpec, grid: RollGrid, changes: dict[bytes, tuple[list[Trade], list[Trade]]]
    ) -> tuple[list[Put], RollGrid]:
        """The roll-ups for minutes whose blocks change: key in `trade_min` -> all trades, those that are new."""
        roller = Roller(self._database, spec.symbol, grid, spec.lot_exp)
        for key, (trades, fresh) in sorted(changes.items()):
            minute = parse_key(key)[1]
            if minute < grid.floor:
                continue
            try:
                roller.change(minute, trades, fresh)
            except StorageCorrupt as error:  # trades are worth more than their sums: those begin anew behind it
                logger.warning("Roll-ups of {} up to {} are given up: {}", spec.symbol, minute, error)
                grid = msgspec.structs.replace(grid, floor=_next_hour(minute))
        return roller.puts(), grid

    def _forget_evicted(self, name: str, symbol: _Symbol) -> None:
        """Give up the ids of trades that FIFO has dropped: what lies before the oldest trade still here."""
        held = self.oldest_agg_id(name)
        kept = [] if held is None else intervals.drop_below(symbol.ids, held)
        if kept != symbol.ids:
            self._database.write([(META, ids_key(name), encode_ids(kept))])
            symbol.ids = kept

    def oldest_agg_id(self, name: str) -> int | None:
        low, high = symbol_bounds(name)
        oldest = [
            decode(pairs[0][1])[0].agg_id
            for family, decode in ((TRADE_MIN, decode_minute), (TRADE_SEC, decode_second))
            if (pairs := self._database.scan(family, low, high, 1))
        ]
        return min(oldest, default=None)

    def disown_ids(self, name: str, gone: Sequence[Interval]) -> None:
        """Give up ids that a walk over the stored trades did not find."""
        symbol = self._known(name)
        kept = symbol.ids
        for first, last in gone:
            kept = intervals.remove(kept, first, last)
        if kept != symbol.ids:
            self._database.write([(META, ids_key(name), encode_ids(kept))])
            symbol.ids = kept

    def unseal(self, name: str, agg_id: int) -> None:
        """The block that held this trade is gone while its second is still there: minutes from it on are made anew."""
        symbol = self._known(name)
        if symbol.meta is None or not symbol.meta.sealed:
            return
        low, high = milli_bounds(name, 0, symbol.meta.sealed * 1000)
        while pairs := self._database.scan(TRADE_SEC, low, high, _MAX_SECONDS_A_MINUTE):
            for key, value in pairs:
                if any(trade.agg_id == agg_id for trade in decode_second(value)):
                    second = parse_key(key)[1] // 1000
                    meta = msgspec.structs.replace(symbol.meta, sealed=second - second % MINUTE)
                    self._database.write([(META, symbol_key(name), encode_meta(meta))])
                    symbol.meta = meta
                    return
            low = pairs[-1][0] + b"\0"

    def raise_floor(self, name: str, floor: int, gone: Sequence[Range]) -> None:
        """Roll-ups before `floor`, a whole hour, are deleted and not made again."""
        symbol = self._known(name)
        if symbol.grid is not None and symbol.grid.floor < floor:
            grid = msgspec.structs.replace(symbol.grid, floor=floor)
            self._database.write([(META, grid_key(name), encode_grid(grid))], gone)
            symbol.grid = grid

    # --- events and baselines -----------------------------------------------------------------------------------

    def put_events(self, name: str, events: Sequence[StoredEvent]) -> None:
        puts = [(EVENT, event_key(name, event.start_ms, event.type), encode_event(event)) for event in events]
        if puts:
            self._database.write(puts)

    def put_baseline(self, name: str, hour_sec: int, data: bytes) -> None:
        self._database.write([(BASE, second_key(name, hour_sec), data)])

    # --- the batch ----------------------------------------------------------------------------------------------

    def _commit(self, plan: _Plan) -> None:
        puts: list[Put] = [(family, key, value) for (family, key), value in plan.puts.items()]
        for name, symbol in plan.symbols.items():
            known = self._known(name)
            try:
                puts += self._trade_puts(plan, name, symbol, known)
            except UNSTORABLE_TOGETHER as error:  # each batch could be stored, but not beside what is there
                plan.failed[name] = _why(error)
                plan.stored.pop(name, None)
                symbol.ids, symbol.newest_trade_second, symbol.grid = known.ids, known.newest_trade_second, known.grid
        if puts:
            self._database.write(puts)
        self._symbols.update(plan.symbols)

    def _trade_puts(self, plan: _Plan, name: str, symbol: _Symbol, known: _Symbol) -> list[Put]:
        """A symbol's blocks of trades, their roll-ups, and what is noted about them: all of it or nothing."""
        puts: list[Put] = []
        low, high = symbol_bounds(name)
        for (family, key), trades in plan.trades.items():
            if low <= key < high:
                spec = plan.exps[family, key]
                encode = encode_second if family == TRADE_SEC else encode_minute
                puts.append((family, key, encode(trades, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)))
        changes = {key: (plan.trades[TRADE_MIN, key], fresh) for key, fresh in plan.fresh.items() if low <= key < high}
        if changes and symbol.grid is not None and symbol.meta is not None:
            rolled, symbol.grid = self._roll(symbol.meta.spec, symbol.grid, changes)
            puts += rolled
        if symbol.grid is not None and symbol.grid != known.grid:
            puts.append((META, grid_key(name), encode_grid(symbol.grid)))
        if symbol.ids != known.ids:
            puts.append((META, ids_key(name), encode_ids(symbol.ids)))
        return puts

    def _planned(self, plan: _Plan, name: str) -> _Symbol:
        if name not in plan.symbols:
            known = self._known(name)
            plan.symbols[name] = msgspec.structs.replace(known)
        return plan.symbols[name]

    def _known(self, name: str) -> _Symbol:
        if name not in self._symbols:
            database = self._database
            meta, ids = database.get(META, symbol_key(name)), database.get(META, ids_key(name))
            grid = database.get(META, grid_key(name))
            bounds = symbol_bounds(name)
            row, trade = database.last_key(ROW, *bounds), database.last_key(TRADE_SEC, *bounds)
            self._symbols[name] = _Symbol(
                meta=None if meta is None else decode_meta(name, meta),
                ids=[] if ids is None else decode_ids(ids),
                newest_second=None if row is None else parse_key(row)[1],
                newest_trade_second=None if trade is None else parse_key(trade)[1] // 1000,
                grid=None if grid is None else decode_grid(grid),
            )
        return self._symbols[name]


def _not_among(held: Iterable[Trade], trades: Iterable[Trade]) -> list[Trade]:
    known = {trade.agg_id for trade in held}
    return [trade for trade in trades if trade.agg_id not in known]


def _next_hour(second: int) -> int:
    return second - second % HOUR + HOUR


def _count(counts: dict[str, int], name: str, number: int) -> None:
    if number:
        counts[name] = counts.get(name, 0) + number


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, StorageError) else "A number in it is beyond what can be stored."
