"""Who is measured: this project's own path, the yardstick, and `bench.peers`.

Each contender keeps one book of one message set. `feed` takes raw frames through the contender's own message path;
`touch` is the best bid and ask it shows afterwards, for the check that all of them kept the same book.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import orjson

from bench.sets import MessageSet
from vibe_orderbook_mcp.book import book_side
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.compiled import IS_COMPILED
from vibe_orderbook_mcp.book.sync import BookSync, Outcome
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.venues.binance.messages import DepthMessage, TradeMessage, parse_frame, parse_snapshot

Frames = Sequence[tuple[int, bytes]]
Touch = tuple[float, float]


class Contender(Protocol):
    name: str
    share: float  # of the segments that it is given; slow ones get fewer

    def feed(self, frames: Frames) -> None: ...
    def touch(self) -> Touch | None: ...


class Yardstick:
    """Bare `orjson.loads` of the same bytes: no book at all."""

    name = "orjson.loads"
    share = 1.0

    def __init__(self, messages: MessageSet) -> None:
        del messages

    def feed(self, frames: Frames) -> None:
        loads = orjson.loads
        for _, raw in frames:
            loads(raw)

    def touch(self) -> Touch | None:
        return None


class OwnBook:
    """Decode, sequence check, book, best bid and ask current after every message. Compiled where that was built."""

    name = "this project: book"
    share = 1.0

    def __init__(self, messages: MessageSet) -> None:
        self._sync = BookSync()
        self._sync.load(parse_snapshot(messages.snapshot), limit=messages.limit or None)
        self._touch: Touch | None = None

    def feed(self, frames: Frames) -> None:
        receive = self._sync.receive
        for _, raw in frames:
            event = parse_frame(raw)
            if isinstance(event, DepthMessage):
                if receive(event) is not Outcome.APPLIED:
                    raise AssertionError(f"update {event.final_id} was not applied")
                book = self._sync.book
                if book is not None and (bid := book.bids.best) is not None and (ask := book.asks.best) is not None:
                    self._touch = bid, ask

    def touch(self) -> Touch | None:
        return self._touch


class PythonBook(OrderBook):
    __slots__ = ()

    side_type = book_side.BookSide


class OwnPythonBook(OwnBook):
    """The same in plain Python, as it runs where there is no C compiler."""

    name = "this project: book, plain Python"

    def __init__(self, messages: MessageSet) -> None:
        super().__init__(messages)
        self._sync.book = PythonBook(parse_snapshot(messages.snapshot), limit=messages.limit or None)


def own_books() -> list[type[OwnBook]]:
    return [OwnBook, OwnPythonBook] if IS_COMPILED else [OwnBook]


class OwnRows:
    """What production does with a frame: the book, the trades, and a feature row for every second.

    Rows are taken as the recorder takes them; what it does with them then (detectors, disk) is measured elsewhere.
    """

    name = "this project: book and rows"
    share = 1.0

    def __init__(self, messages: MessageSet) -> None:
        self._market = Market()
        self._state = self._market.add(messages.spec)
        self._market.load(messages.symbol, parse_snapshot(messages.snapshot), messages.limit or 5000, 0)
        self._second = 0
        self.rows = 0

    def feed(self, frames: Frames) -> None:
        market, state = self._market, self._state
        for received_ms, raw in frames:
            event = parse_frame(raw)
            if isinstance(event, DepthMessage):
                if market.receive_depth(event, received_ms * 1_000_000) is not Outcome.APPLIED:
                    raise AssertionError(f"update {event.final_id} was not applied")
            elif isinstance(event, TradeMessage):
                market.receive_trade(event.symbol, event.trade())
            if received_ms // 1000 != self._second:
                self._second = received_ms // 1000
                self.rows += len(state.take().seconds)

    def touch(self) -> Touch | None:
        book = self._state.book
        if book is None or book.bids.best is None or book.asks.best is None:
            return None
        return book.bids.best, book.asks.best
