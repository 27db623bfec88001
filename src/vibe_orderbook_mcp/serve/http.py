"""One HTTP application: SSE, streamable HTTP, health, readiness, metrics.

The SDK's SSE application enters the server's lifespan once per connection, redirects `/sse/` with an absolute
location that a proxy spoils, and drops the middleware of routes that are taken over. So the pieces are put
together here: the application itself keeps the runtime running, and both spellings of a path are served directly.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from mcp.server.auth.middleware.bearer_auth import RequireAuthMiddleware
from mcp.server.auth.routes import build_resource_metadata_url
from mcp.server.sse import SseServerTransport
from mcp.server.transport_security import TransportSecuritySettings
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from vibe_orderbook_mcp.collect.condition import readiness
from vibe_orderbook_mcp.serve.guard import Guard, ReadablePages
from vibe_orderbook_mcp.serve.limits import MCP_PATH, MESSAGES_PATH, Limits, SseSessions
from vibe_orderbook_mcp.serve.mcp_server import VibeServer
from vibe_orderbook_mcp.serve.sse import SseEndpoint

ALIASES = {"/sse/": "/sse", "/mcp/": MCP_PATH}

# `Guard` checks Host and Origin for every path; the SDK's narrower check is switched off so that there is one rule.
NO_SDK_CHECKS = TransportSecuritySettings(enable_dns_rebinding_protection=False)


class MetricsEndpoint:
    """`GET /metrics`. A class like the one above, so that the SDK's token check can be put around both."""

    def __init__(self, server: VibeServer) -> None:
        self._server = server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = Response(self._server.metrics.text(), media_type=CONTENT_TYPE_LATEST)
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


class NoStream:
    """`GET /mcp`: without sessions a separate stream would have no messages, and would take a place."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = JSONResponse({"error": "This server sends only answers: use POST."}, 405, {"Allow": "POST"})
        await response(scope, receive, send)


def http_app(server: VibeServer) -> ASGIApp:
    """Holds the runtime from the start of the application to its end, with or without clients."""
    runtime = server.runtime
    limits, refusals = server.limits, server.refusals
    sessions = SseSessions(limits)
    sse = SseServerTransport(MESSAGES_PATH, security_settings=NO_SDK_CHECKS, max_request_body_size=limits.body_bytes)
    streamable = server.streamable_http_app(
        stateless_http=True,  # clients go on over a restart: there is no session that could be lost
        transport_security=NO_SDK_CHECKS,
        max_request_body_size=limits.body_bytes,
    )

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

    endpoint = SseEndpoint(
        server._lowlevel_server, runtime, sse, sessions=sessions, in_flight=server.in_flight, refusals=refusals
    )
    app = Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", for_bearers(MetricsEndpoint(server)), methods=["GET"]),
            Route("/sse", for_bearers(endpoint), methods=["GET"]),
            Mount(MESSAGES_PATH, app=for_bearers(sse.handle_post_message)),
            Route(MCP_PATH, for_bearers(NoStream()), methods=["GET"]),
            *streamable.routes,
        ],
        lifespan=lifespan,
        middleware=[
            Middleware(Guard, settings=runtime.settings, refusals=refusals),
            Middleware(PathAliases),
            *streamable.user_middleware,  # reads the token, so that `Limits` knows whose request it is
            Middleware(Limits, limits=limits, in_flight=server.in_flight, sessions=sessions, refusals=refusals),
        ],
    )
    return ReadablePages(app, runtime.settings.allowed_origins)
