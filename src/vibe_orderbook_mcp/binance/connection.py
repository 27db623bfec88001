"""One websocket connection to combined streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from urllib.parse import quote

from loguru import logger
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from vibe_orderbook_mcp.binance import messages
from vibe_orderbook_mcp.errors import ExchangeUnavailable

OPEN_TIMEOUT_SECS = 10.0
ACK_TIMEOUT_SECS = 5.0
# The largest recorded frame has 70 KB; the whole book of a major as one frame would have 1 MB.
MAX_FRAME_BYTES = 4 * 1024 * 1024
# Our own pings notice a peer that is gone without a word. The exchange allows 5 incoming messages a second.
PING_EVERY_SECS = 15.0
REQUEST_SPACING_SECS = 0.3
# More streams than this go into SUBSCRIBE requests: a longer URL is refused by some proxies.
URL_STREAMS = 60


class Connection:
    """An open connection. Iterate `frames()`; it ends when the connection does."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = count(1)
        self._acks: dict[int, asyncio.Future[None]] = {}
        self._sending = asyncio.Lock()
        self.opened_ns = time.monotonic_ns()
        self.frame_ns = self.opened_ns  # when the newest frame came

    @classmethod
    async def open(cls, base_url: str, streams: list[str]) -> Connection:
        """Raises ExchangeUnavailable."""
        names = quote("/".join(streams[:URL_STREAMS]), safe="/@")
        try:
            socket = await connect(
                f"{base_url}/stream?streams={names}",
                open_timeout=OPEN_TIMEOUT_SECS,
                close_timeout=1.0,
                ping_interval=PING_EVERY_SECS,
                ping_timeout=PING_EVERY_SECS,
                max_size=MAX_FRAME_BYTES,
                compression=None,
                user_agent_header=None,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise ExchangeUnavailable(f"The exchange refused the stream (HTTP {status}).", status=status) from error
        except TimeoutError as error:
            raise ExchangeUnavailable("The exchange's stream did not open in time.") from error
        except (OSError, WebSocketException, ValueError) as error:
            logger.debug("Opening the exchange's stream failed: {!r}", error)
            raise ExchangeUnavailable("The exchange's stream cannot be reached.") from error
        return cls(socket)

    async def frames(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield await self._socket.recv(decode=False)
        except ConnectionClosed:
            return

    async def subscribe(self, streams: list[str]) -> None:
        """Returns when the exchange has confirmed. Raises ExchangeUnavailable when it does not."""
        request_id = next(self._ids)
        ack = self._acks[request_id] = asyncio.get_running_loop().create_future()
        try:
            async with self._sending:
                await self._socket.send(messages.subscribe_request(request_id, streams), text=True)
                await asyncio.sleep(REQUEST_SPACING_SECS)
            await asyncio.wait_for(ack, ACK_TIMEOUT_SECS)
        except (ConnectionClosed, TimeoutError) as error:
            raise ExchangeUnavailable("The exchange did not confirm a subscription.") from error
        finally:
            self._acks.pop(request_id, None)

    def acknowledge(self, reply: messages.Reply) -> None:
        ack = self._acks.get(reply.id)
        if ack is None or ack.done():
            return
        if reply.error is None:
            ack.set_result(None)
        else:
            ack.set_exception(ExchangeUnavailable(f"The exchange refused a subscription: {reply.error[:200]}"))

    @property
    def close_reason(self) -> str:
        code = self._socket.close_code
        return f"code {code}" if code is not None else "no close frame"

    async def close(self) -> None:
        """Say goodbye, or at least close the socket: whoever waits for the former may be cancelled meanwhile."""
        try:
            with suppress(OSError, WebSocketException):
                await self._socket.close()
        finally:
            self._socket.transport.abort()
