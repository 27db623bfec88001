from __future__ import annotations

import csv
import importlib
import io
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.values import BTC, START, batch, record, trade
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.rows import BookTop, SecondRecord
from vibe_orderbook_mcp.store.export import SNAPSHOT_COLUMNS, Format, export_snapshots, export_trades
from vibe_orderbook_mcp.store.history import History

pytestmark = pytest.mark.anyio

FOREVER = 10**10
SECONDS = 1200


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    opened = await History.open(tmp_path, cap_mb=64, retention_days=7)
    for start in range(0, SECONDS, 100):
        await opened.append([record(START + n) for n in range(start, start + 100)], [batch(*range(start, start + 100))])
    await opened.seal("BTCUSDT", START * 1000 + 65_000)
    yield opened
    await opened.close()


def _read(fmt: Format, data: bytes) -> list[dict[str, Any]]:
    """What a user's program would see."""
    if fmt == "csv":
        return [dict(line) for line in csv.DictReader(io.StringIO(data.decode()))]
    if fmt == "jsonl":
        return [json.loads(line) for line in data.decode().splitlines()]
    parquet = importlib.import_module("pyarrow.parquet")
    rows: list[dict[str, Any]] = parquet.read_table(io.BytesIO(data)).to_pylist()
    return rows


@pytest.mark.parametrize("fmt", ["csv", "jsonl", "parquet"])
async def test_exported_trades_are_the_stored_ones(history: History, fmt: Format) -> None:
    sink = io.BytesIO()
    count = await export_trades(history, "BTCUSDT", 0, FOREVER * 1000, fmt, sink)
    rows = _read(fmt, sink.getvalue())
    assert count == len(rows) == SECONDS
    assert list(rows[0]) == ["agg_id", "time_ms", "price", "size", "aggressor"]
    assert [int(line["agg_id"]) for line in rows] == list(range(SECONDS))
    for line, stored in zip(rows, (trade(n) for n in range(SECONDS)), strict=True):
        assert int(line["time_ms"]) == stored.time_ms
        assert line["price"] == f"{stored.price:.8f}"
        assert line["size"] == f"{stored.size:.8f}"
        assert line["aggressor"] == stored.aggressor


@pytest.mark.parametrize("fmt", ["csv", "jsonl", "parquet"])
async def test_exported_snapshots_are_the_stored_ones(history: History, fmt: Format) -> None:
    sink = io.BytesIO()
    count = await export_snapshots(history, "BTCUSDT", START + 10, FOREVER, fmt, sink)
    rows = _read(fmt, sink.getvalue())
    assert count == len(rows) == SECONDS - 10
    assert list(rows[0])[:7] == [
        *("time", "event_ms", "last_update_id"),
        *("bid_price_1", "bid_size_1", "ask_price_1", "ask_size_1"),
    ]
    assert len(rows[0]) == 3 + 4 * 20
    for line, (second, top) in zip(rows, await history.snapshots("BTCUSDT", START + 10, FOREVER), strict=True):
        assert int(line["time"]) == second
        assert int(line["event_ms"]) == top.event_ms
        assert int(line["last_update_id"]) == top.last_update_id
        for level in range(3):
            assert line[f"bid_price_{level + 1}"] == f"{top.bids[level][0]:.8f}"
            assert line[f"ask_size_{level + 1}"] == f"{top.asks[level][1]:.8f}"
        assert line["bid_price_4"] in ("", None)


async def test_a_side_that_was_empty_is_empty_columns(history: History) -> None:
    top = BookTop(1, 2, (), ((65_000.01, 0.5),))
    await history.append([SecondRecord(BTC, record(START + 9000).row, top)])
    sink = io.BytesIO()
    await export_snapshots(history, "BTCUSDT", START + 9000, FOREVER, "jsonl", sink)
    (line,) = _read("jsonl", sink.getvalue())
    assert list(line) == list(SNAPSHOT_COLUMNS)
    assert (line["bid_price_1"], line["bid_size_1"]) == (None, None)
    assert (line["ask_price_1"], line["ask_size_1"]) == ("65000.01000000", "0.50000000")


@pytest.mark.parametrize("fmt", ["csv", "jsonl", "parquet"])
async def test_an_empty_window_is_a_valid_empty_file(history: History, fmt: Format) -> None:
    sink = io.BytesIO()
    assert await export_trades(history, "BTCUSDT", 0, 1, fmt, sink) == 0
    assert _read(fmt, sink.getvalue()) == []


async def test_a_symbol_that_was_never_recorded_is_an_error(history: History) -> None:
    with pytest.raises(StorageError, match="XRPUSDT"):
        await export_trades(history, "XRPUSDT", 0, FOREVER, "csv", io.BytesIO())


async def test_parquet_without_its_package_names_the_extra(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(StorageError, match=r"vibe-orderbook-mcp\[parquet\]"):
        await export_trades(history, "BTCUSDT", 0, FOREVER, "parquet", io.BytesIO())
