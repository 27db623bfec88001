"""OKX's websocket v5: what is sent on it, and what comes. Pure.

A book begins with a snapshot in the stream. Each frame names the id of the one before. A frame without a change has the
same id twice. After maintenance ids may start again lower: the frame still names the one before, and ids continue here
above it. The connection ends after 30 s in which nothing was sent and nothing came, so "ping" is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import zip_longest
from typing import Final
from zlib import crc32

import msgspec

from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import BookRule
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.model.symbol import SymbolSpec, decimal_text
from vibe_orderbook_mcp.model.wire import (
    BookReplaced,
    CheckedUpdate,
    Closing,
    Event,
    MalformedMessage,
    Reply,
    TradeOf,
    VenueTraits,
)
from vibe_orderbook_mcp.venues.okx import messages
from vibe_orderbook_mcp.venues.okx.messages import Contract, OkxBooks, OkxChannel, OkxDepth, OkxFrame

CHECKED_LEVELS: Final = 25
REMEMBERED: Final = 1024  # texts of levels: from frame to frame few change


def checksum_rule(size_of: Callable[[float], float]) -> Callable[[OrderBook, int], bool]:
    """Whether a book is the one that a checksum is of. `size_of` turns a size of the book into the venue's own."""

    @lru_cache(maxsize=REMEMBERED)
    def text(level: tuple[float, float]) -> str:
        price, size = level
        return f"{decimal_text(price, 0)}:{decimal_text(size_of(size), 0)}"

    def is_right(book: OrderBook, checksum: int) -> bool:
        sides = [map(text, levels.top(CHECKED_LEVELS)) for levels in (book.bids, book.asks)]
        said = crc32(":".join([each for pair in zip_longest(*sides) for each in pair if each is not None]).encode())
        return checksum in (said, said - 2**32)

    return is_right


DEPTH: Final = 400  # levels a side of the channel `books`
CLOSING_SOON: Final = "64008"  # the notice of a service upgrade, a minute before the end

TRAITS: Final = VenueTraits(
    name="okx",
    snapshots="stream",
    proof=Proof(book="update_ids", trades="consecutive_ids", refill=True),
    trades_a_page=100,
    symbols_a_line=50,  # a snapshot has some 40 kB
    streams_a_request=50,  # a request may have 64 kB
    request_spacing_secs=0.3,  # 480 requests an hour
    ping_every_secs=15.0,
)

_BOOKS: Final = b'"books"'
_NONE: Final = Contract(1.0, 0, 0)


class _Chain:
    """The ids of one book on one connection."""

    __slots__ = ("_id", "_seq_id")

    def __init__(self) -> None:
        self._seq_id: int | None = None  # of the newest frame, as the venue counts
        self._id = 0  # the same as it is counted here

    def begin(self, seq_id: int | None) -> int:
        """The id of a whole book. Without ids of the venue frames are counted."""
        self._seq_id = seq_id
        self._id = self._id + 1 if seq_id is None else seq_id
        return self._id

    def follow(self, depth: OkxDepth) -> tuple[int, int]:
        """First and final id of a frame."""
        seq_id, before_id, last, at = depth.seq_id, depth.prev_seq_id, self._seq_id, self._id
        if seq_id is None or before_id is None or last is None:
            return self._go_on(seq_id, at + 1, at + 1)
        ahead = at - last  # how far the ids here are ahead, since the venue's started again
        if before_id == last:  # ids that start again go on here
            return self._go_on(seq_id, at + 1, seq_id + ahead if seq_id >= last else at + 1)
        if before_id > last or seq_id == last:
            return self._go_on(seq_id, before_id + ahead + 1, max(before_id, seq_id) + ahead)
        return self._go_on(seq_id, at + 2, at + 2)  # not the next one, and lower: what led there was lost

    def _go_on(self, seq_id: int | None, first_id: int, final_id: int) -> tuple[int, int]:
        self._seq_id, self._id = seq_id, max(self._id, final_id)
        return first_id, final_id


