"""What is written every second, what is kept while the disk fails, and what is said about it."""

from __future__ import annotations

import asyncio
import resource
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client

from tests.answers.serving import answer, exchange
from tests.e2e.processes import environment, free_port, ready, started
from tests.e2e.rig import listening, runtime_for, until
from tests.patience import PATIENCE_SECS
from tests.store.values import BTC, ETH
from vibe_orderbook_mcp.answers.health import health_answer
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.condition import condition, readiness
from vibe_orderbook_mcp.collect.recorder import QUEUE_TICKS, Recorder, secs_to_tick
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.ticks import TICK_AT_MS
from vibe_orderbook_mcp.model.errors import StorageError, WritingPaused
from vibe_orderbook_mcp.model.events import DepthUpdate
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRecord, TradeBatch
from vibe_orderbook_mcp.seconds.tracker import SecondTracker
from vibe_orderbook_mcp.serve.metrics import Metrics
from vibe_orderbook_mcp.sim.faults import Drop, RestStatus
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.plan import AppendResult

FOREVER = 9_999_999_999
START = 1_700_000_000
STORED = "Stored snapshot for BTCUSDT"


async def stored(path: Path, symbol: str) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """(seconds with a row, seconds with a snapshot, intervals of trade ids) that are on disk."""
    history = await History.open_secondary(path)
    try:
        rows = [row.second for row in await history.rows(symbol, 0, FOREVER)]
        return rows, [second for second, _ in await history.snapshots(symbol, 0, FOREVER)], await history.ids(symbol)
    finally:
        await history.close()


async def partial_seconds(path: Path, symbol: str) -> list[int]:
    history = await History.open_secondary(path)
    try:
        return [row.second for row in await history.rows(symbol, 0, FOREVER) if row.flags & RowFlag.PARTIAL]
    finally:
        await history.close()


def consecutive(seconds: Sequence[int]) -> bool:
    return list(seconds) == list(range(seconds[0], seconds[0] + len(seconds)))


# --- against an exchange --------------------------------------------------------------------------------------------


def test_every_second_of_every_symbol_is_stored_the_last_one_at_the_stop(tmp_path: Path) -> None:
    """A quiet symbol's seconds are closed by the clock; a busy one's by its events. No second is missing or double."""

    async def run() -> tuple[Counter[str], dict[str, int], int | None]:
        with listening("INFO") as logged:
            async with exchange("BTCUSDT", "WANUSDT") as sim:
                runtime = runtime_for(
                    sim.rest_url, sim.ws_url, tmp_path / "db", symbols="BTCUSDT,WANUSDT", backfill_hours=0
                )
                async with runtime.hold():
                    await until(lambda: all(runtime.recorder.snapshots_stored[s] >= 4 for s in ("BTCUSDT", "WANUSDT")))
                    last = {
                        symbol: state._chronicle.tape.last_id or 0 for symbol, state in runtime.market.symbols.items()
                    }
                    heard_ms = runtime.market.symbols["BTCUSDT"].heard_ms
        assert "Snapshot persistence task started for 2 symbols" in logged
        order = [line for line in logged.messages if line.startswith("Snapshot persistence task s")]
        assert order[-2:] == ["Snapshot persistence task shutting down", "Snapshot persistence task stopped"]
        said = Counter(line.rsplit(" at ", 1)[0] for line in logged.messages if line.startswith("Stored snapshot for "))
        return said, last, heard_ms

    said, last, heard_ms = asyncio.run(run())
    assert heard_ms is not None
    for symbol in ("BTCUSDT", "WANUSDT"):
        rows, tops, ids = asyncio.run(stored(tmp_path / "db", symbol))
        assert len(rows) >= 5
        assert consecutive(rows)
        assert consecutive(tops)
        assert said[f"Stored snapshot for {symbol}"] == len(tops)
        if symbol == "BTCUSDT":
            assert rows[-1] >= heard_ms // 1000  # the second that was not over
            assert len(ids) == 1
            assert ids[0][1] >= last[symbol]
            marked = asyncio.run(partial_seconds(tmp_path / "db", symbol))
            # The process came and went inside the first and the last; until a book came no second was whole either.
            assert (marked[0], marked[-1]) == (rows[0], rows[-1])
            assert all(second < tops[0] or second in (tops[0], rows[-1]) for second in marked)


