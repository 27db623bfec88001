"""What can go wrong with a directory, made for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rocksdict import WriteBatch

from tests.store.places import filled, opened, tables
from tests.store.values import START, batch, record
from vibe_orderbook_mcp.model.errors import DiskFull, StorageCorrupt, StorageError, StorageLocked
from vibe_orderbook_mcp.store.disk.layout import META
from vibe_orderbook_mcp.store.history import History

pytestmark = pytest.mark.anyio

FOREVER = 10**10


def _damage(path: Path) -> None:
    """One block, neither the first nor the last, of every table that has several."""
    for file in path.glob("*.sst"):
        data = bytearray(file.read_bytes())
        if len(data) > 6000:
            data[len(data) // 3 : len(data) // 3 + 64] = bytes(64)
            file.write_bytes(data)


async def test_a_second_writer_is_told_that_the_directory_is_taken(tmp_path: Path) -> None:
    first = await opened(tmp_path)
    with pytest.raises(StorageLocked):
        await opened(tmp_path)
    await first.append([record(START)])
    await first.close()


async def test_a_damaged_block_is_an_error_and_not_an_early_end(tmp_path: Path) -> None:
    await filled(tmp_path, 600)
    _damage(tmp_path)
    history = await opened(tmp_path)
    try:
        with pytest.raises(StorageCorrupt):
            await history.rows("BTCUSDT", 0, FOREVER)
    finally:
        await history.close()


async def test_the_lock_is_free_after_a_failed_read_that_is_still_remembered(tmp_path: Path) -> None:
    """An iterator that lives on in a traceback would keep the directory locked."""
    await filled(tmp_path, 600)
    _damage(tmp_path)
    history = await opened(tmp_path)
    errors = []
    for _ in range(3):
        try:
            await history.rows("BTCUSDT", 0, FOREVER)
        except StorageError as error:
            errors.append(error)
    assert errors
    await history.reopen()
    await history.close()
    await (await opened(tmp_path)).close()


async def test_a_damaged_log_costs_its_end_and_not_the_database(tmp_path: Path) -> None:
    """Families that reached the disk at different times would contradict a log that was cut: they go together."""
    history = await History.open(tmp_path / "live", cap_mb=8, retention_days=7)
    for second in range(START, START + 3000):
        await history.append([record(second, top=second % 50 == 0)], [batch(second - START)])
    shutil.copytree(tmp_path / "live", tmp_path / "copy")
    await history.close()
    assert tables(tmp_path / "copy")
    for log in (tmp_path / "copy").glob("*.log"):
        log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    damaged = await opened(tmp_path / "copy")
    seconds = [r.second for r in await damaged.rows("BTCUSDT", 0, FOREVER)]
    ids = await damaged.ids("BTCUSDT")
    await damaged.close()
    assert 100 < len(seconds) < 3000
    assert seconds == list(range(START, START + len(seconds)))
    assert ids == [(0, len(seconds) - 1)]


@pytest.mark.parametrize("reopen", [True, False])
async def test_what_a_failed_write_did_not_store_can_be_stored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reopen: bool
) -> None:
    history = await opened(tmp_path)
    await history.append([record(START)], [batch(1)])
    assert history._database is not None

    class Full:
        """RocksDB on a full disk, in its own words."""

        def write(self, batch: WriteBatch) -> None:
            raise Exception(f"IO error: No space left on device: While appending to file: {tmp_path}/000004.log")  # noqa: TRY002 - rocksdict raises nothing finer

    with monkeypatch.context() as full:
        full.setitem(history._database._families, META, Full())
        with pytest.raises(DiskFull) as failure:
            await history.append([record(START + 1)], [batch(2)])
    assert str(tmp_path) not in str(failure.value)
    if reopen:
        await history.reopen()
    result = await history.append([record(START), record(START + 1)], [batch(1, 2)])
    assert (result.rows, result.skipped_seconds) == ({"BTCUSDT": 1}, {"BTCUSDT": 1})
    assert (result.trades, result.skipped_trades) == ({"BTCUSDT": 1}, {"BTCUSDT": 1})
    assert await history.ids("BTCUSDT") == [(1, 2)]
    await history.close()


WRITER = """
import asyncio, sys
from tests.store.values import START, batch, record
from vibe_orderbook_mcp.store.disk.failures import DiskFull
from vibe_orderbook_mcp.store.history import History

async def main():
    history = await History.open(sys.argv[1], cap_mb=64, retention_days=7)
    for n in range(100_000):
        await history.append([record(START + n)], [batch(n)])
        if n % 600 == 599:
            await history.seal("BTCUSDT", START * 1000 + n * 100)
        print(n, flush=True)

asyncio.run(main())
"""


def _write_until_killed(path: Path) -> int:
    """The last second that the process said it had stored."""
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if int(line) >= 1500:
                process.kill()
                return int(line)
    pytest.fail("the writer ended by itself")


async def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged = _write_until_killed(tmp_path)
    history = await opened(tmp_path)
    seconds = [r.second - START for r in await history.rows("BTCUSDT", 0, FOREVER)]
    ids = await history.ids("BTCUSDT")
    trades = [t.agg_id for t in await history.trades("BTCUSDT", 0, FOREVER * 1000)]
    assert await history.verify_ids("BTCUSDT") == []
    await history.close()
    assert acknowledged >= 1500
    assert len(seconds) > acknowledged
    assert seconds == list(range(len(seconds)))
    assert ids == [(0, len(seconds) - 1)]
    assert trades == seconds
