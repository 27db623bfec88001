"""OAuth 2 resource server: access tokens of an authorization server, checked here by its published keys.

The server signs nobody in and issues nothing. It reads JSON Web Tokens (RFC 9068), and tells by RFC 9728 metadata
where clients get one. A fixed token (`VIBE_AUTH_TOKEN`) beside it lets in what cannot sign in: probes, Prometheus.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from typing import Any, NamedTuple

import httpx
import jwt
from loguru import logger
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings

from vibe_orderbook_mcp.process.config import Settings
from vibe_orderbook_mcp.process.outbound import client_options
from vibe_orderbook_mcp.process.unpacking import ACCEPTED, NotUnpacked, unpacked

# Signatures that the published half of a key can check. "none" and shared secrets are not among them.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_SECS = 30.0  # between the two machines' clocks
KEYS_SECS = 600.0  # how long keys are believed without asking again
KEYS_KEPT_SECS = 86_400.0  # and how long when the authorization server cannot be asked
ASK_AGAIN_SECS = 10.0  # whatever tokens name: nobody makes this server ask more often
FETCH_SECS = 5.0
KEYS_BYTES = 256 * 1024  # of the answer as it comes, and unpacked; a dozen keys are 10 KB

# What an answer can be that holds no keys. JSON that is nested too deep is a RecursionError.
UNREADABLE = (
    *(httpx.HTTPError, httpx.InvalidURL, TimeoutError, NotUnpacked),
    *(ValueError, TypeError, KeyError, RecursionError),
)


class KeySet:
    """The authorization server's public keys by their id, fetched when needed. Never raises."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = self._asked = float("-inf")
        self._asking = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> jwt.PyJWK | None:
        """A token may leave its key's id out where there is one key only.

        Waits for the authorization server only where the key is not known: keys that are due are asked for meanwhile.
        """
        if self._found(key_id) is None:
            async with self._asking:
                if self._found(key_id) is None and self._may_ask():  # the one before may have brought it
                    await self._fetch()
        elif time.monotonic() - self._fetched > KEYS_SECS and self._may_ask():
            self._asked = time.monotonic()
            self._refreshing = asyncio.create_task(self._fetch())
        return self._found(key_id)

    def _found(self, key_id: str | None) -> jwt.PyJWK | None:
        if time.monotonic() - self._fetched > KEYS_KEPT_SECS:
            return None
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def _may_ask(self) -> bool:
        return time.monotonic() - self._asked > ASK_AGAIN_SECS

    async def _fetch(self) -> None:
        self._asked = time.monotonic()
        try:
            async with asyncio.timeout(FETCH_SECS):
                keys = dict(filter(None, map(_usable, await self._listed())))
        except UNREADABLE as error:
            logger.warning("The keys of the authorization server cannot be fetched: {}", type(error).__name__)
            return
        if keys:
            self._keys, self._fetched = keys, time.monotonic()
        else:
            logger.warning("The authorization server publishes no key that can be used here")

    async def _listed(self) -> list[Any]:
        """Raises one of UNREADABLE."""
        headers = {"Accept-Encoding": ACCEPTED}
        async with (
            httpx.AsyncClient(headers=headers, **client_options(self._url)) as http,
            http.stream("GET", self._url) as response,
        ):
            body = bytearray()
            async for part in response.raise_for_status().aiter_raw():  # httpx would unpack without a bound
                body += part
                if len(body) > KEYS_BYTES:
                    raise NotUnpacked("it is too large")
        text = unpacked(bytes(body), response.headers.get("Content-Encoding", ""), KEYS_BYTES)
        listed: list[Any] = json.loads(text)["keys"]
        return listed


class Verifier:
    """The SDK's `TokenVerifier`: None for every token that does not let its bearer in."""

    def __init__(self, settings: Settings) -> None:
        self._keys = KeySet(settings.oauth_jwks_url or "")
        self._issuer = settings.oauth_issuer
        self._audience = settings.oauth_audience or settings.oauth_resource
        self._scopes = list(settings.oauth_scopes)
        token = settings.auth_token
        self._fixed = None if token is None else token.get_secret_value().encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        if self._fixed is not None and hmac.compare_digest(token.strip().encode("latin-1"), self._fixed):
            return AccessToken(token="", client_id="fixed-token", scopes=self._scopes)
        try:
            key = await self._keys.key(jwt.get_unverified_header(token).get("kid"))
            if key is None or key.algorithm_name not in ALGORITHMS:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECS,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None  # bytes of anybody: what is wrong with them helps nobody
        subject = claims.get("sub")
        # The SDK ties a session to who opened it. The token itself is not kept.
        return AccessToken(
            token="",
            client_id=str(claims.get("client_id") or claims.get("azp") or subject or ""),
            scopes=_scopes(claims),
            subject=None if subject is None else str(subject),
            claims={"iss": claims["iss"]},
        )


class OAuth(NamedTuple):
    """What the SDK needs to ask for tokens."""

    settings: AuthSettings
    verifier: Verifier


def oauth(settings: Settings) -> OAuth | None:
    """None unless it is configured."""
    if settings.oauth_issuer is None or settings.oauth_resource is None:
        return None
    # From text, so that no slash is put behind: issuers are compared letter by letter.
    asked = AuthSettings.model_validate(
        {
            "issuer_url": settings.oauth_issuer,
            "resource_server_url": settings.oauth_resource,
            "required_scopes": list(settings.oauth_scopes) or None,
            "validate_token_resource": False,  # `Verifier` checks the audience
        }
    )
    return OAuth(asked, Verifier(settings))


def _usable(listed: Any) -> tuple[str, jwt.PyJWK] | None:
    """A key this can check signatures with; others, such as those for encryption, may stand beside it."""
    try:
        key = jwt.PyJWK(listed)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    is_for_signatures = key.public_key_use in ("sig", None)
    return (key.key_id or "", key) if is_for_signatures and key.algorithm_name in ALGORITHMS else None


def _scopes(claims: dict[str, Any]) -> list[str]:
    """`scope` of RFC 9068 is one text; some servers call it `scp`, or make it a list."""
    given = claims.get("scope", claims.get("scp", ""))
    if isinstance(given, str):
        return given.split()
    return [item for item in given if isinstance(item, str)] if isinstance(given, list) else []