def test_without_a_book_the_second_is_skipped_and_said_and_its_trades_are_kept(tmp_path: Path) -> None:
    async def run() -> None:
        with listening("INFO") as logged:
            async with exchange() as sim:
                held = sim.faults.add(RestStatus(status="hang", endpoint="depth"))
                runtime = runtime_for(sim.rest_url, sim.ws_url, tmp_path / "db", symbols="BTCUSDT", backfill_hours=0)
                async with runtime.hold():
                    await until(lambda: "Skipping snapshot for BTCUSDT: empty orderbook" in logged)
                    await until(lambda: runtime.recorder.trades_stored["BTCUSDT"] > 0)
                    assert "Stored snapshot for BTCUSDT" not in logged
                    sim.faults.remove(held)
                    await until(lambda: runtime.recorder.snapshots_stored["BTCUSDT"] >= 2)
        rows, tops, ids = await stored(tmp_path / "db", "BTCUSDT")
        assert rows[0] < tops[0]
        assert consecutive(rows)
        assert consecutive(tops)
        assert len(ids) == 1
        assert logged.count("Skipping snapshot") == 1  # not once a second

    asyncio.run(run())


class Flaky:
    """A history whose next writes fail, as those of a full disk do."""

    def __init__(self, history: History, failures: int) -> None:
        self._history = history
        self.failures = failures
        self.reopened = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._history, name)

    async def append(self, seconds: Sequence[SecondRecord], trades: Sequence[TradeBatch] = ()) -> AppendResult:
        if self.failures:
            self.failures -= 1
            raise StorageError("Writing history failed: the disk is full.")
        return await self._history.append(seconds, trades)

    async def reopen(self) -> None:
        self.reopened += 1
        await self._history.reopen()


def test_while_the_disk_fails_books_go_on_and_seconds_wait_to_be_written_in_order(tmp_path: Path) -> None:
    async def run() -> None:
        with listening("INFO") as logged:
            async with exchange("BTCUSDT", "ETHUSDT") as sim:
                runtime = runtime_for(
                    sim.rest_url, sim.ws_url, tmp_path / "db", symbols="BTCUSDT,ETHUSDT", backfill_hours=0
                )
                async with runtime.hold():
                    recorder, archive = runtime.recorder, runtime.archive
                    await until(lambda: recorder.snapshots_stored["BTCUSDT"] >= 1)
                    assert archive.history is not None
                    archive.history = flaky = Flaky(archive.history, 2)  # type: ignore[assignment]  # stands in for one
                    await until(lambda: flaky.failures == 0)
                    events = runtime.market.symbols["BTCUSDT"].counts.events
                    assert recorder.queue_ticks >= 1
                    assert archive.error == "Writing history failed: the disk is full."
                    await until(lambda: runtime.market.symbols["BTCUSDT"].counts.events > events + 3)
                    sim.faults.add(Drop(symbol="ETHUSDT", count=1))  # resyncs meanwhile as ever
                    await until(lambda: runtime.market.symbols["ETHUSDT"].counts.resyncs == 2)
                    await until(lambda: recorder.queue_ticks == 0 and archive.error is None)
                    assert flaky.reopened == 2
                    assert archive.errors == 2
                    assert recorder.seconds_dropped == 0
        for symbol in ("BTCUSDT", "ETHUSDT"):
            why = "Writing history failed: the disk is full."
            assert logged.count(f"Failed to persist {symbol} snapshot: {why}") == 2
            rows, _, ids = await stored(tmp_path / "db", symbol)
            assert consecutive(rows)
            assert len(ids) == 1
            written = [
                int(line.rsplit(" ", 1)[1])
                for line in logged.messages
                if line.startswith(f"Stored snapshot for {symbol} at ")
            ]
            assert written == sorted(set(written))

    asyncio.run(run())


