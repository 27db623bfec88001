"""One HTTP application: SSE, streamable HTTP, health, readiness, metrics.

The SDK's SSE application enters the server's lifespan once per connection, redirects `/sse/` with an absolute
location that a proxy spoils, and drops the middleware of routes that are taken over. So the pieces are put
together here: the runtime is held by the application itself, and both spellings of a path are served directly.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from mcp.server.runner import serve_dual_era_loop
from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from vibe_orderbook_mcp.guard import Guard
from vibe_orderbook_mcp.mcp_server import VibeServer
from vibe_orderbook_mcp.tools.health import readiness

MAX_SESSIONS = 500  # of each transport
SESSION_IDLE_SECS = 1800.0
ALIASES = {"/sse/": "/sse", "/mcp/": "/mcp"}

# `Guard` checks Host and Origin for every path; the SDK's narrower check is switched off so that there is one rule.
NO_SDK_CHECKS = TransportSecuritySettings(enable_dns_rebinding_protection=False)


class SseEndpoint:
    """`GET /sse`: one MCP session on an event stream. A class, so that Starlette hands over the raw scope."""

    def __init__(self, server: VibeServer, transport: SseServerTransport) -> None:
        self._server = server
        self._transport = transport

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        runtime = self._server.runtime
        if runtime.sessions["sse"] >= MAX_SESSIONS:
            busy = JSONResponse({"error": "Too many sessions."}, 503, headers={"Retry-After": "30"})
            await busy(scope, receive, send)
            return
        inner = self._server._lowlevel_server  # the SDK has no public way past its own sse_app
        with runtime.session("sse"):
            async with self._transport.connect_sse(scope, receive, send) as (reader, writer):
                await serve_dual_era_loop(
                    inner,
                    reader,
                    writer,
                    lifespan_state=runtime,
                    init_options=inner.create_initialization_options(),
                )


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
    sse = SseServerTransport("/messages/", security_settings=NO_SDK_CHECKS)
    streamable = server.streamable_http_app(
        transport_security=NO_SDK_CHECKS, max_sessions=MAX_SESSIONS, session_idle_timeout=SESSION_IDLE_SECS
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with runtime.hold(), server.session_manager.run():
            yield

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        is_ready, body = readiness(runtime)
        return JSONResponse(body, 200 if is_ready else 503)

    async def metrics(_: Request) -> Response:
        runtime.sessions["http"] = len(server.session_manager._server_instances)  # no public count
        return Response(server.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
            Route("/sse", SseEndpoint(server, sse), methods=["GET"]),
            Mount("/messages/", app=sse.handle_post_message),
            *streamable.routes,
        ],
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, settings=runtime.settings),
            Middleware(PathAliases),
            *streamable.user_middleware,
        ],
    )
