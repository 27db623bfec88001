"""How much work one process accepts over HTTP, and its refusals.

Every limit has one refusal and is counted by reason: a client learns what to do (wait, send less), an operator what
is short. Limits of sockets are in `http_protocol`; here are those of requests and of SSE sessions. `/mcp` keeps no
sessions: its requests are counted by who sends them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import re
import time
from collections import Counter, deque
from collections.abc import Iterator

import anyio
from loguru import logger
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from prometheus_client import Counter as PrometheusCounter
from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RETRY_SESSIONS_SECS, RETRY_CALLS_SECS = 30, 1

MESSAGES_PATH = "/messages/"
MCP_PATH = "/mcp"
LOGGED_FIRST, LOGGED_EACH = 10, 1000
# How the SSE stream tells a client where to post.
_ENDPOINT = re.compile(rb"session_id=([0-9a-f]{32})")


@dataclasses.dataclass(frozen=True)
class HttpLimits:
    """The limits. Times are how long a peer may be silent, not how long an answer may take."""

    # An event stream and the posts of its session, for as many sessions as there may be, calls of `/mcp`, and probes.
    connections: int = 2000
    probe_connections: int = 64  # above that: while it is reached, `/healthz` and `/readyz` are answered there
    sessions: int = 500  # event streams of SSE; one has about a tenth of a megabyte
    # When all places are taken, the session that has been idle longest makes room, if it was idle for this long. Some
    # clients open a session for each call and leave it.
    yield_after_secs: float = 120.0
    body_bytes: int = 128 * 1024  # a call is under 1 KiB
    # Requests being worked on. One caller (see `caller_of`) cannot take them all.
    in_flight: int = 256
    in_flight_a_caller: int = 32
    head_secs: float = 10.0  # from opening, or from the first byte of a further request, to the end of its head
    body_secs: float = 20.0
    stall_secs: float = 30.0  # without taking anything while more than asyncio's 64 KiB wait
    # Who is answered before the end of its body may send so long, unread, to get to read the answer.
    linger_secs: float = 5.0
    # An idle connection makes room for a new one: at once, or after so long where its client was let in before.
    rest_secs: float = 10.0


class Refusals:
    """Counted by reason; logged sparsely, because anybody can cause them."""

    def __init__(self, counter: PrometheusCounter) -> None:
        self._counter = counter
        self._seen: Counter[str] = Counter()

    def note(self, reason: str, detail: str = "") -> None:
        self._counter.labels(reason).inc()
        self._seen[reason] += 1
        if self._seen[reason] <= LOGGED_FIRST or self._seen[reason] % LOGGED_EACH == 0:
            logger.warning("Refused request {} for its {}{}", self._seen[reason], reason, detail and f": {detail}")


class InFlight:
    """What is being worked on, in all and by caller. A caller without a name counts in all only."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self.total = 0
        self._of: Counter[str] = Counter()

    def is_full(self, caller: str | None) -> bool:
        of_caller = 0 if caller is None else self._of[caller]
        return self.total >= self._limits.in_flight or of_caller >= self._limits.in_flight_a_caller

    @contextlib.contextmanager
    def held(self, caller: str | None) -> Iterator[None]:
        self.total += 1
        if caller is not None:
            self._of[caller] += 1
        try:
            yield
        finally:
            self.total -= 1
            if caller is not None:
                self._of[caller] -= 1
                if not self._of[caller]:
                    del self._of[caller]


