"""Standard error over real pipes: a reader that does not read blocks no writer, and learns how much was dropped."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.answers.serving import exchange
from tests.e2e.processes import environment
from tests.e2e.rig import until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.process.stderr import Lines
from vibe_orderbook_mcp.store.history import History


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """(end to read, end to write) of a small pipe."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    try:
        yield reading, writing
    finally:
        for end in (reading, writing):
            with suppress(OSError):
                os.close(end)


def fill(writing: int) -> int:
    """Write until nothing more fits; how many bytes that were."""
    os.set_blocking(writing, False)
    written = 0
    with suppress(BlockingIOError):
        while True:
            written += os.write(writing, b"x" * 1024)
    with suppress(BlockingIOError):
        while True:
            written += os.write(writing, b"x")
    os.set_blocking(writing, True)
    return written


def read(reading: int, until_part: bytes) -> bytes:
    text = b""
    while until_part not in text:
        text += os.read(reading, 65536)
    return text


def test_lines_that_do_not_fit_are_dropped_counted_and_said_once_when_the_reader_is_back() -> None:
    with pipe() as (reading, writing):
        lines = Lines(writing, queue_bytes=500)
        said: list[int] = []

        def say(count: int, _: float) -> None:
            said.append(count)
            lines.write(f"{count} dropped\n")

        lines.say_dropped = say
        filled = fill(writing)
        for number in range(100):
            assert lines.write(f"line {number:04d}\n")  # 10 bytes each
        assert not lines.drain(0.01, 0.05)
        dropped = lines.dropped
        assert 0 < dropped < 100
        text = read(reading, b"dropped\n")[filled:].decode()
        kept = [int(line.split()[1]) for line in text.splitlines() if line.startswith("line")]
        assert kept == list(range(100 - dropped))
        assert text.endswith(f"{dropped} dropped\n")
        lines.write("after\n")
        assert read(reading, b"after\n") == b"after\n"
        assert (said, lines.dropped) == ([dropped], dropped)
        lines.finish()


def test_a_reader_that_has_gone_or_a_disk_that_is_full_costs_nothing_but_the_lines() -> None:
    """Each line would say again that lines were dropped, which would be dropped."""
    with pipe() as (reading, writing):
        os.close(reading)
        full = os.open("/dev/full", os.O_WRONLY)
        for fd in (writing, full):
            said: list[int] = []
            lines = Lines(fd)
            lines.say_dropped = lambda count, _, said=said: said.append(count)
            for _ in range(5):
                lines.write("a line\n")
            assert lines.drain()
            assert (lines.dropped, said) == (5, [])
            lines.finish()
        os.close(full)


def test_what_a_slow_reader_takes_in_pieces_is_whole_at_the_end() -> None:
    with pipe() as (reading, writing):
        lines = Lines(writing)
        expected = "".join(f"line {number} with ü\n" for number in range(5000))
        taken = bytearray()

        def take() -> None:
            while part := os.read(reading, 700):
                taken.extend(part)

        taking = threading.Thread(target=take)
        taking.start()
        for line in expected.splitlines(keepends=True):
            lines.write(line)
        assert lines.drain(PATIENCE_SECS, PATIENCE_SECS)
        lines.finish()
        os.close(writing)
        taking.join()
        assert taken.decode() == expected
        assert lines.dropped == 0


def test_a_descriptor_that_somebody_made_non_blocking_loses_nothing() -> None:
    with pipe() as (reading, writing):
        filled = fill(writing)
        os.set_blocking(writing, False)  # as Node does with what its children share
        lines = Lines(writing)
        lines.write("late\n")
        assert read(reading, b"late\n")[filled:] == b"late\n"
        lines.finish()


@pytest.mark.parametrize("style", ["text", "json"])
def test_the_log_itself_says_how_many_lines_were_dropped(style: str) -> None:
    script = (
        "import sys; from vibe_orderbook_mcp.process import stderr\n"
        "from vibe_orderbook_mcp.process.logs import set_up_logging\n"
        "from loguru import logger\n"
        f"stderr.QUEUE_BYTES = 2000; stderr.Lines.__init__.__defaults__ = (2000,); set_up_logging('INFO', {style!r})\n"
        "for number in range(500): logger.info('line {}', number)\n"
        "print('written', flush=True); sys.stdin.readline()\n"
        "logger.info('the end')\n"
    )
    with pipe() as (reading, writing):
        filled = fill(writing)
        with subprocess.Popen(  # noqa: S603  # our own lines
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writing, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            assert process.stdout.readline() == "written\n"
            text = read(reading, b"were dropped")[filled:]
            os.close(writing)
            process.stdin.write("\n")
            process.stdin.close()
            while part := os.read(reading, 65536):
                text += part
            assert process.wait(PATIENCE_SECS) == 0
    lines = text.decode().splitlines()
    told = re.findall(r"(\d+) log lines were dropped in \d+ s", text.decode())
    kept = sum(" line " in line or '"line ' in line for line in lines)
    assert len(told) == 1
    assert kept + int(told[0]) == 500
    assert lines[-1].endswith("the end") or json.loads(lines[-1])["message"] == "the end"


@asynccontextmanager
async def unread(path: Path, **variables: object) -> AsyncIterator[tuple[Client, int, Path]]:
    """The program over stdio beside a simulated exchange, with a stderr that is full from the start."""
    async with exchange() as sim:
        with pipe() as (_, writing):
            fill(writing)
            data, pid_file = path / "db", path / "pid"
            env = environment(
                rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=data, symbols="BTCUSDT", backfill_hours=0,
                log_level="DEBUG", **variables,
            )  # fmt: skip
            start = 'echo $$ > "$1"; shift; exec "$@"'
            command = [sys.executable, "-m", "vibe_orderbook_mcp"]
            parameters = StdioServerParameters(
                command="/bin/sh", args=["-c", start, "sh", str(pid_file), *command], env=env, cwd=path
            )
            with os.fdopen(os.dup(writing), "w") as errlog:
                async with Client(stdio_client(parameters, errlog=errlog)) as client:
                    yield client, int(pid_file.read_text()), data


def test_a_stderr_that_nobody_reads_stops_neither_books_nor_history_nor_tools_nor_the_stop(tmp_path: Path) -> None:
    """Hosts start a server with a pipe of 64 KiB for its stderr, and some never read it."""

    async def asked(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await client.call_tool(tool, arguments)
        assert result.structured_content is not None or result.is_error
        return result.structured_content or {}

    async def update_id(client: Client) -> int:
        async with asyncio.timeout(PATIENCE_SECS):
            while not (touch := await asked(client, "orderbook_l1", symbol="BTCUSDT")):
                await asyncio.sleep(0.1)
        return int(touch["last_update_id"])

    async def run() -> None:
        async with unread(tmp_path) as (client, pid, data):
            first = await update_id(client)
            async with asyncio.timeout(PATIENCE_SECS):
                while await update_id(client) < first + 20:  # the book goes on
                    await asyncio.sleep(0.1)
                while (await asked(client, "orderbook_health"))["storage"] != "recording":
                    await asyncio.sleep(0.1)
            history = await History.open_secondary(data)
            async with asyncio.timeout(PATIENCE_SECS):
                while len(await history.snapshots("BTCUSDT", 0, 10**10)) < 2:
                    await asyncio.sleep(0.1)
            await history.close()
            os.kill(pid, signal.SIGTERM)
            await until(lambda: is_over(pid))

    asyncio.run(run())


def is_over(pid: int) -> bool:
    """Gone, or a zombie whose parent has not asked for its code yet."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
