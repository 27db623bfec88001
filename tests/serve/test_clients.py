"""Clients over HTTP: over a restart of the server, in pages of a browser, behind a proxy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.answers.serving import answer, exchange
from tests.patience import PATIENCE_SECS
from tests.serve.http_rig import Served, http_serving
from tests.serve.test_http import ACCEPT, INITIALIZE, until_ready
from tests.serve.test_limits import sse_stream

PAGE = "https://books.example"
CALL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 2,
    "method": "tools/call",
    "params": {"name": "orderbook_l1", "arguments": {"symbol": "BTCUSDT"}},
}


def message_of(text: str) -> dict[str, Any]:
    """The one message of an event stream's body."""
    (line,) = [line for line in text.splitlines() if line.startswith("data: ")]
    message: dict[str, Any] = json.loads(line.removeprefix("data: "))
    return message


# --- restarts -------------------------------------------------------------------------------------------------------


def test_a_client_of_2025_goes_on_over_a_restart(tmp_path: Path) -> None:
    """It shakes hands once, and it never does again: neither after a restart nor after half an hour without a call."""

    async def run() -> None:
        async with exchange() as sim:
            for headers in (
                {**ACCEPT, "MCP-Protocol-Version": "2025-06-18"},
                {**ACCEPT, "MCP-Protocol-Version": "2025-11-25", "Mcp-Session-Id": "0" * 32},  # of a former version
                ACCEPT,
            ):
                async with http_serving(tmp_path / "db", sim) as served:
                    await until_ready(served)
                    response = await served.http.post("/mcp", json=INITIALIZE, headers=ACCEPT)
                    assert "mcp-session-id" not in response.headers
                    port = httpx.URL(served.url).port
                async with http_serving(tmp_path / "db", sim, port=port) as served:
                    await until_ready(served)
                    response = await served.http.post("/mcp", json=CALL, headers=headers)
                    assert response.status_code == 200, response.text
                    assert message_of(response.text)["result"]["structuredContent"]["status"] == "live"

    asyncio.run(run())


def test_a_client_that_opens_its_stream_again_goes_on_without_shaking_hands(tmp_path: Path) -> None:
    """The TypeScript SDK does so when its event stream breaks."""

    async def posted(lines: AsyncIterator[str], served: Served, endpoint: str, message: dict[str, Any]) -> Any:
        assert (await served.http.post(endpoint, json=message)).status_code == 202
        async with asyncio.timeout(PATIENCE_SECS):
            while not (line := await anext(lines)).startswith("data: "):
                pass
        return json.loads(line.removeprefix("data: "))

    async def run() -> None:
        async with exchange() as sim, http_serving(tmp_path / "db", sim) as served:
            await until_ready(served)
            async with sse_stream(served) as (lines, endpoint):
                message = await posted(lines, served, endpoint, CALL)
                assert message["result"]["structuredContent"]["status"] == "live"
                tools = await posted(lines, served, endpoint, {"jsonrpc": "2.0", "id": 3, "method": "tools/list"})
                assert len(tools["result"]["tools"]) == 8
                # And who shakes hands after all is served as ever.
                hello = await posted(lines, served, endpoint, {**INITIALIZE, "id": 4})
                assert hello["result"]["protocolVersion"] == "2025-06-18"

    asyncio.run(run())


# --- pages of a browser ---------------------------------------------------------------------------------------------

ASKING = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, mcp-protocol-version, mcp-session-id",
}


@pytest.mark.parametrize("token", [None, "open sesame, please"])
def test_a_page_of_an_allowed_origin_can_ask_and_read_every_answer(token: str | None, tmp_path: Path) -> None:
    async def run() -> None:
        settings: dict[str, Any] = {"allowed_origins": "https://Books.example/, https://chatgpt.com"}
        if token is not None:
            settings["auth_token"] = token
        async with exchange() as sim, http_serving(tmp_path / "db", sim, **settings) as served:
            await until_ready(served)
            page = {"Origin": PAGE}
            for path in ("/mcp", "/mcp/", "/sse", "/messages/", "/healthz", "/metrics", "/nothing"):
                asked = await served.http.options(path, headers={**page, **ASKING})
                assert asked.status_code == 200, path
                assert asked.headers["access-control-allow-origin"] == PAGE
                assert "POST" in asked.headers["access-control-allow-methods"]
                allowed = asked.headers["access-control-allow-headers"].lower()
                assert all(name in allowed for name in ("authorization", "mcp-protocol-version"))
                assert "access-control-allow-credentials" not in asked.headers  # no cookies here
            bearer = {} if token is None else {"Authorization": f"Bearer {token}"}
            answers = [
                await served.http.post("/mcp", json=INITIALIZE, headers={**page, **ACCEPT, **bearer}),
                await served.http.post("/mcp", content=b"{", headers={**page, **ACCEPT, **bearer}),
                await served.http.get("/mcp", headers={**page, **bearer}),
                await served.http.get("/healthz", headers=page),
                await served.http.get("/nothing", headers={**page, **bearer}),
                await served.http.get("/healthz", headers={**page, "Host": "evil.example"}),
                await served.http.get("/metrics", headers={**page, "Authorization": "Bearer wrong"}),
                await served.http.post("/mcp", content=b" " * 2**20, headers={**page, **ACCEPT, **bearer}),
            ]
            codes = [response.status_code for response in answers]
            assert codes == [200, 400, 405, 200, 404, 421, 200 if token is None else 401, 413]
            for response in answers:
                assert response.headers["access-control-allow-origin"] == PAGE, response.status_code
                assert "Origin" in response.headers["vary"]
            async with served.http.stream("GET", "/sse", headers={**page, **bearer}) as events:
                assert events.headers["access-control-allow-origin"] == PAGE

    asyncio.run(run())


