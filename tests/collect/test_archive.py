"""Who writes history, who reads beside it, and coming back from what is wrong with the directory."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from tests.answers.serving import exchange
from tests.collect.venue import feed_of, rest_of
from tests.e2e.rig import listening, runtime_for, until
from tests.patience import PATIENCE_SECS
from tests.store.values import START, batch, record
from vibe_orderbook_mcp.collect import recorder
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.rescue import set_aside

HOLDER = """
import asyncio, sys
from tests.store.values import START, batch, record
from vibe_orderbook_mcp.store.history import History

async def main():
    history = await History.open(sys.argv[1], cap_mb=64, retention_days=7)
    await history.append([record(START)], [batch(1)])
    print("locked", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await history.append([record(START + 1)], [batch(2)])
    print("written", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await history.close()

asyncio.run(main())
"""


def archive_at(path: Path) -> Archive:
    return Archive(path, cap_mb=64, retention_days=7)


def test_beside_another_process_history_is_served_and_nothing_is_written(tmp_path: Path) -> None:
    """Claude Desktop and an HTTP server on one machine: one records, both answer."""

    async def run() -> None:
        path = tmp_path / "db"
        holder = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDER, str(path), cwd=Path(__file__).parents[2],
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert await asyncio.wait_for(holder.stdout.readline(), PATIENCE_SECS) == b"locked\n"
            async with exchange() as sim:
                runtime = runtime_for(sim.rest_url, sim.ws_url, path, symbols="BTCUSDT", backfill_hours=1)
                with listening("WARNING") as logged:
                    async with runtime.hold():
                        archive = runtime.archive
                        await until(lambda: archive.mode == "read_only")
                        assert archive.history is not None
                        assert [row.second for row in await archive.history.rows("BTCUSDT", 0, 10**10)] == [START]
                        holder.stdin.write(b"\n")
                        assert await asyncio.wait_for(holder.stdout.readline(), PATIENCE_SECS) == b"written\n"
                        seconds = [row.second for row in await archive.history.rows("BTCUSDT", 0, 10**10)]
                        assert seconds == [START, START + 1]  # and what comes meanwhile
                        assert await feed_of(runtime).wait_live("BTCUSDT", PATIENCE_SECS)
                        with pytest.raises(StorageError, match="Another process records"):
                            archive.writable()
                        requests, ticks = rest_of(runtime).requests, runtime.recorder._house.ticks
                        await until(
                            lambda: runtime.recorder._house.ticks >= ticks + 3
                        )  # the filler looks once a second
                        assert runtime.recorder.queue_ticks == 0
                        assert rest_of(runtime).requests == requests
                assert logged.count("Another process records") == 1
                assert "Failed to persist" not in logged
        finally:
            holder.stdin.write(b"\n")
            assert await asyncio.wait_for(holder.wait(), PATIENCE_SECS) == 0
        archive = archive_at(path)
        await archive.open()
        assert archive.mode == "recording"
        assert await archive.writable().symbols() == ["BTCUSDT"]
        await archive.close()

    asyncio.run(run())


@pytest.mark.parametrize("how", ["a file", "below a file", "another program's"])
def test_a_directory_that_cannot_be_used_is_said_without_its_path(how: str, tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "db"
        if how == "another program's":
            path.mkdir()
            (path / "CURRENT").write_text("MANIFEST-000001\n")
        else:
            path.write_text("x")
        archive = archive_at(path / "x" if how == "below a file" else path)
        with listening("ERROR") as logged:
            await archive.open()
            assert (archive.mode, archive.history, archive.errors) == ("unavailable", None, 1)
            said = len(logged.messages)
            await archive.recover()
            assert len(logged.messages) == said >= 1  # it is tried again every few seconds, and said once
        assert archive.error
        assert str(tmp_path) not in archive.error
        with pytest.raises(StorageError):
            archive.writable()
        await archive.close()

    asyncio.run(run())


def test_a_directory_that_is_mended_while_the_server_runs_is_recorded_into(tmp_path: Path) -> None:
    """What waited for it is written."""

    async def run() -> None:
        path = tmp_path / "db"
        path.write_text("x")
        async with exchange() as sim:
            runtime = runtime_for(sim.rest_url, sim.ws_url, path, symbols="BTCUSDT", backfill_hours=0)
            async with runtime.hold():
                await until(lambda: runtime.recorder.queue_ticks >= 1 and runtime.archive.mode == "unavailable")
                path.unlink()
                await until(lambda: runtime.archive.mode == "recording" and runtime.recorder.queue_ticks == 0)
                assert runtime.archive.error is None
        history = await History.open_secondary(path)
        seconds = [row.second for row in await history.rows("BTCUSDT", 0, 10**10)]
        assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
        assert len(seconds) >= 2
        await history.close()

    asyncio.run(run())


def test_closing_twice_and_reopening_after_an_error(tmp_path: Path) -> None:
    async def run() -> None:
        archive = archive_at(tmp_path / "db")
        with pytest.raises(StorageError, match="not open"):
            archive.writable()
        await archive.open()
        await archive.writable().append([record(START)], [batch(1)])
        archive.fail(StorageError("the disk is full"))
        assert (archive.errors, archive.error) == (1, "the disk is full")
        await archive.recover()
        await archive.writable().append([record(START + 1)], [batch(2)])
        archive.succeeded()
        assert archive.error is None
        assert await archive.writable().ids("BTCUSDT") == [(1, 2)]
        await archive.close()
        await archive.close()
        assert archive.mode == "unavailable"

    asyncio.run(run())


class ClumsyArchive(Archive):
    """A programming error in the first attempt to open."""

    mistakes = 1

    async def open(self) -> None:
        if self.mistakes:
            self.mistakes -= 1
            raise KeyError("a mistake")
        await super().open()


def test_a_mistake_of_ours_does_not_leave_history_closed_for_good(tmp_path: Path) -> None:
    async def run() -> None:
        archive = ClumsyArchive(tmp_path / "db", cap_mb=64, retention_days=7)
        with listening("ERROR") as logged:
            running = asyncio.create_task(archive.run())
            await asyncio.wait_for(archive.settled.wait(), PATIENCE_SECS)
            running.cancel()
        assert archive.mode == "recording"
        assert logged.count("Unexpected error") == 1
        await archive.close()

    asyncio.run(run())


def test_a_disk_that_damages_everything_is_not_filled_with_damaged_directories(tmp_path: Path) -> None:
    """Set aside at most once in a while by one process; what was set aside stays, and many are warned about."""

    async def run() -> None:
        path = tmp_path / "db"
        archive = archive_at(path)
        await archive.open()
        await archive.writable().append([record(START)], [batch(1)])
        for attempt in range(2):
            await archive.close()
            (path / "CURRENT").unlink()
            await archive.open()
            assert archive.mode == ("recording" if attempt == 0 else "unavailable")
            assert len(set_aside(path)) == 1
        with listening("WARNING") as logged:
            for count in (2, 3):
                again = archive_at(path)
                if count == 3:
                    (path / "CURRENT").unlink()
                await again.open()
                assert again.mode == "recording"
                assert [row.second for row in await again.writable().rows("BTCUSDT", 0, 10**10)] == [START]
                await again.close()
                assert len(set_aside(path)) == count
                assert logged.count(f"{count} directories with damaged history") == (count == 3)

    asyncio.run(run())


def test_a_cap_that_the_disk_cannot_hold_is_said_at_the_start(tmp_path: Path) -> None:
    async def run() -> None:
        with listening("WARNING") as logged:
            for cap_mb, warnings in ((64, 0), (1_000_000_000, 1)):
                archive = Archive(tmp_path / str(cap_mb), cap_mb=cap_mb, retention_days=7)
                await archive.open()
                await archive.close()
                assert logged.count(f"VIBE_STORAGE_CAP_MB is {cap_mb}, but the disk has room for only") == warnings

    asyncio.run(run())


class GatedArchive(Archive):
    """A disk that takes its time to open."""

    go: asyncio.Event

    async def open(self) -> None:
        await self.go.wait()
        await super().open()


@pytest.mark.parametrize("in_time", [True, False])
def test_a_stop_while_history_is_being_opened_writes_what_waits_or_says_what_is_lost(
    in_time: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "STOP_WAIT_SECS", PATIENCE_SECS if in_time else 0.0)

    async def run() -> None:
        path = tmp_path / "db"
        async with exchange() as sim:
            runtime = runtime_for(sim.rest_url, sim.ws_url, path, symbols="BTCUSDT", backfill_hours=0)
            runtime.archive.__class__ = GatedArchive
            runtime.archive.go = go = asyncio.Event()  # type: ignore[attr-defined]  # of the class above
            with listening("INFO") as logged:
                async with runtime.hold():
                    await until(lambda: runtime.recorder.queue_ticks >= 2)
                    stopping = asyncio.create_task(runtime.stop())
                    await until(lambda: "Snapshot persistence task shutting down" in logged)
                    if in_time:
                        go.set()
                    await stopping
            lost = [line for line in logged.messages if "could not be written and is lost" in line]
            assert len(lost) == (0 if in_time else 1)
        history = await History.open(path, cap_mb=64, retention_days=7)  # nobody holds on to the directory
        assert bool(await history.rows("BTCUSDT", 0, 10**10)) == in_time
        await history.close()

    asyncio.run(run())
