"""Whose prices an answer has is said by the answer, by the server that greets a client, and by its health."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.answers.serving import Mode, answer, exchange, server_for
from tests.patience import PATIENCE_SECS
from tests.serve.http_rig import http_serving
from tests.serve.test_http import until_ready
from vibe_orderbook_mcp.serve.register import instructions
from vibe_orderbook_mcp.sim.replay import ReplayConfig, ReplayExchange
from vibe_orderbook_mcp.venues.recording import record_to

SHOWN_AT_LEAST = 512  # of the instructions, by hosts
BTC = {"symbol": "BTCUSDT"}
NOW: list[tuple[str, dict[str, Any]]] = [("orderbook_l1", BTC), ("orderbook_l2", BTC), ("orderbook_health", {})]
WINDOWED: list[tuple[str, dict[str, Any]]] = [
    ("get_order_flow", {**BTC, "window_duration_secs": 10}),
    ("get_volume_profile", {**BTC, "duration_hours": 1}),
    ("get_microstructure_health", {**BTC, "window_duration_secs": 10}),
    ("get_liquidity_vacuums", {**BTC, "duration_hours": 1}),
    ("detect_market_anomalies", {**BTC, "window_duration_secs": 10}),
]


def test_a_simulated_market_says_so_everywhere(tmp_path: Path) -> None:
    """107 answers of the demo looked like a market's. One server for every transport and revision: its figures take
    most of a minute to be there."""
    modes: tuple[Mode, ...] = ("auto", "legacy")

    async def run() -> None:
        async with exchange() as sim, http_serving(tmp_path / "db", sim) as served:
            await until_ready(served)
            assert (await served.http.get("/readyz")).json()["source"] == "simulated"
            for mode in modes:
                for transport in (f"{served.url}/mcp", sse_client(f"{served.url}/sse")):
                    async with Client(transport, mode=mode) as client:
                        assert (client.instructions or "").startswith("SIMULATED MARKET")
                        assert "simulated" in str(client.server_info)
                        for tool, arguments in [*NOW, *WINDOWED]:
                            body = await eventually(client, tool, arguments)
                            assert body["source"] == "simulated", tool
                            assert body["summary"].startswith("Simulated market: "), tool

    asyncio.run(run())


async def eventually(client: Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The answer, once there is enough history for it."""
    async with asyncio.timeout(PATIENCE_SECS):
        while (result := await client.call_tool(tool, arguments)).is_error:
            await asyncio.sleep(0.5)
    body: dict[str, Any] = result.structured_content or {}
    return body


def test_a_replayed_recording_says_that_it_is_the_past(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "market.gz"
        async with exchange() as sim:
            await record_to(path, ("BTCUSDT",), sim.rest_url, sim.ws_url, seconds=3)
        async with (
            ReplayExchange(ReplayConfig(files=(path,))) as replay,
            Client(server_for(replay, tmp_path / "db")) as client,
        ):
            body = await answer(client, "orderbook_l1", **BTC)
            assert body["source"] == "recording"
            assert body["summary"].startswith("Recording, not the present: ")
            health = await answer(client, "orderbook_health")
            assert health["summary"].startswith("Recording, not the present: ")
        async with (
            ReplayExchange(ReplayConfig(files=(path,))) as replay,
            http_serving(tmp_path / "db2", replay) as served,
        ):
            await until_ready(served)
            async with Client(f"{served.url}/mcp") as client:
                assert (client.instructions or "").startswith("RECORDING")

    asyncio.run(run())


def test_an_exchange_that_says_nothing_of_itself_is_a_live_one(tmp_path: Path) -> None:
    async def run() -> None:
        sim = exchange()
        sim.venue.source = ""  # as a real one: it has no word for this
        async with sim, http_serving(tmp_path / "db", sim) as served:
            await until_ready(served)
            assert (await served.http.get("/readyz")).json()["source"] == "live"
            async with Client(f"{served.url}/mcp") as client:
                assert (client.instructions or "").startswith("Binance spot order books, live")
                body = await answer(client, "orderbook_l1", **BTC)
                assert body["source"] == "live"
                assert body["summary"].startswith("BTCUSDT ")

    asyncio.run(run())


def test_before_the_exchange_has_answered_nothing_is_claimed(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim:
            server = server_for(sim, tmp_path / "db")
        async with Client(server) as client:  # the exchange is gone
            assert (await answer(client, "orderbook_health"))["source"] is None
            assert "live" not in (client.instructions or "").partition("`source`")[0]

    asyncio.run(run())


@pytest.mark.parametrize("source", ["live", "simulated", "recording", None])
def test_what_matters_most_is_in_the_part_of_the_instructions_that_hosts_show(source: Any) -> None:
    shown = instructions(source)[:SHOWN_AT_LEAST]
    for needed in ("orderbook_health", "`summary`", "`warnings`", "Not covered", "orders."):
        assert needed in shown
    assert instructions(source, "binance_").count("binance_") == 8
