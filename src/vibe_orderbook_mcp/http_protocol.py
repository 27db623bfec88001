"""What one connection may cost: uvicorn waits without end for a slow peer, and this does not.

A peer that opens and says nothing, one that sends half a request's head, and one that never reads what it asked for
each hold a socket and memory. They are given a time and then dropped; nobody else waits meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import h11
from starlette.responses import JSONResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

from vibe_orderbook_mcp.http_limits import HttpLimits

GONE_SECS = 60  # without acknowledging anything: the peer's machine is gone
SPARE_CONNECTIONS = 64  # above the limit: enough to say so
RETRY_CONNECTIONS_SECS = 5


class BoundedProtocol(H11Protocol):
    """`limits` and `refused` are set by `bounded`."""

    limits: HttpLimits
    refused: Callable[[str], None]

    _head: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        _notice_dead_peer(transport)
        if len(self.connections) > self.limits.connections + SPARE_CONNECTIONS:
            self.refused("connections")
            transport.abort()
            return
        if len(self.connections) > self.limits.connections:
            self.app = _too_many_connections
            self.refused("connections")
        self._head = self.loop.call_later(self.limits.head_secs, self._head_is_late)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._time_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._time_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self.limits.stall_secs, self._is_stalled)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_timers("_stall")

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers("_head", "_stall")
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
    return type("_Bounded", (BoundedProtocol,), {"limits": limits, "refused": staticmethod(refused)})


_too_many_connections = JSONResponse(
    {"error": "Too many connections."},
    503,
    headers={"Retry-After": str(RETRY_CONNECTIONS_SECS), "Connection": "close"},
)


def _notice_dead_peer(transport: asyncio.Transport) -> None:
    """An event stream is written to every 15 s; what stays unacknowledged ends the connection."""
    plain = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):  # no socket of the kind, or no such option on this system
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_SECS * 1000)
