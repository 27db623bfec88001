"""What one connection may cost: uvicorn waits without end for a slow peer, and this does not.

A peer that opens and says nothing, one that sends half a request, one that trickles the body of a request that was
refused, and one that never reads what it asked for each hold a socket and memory. They are given a time and then
dropped, or make room before that (`http_connections`); nobody else waits meanwhile. A refusal ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import h11
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from vibe_orderbook_mcp.serve.connections import Connections
from vibe_orderbook_mcp.serve.guard import OPEN_PATHS
from vibe_orderbook_mcp.serve.limits import HttpLimits

GONE_SECS = 60  # without acknowledging anything: the peer's machine is gone
RETRY_CONNECTIONS_SECS = 5


class BoundedProtocol(H11Protocol):
    """`limits`, `places` and `refused` are set by `bounded`."""

    limits: HttpLimits
    places: Connections
    refused: Callable[[str], None]

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _linger: asyncio.TimerHandle | None = None
    _seen: RequestResponseCycle | None = None
    _was_let_in = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        _notice_dead_peer(transport)
        if not self.places.enter(self, self.loop.time()):
            self.refused("connections")
            transport.abort()
            return
        self.app = self._answer
        self._head = self.loop.call_later(self.limits.head_secs, self._head_is_late)

    def data_received(self, data: bytes) -> None:
        if self._linger is not None:
            return
        super().data_received(data)
        self._time_head()
        self._take_turns()

    def on_response_complete(self) -> None:
        is_unread = self.conn.their_state is h11.SEND_BODY  # before another request that is there already begins
        super().on_response_complete()
        if is_unread:
            self.close_when_read()
        self._time_head()
        self._take_turns()

    def give_way(self) -> None:
        self.refused("idle")
        self.transport.abort()

    def close_when_read(self) -> None:
        """Closed while the peer still sends, a connection is reset, and the answer lost on its way."""
        if self.conn.their_state is not h11.SEND_BODY or self.transport.is_closing():
            self.transport.close()
        elif self._linger is None:
            with contextlib.suppress(OSError, RuntimeError):  # the peer has gone
                self.transport.write_eof()
            self.flow.resume_reading()
            self._linger = self.loop.call_later(self.limits.linger_secs, self.transport.abort)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, or that there is no place. A refusal ends the connection."""

        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] >= 400:
                    message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
                elif scope["path"] not in OPEN_PATHS:
                    self._was_let_in = True
            await send(message)

        if self.places.is_full and scope["path"] not in OPEN_PATHS:
            self.refused("connections")
            await _too_many_connections(scope, receive, closing)
        else:
            await self.config.loaded_app(scope, receive, closing)

    def _take_turns(self) -> None:
        """Whose turn it is: the client's, whose request or body is to come, or ours."""
        if self.cycle is not self._seen:
            self._seen = self.cycle
            self.cycle.transport = _UntilRead(self)  # type: ignore[assignment]  # all that a cycle needs of one
            self.places.work(self)
        if (
            self.cycle is None
            or self.cycle.response_complete
            or (self.cycle.more_body and not self.cycle.response_started)
        ):
            self.places.wait(self, self.loop.time(), was_let_in=self._was_let_in)
        else:
            self.places.work(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self.limits.stall_secs, self._is_stalled)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timers("_stall")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers("_head", "_stall", "_linger")
        self.places.leave(self)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it where a peer resets, and all of the connection with it

    def send_400_response(self, msg: str) -> None:
        self.refused("malformed")
        super().send_400_response(msg)

    def _should_upgrade(self) -> bool:
        return False  # there is nothing here to upgrade to, and a warning a request helps nobody

    def _time_head(self) -> None:
        """Between requests uvicorn's keep-alive counts; once a byte of the next one is there, this does."""
        is_in_head = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not is_in_head:
            self._stop_timers("_head")
        elif self._head is None and not self.transport.is_closing():
            self._head = self.loop.call_later(self.limits.head_secs, self._head_is_late)

    def _stop_timers(self, *names: str) -> None:
        for name in names:
            if (timer := getattr(self, name)) is not None:
                timer.cancel()
                setattr(self, name, None)

    def _head_is_late(self) -> None:
        self._head = None
        if self.transport.is_closing():
            return
        self.refused("head_time")
        if self.conn.our_state is not h11.IDLE:
            self.transport.abort()
            return
        late = h11.Response(status_code=408, headers=[(b"connection", b"close"), (b"content-length", b"0")])
        self.transport.write(self.conn.send(late) or b"")
        self.transport.close()

    def _is_stalled(self) -> None:
        self._stall = None
        self.refused("stalled")
        self.transport.abort()  # `close` would wait for the peer to read


def bounded(limits: HttpLimits, refused: Callable[[str], None]) -> type[BoundedProtocol]:
    """uvicorn makes protocols by itself and hands nothing over, so the class carries what they need."""
    places = Connections(limits.connections, limits.probe_connections, limits.rest_secs)
    return type("_Bounded", (BoundedProtocol,), {"limits": limits, "places": places, "refused": staticmethod(refused)})


class _UntilRead:
    """The transport of one request: closing waits until its body is read."""

    def __init__(self, protocol: BoundedProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes) -> None:
        self._protocol.transport.write(data)

    def is_closing(self) -> bool:
        return self._protocol.transport.is_closing()

    def close(self) -> None:
        self._protocol.close_when_read()


_too_many_connections = JSONResponse(
    {"error": "Too many connections."},
    503,
    headers={"Retry-After": str(RETRY_CONNECTIONS_SECS)},
)


def _notice_dead_peer(transport: asyncio.Transport) -> None:
    """An event stream is written to every 15 s; what stays unacknowledged ends the connection."""
    plain = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):  # no socket of the kind, or no such option on this system
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_SECS * 1000)
