"""Questions to an exchange over HTTP: bounded in time and size, and one sentence for what can go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import httpx

from vibe_orderbook_mcp import __version__
from vibe_orderbook_mcp.model.errors import ExchangeUnavailable
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.process.outbound import client_options, route, socks_errors
from vibe_orderbook_mcp.process.unpacking import ACCEPTED, NotUnpacked, unpacked
from vibe_orderbook_mcp.process.unreachable import unreachable

TIMEOUT_SECS = 10.0
# A whole answer, however it trickles in: the largest has 0.4 MB, and a snapshot that old would not join the stream.
ANSWER_SECS = 30.0
# Of an answer as it comes and of every layer that is unpacked. 5000 levels a side are 0.4 MB, all symbols some 5 MB.
MAX_BODY_BYTES = 16 * 1024 * 1024
# What a request raises that got no answer.
UNREACHED: Final[tuple[type[Exception], ...]] = (httpx.HTTPError, httpx.InvalidURL, *socks_errors())

# The simulated exchange and a replay say so of themselves in each answer; a real exchange knows no such header.
SOURCE_HEADER: Final = "x-vibe-source"
MADE_UP: Final[dict[str, PriceSource]] = {"simulated": "simulated", "recording": "recording"}


class WebAnswer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class WebClient:
    """Connections to one base URL. Raises ConfigError where `outbound.check` would have."""

    def __init__(self, base_url: str, *, timeout_secs: float = TIMEOUT_SECS) -> None:
        self._base_url = base_url
        self._timeout_secs = timeout_secs
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=timeout_secs,
            headers={"User-Agent": f"vibe-orderbook-mcp/{__version__}", "Accept-Encoding": ACCEPTED},
            limits=httpx.Limits(max_connections=8),
            **client_options(base_url),
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def get(
        self, path: str, parameters: Mapping[str, str | int] | None = None, *, answer_secs: float = ANSWER_SECS
    ) -> WebAnswer:
        """Whatever the exchange answers, errors included. Raises ExchangeUnavailable when it does not."""
        return await self._ask("GET", path, answer_secs, params=dict(parameters or {}))

    async def _ask(self, method: str, path: str, answer_secs: float, **options: Any) -> WebAnswer:
        try:
            async with asyncio.timeout(answer_secs), self._http.stream(method, path, **options) as response:
                body = await read_bounded(response)
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout, TimeoutError) as error:
            secs = min(answer_secs, self._timeout_secs)
            raise ExchangeUnavailable(
                f"The exchange did not answer within {secs:.0f} s at {route(self._base_url)}."
            ) from error
        except UNREACHED as error:
            raise ExchangeUnavailable(unreachable("The exchange", self._base_url, error)) from error
        return WebAnswer(response.status_code, response.headers, body)


async def read_bounded(response: httpx.Response) -> bytes:
    """The body of a streamed response, at most MAX_BODY_BYTES of it, packed or not. Raises ExchangeUnavailable."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise ExchangeUnavailable("The exchange sent an answer that is too large.")
        parts.append(part)
    try:
        return unpacked(b"".join(parts), response.headers.get("Content-Encoding", ""), MAX_BODY_BYTES)
    except NotUnpacked as error:
        raise ExchangeUnavailable(f"The exchange sent an answer that cannot be used: {error}.") from error


def source_of(headers: Mapping[str, str]) -> PriceSource:
    """Whose prices an answer has, by its own word."""
    return MADE_UP.get(headers.get(SOURCE_HEADER, ""), "live")
