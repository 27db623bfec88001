"""The whole program beside a simulated exchange, each a process of its own, for the scripts that measure it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.processes import Process, environment, free_port, started
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.sim.catalog import PROFILES

# Those that say something ten times a second, most active first.
LIVELY = tuple(symbol for symbol in PROFILES if symbol not in ("WANUSDT", "WBTCUSDT"))

# (the exchange's websocket URL) -> one to use instead.
Through = Callable[[str], contextlib.AbstractAsyncContextManager[str]]
Samples = dict[tuple[str, ...], float]


class Program(NamedTuple):
    url: str
    sim_url: str
    server: Process
    sim: Process


@contextlib.asynccontextmanager
async def program(
    symbols: tuple[str, ...], cwd: Path, seed: int = 1, through: Through | None = None, **variables: object
) -> AsyncIterator[Program]:
    """Entered once every book is live and recorded. `through` puts something between it and the exchange's stream."""
    sim_port, port = free_port(), free_port()
    sim_url = f"http://127.0.0.1:{sim_port}"
    given = {
        "symbols": ",".join(symbols),
        "rest_url": sim_url,
        "data_path": cwd / "data",
        "backfill_hours": 0,
        "log_level": "WARNING",
        **variables,
    }
    sim_arguments = ("sim", "--port", str(sim_port), "--symbols", ",".join(symbols), "--seed", str(seed))
    async with (
        contextlib.AsyncExitStack() as stack,
        started(*sim_arguments, cwd=cwd, env=environment(log_level="WARNING")) as sim,
    ):
        await _answers(f"{sim_url}/api/v3/ping")
        ws_url = await stack.enter_async_context(through(sim_url.replace("http", "ws", 1))) if through else None
        given |= {"ws_url": ws_url or sim_url.replace("http", "ws", 1)}
        serve = ("serve", "--transport", "http", "--port", str(port))
        async with started(*serve, cwd=cwd, env=environment(**given)) as server:
            url = f"http://127.0.0.1:{port}"
            await _answers(f"{url}/readyz")
            yield Program(url, sim_url, server, sim)


async def scraped(http: httpx.AsyncClient, url: str) -> Samples:
    """{(sample, label values...): value} of /metrics."""
    text = (await http.get(f"{url}/metrics")).text
    return {
        (sample.name, *(value for label, value in sorted(sample.labels.items()) if label != "venue")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str) -> float:
    """Over all labels."""
    return sum(value for key, value in samples.items() if key[0] == name)


async def _answers(url: str) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(PATIENCE_SECS):
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.2)
