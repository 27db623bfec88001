"""What is found in a directory before it is history."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from tests.store.places import filled, opened, tables
from tests.store.values import START, record
from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.process.foreign import foreign_entries
from vibe_orderbook_mcp.store.disk.directory import SCHEMA_KEY
from vibe_orderbook_mcp.store.disk.failures import ForeignDatabase, SchemaNewer
from vibe_orderbook_mcp.store.disk.layout import META
from vibe_orderbook_mcp.store.history import History

pytestmark = pytest.mark.anyio


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    await filled(tmp_path)
    history = await opened(tmp_path)
    assert history._database is not None
    history._database.write([(META, SCHEMA_KEY, b"\x02")])
    await history.close()
    for attempt in (opened, History.open_secondary):
        with pytest.raises(SchemaNewer) as refusal:
            await attempt(tmp_path)
        assert refusal.value.found == 2


@pytest.mark.parametrize("raw", [True, False])
async def test_another_programs_database_is_refused_and_still_opens_there(tmp_path: Path, raw: bool) -> None:
    path = tmp_path / "theirs"
    theirs = Rdict(str(path), Options(raw_mode=raw))
    theirs[b"key"] = b"value"
    theirs.close()
    for attempt in (opened, History.open_secondary):
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
    history = await opened(tmp_path)
    await history.append([record(START)])
    assert await history.rows("BTCUSDT", START, START + 1) == [record(START).row]
    await history.close()


async def test_a_creation_that_was_killed_before_it_held_anything_is_begun_again(tmp_path: Path) -> None:
    """The files that RocksDB makes first, as kills within the first 30 ms have left them."""
    whole = tmp_path / "whole"
    await (await opened(whole)).close()
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in ("IDENTITY", "LOCK", "LOG", "rocksdict-config.json"):
        shutil.copyfile(whole / name, begun / name)
    (begun / "MANIFEST-000001").write_bytes(b"")
    (begun / "000001.dbtmp").write_text("MANIFEST-000001\n")
    with pytest.raises(StorageError, match="Nothing has been recorded"):
        await History.open_secondary(begun)
    history = await opened(begun)
    await history.append([record(START)])
    await history.close()


async def test_a_missing_current_file_loses_nothing(tmp_path: Path) -> None:
    """RocksDB would start from nothing and delete every table file."""
    await filled(tmp_path)
    before = tables(tmp_path)
    assert before
    (tmp_path / "CURRENT").unlink()
    for attempt in (opened, opened, History.open_secondary):
        with pytest.raises(StorageCorrupt):
            await attempt(tmp_path)
    assert tables(tmp_path) == before


@pytest.mark.parametrize("name", ["notes.txt", "20261201.log", "000012.log", "CURRENT.txt", "LOG.1", ".bashrc"])
async def test_a_database_is_not_begun_among_somebody_elses_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("theirs")
    with pytest.raises(StorageError):
        await opened(tmp_path)
    assert foreign_entries(tmp_path) == [name]  # and nothing that would make it ours


async def test_what_a_system_puts_into_a_directory_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".DS_Store").write_text("")
    await (await opened(tmp_path)).close()
    (tmp_path / "notes.txt").write_text("what somebody keeps beside history is theirs to decide")
    await (await opened(tmp_path)).close()


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
    for attempt in (opened, History.open_secondary):
        with pytest.raises(StorageError) as refusal:
            await attempt(path)
        assert str(tmp_path) not in str(refusal.value)
