"""Damaged databases, made for real: what is kept as it was, what is brought back, and what is left alone."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rocksdict import Options, Rdict

from tests.store.values import START, batch, record
from vibe_orderbook_mcp.model.errors import Damaged, PlaceGone, StorageError, StorageLocked, WritingPaused
from vibe_orderbook_mcp.store import rescue as rescue_module
from vibe_orderbook_mcp.store.disk import place
from vibe_orderbook_mcp.store.disk.layout import Layout
from vibe_orderbook_mcp.store.disk.lock import holding
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.rescue import Rescue, rescue, set_aside

pytestmark = pytest.mark.anyio

SECONDS = 200  # three whole minutes, sealed, and what came since, which is in the log only
DAYS = 3650  # START is long ago
FOREVER = 10**10


async def opened(path: Path) -> History:
    return await History.open(path, cap_mb=64, retention_days=DAYS)


async def rescued(path: Path) -> Rescue:
    return await History.rescue(path, cap_mb=64, retention_days=DAYS)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed database with tables, sealed trades, roll-ups and a log; beside it a file of somebody else."""
    path = tmp_path_factory.mktemp("whole") / "db"
    history = await opened(path)
    for second in range(START, START + SECONDS):
        await history.append([record(second)], [batch(*range((second - START) * 10, (second - START) * 10 + 10))])
        if second == START + 184:
            await history.seal("BTCUSDT", (START + 180) * 1000)
            assert history._database is not None
            history._database.flush()
    await history.close()
    (path / "notes.txt").write_text("not ours")
    return path


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "db"))


def without_current(path: Path) -> None:
    (path / "CURRENT").unlink()


def garbage_in_current(path: Path) -> None:
    (path / "CURRENT").write_bytes(os.urandom(30))


def without_manifest(path: Path) -> None:
    next(path.glob("MANIFEST-*")).unlink()


def garbage_in_manifest(path: Path) -> None:
    file = next(path.glob("MANIFEST-*"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20] = bytes(20)
    file.write_bytes(data)


def largest_table(path: Path) -> Path:
    return max(path.glob("*.sst"), key=lambda file: file.stat().st_size)


def cut_table(path: Path) -> None:
    file = largest_table(path)
    file.write_bytes(file.read_bytes()[:-500])


def without_table(path: Path) -> None:
    largest_table(path).unlink()


def without_trades(path: Path) -> None:
    """Every table that holds minutes of trades: the ids then say more than is there."""
    for file in path.glob("*.sst"):
        rdict = file.read_bytes()
        if b"trade_min" in rdict:
            file.write_bytes(rdict[:-200])


Damage = Callable[[Path], None]
HARMLESS: list[Damage] = [without_current, garbage_in_current, without_manifest, garbage_in_manifest]
COSTLY: list[Damage] = [cut_table, without_table, without_trades]


def contents(path: Path) -> dict[str, str]:
    """Name and digest of every file but the lock and RocksDB's diary, which opening writes."""
    kept = [file for file in path.iterdir() if file.is_file() and not file.name.startswith("LO")]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in kept}


@pytest.mark.parametrize("damage", [*HARMLESS, *COSTLY])
async def test_damaged_data_is_kept_as_it_was_and_what_can_be_read_of_it_is_used(damaged: Path, damage: Damage) -> None:
    damage(damaged)
    with pytest.raises(Damaged):
        await opened(damaged)
    before = contents(damaged)
    done = await rescued(damaged)
    assert done.why_not is None
    assert set_aside(damaged) == [done.aside]
    assert {**contents(damaged / done.aside), "notes.txt": before["notes.txt"]} == before
    assert (damaged / "notes.txt").read_text() == "not ours"
    history = await opened(damaged)
    seconds = [row.second for row in await history.rows("BTCUSDT", 0, FOREVER)]
    trades = await history.trades("BTCUSDT", 0, FOREVER * 1000)
    ids = await history.ids("BTCUSDT")
    profile = await history.histogram("BTCUSDT", START * 1000, (START + SECONDS) * 1000)
    if damage in HARMLESS:
        assert done.lost_tables == 0
        assert seconds == list(range(START, START + SECONDS))
        assert ids == [(0, SECONDS * 10 - 1)]
    elif damage is without_trades:
        assert done.lost_tables >= 1
        assert seconds == list(range(START, START + SECONDS))
        assert ids == [(0, SECONDS * 10 - 1)]  # from their seconds, which are kept for a day
    assert [trade.agg_id for trade in trades] == [n for first, last in ids for n in range(first, last + 1)]
    assert profile.trades == len(trades)
    await history.append([record(START + SECONDS)], [batch(SECONDS * 10)])  # recording goes on
    await history.close()


