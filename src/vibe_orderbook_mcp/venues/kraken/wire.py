"""Kraken's websocket v2: what is sent on it, and what comes. Pure.

A book begins with a snapshot in the stream. Neither it nor what follows has an id; each frame has a checksum of the
ten best levels of each side. A level that falls out of the subscribed depth is not deleted by a message.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from zlib import crc32

import msgspec

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import BookRule
from vibe_orderbook_mcp.model.events import DepthSnapshot
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import (
    BookReplaced,
    CheckedUpdate,
    Event,
    MalformedMessage,
    Reply,
    TradeOf,
    VenueTraits,
)
from vibe_orderbook_mcp.venues.kraken import messages

CHECKED_LEVELS = 10  # a side, whatever depth was subscribed to


def checksum_rule(price_decimals: int, size_decimals: int) -> Callable[[OrderBook, int], bool]:
    """Whether a book is the one that a checksum is of."""

    def text(levels: Iterable[tuple[float, float]]) -> str:
        return "".join(
            f"{price:.{price_decimals}f}".replace(".", "").lstrip("0")
            + f"{size:.{size_decimals}f}".replace(".", "").lstrip("0")
            for price, size in levels
        )

    def is_right(book: OrderBook, checksum: int) -> bool:
        said = text(book.asks.top(CHECKED_LEVELS)) + text(book.bids.top(CHECKED_LEVELS))
        return crc32(said.encode()) == checksum

    return is_right


DEPTH: Final = 1000  # of 10, 25, 100, 500 and 1000

TRAITS: Final = VenueTraits(
    name="kraken",
    snapshots="stream",
    proof=Proof(book="checksum", book_levels=10, trades="consecutive_ids", refill=True),
    trades_a_page=1000,
    symbols_a_line=50,  # a snapshot of this depth has some 100 kB
    streams_a_request=50,
    request_spacing_secs=0.1,
)

_BOOK, _TRADE = "book:", "trade:"


class KrakenWire:
    """See `venues.contract.Wire`. Counts the frames of each book, for want of ids."""

    def __init__(self, depth: int = DEPTH) -> None:
        self._depth = depth
        self._frames: Counter[str] = Counter()
        self._waiting: dict[int, int] = {}  # request id -> how many streams are not confirmed yet

    def address(self, base_url: str, streams: Sequence[str]) -> str:
        return f"{base_url}/v2"

    def subscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        return self._request("subscribe", request_id, streams)

    def unsubscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        return self._request("unsubscribe", request_id, streams)

    def ping(self) -> bytes | None:
        return None  # it says something every second by itself

    def read(self, raw: bytes) -> Sequence[Event]:
        try:
            frame = messages.decode_frame(raw)
        except msgspec.ValidationError as error:
            raise MalformedMessage("invalid", str(error)) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedMessage("unreadable", str(error)) from error
        try:
            if frame.channel == "book":
                return [self._book(book, frame.type) for book in messages.decode_books(frame.data)]
            if frame.channel == "trade":
                return self._trades(frame)
        except (msgspec.MsgspecError, ValueError) as error:
            raise MalformedMessage("invalid", str(error)) from error
        if frame.channel in ("heartbeat", "status"):
            return ()
        if frame.method is not None:
            return self._reply(frame)
        raise MalformedMessage("unknown", f"channel {frame.channel!r:.40}")

    def _request(self, method: str, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        by_channel: dict[str, list[str]] = defaultdict(list)
        for stream in streams:
            channel, _, symbol = stream.partition(":")
            by_channel[channel].append(symbol)
        self._waiting[request_id] = len(streams)
        requests = []
        for channel, symbols in by_channel.items():
            params: dict[str, object] = {"channel": channel, "symbol": symbols}
            if channel == "book":
                params["depth"] = self._depth
            if method == "subscribe":
                params["snapshot"] = channel == "book"  # earlier trades are fetched by id, if wanted
            requests.append(messages.encode({"method": method, "params": params, "req_id": request_id}))
        return requests

    def _reply(self, frame: messages.WireFrame) -> Sequence[Event]:
        """Every symbol of a request is answered by itself. One refusal refuses all of it."""
        request_id = frame.req_id
        if request_id is None or request_id not in self._waiting:
            return ()
        if frame.success is False:
            del self._waiting[request_id]
            return [Reply(request_id, frame.error or "refused without a word")]
        self._waiting[request_id] -= 1
        if self._waiting[request_id] > 0:
            return ()
        del self._waiting[request_id]
        return [Reply(request_id)]

    def _book(self, book: messages.WireBook, kind: str | None) -> Event:
        self._frames[book.symbol] += 1
        number, event_ms = self._frames[book.symbol], book.event_ms
        bids, asks = messages.rows(book.bids), messages.rows(book.asks)
        if kind == "snapshot":
            snapshot = DepthSnapshot(number, bids, asks)
            return BookReplaced(book.symbol, event_ms, snapshot, self._depth, book.checksum)
        if event_ms is None:
            raise ValueError("an update without a time")
        return CheckedUpdate(book.symbol, event_ms, number, number, bids, asks, book.checksum)

    def _trades(self, frame: messages.WireFrame) -> Sequence[Event]:
        if frame.type == "snapshot":
            return ()  # from before the subscription
        return [TradeOf(trade.symbol, trade.trade()) for trade in messages.decode_trades(frame.data)]


class Kraken:
    """See `venues.contract.Venue`."""

    def __init__(self, traits: VenueTraits = TRAITS, *, depth: int = DEPTH) -> None:
        self.traits = traits
        self._depth = depth

    tape = None

    def streams_of(self, symbol: str) -> list[str]:
        return [_BOOK + symbol, _TRADE + symbol]

    def wire(self) -> KrakenWire:
        return KrakenWire(self._depth)

    def rule(self, spec: SymbolSpec) -> BookRule:
        return BookRule(self._depth, checksum_rule(spec.price_decimals, spec.size_decimals))