def test_a_disk_that_refuses_every_byte_costs_nothing_once_it_is_back(tmp_path: Path) -> None:
    """A real process and the system's own limit of file sizes: RocksDB's writes fail, its log and its manifest too."""

    async def run() -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        async with exchange() as sim:
            env = environment(
                rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=tmp_path / "db", symbols="BTCUSDT", backfill_hours=0
            )
            serve = ("serve", "--transport", "http", "--port", str(port))
            async with started(*serve, cwd=tmp_path, env=env) as process:
                await ready(url)
                await until(lambda: process.count(STORED) >= 1)
                pid = process.process.pid
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
                await until(lambda: process.count("Failed to persist BTCUSDT snapshot: ") >= 1)
                async with httpx.AsyncClient(base_url=url) as http:
                    assert (await http.get("/readyz")).status_code == 503
                    assert (await http.get("/healthz")).status_code == 200
                async with Client(f"{url}/mcp") as client:
                    assert (await answer(client, "orderbook_l1", symbol="BTCUSDT"))["status"] == "live"
                    health = await answer(client, "orderbook_health")
                    waiting = health["waiting_secs"]
                    assert waiting >= 1
                    assert health["storage_error"]
                before = process.count(STORED)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
                await ready(url)
                await until(lambda: process.count(STORED) > before + waiting)
                process.process.send_signal(signal.SIGTERM)
                await process.ended()
                assert process.count("Traceback") == 0, "\n".join(process.lines)
        rows, tops, ids = await stored(tmp_path / "db", "BTCUSDT")
        assert consecutive(rows)
        assert consecutive(tops)
        assert {int(line.rsplit(" ", 1)[1]) for line in process.lines if STORED in line} == set(tops)
        assert len(ids) == 1

    asyncio.run(run())


# --- the queue ------------------------------------------------------------------------------------------------------


class Quiet:
    """A recorder of symbols that say nothing: time passes when the test says so."""

    def __init__(self, path: Path, archive: Archive | None = None) -> None:
        self.market = Market()
        self.states = [self.market.add(spec) for spec in (BTC, ETH)]
        self.archive = archive or Archive(path, cap_mb=64, retention_days=7)
        self.recorder = Recorder(self.market, self.archive)
        self.second = START
        self.pass_second()

    def pass_second(self) -> None:
        for state in self.states:
            state._recorded.seconds.roll(self.second * 1000 + 900)
        self.second += 1

    def tick(self) -> None:
        """One second of each symbol is over."""
        self.pass_second()
        self.recorder.tick(time.monotonic_ns())


def test_a_queue_that_is_full_loses_its_oldest_seconds_and_counts_them(tmp_path: Path) -> None:
    async def run() -> None:
        quiet = Quiet(tmp_path / "db")
        with listening("ERROR") as logged:
            for _ in range(QUEUE_TICKS):
                quiet.tick()
            assert (quiet.recorder.queue_ticks, quiet.recorder.seconds_dropped) == (QUEUE_TICKS, 0)
            for _ in range(7):
                quiet.tick()
            assert (quiet.recorder.queue_ticks, quiet.recorder.seconds_dropped) == (QUEUE_TICKS, 14)
            await quiet.archive.open()
            quiet.recorder.start(2)
            await quiet.recorder.stop()
        # Said at the first one and again at the stop, not once a second; the stop had a second of each to add.
        lost = [line for line in logged.messages if "Lost since the start" in line]
        assert [line.split(": ")[1] for line in lost] == ["1 second of 2 symbols", "8 seconds of 2 symbols"]
        await quiet.archive.close()
        rows, _, _ = await stored(tmp_path / "db", "BTCUSDT")
        assert rows[0] == START + 8  # the stop had a second to add
        assert consecutive(rows)

    asyncio.run(run())


def test_a_pause_is_said_each_minute_with_what_waits_and_at_its_end_with_what_is_lost(tmp_path: Path) -> None:
    """An operator who looks at any minute of the log sees that nothing is written, and how long that can go on."""

    async def run() -> None:
        quiet = Quiet(tmp_path / "db")
        await quiet.archive.open()
        quiet.archive.fail(WritingPaused("The disk is nearly full: 1 MB is free."))
        quiet.recorder.is_running = True
        with listening("INFO") as logged:
            for second in range(QUEUE_TICKS + 17):
                quiet.pass_second()
                quiet.recorder.tick(second * 1_000_000_000)
            still = [line for line in logged.messages if "still paused" in line]
            assert len(still) == (QUEUE_TICKS + 16) // 60
            assert still[0].startswith("Writing history is still paused, 61 seconds of 2 symbols wait in memory: ")
            assert still[0].endswith("1 MB is free. Writing resumes by itself once that has changed.")
            await quiet.archive.recover()
        assert logged.count("Writing history continues, lost since the start: 17 seconds of 2 symbols") == 1
        assert quiet.recorder.seconds_dropped == 34  # as the metric counts
        await quiet.archive.close()

    asyncio.run(run())


