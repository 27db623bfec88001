"""Limits over real sockets: too much is refused clearly, and a slow or stuck client costs nobody else anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client
from mcp.client.sse import sse_client

from tests.answers.serving import answer, exchange, tracebacks
from tests.e2e.rig import until
from tests.patience import PATIENCE_SECS
from tests.serve.http_rig import Served, http_serving
from tests.serve.test_http import ACCEPT, INITIALIZE, scrape, until_ready
from vibe_orderbook_mcp.serve.limits import HttpLimits

HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"
CALL: dict[str, Any] = {
    "jsonrpc": "2.0",
    "method": "tools/call",
    "params": {"name": "orderbook_l2", "arguments": {"symbol": "BTCUSDT"}},
}


@contextlib.asynccontextmanager
async def limited(path: Path, limits: HttpLimits | None = None) -> AsyncIterator[Served]:
    """A server that is ready, with these limits."""
    async with exchange() as sim, http_serving(path / "db", sim, limits) as served:
        await until_ready(served)
        yield served


async def refused(served: Served, reason: str) -> float:
    return (await scrape(served)).get(("vibe_http_refused_total", reason), 0.0)


def add_waiting_tool(served: Served) -> tuple[asyncio.Event, dict[str, Any]]:
    """A tool that works until the event is set, and a call of it that lacks its id."""
    go_on = asyncio.Event()

    async def waiting() -> dict[str, int]:
        await go_on.wait()
        return {}

    served.server.add_tool(waiting, name="waiting", description="Waits.")
    return go_on, {**CALL, "params": {"name": "waiting", "arguments": {}}}


async def raw(served: Served, request: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client that keeps to nothing but TCP."""
    url = httpx.URL(served.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request)
    await writer.drain()
    return reader, writer


@contextlib.asynccontextmanager
async def sse_stream(served: Served, **headers: str) -> AsyncIterator[tuple[AsyncIterator[str], str]]:
    """The lines of an event stream and where to post."""
    async with served.http.stream("GET", "/sse", headers=headers) as events:
        lines = events.aiter_lines()
        while not (line := await anext(lines)).startswith("data: "):
            pass
        yield lines, line.removeprefix("data: ")


# --- sessions -------------------------------------------------------------------------------------------------------


def test_one_session_more_than_there_are_places_is_told_to_come_again(tmp_path: Path) -> None:
    """Each holds a tenth of a megabyte, and an open port is asked by anybody."""

    async def run() -> None:
        async with limited(tmp_path, HttpLimits(sessions=2)) as served:
            async with sse_stream(served), Client(sse_client(f"{served.url}/sse")) as second:
                third = await served.http.get("/sse")
                assert (third.status_code, third.headers["retry-after"]) == (503, "30")
                assert "error" in third.json()
                await answer(second, "orderbook_l1", symbol="BTCUSDT")
            await until(lambda: served.runtime.sessions["sse"] == 0)
            async with sse_stream(served):
                pass
            opened = [await served.http.post("/mcp", json=INITIALIZE, headers=ACCEPT) for _ in range(3)]
            assert [response.status_code for response in opened] == [200, 200, 200]  # these hold nothing
            assert await refused(served, "sessions") == 1

    asyncio.run(run())


def test_an_idle_stream_makes_room_for_a_new_client_and_a_busy_one_does_not(tmp_path: Path) -> None:
    async def run() -> None:
        limits = HttpLimits(sessions=2, yield_after_secs=0.0)
        async with (
            limited(tmp_path, limits) as served,
            sse_stream(served) as (idle, _),
            Client(sse_client(f"{served.url}/sse")) as busy,
        ):
            await answer(busy, "orderbook_l1", symbol="BTCUSDT")
            async with sse_stream(served):
                with contextlib.suppress(httpx.RemoteProtocolError):  # its stream ends here
                    async with asyncio.timeout(PATIENCE_SECS):
                        async for _ in idle:
                            pass
                await answer(busy, "orderbook_l1", symbol="BTCUSDT")
                assert served.runtime.sessions["sse"] == 2

    asyncio.run(run())


# --- slow and stuck clients -----------------------------------------------------------------------------------------


