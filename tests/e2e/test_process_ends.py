"""How processes end: every signal that asks for it, and standard files that are closed or that nobody reads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.answers.serving import exchange
from tests.e2e.processes import Process, environment, free_port, ready, started
from tests.e2e.rig import until
from tests.patience import PATIENCE_SECS
from tests.store.values import START, batch, record
from vibe_orderbook_mcp.sim import SimExchange
from vibe_orderbook_mcp.store.history import History

PROGRAM = f"{sys.executable} -m vibe_orderbook_mcp"
INITIALIZE = (
    '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},'
    '"clientInfo":{"name":"a test","version":"1"}}}\n'
)


def env_for(sim: SimExchange, path: Path) -> dict[str, str]:
    return environment(
        rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=path / "db", symbols="BTCUSDT", backfill_hours=0
    )


def heed_hangups() -> None:
    """Tests that were started under `nohup` hand its deafness on."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_a_terminal_that_is_closed_stops_a_server_as_sigterm_does(transport: str, tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        arguments = ("serve", "--transport", transport, "--port", str(port))
        async with (
            exchange() as sim,
            started(*arguments, cwd=tmp_path, env=env_for(sim, tmp_path), preexec_fn=heed_hangups) as server,
        ):
            await until(lambda: server.count("Book of BTCUSDT is live") > 0)
            server.process.send_signal(signal.SIGHUP)
            assert await server.ended() == 0
            assert server.count("Snapshot persistence task stopped") == 1
            assert server.count("Traceback") == 0, "\n".join(server.lines)

    asyncio.run(run())


@pytest.mark.parametrize("command", ["sim", "record"])
def test_so_do_the_other_commands_that_run_until_they_are_told(command: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim:
            more = ("--port", "0") if command == "sim" else ("--symbols", "BTCUSDT", "-o", "frames")
            async with started(
                command, *more, cwd=tmp_path, env=env_for(sim, tmp_path), preexec_fn=heed_hangups
            ) as process:
                if command == "sim":
                    assert process.process.stdout is not None
                    await process.process.stdout.readline()
                else:
                    frames = tmp_path / "frames"  # without any it ends with 1
                    await until(lambda: frames.exists() and frames.stat().st_size > 0)
                process.process.send_signal(signal.SIGHUP)
                assert await process.ended() == 0
                assert process.count("Traceback") == 0

    asyncio.run(run())


def test_nohup_keeps_a_server_running(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        arguments = ("serve", "--transport", "http", "--port", str(port))

        def ignore() -> None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

        async with (
            exchange() as sim,
            started(*arguments, cwd=tmp_path, env=env_for(sim, tmp_path), preexec_fn=ignore) as server,
        ):
            await ready(f"http://127.0.0.1:{port}")
            server.process.send_signal(signal.SIGHUP)
            stored = server.count("Stored snapshot for BTCUSDT")
            await until(lambda: server.count("Stored snapshot for BTCUSDT") > stored + 1)
            server.process.send_signal(signal.SIGTERM)
            assert await server.ended() == 0

    asyncio.run(run())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ends") / "db"

    async def fill() -> None:
        history = await History.open(path, cap_mb=64, retention_days=365)
        await history.append([record(second) for second in range(START, START + 200)], [batch(0)])
        await history.close()

    asyncio.run(fill())
    return path


def shell(line: str, data: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # our own line
        ["/bin/bash", "-c", f"set -o pipefail; {line}"],
        cwd=cwd, env=environment(data_path=data), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        timeout=PATIENCE_SECS,
    )  # fmt: skip


EXPORT = "export snapshots --symbol BTCUSDT"


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        (f"{PROGRAM} status >&-", 2, "Error: Standard output is closed"),
        (f"{PROGRAM} {EXPORT} >&-", 2, "Error: Standard output is closed"),
        (f"{PROGRAM} {EXPORT} -o out.csv >&-", 0, "Exported 200 snapshots"),
        (f"{PROGRAM} <&- >&-", 2, "Error: Standard input or output is closed"),
        (f"{PROGRAM} --version >&-", 0, ""),
        (f"{PROGRAM} --help >&-", 0, ""),
        (f"{PROGRAM} status > /dev/full", 1, "Error: No space left on device"),
        (f"{PROGRAM} {EXPORT} > /dev/full", 1, "Error: No space left on device"),
        (f"{PROGRAM} --version > /dev/full", 1, "Error: No space left on device"),
        (f"{PROGRAM} status | true", 1, ""),
        (f"{PROGRAM} {EXPORT} | true", 1, ""),
        (f"{PROGRAM} --help | true", 1, ""),
        (f"{PROGRAM} status 2>&- | grep -c BTCUSDT", 0, ""),
        (f"{PROGRAM} export snapshots --symbol NOPEUSDT 2>&-", 1, ""),
    ],
)
def test_closed_or_broken_standard_files_leave_one_sentence_at_most(
    line: str, code: int, says: str, data: Path, tmp_path: Path
) -> None:
    ended = shell(line, data, tmp_path)
    said = [line for line in ended.stderr.splitlines() if line]
    if "| true" in line:  # it may have taken all there was before it left
        assert ended.returncode in (0, code)
        said = [line for line in said if "Exported" not in line]
    else:
        assert ended.returncode == code, ended
    assert len(said) == bool(says), ended.stderr
    assert ended.stderr.startswith(says)


