"""OAuth resource server: real signed tokens of an authorization server on loopback, over SSE and streamable HTTP."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from mcp import Client
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthToken
from starlette.responses import Response

from tests.answers.serving import answer, exchange, tracebacks
from tests.e2e.rig import listening, until
from tests.patience import PATIENCE_SECS
from tests.serve.authorization import Authorization, authorizing
from tests.serve.http_rig import Served, http_serving
from tests.serve.test_http import ACCEPT, INITIALIZE, MCP_PATHS, until_ready
from tests.serve.test_limits import sse_stream
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.process.config import Settings
from vibe_orderbook_mcp.serve import oauth

RESOURCE = "https://books.example"
FIXED = "for probes, please"


def asking_for(authorization: Authorization, **changes: Any) -> dict[str, Any]:
    return {
        "oauth_issuer": authorization.url,
        "oauth_jwks_url": f"{authorization.url}/jwks",
        "oauth_resource": RESOURCE,
        "oauth_scopes": "books:read",
        **changes,
    }


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def admitted(served: Served, token: str) -> int:
    return (await served.http.post("/mcp", json=INITIALIZE, headers={**ACCEPT, **bearer(token)})).status_code


class Memory:
    """Where an SDK client keeps what it was given."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


def test_every_path_but_probes_and_metadata_asks_for_a_token_and_says_where(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            authorizing() as authorization,
            exchange() as sim,
            http_serving(tmp_path / "db", sim, **asking_for(authorization)) as served,
        ):
            await until_ready(served)
            for path in ("/healthz", "/readyz"):
                assert (await served.http.get(path)).status_code == 200
            found = (await served.http.get("/.well-known/oauth-protected-resource")).json()
            assert found["resource"] == RESOURCE
            assert found["authorization_servers"] == [authorization.url]
            assert found["scopes_supported"] == ["books:read"]
            where = f'resource_metadata="{RESOURCE}/.well-known/oauth-protected-resource"'
            for method, path in [*MCP_PATHS, ("GET", "/metrics"), ("DELETE", "/mcp")]:
                for headers in ({}, bearer("nonsense"), bearer("a.b.c"), {"Authorization": "Basic x"}):
                    response = await served.http.request(method, path, headers=headers)
                    assert response.status_code == 401, path
                    assert where in response.headers["www-authenticate"]
                    assert response.headers["www-authenticate"].startswith("Bearer ")
            token = authorization.token(RESOURCE)
            for path in ("/sse", "/sse/"):
                async with Client(sse_client(served.url + path, headers=bearer(token))) as client:
                    assert (await answer(client, "orderbook_l1", symbol="BTCUSDT"))["status"] == "live"
            assert await admitted(served, token) == 200
            metrics = await served.http.get("/metrics", headers=bearer(token))
            assert 'vibe_http_refused_total{reason="token"}' in metrics.text
            # Host and Origin count with a token too.
            assert (
                await served.http.get("/metrics", headers={**bearer(token), "Origin": "https://x.example"})
            ).status_code == 403

    asyncio.run(run())


def test_an_sdk_client_finds_its_way_from_the_refusal_to_a_token(tmp_path: Path) -> None:
    """401, metadata of the resource, metadata of the authorization server, token, answer: the client knows nothing
    beforehand."""

    async def run() -> None:
        async with authorizing() as authorization, exchange() as sim:
            settings = asking_for(authorization)
            async with http_serving(tmp_path / "db", sim, **settings) as first:
                port = httpx2.URL(first.url).port
            settings["oauth_resource"] = f"http://127.0.0.1:{port}"
            async with http_serving(tmp_path / "db", sim, port=port, **settings) as served:
                for path in ("/mcp", "/sse/"):
                    provider = ClientCredentialsOAuthProvider(
                        server_url=served.url + path,
                        storage=Memory(),
                        client_id="a-client",
                        client_secret="a secret",  # noqa: S106  # nobody's
                        scope="books:read",
                        issuer=authorization.url,
                    )
                    if path == "/mcp":
                        async with (
                            httpx2.AsyncClient(auth=provider, timeout=PATIENCE_SECS) as http,
                            Client(streamable_http_client(served.url + path, http_client=http)) as client,
                        ):
                            await answer(client, "orderbook_l1", symbol="BTCUSDT")
                    else:
                        async with Client(sse_client(served.url + path, auth=provider)) as client:
                            await answer(client, "orderbook_l1", symbol="BTCUSDT")

    asyncio.run(run())


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def forged(authorization: Authorization) -> dict[str, str]:
    """Tokens that must let nobody in, each by what is wrong with it."""
    good = authorization.token(RESOURCE)
    head, body, signature = good.split(".")
    now = int(time.time())
    claims = {"iss": authorization.url, "aud": RESOURCE, "sub": "x", "scope": "books:read", "exp": now + 60}
    other = Authorization(authorization.url)  # the same names, its own key
    other_claims = {**claims, "sub": "admin"}
    changed = text(json.dumps(other_claims).encode())
    hmac_head = text(b'{"alg":"HS256","typ":"JWT","kid":"first"}')
    list_head = text(b'{"alg":"RS256","typ":"JWT","kid":[1]}')
    key = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    with_public = key.sign(f"{hmac_head}.{changed}".encode(), authorization.public_pem())
    return {
        "another key of the same name": other.token(RESOURCE),
        "changed claims": f"{head}.{changed}.{signature}",
        "no signature": f"{head}.{body}.",
        "alg none": jwt.encode(claims, "", "none", headers={"kid": "first"}),
        "the public key as a shared secret": f"{hmac_head}.{changed}.{text(with_public)}",
        "expired": authorization.token(RESOURCE, exp=now - 60),
        "not yet": authorization.token(RESOURCE, nbf=now + 3600),
        "for another resource": authorization.token("https://other.example"),
        "for nobody": authorization.token(RESOURCE, aud=None),
        "for a longer name": authorization.token(RESOURCE + ".evil.example"),
        "of another issuer": authorization.token(RESOURCE, iss="https://evil.example"),
        "of no issuer": authorization.token(RESOURCE, iss=None),
        "without an end": authorization.token(RESOURCE, exp=None),
        "an unknown key": authorization.token(RESOURCE, header={"kid": "../../etc/passwd"}),
        "a key it brings itself": authorization.token(RESOURCE, header={"kid": "x", "jku": "http://127.0.0.1:1/"}),
        "a key id that is none": f"{list_head}.{body}.{signature}",
        "not even base64": "!!!.???.###",
        "empty": "..",
        "beyond latin": "schlüssel",
    }