def test_who_opens_and_says_nothing_or_half_a_head_is_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        limits = HttpLimits(head_secs=0.3)
        async with limited(tmp_path, limits) as served:
            again = b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n"
            for sent, expected in (
                (b"", b" 408 "),
                (b"GET /healthz HTTP/1.1\r\nHost: local", b" 408 "),
                (again + b"GET /healthz HT", b" 200 "),  # the second request of a connection
            ):
                reader, writer = await raw(served, sent)
                async with asyncio.timeout(PATIENCE_SECS):
                    assert expected in await reader.read()
                writer.close()
            assert await refused(served, "head_time") == 3
            reader, writer = await raw(served, again)  # between two requests there is all the time of keep-alive
            await asyncio.sleep(0.5)
            writer.write(again)
            async with asyncio.timeout(PATIENCE_SECS):
                assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
                assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
            writer.close()

    asyncio.run(run())


def test_who_sends_a_head_and_stalls_is_answered_and_dropped(tmp_path: Path) -> None:
    async def run() -> None:
        limits = HttpLimits(body_secs=2.0, in_flight=1)  # time enough for a client that does send
        async with limited(tmp_path, limits) as served:
            stalled = [
                await raw(served, b"POST /mcp HTTP/1.1\r\n" + HEAD + b"Content-Length: 99\r\n\r\n{") for _ in range(5)
            ]
            # They hold no place among the requests that are worked on.
            async with Client(f"{served.url}/mcp") as client:
                await answer(client, "orderbook_l1", symbol="BTCUSDT")
            for reader, writer in stalled:
                async with asyncio.timeout(PATIENCE_SECS):
                    assert (await reader.read()).startswith(b"HTTP/1.1 408")
                writer.close()
            assert await refused(served, "body_time") == 5

    asyncio.run(run())


