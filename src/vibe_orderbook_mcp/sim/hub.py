"""Who listens to what, and the one place where frames are handed to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Protocol

from vibe_orderbook_mcp.sim.channels import Message
from vibe_orderbook_mcp.sim.faults import Faults
from vibe_orderbook_mcp.sim.wire import ShutdownNotice, encode

TEXT: Final = 0x1
BINARY: Final = 0x2


class Listener(Protocol):
    """A connection as the hub sees it. `combined` is None where other names than Binance's stream names are spoken."""

    venue: str
    number: int
    combined: bool | None

    def deliver(self, frame: bytes) -> None:
        """Hand a whole websocket frame to the socket; never waits."""

    def disconnect(self, *, abrupt: bool) -> None: ...

    async def drained(self) -> None:
        """Wait until the client has read most of what was delivered."""


class Hub:
    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.listeners: dict[int, Listener] = {}
        self.frames_sent = 0
        # A client in the same event loop may say here when it has taken what was sent; see `drained`.
        self.taken: Callable[[], Awaitable[None]] | None = None
        self._streams: dict[str, dict[int, Listener]] = {}

    def wanted(self, stream: str) -> bool:
        return stream in self._streams

    def listen(self, listener: Listener, streams: Iterable[str]) -> None:
        for stream in streams:
            self._streams.setdefault(stream, {})[listener.number] = listener

    def leave(self, listener: Listener, streams: Iterable[str]) -> None:
        for stream in streams:
            if (group := self._streams.get(stream)) is not None:
                group.pop(listener.number, None)
                if not group:
                    del self._streams[stream]

    def send(self, message: Message) -> None:
        """Deliver one message to everyone who listens, bent by whatever faults are active."""
        group = self._streams.get(message.stream)
        if not group:
            return
        if self.faults.calm:
            self._deliver(group, message.stream, message.payload, TEXT)
            return
        for bent in self.faults.shape(message, time.monotonic()):
            group = self._streams.get(bent.stream)
            if group:
                self._deliver(group, bent.stream, bent.payload, BINARY if bent.binary else TEXT)

    def _deliver(self, group: dict[int, Listener], stream: str, payload: bytes, opcode: int) -> None:
        raw: bytes | None = None
        combined: bytes | None = None
        for listener in list(group.values()):
            if not self.faults.calm and self.faults.stalled(listener.number, time.monotonic()):
                continue
            if listener.combined:
                combined = combined or frame(wrap(stream, payload), opcode)
                listener.deliver(combined)
            else:
                raw = raw or frame(payload, opcode)
                listener.deliver(raw)
            self.frames_sent += 1

    def announce_shutdown(self, event_ms: int) -> None:
        payload = encode(ShutdownNotice(event_ms))
        for listener in [each for each in self.listeners.values() if each.combined is not None]:
            wrapped = wrap("!serverShutdown", payload) if listener.combined else payload
            listener.deliver(frame(wrapped, TEXT))

    def disconnect(self, number: int | None, *, abrupt: bool, venue: str | None = None) -> int:
        """Cut one connection, those of a venue, or all of them; how many were cut."""
        chosen = [
            each
            for each in self.listeners.values()
            if (number is None or each.number == number) and (venue is None or each.venue == venue)
        ]
        for listener in chosen:
            listener.disconnect(abrupt=abrupt)
        return len(chosen)

    async def drained(self) -> None:
        """Back-pressure for a replay without waiting: clients have read what was sent, and `taken` says so if set.

        A client may still have frames that it read and did not use yet. Set `taken` to make a run at full speed the
        same on every machine.
        """
        await asyncio.gather(*(listener.drained() for listener in list(self.listeners.values())))
        if self.taken is not None:
            await self.taken()


def wrap(stream: str, payload: bytes) -> bytes:
    return b'{"stream":"%b","data":%b}' % (stream.encode(), payload)


def frame(payload: bytes, opcode: int) -> bytes:
    """A server frame: final, not masked (RFC 6455, 5.2). Made once for all listeners."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, length))
    elif length < 65536:
        head = bytes((0x80 | opcode, 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")
    return head + payload