class SseSession:
    """One open event stream: its name once known, and the time of its client's last message."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.spoke_at = time.monotonic()
        self.ended = asyncio.Event()

    @property
    def caller(self) -> str | None:
        """The name that its calls are counted by."""
        return None if self.name is None else _session_caller(self.name)

    async def receive(self, receive: Receive) -> Message:
        """The client's next message. At the end of a session: its disconnect, which closes everything."""
        coming, ending = asyncio.ensure_future(receive()), asyncio.ensure_future(self.ended.wait())
        try:
            done, _ = await asyncio.wait({coming, ending}, return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming in done else {"type": "http.disconnect"}
        finally:
            coming.cancel()
            ending.cancel()


class SseSessions:
    """The open event streams. When all places are taken, the longest idle one makes room."""

    def __init__(self, limits: HttpLimits) -> None:
        self._limits = limits
        self._open: set[SseSession] = set()
        self._named: dict[str, SseSession] = {}

    def __len__(self) -> int:
        return len(self._open)

    def has_room(self) -> bool:
        if len(self._open) < self._limits.sessions:
            return True
        idlest = min(self._open, key=lambda session: session.spoke_at)
        if time.monotonic() - idlest.spoke_at < self._limits.yield_after_secs:
            return False
        self._forget(idlest)
        idlest.ended.set()
        return True

    @contextlib.contextmanager
    def opened(self) -> Iterator[SseSession]:
        session = SseSession()
        self._open.add(session)
        try:
            yield session
        finally:
            self._forget(session)

    def naming(self, session: SseSession, send: Send) -> Send:
        """`send`, reading the name that the SDK gives the session off its first event."""

        async def watched(message: Message) -> None:
            if session.name is None and (found := _ENDPOINT.search(message.get("body", b""))) is not None:
                session.name = found[1].decode()
                self._named[session.name] = session
            await send(message)

        return watched

    def heard(self, name: str) -> None:
        if (session := self._named.get(name)) is not None:
            session.spoke_at = time.monotonic()

    def _forget(self, session: SseSession) -> None:
        self._open.discard(session)
        if session.name is not None:
            self._named.pop(session.name, None)


class Limits:
    """ASGI middleware: bodies that are too large or too slow, and more requests than can be worked on."""

    def __init__(
        self,
        app: ASGIApp,
        limits: HttpLimits,
        in_flight: InFlight,
        sessions: SseSessions,
        refusals: Refusals,
    ) -> None:
        self._app = app
        self._limits = limits
        self._in_flight = in_flight
        self._sessions = sessions
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        caller = caller_of(scope)
        if self._in_flight.is_full(caller):
            await self._refuse("in_flight", too_busy(), scope, receive, send)
            return
        body, refusal = await self._body(scope, receive)
        if refusal is not None:
            reason = "body_size" if refusal.status_code == 413 else "body_time"
            await self._refuse(reason, refusal, scope, receive, send)
            return
        if body is None:  # the client has gone
            return
        if (session := session_named(scope)) is not None:
            self._sessions.heard(session)
        if self._in_flight.is_full(caller):  # with those whose bodies came at the same time
            await self._refuse("in_flight", too_busy(), scope, receive, send)
            return
        with self._in_flight.held(caller):
            try:
                await self._app(scope, _replay(body, receive), send)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                # The message was accepted, and its session ended before it was read.
                logger.debug("A message came for a session that has just ended")

    async def _body(self, scope: Scope, receive: Receive) -> tuple[bytes | None, JSONResponse | None]:
        """The whole body, or what to answer instead; neither when the client left."""
        largest, patience = self._limits.body_bytes, self._limits.body_secs
        too_large = JSONResponse({"error": f"A request has at most {largest} bytes."}, 413)
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isascii() and declared.isdigit() and (len(declared) > 12 or int(declared) > largest):
            return None, too_large
        body = bytearray()
        try:
            async with asyncio.timeout(patience):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        return None, None
                    body += message.get("body", b"")
                    if len(body) > largest:
                        return None, too_large
                    if not message.get("more_body", False):
                        return bytes(body), None
        except TimeoutError:
            return None, JSONResponse({"error": f"The body did not come in {patience:g} s."}, 408)

    async def _refuse(self, reason: str, refusal: JSONResponse, scope: Scope, receive: Receive, send: Send) -> None:
        self._refusals.note(reason)
        await refusal(scope, receive, send)


def too_busy() -> JSONResponse:
    return JSONResponse(
        {"error": "Too many requests are being worked on."}, 503, headers={"Retry-After": str(RETRY_CALLS_SECS)}
    )


def too_many_sessions() -> JSONResponse:
    return JSONResponse({"error": "Too many sessions."}, 503, headers={"Retry-After": str(RETRY_SESSIONS_SECS)})


def session_named(scope: Scope) -> str | None:
    """The SSE session that a message names in its query; None on every other path."""
    if scope["path"] != MESSAGES_PATH:
        return None
    name = QueryParams(scope.get("query_string", b"")).get("session_id")
    return name[:64] if name else None


def caller_of(scope: Scope) -> str | None:
    """Whom a request counts for: its SSE session, else the subject of its access token, else the address it comes from.

    An IPv6 address counts by its first 64 bits, which is what one household or machine gets. The address is that of the
    peer, or what a trusted proxy says it is (uvicorn's FORWARDED_ALLOW_IPS). None where there is no address.
    """
    if (session := session_named(scope)) is not None:
        return _session_caller(session)
    user = scope.get("user")
    if isinstance(user, AuthenticatedUser) and user.access_token.subject is not None:
        return f"subject {user.access_token.subject[:200]}"
    peer = scope.get("client")
    if not peer or not peer[0]:
        return None
    try:
        address = ipaddress.ip_address(peer[0].partition("%")[0])
    except ValueError:  # a proxy may say anything
        return f"address {peer[0][:64]}"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return f"address {ipaddress.IPv6Network((address, 64), strict=False)}"
        address = address.ipv4_mapped
    return f"address {address}"


def _session_caller(name: str) -> str:
    return f"session {name}"


def _replay(body: bytes, receive: Receive) -> Receive:
    waiting: deque[Message] = deque([{"type": "http.request", "body": body, "more_body": False}])

    async def replayed() -> Message:
        return waiting.popleft() if waiting else await receive()

    return replayed