def test_who_never_reads_its_stream_is_dropped_and_nobody_else_waits(tmp_path: Path) -> None:
    """Its answers would pile up: they fill the sockets, then count as in flight, then posts are refused."""

    async def run() -> None:
        limits = HttpLimits(stall_secs=4.0, in_flight=12, in_flight_a_caller=4)
        async with limited(tmp_path, limits) as served:
            url = httpx.URL(served.url)
            stuck = socket.create_connection((url.host, url.port))
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.setblocking(False)
            stuck.sendall(b"GET /sse HTTP/1.1\r\n" + HEAD + b"\r\n")
            told = ""
            while "session_id=" not in told:
                told += (await asyncio.get_running_loop().sock_recv(stuck, 4096)).decode()
            endpoint = next(line.removeprefix("data: ") for line in told.splitlines() if "session_id=" in line)
            await served.http.post(endpoint, json=INITIALIZE)
            await served.http.post(endpoint, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
            with tracebacks() as errors:
                async with Client(sse_client(f"{served.url}/sse")) as other:
                    codes = []
                    for number in range(2, 5000):
                        call = {
                            **CALL,
                            "id": number,
                            "params": {**CALL["params"], "arguments": {"symbol": "BTCUSDT", "levels": 1000}},
                        }
                        codes.append((await served.http.post(endpoint, json=call)).status_code)
                        if codes[-1] != 202:
                            break
                    assert codes[-1] == 503
                    assert served.server.in_flight.total <= limits.in_flight_a_caller
                    await answer(other, "orderbook_l1", symbol="BTCUSDT")
                    await until(lambda: served.runtime.sessions["sse"] == 1)  # the stuck one has gone
                    await until(lambda: served.server.in_flight.total == 0)
                    assert (await served.http.post(endpoint, json=CALL)).status_code == 404
                    await answer(other, "orderbook_l1", symbol="BTCUSDT")
            stuck.close()
            assert errors == []
            assert await refused(served, "stalled") == 1
            assert await refused(served, "in_flight") >= 1

    asyncio.run(run())


# --- requests -------------------------------------------------------------------------------------------------------


def test_calls_above_the_limit_are_refused_and_the_others_answered(tmp_path: Path) -> None:
    """A call can take seconds, as when a symbol is used first and the exchange hangs: they must not pile up."""

    async def run() -> None:
        limits = HttpLimits(in_flight=6, in_flight_a_caller=3)
        async with limited(tmp_path, limits) as served:
            go_on, slow = add_waiting_tool(served)
            in_flight = served.server.in_flight
            async with sse_stream(served) as (_, one), sse_stream(served) as (_, two):
                for endpoint in (one, two):
                    await served.http.post(endpoint, json=INITIALIZE)
                    await served.http.post(endpoint, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
                    await until(lambda: in_flight.total == 0)
                expected = 0
                for endpoint in (one, two):  # each has places of its own, as long as there are any
                    for _ in range(3):
                        expected += 1
                        response = await served.http.post(endpoint, json={**slow, "id": 10 + expected})
                        assert response.status_code == 202
                        await until(lambda number=expected: in_flight.total == number)  # type: ignore[misc]  # of now
                    if endpoint == one:
                        full = await served.http.post(one, json={**slow, "id": 20})
                        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
                assert (await served.http.post("/mcp", json=INITIALIZE, headers=ACCEPT)).status_code == 503
                assert (await served.http.get("/healthz")).status_code == 200
                go_on.set()
                await until(lambda: in_flight.total == 0)
                assert (await served.http.post("/mcp", json=INITIALIZE, headers=ACCEPT)).status_code == 200
            assert await refused(served, "in_flight") == 2

    asyncio.run(run())


@pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25", "2026-07-28", None])
def test_calls_on_the_streamable_path_are_limited_by_who_sends_them(revision: str | None, tmp_path: Path) -> None:
    """Without a session a call still counts for somebody, in every revision of the protocol."""

    async def run() -> None:
        async with limited(tmp_path, HttpLimits(in_flight=9, in_flight_a_caller=3)) as served:
            go_on, slow = add_waiting_tool(served)
            headers, call = calling(revision, slow)
            waiting: list[asyncio.Task[httpx.Response]] = []
            for address, addresses in (
                ("203.0.113.7", ("203.0.113.7",)),
                ("203.0.113.8", ("203.0.113.8", "::ffff:203.0.113.8")),
                ("2001:db8:1:2::3", ("2001:db8:1:2::3", "2001:db8:1:2:ffff::9")),  # one network of 64 bits
            ):
                before = served.server.in_flight.total
                for _ in range(3):
                    forwarded = {**headers, "X-Forwarded-For": address}
                    waiting.append(asyncio.ensure_future(served.http.post("/mcp", json=call, headers=forwarded)))
                await until(lambda before=before: served.server.in_flight.total == before + 3)  # type: ignore[misc]  # of now
                for other in addresses:
                    full = await served.http.post("/mcp", json=call, headers={**headers, "X-Forwarded-For": other})
                    assert (full.status_code, full.headers["retry-after"]) == (503, "1"), other
            go_on.set()
            answers = await asyncio.gather(*waiting)
            assert [response.status_code for response in answers] == [200] * 9
            await until(lambda: served.server.in_flight.total == 0)

    asyncio.run(run())


def calling(revision: str | None, call: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and message of a call without a session in this revision; None: a client that names none."""
    if revision != "2026-07-28":
        return {**ACCEPT, **({} if revision is None else {"MCP-Protocol-Version": revision})}, {**call, "id": 1}
    meta = {
        "io.modelcontextprotocol/protocolVersion": revision,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    headers = {"MCP-Protocol-Version": revision, "Mcp-Method": "tools/call", "Mcp-Name": call["params"]["name"]}
    return {**ACCEPT, **headers}, {**call, "id": 1, "params": {**call["params"], "_meta": meta}}


def test_requests_whose_bodies_come_late_and_together_do_not_all_get_in(tmp_path: Path) -> None:
    """A place is free when their heads come, and only one of them can have it when their bodies do."""

    async def run() -> None:
        async with limited(tmp_path, HttpLimits(in_flight=1)) as served:
            go_on, slow = add_waiting_tool(served)
            body = json.dumps({**slow, "id": 7}).encode()
            head = b"POST /mcp HTTP/1.1\r\n" + HEAD
            head += b"Accept: application/json, text/event-stream\r\nConnection: close\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n".encode()
            clients = [await raw(served, head + body[:1]) for _ in range(4)]
            assert (await served.http.get("/healthz")).status_code == 200  # by now their heads are read
            for _, writer in clients:
                writer.write(body[1:])
            answers = [asyncio.ensure_future(reader.read()) for reader, _ in clients]
            async with asyncio.timeout(PATIENCE_SECS):
                while sum(one.done() for one in answers) < 3:
                    await asyncio.wait({one for one in answers if not one.done()}, return_when=asyncio.FIRST_COMPLETED)
            go_on.set()
            async with asyncio.timeout(PATIENCE_SECS):
                heads = sorted(text.split(b"\r\n")[0] for text in await asyncio.gather(*answers))
            assert heads == [b"HTTP/1.1 200 OK", *[b"HTTP/1.1 503 Service Unavailable"] * 3]
            assert await refused(served, "in_flight") == 3
            for _, writer in clients:
                writer.close()

    asyncio.run(run())


def test_a_body_that_is_too_large_is_refused_however_it_is_sent(tmp_path: Path) -> None:
    async def run() -> None:
        async with limited(tmp_path, HttpLimits(body_bytes=1000)) as served:
            large = json.dumps({**INITIALIZE, "x": "x" * 2000}).encode()

            async def pieces() -> AsyncIterator[bytes]:
                for start in range(0, len(large), 100):
                    yield large[start : start + 100]

            async with sse_stream(served) as (_, endpoint):
                for path in ("/mcp", "/mcp/", endpoint):
                    for content in (large, pieces()):
                        headers = {**ACCEPT, "Content-Type": "application/json"}
                        response = await served.http.post(path, content=content, headers=headers)
                        assert response.status_code == 413, path
                        assert "1000 bytes" in response.json()["error"]
            assert await refused(served, "body_size") == 6
            reader, writer = await raw(
                served, b"POST /mcp HTTP/1.1\r\n" + HEAD + b"Content-Length: 9" + b"9" * 30 + b"\r\n\r\n"
            )
            async with asyncio.timeout(PATIENCE_SECS):
                assert b" 4" in await reader.readline()
            writer.close()

    asyncio.run(run())


METRICS = b"GET /metrics HTTP/1.1\r\n" + HEAD + b"Authorization: Bearer open sesame\r\n\r\n"
PROBE = b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n"
REFUSED_POST = b"POST /mcp HTTP/1.1\r\n" + HEAD + b"Content-Length: 100000\r\n\r\n{"


async def one_answer(reader: asyncio.StreamReader) -> bytes:
    """Status line, headers and body."""
    async with asyncio.timeout(PATIENCE_SECS):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        return head + await reader.readexactly(int(length.split()[1]))


@pytest.mark.parametrize(
    "stranger",
    [b"", b"GET /mcp HTTP/1.1\r\nHost: local", REFUSED_POST, PROBE, b"GET /nowhere HTTP/1.1\r\n" + HEAD + b"\r\n"],
    ids=["silent", "half a head", "a refused body that trickles", "idle after a probe", "idle after a refusal"],
)
def test_connections_without_a_token_shut_nobody_out(stranger: bytes, tmp_path: Path) -> None:
    """However many they are: the longest idle one makes room, and a client that was let in keeps its connection."""

    async def run() -> None:
        limits = HttpLimits(connections=4, probe_connections=2, head_secs=PATIENCE_SECS, linger_secs=PATIENCE_SECS)
        async with exchange() as sim, http_serving(tmp_path / "db", sim, limits, auth_token="open sesame") as served:  # noqa: S106  # nobody's
            guest_reader, guest_writer = await raw(served, METRICS)
            assert (await one_answer(guest_reader)).startswith(b"HTTP/1.1 200")
            strangers = []
            for number in range(40):
                strangers.append(await raw(served, stranger))
                if number % 10 == 9:
                    async with httpx.AsyncClient(base_url=served.url, timeout=PATIENCE_SECS) as http:
                        assert (await http.get("/healthz")).status_code == 200
                        headers = {**ACCEPT, "Authorization": "Bearer open sesame"}
                        assert (await http.post("/mcp", json=INITIALIZE, headers=headers)).status_code == 200
            guest_writer.write(METRICS)
            text = await one_answer(guest_reader)
            assert text.startswith(b"HTTP/1.1 200")
            assert re.search(rb'vibe_http_refused_total\{reason="connections"\} [1-9]', text) is None
            if stranger == PROBE:
                assert re.search(rb'vibe_http_refused_total\{reason="idle"\} [1-9]', text) is not None
            for _, writer in [*strangers, (guest_reader, guest_writer)]:
                writer.close()

    asyncio.run(run())


def test_when_every_place_is_worked_on_probes_are_answered_and_others_hear_so(tmp_path: Path) -> None:
    async def run() -> None:
        limits = HttpLimits(connections=2, probe_connections=1, rest_secs=PATIENCE_SECS)
        async with exchange() as sim, http_serving(tmp_path / "db", sim, limits) as served:
            streams = [await raw(served, b"GET /sse HTTP/1.1\r\n" + HEAD + b"\r\n") for _ in range(2)]
            for reader, _ in streams:
                assert b" 200 " in await reader.readline()
            for request, expected in ((PROBE, b"200"), (b"GET /sse HTTP/1.1\r\n" + HEAD + b"\r\n", b"503")):
                reader, writer = await raw(served, request)
                answered = await one_answer(reader)
                assert answered.split()[1] == expected
                if expected == b"503":
                    assert b"retry-after: 5" in answered.lower()
                    async with asyncio.timeout(PATIENCE_SECS):
                        assert await reader.read() == b""
                writer.close()
            for _, writer in streams:
                writer.close()
            async with asyncio.timeout(PATIENCE_SECS):
                while served.runtime.sessions["sse"]:
                    await asyncio.sleep(0.01)
            assert await refused(served, "connections") == 1

    asyncio.run(run())


async def trickle(writer: asyncio.StreamWriter) -> None:
    """Until the other end closes, which raises ConnectionError."""
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


def test_a_refusal_is_read_although_the_body_goes_on_and_ends_the_connection(tmp_path: Path) -> None:
    """A refused request may not trickle its body for ever."""

    async def run() -> None:
        limits = HttpLimits(linger_secs=0.5, body_bytes=1000)
        async with exchange() as sim, http_serving(tmp_path / "db", sim, limits, auth_token="open sesame") as served:  # noqa: S106  # nobody's
            too_large = b"POST /mcp HTTP/1.1\r\n" + HEAD + b"Authorization: Bearer open sesame\r\n"
            too_large += b"Content-Length: 3000000\r\n\r\n"
            for request, expected in (
                (REFUSED_POST, b"401"),
                (b"GET /metrics HTTP/1.1\r\n" + HEAD + b"\r\n", b"401"),
                (b"GET /metrics HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9\r\n\r\n", b"421"),
                (too_large + b"x" * 2_000_000, b"413"),
                (b"POST /nowhere HTTP/1.1\r\n" + HEAD + b"Content-Length: 9\r\n\r\n", b"401"),
            ):
                reader, writer = await raw(served)
                writer.write(request)
                answered = await one_answer(reader)
                assert answered.split()[1] == expected
                assert b"connection: close" in answered.lower()
                async with asyncio.timeout(PATIENCE_SECS):
                    assert await reader.read() == b""
                    with pytest.raises(ConnectionError):
                        await trickle(writer)
                with contextlib.suppress(ConnectionError):
                    writer.close()
                    await writer.wait_closed()

    asyncio.run(run())


def test_garbage_on_the_port_is_answered_counted_and_not_logged_each_time(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim, http_serving(tmp_path / "db", sim) as served:
            for garbage in (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                b"GET\r\n\r\n",
                b"\x00" * 50 + b"\r\n\r\n",
                b"A" * 70_000,
            ):
                reader, writer = await raw(served, garbage)
                async with asyncio.timeout(PATIENCE_SECS):
                    with contextlib.suppress(ConnectionError):
                        assert (await reader.read()).startswith(b"HTTP/1.1 4")
                writer.close()
            upgrade = (
                b"GET /sse HTTP/1.1\r\n"
                + HEAD
                + b"Connection: Upgrade\r\nUpgrade: websocket\r\nHost: evil.example\r\n\r\n"
            )
            reader, writer = await raw(served, upgrade)
            assert (await reader.readline()).split()[1] in (b"400", b"421")
            writer.close()
            assert await refused(served, "malformed") >= 3

    asyncio.run(run())
