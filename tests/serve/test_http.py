"""The HTTP application over real sockets: who may come in, health and readiness, metrics, sessions and their limits."""

from __future__ import annotations

import asyncio
import platform
import time
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.sse import sse_client
from prometheus_client.parser import text_string_to_metric_families

from tests.answers.serving import answer, checked_refusal, exchange
from tests.collect.venue import feed_of
from tests.e2e.rig import listening, until
from tests.patience import PATIENCE_SECS
from tests.serve.http_rig import Served, http_serving
from vibe_orderbook_mcp import __version__
from vibe_orderbook_mcp.book.compiled import IS_COMPILED
from vibe_orderbook_mcp.sim.faults import Drop, RestStatus, SlowRest, Stall
from vibe_orderbook_mcp.store.disk.layout import Layout

TOKEN = "open sesame, please"  # noqa: S105  # nobody's
EVERY_PATH = ("/healthz", "/readyz", "/metrics", "/sse", "/sse/", "/messages/", "/mcp", "/mcp/")
MCP_PATHS = [("GET", "/sse"), ("GET", "/sse/"), ("POST", "/messages/"), ("POST", "/mcp"), ("POST", "/mcp/")]
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


async def status(served: Served, method: str, path: str, **headers: str) -> int:
    """An event stream is not read: its head is the answer."""
    async with served.http.stream(method, path, headers=headers) as response:
        return response.status_code


# --- who may come in ------------------------------------------------------------------------------------------------

SERVED_HOSTS = [
    "localhost", "LocalHost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000", "books.example",
    "BOOKS.example:8443", "other.example:9000", "a.wild.example", "b.A.wild.example:8000", "[2001:db8::1]:8000",
]  # fmt: skip
REFUSED_HOSTS = [
    "evil.example", "localhost.evil.example", "books.example.evil.example", "evil.example:8000", "evilbooks.example",
    "localhost:8000@evil.example", "127.0.0.1.nip.io", "[::2]:8000", "localhost:port", "other.example", "",
    "wild.example", ".wild.example", "evilwild.example", "a.wild.example.evil.example", "[2001:db8::2]",
]  # fmt: skip


def test_only_the_named_hosts_are_served_on_every_path(tmp_path: Path) -> None:
    """A page in a browser can let any name point to this machine (DNS rebinding); the Host header tells."""

    async def run() -> None:
        async with (
            exchange() as sim,
            http_serving(
                tmp_path / "db", sim, allowed_hosts="books.example,other.example:9000,*.wild.example,[2001:db8::1]"
            ) as served,
        ):
            for host in SERVED_HOSTS:
                assert await status(served, "GET", "/healthz", Host=host) == 200, host
            for host in REFUSED_HOSTS:
                assert await status(served, "GET", "/healthz", Host=host) == 421, host
            for path in EVERY_PATH:
                assert await status(served, "GET", path, Host="evil.example") == 421, path

    asyncio.run(run())


ORIGINS = [
    ("http://localhost:6274", 200),
    ("http://127.0.0.1", 200),
    ("http://[::1]:3000", 200),
    ("https://chatgpt.com", 200),
    ("https://ChatGPT.com/", 200),
    ("http://chatgpt.com", 403),
    ("https://chatgpt.com.evil.example", 403),
    ("https://evil.example", 403),
    ("http://localhost.evil.example", 403),
    ("null", 403),
    ("", 403),
    ("http://[evil", 403),
    ("file://", 403),
]


def test_only_the_named_origins_are_served_on_every_path(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            exchange() as sim,
            http_serving(tmp_path / "db", sim, allowed_origins="https://chatgpt.com") as served,
        ):
            with listening("ERROR") as logged:
                for origin, expected in ORIGINS:
                    assert await status(served, "GET", "/healthz", Origin=origin) == expected, origin
            assert logged.messages == []
            for path in EVERY_PATH:
                assert await status(served, "GET", path, Origin="https://evil.example") == 403, path

    asyncio.run(run())


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_takes_no_place_although_its_browser_names_no_origin(site: str, tmp_path: Path) -> None:
    """`<img src="http://127.0.0.1:8000/sse">` opened a stream, and 500 of them took every place."""

    async def run() -> None:
        async with (
            exchange() as sim,
            http_serving(tmp_path / "db", sim, allowed_origins="https://chatgpt.com") as served,
        ):
            image = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
            visit = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
            for path in ("/sse", "/sse/", "/mcp", "/messages/?session_id=x"):
                assert await status(served, "GET", path, **image) == 403, path
                assert await status(served, "GET", path, **visit) == 403, path
            assert await status(served, "GET", "/metrics", **image) == 403
            assert await status(served, "GET", "/healthz", **visit) == 200
            assert served.runtime.sessions["sse"] == 0
            allowed = {**image, "Sec-Fetch-Mode": "cors", "Origin": "https://chatgpt.com"}
            for own in (allowed, {**image, "Sec-Fetch-Site": "same-origin"}, {**image, "Sec-Fetch-Site": "none"}, {}):
                assert await status(served, "GET", "/sse", **own) == 200
            assert (await scrape(served))["vibe_http_refused_total", "origin"] == 9

    asyncio.run(run())