def test_no_forged_expired_or_misdirected_token_lets_anybody_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            authorizing() as authorization,
            exchange() as sim,
            http_serving(tmp_path / "db", sim, auth_token=FIXED, **asking_for(authorization)) as served,
        ):
            good = authorization.token(RESOURCE)
            with listening("DEBUG") as logged:
                assert await admitted(served, good) == 200
                for wrong, token in forged(authorization).items():
                    headers = {
                        b"Authorization": f"Bearer {token}".encode(),
                        **{k.encode(): v.encode() for k, v in ACCEPT.items()},
                    }
                    response = await served.http.post("/mcp", json=INITIALIZE, headers=headers)
                    assert response.status_code == 401, wrong
                    assert "Traceback" not in response.text
                # A good token without the scope is known and not enough.
                for scope in ("other", 5, {"books:read": True}, [1]):
                    assert await admitted(served, authorization.token(RESOURCE, scope=scope)) == 403
                for claims in (
                    {"scope": None, "scp": ["books:read", "x"]},
                    {"aud": ["x", RESOURCE]},
                    {"scope": "a books:read"},
                ):
                    assert await admitted(served, authorization.token(RESOURCE, **claims)) == 200
                assert await admitted(served, FIXED) == 200
                assert await admitted(served, FIXED + "x") == 401
            assert authorization.asked <= 2  # unknown key ids do not make it ask again and again
            for token in (good, FIXED, *forged(authorization).values()):
                assert len(token) < 10 or token not in "\n".join(logged.messages)

    asyncio.run(run())


def test_a_session_belongs_to_who_opened_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            authorizing() as authorization,
            exchange() as sim,
            http_serving(tmp_path / "db", sim, **asking_for(authorization)) as served,
        ):
            mine, theirs = authorization.token(RESOURCE), authorization.token(RESOURCE, sub="somebody else")
            async with sse_stream(served, **bearer(mine)) as (_, endpoint):
                assert (await served.http.post(endpoint, json=INITIALIZE, headers=bearer(theirs))).status_code == 404
                assert (await served.http.post(endpoint, json=INITIALIZE)).status_code == 401
                renewed = authorization.token(RESOURCE, iat=int(time.time()) - 5)
                assert (await served.http.post(endpoint, json=INITIALIZE, headers=bearer(renewed))).status_code == 202

    asyncio.run(run())


def test_keys_change_and_an_authorization_server_that_is_down_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "ASK_AGAIN_SECS", 0.0)
    monkeypatch.setattr(oauth, "KEYS_SECS", 0.0)  # every token asks

    async def run() -> None:
        async with (
            authorizing() as authorization,
            exchange() as sim,
            http_serving(tmp_path / "db", sim, **asking_for(authorization)) as served,
        ):
            old = authorization.token(RESOURCE)
            authorization.is_up = False
            assert await admitted(served, old) == 401  # no key was ever seen
            authorization.is_up = True
            assert await admitted(served, old) == 200
            authorization.is_up = False
            assert await admitted(served, old) == 200
            authorization.is_up = True
            authorization.rotate("ec-second", keep=True)
            authorization.extra = [{"kty": "oct", "k": "c2VjcmV0", "kid": "s"}, {"kty": "nonsense"}, "text"]
            assert await admitted(served, authorization.token(RESOURCE)) == 200
            assert await admitted(served, old) == 200
            unnamed: dict[str, Any] = {"header": {"kid": None}}
            assert await admitted(served, authorization.token(RESOURCE, **unnamed)) == 401  # which of the two?
            authorization.rotate("third")
            assert await admitted(served, authorization.token(RESOURCE)) == 200
            assert await admitted(served, old) == 401  # its key is no longer published
            assert await admitted(served, authorization.token(RESOURCE, **unnamed)) == 200

    asyncio.run(run())


