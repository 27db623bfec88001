"""What a call of a tool costs beyond a call of an empty one, through the SDK's own client, while symbols stream.

    python -m bench.answers [--rounds 300] [--symbols 20] [--transports stdio,sse,http] [--json FILE]

The empty tool and the others take turns on one session of one server, so all see the same machine. Figures are
medians in milliseconds, as the client sees them: its own decoding and its check of the answer against the tool's
schema are part of them, and are also given alone ("client").
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client
from mcp_types import CallToolResult, JSONRPCResponse, TextContent
from mcp_types.methods import serialize_server_result

from bench.answering_server import empty
from bench.sets import recorded
from bench.synthetic import synthetic
from vibe_orderbook_mcp.process.config import load_settings
from vibe_orderbook_mcp.serve.serving import create_server
from vibe_orderbook_mcp.sim.catalog import PROFILES
from vibe_orderbook_mcp.venues.binance.messages import DepthMessage, parse_frame, parse_snapshot

ROOT = Path(__file__).resolve().parents[1]
STREAMED = [name for name in PROFILES if name.isascii() and name != "WANUSDT"]
START_SECS = 90.0
WARM_ROUNDS = 20

Arguments = dict[str, Any]
CALLS: dict[str, tuple[str, Arguments]] = {
    "empty": ("empty", {}),
    "orderbook_l1": ("orderbook_l1", {"symbol": "BTCUSDT"}),
    "orderbook_l2, 20 levels": ("orderbook_l2", {"symbol": "BTCUSDT", "levels": 20}),
    "get_order_flow, 60 s": ("get_order_flow", {"symbol": "BTCUSDT", "window_duration_secs": 60}),
    "get_microstructure_health, 60 s": ("get_microstructure_health", {"symbol": "BTCUSDT"}),
    "detect_market_anomalies, 60 s": ("detect_market_anomalies", {"symbol": "BTCUSDT"}),
    "orderbook_health": ("orderbook_health", {}),
}


def environment(**settings: object) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VIBE_")}
    return {**kept, **{f"VIBE_{name.upper()}": str(value) for name, value in settings.items()}}


@contextlib.contextmanager
def process(*command: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # our own programs
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            started.terminate()


@contextlib.contextmanager
def exchange(symbols: list[str]) -> Iterator[str]:
    """The simulated exchange's REST URL."""
    command = ("vibe_orderbook_mcp", "sim", "--port", "0", "--symbols", ",".join(symbols))
    with process(*command, env=environment()) as sim:
        told = sim.stdout.readline() if sim.stdout is not None else ""
        words = [word.strip(",") for word in told.split()]
        yield next(word for word in words if word.startswith("http://"))


@contextlib.asynccontextmanager
async def client_of(transport: str, settings: dict[str, object]) -> AsyncIterator[Client]:
    if transport == "stdio":
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "bench.answering_server", "stdio"],
            env=environment(**settings),
            cwd=ROOT,
        )
        async with Client(server) as client:
            yield client
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    with process("bench.answering_server", "http", env=environment(**settings, port=port)):
        async with httpx.AsyncClient() as http, asyncio.timeout(START_SECS):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await http.get(f"{base}/healthz")).status_code == 200:
                        break
                await asyncio.sleep(0.2)
        async with Client(sse_client(f"{base}/sse") if transport == "sse" else f"{base}/mcp") as client:
            yield client


async def measure(transport: str, settings: dict[str, object], rounds: int) -> dict[str, Any]:
    async with client_of(transport, settings) as client:
        await _warm(client)
        taken: dict[str, list[float]] = {name: [] for name in CALLS}
        results: dict[str, CallToolResult] = {}
        for number in range(rounds + WARM_ROUNDS):
            for name, (tool, arguments) in CALLS.items():
                began = time.perf_counter()
                result = await client.call_tool(tool, arguments)
                if number >= WARM_ROUNDS:
                    taken[name].append(1e3 * (time.perf_counter() - began))
                if not isinstance(result, CallToolResult) or result.is_error:
                    raise RuntimeError(f"{name}: {result}")
                results[name] = result
            await asyncio.sleep(0.01)
        return {name: await _figures(client, name, taken, results[name]) for name in CALLS}


async def _warm(client: Client) -> None:
    """Until every tool answers: a minute's window needs half a minute of rows."""
    async with asyncio.timeout(START_SECS):
        for tool, arguments in CALLS.values():
            while (await client.call_tool(tool, arguments)).is_error:  # noqa: ASYNC110  # nothing tells when
                await asyncio.sleep(1.0)


async def _figures(client: Client, name: str, taken: dict[str, list[float]], result: CallToolResult) -> dict[str, Any]:
    text = "".join(part.text for part in result.content if isinstance(part, TextContent))
    wire = result.model_dump_json(by_alias=True, exclude_none=True)
    return {
        "p50_ms": median(taken[name]),
        "p99_ms": quantiles(taken[name], n=100)[98],
        "over_empty_ms": median(taken[name]) - median(taken["empty"]),
        "client_ms": median([await _client_ms(client, CALLS[name][0], wire) for _ in range(50)]),
        "text_bytes": len(text.encode()),
        "wire_bytes": len(wire.encode()),
    }


