"""An independent client of an exchange, in plain dicts: none of the package's code, so that both can be wrong alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import httpx
import websockets

from tests.patience import PATIENCE_SECS

T = TypeVar("T")
Level = tuple[str, str]


def run(body: Coroutine[Any, Any, T], limit_s: float = PATIENCE_SECS) -> T:
    """Run an asynchronous test; nothing may hang."""

    async def bounded() -> T:
        async with asyncio.timeout(limit_s):
            return await body

    return asyncio.run(bounded())


class DictBook:
    """One symbol's local book by the exchange's published procedure."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.last_id: int = snapshot["lastUpdateId"]
        self.bids = {float(price): (price, size) for price, size in snapshot["bids"]}
        self.asks = {float(price): (price, size) for price, size in snapshot["asks"]}

    def apply(self, event: dict[str, Any]) -> bool:
        """Apply a depth event; False when the book holds it already. A gap is an error."""
        if event["u"] <= self.last_id:
            return False
        assert event["U"] <= self.last_id + 1, f"gap: {event['U']} after {self.last_id}"
        for side, levels in ((self.bids, event["b"]), (self.asks, event["a"])):
            for price, size in levels:
                if float(size) == 0:
                    side.pop(float(price), None)
                else:
                    side[float(price)] = (price, size)
        self.last_id = event["u"]
        return True

    def best(self, count: int) -> tuple[list[Level], list[Level]]:
        bids = [self.bids[price] for price in sorted(self.bids, reverse=True)[:count]]
        return bids, [self.asks[price] for price in sorted(self.asks)[:count]]

    def top(self) -> tuple[str, str, str, str]:
        return (*self.bids[max(self.bids)], *self.asks[min(self.asks)])


class Listener:
    """A combined connection: (stream, payload) of each frame."""

    def __init__(self, ws_url: str, *streams: str) -> None:
        self._connecting = websockets.connect(
            f"{ws_url}/stream?streams={'/'.join(streams)}", max_size=None, max_queue=None
        )

    async def __aenter__(self) -> Listener:
        self.socket = await self._connecting
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.socket.close()

    async def next(self) -> tuple[str, dict[str, Any]]:
        body = json.loads(await self.socket.recv())
        return body["stream"], body["data"]

    async def __aiter__(self) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        while True:
            yield await self.next()

    async def silent(self, seconds: float = 0.05) -> bool:
        """Nothing comes for a moment: only of use where everything due has been sent already."""
        try:
            async with asyncio.timeout(seconds):
                await self.socket.recv()
        except TimeoutError:
            return True
        return False


async def get(rest_url: str, path: str, **params: Any) -> httpx.Response:
    async with httpx.AsyncClient(base_url=rest_url, timeout=PATIENCE_SECS) as client:
        return await client.get(path, params=params)


async def snapshot(rest_url: str, symbol: str, limit: int = 5000) -> dict[str, Any]:
    answer = await get(rest_url, "/api/v3/depth", symbol=symbol, limit=limit)
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    return body