def test_what_waits_at_a_stop_is_lost_for_a_reason_that_promises_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        quiet = Quiet(tmp_path / "db")
        await quiet.archive.open()
        quiet.recorder.start(2)
        for _ in range(3):
            quiet.tick()
        quiet.archive.fail(WritingPaused("The disk is nearly full."))
        with listening("ERROR") as logged:
            await quiet.recorder.stop()
        (lost,) = [line for line in logged.messages if "is lost" in line]
        assert lost.endswith("is lost: 4 seconds of 2 symbols. The disk is nearly full.")
        await quiet.archive.close()

    asyncio.run(run())


@pytest.mark.parametrize("exchange_ms", range(0, 2000, 50))
def test_the_tick_comes_once_a_second_and_where_seconds_become_final(exchange_ms: int) -> None:
    """One early or late is not made up for by a second one, nor by none."""
    secs = secs_to_tick(exchange_ms)
    assert 0.5 <= secs < 1.5
    assert (exchange_ms + round(secs * 1000)) % 1000 == TICK_AT_MS % 1000


def test_without_the_exchanges_time_the_tick_comes_once_a_second() -> None:
    assert secs_to_tick(None) == 1.0


class Held(Flaky):
    """A history whose writes wait to be let go."""

    def __init__(self, history: History) -> None:
        super().__init__(history, 0)
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def append(self, seconds: Sequence[SecondRecord], trades: Sequence[TradeBatch] = ()) -> AppendResult:
        self.begun.set()
        await self.go.wait()
        return await super().append(seconds, trades)


def test_ticks_that_come_while_a_full_queue_is_written_are_neither_lost_nor_written_twice(tmp_path: Path) -> None:
    """What is being written may not be dropped as the oldest, nor something else be taken for written."""

    async def run() -> None:
        quiet = Quiet(tmp_path / "db")
        for _ in range(QUEUE_TICKS):
            quiet.tick()
        await quiet.archive.open()
        assert quiet.archive.history is not None
        quiet.archive.history = held = Held(quiet.archive.history)  # type: ignore[assignment]  # stands in for one
        quiet.recorder.start(2)
        await asyncio.wait_for(held.begun.wait(), PATIENCE_SECS)
        for _ in range(5):
            quiet.tick()
        assert quiet.recorder.seconds_dropped == 0
        held.go.set()
        await until(lambda: quiet.recorder.queue_ticks == 0)
        await quiet.recorder.stop()
        await quiet.archive.close()
        rows, _, _ = await stored(tmp_path / "db", "BTCUSDT")
        assert rows[: QUEUE_TICKS + 5] == list(range(START, START + QUEUE_TICKS + 5))

    asyncio.run(run())


def test_a_clock_that_was_put_back_is_said_until_it_is_where_it_was(tmp_path: Path) -> None:
    async def run() -> None:
        runtime = runtime_for("http://127.0.0.1:9", "ws://127.0.0.1:9", tmp_path / "db", symbols="BTCUSDT")
        runtime.market.add(BTC)
        recorder = runtime.recorder
        began_ns = time.monotonic_ns()

        def second(number: int, exchange_second: int) -> None:
            now_ns = began_ns + number * 1_000_000_000
            runtime.market.receive_depth(
                DepthUpdate(BTC.symbol, exchange_second * 1000, number, number, [], []), now_ns
            )
            recorder.tick(now_ns)

        await runtime.archive.open()
        recorder.start(1)
        with listening("INFO") as logged:
            for number in range(1, 11):
                second(number, START + number)
            assert recorder.why_not_recording is None
            for number in range(11, 70):
                second(number, START + number - 60)
                if number > 12:  # two events have to agree that the clock is another
                    assert "behind the newest recorded second" in (recorder.why_not_recording or "")
                    assert str(readiness(runtime)[1]["recorder"]).startswith("waiting: The exchange's clock is ")
                    assert any(
                        line.startswith("Recorder: waiting") for line in health_answer(condition(runtime)).warnings
                    )
                    assert "vibe_storage_recording 0.0" in Metrics(runtime).text().decode()
            for number in range(70, 75):
                second(number, START + number - 60)
            assert recorder.why_not_recording is None
        said = [line for line in logged.messages if "exchange's clock" in line]
        assert [line.split(": ")[1] for line in said] == [
            "no second is recorded until it reaches its old time",
            "recording continues",
        ]
        await recorder.stop()
        await runtime.archive.close()

    asyncio.run(run())