def without_any_trades(path: Path) -> None:
    without_trades(path)
    for file in path.glob("*.sst"):
        if b"trade_sec" in (data := file.read_bytes()):
            file.write_bytes(data[:-200])


async def test_what_is_in_no_table_yet_survives_a_lost_current_and_is_missed_aloud_without_a_manifest(
    tmp_path: Path,
) -> None:
    """The first hours of a directory are in the log only, and a killed process leaves them there."""
    alive = await opened(tmp_path / "alive")
    await alive.append([record(START)], [batch(1)])
    for damage in (without_current, without_manifest):
        path = Path(shutil.copytree(tmp_path / "alive", tmp_path / damage.__name__))
        damage(path)
        done = await rescued(path)
        assert (done.why_not, done.lost_log) == (None, damage is without_manifest)
        history = await opened(path)
        assert len(await history.rows("BTCUSDT", 0, FOREVER)) == (damage is without_current)
        await history.close()
    await alive.close()


async def test_trades_that_were_lost_and_come_again_are_counted_once(damaged: Path) -> None:
    without_any_trades(damaged)
    assert (await rescued(damaged)).lost_log
    history = await opened(damaged)
    assert await history.ids("BTCUSDT") == []  # lost ones do not count as stored
    await history.add_trades(batch(*range(SECONDS * 10)))
    profile = await history.histogram("BTCUSDT", START * 1000, (START + SECONDS) * 1000)
    sums = await history.trade_sums("BTCUSDT", START * 1000, (START + SECONDS) * 1000)
    assert (profile.trades, sums.trades) == (SECONDS * 10, SECONDS * 10)
    assert await history.ids("BTCUSDT") == [(0, SECONDS * 10 - 1)]
    await history.close()


class Killed(BaseException):
    """Stands for a kill: nothing cleans up behind it."""


