"""What is said of an exchange that cannot be reached: where, through which proxy, what failed; no credentials."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.e2e.rig import listening, until
from tests.patience import PATIENCE_SECS
from tests.process.test_outbound import set_only
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.errors import ExchangeUnavailable
from vibe_orderbook_mcp.process.outbound import route
from vibe_orderbook_mcp.process.pace import Repeats
from vibe_orderbook_mcp.process.unreachable import why
from vibe_orderbook_mcp.venues import connection
from vibe_orderbook_mcp.venues.binance.rest import BinanceRest
from vibe_orderbook_mcp.venues.binance.wire import BinanceSpot
from vibe_orderbook_mcp.venues.connection import Connection
from vibe_orderbook_mcp.venues.feed import Feed
from vibe_orderbook_mcp.venues.recording import record_to

FAR = "exchange.invalid"  # reserved: it never resolves
SECRET = "pass-word"  # noqa: S105  # none


@contextlib.asynccontextmanager
async def answering(answer: bytes | None) -> AsyncIterator[int]:
    """A port that says this to whatever comes, or with None nothing at all."""
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read(4096)
        if answer is not None:
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for writer in writers:
            writer.close()
        server.close()


async def said(work: Callable[[], Awaitable[object]]) -> str:
    async with asyncio.timeout(PATIENCE_SECS):
        with pytest.raises(ExchangeUnavailable) as caught:
            await work()
    assert SECRET not in str(caught.value)
    assert "/stream" not in str(caught.value)
    assert "/api" not in str(caught.value)
    return str(caught.value)


async def of_rest(host: str, scheme: str = "http", timeout_secs: float = 10.0) -> str:
    async with BinanceRest(f"{scheme}://{host}", timeout_secs=timeout_secs) as rest:
        return await said(lambda: rest.depth("BTCUSDT"))


async def of_stream(host: str, scheme: str = "ws") -> str:
    return await said(lambda: Connection.open(BinanceSpot(), f"{scheme}://{host}", ["btcusdt@depth@100ms"]))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_the_address_and_the_cause_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_only(monkeypatch)
    monkeypatch.setattr(connection, "OPEN_TIMEOUT_SECS", 0.3)

    async def run() -> None:
        port = free_port()
        refused = f"cannot be reached at 127.0.0.1:{port} (refused)."
        assert await of_rest(f"127.0.0.1:{port}") == f"The exchange {refused}"
        assert await of_stream(f"127.0.0.1:{port}") == f"The exchange's stream {refused}"
        both = f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}"
        assert await said(lambda: record_to(tmp_path / "x", ("BTCUSDT",), *both)) == f"The exchange {refused}"
        assert await of_rest(FAR, "https") == f"The exchange cannot be reached at {FAR}:443 (name not found)."
        assert await of_stream(f"{FAR}:9443") == (
            f"The exchange's stream cannot be reached at {FAR}:9443 (name not found)."
        )
        async with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
            assert f"at 127.0.0.1:{port} (TLS failed)." in await of_rest(f"127.0.0.1:{port}", "https")
            assert f"at 127.0.0.1:{port} (TLS failed)." in await of_stream(f"127.0.0.1:{port}", "wss")
        async with answering(None) as port:
            assert await of_rest(f"127.0.0.1:{port}", timeout_secs=0.3) == (
                f"The exchange did not answer within 0 s at 127.0.0.1:{port}."
            )
            assert await of_stream(f"127.0.0.1:{port}") == (
                f"The exchange's stream cannot be reached at 127.0.0.1:{port} (timed out)."
            )

    asyncio.run(run())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # websockets leaves a proxy's socket
def test_the_proxy_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        port = free_port()
        for scheme in ("http", "socks5h"):
            set_only(monkeypatch, ALL_PROXY=f"{scheme}://me:{SECRET}@127.0.0.1:{port}")
            refused = f"cannot be reached at {FAR}:443 through the proxy of ALL_PROXY (refused)."
            assert await of_rest(FAR, "https") == f"The exchange {refused}"
            assert await of_stream(FAR, "wss") == f"The exchange's stream {refused}"
        set_only(monkeypatch, https_proxy=f"http://me:{SECRET}@proxy.invalid:3128")
        missing = f"cannot be reached at {FAR}:443 through the proxy of https_proxy (name not found)."
        assert await of_rest(FAR, "https") == f"The exchange {missing}"
        assert await of_stream(FAR, "wss") == f"The exchange's stream {missing}"
        async with answering(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as port:
            set_only(monkeypatch, https_proxy=f"http://me:{SECRET}@127.0.0.1:{port}")
            for text in (await of_rest(FAR, "https"), await of_stream(FAR, "wss")):
                assert text.endswith("of https_proxy (the proxy did not let it through, HTTP 407).")
        for answer in (b"\x05\xff", b"nonsense"):
            async with answering(answer) as port:
                set_only(monkeypatch, ALL_PROXY=f"socks5h://127.0.0.1:{port}")
                for text in (await of_rest(FAR, "https"), await of_stream(FAR, "wss")):
                    assert text.endswith("through the proxy of ALL_PROXY (the proxy did not let it through).")

    asyncio.run(run())
    gc.collect()


def test_several_addresses_of_one_name_have_one_cause() -> None:
    both = OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 9, 0, 0), [Errno 111] Connect call")
    assert why(both) == "refused"
    grouped = OSError("All connection attempts failed")
    grouped.__cause__ = ExceptionGroup("several", [ConnectionRefusedError(111, "x"), OSError(101, "y")])
    assert why(grouped) == "refused"
    assert why(OSError("something else")) == "no connection"


def test_a_route_is_shown_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    set_only(monkeypatch, NO_PROXY="*", ALL_PROXY="http://p:1")
    assert route("https://[2001:db8::1]/x?y") == "[2001:db8::1]:443"
    assert route("ws://books.example:9443") == "books.example:9443"


def test_the_first_line_says_how_many_symbols_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """It named only the symbol that was tried first, and an operator looked for a fault of that one."""
    set_only(monkeypatch)

    async def run() -> None:
        port = free_port()
        async with BinanceRest(f"http://127.0.0.1:{port}") as rest:
            feed = Feed(Market(), BinanceSpot(), rest, f"ws://127.0.0.1:{port}")
            with listening("WARNING") as logged:
                for number in range(8):
                    feed.keep(f"A{number}USDT")
                await until(lambda: "Cannot subscribe" in logged)
            await feed.aclose()
            assert logged.count("Cannot subscribe") == 1
            assert logged.count("to A0USDT, A1USDT, A2USDT, A3USDT, A4USDT and 3 more yet: The exchange") == 1

    asyncio.run(run())


def test_the_repeated_line_names_every_symbol_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    set_only(monkeypatch)

    async def run() -> None:
        port = free_port()
        async with BinanceRest(f"http://127.0.0.1:{port}") as rest:
            feed = Feed(Market(), BinanceSpot(), rest, f"ws://127.0.0.1:{port}")
            feed._said = Repeats(every_secs=0.0)  # each line is a repeated one
            with listening("WARNING") as logged:
                for symbol in ("ETHUSDT", "BTCUSDT", "SOLUSDT"):
                    feed.keep(symbol)
                waiting = (
                    f"BTCUSDT, ETHUSDT, SOLUSDT yet: The exchange cannot be reached at 127.0.0.1:{port} (refused)."
                )
                await until(lambda: f"Cannot subscribe to {waiting}" in logged)
            await feed.aclose()

    asyncio.run(run())
