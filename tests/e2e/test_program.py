"""The program as a process: recording without a client, all transports, and a clean stop."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import signal
import socket
import sys
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.answers.serving import as_text, text_of
from tests.e2e.processes import environment, free_port, ready, started
from tests.e2e.rig import until
from tests.outcomes import Outcome
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.answers.tools import TOOLS
from vibe_orderbook_mcp.collect.recorder import STOP_WAIT_SECS
from vibe_orderbook_mcp.serve.serving import SHUTDOWN_SECS
from vibe_orderbook_mcp.sim import SimConfig, SimExchange

SYMBOLS = ("BTCUSDT", "ETHUSDT")


def simulated() -> SimExchange:
    return SimExchange(SimConfig(symbols=("BTCUSDT", "ETHUSDT", "SOLUSDT"), seed=3, history_hours=0.01))


def env_for(sim: SimExchange, path: Path, **more: object) -> dict[str, str]:
    return environment(rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=path, **more)


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    assert json.loads(text_of(result)) == as_text(result.structured_content)
    answer: dict[str, Any] = result.structured_content
    return answer


async def use(client: Client) -> None:
    listed = await client.list_tools()
    assert [tool.name for tool in listed.tools] == [tool.name for tool in TOOLS]
    for tool in listed.tools:
        assert tool.description
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint
        assert tool.output_schema is not None
    book = await call(client, "orderbook_l2", symbol="btc/usdt", levels=5)
    assert (book["symbol"], book["status"], len(book["bids"]), len(book["asks"])) == ("BTCUSDT", "live", 5, 5)
    touch = await call(client, "orderbook_l1", symbol="ETH-USDT")
    assert Decimal(touch["spread"]) == Decimal(touch["best_ask"]) - Decimal(touch["best_bid"])


def connections(base_url: str) -> list[tuple[str, Any, str]]:
    return [
        (path + mode, transport, mode)
        for mode in ("auto", "legacy")
        for path, transport in (
            ("/sse", sse_client(f"{base_url}/sse")),
            ("/sse/", sse_client(f"{base_url}/sse/")),
            ("/mcp", f"{base_url}/mcp"),
            ("/mcp/", f"{base_url}/mcp/"),
        )
    ]


def test_every_http_transport_serves_one_and_the_same_books(tmp_path: Path) -> None:
    async def run() -> None:
        port = free_port()
        base_url = f"http://127.0.0.1:{port}"
        async with simulated() as sim:
            serve = ("serve", "--transport", "http", "--port", str(port))
            async with started(*serve, cwd=tmp_path, env=env_for(sim, tmp_path / "db")) as server:
                await ready(base_url)
                for _, transport, mode in connections(base_url):
                    async with Client(transport, mode=mode) as client:
                        await use(client)
                async with httpx.AsyncClient(base_url=base_url) as http:
                    assert (await http.get("/healthz")).status_code == 200
                    metrics = (await http.get("/metrics")).text
                    assert 'vibe_resyncs_total{symbol="BTCUSDT",venue="binance"} 1.0' in metrics
                    assert (await http.get("/healthz", headers={"Host": "evil.example"})).status_code == 421
                    assert (await http.get("/metrics", headers={"Origin": "https://evil.example"})).status_code == 403
                assert server.count("Pre-subscribed to BTCUSDT for snapshot persistence") == 1
                assert server.count("Traceback") == 0

    asyncio.run(run())


def test_sigterm_with_sse_clients_connected_flushes_and_exits_although_they_stay(tmp_path: Path) -> None:
    """Within 5 s, waits on purpose included: for answers, and for a disk that is being opened."""
    assert SHUTDOWN_SECS + STOP_WAIT_SECS < 5

    async def run() -> None:
        port = free_port()
        base_url = f"http://127.0.0.1:{port}"
        async with simulated() as sim:
            serve = ("serve", "--transport", "http", "--port", str(port))
            async with started(*serve, cwd=tmp_path, env=env_for(sim, tmp_path / "db")) as server:
                await ready(base_url)
                async with (
                    httpx.AsyncClient(base_url=base_url, timeout=PATIENCE_SECS) as http,
                    http.stream("GET", "/sse/") as stream,
                    http.stream("GET", "/sse") as other,
                ):
                    assert (stream.status_code, other.status_code) == (200, 200)
                    server.process.send_signal(signal.SIGTERM)
                    await server.ended()
                assert server.count("Snapshot persistence task shutting down") == 1
                assert server.count("Snapshot persistence task stopped") == 1
                assert server.count("Traceback") == 0, "\n".join(server.lines)

    asyncio.run(run())


def test_seventy_seconds_without_a_client_are_remembered_and_answered(tmp_path: Path) -> None:
    """The reason for this program: history exists before anybody asks, whole and provable."""

    async def run() -> None:
        port = free_port()
        base_url = f"http://127.0.0.1:{port}"
        data = tmp_path / "db"
        async with simulated() as sim:
            env = env_for(sim, data)
            serve = ("serve", "--transport", "http", "--port", str(port))
            async with started(*serve, cwd=tmp_path, env=env) as server:
                await ready(base_url)
                # Each second of it takes one of real time.
                await until(
                    lambda: min(server.count(f"Stored snapshot for {s} at ") for s in SYMBOLS) >= 70, 70 + PATIENCE_SECS
                )
                assert server.count("trades for BTCUSDT") >= 1
                async with Client(sse_client(f"{base_url}/sse/")) as client:
                    flow = await call(client, "get_order_flow", symbol="BTCUSDT", window_duration_secs=60)
                    health = await call(client, "orderbook_health")
                    assert health["storage"] == "recording"
                    # A machine that stands still for seconds costs the connection, and says so.
                    is_unbroken = not health["reconnects"] and not any(each["gaps"] for each in health["symbols"])
                    assert flow["window"]["coverage"] > (0.9 if is_unbroken else 0.1)
                    assert flow["window"]["samples"] >= (54 if is_unbroken else 10)
                assert [path for path in data.iterdir() if path.suffix in (".sst", ".log")]
                rows = await exported(tmp_path, env, "snapshots", "BTCUSDT")  # works while the server runs
                assert rows
                server.process.send_signal(signal.SIGTERM)
                await server.ended()
                stored, skipped = (
                    {symbol: server.count(f"{word} snapshot for {symbol}") for symbol in SYMBOLS}
                    for word in ("Stored", "Skipping")
                )
            for symbol in SYMBOLS:
                seconds = [int(row["time"]) for row in await exported(tmp_path, env, "snapshots", symbol)]
                assert len(seconds) == stored[symbol]
                missing = seconds[-1] - seconds[0] + 1 - len(seconds)
                assert missing <= skipped[symbol]  # each of them was said
                ids = [int(row["agg_id"]) for row in await exported(tmp_path, env, "trades", symbol)]
                assert len(ids) > 100
                if is_unbroken:
                    assert missing == 0
                    assert ids == list(range(ids[0], ids[0] + len(ids)))

    asyncio.run(run())


async def exported(cwd: Path, env: dict[str, str], kind: str, symbol: str) -> list[dict[str, str]]:
    async with started("export", kind, "--symbol", symbol, cwd=cwd, env=env) as export:
        assert export.process.stdout is not None
        text = (await export.process.stdout.read()).decode()
        assert await export.ended() == 0, export.lines
    return list(csv.DictReader(io.StringIO(text)))


def test_stdio_serves_an_sdk_client_and_ends_with_its_input(tmp_path: Path) -> None:
    async def run() -> None:
        async with simulated() as sim:
            parameters = StdioServerParameters(
                command=sys.executable,
                args=["-m", "vibe_orderbook_mcp"],
                env=env_for(sim, tmp_path / "db"),
                cwd=tmp_path,
            )
            async with Client(stdio_client(parameters)) as client:
                await use(client)

    asyncio.run(run())


@pytest.mark.parametrize("how", ["end of input", "SIGTERM", "SIGINT"])
def test_stdio_stops_cleanly(how: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            simulated() as sim,
            started(cwd=tmp_path, env=env_for(sim, tmp_path / "db", log_level="DEBUG")) as server,
        ):
            await until(lambda: server.count("Stored snapshot for BTCUSDT") > 0)
            if how == "end of input":
                assert server.process.stdin is not None
                server.process.stdin.close()
            else:
                server.process.send_signal(getattr(signal, how))
            assert await server.ended() == 0
            assert server.lines[-1].endswith("Snapshot persistence task stopped")  # no line is lost at the end
            assert server.count("Traceback") == 0, "\n".join(server.lines)
            # What a host keeps of a server's stderr nobody reads: counts do.
            each = [line for line in server.lines if "Stored snapshot for" in line]
            assert all(" DEBUG " in line for line in each)
            counts = Counter(line.split(" for ")[1].split(" at ")[0] for line in each)
            told = ", ".join(f"{symbol} {count}" for symbol, count in sorted(counts.items()))
            assert server.count(f" INFO    Stored {counts.total()} snapshots: {told}") == 1
            assert server.process.stdout is not None
            assert await server.process.stdout.read() == b""

    asyncio.run(run())


def test_wrong_settings_stop_the_start_with_one_sentence(tmp_path: Path) -> None:
    async def output(*arguments: str, **variables: object) -> tuple[int, list[str]]:
        env = environment(data_path=tmp_path / "db", **variables)
        async with started(*arguments, cwd=tmp_path, env=env) as command:
            return await command.ended(), command.lines

    async def run() -> None:
        for arguments, variables, expected in [
            (("serve",), {"max_symbols": "many"}, "VIBE_MAX_SYMBOLS is 'many'"),
            (("serve",), {"rest_url": "ftp://x"}, "VIBE_REST_URL is 'ftp://x'"),
            (("serve",), {"symbols": "BTC:USDT"}, "VIBE_SYMBOLS is"),
            (("serve", "--transport", "http"), {"host": "0.0.0.0"}, "VIBE_HOST is '0.0.0.0'"),  # noqa: S104  # refused
            (("export", "trades", "--symbol", "BTCUSDT"), {}, "Error: "),
            (("status",), {}, "Error: "),
        ]:
            code, lines = await output(*arguments, **variables)
            assert code in (1, 2)
            assert len([line for line in lines if expected in line]) == 1, lines
            assert not any("Traceback" in line for line in lines)

    asyncio.run(run())


@pytest.mark.parametrize("sign", ["starts: history in", "pydantic"])  # the second: settings are still being imported
def test_a_start_is_said_at_once_and_can_be_stopped_at_any_moment(sign: str, tmp_path: Path) -> None:
    async def run() -> None:
        env = environment(data_path="db", rest_url="http://127.0.0.1:9", host="0.0.0.0", port=0, allowed_hosts="x")  # noqa: S104
        if sign == "pydantic":
            env["PYTHONPROFILEIMPORTTIME"] = "1"
        async with started("serve", "--transport", "http", cwd=tmp_path, env=env) as server:
            await until(lambda: server.count(sign) >= 1)
            server.process.send_signal(signal.SIGTERM)
            assert await server.ended() == 0
        assert server.count("Traceback") == server.count("ERROR") == 0
        if sign != "pydantic":
            assert server.count(f"starts: history in {tmp_path / 'db'}, exchange http://127.0.0.1:9") == 1
            assert server.count("everybody who reaches port 0 can use this server") == 1

    asyncio.run(run())


def test_a_name_that_looks_like_a_setting_is_warned_about(tmp_path: Path) -> None:
    async def run() -> None:
        env = environment(data_path=tmp_path / "db", simbols="BTCUSDT")
        async with started("status", cwd=tmp_path, env=env) as command:
            await command.ended()
            assert command.count("VIBE_SIMBOLS is not a setting") == 1

    asyncio.run(run())


def test_a_bad_line_of_the_env_file_is_reported_once_with_the_file(tmp_path: Path) -> None:
    """It was reported at each reading of the file, without its name."""
    (tmp_path / ".env").write_text("VIBE_SYMBOLS=BTCUSDT\n= nothing\n")

    async def run() -> None:
        env = environment(data_path=tmp_path / "db")
        async with started("export", "trades", "--symbol", "BTCUSDT", cwd=tmp_path, env=env) as command:
            await command.ended()
            assert command.count(f"Line 2 of {tmp_path / '.env'} is not NAME=value; it is ignored") == 1
            assert command.count("could not parse") == 0

    asyncio.run(run())


@pytest.mark.parametrize("arguments", [("serve", "--transport", "http"), ("sim",)], ids=" ".join)
def test_a_port_in_use_is_one_clear_sentence(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """The error's number and the address came twice."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            env = environment(data_path=tmp_path / "db")
            async with started(*arguments, "--port", str(port), cwd=tmp_path, env=env) as command:
                assert await command.ended() == 2
                assert command.count("in use") == command.count("Error: ") == 1
                assert command.count("Errno") == command.count("ERROR") == command.count("attempting") == 0

    asyncio.run(run())


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_demo_leaves_no_exchange_and_no_data_behind(how: signal.Signals, tmp_path: Path) -> None:
    """The simulated exchange is a process of its own, and history a temporary directory."""

    async def run() -> None:
        port = free_port()
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        env = environment() | {"TMPDIR": str(scratch)}
        async with started("demo", "--port", str(port), cwd=tmp_path, env=env) as demo:
            await ready(f"http://127.0.0.1:{port}")
            rest = next(line.split()[-1] for line in demo.lines if "Simulated exchange for" in line)
            assert list(scratch.iterdir())
            demo.process.send_signal(how)
            await demo.ended()
            assert demo.count("Traceback") == 0, "\n".join(demo.lines)
        async with httpx.AsyncClient() as http, asyncio.timeout(PATIENCE_SECS):
            while True:
                try:
                    await http.get(f"{rest}/api/v3/ping")
                except httpx.TransportError:
                    break
                await asyncio.sleep(0.05)
        if how is not signal.SIGKILL:
            assert list(scratch.iterdir()) == []

    asyncio.run(run())


