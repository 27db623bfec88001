"""The disk misbehaves under the whole program: real sockets, a real RocksDB, real full disks and permissions."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client

from tests.e2e.faults.rig import Watch, exchange, watching
from tests.e2e.processes import Process, environment, free_port, ready, started
from tests.e2e.rig import until
from tests.outcomes import Outcome
from tests.patience import PATIENCE_SECS
from tests.store.values import batch, record
from vibe_orderbook_mcp.answers.health import health_answer
from vibe_orderbook_mcp.answers.service import SourceAnswers
from vibe_orderbook_mcp.collect.condition import condition, readiness
from vibe_orderbook_mcp.collect.local_source import LocalSource
from vibe_orderbook_mcp.model.errors import DiskFull, Refusal, StorageError
from vibe_orderbook_mcp.store.disk import place
from vibe_orderbook_mcp.store.disk.layout import Layout
from vibe_orderbook_mcp.store.history import History

CAP_MB = 64  # small buffers, so that a small disk holds what has to stay free
RESERVE = Layout(cap_mb=CAP_MB, retention_days=7).reserve_bytes
FOREVER = 10**10
SYMBOL = "BTCUSDT"
WHOLE = "live tools go on; nothing stored is lost"


def fault(name: str, promise: str) -> pytest.MarkDecorator:
    return pytest.mark.fault(part="disk", fault=name, promise=promise)


# --- what the tests share ---------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """48 MB of their own."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(path)]
    mounted = subprocess.run(mount, check=False, capture_output=True)  # noqa: S603  # our own directory
    if mounted.returncode:
        pytest.skip("mounting is not allowed here; tests/collect/test_recorder.py fills a disk by RLIMIT_FSIZE")
    yield path
    subprocess.run(["/bin/umount", "-l", path], check=True)  # noqa: S603  # the same


