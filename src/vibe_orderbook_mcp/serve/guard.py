"""Who may come in over HTTP: Host and Origin allow-lists on every path, a bearer token where one is set.

With OAuth the SDK checks tokens, the fixed one included (`oauth`); here they are counted only.

The SDK checks its own endpoints only; health and metrics need the same, because a web page that a browser shows
can send requests to loopback addresses (DNS rebinding).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vibe_orderbook_mcp.process.config import LOOPBACK, Settings
from vibe_orderbook_mcp.process.outbound import is_loopback
from vibe_orderbook_mcp.serve.limits import Refusals

# Load balancers ask these without a token.
OPEN_PATHS = ("/healthz", "/readyz")
# What a browser says of a page that is not this server's (Sec-Fetch-Site).
OTHER_SITES = ("cross-site", "same-site")
REASONS = {421: "host", 403: "origin", 401: "token"}


class Guard:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, settings: Settings, refusals: Refusals) -> None:
        self._app = app
        own = (*LOOPBACK, settings.host) if settings.is_loopback else LOOPBACK
        self._hosts = {host.lower() for host in (*own, *settings.allowed_hosts)}
        self._below = tuple(host[1:] for host in self._hosts if host.startswith("*."))
        self._origins = {_plain(origin) for origin in settings.allowed_origins}
        token = None if settings.has_oauth else settings.auth_token
        self._token = None if token is None else token.get_secret_value().encode()
        # Beyond loopback with a token and no list, every name will do: a page that rebinds a name has no token.
        self._has_oauth = settings.has_oauth
        is_open = token is None and not settings.has_oauth
        self._checks_hosts = is_open or settings.is_loopback or bool(settings.allowed_hosts)
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            refusal = self._refusal(scope["path"], headers)
            if refusal is not None:
                self._note(refusal.status_code, scope, headers)
                await refusal(scope, receive, send)
                return
            if self._has_oauth:
                send = self._noting(scope["path"], send)
        await self._app(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> JSONResponse | None:
        if self._checks_hosts and not self._is_host_allowed(headers.get("host", "")):
            return JSONResponse({"error": "This host name is not served. See VIBE_ALLOWED_HOSTS."}, 421)
        origin = headers.get("origin")
        if origin is not None and not self._is_origin_allowed(origin):
            return JSONResponse({"error": "This origin is not allowed. See VIBE_ALLOWED_ORIGINS."}, 403)
        if origin is None and headers.get("sec-fetch-site") in OTHER_SITES and not _is_visit(path, headers):
            return JSONResponse({"error": "Pages of other sites may not ask for this."}, 403)
        if self._token is not None and path not in OPEN_PATHS and not self._has_token(headers):
            return JSONResponse({"error": "A bearer token is needed."}, 401, headers={"WWW-Authenticate": "Bearer"})
        return None

    def _noting(self, path: str, send: Send) -> Send:
        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (401, 403):
                self._refusals.note("token" if message["status"] == 401 else "scope", repr(path[:100]))
            await send(message)

        return noted

    def _note(self, status: int, scope: Scope, headers: Headers) -> None:
        """Who asked for what, under which names. What the other side wrote is quoted, so that it stays one line."""
        peer = scope.get("client")
        said = [f"{name} {headers[name][:100]!r}" for name in ("host", "origin") if headers.get(name)]
        who = peer[0] if peer else "an unknown address"
        self._refusals.note(REASONS[status], f"{scope['path'][:100]!r} from {who} with {', '.join(said) or 'no host'}")

    def _is_host_allowed(self, host: str) -> bool:
        """With or without a port: "books.example.com" allows "books.example.com:8443". "*.example.com" allows what
        is below it.
        """
        host = host.lower()
        name, _, port = host.rpartition(":")
        if not port.isdigit():  # none was given; an IPv6 address in brackets has colons of its own
            name = host
        if name.startswith("[") and name.endswith("]"):
            name = name[1:-1]
        if host in self._hosts or name in self._hosts:
            return True
        return name.endswith(self._below) and not name.startswith(".")

    def _is_origin_allowed(self, origin: str) -> bool:
        origin = _plain(origin)
        try:
            return origin in self._origins or is_loopback(urlsplit(origin).hostname or "")
        except ValueError:  # a browser sends no such thing
            return False

    def _has_token(self, headers: Headers) -> bool:
        if self._token is None:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._token)


class ReadablePages(CORSMiddleware):
    """Lets pages of the allowed origins read every answer, refusals too: browsers ask first (CORS).

    It stands before `Guard`, since a browser's question carries no token. It answers nothing else, and for every other
    origin it is as if it were not there.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        super().__init__(
            app,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            expose_headers=("WWW-Authenticate", "Retry-After"),
        )
        self._readers = frozenset(map(_plain, origins))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        origin = Headers(scope=scope).get("origin") if scope["type"] == "http" else None
        if origin is not None and self.is_allowed_origin(origin):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def is_allowed_origin(self, origin: str) -> bool:
        return _plain(origin) in self._readers


def _plain(origin: str) -> str:
    return origin.lower().rstrip("/")


def _is_visit(path: str, headers: Headers) -> bool:
    """Whether a person follows a link here. A page's own request for, say, an image has no origin either."""
    is_mcp = path.rstrip("/") in ("/sse", "/mcp") or path.startswith("/messages")
    return headers.get("sec-fetch-mode") == "navigate" and not is_mcp
