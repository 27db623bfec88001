"""The program as its users start it: processes, with an environment of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx

from tests.patience import PATIENCE_SECS


class Process:
    """A running command; stderr is kept as lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode(errors="replace").rstrip())

    def count(self, part: str) -> int:
        return sum(part in line for line in self.lines)

    async def ended(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), PATIENCE_SECS)
        await self._reading
        return code

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._reading


def environment(**variables: object) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIBE_")}
    return {**kept, **{f"VIBE_{name.upper()}": str(value) for name, value in variables.items()}}


@contextlib.asynccontextmanager
async def started(
    *arguments: str, cwd: Path, env: dict[str, str], preexec_fn: Callable[[], None] | None = None
) -> AsyncIterator[Process]:
    process = Process(
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "vibe_orderbook_mcp",
            *arguments,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=preexec_fn,
        )
    )
    try:
        yield process
    finally:
        await process.stop()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def ready(base_url: str) -> None:
    """Wait until every eager symbol is live and recorded."""
    async with httpx.AsyncClient(base_url=base_url) as http, asyncio.timeout(PATIENCE_SECS):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get("/readyz")).status_code == 200:
                    return
            await asyncio.sleep(0.1)
