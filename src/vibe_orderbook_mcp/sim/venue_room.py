"""One venue other than Binance spot: its markets, made when somebody first asks, and who listens to them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.channels import Message
from vibe_orderbook_mcp.sim.dialects.contract import (
    Answer,
    Bye,
    Conversation,
    Dialect,
    Leave,
    ListedProduct,
    Listen,
    MarketEvent,
    MarketFills,
    Step,
    Stream,
    StreamKey,
)
from vibe_orderbook_mcp.sim.faults import Faults
from vibe_orderbook_mcp.sim.hub import BINARY, TEXT, Hub, frame
from vibe_orderbook_mcp.sim.sockets import SimConnection, SpeakerOn, Turned
from vibe_orderbook_mcp.sim.venue_market import MakeMarket, VenueMarket

DELISTED: Final = "DELISTED"


class VenueRoom:
    def __init__(self, dialect: Dialect, make: MakeMarket, hub: Hub, now_ms: Callable[[], int]) -> None:
        self.dialect = dialect
        self.products = {product.symbol: product for product in dialect.products}
        self.markets: dict[str, VenueMarket] = {}
        self.hub = hub
        self._make = make
        self._now_ms = now_ms
        self._speakers: dict[int, VenueSpeaker] = {}
        self._streams: dict[StreamKey, tuple[Stream, dict[int, VenueSpeaker]]] = {}

    @property
    def faults(self) -> Faults:
        return self.hub.faults

    def now_ms(self) -> int:
        """The venue's clock."""
        return self._now_ms() + self.faults.skew_ms()

    def market(self, symbol: str) -> VenueMarket:
        """As it is now."""
        if symbol not in self.products:
            raise ConfigError(f"The simulated {self.dialect.venue} does not list {symbol!r}.")
        if symbol not in self.markets:
            self.markets[symbol] = self._make(self.products[symbol])
        self._advance(symbol, self._now_ms())
        return self.markets[symbol]

    def listed(self) -> list[ListedProduct]:
        """What the venue's list says, which faults may change."""
        found = []
        for product in self.products.values():
            status = self.faults.suspension(product.name)
            if (exp := self.faults.tick_exp(product.name)) is not None:
                product = msgspec.structs.replace(product, price=Step(exp))  # noqa: PLW2901  # as it is listed
            if status != DELISTED:
                found.append(ListedProduct(product, status))
        return found

    def advance(self, to_ms: int) -> None:
        """Play all markets up to a time, and say what is due."""
        for symbol in self.markets:
            self._advance(symbol, to_ms)
        now_ms = to_ms + self.faults.skew_ms()
        for key, (stream, listeners) in list(self._streams.items()):
            for payload in stream.tick(now_ms):
                self._send(key, payload, listeners, now_ms)
        for speaker in list(self._speakers.values()):
            speaker.tick(now_ms)

    # Connections

    def speaker(self, connection: SimConnection, path: str, query: str) -> VenueSpeaker | Turned:
        talk = self.dialect.conversation(path, query, self.now_ms())
        if talk is None:
            return Turned(HTTPStatus.NOT_FOUND, "Not Found\n")
        return VenueSpeaker(connection, self, talk)

    def join(self, speaker: VenueSpeaker) -> None:
        self._speakers[speaker.number] = speaker
        self.hub.listeners[speaker.number] = speaker

    def leave(self, speaker: VenueSpeaker) -> None:
        self._speakers.pop(speaker.number, None)
        self.hub.listeners.pop(speaker.number, None)
        self.faults.forget(speaker.number)
        for key in list(self._streams):
            self.stop_listening(speaker, key)

    def listen(self, speaker: VenueSpeaker, key: StreamKey) -> None:
        market = self.market(key.symbol)
        found = self._streams.get(key)
        if found is None:
            found = self._streams[key] = (self.dialect.stream(key, market), {})
        stream, listeners = found
        for payload in stream.opening():
            self._send(key, payload, {speaker.number: speaker}, self.now_ms())
        listeners[speaker.number] = speaker

    def stop_listening(self, speaker: VenueSpeaker, key: StreamKey) -> None:
        found = self._streams.get(key)
        if found is None:
            return
        found[1].pop(speaker.number, None)
        if not found[1]:
            del self._streams[key]

    # What happens

    def _advance(self, symbol: str, to_ms: int) -> None:
        skew_ms = self.faults.skew_ms()
        for event, is_lost in self.markets[symbol].advance(to_ms):
            told = _shifted(event, skew_ms) if skew_ms else event
            for key, (stream, listeners) in list(self._streams.items()):
                if key.symbol != symbol:
                    continue
                for payload in stream.told(told):
                    if not is_lost:
                        self._send(key, payload, listeners, to_ms + skew_ms)

    def _send(self, key: StreamKey, payload: bytes, listeners: dict[int, VenueSpeaker], now_ms: int) -> None:
        for speaker in list(listeners.values()):
            speaker.stream(key, payload, now_ms)


class VenueSpeaker(SpeakerOn):
    """The venue on one connection: `sockets.Speaker` for the connection, `hub.Listener` for the hub."""

    combined: bool | None = None

    def __init__(self, connection: SimConnection, room: VenueRoom, talk: Conversation) -> None:
        super().__init__(connection)
        self.venue = room.dialect.venue
        self.messages_a_second = room.dialect.messages_a_second
        self._room = room
        self._talk = talk

    def begin(self) -> None:
        self._room.join(self)
        self._carry_out(self._talk.greeting())

    def hear(self, text: str) -> None:
        self._carry_out(self._talk.hear(text, self._room.now_ms()))

    def end(self) -> None:
        self._room.leave(self)

    def tick(self, now_ms: int) -> None:
        """Heartbeats are the connection's own: a stall of the connection stops them too."""
        answers = self._talk.tick(now_ms)
        if answers and not self._room.faults.stalled(self.number, time.monotonic()):
            self._carry_out(answers)

    def stream(self, key: StreamKey, payload: bytes, now_ms: int) -> None:
        """Deliver a frame of a stream, bent by whatever faults are active."""
        wrapped = self._talk.wrap(key, payload, now_ms)
        faults, hub = self._room.faults, self._room.hub
        if faults.calm:
            self.deliver(frame(wrapped, TEXT))
            hub.frames_sent += 1
            return
        now = time.monotonic()
        if faults.stalled(self.number, now):
            return
        for bent in faults.shape(Message(f"{self.venue}:{key.symbol}@{key.kind}", wrapped), now, self.number):
            self.deliver(frame(bent.payload, BINARY if bent.binary else TEXT))
            hub.frames_sent += 1

    def _carry_out(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            if isinstance(answer, bytes):
                self.connection.say(answer)
            elif isinstance(answer, Listen):
                self._room.listen(self, answer.key)
            elif isinstance(answer, Leave):
                self._room.stop_listening(self, answer.key)
            elif isinstance(answer, Bye):
                self.connection.close(answer.code, answer.reason)


def _shifted(event: MarketEvent, millis: int) -> MarketEvent:
    """The event as a clock tells it that is `millis` ahead."""
    time_ms = event.time_ms + millis
    if isinstance(event, MarketFills):
        return event._replace(time_ms=time_ms, fills=[fill._replace(time_ms=time_ms) for fill in event.fills])
    return event._replace(time_ms=time_ms)