async def _client_ms(client: Client, tool: str, wire: str) -> float:
    """What the client itself spends on an answer: decoding, and its check against the schema."""
    began = time.perf_counter()
    result = CallToolResult.model_validate_json(wire, by_alias=True)
    if result.structured_content is not None:
        await client.session.validate_tool_result(tool, result)
    return 1e3 * (time.perf_counter() - began)


async def on_the_server(rounds: int = 200) -> dict[str, dict[str, float]]:
    """Milliseconds of CPU that the server itself spends beyond the empty tool's, from the call to the bytes.

    No transport and no client: one thread's CPU time, which other work on the machine hardly changes. The books are
    the recorded BTCUSDT (or the synthetic one) after all of its messages, one event between any two calls.
    """
    found: dict[str, dict[str, float]] = {}
    for messages in (recorded("BTCUSDT", "0.01000000", "0.00001000"), synthetic(1_000)):
        if messages is None:
            continue
        server = create_server(load_settings(symbols=messages.symbol, log_level="ERROR"))
        server.add_tool(empty, name="empty")
        market = server.runtime.market
        state = market.add(messages.spec)
        market.load(messages.symbol, parse_snapshot(messages.snapshot), messages.limit or 5000, time.monotonic_ns())
        updates = [event for _, raw in messages.frames if isinstance(event := parse_frame(raw), DepthMessage)]
        for update in updates[:-rounds]:
            market.receive_depth(update, time.monotonic_ns())
        taken: dict[str, list[float]] = {name: [] for name in ON_THE_SERVER}
        for update in updates[-rounds:]:
            market.receive_depth(update, time.monotonic_ns())
            for name in ON_THE_SERVER:
                tool, arguments = CALLS[name]
                if arguments:
                    arguments = {**arguments, "symbol": messages.symbol}
                began = time.thread_time()
                result = await server.call_tool(tool, arguments)
                _to_bytes(result)
                taken[name].append(1e3 * (time.thread_time() - began))
        book = state.book
        levels = 0 if book is None else len(book.bids) + len(book.asks)
        costs = found[f"{messages.name}, {levels} levels"] = {}
        for name in ON_THE_SERVER[1:]:
            costs[name] = median(taken[name]) - median(taken["empty"])
            # With the caches to itself, as on a machine that does little else.
            costs[f"{name}, quickest tenth"] = _tenth(taken[name]) - _tenth(taken["empty"])
    return found


def _tenth(taken: list[float]) -> float:
    return quantiles(taken, n=10)[0]


def _to_bytes(result: Any) -> bytes:
    """As the SDK does for a client of 2025-11-25 over stdio or SSE."""
    dumped = result.model_dump(by_alias=True, mode="json", exclude_none=True)
    shaped = serialize_server_result("tools/call", "2025-11-25", dumped)
    return (
        JSONRPCResponse(jsonrpc="2.0", id=1, result=shaped).model_dump_json(by_alias=True, exclude_unset=True).encode()
    )


def report(results: dict[str, dict[str, Any]]) -> str:
    lines = []
    for transport, figures in results.items():
        lines.append(
            f"{transport:32} {'p50':>7} {'p99':>7} {'over empty':>11} {'client':>7} {'text B':>7} {'wire B':>7}"
        )
        for name, found in figures.items():
            lines.append(
                f"  {name:30} {found['p50_ms']:7.2f} {found['p99_ms']:7.2f} {found['over_empty_ms']:11.2f}"
                f" {found['client_ms']:7.2f} {found['text_bytes']:7d} {found['wire_bytes']:7d}"
            )
    return "\n".join(lines)


ON_THE_SERVER = ("empty", "orderbook_l1", "orderbook_l2, 20 levels")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--transports", default="stdio,sse,http")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    symbols = STREAMED[: options.symbols]
    server = asyncio.run(on_the_server())
    for book, costs in server.items():
        told = ", ".join(f"{name} {cost:.2f}" for name, cost in costs.items())
        print(f"on the server alone, milliseconds of CPU beyond an empty tool, {book}: {told}", flush=True)
    results: dict[str, dict[str, Any]] = {}
    with exchange(symbols) as rest_url, tempfile.TemporaryDirectory() as folder:
        for transport in options.transports.split(","):
            settings: dict[str, object] = {
                "rest_url": rest_url,
                "ws_url": rest_url.replace("http://", "ws://", 1),
                "symbols": ",".join(symbols),
                "data_path": Path(folder) / transport,
                "backfill_hours": 0,
                "log_level": "ERROR",
            }
            results[transport] = asyncio.run(measure(transport, settings, options.rounds))
    print(f"{len(symbols)} symbols streaming, {options.rounds} rounds, milliseconds")
    print(report(results))
    if options.json:
        options.json.write_text(json.dumps({"on_the_server": server, **results}, indent=1))


if __name__ == "__main__":
    main()