class OkxWire:
    """See `venues.contract.Wire`. `contracts` are those of the symbols that are kept."""

    def __init__(self, contracts: Mapping[str, Contract], depth: int = DEPTH) -> None:
        self._contracts = contracts
        self._depth = depth
        self._chains: dict[str, _Chain] = {}
        self._waiting: dict[str, set[str]] = {}  # request id -> streams that are not confirmed yet

    def address(self, base_url: str, streams: Sequence[str]) -> str:
        return f"{base_url}/ws/v5/public"

    def subscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        return self._request("subscribe", request_id, streams)

    def unsubscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        return self._request("unsubscribe", request_id, streams)

    def ping(self) -> bytes | None:
        return b"ping"

    def read(self, raw: bytes) -> Sequence[Event]:
        if raw == b"pong":
            return ()
        if _BOOKS in raw[:80]:  # in almost every message, and in the most expensive ones
            with suppress(*messages.UNREADABLE):  # the answer to a request has such an argument too
                return self._books(messages.decode_books(raw))
        try:
            frame = messages.decode_frame(raw)
        except msgspec.ValidationError as error:
            raise MalformedMessage("invalid", str(error)) from error
        except messages.UNREADABLE as error:
            raise MalformedMessage("unreadable", str(error)) from error
        if frame.event is not None:
            return self._event(frame)
        channel = frame.arg
        try:
            if channel is not None and channel.channel == "books":
                return self._books(messages.decode_books(raw))
            if channel is not None and channel.channel == "trades":
                return list(self._trades(channel.symbol, frame))
        except (*messages.UNREADABLE, ValueError) as error:
            raise MalformedMessage("invalid", str(error)) from error
        raise MalformedMessage("unknown", f"channel {channel!r:.80}")

    def _request(self, operation: str, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        channels = [OkxChannel(*stream.split(":", 1)) for stream in streams]
        self._waiting[str(request_id)] = set(streams)
        return [msgspec.json.encode({"id": str(request_id), "op": operation, "args": channels})]

    def _event(self, frame: OkxFrame) -> Sequence[Event]:
        if frame.event == "notice" and frame.code == CLOSING_SOON:
            return [Closing()]
        if frame.event == "error":
            request_id = frame.id if frame.id is not None else next(iter(self._waiting), None)
            if request_id is None or self._waiting.pop(request_id, None) is None:
                return ()
            return [Reply(int(request_id), f"{frame.code}: {frame.msg}")]
        if frame.event in ("subscribe", "unsubscribe") and frame.arg is not None:
            return self._confirmed(f"{frame.arg.channel}:{frame.arg.symbol}", frame.id)
        return ()

    def _confirmed(self, stream: str, request_id: str | None) -> Sequence[Event]:
        """Every stream of a request is confirmed by itself, with the id of the request or without."""
        for waiting_id, streams in self._waiting.items():
            if stream in streams and request_id in (None, waiting_id):
                streams.discard(stream)
                if not streams:
                    del self._waiting[waiting_id]
                    return [Reply(int(waiting_id))]
                break
        return ()

    def _books(self, books: OkxBooks) -> Sequence[Event]:
        is_whole = books.action == "snapshot"
        return [self._book(books.arg.symbol, depth, is_whole=is_whole) for depth in books.data]

    def _book(self, symbol: str, depth: OkxDepth, *, is_whole: bool) -> Event:
        chain = self._chains.get(symbol)
        if chain is None:
            chain = self._chains[symbol] = _Chain()
        contract = self._contracts.get(symbol, _NONE)
        bids, asks, event_ms = contract.rows(depth.bids), contract.rows(depth.asks), depth.event_ms
        if is_whole:
            snapshot = DepthSnapshot(chain.begin(depth.seq_id), bids, asks)
            return BookReplaced(symbol, event_ms, snapshot, self._depth, depth.checksum or None)
        first_id, final_id = chain.follow(depth)
        if depth.checksum:
            return CheckedUpdate(symbol, event_ms, first_id, final_id, bids, asks, depth.checksum)
        return DepthUpdate(symbol, event_ms, first_id, final_id, bids, asks)

    def _trades(self, symbol: str, frame: OkxFrame) -> Iterator[Event]:
        contract = self._contracts.get(symbol, _NONE)
        for fills in messages.decode_fills(frame.data):
            for trade in contract.trades(fills):
                yield TradeOf(symbol, trade)


class Okx:
    """See `venues.contract.Venue`."""

    def __init__(self, traits: VenueTraits = TRAITS, *, depth: int = DEPTH) -> None:
        self.traits = traits
        self._depth = depth
        self._contracts: dict[str, Contract] = {}

    tape = None

    def streams_of(self, symbol: str) -> list[str]:
        return [f"books:{symbol}", f"trades:{symbol}"]

    def wire(self) -> OkxWire:
        return OkxWire(self._contracts, self._depth)

    def rule(self, spec: SymbolSpec) -> BookRule:
        contract = self._contracts[spec.instrument.symbol] = Contract.of(spec)
        return BookRule(self._depth, checksum_rule(contract.size_of))
