"""MCP over server-sent events: `GET /sse` opens a session, its client posts to the address that the stream names."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

import anyio
from mcp.server.lowlevel.server import Server
from mcp.server.runner import serve_dual_era_loop
from mcp.server.sse import SseServerTransport
from mcp.shared._context_streams import ContextReceiveStream, ContextSendStream
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.serve.limits import InFlight, Refusals, SseSession, SseSessions, too_many_sessions

# A path of plain segments. What a client says of itself reaches nobody else: a page cannot send this header without
# leave, and the stream is never cached.
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,8}")
LONGEST_PREFIX: Final = 200


class SseEndpoint:
    """`GET /sse`: one MCP session on an event stream. A class, so that Starlette hands over the raw scope.

    `inner` is the SDK's low-level server: there is no public way past its own SSE application, which opens everything
    once for each connection.
    """

    def __init__(
        self,
        inner: Server[Runtime],
        runtime: Runtime,
        transport: SseServerTransport,
        *,
        sessions: SseSessions,
        in_flight: InFlight,
        refusals: Refusals,
    ) -> None:
        self._inner = inner
        self._runtime = runtime
        self._transport = transport
        self._sessions = sessions
        self._in_flight = in_flight
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._sessions.has_room():
            self._refusals.note("sessions")
            await too_many_sessions()(scope, receive, send)
            return
        if (prefix := stripped_prefix(scope)) is not None:
            scope = {**scope, "root_path": prefix}  # the SDK puts it before the path that clients post to
        with self._sessions.opened() as session, self._runtime.session("sse"):
            named = self._sessions.naming(session, send)
            async with self._transport.connect_sse(scope, partial(session.receive, receive), named) as (reader, writer):
                await serve_dual_era_loop(
                    self._inner,
                    _Introduced(reader),
                    _Answers(writer, session, self._in_flight),
                    lifespan_state=self._runtime,
                    init_options=self._inner.create_initialization_options(),
                )


def stripped_prefix(scope: Scope) -> str | None:
    """The path prefix that a proxy took off, as its `X-Forwarded-Prefix` says; None without a usable one."""
    given = Headers(scope=scope).get("x-forwarded-prefix", "").strip()
    prefix = given.rstrip("/")
    return prefix if len(prefix) <= LONGEST_PREFIX and _PREFIX.fullmatch(prefix) else None


class _Introduced:
    """What a client sends, with the notice in front that it is initialized.

    A client whose stream broke opens another by itself and goes on with its calls: it has shaken hands already and
    does not do so again (the TypeScript SDK, for example, over a restart of the server). A client that does shake
    hands, or speaks a revision without that, is served as if the notice were not there.
    """

    def __init__(self, reader: ContextReceiveStream[SessionMessage | Exception]) -> None:
        self._reader = reader
        self._has_begun = False

    @property
    def last_context(self) -> Any:
        return self._reader.last_context

    async def receive(self) -> SessionMessage | Exception:
        if not self._has_begun:
            self._has_begun = True
            return SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="notifications/initialized"))
        return await self._reader.receive()

    def __aiter__(self) -> _Introduced:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        await self._reader.aclose()

    async def __aenter__(self) -> _Introduced:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class _Answers:
    """What a session says. An answer that its client does not take counts as in flight, so that no pile grows."""

    def __init__(self, writer: ContextSendStream[SessionMessage], session: SseSession, in_flight: InFlight) -> None:
        self._writer = writer
        self._session = session
        self._in_flight = in_flight

    async def send(self, item: SessionMessage, /) -> None:
        with self._in_flight.held(self._session.caller):
            await self._writer.send(item)

    async def aclose(self) -> None:
        await self._writer.aclose()

    async def __aenter__(self) -> _Answers:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
