"""Reading beside a process that writes: the command line, and a second server."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.store.values import START, batch, book, record, row, trade
from vibe_orderbook_mcp.errors import StorageError
from vibe_orderbook_mcp.store.history import History

pytestmark = pytest.mark.anyio

FOREVER = 10**10


async def test_a_reader_sees_what_was_written_before_it_asked(tmp_path: Path) -> None:
    writer = await History.open(tmp_path / "data", cap_mb=64, retention_days=7)
    await writer.append([record(START)], [batch(1, 2)])
    reader = await History.open_secondary(tmp_path / "data")
    for second in range(START + 1, START + 200):
        number = second - START
        await writer.append([record(second)], [batch(number * 2 + 1, number * 2 + 2)])
        if number % 50 == 0:
            assert writer._database is not None
            writer._database.flush()
            await writer.seal("BTCUSDT", trade(number * 2).time_ms)
            assert await reader.newest_second("BTCUSDT") == second
            assert await reader.rows("BTCUSDT", 0, FOREVER) == [row(s) for s in range(START, second + 1)]
            assert await reader.trades("BTCUSDT", 0, FOREVER * 1000) == [trade(n) for n in range(1, number * 2 + 3)]
    assert await reader.ids("BTCUSDT") == [(1, 400)]
    await writer.close()
    assert (await reader.snapshots("BTCUSDT", START, START + 1)) == [(START, book(START))]
    await reader.close()


async def test_a_reader_cannot_write(tmp_path: Path) -> None:
    writer = await History.open(tmp_path, cap_mb=64, retention_days=7)
    await writer.append([record(START)])
    await writer.close()
    reader = await History.open_secondary(tmp_path)
    with pytest.raises(StorageError, match="reading only"):
        await reader.append([record(START + 1)])
    with pytest.raises(StorageError, match="reading only"):
        await reader.add_trades(batch(1))
    with pytest.raises(StorageError, match="reading only"):
        await reader.seal("BTCUSDT", 0)
    await reader.close()


async def test_a_reader_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    await (await History.open(tmp_path / "data", cap_mb=64, retention_days=7)).close()
    reader = await History.open_secondary(tmp_path / "data")
    await reader.reopen()
    assert len(_entries(scratch)) == 1
    await reader.close()
    with pytest.raises(StorageError):
        await History.open_secondary(tmp_path / "nothing")
    assert _entries(scratch) == []


async def test_a_stopped_database_is_read_and_opens_for_writing_afterwards(tmp_path: Path) -> None:
    writer = await History.open(tmp_path, cap_mb=64, retention_days=7)
    await writer.append([record(START)])
    await writer.close()
    reader = await History.open_secondary(tmp_path)
    assert await reader.symbols() == ["BTCUSDT"]
    again = await History.open(tmp_path, cap_mb=64, retention_days=7)
    await again.append([record(START + 1)])
    assert len(await reader.rows("BTCUSDT", 0, FOREVER)) == 2
    await again.close()
    await reader.close()


def _entries(path: Path) -> list[Path]:
    return list(path.iterdir())
