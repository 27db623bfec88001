"""Binance's rules for a stream connection: what its address names, requests, and who listens to what."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from vibe_orderbook_mcp.sim.commands import MAX_STREAMS, Subscriptions
from vibe_orderbook_mcp.sim.hub import Hub
from vibe_orderbook_mcp.sim.sockets import SimConnection, SpeakerOn, Turned

MESSAGES_A_SECOND: Final = 5


class StreamSpeaker(SpeakerOn):
    """One connection's streams: `sockets.Speaker` for the connection, `hub.Listener` for the hub."""

    venue = "binance"
    messages_a_second = MESSAGES_A_SECOND
    combined: bool | None

    def __init__(
        self, connection: SimConnection, hub: Hub, subscribed: Callable[[str], None], session: Subscriptions
    ) -> None:
        super().__init__(connection)
        self.combined = session.combined
        self._hub = hub
        self._subscribed = subscribed
        self._session = session

    def begin(self) -> None:
        self._hub.listeners[self.number] = self
        self._listen(list(self._session.streams))

    def hear(self, text: str) -> None:
        session = self._session
        before = set(session.streams)
        answer = session.answer(text)
        self.combined = session.combined
        self._hub.leave(self, before - set(session.streams))
        self.connection.say(answer)  # the answer comes before the first event
        self._listen([name for name in session.streams if name not in before])

    def end(self) -> None:
        self._hub.listeners.pop(self.number, None)
        self._hub.leave(self, self._session.streams)

    def _listen(self, streams: list[str]) -> None:
        self._hub.listen(self, streams)
        for stream in streams:
            self._subscribed(stream)


def session_of(path: str, query: str) -> Subscriptions | Turned:
    """The streams that an address names."""
    is_combined = path == "/stream"
    if is_combined:
        named = parse_qs(query).get("streams", [""])[0]
    elif path == "/ws" or path.startswith("/ws/"):
        named = path.removeprefix("/ws").removeprefix("/")
    else:
        return Turned(HTTPStatus.NOT_FOUND, "Not Found\n")
    streams = [name for name in named.split("/") if name]
    if len(streams) > MAX_STREAMS:
        return Turned(HTTPStatus.BAD_REQUEST, "Too many streams\n")
    return Subscriptions(streams, combined=is_combined)
