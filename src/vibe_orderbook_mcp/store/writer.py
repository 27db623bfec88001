"""Writes of history. Runs only on the storage thread; synchronous.

It caches the state of each symbol. A cache is replaced after its batch was written, never before: so after a failed
write it still agrees with the disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from loguru import logger

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.rows import SecondRecord, StoredEvent, TradeBatch
from vibe_orderbook_mcp.store.disk.layout import BASE, EVENT, META, ROW, TRADE_MIN, TRADE_SEC
from vibe_orderbook_mcp.store.disk.rocks import Database, Range
from vibe_orderbook_mcp.store.plan import UNSTORABLE_TOGETHER, AppendResult, Known, Plan, not_among, why
from vibe_orderbook_mcp.store.records.keys import event_key, key_time, milli_bounds, second_key, symbol_bounds
from vibe_orderbook_mcp.store.records.meta import (
    decode_ids,
    decode_meta,
    encode_event,
    encode_ids,
    encode_meta,
    grid_key,
    ids_key,
    symbol_key,
)
from vibe_orderbook_mcp.store.records.rollups import decode_grid, encode_grid
from vibe_orderbook_mcp.store.records.trades import MINUTE, decode_minute, decode_second, encode_minute, merge
from vibe_orderbook_mcp.store.roller import first_grid, rolled

_MAX_SECONDS_A_MINUTE: Final = MINUTE + 1


class Writer:
    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now
        self._symbols: dict[str, Known] = {}

    # --- seconds and trades -------------------------------------------------------------------------------------

    def append(self, seconds: Sequence[SecondRecord], batches: Sequence[TradeBatch]) -> AppendResult:
        plan = self._plan()
        for record in seconds:
            plan.add_second(record)
        for batch in batches:
            plan.add_trades(batch, live=True)
        return self._commit(plan)

    def add_trades(self, batch: TradeBatch) -> AppendResult:
        plan = self._plan()
        plan.add_trades(batch, live=False)
        return self._commit(plan)

    def forget(self, name: str) -> None:
        """Drop the cached state of a symbol without writes; it is read again when needed."""
        self._symbols.pop(name, None)

    def _plan(self) -> Plan:
        return Plan(self._database, self._known, self._now)

    # --- sealing ------------------------------------------------------------------------------------------------

    def seal_minute(self, name: str, before_ms: int) -> bool:
        """Turn the oldest unsealed minute that ended before `before_ms` into a block. False without one."""
        symbol = self._known(name)
        if symbol.meta is None:
            return False
        sealed = symbol.meta.sealed or 0
        end = before_ms // 1000 // MINUTE * MINUTE
        oldest = self._database.first_key(TRADE_SEC, *milli_bounds(name, sealed * 1000, end * 1000))
        if oldest is None:
            self._forget_evicted(name, symbol)
            return False
        minute = key_time(oldest) // 1000 // MINUTE * MINUTE
        low, high = milli_bounds(name, minute * 1000, (minute + MINUTE) * 1000)
        pairs = self._database.scan(TRADE_SEC, low, high, _MAX_SECONDS_A_MINUTE)
        key = second_key(name, minute)
        block = self._database.get(TRADE_MIN, key)
        held = decode_minute(block) if block else []
        trades = merge(held, *(decode_second(value) for _, value in pairs))
        fresh = not_among(held, trades)
        meta = msgspec.structs.replace(symbol.meta, sealed=minute + MINUTE)
        spec = meta.spec
        grid = symbol.grid or first_grid(self._database, spec, trades[0].price)
        try:
            encoded = encode_minute(trades, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)
            rolls, grid = rolled(self._database, spec, grid, {key: (trades, fresh)})
        except UNSTORABLE_TOGETHER as error:
            logger.error(
                "{} damaged trades of {} were dropped and will be fetched again: {}", len(fresh), name, why(error)
            )
            ids = intervals.difference(symbol.ids, intervals.of_numbers(trade.agg_id for trade in fresh))
            self._database.write([(META, symbol_key(name), encode_meta(meta)), (META, ids_key(name), encode_ids(ids))])
            symbol.meta, symbol.ids = meta, ids
            return True
        self._database.write(
            [
                (TRADE_MIN, key, encoded),
                (META, symbol_key(name), encode_meta(meta)),
                (META, grid_key(name), encode_grid(grid)),
                *rolls,
            ]
        )
        symbol.meta, symbol.grid = meta, grid
        return True

    def _forget_evicted(self, name: str, symbol: Known) -> None:
        """Remove the ids of trades that FIFO has dropped: all before the oldest stored trade."""
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
        """Remove ids that a walk over the stored trades did not find."""
        symbol = self._known(name)
        kept = symbol.ids
        for first, last in gone:
            kept = intervals.remove(kept, first, last)
        if kept != symbol.ids:
            self._database.write([(META, ids_key(name), encode_ids(kept))])
            symbol.ids = kept

    def unseal(self, name: str, agg_id: int) -> None:
        """The block of this trade is lost while its second is still stored: make its minute and later ones again."""
        symbol = self._known(name)
        if symbol.meta is None or not symbol.meta.sealed:
            return
        low, high = milli_bounds(name, 0, symbol.meta.sealed * 1000)
        while pairs := self._database.scan(TRADE_SEC, low, high, _MAX_SECONDS_A_MINUTE):
            for key, value in pairs:
                if any(trade.agg_id == agg_id for trade in decode_second(value)):
                    second = key_time(key) // 1000
                    meta = msgspec.structs.replace(symbol.meta, sealed=second - second % MINUTE)
                    self._database.write([(META, symbol_key(name), encode_meta(meta))])
                    symbol.meta = meta
                    return
            low = pairs[-1][0] + b"\0"

    def raise_floor(self, name: str, floor: int, gone: Sequence[Range]) -> None:
        """Delete roll-ups before `floor`, a whole hour; they are not made again."""
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

    def _commit(self, plan: Plan) -> AppendResult:
        if puts := plan.puts():
            self._database.write(puts)
        self._symbols.update(plan.symbols)
        return plan.result()

    def _known(self, name: str) -> Known:
        if name not in self._symbols:
            database = self._database
            meta, ids = database.get(META, symbol_key(name)), database.get(META, ids_key(name))
            grid = database.get(META, grid_key(name))
            bounds = symbol_bounds(name)
            row, trade = database.last_key(ROW, *bounds), database.last_key(TRADE_SEC, *bounds)
            self._symbols[name] = Known(
                meta=None if meta is None else decode_meta(name, meta),
                ids=[] if ids is None else decode_ids(ids),
                newest_second=None if row is None else key_time(row),
                newest_trade_second=None if trade is None else key_time(trade) // 1000,
                grid=None if grid is None else decode_grid(grid),
            )
        return self._symbols[name]
