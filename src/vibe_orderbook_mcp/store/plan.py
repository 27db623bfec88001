"""One batch of writes under construction: seconds and trades, and the new state of their symbols.

This code writes nothing and changes no known state: the caller writes `puts` and adopts `symbols` after success.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from operator import lt

import msgspec

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.rows import SecondRecord, TradeBatch
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.disk.layout import META, ROW, SNAP, TRADE_MIN, TRADE_SEC
from vibe_orderbook_mcp.store.disk.rocks import Database, Put
from vibe_orderbook_mcp.store.records.grid import OffGrid
from vibe_orderbook_mcp.store.records.keys import milli_key, second_key
from vibe_orderbook_mcp.store.records.meta import SymbolMeta, encode_ids, encode_meta, grid_key, ids_key, symbol_key
from vibe_orderbook_mcp.store.records.rollups import RollGrid, encode_grid
from vibe_orderbook_mcp.store.records.rows import encode_row
from vibe_orderbook_mcp.store.records.snapshots import encode_snapshot
from vibe_orderbook_mcp.store.records.trades import (
    MINUTE,
    decode_minute,
    decode_second,
    encode_minute,
    encode_second,
    merge,
)
from vibe_orderbook_mcp.store.roller import first_grid, rolled


class AppendResult(msgspec.Struct, frozen=True):
    """Counts of stored and skipped records of a call to `append` or `add_trades`."""

    snapshots: dict[str, int] = {}
    rows: dict[str, int] = {}
    trades: dict[str, int] = {}
    skipped_seconds: dict[str, int] = {}  # already stored: a second is written once
    skipped_trades: dict[str, int] = {}  # already stored by id
    failed: dict[str, str] = {}  # symbols whose values cannot be stored, and why; others were stored


class Known(msgspec.Struct):
    """The state of a symbol on disk, or after the batch being prepared."""

    meta: SymbolMeta | None
    ids: list[Interval]
    newest_second: int | None
    newest_trade_second: int | None  # of trade_sec, in seconds
    grid: RollGrid | None
    newest_trades: list[Trade] | None = None  # of that second: it usually grows, and this avoids reading it again


# Exceptions of encoding. An absurd number (from the exchange, or a sum of such numbers) costs its own second or batch.
# If raised further, it would block all writing for ever.
UNSTORABLE = (StorageError, TypeError, OverflowError)
# The same for calls that read the disk, whose failures have other causes.
UNSTORABLE_TOGETHER = (OffGrid, TypeError, OverflowError)


class _Block(msgspec.Struct):
    """A new record of trade_sec or trade_min."""

    family: str
    spec: SymbolSpec
    trades: list[Trade]
    fresh: list[Trade] = []  # of trade_min: trades that are new in the block
    encoded: bytes | None = None  # None: encoded when all its trades are there


class Plan:
    """`add_second` and `add_trades`, then `puts` once."""

    def __init__(self, database: Database, known: Callable[[str], Known], now: Callable[[], float]) -> None:
        self._database = database
        self._known = known
        self._now = now
        self.symbols: dict[str, Known] = {}
        self._puts: dict[tuple[str, bytes], bytes] = {}
        self._blocks: dict[str, dict[bytes, _Block]] = {}  # by symbol and key
        self._snapshots: dict[str, int] = {}
        self._rows: dict[str, int] = {}
        self._stored: dict[str, int] = {}
        self._skipped_seconds: dict[str, int] = {}
        self._skipped_trades: dict[str, int] = {}
        self._failed: dict[str, str] = {}

    def result(self) -> AppendResult:
        return AppendResult(
            snapshots=self._snapshots,
            rows=self._rows,
            trades=self._stored,
            skipped_seconds=self._skipped_seconds,
            skipped_trades=self._skipped_trades,
            failed=self._failed,
        )

    def add_second(self, record: SecondRecord) -> None:
        spec, row, top = record.spec, record.row, record.top
        name = spec.symbol
        try:
            key = second_key(name, row.second)
            encoded = encode_row(row, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)
            book = (
                top if top is None else encode_snapshot(row.second, top, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)
            )
        except UNSTORABLE as error:
            self._failed[name] = why(error)
            return
        symbol = self._planned(name)
        newest = symbol.newest_second
        if newest is not None and row.second <= newest:
            if (ROW, key) in self._puts or self._database.get(ROW, key) is not None:
                _count(self._skipped_seconds, name, 1)
                return
        else:
            symbol.newest_second = row.second
        self._describe(symbol, spec)
        self._puts[ROW, key] = encoded
        _count(self._rows, name, 1)
        if book is not None:
            self._puts[SNAP, key] = book
            _count(self._snapshots, name, 1)

    def add_trades(self, batch: TradeBatch, *, live: bool) -> None:
        spec = batch.spec
        name = spec.symbol
        if not batch.trades:
            return
        try:
            symbol = self._planned(name)
            new = _not_held(symbol.ids, batch.trades)
            # Encoding proves that every value can be stored, before any of the batch's state is touched.
            pieces = [
                (second, trades, milli_key(name, second * 1000), _encode(TRADE_SEC, trades, spec))
                for second, trades in _by_second(new)
            ]
        except UNSTORABLE as error:
            self._failed[name] = why(error)
            return
        _count(self._skipped_trades, name, len(batch.trades) - len(new))
        _count(self._stored, name, len(new))
        if not new:
            return
        self._describe(symbol, spec)
        if symbol.grid is None:
            symbol.grid = first_grid(self._database, spec, new[0].price)
        blocks = self._blocks.setdefault(name, {})
        sealed = (symbol.meta.sealed if symbol.meta else None) or 0
        for second, trades, key, encoded in pieces:
            if not live or second < sealed:
                self._merge_into_minute(blocks, second_key(name, second - second % MINUTE), spec, trades)
            elif symbol.newest_trade_second is None or second > symbol.newest_trade_second:
                # No record there: no need to read.
                blocks[key] = _Block(TRADE_SEC, spec, trades, encoded=encoded)
                symbol.newest_trade_second, symbol.newest_trades = second, trades
            else:
                is_newest = second == symbol.newest_trade_second
                held = symbol.newest_trades if is_newest else None
                merged = self._merge_into_second(blocks, key, spec, trades, held)
                if is_newest:
                    symbol.newest_trades = merged
        symbol.ids = intervals.union(symbol.ids, _runs(new))

    def _merge_into_second(
        self, blocks: dict[bytes, _Block], key: bytes, spec: SymbolSpec, trades: list[Trade], held: list[Trade] | None
    ) -> list[Trade]:
        """The trades of the record after the batch; `held` are its present ones, if known."""
        if held is None and (block := blocks.get(key)) is not None:
            held = block.trades
        if held is None:
            stored = self._database.get(TRADE_SEC, key)
            held = [] if stored is None else decode_second(stored)
        trades = held + trades if held and held[-1].agg_id < trades[0].agg_id else merge(held, trades)
        blocks[key] = _Block(TRADE_SEC, spec, trades)
        return trades

    def _merge_into_minute(
        self, blocks: dict[bytes, _Block], key: bytes, spec: SymbolSpec, trades: list[Trade]
    ) -> None:
        block = blocks.get(key)
        if block is None:
            stored = self._database.get(TRADE_MIN, key)
            block = _Block(TRADE_MIN, spec, [] if stored is None else decode_minute(stored))
        fresh = [*block.fresh, *not_among(block.trades, trades)]
        blocks[key] = _Block(TRADE_MIN, spec, merge(block.trades, trades), fresh)

    def puts(self) -> list[Put]:
        """All writes, in one batch."""
        puts: list[Put] = [(family, key, value) for (family, key), value in self._puts.items()]
        for name, symbol in self.symbols.items():
            known = self._known(name)
            try:
                puts += self._trade_puts(name, symbol, known)
            except UNSTORABLE_TOGETHER as error:  # each batch could be stored, but not merged with the stored trades
                self._failed[name] = why(error)
                self._stored.pop(name, None)
                symbol.ids, symbol.grid = known.ids, known.grid
                symbol.newest_trade_second, symbol.newest_trades = known.newest_trade_second, known.newest_trades
        return puts

    def _trade_puts(self, name: str, symbol: Known, known: Known) -> list[Put]:
        """A symbol's blocks of trades, their roll-ups and their metadata: all or nothing."""
        puts: list[Put] = []
        changes: dict[bytes, tuple[list[Trade], list[Trade]]] = {}
        for key, block in self._blocks.get(name, {}).items():
            puts.append((block.family, key, block.encoded or _encode(block.family, block.trades, block.spec)))
            if block.fresh:
                changes[key] = block.trades, block.fresh
        if changes and symbol.grid is not None and symbol.meta is not None:
            rolls, symbol.grid = rolled(self._database, symbol.meta.spec, symbol.grid, changes)
            puts += rolls
        if symbol.grid is not None and symbol.grid != known.grid:
            puts.append((META, grid_key(name), encode_grid(symbol.grid)))
        if symbol.ids != known.ids:
            puts.append((META, ids_key(name), encode_ids(symbol.ids)))
        return puts

    def _describe(self, symbol: Known, spec: SymbolSpec) -> None:
        """Keep the symbol's description as the exchange last gave it."""
        if symbol.meta is None:
            symbol.meta = SymbolMeta(spec=spec, created=int(self._now()))
        elif symbol.meta.spec is not spec and symbol.meta.spec != spec:
            symbol.meta = msgspec.structs.replace(symbol.meta, spec=spec)
        else:
            return
        self._puts[META, symbol_key(spec.symbol)] = encode_meta(symbol.meta)

    def _planned(self, name: str) -> Known:
        if name not in self.symbols:
            self.symbols[name] = msgspec.structs.replace(self._known(name))
        return self.symbols[name]