async def test_a_kill_at_any_moment_of_a_rescue_loses_nothing(damaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before each change of a name in turn: what is opened next is whole, and the damaged files are kept."""
    damage_free = contents(damaged)
    without_current(damaged)
    tables = {name: digest for name, digest in damage_free.items() if name.endswith((".sst", ".log"))}
    rename = Path.rename
    moment = 0
    while True:
        path = Path(shutil.copytree(damaged, damaged.with_name(f"at-{moment}")))
        steps = 0

        def counted(self: Path, target: Path, moment: int = moment) -> Path:
            nonlocal steps
            if steps == moment:
                raise Killed
            steps += 1
            return rename(self, target)

        killed = False
        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", counted)
            patched.setattr(shutil, "rmtree", lambda *a, **k: None)
            try:
                rescue(path, Layout(cap_mb=64, retention_days=DAYS), datetime(2026, 11, 23, tzinfo=UTC))
            except Killed:
                killed = True
        try:
            history = await opened(path)
        except Damaged:
            await rescued(path)
            history = await opened(path)
        seconds = [row.second for row in await history.rows("BTCUSDT", 0, FOREVER)]
        await history.close()
        assert seconds == list(range(START, START + SECONDS)), f"killed at {moment}"
        kept = [digest for name in set_aside(path) for digest in contents(path / name).values()]
        assert set(tables.values()) <= set(kept), f"killed at {moment}"
        shutil.rmtree(path)
        if not killed:
            break
        moment += 3
    assert moment > 10


async def test_without_room_for_a_copy_recording_begins_anew_and_nothing_is_lost(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(damaged)
    without_current(damaged)
    monkeypatch.setattr(rescue_module, "free_bytes", lambda _: 0)
    done = await rescued(damaged)
    assert done.why_not == "There is not enough space for a copy."
    history = await opened(damaged)
    assert await history.symbols() == []
    await history.append([record(START)])
    await history.close()
    kept = contents(damaged / done.aside)
    assert {name: digest for name, digest in before.items() if name not in ("CURRENT", "notes.txt")} == kept
    monkeypatch.undo()  # the advice to the operator: a copy of it on a disk with room
    copy = Path(shutil.copytree(damaged / done.aside, tmp_path / "copy"))
    with pytest.raises(Damaged):
        await opened(copy)
    assert (await rescued(copy)).why_not is None
    history = await opened(copy)
    assert len(await history.rows("BTCUSDT", 0, FOREVER)) == SECONDS
    await history.close()


async def test_tables_are_copied_where_the_file_system_has_no_hard_links(
    damaged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_current(damaged)

    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    assert (await rescued(damaged)).why_not is None
    history = await opened(damaged)
    assert len(await history.rows("BTCUSDT", 0, FOREVER)) == SECONDS
    await history.close()


async def test_what_is_not_ours_or_in_use_is_left_alone(damaged: Path, tmp_path: Path) -> None:
    without_current(damaged)
    before = contents(damaged)
    with HeldElsewhere(damaged), pytest.raises(StorageLocked):
        await rescued(damaged)
    assert contents(damaged) == before
    theirs = tmp_path / "theirs"
    Rdict(str(theirs), Options(raw_mode=False)).close()
    (theirs / "CURRENT").unlink()
    before = contents(theirs)
    with pytest.raises(StorageError, match="not touched"):
        await rescued(theirs)
    assert contents(theirs) == before


class HeldElsewhere:
    """Another process that holds the lock: within one process the system's lock does not keep anybody out."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        told, tell = os.pipe()
        self._stop, self._child = os.pipe(), os.fork()
        if self._child == 0:
            with holding(self._path):
                os.write(tell, b"x")
                os.read(self._stop[0], 1)
            os._exit(0)
        os.read(told, 1)

    def __exit__(self, *_: object) -> None:
        os.write(self._stop[1], b"x")
        os.waitpid(self._child, 0)


# --- the directory before each write ---------------------------------------------------------------------------------


async def test_nothing_is_written_below_the_reserve_and_writing_goes_on_well_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = await opened(tmp_path / "db")
    reserve = history.layout.reserve_bytes
    free = reserve
    monkeypatch.setattr(place, "free_bytes", lambda _: free)
    await history.append([record(START)])
    free = reserve - 1
    with pytest.raises(WritingPaused, match="nearly full"):
        await history.append([record(START + 1)])
    free = int(reserve * 1.2)
    with pytest.raises(WritingPaused):
        await history.check_place()
    free = int(reserve * 1.3)
    await history.check_place()
    assert (await history.append([record(START + 1)])).rows == {"BTCUSDT": 1}
    assert [row.second for row in await history.rows("BTCUSDT", 0, FOREVER)] == [START, START + 1]
    await history.close()


@pytest.mark.parametrize("how", ["removed", "moved away", "replaced"])
async def test_a_directory_that_is_gone_is_noticed_by_the_next_write(tmp_path: Path, how: str) -> None:
    """RocksDB would go on writing into files without a name."""
    history = await opened(tmp_path / "db")
    await history.append([record(START)])
    if how == "removed":
        shutil.rmtree(tmp_path / "db")
    else:
        (tmp_path / "db").rename(tmp_path / "old")
    if how == "replaced":
        (tmp_path / "db").mkdir()
        (tmp_path / "db" / "LOCK").touch()
    with pytest.raises(PlaceGone):
        await history.append([record(START + 1)])
    await history.reopen()
    assert (await history.append([record(START + 1)])).rows == {"BTCUSDT": 1}
    await history.close()
