"""The exchange cannot be reached when the program starts: it starts nevertheless, and goes live by itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.collect.venue import feed_of
from tests.e2e.faults.rig import Watch, exchange, watching
from tests.e2e.processes import free_port
from tests.e2e.rig import until
from tests.outcomes import Outcome
from vibe_orderbook_mcp.sim.faults import Disconnect, Refuse, RestStatus, SlowRest

HOST = "exchange.example"  # a name that never resolves (RFC 2606)


class Resolving(asyncio.SelectorEventLoop):
    """A machine whose DNS does not know the exchange until `resolves`. Everything else of it is real."""

    resolves = False

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name != HOST:
            return await super().getaddrinfo(host, port, **options)
        if not self.resolves:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return await super().getaddrinfo("127.0.0.1", port, **options)


async def unreachable(watch: Watch) -> float:
    """Check what users see while nothing can be reached. Returns when that began."""
    began = time.monotonic()
    told = await watch.ask("BTCUSDT")
    assert told.what == "exchange_unavailable"
    assert "The exchange cannot be reached at " in told.text
    assert told.text.count("(name not found)") + told.text.count("(refused)") == 1
    assert watch.logged.count("Cannot subscribe") == 1
    return began


@pytest.mark.fault(
    part="exchange",
    fault="its name does not resolve at start, later it does",
    promise="exchange_unavailable, then live",
)
def test_a_name_that_resolves_later_is_enough(outcome: Outcome, tmp_path: Path) -> None:
    async def run(loop: Resolving) -> None:
        async with exchange() as sim:
            rest_url, ws_url = f"http://{HOST}:{sim.port}", f"ws://{HOST}:{sim.port}"
            async with watching(sim, tmp_path, rest_url=rest_url, ws_url=ws_url) as watch:
                began = await unreachable(watch)
                loop.resolves = True
                over = time.monotonic()
                await watch.settled()
                watch.tell(outcome, since=began, over=over)

    with asyncio.Runner(loop_factory=Resolving) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, Resolving)
        runner.run(run(loop))


@pytest.mark.fault(part="exchange", fault="down at start, later up", promise="exchange_unavailable, then live")
def test_an_exchange_that_comes_up_later_is_enough(outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        sim = exchange(port=free_port())
        async with watching(sim, tmp_path) as watch:
            began = await unreachable(watch)
            async with sim:
                over = time.monotonic()
                await watch.settled()
                watch.tell(outcome, since=began, over=over)

    asyncio.run(run())


@contextlib.asynccontextmanager
async def refusing(path: Path, *faults: Any) -> AsyncIterator[Watch]:
    async with exchange() as sim:
        for fault in faults:
            sim.faults.add(fault)
        async with watching(sim, path) as watch:
            yield watch


@pytest.mark.fault(
    part="exchange", fault="REST 451 from the start, later served", promise="exchange_unavailable, says what to set"
)
def test_a_refused_location_is_said_with_what_to_set(outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        async with refusing(tmp_path, RestStatus(status=451)) as watch:
            began = time.monotonic()
            told = await watch.ask("BTCUSDT")
            assert told.what == "exchange_unavailable"
            assert "VIBE_REST_URL" in told.text
            watch.sim.faults.clear()
            over = time.monotonic()
            await watch.settled()
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())


@pytest.mark.fault(
    part="exchange", fault="REST works, streams are refused from the start", promise="exchange_unavailable, then live"
)
def test_without_streams_there_is_no_book(outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        async with refusing(tmp_path, Refuse()) as watch:
            began = time.monotonic()
            await until(lambda: "Cannot connect" in watch.logged)
            assert (await watch.ask("BTCUSDT")).what == "exchange_unavailable"
            assert watch.market.checked == 0
            watch.sim.faults.clear()
            over = time.monotonic()
            await watch.settled()
            assert watch.logged.count("Cannot connect") == 1
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())


def has_lost(watch: Watch, connections: int) -> bool:
    return watch.metric("vibe_reconnects_total") >= connections


@pytest.mark.fault(
    part="exchange",
    fault="connections are closed again and again before a book is live",
    promise="said once with its code, counted; then live",
)
def test_connections_that_end_before_a_book_is_live_are_said_once_and_counted(outcome: Outcome, tmp_path: Path) -> None:
    """Nothing was said at all: the program looked as if it was waiting for its snapshots."""

    async def run() -> None:
        async with exchange() as sim:
            slow = sim.faults.add(SlowRest(delay=3.0, endpoint="depth"))
            async with watching(sim, tmp_path) as watch:
                began = time.monotonic()
                feed = feed_of(watch.runtime)
                for closed in range(1, 4):
                    await until(lambda: feed.is_connected)
                    sim.faults.add(Disconnect(abrupt=False))
                    await until(partial(has_lost, watch, closed))
                over = time.monotonic()
                sim.faults.remove(slow)
                await watch.settled()
                lines = [line for line in watch.logged.messages if "ended before a book was live" in line]
                assert len(lines) == 1, watch.logged.messages
                assert "(code 1" in lines[0]
                watch.tell(outcome, since=began, over=over)

    asyncio.run(run())
