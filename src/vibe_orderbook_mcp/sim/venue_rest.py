"""The REST endpoints of the venues other than Binance spot, below `/{venue}`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from vibe_orderbook_mcp.sim.corruption import corrupt_answer
from vibe_orderbook_mcp.sim.dialects.contract import (
    Endpoint,
    NotServed,
    Question,
)
from vibe_orderbook_mcp.sim.dialects.wording import encode
from vibe_orderbook_mcp.sim.rest import hold_up
from vibe_orderbook_mcp.sim.venue_room import VenueRoom


class Allowance:
    """How many requests an address may make: a pool that fills again. PURE."""

    def __init__(self, most: int, a_second: float) -> None:
        self._most, self._a_second = most, a_second
        self._left: dict[str, tuple[float, float]] = {}  # address -> when, how many then

    def spend(self, address: str, now: float) -> bool:
        """Whether one more is allowed."""
        then, left = self._left.get(address, (now, float(self._most)))
        left = min(float(self._most), left + (now - then) * self._a_second)
        self._left[address] = (now, max(0.0, left - 1.0))
        return left >= 1.0


class FoundEndpoint(NamedTuple):
    endpoint: Endpoint
    named: dict[str, str]  # parts of the path that stand for a value


def endpoint_at(endpoints: Mapping[str, Endpoint], path: str) -> FoundEndpoint | None:
    """A part in braces stands for any text: "/products/{product_id}". PURE."""
    if path in endpoints:
        return FoundEndpoint(endpoints[path], {})
    parts = path.split("/")
    for pattern, endpoint in endpoints.items():
        words = pattern.split("/")
        pairs = list(zip(words, parts, strict=False))
        if len(words) == len(parts) and all(word == part or word.startswith("{") for word, part in pairs):
            return FoundEndpoint(endpoint, {word[1:-1]: part for word, part in pairs if word.startswith("{")})
    return None


class VenueRest:
    def __init__(self, room: VenueRoom) -> None:
        self._room = room
        self._allowance = Allowance(*room.dialect.requests)

    async def answer(self, request: Request) -> Response:
        """Whatever is asked below the venue's address."""
        room, dialect = self._room, self._room.dialect
        path = request.url.path.removeprefix(f"/{dialect.venue}")
        found = endpoint_at(dialect.endpoints, path)
        if found is None:
            return Response(b"Not Found", 404)
        address = request.client.host if request.client else ""
        if not self._allowance.spend(address, time.monotonic()):
            return self._refused(429, None)
        query, body = dict(request.query_params) | found.named, await request.body()
        symbol = dialect.asked(query, body)
        plan = room.faults.rest_plan(path, f"{dialect.venue}:{symbol}", time.monotonic())
        await hold_up(plan, request, room.faults)
        if plan.status is not None:
            return self._refused(plan.status, plan.retry_after)
        question = Question(query, body, room.now_ms(), room.listed(), room.market)
        try:
            told, status = encode(found.endpoint(question)), 200
        except NotServed as refusal:
            told, status = encode(refusal.body), refusal.status
        if plan.corruption is not None:
            told = corrupt_answer(told, plan.corruption)
        return self._response(told, status)

    def _refused(self, status: int, retry_after: int | None) -> Response:
        said, body = self._room.dialect.refusal(status)
        response = self._response(encode(body), said)
        if retry_after is not None:
            response.headers["retry-after"] = str(retry_after)
        return response

    @staticmethod
    def _response(body: bytes, status: int) -> Response:
        headers = {"x-vibe-source": "simulated"}  # no exchange says so: these prices are not its own
        return Response(body, status, headers, media_type="application/json")
