"""One connection and its line, over a real socket, to an exchange that answers as the test wants."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.model.errors import ExchangeUnavailable
from vibe_orderbook_mcp.model.events import DepthUpdate
from vibe_orderbook_mcp.model.wire import BookReplaced, MalformedMessage, Reply, Traded
from vibe_orderbook_mcp.venues.binance import messages
from vibe_orderbook_mcp.venues.binance.wire import TRAITS, BinanceSpot, BinanceWire
from vibe_orderbook_mcp.venues.connection import Connection
from vibe_orderbook_mcp.venues.line import Line

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def confirming(request: dict[str, Any]) -> dict[str, Any]:
    return {"result": None, "id": request["id"]}


def refusing(request: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": 2, "msg": "Invalid request"}, "id": request["id"]}


@contextlib.asynccontextmanager
async def connected(answer: Answer) -> AsyncIterator[tuple[Connection, list[list[str]]]]:
    """A connection that reads, and the streams of each request that the exchange got."""
    requests: list[list[str]] = []

    async def exchange(socket: ServerConnection) -> None:
        async for text in socket:
            request = json.loads(text)
            requests.append(request["params"])
            await socket.send(json.dumps(answer(request)))

    async def read(connection: Connection) -> None:
        async for raw in connection.frames():
            reply = messages.parse_frame(raw)
            assert isinstance(reply, Reply)
            connection.acknowledge(reply)

    async with serve(exchange, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = await Connection.open(BinanceSpot(), f"ws://127.0.0.1:{port}", ["first"])
        reading = asyncio.create_task(read(connection))
        try:
            yield connection, requests
        finally:
            await connection.close()
            await reading


def test_what_is_asked_for_at_once_shares_a_request() -> None:
    """The exchange allows five messages a second: one for each symbol would make the last of twenty wait for six."""

    async def run() -> None:
        async with connected(confirming) as (connection, requests):
            await asyncio.gather(*(connection.subscribe([f"{number}@a", f"{number}@b"]) for number in range(12)))
            assert [len(streams) for streams in requests] == [2, 22]
            assert connection.streams == {"first", *(stream for streams in requests for stream in streams)}

    asyncio.run(run())


def test_a_request_holds_no_more_than_its_share() -> None:
    async def run() -> None:
        async with connected(confirming) as (connection, requests):
            await asyncio.gather(*(connection.subscribe([f"{number}@a", f"{number}@b"]) for number in range(40)))
            assert [len(streams) for streams in requests] == [2, 60, 18]

    asyncio.run(run())


def test_a_refusal_is_told_to_all_who_share_it_and_opens_no_stream() -> None:
    async def run() -> None:
        async with connected(refusing) as (connection, _):
            failures = await asyncio.gather(
                *(connection.subscribe([f"{number}@a"]) for number in range(3)), return_exceptions=True
            )
            assert [type(failure) for failure in failures] == [ExchangeUnavailable] * 3
            assert connection.streams == {"first"}

    asyncio.run(run())


def test_who_shares_a_request_is_not_left_waiting_when_its_sender_gives_up() -> None:
    async def run() -> None:
        async with connected(confirming) as (connection, _):
            first = asyncio.create_task(connection.subscribe(["1@a"]))
            sender = asyncio.create_task(connection.subscribe(["2@a"]))
            sharing = asyncio.create_task(connection.subscribe(["3@a"]))
            await asyncio.sleep(0)
            sender.cancel()
            with pytest.raises(ExchangeUnavailable):
                await asyncio.wait_for(sharing, PATIENCE_SECS)
            await first
            await connection.subscribe(["4@a"])
            assert connection.streams == {"first", "1@a", "4@a"}

    asyncio.run(run())


class Told:
    """A receiver that remembers for which symbols it may fetch snapshots."""

    def __init__(self) -> None:
        self.symbols: asyncio.Queue[set[str]] = asyncio.Queue()

    def connected(self, symbols: set[str], *, is_first: bool) -> None:
        assert is_first
        self.symbols.put_nowait(symbols)

    def depth(self, update: DepthUpdate, received_ns: int) -> None: ...
    def book(self, replaced: BookReplaced, received_ns: int) -> None: ...
    def trade(self, traded: Traded, received_ns: int) -> None: ...
    def malformed(self, error: MalformedMessage) -> None: ...
    def disconnected(self, symbols: set[str], reason: str) -> None: ...
    def interrupted(self, symbols: set[str]) -> None: ...
    def last_update_id(self, symbol: str) -> int | None: ...
    def is_stuck(self, symbols: set[str], now_ns: int) -> str | None: ...


def test_a_symbol_is_not_connected_before_its_streams_are_confirmed() -> None:
    """Its snapshot would be older than its stream, and after two seconds be taken for the book of a quiet symbol."""

    async def run() -> None:
        told, adding = Told(), list[asyncio.Task[None]]()
        may_confirm = asyncio.Event()

        def opening(*_: object) -> None:
            adding.append(asyncio.create_task(line.add("BUSDT")))  # in time for the connection's first request

        async def exchange(socket: ServerConnection) -> None:
            async for text in socket:
                request = json.loads(text)
                if "cusdt@aggTrade" in request["params"]:
                    await may_confirm.wait()
                else:
                    adding.append(asyncio.create_task(line.add("CUSDT")))
                    await asyncio.sleep(0)  # its request waits for its turn now
                await socket.send(json.dumps(confirming(request)))

        async with asyncio.timeout(PATIENCE_SECS), serve(exchange, "127.0.0.1", 0, process_request=opening) as server:
            line = Line(BinanceSpot(), f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", told)
            await line.add("AUSDT")
            running = asyncio.create_task(line.run())
            try:
                assert await told.symbols.get() == {"AUSDT", "BUSDT"}
                may_confirm.set()
                await asyncio.gather(*adding)
            finally:
                may_confirm.set()  # or the exchange would not end
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


class SpokenPings(BinanceSpot):
    """Its connections have pings of their own."""

    class Pinging(BinanceWire):
        def ping(self) -> bytes:
            return b"ping"

    def wire(self) -> BinanceWire:
        return self.Pinging()


def test_a_venue_that_has_pings_of_its_own_gets_them() -> None:
    """It ends a connection without them, although the websocket's own pings are answered."""

    async def run() -> None:
        pings = asyncio.Queue[str | bytes]()

        async def exchange(socket: ServerConnection) -> None:
            async for text in socket:
                pings.put_nowait(text)

        async with asyncio.timeout(PATIENCE_SECS), serve(exchange, "127.0.0.1", 0) as server:
            venue = SpokenPings(msgspec.structs.replace(TRAITS, ping_every_secs=0.01))
            line = Line(venue, f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", Told())
            await line.add("AUSDT")
            running = asyncio.create_task(line.run())
            try:
                assert [await pings.get() for _ in range(3)] == ["ping"] * 3  # as text
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())