def test_keys_that_are_due_are_fetched_while_tokens_are_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authorization server that hangs delayed every request by five seconds, once in ten."""
    monkeypatch.setattr(oauth, "ASK_AGAIN_SECS", 0.0)
    monkeypatch.setattr(oauth, "KEYS_SECS", 0.0)
    monkeypatch.setattr(oauth, "FETCH_SECS", 10 * PATIENCE_SECS)

    async def run() -> None:
        async with (
            authorizing() as authorization,
            exchange() as sim,
            http_serving(tmp_path / "db", sim, **asking_for(authorization)) as served,
        ):
            token = authorization.token(RESOURCE)
            assert await admitted(served, token) == 200
            authorization.go_on.clear()
            assert await admitted(served, token) == 200
            await until(lambda: authorization.asked == 2)  # meanwhile
            authorization.go_on.set()

    asyncio.run(run())


DEEP = b'{"keys":' + b"[" * 50_000 + b"]" * 50_000 + b"}"
BOMB = gzip.compress(gzip.compress(bytes(64_000_000)))


@pytest.mark.parametrize(
    "instead",
    [
        Response(b"x" * (oauth.KEYS_BYTES + 1)),
        Response(gzip.compress(b" " * (oauth.KEYS_BYTES + 1)), headers={"Content-Encoding": "gzip"}),
        Response(BOMB, headers={"Content-Encoding": "gzip, gzip"}),
        Response(b"not packed", headers={"Content-Encoding": "gzip"}),
        Response(DEEP),
        Response(gzip.compress(DEEP), headers={"Content-Encoding": "gzip"}),
        Response(b'{"keys": 5}'),
        Response(b"[]"),
        Response(b'{"keys": [{"kty": ' + b"[" * 900 + b"]" * 900 + b"}]}"),
        Response(b"\xff"),
    ],
    ids=["large", "large unpacked", "packed twice", "not packed", "deep", "deep unpacked", "no list", "no object",
         "a deep key", "no text"],
)  # fmt: skip
def test_keys_that_are_too_large_or_no_keys_are_left_and_the_known_ones_kept(
    instead: Response, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(BOMB) < oauth.KEYS_BYTES
    monkeypatch.setattr(oauth, "ASK_AGAIN_SECS", 0.0)

    async def run() -> None:
        async with (
            authorizing() as authorization,
            exchange() as sim,
            http_serving(tmp_path / "db", sim, **asking_for(authorization)) as served,
        ):
            token = authorization.token(RESOURCE)
            assert await admitted(served, token) == 200
            authorization.instead = instead
            with tracebacks() as errors:
                unknown = authorization.token(RESOURCE, header={"kid": "another"})
                assert await admitted(served, unknown) == 401
                deep = base64.urlsafe_b64encode(b'{"a":' + b"[" * 9000).decode().rstrip("=")
                assert await admitted(served, f"{deep}.{deep}.x") == 401
                assert await admitted(served, token) == 200
            assert authorization.asked == 2
            assert errors == []

    asyncio.run(run())


COMPLETE = {
    "oauth_issuer": "https://login.example",
    "oauth_jwks_url": "https://login.example/jwks",
    "oauth_resource": RESOURCE,
}


@pytest.mark.parametrize("missing", COMPLETE)
def test_half_a_configuration_does_not_start(missing: str) -> None:
    Settings(**COMPLETE).check_oauth()  # type: ignore[arg-type]  # as from the environment
    Settings().check_oauth()
    rest = {name: value for name, value in COMPLETE.items() if name != missing}
    with pytest.raises(ConfigError, match=f"VIBE_{missing.upper()}"):
        Settings(**rest).check_oauth()  # type: ignore[arg-type]  # values as text
    with pytest.raises(ConfigError, match="VIBE_OAUTH_ISSUER"):
        Settings(oauth_scopes="x").check_oauth()


@pytest.mark.parametrize(
    "url", ["http://login.example", "ftp://x", "https://", "https://a b", "https://u:p@x", "https://x/#y", "login"]
)
@pytest.mark.parametrize("name", COMPLETE)
def test_urls_that_others_could_speak_for_are_refused(name: str, url: str) -> None:
    with pytest.raises(ValueError, match="https URL"):
        Settings(**{**COMPLETE, name: url})  # type: ignore[arg-type]  # values as text