def test_a_page_of_another_origin_gets_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim, http_serving(tmp_path / "db", sim, allowed_origins=PAGE) as served:
            for origin in (
                "https://evil.example",
                "http://books.example",
                "https://books.example.evil.example",
                "null",
            ):
                for response in (
                    await served.http.options("/mcp", headers={"Origin": origin, **ASKING}),
                    await served.http.post("/mcp", json=INITIALIZE, headers={"Origin": origin, **ACCEPT}),
                ):
                    assert response.status_code == 403, origin
                    assert not [name for name in response.headers if name.startswith("access-control-")]
            # Pages of this machine may ask, as ever, and only what is named may read.
            local = await served.http.get("/healthz", headers={"Origin": "http://localhost:3000"})
            assert local.status_code == 200
            assert "access-control-allow-origin" not in local.headers

    asyncio.run(run())


# --- behind a proxy -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/sse", "/sse/"])
def test_behind_a_proxy_that_strips_a_prefix_the_stream_names_the_address_from_outside(
    path: str, tmp_path: Path
) -> None:
    async def run() -> None:
        async with (
            exchange() as sim,
            http_serving(tmp_path / "db", sim) as served,
            stripping(served.url, "/books/v1") as proxy,
            Client(sse_client(f"{proxy}/books/v1{path}")) as client,
        ):
            await until_ready(served)
            assert (await answer(client, "orderbook_l1", symbol="BTCUSDT"))["status"] == "live"

    asyncio.run(run())


PREFIXES = [
    ("/books", "/books/messages/"),
    ("/books/", "/books/messages/"),
    ("/a/b-c_d.e", "/a/b-c_d.e/messages/"),
    ("/", "/messages/"),
    ("", "/messages/"),
    ("books", "/messages/"),
    ("//evil.example", "/messages/"),
    ("/..", "/messages/"),
    ("/a/../b", "/messages/"),
    ("https://evil.example", "/messages/"),
    ("/a b", "/messages/"),
    ("/a?b", "/messages/"),
    ("/a#b", "/messages/"),
    ("/%2e%2e", "/messages/"),
    ("/a\\b", "/messages/"),
    ("/a, /b", "/messages/"),
    ("/" + "a" * 300, "/messages/"),
    ("/a" * 30, "/messages/"),
]


def test_only_a_plain_path_is_taken_for_a_prefix(tmp_path: Path) -> None:
    """What stands there becomes part of an address that a client posts to."""

    async def run() -> None:
        async with exchange() as sim, http_serving(tmp_path / "db", sim) as served:
            for prefix, expected in PREFIXES:
                async with sse_stream(served, **{"X-Forwarded-Prefix": prefix}) as (_, endpoint):
                    assert endpoint.partition("?")[0] == expected, prefix

    asyncio.run(run())


@contextlib.asynccontextmanager
async def stripping(url: str, prefix: str) -> AsyncIterator[str]:
    """The address of a proxy that serves `url` below a prefix, which it takes off and names in a header."""
    target = httpx.URL(url)
    serving: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection: what comes behind its head is passed on as it is."""
        first, _, rest = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
        method, path, version = first.split()
        assert path.startswith(prefix.encode())
        kept = b"\r\n".join(line for line in rest.split(b"\r\n") if not line.lower().startswith(b"connection:"))
        named = b"X-Forwarded-Prefix: " + prefix.encode() + b"\r\nConnection: close\r\n"
        behind, onward = await asyncio.open_connection(target.host, target.port)
        onward.write(b" ".join((method, path.removeprefix(prefix.encode()), version)) + b"\r\n" + named + kept)
        both = [asyncio.create_task(pump(reader, onward)), asyncio.create_task(pump(behind, writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            for stream in (onward, writer):
                stream.close()
                with contextlib.suppress(ConnectionError):
                    await stream.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serve(reader, writer))
        serving.add(task)
        task.add_done_callback(serving.discard)

    proxy = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