def _not_held(held: Sequence[Interval], trades: Sequence[Trade]) -> list[Trade]:
    """Ascending by id, each once, without stored ids."""
    ids = [trade.agg_id for trade in trades]
    if (not held or ids[0] > held[-1][1]) and all(map(lt, ids, ids[1:])):
        return list(trades)  # the usual case: the stream continues
    return [trade for trade in merge(trades) if not intervals.contains(held, trade.agg_id)]


def _by_second(trades: Iterable[Trade]) -> Iterator[tuple[int, list[Trade]]]:
    for second, group in groupby(trades, lambda trade: trade.time_ms // 1000):
        yield second, list(group)


def _runs(trades: Sequence[Trade]) -> list[Interval]:
    first, last = trades[0].agg_id, trades[-1].agg_id
    if last - first + 1 == len(trades):  # they are ascending, each once
        return [(first, last)]
    return intervals.of_numbers(trade.agg_id for trade in trades)


def _encode(family: str, trades: Sequence[Trade], spec: SymbolSpec) -> bytes:
    encode = encode_second if family == TRADE_SEC else encode_minute
    return encode(trades, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)


def not_among(held: Iterable[Trade], trades: Iterable[Trade]) -> list[Trade]:
    known = {trade.agg_id for trade in held}
    return [trade for trade in trades if trade.agg_id not in known]


def why(error: Exception) -> str:
    return str(error) if isinstance(error, StorageError) else "A number in it is beyond what can be stored."


def _count(counts: dict[str, int], name: str, number: int) -> None:
    if number:
        counts[name] = counts.get(name, 0) + number
