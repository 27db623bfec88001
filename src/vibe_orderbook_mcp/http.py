"""One HTTP application: SSE, streamable HTTP, health, readiness, metrics.

The SDK's SSE application enters the server's lifespan once per connection, redirects `/sse/` with an absolute
location that a proxy spoils, and drops the middleware of routes that are taken over. So the pieces are put
together here: the runtime is held by the application itself, and both spellings of a path are served directly.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial

import anyio
from mcp.server.auth.middleware.bearer_auth import RequireAuthMiddleware
from mcp.server.auth.routes import build_resource_metadata_url
from mcp.server.runner import serve_dual_era_loop
from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared._context_streams import ContextSendStream
from mcp.shared.message import SessionMessage
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from vibe_orderbook_mcp.guard import Guard
from vibe_orderbook_mcp.http_limits import (
    MCP_PATH,
    MESSAGES_PATH,
    InFlight,
    Limits,
    Refusals,
    SseSession,
    SseSessions,
    too_many_sessions,
)
from vibe_orderbook_mcp.mcp_server import VibeServer
from vibe_orderbook_mcp.tools.health import readiness

ALIASES = {"/sse/": "/sse", "/mcp/": MCP_PATH}

# `Guard` checks Host and Origin for every path; the SDK's narrower check is switched off so that there is one rule.
NO_SDK_CHECKS = TransportSecuritySettings(enable_dns_rebinding_protection=False)


class SseEndpoint:
    """`GET /sse`: one MCP session on an event stream. A class, so that Starlette hands over the raw scope."""

    def __init__(
        self, server: VibeServer, transport: SseServerTransport, sessions: SseSessions, refusals: Refusals
    ) -> None:
        self._server = server
        self._transport = transport
        self._sessions = sessions
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._sessions.has_room():
            self._refusals.note("sessions")
            await too_many_sessions()(scope, receive, send)
            return
        runtime = self._server.runtime
        inner = self._server._lowlevel_server  # the SDK has no public way past its own sse_app
        with self._sessions.opened() as session, runtime.session("sse"):
            named = self._sessions.naming(session, send)
            async with self._transport.connect_sse(scope, partial(session.receive, receive), named) as (reader, writer):
                await serve_dual_era_loop(
                    inner,
                    reader,
                    _Answers(writer, session, self._server.in_flight),
                    lifespan_state=runtime,
                    init_options=inner.create_initialization_options(),
                )


class _Answers:
    """What a session says. An answer that its client does not take counts as in flight, so that no pile grows."""

    def __init__(self, writer: ContextSendStream[SessionMessage], session: SseSession, in_flight: InFlight) -> None:
        self._writer = writer
        self._session = session
        self._in_flight = in_flight

    async def send(self, item: SessionMessage, /) -> None:
        with self._in_flight.held(self._session.name):
            await self._writer.send(item)

    async def aclose(self) -> None:
        await self._writer.aclose()

    async def __aenter__(self) -> _Answers:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class MetricsEndpoint:
    """`GET /metrics`. A class like the one above, so that the SDK's token check can be put around both."""

    def __init__(self, server: VibeServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        server = self._server
        server.runtime.sessions["http"] = len(server.session_manager._server_instances)  # no public count
        response = Response(server.metrics.text(), media_type=CONTENT_TYPE_LATEST)
        await response(scope, receive, send)


class PathAliases:
    """Serve `/sse/` and `/mcp/` like the paths without the slash: no redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = ALIASES.get(scope.get("path", "")) if scope["type"] == "http" else None
        if path is not None:
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)


def http_app(server: VibeServer) -> Starlette:
    """Holds the runtime from the start of the application to its end, with or without clients."""
    runtime = server.runtime
    limits, refusals = server.limits, server.refusals
    sessions = SseSessions(limits)
    sse = SseServerTransport(MESSAGES_PATH, security_settings=NO_SDK_CHECKS, max_request_body_size=limits.body_bytes)
    streamable = server.streamable_http_app(
        transport_security=NO_SDK_CHECKS,
        max_sessions=limits.sessions,
        session_idle_timeout=limits.session_idle_secs,
        max_request_body_size=limits.body_bytes,
    )

    async def make_room() -> None:
        """The SDK keeps an abandoned session for its whole idle time. It counts down in the session's `idle_scope`."""
        open_now = server.session_manager._server_instances  # not public, like the ending of one
        idle = [(s.idle_scope.deadline, name) for name, s in open_now.items() if s.idle_scope is not None]
        if len(open_now) < limits.sessions or not idle:
            return
        deadline, name = min(idle)  # infinite while a request of the session is being worked on
        if anyio.current_time() - (deadline - limits.session_idle_secs) >= limits.yield_after_secs:
            await server.session_manager._discard_session(name, open_now[name])

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with runtime.hold(), server.session_manager.run(), server.metrics.watching_loop():
            yield

    def for_bearers(app: ASGIApp) -> ASGIApp:
        """With OAuth: as the SDK does it for its own route."""
        asked = server.oauth and server.oauth.settings
        if asked is None or asked.resource_server_url is None:
            return app
        where = build_resource_metadata_url(asked.resource_server_url)
        return RequireAuthMiddleware(app, asked.required_scopes or [], where)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        is_ready, body = readiness(runtime)
        return JSONResponse(body, 200 if is_ready else 503)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", for_bearers(MetricsEndpoint(server)), methods=["GET"]),
            Route("/sse", for_bearers(SseEndpoint(server, sse, sessions, refusals)), methods=["GET"]),
            Mount(MESSAGES_PATH, app=for_bearers(sse.handle_post_message)),
            *streamable.routes,
        ],
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, settings=runtime.settings, refusals=refusals),
            Middleware(PathAliases),
            Middleware(
                Limits,
                limits=limits,
                in_flight=server.in_flight,
                sessions=sessions,
                refusals=refusals,
                make_room=make_room,
            ),
            *streamable.user_middleware,
        ],
    )
