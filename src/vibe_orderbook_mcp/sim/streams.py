"""One stream connection: Binance's rules on top of the websockets library's sans-I/O protocol.

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
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from loguru import logger
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from vibe_orderbook_mcp.sim.commands import MAX_STREAMS, Subscriptions
from vibe_orderbook_mcp.sim.hub import TEXT, Hub, frame

MESSAGES_A_SECOND: Final = 5
CLOSING_S: Final = 0.3
UNREAD_BYTES: Final = 64 * 1024  # that may be on their way before a replay at full speed waits for the client
_numbers = itertools.count(1)


class StreamLimits(msgspec.Struct, frozen=True):
    """What the exchange grants a connection."""

    ping_s: float = 20.0
    pong_s: float = 60.0
    life_s: float = 24 * 3600.0
    buffer_bytes: int = 16 * 2**20  # unsent bytes after which a slow client is dropped


class StreamConnection(asyncio.Protocol):
    def __init__(
        self,
        hub: Hub,
        limits: StreamLimits,
        subscribed: Callable[[str], None],
        *,
        server_state: Any,
        **_unused: Any,
    ) -> None:
        self.number = next(_numbers)
        self.combined = False
        self._hub = hub
        self._limits = limits
        self._subscribed = subscribed
        self._siblings: set[Any] = server_state.connections  # uvicorn closes these on shutdown and waits for them
        self._protocol = ServerProtocol(max_size=64 * 1024)
        self._session: Subscriptions | None = None
        self._incoming: deque[float] = deque(maxlen=MESSAGES_A_SECOND + 1)
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
        self._hub.listeners.pop(self.number, None)
        if self._session is not None:
            self._hub.leave(self, self._session.streams)
        for timer in self._timers:
            timer.cancel()

    # uvicorn

    def shutdown(self) -> None:
        self.disconnect(abrupt=False)

    # The hub

    def deliver(self, frame: bytes) -> None:
        if self._gone or self._protocol.state is not State.OPEN:
            return
        self._transport.write(frame)
        self._unread_bytes += len(frame)
        if self._transport.get_write_buffer_size() > self._limits.buffer_bytes:
            logger.warning("Dropped stream client {}: it does not read", self.number)
            self.disconnect(abrupt=True)

    def disconnect(self, *, abrupt: bool) -> None:
        if abrupt or self._protocol.state is not State.OPEN:
            self._transport.abort()
            return
        self._close(CloseCode.GOING_AWAY, "")

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
        if self._hub.faults.refuses_handshake(time.monotonic()):
            self._protocol.send_response(self._protocol.reject(HTTPStatus.SERVICE_UNAVAILABLE, "Service Unavailable\n"))
            return
        url = urlsplit(request.path)
        path = unquote(url.path)
        if path == "/stream":
            named = parse_qs(url.query).get("streams", [""])[0]
            self.combined = True
        elif path == "/ws" or path.startswith("/ws/"):
            named = path.removeprefix("/ws").removeprefix("/")
        else:
            self._protocol.send_response(self._protocol.reject(HTTPStatus.NOT_FOUND, "Not Found\n"))
            return
        streams = [name for name in named.split("/") if name]
        if len(streams) > MAX_STREAMS:
            self._protocol.send_response(self._protocol.reject(HTTPStatus.BAD_REQUEST, "Too many streams\n"))
            return
        response = self._protocol.accept(request)
        self._protocol.send_response(response)
        if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            return
        self._session = Subscriptions(streams, combined=self.combined)
        self._hub.listeners[self.number] = self
        self._flush()  # the 101 goes out before any frame
        self._listen(streams)
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(self._limits.ping_s, self._ping),
            loop.call_later(self._limits.life_s, self._end_of_life),
        ]
        self._pong_at = loop.time()

    def _listen(self, streams: list[str]) -> None:
        self._hub.listen(self, streams)
        for stream in streams:
            self._subscribed(stream)

    def _frame(self, frame_in: Frame) -> None:
        if frame_in.opcode is Opcode.CLOSE:
            return
        if frame_in.opcode is Opcode.PONG and self._question is not None and frame_in.data == self._question[0]:
            self._pong_at = asyncio.get_running_loop().time()
            self._question[1].set()
            return
        now = time.monotonic()
        self._incoming.append(now)
        if len(self._incoming) > MESSAGES_A_SECOND and now - self._incoming[0] < 1.0:
            self._close(CloseCode.POLICY_VIOLATION, "Too many requests")
            return
        if frame_in.opcode is Opcode.PONG:
            self._pong_at = asyncio.get_running_loop().time()
        elif frame_in.opcode is Opcode.TEXT and self._session is not None:
            self._command(self._session, bytes(frame_in.data).decode(errors="replace"))

    def _command(self, session: Subscriptions, text: str) -> None:
        before = set(session.streams)
        answer = session.answer(text)
        self.combined = session.combined
        self._hub.leave(self, before - set(session.streams))
        self._transport.write(frame(answer, TEXT))  # the answer comes before the first event
        self._listen([name for name in session.streams if name not in before])

    def _ping(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._pong_at > self._limits.pong_s:
            self._close(CloseCode.POLICY_VIOLATION, "Pong timeout")
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(str(int(time.time() * 1000)).encode())
            self._flush()
            self._timers[0] = loop.call_later(self._limits.ping_s, self._ping)

    def _end_of_life(self) -> None:
        self._close(CloseCode.GOING_AWAY, "")

    def _close(self, code: int, reason: str) -> None:
        if self._protocol.state is not State.OPEN:
            return
        self._protocol.send_close(code, reason)
        self._flush()
        # A peer that never answers the close frame, or never reads it, does not keep us.
        self._timers.append(asyncio.get_running_loop().call_later(CLOSING_S, self._transport.abort))

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            elif not self._transport.is_closing():  # the protocol's sign for end of stream
                self._transport.close()