def fill(disk: Path, left_bytes: int) -> Path:
    """A file of another program that leaves this much free."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while (free := shutil.disk_usage(disk).free) > left_bytes:
            file.write(bytes(min(1 << 16, free - left_bytes)))
            file.flush()
    return ballast


async def stored(path: Path, symbol: str = SYMBOL) -> tuple[list[int], list[tuple[int, int]]]:
    """(seconds with a row, intervals of trade ids) that are on disk."""
    history = await History.open_secondary(path)
    try:
        return [row.second for row in await history.rows(symbol, 0, FOREVER)], await history.ids(symbol)
    finally:
        await history.close()


def consecutive(seconds: list[int]) -> bool:
    return seconds == list(range(seconds[0], seconds[0] + len(seconds)))


async def recording(watch: Watch) -> float:
    """The moment at which history is written again and nothing waits."""
    recorder, archive = watch.runtime.recorder, watch.runtime.archive
    before = recorder.snapshots_stored[SYMBOL]
    await until(
        lambda: (
            archive.mode == "recording"
            and archive.error is None
            and recorder.queue_ticks == 0
            and recorder.snapshots_stored[SYMBOL] > before
            and readiness(watch.runtime)[0]
        )
    )
    return time.monotonic()


def tell(watch: Watch, row: Outcome, *, since: float, secs: float, history: str) -> None:
    """Books were live all the time; `history` is what was said of the past meanwhile."""
    refused = [each for each in watch.told if each.at >= since and each.what != "live"]
    assert refused == []
    watch.deep_check()
    row.recovered(max(0.0, secs), saw=f"live throughout; {history}")
    row.books(checked=watch.market.checked, wrong=len(watch.market.wrong))


async def flow(watch: Watch) -> str:
    """`ok`, or the code of the refusal."""
    try:
        await SourceAnswers(LocalSource(watch.runtime)).get_order_flow(SYMBOL, 10)
    except Refusal as refusal:
        return refusal.code
    return "ok"


@contextlib.asynccontextmanager
async def running(path: Path, **settings: Any) -> AsyncIterator[Watch]:
    async with exchange() as sim, watching(sim, path, storage_cap_mb=CAP_MB, **settings) as watch:
        await watch.all_live()
        yield watch


# --- full ---------------------------------------------------------------------------------------------------------


@fault("the disk fills up", "writing stops before it is full and resumes by itself; seconds wait; nothing is lost")
def test_writing_stops_before_the_disk_is_full_and_goes_on_when_there_is_room(
    small_disk: Path, tmp_path: Path, outcome: Outcome
) -> None:
    """The real program: what it says on every channel while the disk is nearly full."""

    async def run() -> None:
        path, port = small_disk / "db", free_port()
        url = f"http://127.0.0.1:{port}"
        async with exchange() as sim:
            env = environment(
                rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=path, symbols=SYMBOL, storage_cap_mb=CAP_MB
            )
            async with started("serve", "--transport", "http", "--port", str(port), cwd=tmp_path, env=env) as server:
                await ready(url)
                await until(lambda: server.count("Stored snapshot") >= 2)
                ballast = fill(small_disk, RESERVE - 2_000_000)
                async with httpx.AsyncClient(base_url=url) as http, Client(f"{url}/mcp") as client:
                    await until(lambda: server.count("Writing history is paused") == 1)
                    async with asyncio.timeout(PATIENCE_SECS):
                        while (health := await ask(client, "orderbook_health"))["waiting_secs"] < 2:
                            await asyncio.sleep(0.1)
                    ready_body = await http.get("/readyz")
                    assert ready_body.status_code == 503
                    assert ready_body.json()["recorder"].startswith("paused: The disk is nearly full: ")
                    assert 0 < metric(await http.get("/metrics"), "vibe_disk_free_bytes") < RESERVE
                    assert (health["storage"], health["seconds_dropped"]) == ("paused", 0)
                    assert "nearly full" in health["storage_error"]
                    assert (await ask(client, "orderbook_l1", symbol=SYMBOL))["status"] == "live"
                    read = await client.call_tool("detect_market_anomalies", {"symbol": SYMBOL, "since_hours": 1})
                    assert "storage_error" not in read.content[0].text  # type: ignore[union-attr]  # text it is
                    assert shutil.disk_usage(small_disk).free > RESERVE - 3_000_000  # it took next to nothing itself
                ballast.unlink()
                over = time.monotonic()
                await ready(url)
                secs = time.monotonic() - over
                assert (server.count("Writing history is paused"), server.count("Writing history continues")) == (1, 1)
                assert server.count("Failed to persist") == 0
                server.process.send_signal(signal.SIGTERM)
                await server.ended()
                assert server.count("Traceback") == 0
        rows, ids = await stored(path)
        assert consecutive(rows)
        assert len(ids) == 1
        outcome.recovered(secs, saw="live when asked; history readable, health says paused")

    asyncio.run(run())


def metric(response: httpx.Response, name: str) -> float:
    (line,) = (line for line in response.text.splitlines() if line.startswith(f"{name} "))
    return float(line.split(" ")[1])


async def ask(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    body: dict[str, Any] = json.loads(result.content[0].text)  # type: ignore[union-attr]  # text it is
    return body


@fault("a write meets the end of the disk", "closed and opened again until there is room; nothing stored is lost")
def test_a_database_that_is_stuck_on_a_full_disk_comes_back(
    small_disk: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where free space is not what the system says (a quota), RocksDB itself runs into the end and stays stuck."""
    monkeypatch.setattr(place, "free_bytes", lambda _: 10**12)

    async def run() -> None:
        path = small_disk / "db"
        async with running(path) as watch:
            await recording(watch)
            archive = watch.runtime.archive
            began = time.monotonic()
            ballast = fill(small_disk, 0)
            acknowledged = await write_until_full(archive.writable())
            await until(lambda: archive.mode == "unavailable")  # opening on a full disk fails too
            assert await flow(watch) == "storage_error"
            assert watch.runtime.recorder.queue_ticks >= 1
            ballast.unlink()
            over = time.monotonic()
            secs = await recording(watch) - over
            assert watch.logged.count("History cannot be opened") <= 3  # said, not repeated
            tell(watch, outcome, since=began, secs=secs, history="storage_error")
            symbols = watch.runtime.settings.symbols
        for symbol in symbols:
            rows, ids = await stored(path, symbol)
            assert consecutive(rows)
            assert len(ids) == 1
        rows, _ = await stored(path, "FULLUSDT")
        assert rows[: len(acknowledged)] == acknowledged

    asyncio.run(run())


async def write_until_full(history: History) -> list[int]:
    """Seconds of a symbol that nobody streams, as fast as they go."""
    spec = record(0).spec
    other = type(spec)("FULLUSDT", "FULL", "USDT", spec.tick_size, spec.step_size)
    written: list[int] = []
    for second in range(1_700_000_000, 1_700_100_000):
        try:
            await history.append([record(second, other)])
        except DiskFull:
            return written
        written.append(second)
    raise AssertionError("the disk took everything")