def test_a_token_is_asked_for_everywhere_but_by_probes(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim, http_serving(tmp_path / "db", sim, auth_token=TOKEN) as served:
            await until_ready(served)
            for path in ("/healthz", "/readyz"):
                assert await status(served, "GET", path) == 200
            for method, path in [*MCP_PATHS, ("GET", "/metrics"), ("DELETE", "/mcp"), ("GET", "/nothing")]:
                for headers in (
                    {},
                    {"Authorization": f"Basic {TOKEN}"},
                    {"Authorization": TOKEN},
                    {"Authorization": "Bearer"},
                    {"Authorization": f"Bearer {TOKEN}x"},
                    {"Authorization": f"Bearer {TOKEN[:-1]}"},
                    {"Authorization": f"Bearer {TOKEN.upper()}"},
                ):
                    response = await served.http.request(method, path, headers=headers)
                    assert response.status_code == 401, (path, headers)
                    assert response.headers["www-authenticate"] == "Bearer"
                    assert TOKEN not in response.text
            bearer = {"Authorization": f"bearer {TOKEN}"}
            assert await status(served, "GET", "/metrics", **bearer) == 200
            for path in ("/sse", "/sse/"):
                async with Client(sse_client(served.url + path, headers=bearer)) as client:
                    assert (await answer(client, "orderbook_l1", symbol="BTCUSDT"))["status"] == "live"
            response = await served.http.post("/mcp/", json=INITIALIZE, headers={**bearer, **ACCEPT})
            assert response.status_code == 200
            # Host and Origin count with a token too.
            assert await status(served, "GET", "/metrics", **bearer, Host="evil.example") == 421

    asyncio.run(run())


def test_a_token_beyond_ascii_is_compared_as_the_bytes_that_were_sent(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim, http_serving(tmp_path / "db", sim, auth_token="schlüssel-币安") as served:  # noqa: S106  # nobody's
            for token, expected in (("schlüssel-币安", 200), ("schlüssel-币", 401)):
                headers = {b"Authorization": f"Bearer {token}".encode()}
                async with served.http.stream("GET", "/metrics", headers=headers) as response:
                    assert response.status_code == expected

    asyncio.run(run())


# --- health and readiness -------------------------------------------------------------------------------------------


async def until_ready(served: Served) -> None:
    async with asyncio.timeout(PATIENCE_SECS):
        while (await served.http.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.02)


def test_readiness_says_per_symbol_why_not_and_comes_and_goes_with_the_books(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange("BTCUSDT", "ETHUSDT") as sim:
            held = sim.faults.add(RestStatus(status="hang", endpoint="depth"))
            refused = sim.faults.add(RestStatus(status=500, endpoint="exchangeInfo", count=1))
            async with http_serving(tmp_path / "db", sim, symbols="BTCUSDT,ETHUSDT,NOPEUSDT") as served:
                runtime = served.runtime
                assert (await served.http.get("/healthz")).status_code == 200
                await until(lambda: len(runtime.market.symbols) >= 1 and len(feed_of(runtime).failed) >= 1)
                response = await served.http.get("/readyz")
                assert response.status_code == 503
                assert set(response.json()["symbols"]) == {"BTCUSDT", "ETHUSDT", "NOPEUSDT"}
                assert all(why != "live" for why in response.json()["symbols"].values())
                assert sim.faults.remove(held)
                sim.faults.remove(refused)
                for symbol in ("BTCUSDT", "ETHUSDT"):
                    assert await feed_of(runtime).wait_live(symbol, 10)
                body = (await served.http.get("/readyz")).json()
                assert body["ready"] is False  # a symbol that does not exist is never live
                assert body["symbols"]["BTCUSDT"] == "live"
                found = await scrape(served)
                assert [found["vibe_book_live", symbol] for symbol in body["symbols"]] == [1, 1, 0]
                assert "NOPEUSDT" in body["symbols"]["NOPEUSDT"]

            async with http_serving(tmp_path / "db2", sim, symbols="BTCUSDT,ETHUSDT") as served:
                await until_ready(served)
                sim.faults.add(SlowRest(delay=1, endpoint="depth", seconds=5))
                sim.faults.add(Drop(symbol="BTCUSDT", count=1))
                await until(lambda: served.runtime.market.symbols["BTCUSDT"].book is None)
                response = await served.http.get("/readyz")
                assert response.status_code == 503
                assert "gap" in response.json()["symbols"]["BTCUSDT"]
                assert response.json()["symbols"]["ETHUSDT"] == "live"
                await until_ready(served)
                assert (await served.http.get("/healthz")).status_code == 200

    asyncio.run(run())


def test_without_a_recorder_the_server_is_not_ready_but_healthy(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "db").write_text("a file")
        async with exchange() as sim, http_serving(tmp_path / "db", sim) as served:
            assert await feed_of(served.runtime).wait_live("BTCUSDT", 10)
            await until(lambda: served.runtime.archive.mode == "unavailable")
            response = await served.http.get("/readyz")
            assert response.status_code == 503
            assert response.json()["recorder"].startswith("unavailable")
            assert str(tmp_path) not in response.text
            assert (await served.http.get("/healthz")).text == "ok\n"

    asyncio.run(run())


# --- metrics --------------------------------------------------------------------------------------------------------

PROMISED = {
    "vibe_book_age_seconds",
    "vibe_depth_events_total",
    "vibe_gaps_total",
    "vibe_resyncs_total",
    "vibe_reconnects_total",
    "vibe_snapshots_stored_total",
    "vibe_trades_stored_total",
    "vibe_storage_errors_total",
    "vibe_sessions",
    "vibe_tool_seconds_bucket",
    "vibe_tool_seconds_count",
}


async def scrape(served: Served) -> dict[tuple[str, ...], float]:
    """{(sample, label values...): value}, read by the reference parser."""
    response = await served.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *(value for label, value in sorted(sample.labels.items()) if label != "venue")): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_metrics_are_those_that_are_promised_and_true(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            exchange("BTCUSDT", "ETHUSDT") as sim,
            http_serving(tmp_path / "db", sim, symbols="BTCUSDT,ETHUSDT") as served,
        ):
            runtime = served.runtime
            await until_ready(served)
            sim.faults.add(Drop(symbol="BTCUSDT", count=1))
            await until(lambda: runtime.market.symbols["BTCUSDT"].counts.resyncs == 2)
            await until(lambda: all(runtime.recorder.snapshots_stored[s] >= 2 for s in ("BTCUSDT", "ETHUSDT")))
            async with Client(f"{served.url}/mcp") as client:
                await answer(client, "orderbook_l1", symbol="BTCUSDT")
                checked_refusal(await client.call_tool("orderbook_l1", {"symbol": "NOPEUSDT"}))
            sim.faults.add(Stall())
            states = runtime.market.symbols
            while True:  # until what was under way is in
                events, began_ns = [state.counts.events for state in states.values()], time.monotonic_ns()
                found = await scrape(served)
                ended_ns = time.monotonic_ns()
                if events == [state.counts.events for state in states.values()]:
                    break
            assert {name for name, *_ in found} >= PROMISED
            assert b'vibe_book_live{symbol="BTCUSDT",venue="binance"} 1.0' in served.server.metrics.text()
            books = "compiled" if IS_COMPILED else "python"
            assert found["vibe_build_info", books, platform.python_version(), __version__] == 1
            for symbol in ("BTCUSDT", "ETHUSDT"):
                state = states[symbol]
                assert found["vibe_depth_events_total", symbol] == state.counts.events > 0
                assert found["vibe_resyncs_total", symbol] == state.counts.resyncs
                assert found["vibe_snapshots_stored_total", symbol] >= 2
                assert found["vibe_trades_stored_total", symbol] > 0
                youngest, oldest = ((state.age_ns(now_ns) or 0) / 1e9 for now_ns in (began_ns, ended_ns))
                assert youngest <= found["vibe_book_age_seconds", symbol] <= oldest
            assert (found["vibe_gaps_total", "BTCUSDT"], found["vibe_gaps_total", "ETHUSDT"]) == (1, 0)
            assert found["vibe_reconnects_total",] == 0
            assert found["vibe_storage_errors_total",] == 0
            assert found["vibe_storage_recording",] == 1
            reserve = Layout(runtime.settings.storage_cap_mb, runtime.settings.retention_days).reserve_bytes
            assert found["vibe_disk_reserve_bytes",] == reserve < found["vibe_disk_free_bytes",]
            assert found["vibe_tool_seconds_count", "orderbook_l1"] == 2
            assert found["vibe_tool_refusals_total", "symbol_not_found", "orderbook_l1"] == 1

    asyncio.run(run())


# --- sessions -------------------------------------------------------------------------------------------------------


def test_open_sessions_are_counted_by_transport_and_leave_the_count_with_the_client(tmp_path: Path) -> None:
    async def sessions(served: Served) -> tuple[float, float, float]:
        found = await scrape(served)
        return (found["vibe_sessions", "sse"], found["vibe_sessions", "http"], found["vibe_sessions", "stdio"])

    async def come_to(served: Served, expected: tuple[float, float, float]) -> None:
        async with asyncio.timeout(PATIENCE_SECS):
            while await sessions(served) != expected:
                await asyncio.sleep(0.02)

    async def run() -> None:
        async with exchange() as sim, http_serving(tmp_path / "db", sim) as served:
            await until_ready(served)
            assert await sessions(served) == (0, 0, 0)
            async with Client(sse_client(f"{served.url}/sse")) as one:
                await answer(one, "orderbook_health")
                assert await sessions(served) == (1, 0, 0)
                async with Client(sse_client(f"{served.url}/sse/")), Client(f"{served.url}/mcp", mode="legacy") as http:
                    await answer(http, "orderbook_health")
                    assert await sessions(served) == (2, 0, 0)  # over HTTP there are none
                await come_to(served, (1, 0, 0))
            await come_to(served, (0, 0, 0))
            assert served.runtime.market.symbols["BTCUSDT"].counts.resyncs == 1  # clients come and go, the book stays

    asyncio.run(run())


# --- wrong requests -------------------------------------------------------------------------------------------------

WRONG: list[tuple[str, str, dict[str, Any], set[int]]] = [
    ("POST", "/sse", {"json": INITIALIZE}, {405}),  # clients that try streamable HTTP first fall back on this
    ("POST", "/sse/", {"json": INITIALIZE}, {405}),
    ("POST", "/healthz", {}, {405}),
    ("POST", "/readyz", {}, {405}),
    ("PUT", "/metrics", {}, {405}),
    ("GET", "/messages/", {}, {400, 405}),
    ("POST", "/messages/", {"json": INITIALIZE}, {400}),
    ("POST", "/messages/?session_id=nonsense", {"json": INITIALIZE}, {400}),
    ("POST", "/messages/?session_id=" + "0" * 32, {"json": INITIALIZE}, {404}),
    ("GET", "/mcp", {}, {405}),  # no stream of its own: clients go without
    ("GET", "/mcp/", {"headers": {"Accept": "text/event-stream"}}, {405}),
    ("DELETE", "/mcp", {}, {400, 405, 406}),
    ("POST", "/mcp", {"json": INITIALIZE, "headers": {"Accept": "text/html"}}, {406}),
    ("POST", "/mcp", {"content": b"{", "headers": {**ACCEPT, "Content-Type": "application/json"}}, {400}),
    ("POST", "/mcp", {"content": b"x", "headers": {**ACCEPT, "Content-Type": "text/plain"}}, {400, 415}),
    ("PUT", "/mcp", {"json": INITIALIZE}, {405}),
    ("GET", "/", {}, {404}),
    ("GET", "/mcp/x", {}, {404}),
    ("GET", "/../etc/passwd", {}, {404}),
    ("POST", "/mcp", {"content": b" " * (5 * 2**20), "headers": {**ACCEPT, "Content-Type": "application/json"}}, {413}),
]


def test_wrong_requests_are_refused_and_nothing_breaks(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim, http_serving(tmp_path / "db", sim) as served:
            await until_ready(served)
            with listening("ERROR") as logged:
                for method, path, how, expected in WRONG:
                    response = await served.http.request(method, path, **how)
                    assert response.status_code in expected, (method, path, response.status_code, response.text)
                    assert "Traceback" not in response.text
            assert logged.messages == []
            assert (await served.http.get("/healthz")).status_code == 200

    asyncio.run(run())


def test_a_message_that_is_too_large_is_refused_on_an_open_session(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            exchange() as sim,
            http_serving(tmp_path / "db", sim) as served,
            served.http.stream("GET", "/sse") as events,
        ):
            lines = events.aiter_lines()
            while not (line := await anext(lines)).startswith("data: "):
                pass
            endpoint = line.removeprefix("data: ")
            assert endpoint.startswith("/messages/")  # relative: right behind any proxy
            large = b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"' + b"x" * (5 * 2**20) + b'"}}'
            response = await served.http.post(endpoint, content=large, headers={"Content-Type": "application/json"})
            assert response.status_code == 413
            response = await served.http.post(endpoint, json=INITIALIZE)
            assert response.status_code == 202

    asyncio.run(run())
