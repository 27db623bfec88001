"""Independent clients of an exchange, in plain dicts: none of the package's code, so that both can be wrong alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import websockets

Sides = dict[str, dict[str, str]]


class DictBook:
    """One symbol's local book by the exchange's published procedure."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last_id: int = snapshot["lastUpdateId"]
        self.sides: Sides = {"b": dict(snapshot["bids"]), "a": dict(snapshot["asks"])}

    def apply(self, event: dict[str, Any]) -> bool:
        """Apply a depth event; False when it was older than the book. A gap is an error."""
        if event["u"] <= self.last_id:
            return False
        assert event["U"] <= self.last_id + 1, f"gap: {event['U']} after {self.last_id}"
        for side in "ba":
            for price, size in event[side]:
                if float(size) == 0:
                    self.sides[side].pop(price, None)
                else:
                    self.sides[side][price] = size
        self.last_id = event["u"]
        return True

    def best(self, count: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        bids = sorted(self.sides["b"].items(), key=lambda level: -float(level[0]))[:count]
        asks = sorted(self.sides["a"].items(), key=lambda level: float(level[0]))[:count]
        return bids, asks

    def top(self) -> tuple[str, str, str, str]:
        bid, ask = max(self.sides["b"], key=float), min(self.sides["a"], key=float)
        return bid, self.sides["b"][bid], ask, self.sides["a"][ask]


async def frames(ws_url: str, *streams: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """(stream, payload) of a combined connection, without end."""
    async with websockets.connect(f"{ws_url}/stream?streams={'/'.join(streams)}", max_size=None) as socket:
        async for message in socket:
            body = json.loads(message)
            yield body["stream"], body["data"]


async def depth(rest_url: str, symbol: str, limit: int = 5000) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=rest_url, timeout=20) as client:
        answer = await client.get("/api/v3/depth", params={"symbol": symbol, "limit": limit})
        answer.raise_for_status()
        body: dict[str, Any] = answer.json()
        return body