class Quota:
    """What a process may write below a directory. See quota.c."""

    def __init__(self, library: Path, below: Path, marker: Path) -> None:
        self.environment = {"LD_PRELOAD": str(library), "QUOTA_BELOW": f"{below}/", "QUOTA_USED_UP": str(marker)}
        self.use_up, self.raise_ = marker.touch, marker.unlink


@pytest.fixture
def quota(tmp_path: Path) -> Quota:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    library = tmp_path / "quota.so"
    source = Path(__file__).with_name("quota.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)  # noqa: S603  # our own file
    return Quota(library, tmp_path / "db", tmp_path / "used up")


@fault("the disk quota is used up", "closed and opened again until there is room; nothing stored is lost")
def test_a_quota_that_is_used_up_is_waited_for(tmp_path: Path, quota: Quota, outcome: Outcome) -> None:
    """The file system says that there is room, and every write is refused."""

    async def run() -> None:
        async with served(tmp_path / "db", tmp_path, **quota.environment) as (url, server):
            await ready(url)
            quota.use_up()
            await until(lambda: server.count("Writing history is paused") == 1)
            await until(lambda: server.count("History cannot be opened: The disk quota is used up") == 1)
            async with Client(f"{url}/mcp") as client:
                health = await ask(client, "orderbook_health")
                assert health["storage"] == "unavailable"
                assert "quota" in health["storage_error"]
                assert (await ask(client, "orderbook_l1", symbol=SYMBOL))["status"] == "live"
            quota.raise_()
            over = time.monotonic()
            await ready(url)
            outcome.recovered(time.monotonic() - over, saw="live when asked; storage_error")
            assert server.count("History cannot be opened") == 1  # said, not repeated
            server.process.send_signal(signal.SIGTERM)
            await server.ended()
        rows, ids = await stored(tmp_path / "db")
        assert consecutive(rows)
        assert len(ids) == 1

    asyncio.run(run())


# --- not permitted, gone -------------------------------------------------------------------------------------------

# Root may write whatever the permissions say. Without these two capabilities it is a user like others.
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, PR_CAPBSET_DROP = 1, 2, 24


def heed_permissions() -> None:
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@contextlib.asynccontextmanager
async def served(path: Path, cwd: Path, **variables: str) -> AsyncIterator[tuple[str, Process]]:
    port = free_port()
    async with exchange() as sim:
        env = environment(rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=path, symbols=SYMBOL, backfill_hours=0)
        env |= variables
        serve = ("serve", "--transport", "http", "--port", str(port))
        async with started(*serve, cwd=cwd, env=env, preexec_fn=heed_permissions) as server:
            yield f"http://127.0.0.1:{port}", server
            assert server.count("Traceback") == 0, "\n".join(server.lines)


def permit(path: Path, mode: int) -> None:
    path.chmod(mode)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "db"
    path.mkdir()
    yield path
    path.chmod(0o700)


@fault("permission lost under the running program", "paused until it is back; history stays readable")
def test_without_permission_writing_is_paused_until_it_is_back(
    directory: Path, tmp_path: Path, outcome: Outcome
) -> None:
    async def run() -> None:
        async with served(directory, tmp_path) as (url, server):
            await ready(url)
            permit(directory, 0o500)
            await until(lambda: server.count("Writing history is paused") == 1)
            async with Client(f"{url}/mcp") as client:
                health = await ask(client, "orderbook_health")
                assert health["storage"] == "paused"
                assert "is not writable" in health["storage_error"]
                assert (await ask(client, "orderbook_l1", symbol=SYMBOL))["status"] == "live"
            permit(directory, 0o700)
            over = time.monotonic()
            await ready(url)
            outcome.recovered(time.monotonic() - over, saw="live when asked; history readable, health says paused")
            server.process.send_signal(signal.SIGTERM)
            await server.ended()
        rows, ids = await stored(directory)
        assert consecutive(rows)
        assert len(ids) == 1

    asyncio.run(run())


@fault("a directory that may not be written at the start", "tried again until it may; seconds wait")
def test_a_directory_without_permission_is_opened_once_it_has_it(
    directory: Path, tmp_path: Path, outcome: Outcome
) -> None:
    async def run() -> None:
        permit(directory, 0o500)
        async with served(directory, tmp_path) as (url, server):
            await until(lambda: server.count("History cannot be opened: The data directory does not") == 1)
            async with httpx.AsyncClient(base_url=url) as http, Client(f"{url}/mcp") as client:
                assert (await http.get("/readyz")).status_code == 503
                assert (await ask(client, "orderbook_l1", symbol=SYMBOL))["status"] == "live"
                refusal = await client.call_tool("get_volume_profile", {"symbol": SYMBOL})
                assert json.loads(refusal.content[0].text)["code"] == "storage_error"  # type: ignore[union-attr]
                assert (await ask(client, "orderbook_health"))["storage"] == "unavailable"
            permit(directory, 0o700)
            over = time.monotonic()
            await ready(url)
            outcome.recovered(time.monotonic() - over, saw="live when asked; storage_error")
            server.process.send_signal(signal.SIGTERM)
            await server.ended()
        assert consecutive((await stored(directory))[0])

    asyncio.run(run())


@fault("the file system is read-only at the start", "tried again until it is not; seconds wait")
def test_a_read_only_file_system_is_written_once_it_is_not(small_disk: Path, outcome: Outcome) -> None:
    async def run() -> None:
        path = small_disk / "db"
        await recorded(path, 100)
        remount(small_disk, "ro")
        began = time.monotonic()
        async with running(path) as watch:
            await until(lambda: watch.runtime.archive.mode == "unavailable" and watch.runtime.recorder.queue_ticks >= 2)
            assert (
                watch.runtime.archive.error
                == "The data directory does not permit it: opening the data directory failed."
            )
            assert await flow(watch) == "storage_error"
            remount(small_disk, "rw")
            over = time.monotonic()
            secs = await recording(watch) - over
            tell(watch, outcome, since=began, secs=secs, history="storage_error")
        rows, _ = await stored(path)
        assert consecutive(rows[100:])

    asyncio.run(run())


def remount(disk: Path, how: str) -> None:
    subprocess.run(["/bin/mount", "-o", f"remount,{how}", str(disk)], check=True)  # noqa: S603  # the same


@fault("the directory is removed under the running program", "noticed within a second; recorded into a new one")
def test_a_removed_directory_is_noticed_and_made_anew(tmp_path: Path, outcome: Outcome) -> None:
    async def run() -> None:
        path = tmp_path / "db"
        async with running(path) as watch:
            await recording(watch)
            shutil.rmtree(path)
            over = time.monotonic()
            secs = await recording(watch) - over
            answer = health_answer(condition(watch.runtime))
            assert any("was removed while it was in use" in warning for warning in answer.warnings)
            assert watch.logged.count("was removed while it was in use") >= 1
            tell(watch, outcome, since=over, secs=secs, history="history starts empty, health says why")
        rows, _ = await stored(path)
        assert consecutive(rows)

    asyncio.run(run())


# --- damaged ---------------------------------------------------------------------------------------------------------


async def recorded(path: Path, seconds: int) -> int:
    """A directory with this number of seconds of the last hour; returns the first of them."""
    history = await History.open(path, cap_mb=CAP_MB, retention_days=7)
    first = int(time.time()) - seconds - 60
    for second in range(first, first + seconds):
        await history.append([record(second)], [])
    await history.add_trades(batch(*range(50)))
    await history.close()
    return first


def no_current(path: Path) -> None:
    (path / "CURRENT").unlink()


def no_manifest(path: Path) -> None:
    next(path.glob("MANIFEST-*")).unlink()


def garbage_for_current(path: Path) -> None:
    (path / "CURRENT").write_bytes(os.urandom(16))


def cut_table(path: Path) -> None:
    table = max(path.glob("*.sst"), key=lambda file: file.stat().st_size)
    table.write_bytes(table.read_bytes()[:-1000])


DAMAGES: list[tuple[str, Callable[[Path], None], bool]] = [
    ("CURRENT is missing", no_current, True),
    ("CURRENT is garbage", garbage_for_current, True),
    ("the MANIFEST is missing", no_manifest, True),
    ("a table is cut short", cut_table, False),
]


@pytest.mark.parametrize(
    ("damage", "keeps_all"),
    [
        pytest.param(
            damage,
            keeps_all,
            id=name,
            marks=fault(name, "set aside as it is; a repaired copy is used and recorded into"),
        )
        for name, damage, keeps_all in DAMAGES
    ],
)
def test_damaged_history_is_set_aside_and_recording_goes_on_in_a_repaired_copy(
    damage: Callable[[Path], None], keeps_all: bool, tmp_path: Path, outcome: Outcome
) -> None:
    async def run() -> None:
        path = tmp_path / "db"
        first = await recorded(path, 300)
        damage(path)
        tables = {file.name: file.read_bytes() for file in path.glob("*.sst")}
        began = time.monotonic()
        async with running(path) as watch:
            secs = await recording(watch) - began
            answer = health_answer(condition(watch.runtime))
            assert len(answer.set_aside) == 1
            assert any(answer.set_aside[0] in warning for warning in answer.warnings)
            assert watch.logged.count(answer.set_aside[0]) == 1
            assert watch.metric("vibe_history_set_aside") == 1
            aside = path / answer.set_aside[0]
            assert {file.name: file.read_bytes() for file in aside.glob("*.sst")} == tables
            tell(
                watch, outcome, since=began + secs, secs=secs, history="history answers, health says what was set aside"
            )
        async with started("status", cwd=tmp_path, env=environment(data_path=path)) as status:
            assert status.process.stdout is not None
            assert f"set aside in {aside}" in " ".join((await status.process.stdout.read()).decode().split())
            assert await status.ended() == 0
        rows, _ = await stored(path)
        assert rows[-1] > first + 300  # what came since
        if keeps_all:
            assert rows[:300] == list(range(first, first + 300))

    asyncio.run(run())


@fault("the log is cut short", "opened without its end; trades are fetched again by id")
def test_a_cut_log_costs_its_end(tmp_path: Path, outcome: Outcome) -> None:
    async def run() -> None:
        path = tmp_path / "db"
        history = await History.open(tmp_path / "alive", cap_mb=CAP_MB, retention_days=7)
        first = int(time.time()) - 400
        for second in range(first, first + 300):
            await history.append([record(second)], [])
        shutil.copytree(tmp_path / "alive", path)  # as a killed process leaves it
        await history.close()
        log = max(path.glob("*.log"))
        log.write_bytes(log.read_bytes()[: log.stat().st_size * 2 // 3])
        began = time.monotonic()
        async with running(path) as watch:
            secs = await recording(watch) - began
            assert health_answer(condition(watch.runtime)).set_aside == []
            tell(watch, outcome, since=began + secs, secs=secs, history="history answers up to the cut")
        rows = [second for second in (await stored(path))[0] if second < first + 300]
        assert 150 < len(rows) < 300
        assert consecutive(rows)

    asyncio.run(run())


@fault("a block of a table is damaged", "said by the tools that need it, never taken for no data; recording goes on")
def test_a_damaged_block_is_said_and_never_taken_for_no_data(tmp_path: Path, outcome: Outcome) -> None:
    async def run() -> None:
        path = tmp_path / "db"
        await recorded(path, 3000)
        table = max(path.glob("*.sst"), key=lambda file: file.stat().st_size)
        data = bytearray(table.read_bytes())
        data[len(data) // 3 : len(data) // 3 + 64] = bytes(64)
        table.write_bytes(data)
        async with running(path) as watch:
            began = time.monotonic()
            await recording(watch)
            history = watch.runtime.archive.writable()
            with pytest.raises(StorageError, match="Damaged data"):
                await history.rows(SYMBOL, 0, FOREVER)
            assert await flow(watch) == "storage_error"
            answer = health_answer(condition(watch.runtime))
            assert answer.storage == "recording"
            assert answer.storage_damage is not None
            assert watch.metric("vibe_history_damaged") == 1
            is_ready, said = readiness(watch.runtime)
            assert is_ready
            assert str(said["history"]).startswith("A part cannot be read: Damaged data")
            tell(watch, outcome, since=began, secs=0, history="storage_error for what needs it")

    asyncio.run(run())


@fault("damage that a write meets", "set aside as it is; what a repair can read is used and recorded into")
def test_damage_that_stops_writing_is_set_aside_while_the_program_runs(tmp_path: Path, outcome: Outcome) -> None:
    """The directory opens, and the first write cannot read the newest second."""

    async def run() -> None:
        path = tmp_path / "db"
        first = await recorded(path, 300)
        (table,) = (file for file in path.glob("*.sst") if b"row" in file.read_bytes())
        data = bytearray(table.read_bytes())
        data[64 : len(data) * 7 // 10] = bytes(len(data) * 7 // 10 - 64)  # all that it holds; its index is behind
        table.write_bytes(data)
        began = time.monotonic()
        async with running(path) as watch:
            secs = await recording(watch) - began
            answer = health_answer(condition(watch.runtime))
            assert len(answer.set_aside) == 1
            assert any("1 files of it could not be read; the rest is in use" in text for text in answer.warnings)
            history = watch.runtime.archive.writable()
            assert len(await history.snapshots(SYMBOL, first, first + 300)) == 300  # of another table
            assert await flow(watch) != "storage_error"
            tell(
                watch, outcome, since=began + secs, secs=secs, history="history answers, health says what was set aside"
            )

    asyncio.run(run())
