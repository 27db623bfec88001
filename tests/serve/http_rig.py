"""The HTTP application behind a real socket, in the test's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import uvicorn

from tests.answers.serving import server_for
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.serve.limits import HttpLimits
from vibe_orderbook_mcp.serve.mcp_server import VibeServer
from vibe_orderbook_mcp.serve.serving import uvicorn_config
from vibe_orderbook_mcp.sim.server import VenueServer


class Served(NamedTuple):
    server: VibeServer
    url: str
    http: httpx.AsyncClient

    @property
    def runtime(self) -> Runtime:
        return self.server.runtime


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The test run has its own."""
        yield


@contextlib.asynccontextmanager
async def http_serving(
    path: Path, sim: VenueServer, limits: HttpLimits | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """`sim` is entered by the caller: some tests want it gone, or not there yet."""
    server = server_for(sim, path, limits, **settings)
    config = uvicorn_config(server)
    listening = socket.create_server(("127.0.0.1", settings.get("port", 0)))
    quiet = _Quiet(config)
    serving = asyncio.create_task(quiet.serve(sockets=[listening]))
    try:
        async with asyncio.timeout(PATIENCE_SECS):
            while not quiet.started:
                assert not serving.done()
                await asyncio.sleep(0.005)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_SECS) as http:
            yield Served(server, url, http)
    finally:
        quiet.should_exit = True
        await serving
        listening.close()
