"""Reading beside a process that writes: the command line, and a second server."""

from __future__ import annotations

import tempfile
from pathlib import Path

import ormsgpack
import pytest
from rocksdict import AccessType, Rdict

from tests.store.places import filled
from tests.store.values import START, batch, book, record, row, trade
from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.store.disk.directory import SCHEMA_KEY
from vibe_orderbook_mcp.store.disk.layout import FIRST_FAMILIES, Layout, database_options, family_options
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


async def test_a_reader_gets_over_a_database_that_was_repaired(tmp_path: Path) -> None:
    """The damaged one was set aside with the files that the reader has open: it would serve that past for ever."""
    path = tmp_path / "data"
    writer = await History.open(path, cap_mb=64, retention_days=7)
    await writer.append([record(START)], [batch(1)])
    reader = await History.open_secondary(path)
    assert await reader.newest_second("BTCUSDT") == START
    await writer.close()
    await History.rescue(path, cap_mb=64, retention_days=7, opens=True)
    writer = await History.open(path, cap_mb=64, retention_days=7)
    for second in range(START + 1, START + 4):
        await writer.append([record(second)], [batch(second - START + 1)])
        assert await reader.newest_second("BTCUSDT") == second
        assert [row.second for row in await reader.rows("BTCUSDT", 0, FOREVER)] == list(range(START, second + 1))
    assert reader.damage is None
    await writer.close()
    await reader.close()


async def test_a_reader_gets_over_a_database_that_was_begun_again(tmp_path: Path) -> None:
    """The directory was moved away, and the recorder began a new one at its path."""
    path = tmp_path / "data"
    writer = await History.open(path, cap_mb=64, retention_days=7)
    await writer.append([record(START)], [batch(1)])
    reader = await History.open_secondary(path)
    assert await reader.newest_second("BTCUSDT") == START
    path.rename(tmp_path / "moved")
    await writer.close()
    writer = await History.open(path, cap_mb=64, retention_days=7)
    await writer.append([record(START + 5)])
    assert await reader.newest_second("BTCUSDT") == START + 5
    assert await reader.ids("BTCUSDT") == []
    await writer.close()
    await reader.close()


async def test_a_reader_gets_over_a_database_that_was_extended(tmp_path: Path) -> None:
    """A column family that a newer program added fails every catch-up of a reader that was there before."""
    layout = Layout(cap_mb=64, retention_days=7)
    first = {name: options for name, options in family_options(layout).items() if name in FIRST_FAMILIES}
    before = Rdict(str(tmp_path), database_options(layout, create=True), first, AccessType.read_write())
    before[SCHEMA_KEY] = ormsgpack.packb(1)
    before.close()
    reader = await History.open_secondary(tmp_path)
    assert await reader.symbols() == []
    writer = await History.open(tmp_path, cap_mb=64, retention_days=7)
    for second in range(START, START + 3):
        await writer.append([record(second)])
        await writer.put_baseline("BTCUSDT", second - second % 3600, b"of an hour")
        assert writer._database is not None
        writer._database.flush()
        assert await reader.newest_second("BTCUSDT") == second
        assert len(await reader.baselines("BTCUSDT", 0)) == 1
    assert reader.damage is None
    await writer.close()
    await reader.close()


async def test_what_stays_damaged_is_told_as_damage(tmp_path: Path) -> None:
    """Opened again once for each question, and then it is said; other parts of history are read nevertheless."""
    path = await filled(tmp_path / "data")
    reader = await History.open_secondary(path)
    assert await reader.symbols() == ["BTCUSDT"]
    for table in path.glob("*.sst"):
        data = bytearray(table.read_bytes())
        if b"ids:" not in data:  # all but what is known of symbols
            data[: len(data) // 2] = bytes(len(data) // 2)
            table.write_bytes(data)
    for _ in range(2):
        with pytest.raises(StorageCorrupt):
            await reader.snapshots("BTCUSDT", 0, FOREVER)
        assert reader.damage is not None
        assert await reader.ids("BTCUSDT") == [(0, 299)]
    await reader.close()


async def test_closing_writes_nothing_into_a_directory_that_took_the_place(tmp_path: Path) -> None:
    """What is in memory would go into a new table file by its path, over one of the same number perhaps."""
    path = tmp_path / "data"
    lost = await History.open(path, cap_mb=64, retention_days=7)
    await lost.append([record(START)], [batch(1)])
    path.rename(tmp_path / "moved")
    (await filled(tmp_path / "other")).rename(path)
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    await lost.close()
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before
    other = await History.open(path, cap_mb=64, retention_days=7)
    assert await other.newest_second("BTCUSDT") == START + 299
    await other.close()
    moved = await History.open(tmp_path / "moved", cap_mb=64, retention_days=7)  # what it had, and its lock is free
    assert await moved.newest_second("BTCUSDT") == START
    await moved.close()