def test_a_simulated_exchange_serves_on_where_nobody_takes_its_line(tmp_path: Path) -> None:
    async def run() -> None:
        for redirection in (">&-", "> /dev/full"):
            port = free_port()
            line = f"exec {PROGRAM} sim --port {port} {redirection}"
            process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", line, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE
            )
            async with asyncio.timeout(PATIENCE_SECS):
                while True:
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                        break
                    except OSError:
                        assert process.returncode is None
                        await asyncio.sleep(0.05)
                writer.close()
                process.send_signal(signal.SIGTERM)
                _, said = await process.communicate()
            assert b"Traceback" not in said
            assert b"Exception" not in said

    asyncio.run(run())


def test_a_stdio_client_that_takes_no_answers_ends_the_server_without_a_stack(tmp_path: Path) -> None:
    async def run() -> None:
        reading, writing = os.pipe()
        async with exchange() as sim:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "vibe_orderbook_mcp", cwd=tmp_path, env=env_for(sim, tmp_path),
                stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE,
            )  # fmt: skip
            os.close(reading)
            os.close(writing)
            _, said = await asyncio.wait_for(process.communicate(INITIALIZE.encode()), PATIENCE_SECS)
            assert b"Traceback" not in said, said.decode()
            assert process.returncode == 0
            assert b"Snapshot persistence task stopped" in said

    asyncio.run(run())


def test_a_stdio_client_that_reads_no_answers_holds_up_neither_history_nor_the_stop(tmp_path: Path) -> None:
    async def run() -> None:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writing, b"x")
        os.set_blocking(writing, True)
        async with exchange() as sim:
            process = Process(
                await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "vibe_orderbook_mcp", cwd=tmp_path,
                    env=env_for(sim, tmp_path) | {"VIBE_LOG_LEVEL": "DEBUG"},
                    stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE,
                )
            )  # fmt: skip
            assert process.process.stdin is not None
            process.process.stdin.write(INITIALIZE.encode())
            await until(lambda: process.count("Stored snapshot for BTCUSDT") > 0)
            stored = process.count("Stored snapshot for BTCUSDT")
            await until(lambda: process.count("Stored snapshot for BTCUSDT") > stored + 1)
            process.process.send_signal(signal.SIGTERM)
            assert await process.ended() == 0
            assert process.count("Snapshot persistence task stopped") == 1
            assert process.count("Traceback") == 0
        os.close(reading)
        os.close(writing)

    asyncio.run(run())
