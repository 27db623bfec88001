"""OKX, websocket v5: spot, swaps, futures and options. PURE.

OKX, "WS / Order book channel": a frame's `prevSeqId` is the `seqId` of the one before, -1 on a snapshot. Both are equal
where nothing changed. Sequence ids may start again lower, with a `prevSeqId` that is right nevertheless. `checksum` is
the signed CRC32 of the best 25 levels, bid and ask in turn, each `price:size`; OKX sends 0 where it has stopped to say
one, so 0 says nothing. Recordings from before there were sequence ids are proved by the checksum alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Final
from zlib import crc32

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.verify.parts import (
    BestPrices,
    BookProof,
    Following,
    LevelsFrame,
    Part,
    TextLevels,
    TouchPrices,
    TradeIds,
    UnreadableFrame,
    VenueRules,
    Whole,
    pairs,
)

CHECKED_LEVELS: Final = 25
# Channels of changes; the others send whole books.
CHANGES: Final = frozenset({"books", "books-l2-tbt", "books50-l2-tbt"})
WHOLES: Final = frozenset({"books5"})
PONG: Final = b"pong"  # what OKX answers to a `ping`, both as plain text
TRADES: Final = frozenset({"trades", "trades-all"})
MOST_FILLS: Final = 100_000  # that are believed of one message


class _OkxArgument(msgspec.Struct):
    channel: str = ""
    instId: str = ""  # noqa: N815  # the venue's name


class _OkxBook(msgspec.Struct):
    bids: list[list[str]]
    asks: list[list[str]]
    seqId: int | None = None  # noqa: N815
    prevSeqId: int | None = None  # noqa: N815
    checksum: int = 0


class _OkxTrade(msgspec.Struct):
    tradeId: str  # noqa: N815
    count: str = "1"


class _OkxTicker(msgspec.Struct):
    bidPx: str = ""  # noqa: N815
    askPx: str = ""  # noqa: N815


class _OkxOuter(msgspec.Struct):
    arg: _OkxArgument | None = None
    action: str = ""
    data: msgspec.Raw = msgspec.Raw()


_OUTER: Final = msgspec.json.Decoder(_OkxOuter)
_BOOKS: Final = msgspec.json.Decoder(list[_OkxBook])
_TRADES: Final = msgspec.json.Decoder(list[_OkxTrade])
_TICKERS: Final = msgspec.json.Decoder(list[_OkxTicker])


class OkxRules(VenueRules):
    venue = "okx"
    checked_levels = CHECKED_LEVELS
    proof = Proof(book="update_ids", trades="consecutive_ids", refill=True)

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        if line.frame == PONG:
            return ()
        try:
            outer = _OUTER.decode(line.frame)
            if outer.arg is None or not bytes(outer.data):
                return ()
            return _parts(outer.arg, outer.action, outer.data)
        except (msgspec.MsgspecError, ValueError, IndexError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error

    def follows(self, last_id: int, frame: LevelsFrame) -> Following:
        if frame.previous_id is None:
            return "next"
        return super().follows(last_id, frame)

    def is_right(self, book: TextLevels, checksum: int) -> bool:
        bids, asks = book.top("bid", CHECKED_LEVELS), book.top("ask", CHECKED_LEVELS)
        texts = [text for levels in zip_longest(bids, asks) for level in levels if level is not None for text in level]
        said = crc32(":".join(texts).encode())
        return checksum in (said, said - 2**32)


def _parts(argument: _OkxArgument, action: str, data: msgspec.Raw) -> Sequence[Part]:
    symbol, channel = argument.instId, argument.channel
    if channel in CHANGES or channel in WHOLES:
        return [_book(symbol, channel, book, is_whole=action != "update") for book in _BOOKS.decode(data)]
    if channel == "bbo-tbt":
        return [
            BestPrices(symbol, book.seqId, _first(book.bids), _first(book.asks))
            for book in _BOOKS.decode(data)
            if book.seqId is not None
        ]
    if channel == "tickers":
        return [TouchPrices(symbol, each.bidPx or None, each.askPx or None) for each in _TICKERS.decode(data)]
    if channel in TRADES:
        return sorted(_trade(symbol, trade) for trade in _TRADES.decode(data))
    return ()


def _book(symbol: str, channel: str, book: _OkxBook, *, is_whole: bool) -> LevelsFrame:
    bids, asks = pairs(book.bids), pairs(book.asks)
    whole = Whole() if is_whole else None
    if channel in WHOLES:
        return LevelsFrame(symbol, channel, bids, asks, "snapshots_only", whole)
    checksum = book.checksum or None
    has_ids = book.seqId is not None and book.prevSeqId is not None
    proved_by: BookProof = "update_ids" if has_ids else "none" if checksum is None else "checksum"
    previous_id = None if is_whole else book.prevSeqId
    return LevelsFrame(
        *(symbol, channel, bids, asks, proved_by, whole),
        final_id=book.seqId,
        previous_id=previous_id,
        checksum=checksum,
    )


def _first(levels: Sequence[Sequence[str]]) -> tuple[str, str]:
    """An empty side is a price of 0."""
    return (levels[0][0], levels[0][1]) if levels else ("0", "0")


def _trade(symbol: str, trade: _OkxTrade) -> TradeIds:
    """`tradeId` is the last one of those that were added up."""
    last, count = int(trade.tradeId), int(trade.count)
    if not 1 <= count <= MOST_FILLS:
        raise ValueError(f"a trade of {count} fills")
    return TradeIds(symbol, "fill", last - count + 1, last)
