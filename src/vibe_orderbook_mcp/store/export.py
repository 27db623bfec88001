"""Export of stored data, piece by piece: CSV, JSON lines or Parquet. The columns are a promise.

Prices and sizes are the exchange's own decimal strings in every format, so nothing is rounded.
"""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any, BinaryIO, Final, Literal, Protocol

import msgspec

from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import STORED_LEVELS, BookTop
from vibe_orderbook_mcp.model.symbol import SymbolSpec, decimal_text
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.summing import HistoryView

Format = Literal["csv", "jsonl", "parquet"]
Record = list[int | str | None]

TRADE_COLUMNS: Final = ("agg_id", "time_ms", "price", "size", "aggressor")
SNAPSHOT_COLUMNS: Final = (
    "time",
    "event_ms",
    "last_update_id",
    *chain.from_iterable(
        (f"bid_price_{level}", f"bid_size_{level}", f"ask_price_{level}", f"ask_size_{level}")
        for level in range(1, STORED_LEVELS + 1)
    ),
)
_INTEGERS: Final = {"agg_id", "time_ms", "time", "event_ms", "last_update_id"}


async def export_trades(history: History, symbol: str, start_ms: int, end_ms: int, fmt: Format, sink: BinaryIO) -> int:
    """One row a trade, ascending by id, `start_ms` <= time < `end_ms`. How many there were."""
    count = 0
    async with history.view() as view:
        spec = await _spec(view, symbol)
        with open_table(fmt, TRADE_COLUMNS, sink) as table:
            async for trades in view.iter_trades(symbol, start_ms, end_ms):
                table.write([trade_record(trade, spec) for trade in trades])
                count += len(trades)
    return count


async def export_snapshots(
    history: History, symbol: str, start_sec: int, end_sec: int, fmt: Format, sink: BinaryIO
) -> int:
    """One row a second that has a book, ascending, `start_sec` <= second < `end_sec`. How many there were."""
    count = 0
    async with history.view() as view:
        spec = await _spec(view, symbol)
        with open_table(fmt, SNAPSHOT_COLUMNS, sink) as table:
            async for pairs in view.iter_snapshots(symbol, start_sec, end_sec):
                table.write([snapshot_record(second, top, spec) for second, top in pairs])
                count += len(pairs)
    return count


def trade_record(trade: Trade, spec: SymbolSpec) -> Record:
    price, size = decimal_text(trade.price, spec.price_decimals), decimal_text(trade.size, spec.size_decimals)
    return [trade.agg_id, trade.time_ms, price, size, trade.aggressor]


def snapshot_record(second: int, top: BookTop, spec: SymbolSpec) -> Record:
    record: Record = [second, top.event_ms, top.last_update_id]
    for pair in zip_longest(top.bids[:STORED_LEVELS], top.asks[:STORED_LEVELS]):
        for level in pair:
            if level is None:
                record += (None, None)
            else:
                record += (decimal_text(level[0], spec.price_decimals), decimal_text(level[1], spec.size_decimals))
    record += [None] * (len(SNAPSHOT_COLUMNS) - len(record))
    return record


async def _spec(view: HistoryView, symbol: str) -> SymbolSpec:
    spec = await view.spec(symbol)
    if spec is None:
        raise StorageError(f"Nothing is stored of {symbol}.")
    return spec


# --- formats --------------------------------------------------------------------------------------------------


class Table(Protocol):
    def write(self, records: Sequence[Record]) -> None: ...
    def __enter__(self) -> Table: ...
    def __exit__(self, *exc_info: object) -> None: ...


def open_table(fmt: Format, columns: Sequence[str], sink: BinaryIO) -> Table:
    if fmt == "csv":
        return CsvTable(columns, sink)
    if fmt == "jsonl":
        return JsonLinesTable(columns, sink)
    return ParquetTable(columns, sink)


class CsvTable:
    def __init__(self, columns: Sequence[str], sink: BinaryIO) -> None:
        self._sink = sink
        self.write([list(columns)])

    def write(self, records: Sequence[Record]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(records)
        self._sink.write(text.getvalue().encode())

    def __enter__(self) -> CsvTable:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._sink.flush()


class JsonLinesTable:
    def __init__(self, columns: Sequence[str], sink: BinaryIO) -> None:
        self._columns = columns
        self._sink = sink
        self._encoder = msgspec.json.Encoder()

    def write(self, records: Sequence[Record]) -> None:
        self._sink.write(self._encoder.encode_lines(dict(zip(self._columns, row, strict=True)) for row in records))

    def __enter__(self) -> JsonLinesTable:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._sink.flush()


class ParquetTable:
    def __init__(self, columns: Sequence[str], sink: BinaryIO) -> None:
        try:
            # Imported here, because only this format needs these 40 MB.
            pa = importlib.import_module("pyarrow")
            parquet = importlib.import_module("pyarrow.parquet")
        except ImportError as error:
            raise StorageError(
                "Parquet needs an extra package: install vibe-orderbook-mcp[parquet], or choose csv or jsonl."
            ) from error
        self._pa: Any = pa
        self._schema: Any = pa.schema([(name, pa.int64() if name in _INTEGERS else pa.string()) for name in columns])
        self._writer: Any = parquet.ParquetWriter(sink, self._schema, compression="zstd")

    def write(self, records: Sequence[Record]) -> None:
        if records:
            columns = [list(column) for column in zip(*records, strict=True)]
            arrays = [self._pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
            self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def __enter__(self) -> ParquetTable:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._writer.close()