@pytest.mark.fault(
    part="process",
    fault="two processes on one directory, the recording one stops",
    promise="the other reads its history and records on within seconds",
)
def test_a_second_process_reads_history_and_records_on_when_the_first_has_gone(
    tmp_path: Path, outcome: Outcome
) -> None:
    """Claude Desktop's process beside the HTTP server is a normal day."""

    async def run() -> None:
        ports = free_port(), free_port()
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        async with simulated() as sim:
            env = env_for(sim, tmp_path / "db", backfill_hours=0)
            serve = ("serve", "--transport", "http", "--port")
            async with started(*serve, str(ports[0]), cwd=tmp_path, env=env) as first:
                await ready(urls[0])
                async with started(*serve, str(ports[1]), cwd=tmp_path, env=env) as second:
                    await until(lambda: second.count("this one reads its history") == 1)
                    await until(lambda: first.count("Stored snapshot for BTCUSDT") >= 12)
                    async with Client(f"{urls[1]}/mcp") as client:
                        health = await call(client, "orderbook_health")
                        assert health["storage"] == "read_only"
                        flow = await call(client, "get_order_flow", symbol="BTCUSDT", window_duration_secs=10)
                        assert flow["window"]["coverage"] >= 0.5
                    assert second.count("Stored snapshot") == 0
                    over = time.monotonic()
                    first.process.send_signal(signal.SIGTERM)
                    await first.ended()
                    await until(lambda: second.count("Stored snapshot for BTCUSDT") >= 2)
                    outcome.recovered(time.monotonic() - over, saw="history readable, health says read_only")
                    assert second.count("this one records now") == 1
                    await ready(urls[1])

    asyncio.run(run())
