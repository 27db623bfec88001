"""Proxies and certificates of the environment: used by one rule for both libraries, or refused in one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import forked
from tests.answers.serving import exchange
from tests.e2e.processes import environment, started
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.model.errors import ConfigError, ExchangeUnavailable
from vibe_orderbook_mcp.process import outbound
from vibe_orderbook_mcp.venues.binance.rest import BinanceRest
from vibe_orderbook_mcp.venues.binance.wire import BinanceSpot
from vibe_orderbook_mcp.venues.connection import Connection

REST, WS = "https://data-api.binance.vision", "wss://data-stream.binance.vision"
VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "REQUEST_METHOD")


def cleared(given: dict[str, str]) -> dict[str, str]:
    """This process's environment without what the tests are about, and with `given`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and name not in VARIABLES
    }
    return kept | given


def set_only(monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
    for name in os.environ.keys() - cleared({}).keys():
        monkeypatch.delenv(name)
    for name, value in given.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("given", "rest", "ws"),
    [
        ({}, None, None),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1", "http://p:1"),
        ({"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:2"}, "http://p:1", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "http://p:1", "http://p:1"),
        ({"all_proxy": "p:1"}, "http://p:1", "http://p:1"),
        ({"ALL_PROXY": "socks5://p"}, "socks5://p:1080", "socks5://p:1080"),
        ({"ALL_PROXY": "socks5h://u:w@[2001:db8::1]:9/"}, *["socks5h://u:w@[2001:db8::1]:9/"] * 2),
        ({"ALL_PROXY": "http://user@p:1"}, "http://user:@p:1", "http://user:@p:1"),
        ({"HTTPS_PROXY": "http://p:1", "WSS_PROXY": "http://q:2"}, "http://p:1", "http://q:2"),
        ({"HTTP_PROXY": "http://p:1"}, None, None),
        ({"HTTPS_PROXY": ""}, None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "binance.vision"}, None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": " .binance.vision , x"}, None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*.binance.vision"}, None, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "data-api.binance.vision:443"}, None, "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "data-api.binance.vision:80"}, "http://p:1", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[::1],[::1]:80,::1,10.0.0.0/8,[,]"}, "http://p:1", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "nance.vision"}, "http://p:1", "http://p:1"),
    ],
)
def test_both_libraries_get_the_proxy_that_the_environment_names(
    given: dict[str, str], rest: str | None, ws: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ALL_PROXY counted for one of them only, and a bracket in NO_PROXY ended in a stack."""
    set_only(monkeypatch, **given)
    assert (outbound.proxy_for(REST), outbound.proxy_for(WS)) == (rest, ws)


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_direct"),
    [
        ("localhost", "", True),
        ("books.localhost", "", True),
        ("127.0.0.1", "", True),
        ("127.1.2.3", "", True),
        ("[::1]", "", True),
        ("[::ffff:127.0.0.1]", "", True),
        ("127.evil.example", "", False),
        ("localhost.evil.example", "", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "1.2.3", False),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("[2001:db8::1]", "[2001:db8::1]", True),
        ("[2001:db8::1]", "2001:db8::/32", True),
        ("[2001:db8::1]", "[2001:db8::1]:443", False),
        ("[2001:db8::1]", "[2001:db8::1]:80", True),
    ],
)
def test_this_machine_is_asked_past_every_proxy_and_so_is_what_no_proxy_names(
    host: str, no_proxy: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_only(monkeypatch, ALL_PROXY="ftp://nowhere" if not no_proxy and is_direct else "http://p:1", NO_PROXY=no_proxy)
    for scheme in ("http", "ws"):
        assert (outbound.proxy_for(f"{scheme}://{host}") is None) is is_direct


@pytest.mark.parametrize(
    "value", ["ftp://p", "http://", "http://[p", "http://p:port", "http://p:0", "http://p/x", "a b"]
)
@pytest.mark.parametrize("name", ["ALL_PROXY", "https_proxy"])
def test_a_proxy_that_cannot_be_used_is_named_with_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_only(monkeypatch, **{name: value})
    with pytest.raises(ConfigError, match=f"^{name} is .*it must be the URL of a proxy") as caught:
        outbound.check(REST, WS)
    assert "\n" not in str(caught.value)


def test_the_password_of_a_proxy_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    set_only(monkeypatch, ALL_PROXY="ftp://me:sesame@p")
    with pytest.raises(ConfigError) as caught:
        outbound.check(REST)
    assert "sesame" not in str(caught.value)


def test_socks_without_its_packages_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    set_only(monkeypatch, ALL_PROXY="socks5://p:1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "socksio" else find_spec(name))
    with pytest.raises(ConfigError, match=r"ALL_PROXY is 'socks5://p:1'.*vibe-orderbook-mcp\[socks\]"):
        outbound.check(REST)


def test_certificates_of_the_environment_are_used_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty, bundle = tmp_path / "empty.pem", Path(ssl.get_default_verify_paths().cafile or "/nonexistent")
    empty.write_text("nothing\n")
    for name, value in [
        ("SSL_CERT_FILE", "/nonexistent.pem"),
        ("SSL_CERT_FILE", str(empty)),
        ("SSL_CERT_FILE", str(tmp_path)),
        ("SSL_CERT_DIR", "/nonexistent"),
        ("SSL_CERT_DIR", str(empty)),
        ("SSLKEYLOGFILE", str(tmp_path / "none" / "keys")),
    ]:
        set_only(monkeypatch, **{name: value})
        for urls in ((REST,), (WS,)):
            with pytest.raises(ConfigError, match=f"^{name} is '{value}'; it must be"):
                outbound.check(*urls)
        outbound.check("http://books.example", "ws://books.example")  # nothing to trust there
        monkeypatch.delenv(name)
    set_only(monkeypatch, SSL_CERT_DIR=str(tmp_path))
    assert isinstance(outbound.client_options(REST)["verify"], ssl.SSLContext)
    if bundle.exists():
        set_only(monkeypatch, SSL_CERT_FILE=str(bundle))
        context = outbound.client_options(REST)["verify"]
        assert isinstance(context, ssl.SSLContext)
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.get_ca_certs()


class Socks:
    """A SOCKS5 proxy (RFC 1928) that connects to one address whatever it is asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.asked: list[tuple[str, int]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        *_, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        self.asked.append((host, int.from_bytes(await reader.readexactly(2), "big")))
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await asyncio.gather(pour(reader, there_writer), pour(there_reader, writer))


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def socks(port: int) -> AsyncIterator[tuple[Socks, str]]:
    proxy = Socks(port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    try:
        yield proxy, f"socks5h://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def test_rest_and_stream_go_through_a_socks_proxy_with_the_names_unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with exchange() as sim, socks(sim.port) as (proxy, url):
            set_only(monkeypatch, ALL_PROXY=url)
            async with BinanceRest("http://exchange.invalid") as rest, asyncio.timeout(PATIENCE_SECS):
                assert (await rest.depth("BTCUSDT")).bids
            connection = await Connection.open(BinanceSpot(), "ws://exchange.invalid:9443", ["btcusdt@depth@100ms"])
            async with asyncio.timeout(PATIENCE_SECS):
                assert b"depthUpdate" in await anext(connection.frames())
            await connection.close()
            assert sorted(set(proxy.asked)) == [("exchange.invalid", 80), ("exchange.invalid", 9443)]
            set_only(monkeypatch, ALL_PROXY=url.rpartition(":")[0] + ":1")  # nobody is there
            with pytest.raises(ExchangeUnavailable):
                await Connection.open(BinanceSpot(), "ws://exchange.invalid:9443", ["btcusdt@depth@100ms"])
            async with BinanceRest("http://exchange.invalid") as rest:
                with pytest.raises(ExchangeUnavailable):
                    await rest.depth("BTCUSDT")

    asyncio.run(run())


def test_the_program_stops_with_one_sentence_and_a_simulated_exchange_needs_no_proxy(tmp_path: Path) -> None:
    async def run() -> None:
        record = ("record", "--symbols", "BTCUSDT", "-o", str(tmp_path / "x"))
        http = ("serve", "--transport", "http", "--port", "0")
        for given, expected in [
            ({"ALL_PROXY": "ftp://x"}, "ALL_PROXY is 'ftp://x'"),
            ({"https_proxy": "http://["}, "https_proxy is 'http://['"),
            ({"SSL_CERT_FILE": "/nonexistent.pem"}, "SSL_CERT_FILE is '/nonexistent.pem'"),
        ]:
            for arguments in ((), http, record):
                env = cleared(environment(data_path=tmp_path / "db") | given)
                env = {name: value for name, value in env.items() if name in cleared({}) or name in given} | {
                    "VIBE_DATA_PATH": str(tmp_path / "db")
                }
                output = forked.command(*arguments, cwd=tmp_path, env=env)
                assert output.code == 2
                said = [line for line in output.err.splitlines() if " starts: " not in line]  # what it was about to do
                assert len(said) == 1, output.err
                assert said[0].startswith(f"Error: {expected}; it must be"), output.err
        async with exchange() as sim:
            wrong = {
                "ALL_PROXY": "ftp://x",
                "SSL_CERT_FILE": "/nonexistent.pem",
                "NO_PROXY": "[::1]",
                "WEB_CONCURRENCY": "x",
            }
            env = environment(rest_url=sim.rest_url, ws_url=sim.ws_url, data_path=tmp_path / "db", backfill_hours=0)
            async with started(*http, cwd=tmp_path, env=env | wrong) as server, asyncio.timeout(PATIENCE_SECS):
                while not server.count("Book of BTCUSDT is live"):
                    assert server.process.returncode is None, server.lines
                    await asyncio.sleep(0.05)
                assert server.count("Traceback") == 0

    asyncio.run(run())
