"""What can go wrong with a directory, made for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rocksdict import Options, Rdict, WriteBatch

from tests.store.values import START, batch, record
from vibe_orderbook_mcp.errors import StorageCorrupt, StorageError, StorageLocked
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.layout import META
from vibe_orderbook_mcp.store.rocks import (
    SCHEMA_KEY,
    Damaged,
    DiskFull,
    ForeignDatabase,
    SchemaNewer,
    storage_error,
)

pytestmark = pytest.mark.anyio

FOREVER = 10**10


async def _open(path: Path) -> History:
    return await History.open(path, cap_mb=64, retention_days=7)


async def _filled(path: Path, seconds: int = 300) -> Path:
    """A database with table files, closed."""
    opened = await _open(path)
    for second in range(START, START + seconds):
        await opened.append([record(second)], [batch(second - START)])
    database = opened._database
    assert database is not None
    database.flush()
    await opened.close()
    return path


def _tables(path: Path) -> set[str]:
    return {file.name for file in path.glob("*.sst")}


def _damage(path: Path) -> None:
    """One block, neither the first nor the last, of every table that has several."""
    for file in path.glob("*.sst"):
        data = bytearray(file.read_bytes())
        if len(data) > 6000:
            data[len(data) // 3 : len(data) // 3 + 64] = bytes(64)
            file.write_bytes(data)


async def test_a_second_writer_is_told_that_the_directory_is_taken(tmp_path: Path) -> None:
    first = await _open(tmp_path)
    with pytest.raises(StorageLocked):
        await _open(tmp_path)
    await first.append([record(START)])
    await first.close()


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    await _filled(tmp_path)
    opened = await _open(tmp_path)
    assert opened._database is not None
    opened._database.write([(META, SCHEMA_KEY, b"\x02")])
    await opened.close()
    for attempt in (_open, History.open_secondary):
        with pytest.raises(SchemaNewer) as refusal:
            await attempt(tmp_path)
        assert refusal.value.found == 2


@pytest.mark.parametrize("raw", [True, False])
async def test_another_programs_database_is_refused_and_still_opens_there(tmp_path: Path, raw: bool) -> None:
    path = tmp_path / "theirs"
    theirs = Rdict(str(path), Options(raw_mode=raw))
    theirs[b"key"] = b"value"
    theirs.close()
    for attempt in (_open, History.open_secondary):
        with pytest.raises(ForeignDatabase):
            await attempt(path)
    theirs = Rdict(str(path), Options(raw_mode=raw))
    assert theirs[b"key"] == b"value"
    assert Rdict.list_cf(str(path), Options(raw_mode=raw)) == ["default"]
    theirs.close()


async def test_a_creation_that_was_cut_short_is_taken_up_again(tmp_path: Path) -> None:
    """Killed between creating the files and the families: there is nothing in it, so it is ours."""
    options = Options(raw_mode=True)
    Rdict(str(tmp_path), options).close()
    opened = await _open(tmp_path)
    await opened.append([record(START)])
    await opened.close()


async def test_a_creation_that_was_killed_before_it_held_anything_is_begun_again(tmp_path: Path) -> None:
    """The files that RocksDB makes first, as kills within the first 30 ms have left them."""
    whole = tmp_path / "whole"
    await (await _open(whole)).close()
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("IDENTITY", "LOCK", "LOG", "rocksdict-config.json"):
        shutil.copyfile(whole / name, begun / name)
    (begun / "MANIFEST-000001").write_bytes(b"")
    (begun / "000001.dbtmp").write_text("MANIFEST-000001\n")
    with pytest.raises(StorageError, match="Nothing has been recorded"):
        await History.open_secondary(begun)
    opened = await _open(begun)
    await opened.append([record(START)])
    await opened.close()


async def test_a_missing_current_file_loses_nothing(tmp_path: Path) -> None:
    """RocksDB would start anew and delete every table file."""
    await _filled(tmp_path)
    before = _tables(tmp_path)
    assert before
    (tmp_path / "CURRENT").unlink()
    for attempt in (_open, _open, History.open_secondary):
        with pytest.raises(StorageCorrupt):
            await attempt(tmp_path)
    assert _tables(tmp_path) == before


async def test_a_damaged_block_is_an_error_and_not_an_early_end(tmp_path: Path) -> None:
    await _filled(tmp_path, 600)
    _damage(tmp_path)
    opened = await _open(tmp_path)
    try:
        with pytest.raises(StorageCorrupt):
            await opened.rows("BTCUSDT", 0, FOREVER)
    finally:
        await opened.close()


async def test_the_lock_is_free_after_a_failed_read_that_is_still_remembered(tmp_path: Path) -> None:
    """An iterator that lives on in a traceback would keep the directory locked."""
    await _filled(tmp_path, 600)
    _damage(tmp_path)
    opened = await _open(tmp_path)
    errors = []
    for _ in range(3):
        try:
            await opened.rows("BTCUSDT", 0, FOREVER)
        except StorageError as error:
            errors.append(error)
    assert errors
    await opened.reopen()
    await opened.close()
    await (await _open(tmp_path)).close()


@pytest.mark.parametrize("kind", ["missing", "empty", "unrelated"])
async def test_reading_where_nothing_was_recorded_says_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data"
    if kind != "missing":
        path.mkdir()
    if kind == "unrelated":
        (path / "notes.txt").write_text("hello")
    with pytest.raises(StorageError, match="Nothing has been recorded"):
        await History.open_secondary(path)
    assert path.exists() == (kind != "missing")


async def test_a_path_that_is_a_file_is_an_error_without_the_path(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("hello")
    for attempt in (_open, History.open_secondary):
        with pytest.raises(StorageError) as refusal:
            await attempt(path)
        assert str(tmp_path) not in str(refusal.value)


async def test_a_damaged_log_costs_its_end_and_not_the_database(tmp_path: Path) -> None:
    """Families that reached the disk at different times would contradict a log that was cut: they go together."""
    opened = await History.open(tmp_path / "live", cap_mb=8, retention_days=7)
    for second in range(START, START + 3000):
        await opened.append([record(second, top=second % 50 == 0)], [batch(second - START)])
    shutil.copytree(tmp_path / "live", tmp_path / "copy")
    await opened.close()
    assert _tables(tmp_path / "copy")
    for log in (tmp_path / "copy").glob("*.log"):
        log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    damaged = await _open(tmp_path / "copy")
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
    opened = await _open(tmp_path)
    await opened.append([record(START)], [batch(1)])
    assert opened._database is not None

    class Full:
        """RocksDB on a full disk, in its own words."""

        def write(self, batch: WriteBatch) -> None:
            raise Exception(f"IO error: No space left on device: While appending to file: {tmp_path}/000004.log")  # noqa: TRY002 - rocksdict raises nothing finer

    with monkeypatch.context() as full:
        full.setattr(opened._database, "_rdict", Full())
        with pytest.raises(DiskFull) as failure:
            await opened.append([record(START + 1)], [batch(2)])
    assert str(tmp_path) not in str(failure.value)
    if reopen:
        await opened.reopen()
    result = await opened.append([record(START), record(START + 1)], [batch(1, 2)])
    assert (result.rows, result.skipped_seconds) == ({"BTCUSDT": 1}, {"BTCUSDT": 1})
    assert (result.trades, result.skipped_trades) == ({"BTCUSDT": 1}, {"BTCUSDT": 1})
    assert await opened.ids("BTCUSDT") == [(1, 2)]
    await opened.close()


WRITER = """
import asyncio, sys
from tests.store.values import START, batch, record
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
    opened = await _open(tmp_path)
    seconds = [r.second - START for r in await opened.rows("BTCUSDT", 0, FOREVER)]
    ids = await opened.ids("BTCUSDT")
    trades = [t.agg_id for t in await opened.trades("BTCUSDT", 0, FOREVER * 1000)]
    assert await opened.verify_ids("BTCUSDT") == []
    await opened.close()
    assert acknowledged >= 1500
    assert len(seconds) > acknowledged
    assert seconds == list(range(len(seconds)))
    assert ids == [(0, len(seconds) - 1)]
    assert trades == seconds


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("IO error: While lock file: /p/LOCK: Resource temporarily unavailable", StorageLocked),
        ("IO error: lock hold by current process, acquire time 1 /p/LOCK: No locks available", StorageLocked),
        ("IO error: No space left on device: While appending to file: /p/000004.log: No space left", DiskFull),
        ("Corruption: block checksum mismatch: stored = 1, computed = 2 in /p/000022.sst", Damaged),
        ("Invalid argument: /p/CURRENT: does not exist (create_if_missing is false)", Damaged),
        ("IO error: While renaming a file to /p/LOG.old: Permission denied", StorageError),
        ("Not implemented: Not supported operation in secondary mode.", StorageError),
        ("Something new about /p/", StorageError),
    ],
)
def test_an_error_text_says_its_kind_and_hides_paths(text: str, kind: type[StorageError]) -> None:
    error = storage_error(Exception(text), "writing history")
    assert type(error) is kind
    assert "/p/" not in str(error)
