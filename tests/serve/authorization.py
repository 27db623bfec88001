"""A small authorization server on loopback: real keys, real signatures, the endpoints a client and this server use."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.patience import PATIENCE_SECS

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Authorization:
    """`tokens` says what it would issue; `keys` is what it publishes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = 0
        self.is_up = True
        self.extra: list[Any] = []
        self.instead: Response | None = None  # what it answers when its keys are asked for
        self.go_on = asyncio.Event()  # not before it is set
        self.go_on.set()
        self._signing: dict[str, Key] = {}
        self.rotate("first")

    def rotate(self, key_id: str, *, keep: bool = False) -> None:
        if not keep:
            self._signing.clear()
        is_curve = key_id.startswith("ec")
        key = ec.generate_private_key(ec.SECP256R1()) if is_curve else rsa.generate_private_key(65537, 2048)
        self._signing[key_id] = key

    def token(
        self, resource: str, *, key_id: str | None = None, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """Good for an hour, for `resource`, unless claims say otherwise; a claim of None is left out."""
        now = int(time.time())
        body: dict[str, Any] = {
            "iss": self.url,
            "aud": resource,
            "sub": "someone",
            "client_id": "a-client",
            "scope": "books:read",
        }
        body |= {"iat": now, "exp": now + 3600, **claims}
        key_id = key_id or next(reversed(self._signing))
        key = self._signing[key_id]
        algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
        said = {"kid": key_id, **(header or {})}
        given = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(
            given, key, algorithm, headers={name: value for name, value in said.items() if value is not None}
        )

    def public_pem(self) -> bytes:
        key = next(reversed(self._signing.values())).public_key()
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    async def jwks(self, _: Request) -> Response:
        self.asked += 1
        await self.go_on.wait()
        if self.instead is not None:
            return self.instead
        if not self.is_up:
            return Response("down", 503)
        return JSONResponse({"keys": [*self.extra, *map(_published, self._signing.items())]})

    async def metadata(self, _: Request) -> Response:
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "response_types_supported": ["code"],
                "grant_types_supported": ["client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def issue(self, request: Request) -> Response:
        form = await request.form()
        token = self.token(str(form["resource"]), scope=str(form.get("scope", "books:read")))
        return JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 3600})


class _Quiet(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The test run has its own."""
        yield


@contextlib.asynccontextmanager
async def authorizing() -> AsyncIterator[Authorization]:
    listening = socket.create_server(("127.0.0.1", 0))
    authorization = Authorization(f"http://127.0.0.1:{listening.getsockname()[1]}")
    routes = [
        Route("/jwks", authorization.jwks),
        Route("/.well-known/oauth-authorization-server", authorization.metadata),
        Route("/token", authorization.issue, methods=["POST"]),
    ]
    config = uvicorn.Config(Starlette(routes=routes), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = _Quiet(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        async with asyncio.timeout(PATIENCE_SECS):
            while not server.started:
                await asyncio.sleep(0.005)
        yield authorization
    finally:
        server.should_exit = True
        await serving
        listening.close()


def _published(named: tuple[str, Key]) -> dict[str, Any]:
    key_id, key = named
    if isinstance(key, ec.EllipticCurvePrivateKey):
        public: dict[str, Any] = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    else:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**public, "kid": key_id, "use": "sig"}
