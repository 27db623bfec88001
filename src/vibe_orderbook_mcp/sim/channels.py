"""From events to streams: which payload goes out under which stream name. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vibe_orderbook_mcp.sim.venue import SymbolTruth, Wanted
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, DepthEvent, Event, TextLevel, TradeFill, encode

PARTIAL_LEVELS = (5, 10, 20)
SLOW_MS = 1000


class Message(NamedTuple):
    stream: str
    payload: bytes


class Channels:
    """The streams of one symbol. Only what somebody listens to is encoded."""

    def __init__(self, state: SymbolTruth) -> None:
        self._state = state
        self._name = state.rules.symbol.lower()
        self._slow: _SlowDepth | None = None
        self._partial_ms = 0

    def messages(self, events: Sequence[Event], wanted: Wanted) -> Iterator[Message]:
        for event in events:
            if isinstance(event, DepthEvent):
                yield from self._depth(event, wanted)
                continue
            kind = _KIND[type(event)]
            if wanted(stream := f"{self._name}@{kind}"):
                yield Message(stream, encode(event))

    def _depth(self, event: DepthEvent, wanted: Wanted) -> Iterator[Message]:
        if wanted(stream := f"{self._name}@depth@100ms"):
            yield Message(stream, encode(event))
        slow_turn = event.event_ms - self._partial_ms >= SLOW_MS
        if slow_turn:
            self._partial_ms = event.event_ms
        for levels in PARTIAL_LEVELS:
            fast, slow = f"{self._name}@depth{levels}@100ms", f"{self._name}@depth{levels}"
            streams = [name for name in ((fast, slow) if slow_turn else (fast,)) if wanted(name)]
            if streams:
                payload = encode(self._state.partial(levels))
                yield from (Message(name, payload) for name in streams)
        if not wanted(stream := f"{self._name}@depth"):
            self._slow = None
            return
        if self._slow is None:
            self._slow = _SlowDepth(event)
        else:
            self._slow.add(event)
        if event.event_ms - self._slow.began_ms >= SLOW_MS - 100:
            yield Message(stream, encode(self._slow.merged(event)))
            self._slow = None


class _SlowDepth:
    """Depth events merged into one of a second: ids contiguous, the newest size of every touched level."""

    def __init__(self, first: DepthEvent) -> None:
        self.began_ms = first.event_ms
        self._first_id = first.first_id
        self._bids: dict[str, TextLevel] = {}
        self._asks: dict[str, TextLevel] = {}
        self.add(first)

    def add(self, event: DepthEvent) -> None:
        self._bids.update((level[0], level) for level in event.bids)
        self._asks.update((level[0], level) for level in event.asks)

    def merged(self, last: DepthEvent) -> DepthEvent:
        return DepthEvent(
            last.event_ms,
            last.symbol,
            self._first_id,
            last.final_id,
            list(self._bids.values()),
            list(self._asks.values()),
        )


_KIND: dict[type, str] = {AggTrade: "aggTrade", TradeFill: "trade", BookTicker: "bookTicker"}
