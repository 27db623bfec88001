"""One permanent connection: it reconnects when it breaks and is replaced, make before break, when it is old.

A `Line` reads frames and passes the events on; other code proves the sequence. During a replacement two connections
deliver, and `Handover` puts the second one's events in order after the first one's.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from math import inf
from typing import Protocol

from loguru import logger

from vibe_orderbook_mcp.book.handover import Handover
from vibe_orderbook_mcp.model.errors import ExchangeUnavailable
from vibe_orderbook_mcp.model.events import DepthUpdate
from vibe_orderbook_mcp.model.wire import (
    BookReplaced,
    Closing,
    Event,
    MalformedMessage,
    Reply,
    Say,
    SequenceBroken,
    Traded,
)
from vibe_orderbook_mcp.process.pace import Repeats, delays
from vibe_orderbook_mcp.venues.connection import Connection, ConnectionPulse
from vibe_orderbook_mcp.venues.contract import Venue

LIFETIME_SPREAD_SECS = 1800.0  # so that several connections do not change at once
SILENT_SECS = 10.0
WATCH_SECS = 1.0
PING_SECS = 1.0
RECONNECT_MOST_SECS = 8.0  # far within the 300 attempts that the exchange allows in five minutes
SETTLED_NS = 10_000_000_000  # a connection that lasted this long was good
HANDOVER_SECS = 5.0
# The new connection delivers and the old one was silent for this long: do not wait for it.
OUTLIVED_SECS = 3.0
# Pause between two replacements because of silence; it doubles while the new connection is silent too.
REPLACE_FIRST_SECS = 10.0
REPLACE_MOST_SECS = 300.0


class Receiver(Protocol):
    """Receives the events of a line."""

    def depth(self, update: DepthUpdate, received_ns: int) -> None: ...
    def book(self, replaced: BookReplaced, received_ns: int) -> None: ...
    def trade(self, traded: Traded, received_ns: int) -> None: ...
    def malformed(self, error: MalformedMessage) -> None: ...
    def connected(self, symbols: set[str], *, is_first: bool) -> None: ...  # those whose streams are open
    def disconnected(self, symbols: set[str], reason: str) -> None: ...  # after ": ": the other side's words
    def interrupted(self, symbols: set[str]) -> None: ...  # between two connections trades may have been missed
    def last_update_id(self, symbol: str) -> int | None: ...
    def is_stuck(self, symbols: set[str], now_ns: int) -> str | None: ...


class _Successor:
    """The connection that is about to take over."""

    def __init__(self, connection: Connection, handover: Handover, reader: asyncio.Task[None]) -> None:
        self.connection = connection
        self.handover = handover
        self.reader = reader
        self.deadline_ns = time.monotonic_ns() + int(HANDOVER_SECS * 1e9)


class Line:
    def __init__(self, venue: Venue, base_url: str, receiver: Receiver) -> None:
        self._venue = venue
        self._base_url = base_url
        self._receiver = receiver
        lifetime_secs = venue.traits.lifetime_secs or inf
        spread_secs = min(LIFETIME_SPREAD_SECS, lifetime_secs / 10)
        self._lifetime_secs = lifetime_secs - random.random() * spread_secs  # noqa: S311  # spreading, not a secret
        self.symbols: set[str] = set()
        self.reconnects = 0
        self.replacements = 0
        self.connection: Connection | None = None
        self.pulse = ConnectionPulse()  # of the serving connection
        self._successor: _Successor | None = None
        self._replace_reason: str | None = None
        self._replace_after_ns = 0
        self._reopening = delays(most_secs=RECONNECT_MOST_SECS)  # while a replacement fails
        self._patient_until_ns = 0  # a new connection's symbols may still be stale from before
        self._replace_pause_secs = REPLACE_FIRST_SECS
        self._wake = asyncio.Event()
        self._said = Repeats()

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        waits = delays(most_secs=RECONNECT_MOST_SECS)
        while True:
            connection = await self._open_first(waits)
            self._begin(connection)
            try:
                reason = await self._serve(connection)
            except ExchangeUnavailable as error:
                reason = str(error)
            finally:
                await self._drop_all()
            self.reconnects += 1
            self._receiver.disconnected(set(self.symbols), reason)
            if time.monotonic_ns() - connection.opened_ns > SETTLED_NS:
                waits = delays(most_secs=RECONNECT_MOST_SECS)
            else:
                await asyncio.sleep(next(waits))  # it opens and breaks repeatedly: slow down

    async def add(self, symbol: str) -> None:
        """Subscribe one more symbol on the open connection. Raises ExchangeUnavailable."""
        self.symbols.add(symbol)
        successor = self._successor
        for connection in (self.connection, successor.connection if successor is not None else None):
            if connection is not None:
                await connection.subscribe(self._venue.streams_of(symbol))

    async def drop(self, symbol: str) -> None:
        """Remove the symbol from the list and unsubscribe its streams on the open connections."""
        successor = self._successor
        for connection in (self.connection, successor.connection if successor is not None else None):
            if connection is not None and symbol not in self.symbols:  # it may have come back
                await connection.unsubscribe(self._venue.streams_of(symbol))

    async def renew(self, symbol: str) -> None:
        """Have the venue send the symbol's book again. Raises ExchangeUnavailable."""
        if (connection := self.connection) is not None and symbol in self.symbols:
            books = self._venue.streams_of(symbol)[:1]
            await connection.unsubscribe(books)
            await connection.subscribe(books)

    def replace(self, reason: str) -> None:
        """Change the connection soon, without missing an event."""
        self._replace_reason = self._replace_reason or reason
        self._wake.set()

    async def _open_first(self, waits: Iterator[float]) -> Connection:
        while True:
            if self.symbols:
                try:
                    return await Connection.open(self._venue, self._base_url, self._streams())
                except ExchangeUnavailable as error:
                    if (more := self._said.more("connecting", time.monotonic())) is not None:
                        logger.warning("Cannot connect to the exchange's stream: {}{}", error, more)
                    self._receiver.disconnected(set(self.symbols), str(error))
            await asyncio.sleep(next(waits))

    def _begin(self, connection: Connection) -> None:
        self.connection = connection
        self.pulse.frame(time.monotonic_ns())
        self._replace_reason = None
        self._patient_until_ns = time.monotonic_ns() + int(SILENT_SECS * 1e9)

    async def _serve(self, first: Connection) -> str:
        """Read until no connection is left. Returns why the last one ended."""
        reader = asyncio.create_task(self._read(first))
        pinging = asyncio.create_task(self._ping_forever())
        greeting = asyncio.create_task(self._say_pings_forever())
        try:
            await self._subscribe_rest(first)
            self._receiver.connected(self._open_symbols(first), is_first=True)
            while True:
                await self._watch(reader)
                successor = self._successor
                if reader.done():
                    reason = _ended(reader, self.connection)
                    if successor is None:
                        return reason
                    logger.info("Old connection ended during the change ({})", reason)
                if successor is not None and successor.reader.done():
                    reason = _ended(successor.reader, successor.connection)
                    await self._abandon(successor)
                    self._put_off(f"the new one ended before it took over ({reason})")
                elif successor is not None and (reader.done() or self._is_due(successor)):
                    reader = await self._promote(successor, reader)
                elif successor is None and (why := self._reason_to_replace()) is not None:
                    await self._open_successor(why)
        finally:
            for task in (reader, pinging, greeting):
                task.cancel()
            await asyncio.gather(reader, pinging, greeting, return_exceptions=True)

    async def _ping_forever(self) -> None:
        """Without frames, ping the exchange once a second."""
        while True:
            await asyncio.sleep(PING_SECS)
            connection = self.connection
            if connection is not None and time.monotonic_ns() - connection.frame_ns > PING_SECS * 1e9:
                await connection.ping(partial(self._answered, connection))

    async def _say_pings_forever(self) -> None:
        """A venue that has pings of its own ends a connection that does not send them, however busy it is."""
        every_secs = self._venue.traits.ping_every_secs
        while every_secs is not None:
            await asyncio.sleep(every_secs)
            successor = self._successor
            for connection in (self.connection, successor.connection if successor is not None else None):
                if connection is not None and (ping := connection.wire.ping()) is not None:
                    await connection.say(ping)

    def _answered(self, connection: Connection, sent_ns: int) -> None:
        if connection is self.connection:
            self.pulse.pong(sent_ns, time.monotonic_ns())

    async def _watch(self, reader: asyncio.Task[None]) -> None:
        """Wait for an event: the end of a connection, a request to replace it, or one second."""
        self._wake.clear()
        woken = asyncio.create_task(self._wake.wait())
        waiting = {reader, woken}
        if self._successor is not None:
            waiting.add(self._successor.reader)
        await asyncio.wait(waiting, timeout=WATCH_SECS, return_when=asyncio.FIRST_COMPLETED)
        woken.cancel()

    def _reason_to_replace(self) -> str | None:
        now_ns = time.monotonic_ns()
        connection = self.connection
        if connection is None or now_ns < self._replace_after_ns:
            return None
        if self._replace_reason is not None:
            return self._replace_reason
        age_secs = (now_ns - connection.opened_ns) / 1e9
        if age_secs > self._lifetime_secs:
            return f"it is {age_secs / 3600:.1f} h old"
        unheard_secs = (now_ns - self.pulse.heard_ns) / 1e9
        if unheard_secs > SILENT_SECS:
            return f"no frame and no answer to a ping for {unheard_secs:.0f} s"
        if now_ns < self._patient_until_ns:
            return None
        stuck = self._receiver.is_stuck(set(self.symbols), now_ns)
        if stuck is None:
            self._replace_pause_secs = REPLACE_FIRST_SECS
        return stuck

    async def _open_successor(self, reason: str) -> None:
        logger.info("Replacing the exchange connection: {}", reason)
        try:
            connection = await Connection.open(self._venue, self._base_url, self._streams())
        except ExchangeUnavailable as error:
            self._put_off(str(error))
            return
        handover = Handover(self.symbols, brings_books=self._venue.traits.snapshots == "stream")
        reader = asyncio.create_task(self._read(connection))
        self._successor = _Successor(connection, handover, reader)
        try:
            await self._subscribe_rest(connection)
        except ExchangeUnavailable as error:
            await self._abandon(self._successor)
            self._put_off(str(error))

    def _put_off(self, why: str) -> None:
        """The replacement failed. Its reason remains, so it is tried again with the delays of a reconnect."""
        if (more := self._said.more("replacing", time.monotonic())) is not None:
            logger.warning("Cannot replace the exchange connection: {}{}", why, more)
        self._replace_after_ns = time.monotonic_ns() + int(next(self._reopening) * 1e9)

    def _is_due(self, successor: _Successor) -> bool:
        now_ns, old, new = time.monotonic_ns(), self.connection, successor.connection
        has_spoken = new.frame_ns > new.opened_ns
        is_outlived = has_spoken and old is not None and now_ns - old.frame_ns > OUTLIVED_SECS * 1e9
        return successor.handover.is_complete or is_outlived or now_ns > successor.deadline_ns

    async def _promote(self, successor: _Successor, reader: asyncio.Task[None]) -> asyncio.Task[None]:
        old, self.connection, self._successor = self.connection, successor.connection, None
        self.replacements += 1
        now_ns = time.monotonic_ns()
        if reader.done() or old is None or now_ns - old.frame_ns > OUTLIVED_SECS * 1e9:
            self._receiver.interrupted(set(self.symbols))  # the old one may have been silent before the new one opened
        self._replace_reason = None
        self._reopening = delays(most_secs=RECONNECT_MOST_SECS)
        self._replace_after_ns = now_ns + int(self._replace_pause_secs * 1e9)
        self._replace_pause_secs = min(REPLACE_MOST_SECS, self._replace_pause_secs * 2)
        for event in successor.handover.remaining():
            if isinstance(event, BookReplaced):
                self._receiver.book(event, now_ns)
            else:
                self._receiver.depth(event, now_ns)
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader
        if old is not None:
            await old.close()
        self._receiver.connected(self._open_symbols(successor.connection), is_first=False)
        logger.info("The exchange connection was replaced")
        return successor.reader

    async def _abandon(self, successor: _Successor) -> None:
        self._successor = None
        successor.reader.cancel()
        with suppress(asyncio.CancelledError):
            await successor.reader
        await successor.connection.close()

    async def _drop_all(self) -> None:
        connection, self.connection = self.connection, None
        try:
            if self._successor is not None:
                await self._abandon(self._successor)
        finally:
            if connection is not None:
                await connection.close()

    async def _subscribe_rest(self, connection: Connection) -> None:
        """Streams that did not fit into the URL, and symbols that were added while the connection opened."""
        missing = [stream for stream in self._streams() if stream not in connection.streams]
        step = self._venue.traits.streams_a_request
        for start in range(0, len(missing), step):
            await connection.subscribe(missing[start : start + step])

    def _open_symbols(self, connection: Connection) -> set[str]:
        """Symbols of the connection without those being added: a snapshot from before the stream opened would get no
        event, and would look like the book of a quiet symbol."""
        return {symbol for symbol in self.symbols if connection.streams.issuperset(self._venue.streams_of(symbol))}

    def _streams(self) -> list[str]:
        return [stream for symbol in sorted(self.symbols) for stream in self._venue.streams_of(symbol)]

    async def _read(self, connection: Connection) -> None:
        async for raw in connection.frames():
            received_ns = time.monotonic_ns()
            connection.frame_ns = received_ns
            if connection is self.connection:
                self.pulse.frame(received_ns)
            try:
                events = connection.wire.read(raw)
            except MalformedMessage as error:
                self._receiver.malformed(error)
                continue
            for event in events:
                if isinstance(event, DepthUpdate):
                    self._depth(connection, event, received_ns)
                elif isinstance(event, Traded):
                    self._receiver.trade(event, received_ns)
                elif isinstance(event, BookReplaced):
                    self._book(connection, event, received_ns)
                else:
                    await self._control(connection, event)

    async def _control(self, connection: Connection, event: Event) -> None:
        """What is about the connection, and not about a market."""
        if isinstance(event, Reply):
            connection.acknowledge(event)
        elif isinstance(event, Say):
            await connection.say(event.raw)
        elif isinstance(event, SequenceBroken):
            logger.warning("Messages of the exchange's stream were lost: {}", event.reason)
            await connection.close()  # the reader ends, and every book is loaded again on the next connection
        elif isinstance(event, Closing) and connection is self.connection:
            self.replace("the exchange announced its shutdown")

    def _book(self, connection: Connection, replaced: BookReplaced, received_ns: int) -> None:
        successor = self._successor
        if successor is not None and connection is successor.connection:
            successor.handover.begin(replaced)
            if successor.handover.is_complete:
                self._wake.set()
        else:
            self._receiver.book(replaced, received_ns)

    def _depth(self, connection: Connection, update: DepthUpdate, received_ns: int) -> None:
        successor = self._successor
        if successor is not None and connection is successor.connection:
            successor.handover.hold(update)
        else:
            self._receiver.depth(update, received_ns)
        if successor is not None:
            known_id = self._receiver.last_update_id(update.symbol)
            for ready in successor.handover.joining(update.symbol, known_id):
                self._receiver.depth(ready, received_ns)
            if successor.handover.is_complete:
                self._wake.set()


def _ended(reader: asyncio.Task[None], connection: Connection | None) -> str:
    error = reader.exception()
    if error is not None:
        logger.opt(exception=error).error("Reading the exchange's stream failed")
        return "reading it failed"
    return connection.close_words if connection is not None else "closed"
