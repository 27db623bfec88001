"""Between the exchange's stream and the program: passes frames on, and bends some of them on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.fuzz.frames import bent, bent_bytes


class Relay:
    """`share` of the frames are bent; 0 lets all pass."""

    def __init__(self, target: str, seed: int, share: float) -> None:
        self.share = share
        self.sent = self.bent = 0
        self._target = target
        self._chance = random.Random(seed)

    async def between(self, client: ServerConnection) -> None:
        assert client.request is not None
        with contextlib.suppress(ConnectionClosed):
            async with connect(self._target + client.request.path, compression=None, max_size=None) as exchange:
                asking = asyncio.create_task(self._pass_requests(client, exchange))
                try:
                    earlier = b"{}"
                    async for text in exchange:
                        raw = text.encode() if isinstance(text, str) else text
                        await self._pass(client, raw, earlier)
                        earlier = raw
                finally:
                    asking.cancel()

    async def _pass(self, client: ServerConnection, raw: bytes, earlier: bytes) -> None:
        frames = [raw]
        if b'"data"' in raw and self._chance.random() < self.share:
            self.bent += 1
            frames = bent(self._chance, raw, earlier)
            frames += [bent_bytes(self._chance, raw) for _ in range(self._chance.randrange(20))]
        for frame in frames:
            self.sent += 1
            # Text that is no UTF-8 ends a connection by the protocol's own rules; as binary it reaches the program.
            is_text = self._chance.random() < 0.9 and _is_utf8(frame)
            await client.send(frame, text=is_text)

    async def _pass_requests(self, client: ServerConnection, exchange: object) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in client:
                await exchange.send(text)  # type: ignore[attr-defined]  # a ClientConnection


@contextlib.asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[str]:
    async with serve(relay.between, "127.0.0.1", 0, compression=None, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
