"""One websocket connection to a venue, and what is asked for on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from itertools import count
from typing import cast

from loguru import logger
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from vibe_orderbook_mcp.model.errors import ExchangeUnavailable
from vibe_orderbook_mcp.model.wire import Reply
from vibe_orderbook_mcp.process.outbound import proxy_for
from vibe_orderbook_mcp.process.unreachable import unreachable
from vibe_orderbook_mcp.venues.contract import Venue, Wire

OPEN_TIMEOUT_SECS = 10.0
ACK_TIMEOUT_SECS = 5.0
PING_EVERY_SECS = 15.0  # our own pings notice a peer that is gone without a word
PING_SEND_SECS = 1.0


class _Request:
    """Streams to subscribe or unsubscribe in one request. `failure`: None if confirmed, else the reason."""

    def __init__(self, streams: list[str], *, gives_up: bool = False) -> None:
        self.streams = streams
        self.gives_up = gives_up
        self.failure: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()


class ConnectionPulse:
    """Signs of life of a connection: `market.silence.Pulse`. Nanoseconds are a monotonic clock's."""

    __slots__ = ("heard_ns", "seen_ns")

    def __init__(self) -> None:
        self.heard_ns = 0  # when the newest sign came
        self.seen_ns = 0  # everything that the exchange sent before this time has arrived

    def frame(self, now_ns: int) -> None:
        self.heard_ns = self.seen_ns = now_ns

    def pong(self, sent_ns: int, now_ns: int) -> None:
        """The answer to a ping that was sent at `sent_ns`."""
        self.heard_ns = max(self.heard_ns, now_ns)
        self.seen_ns = max(self.seen_ns, sent_ns)


class Connection:
    """An open connection. Iterate `frames()`; it ends when the connection does."""

    def __init__(self, socket: ClientConnection, venue: Venue, wire: Wire, streams: list[str]) -> None:
        self._socket = socket
        self._traits = venue.traits
        self.wire = wire
        self.streams = set(streams)  # streams that the exchange sends: one without frames is silent, not missing
        self._ids = count(1)
        self._requests: dict[int, _Request] = {}
        self._gathering: _Request | None = None  # waits to be sent, and accepts more streams until then
        self._sending = asyncio.Lock()
        self.opened_ns = time.monotonic_ns()
        self.frame_ns = self.opened_ns  # when the newest frame came

    @classmethod
    async def open(cls, venue: Venue, base_url: str, streams: list[str]) -> Connection:
        """With as many streams as its address may name; the rest is to be subscribed to.

        Raises ExchangeUnavailable, and ConfigError where `outbound.check` would have.
        """
        wire, in_url = venue.wire(), streams[: venue.traits.streams_in_url]
        try:
            socket = await connect(
                wire.address(base_url, in_url),
                open_timeout=OPEN_TIMEOUT_SECS,
                close_timeout=1.0,
                ping_interval=PING_EVERY_SECS,
                ping_timeout=PING_EVERY_SECS,
                max_size=venue.traits.most_frame_bytes,
                compression=None,
                user_agent_header=None,
                proxy=proxy_for(base_url),
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise ExchangeUnavailable(f"The exchange refused the stream (HTTP {status}).", status=status) from error
        except (OSError, WebSocketException, ValueError) as error:  # a time-out is an OSError
            logger.debug("Opening the exchange's stream failed: {!r}", error)
            raise ExchangeUnavailable(unreachable("The exchange's stream", base_url, error)) from error
        return cls(socket, venue, wire, in_url)

    async def frames(self) -> AsyncIterator[bytes]:
        try:
            while True:
                yield await self._socket.recv(decode=False)
        except ConnectionClosed:
            return

    async def ping(self, answered: Callable[[int], None]) -> None:
        """Send a ping. If an answer comes, `answered` is called with the time of the ping (monotonic ns)."""
        sent_ns = time.monotonic_ns()

        def pong(waiter: asyncio.Future[float]) -> None:
            if not waiter.cancelled() and waiter.exception() is None:
                answered(sent_ns)

        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(PING_SEND_SECS):  # sending may be stuck as well
                waiter = await self._socket.ping()
            cast("asyncio.Future[float]", waiter).add_done_callback(pong)

    async def subscribe(self, streams: list[str]) -> None:
        """Returns when the exchange has confirmed. Raises ExchangeUnavailable when it does not.

        Streams that come during the pause between requests share one request: twenty symbols need two requests.
        """
        request = self._gathering
        if request is not None and len(request.streams) + len(streams) <= self._traits.streams_a_request:
            request.streams += streams
        else:
            request = self._gathering = _Request(list(streams))
            await self._send(request)
        if (failure := await asyncio.shield(request.failure)) is not None:
            raise ExchangeUnavailable(failure)

    async def unsubscribe(self, streams: list[str]) -> None:
        """Unsubscribe. Returns when the exchange has confirmed, or will not."""
        await self._send(_Request(list(streams), gives_up=True))

    async def _send(self, request: _Request) -> None:
        request_id = next(self._ids)
        self._requests[request_id] = request
        try:
            async with self._sending:
                self._close_to_more(request)
                wanted = self.wire.unsubscribe if request.gives_up else self.wire.subscribe
                for message in wanted(request_id, request.streams):
                    await self._socket.send(message, text=True)
                    await asyncio.sleep(self._traits.request_spacing_secs)
            await asyncio.wait_for(asyncio.shield(request.failure), ACK_TIMEOUT_SECS)
        except (ConnectionClosed, TimeoutError):
            pass
        finally:  # also if the sender is cancelled: others may wait for the same request
            self._close_to_more(request)
            del self._requests[request_id]
            if not request.failure.done():
                request.failure.set_result("The exchange did not confirm a subscription.")

    async def say(self, raw: bytes) -> None:
        """Something that nobody confirms, such as the answer to a question of the venue."""
        with suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(PING_SEND_SECS):
                await self._socket.send(raw, text=True)

    def _close_to_more(self, request: _Request) -> None:
        if self._gathering is request:
            self._gathering = None

    def acknowledge(self, reply: Reply) -> None:
        request = self._requests.get(reply.id)
        if request is None or request.failure.done():
            return
        if reply.error is None:
            if request.gives_up:
                self.streams.difference_update(request.streams)
            else:
                self.streams.update(request.streams)
            request.failure.set_result(None)
        else:  # its words go only to the log, because a refusal's text reaches clients
            logger.warning("The exchange refused a subscription: {}", reply.error[:200])
            request.failure.set_result("The exchange refused a subscription.")

    @property
    def close_words(self) -> str:
        """Why it ended. After a colon come the other side's own words, at most 123 bytes, only for the log."""
        code, words = self._socket.close_code, self._socket.close_reason
        reason = f"code {code}" if code is not None else "no close frame"
        return f"{reason}: {words}" if words else reason

    async def close(self) -> None:
        """Send a close frame, or at least close the socket if the wait is cancelled."""
        try:
            with suppress(OSError, WebSocketException):
                await self._socket.close()
        finally:
            self._socket.transport.abort()