class LateArchive(Archive):
    """A disk that takes its time to open."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, cap_mb=64, retention_days=7)
        self.go = asyncio.Event()

    async def open(self) -> None:
        await self.go.wait()
        await super().open()


@pytest.mark.parametrize("taken", [False, True])
def test_what_comes_while_history_opens_is_no_failure(taken: bool, tmp_path: Path) -> None:
    """Afterwards it is written, or dropped because another process records the same."""

    async def run() -> None:
        holder = await History.open(tmp_path / "db", cap_mb=64, retention_days=7) if taken else None
        quiet = Quiet(tmp_path, archive := LateArchive(tmp_path / "db"))
        opening = asyncio.create_task(archive.open())
        with listening("WARNING") as logged:
            quiet.recorder.start(2)
            for _ in range(3):
                quiet.tick()
            await asyncio.sleep(0.3)  # the writer has seen them
            assert quiet.recorder.queue_ticks >= 3
            archive.go.set()
            await opening
            await until(lambda: quiet.recorder.queue_ticks == 0)
            await quiet.recorder.stop()
        await archive.close()
        assert "Failed to persist" not in logged
        assert archive.errors == 0
        assert quiet.recorder.seconds_dropped == 0
        if holder is not None:
            assert await holder.rows("BTCUSDT", 0, FOREVER) == []
            await holder.close()
        else:
            assert len((await stored(tmp_path / "db", "BTCUSDT"))[0]) >= 3

    asyncio.run(run())


class Broken(SecondTracker):
    """A programming error in collecting one symbol."""

    failures = 1

    def take(self) -> Any:
        if self.failures:
            self.failures -= 1
            raise KeyError("a mistake")
        return super().take()


def test_a_mistake_of_ours_is_logged_and_recording_goes_on(tmp_path: Path) -> None:
    class Mistaken(Flaky):
        async def append(self, seconds: Sequence[SecondRecord], trades: Sequence[TradeBatch] = ()) -> AppendResult:
            if self.failures:
                self.failures -= 1
                raise KeyError("another mistake")
            return await super().append(seconds, trades)

    async def run() -> None:
        with listening("ERROR") as logged:
            async with exchange() as sim:
                runtime = runtime_for(sim.rest_url, sim.ws_url, tmp_path / "db", symbols="BTCUSDT", backfill_hours=0)
                async with runtime.hold():
                    await until(lambda: runtime.recorder.snapshots_stored["BTCUSDT"] >= 1)
                    state = runtime.market.symbols["BTCUSDT"]
                    state._recorded.seconds.__class__ = Broken
                    await until(lambda: getattr(state._recorded.seconds, "failures", 1) == 0)
                    assert runtime.archive.history is not None
                    mistaken = Mistaken(runtime.archive.history, 1)
                    runtime.archive.history = mistaken  # type: ignore[assignment]  # stands in for one
                    await until(lambda: mistaken.failures == 0)
                    await until(lambda: runtime.recorder.queue_ticks == 0 and runtime.archive.error is None)
        assert logged.count("Collecting a second failed") == 1
        assert logged.count("Failed to persist BTCUSDT snapshot: Writing failed; the log has the details.") == 1
        rows, _, ids = await stored(tmp_path / "db", "BTCUSDT")
        assert consecutive(rows)
        assert len(ids) == 1

    asyncio.run(run())
