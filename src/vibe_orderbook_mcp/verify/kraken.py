"""Kraken spot, websocket v2. PURE.

Kraken, "Book checksum (v2)": every frame has the CRC32 of the best ten asks from low to high and then the best ten bids
from high to low, each level its price and its size as they stand in the frames, without the point and without leading
zeros. A level that falls out of the subscribed depth is gone without a message, so a book is cut after each frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final
from zlib import crc32

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.verify.parts import (
    LevelsFrame,
    Part,
    TextLevels,
    TextPair,
    TradeIds,
    UnreadableFrame,
    VenueRules,
    Whole,
)

DEPTHS: Final = (10, 25, 100, 500, 1000)  # that can be subscribed to
CHECKED_LEVELS: Final = 10  # a side, whatever the depth


class _KrakenLevel(msgspec.Struct):
    """Numbers as they stand in the frame: their zeros are in the checksum."""

    price: msgspec.Raw
    qty: msgspec.Raw


class _KrakenBook(msgspec.Struct):
    symbol: str
    bids: list[_KrakenLevel]
    asks: list[_KrakenLevel]
    checksum: int


class _KrakenTrade(msgspec.Struct):
    symbol: str
    trade_id: int


class _KrakenSubscription(msgspec.Struct):
    channel: str = ""
    symbol: str = ""
    depth: int | None = None


class _KrakenOuter(msgspec.Struct):
    channel: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw()
    method: str = ""
    result: _KrakenSubscription | None = None
    success: bool = False


_OUTER: Final = msgspec.json.Decoder(_KrakenOuter)
_BOOKS: Final = msgspec.json.Decoder(list[_KrakenBook])
_TRADES: Final = msgspec.json.Decoder(list[_KrakenTrade])


class KrakenRules(VenueRules):
    venue = "kraken"
    checked_levels = CHECKED_LEVELS
    proof = Proof(book="checksum", book_levels=CHECKED_LEVELS, trades="consecutive_ids", refill=True)

    def __init__(self) -> None:
        self._depths: dict[str, int] = {}  # that Kraken said it subscribed a symbol to

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        if line.frame.startswith(b"["):
            raise UnreadableFrame("it is of websocket version 1, and version 2 is read")
        try:
            outer = _OUTER.decode(line.frame)
            if outer.channel == "book":
                return [self._book(outer.type, book) for book in _BOOKS.decode(outer.data)]
            if outer.channel == "trade":
                is_old = outer.type == "snapshot"
                trades = sorted(_TRADES.decode(outer.data), key=lambda trade: trade.trade_id)
                return [TradeIds(each.symbol, "fill", each.trade_id, each.trade_id, is_old) for each in trades]
            if outer.method == "subscribe" and outer.success and outer.result is not None:
                result = outer.result
                if result.channel == "book" and result.depth is not None:
                    self._depths[result.symbol] = result.depth
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error
        return ()

    def is_right(self, book: TextLevels, checksum: int) -> bool:
        levels = book.top("ask", CHECKED_LEVELS) + book.top("bid", CHECKED_LEVELS)
        return crc32("".join(_digits(price) + _digits(size) for price, size in levels).encode()) == checksum

    def _book(self, kind: str, book: _KrakenBook) -> LevelsFrame:
        bids, asks = _texts(book.bids), _texts(book.asks)
        whole = Whole(self._depth(book.symbol, max(len(bids), len(asks)))) if kind == "snapshot" else None
        return LevelsFrame(book.symbol, "book", bids, asks, "checksum", whole, checksum=book.checksum)

    def _depth(self, symbol: str, count: int) -> int | None:
        """What a symbol is subscribed to, whose snapshot has this number of levels: as Kraken said, or the least that
        fits.

        None for more levels than can be subscribed to: nothing is cut then.
        """
        said = self._depths.get(symbol)
        if said is not None and said >= count and (count not in DEPTHS or said == count):
            return said
        return next((depth for depth in DEPTHS if depth >= count), None)


def _texts(levels: Sequence[_KrakenLevel]) -> list[TextPair]:
    return [(str(bytes(level.price), "ascii"), str(bytes(level.qty), "ascii")) for level in levels]


def _digits(number: str) -> str:
    if "e" in number or "E" in number:
        number = format(Decimal(number), "f")
    return number.replace(".", "").lstrip("0")
