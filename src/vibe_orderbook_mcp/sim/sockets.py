"""One websocket connection on top of the websockets library's sans-I/O protocol, for any venue's language.

uvicorn hands over every upgrade request (`Config(ws=...)`), so REST and streams share a port. The transport is ours:
a market-data frame is written once and the same bytes go to every listener, a slow client shows in its write buffer,
and a connection can be cut the rude way.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

import msgspec
from loguru import logger
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from vibe_orderbook_mcp.sim.hub import TEXT, frame

CLOSING_S: Final = 0.3
UNREAD_BYTES: Final = 64 * 1024  # that may be on their way before a replay at full speed waits for the client
_numbers = itertools.count(1)


class StreamLimits(msgspec.Struct, frozen=True):
    """What the exchange grants a connection."""

    ping_s: float = 20.0
    pong_s: float = 60.0
    life_s: float = 24 * 3600.0
    buffer_bytes: int = 16 * 2**20  # unsent bytes after which a slow client is dropped


class Turned(NamedTuple):
    """A handshake that is refused."""

    status: HTTPStatus
    text: str


class Speaker(Protocol):
    """Who speaks on a connection: the exchange of one venue."""

    messages_a_second: int  # that a client may send, pings included

    def begin(self) -> None:
        """The connection is open."""

    def hear(self, text: str) -> None:
        """The client has sent this."""

    def end(self) -> None:
        """The connection is gone."""


class SpeakerOn:
    """What every speaker does with its connection; see `hub.Listener`."""

    def __init__(self, connection: SimConnection) -> None:
        self.number = connection.number
        self.connection = connection

    def deliver(self, frame: bytes) -> None:
        self.connection.deliver(frame)

    def disconnect(self, *, abrupt: bool) -> None:
        self.connection.disconnect(abrupt=abrupt)

    async def drained(self) -> None:
        await self.connection.drained()


# Path and query of a handshake -> who speaks, or why nobody does.
Switchboard = Callable[["SimConnection", str, str], Speaker | Turned]


class SimConnection(asyncio.Protocol):
    def __init__(self, switchboard: Switchboard, limits: StreamLimits, *, server_state: Any, **_unused: Any) -> None:
        self.number = next(_numbers)
        self._switchboard = switchboard
        self._limits = limits
        self._siblings: set[Any] = server_state.connections  # uvicorn closes these on shutdown and waits for them
        self._protocol = ServerProtocol(max_size=64 * 1024)
        self._speaker: Speaker | None = None
        self._incoming: deque[float] = deque()
        self._timers: list[asyncio.TimerHandle] = []
        self._room = asyncio.Event()
        self._room.set()
        self._questions = itertools.count(1)
        self._unread_bytes = 0  # sent since the client was last known to have read everything
        self._question: tuple[bytes, asyncio.Event] | None = None  # a ping that says what was read, and its answer
        self._transport: asyncio.Transport
        self._gone = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  for mypy: uvicorn serves stream sockets only
        self._transport = transport
        self._siblings.add(self)

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._handshake(event)
            elif isinstance(event, Frame):
                self._frame(event)
        self._flush()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._flush()

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone = True
        self._room.set()
        if self._question is not None:
            self._question[1].set()
        self._siblings.discard(self)
        if self._speaker is not None:
            self._speaker.end()
        for timer in self._timers:
            timer.cancel()

    # uvicorn

    def shutdown(self) -> None:
        self.disconnect(abrupt=False)

    # The speaker

    def deliver(self, frame: bytes) -> None:
        """Hand a whole websocket frame to the socket; never waits."""
        if self._gone or self._protocol.state is not State.OPEN:
            return
        self._transport.write(frame)
        self._unread_bytes += len(frame)
        if self._transport.get_write_buffer_size() > self._limits.buffer_bytes:
            logger.warning("Dropped stream client {}: it does not read", self.number)
            self.disconnect(abrupt=True)

    def say(self, text: bytes) -> None:
        """An answer to the client, which no fault bends."""
        self._transport.write(frame(text, TEXT))

    def disconnect(self, *, abrupt: bool) -> None:
        if abrupt or self._protocol.state is not State.OPEN:
            self._transport.abort()
            return
        self.close(CloseCode.GOING_AWAY, "")

    def close(self, code: int, reason: str) -> None:
        if self._protocol.state is not State.OPEN:
            return
        self._protocol.send_close(code, reason)
        self._flush()
        # A peer that never answers the close frame, or never reads it, does not keep us.
        self._timers.append(asyncio.get_running_loop().call_later(CLOSING_S, self._transport.abort))

    async def drained(self) -> None:
        """Back to few unread bytes: a pong comes after the client has read all that was sent before the ping."""
        await self._room.wait()
        if self._gone or self._protocol.state is not State.OPEN or self._unread_bytes < UNREAD_BYTES:
            return
        self._unread_bytes = 0
        payload, answered = b"read %d" % next(self._questions), asyncio.Event()
        self._question = payload, answered
        self._protocol.send_ping(payload)
        self._flush()
        await answered.wait()

    # The rules

    def _handshake(self, request: Request) -> None:
        url = urlsplit(request.path)
        speaker = self._switchboard(self, unquote(url.path), url.query)
        if isinstance(speaker, Turned):
            self._protocol.send_response(self._protocol.reject(speaker.status, speaker.text))
            return
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return
        self._speaker = speaker
        self._flush()  # the 101 goes out before any frame
        speaker.begin()
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(self._limits.ping_s, self._ping),
            loop.call_later(self._limits.life_s, self._end_of_life),
        ]
        self._pong_at = loop.time()

    def _frame(self, frame_in: Frame) -> None:
        if frame_in.opcode is Opcode.CLOSE:
            return
        if frame_in.opcode is Opcode.PONG and self._question is not None and frame_in.data == self._question[0]:
            self._pong_at = asyncio.get_running_loop().time()
            self._question[1].set()
            return
        if (speaker := self._speaker) is None:
            return
        now = time.monotonic()
        self._incoming.append(now)
        if len(self._incoming) > speaker.messages_a_second:
            if now - self._incoming[0] < 1.0:
                self.close(CloseCode.POLICY_VIOLATION, "Too many requests")
                return
            self._incoming.popleft()
        if frame_in.opcode is Opcode.PONG:
            self._pong_at = asyncio.get_running_loop().time()
        elif frame_in.opcode is Opcode.TEXT:
            speaker.hear(bytes(frame_in.data).decode(errors="replace"))

    def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._pong_at > self._limits.pong_s:
            self.close(CloseCode.POLICY_VIOLATION, "Pong timeout")
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(str(int(time.time() * 1000)).encode())
            self._flush()
            self._timers[0] = loop.call_later(self._limits.ping_s, self._ping)

    def _end_of_life(self) -> None:
        self.close(CloseCode.GOING_AWAY, "")

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif not self._transport.is_closing():  # the protocol's sign for end of stream
                self._transport.close()
