"""Binance spot, and Binance.US, whose frames are the same. PURE.

The rule is that of binance-spot-api-docs, web-socket-streams.md, "How to manage a local order book correctly": update
ids follow each other without a hole, and the first event to apply has the book's id + 1 within [U; u].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.events import Id
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.verify.parts import (
    BestPrices,
    BookAnswer,
    Following,
    LevelsFrame,
    Part,
    RangeRules,
    TextPair,
    TradeIds,
    UnreadableFrame,
    VenueRules,
    numbers,
)


class _BinanceOuter(msgspec.Struct):
    """A frame of a combined stream, or what tells the other kinds apart."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    e: str = ""
    u: int | None = None
    lastUpdateId: int | None = None  # noqa: N815  # the exchange's name


class _BinanceDepth(msgspec.Struct):
    s: str
    U: Id  # the exchange's name
    u: Id
    b: list[TextPair]
    a: list[TextPair]
    pu: Id | None = None  # the `u` of the frame before, of futures alone


class _BinanceAnswer(msgspec.Struct):
    lastUpdateId: Id  # noqa: N815  # the exchange's name
    bids: list[TextPair]
    asks: list[TextPair]
    symbol: str = ""


class _BinanceTicker(msgspec.Struct):
    u: Id
    s: str
    b: str
    B: str
    a: str
    A: str


class _BinanceAggregate(msgspec.Struct):
    s: str
    a: Id


class _BinanceFill(msgspec.Struct):
    s: str
    t: Id


_OUTER: Final = msgspec.json.Decoder(_BinanceOuter)
_KINDS: Final = {"depth": "depthUpdate", "bookTicker": "bookTicker", "aggTrade": "aggTrade", "trade": "trade"}


class BinanceSpotRules(RangeRules):
    proof = Proof(book="update_ids", trades="consecutive_ids", refill=True)
    compared = "newest"

    def __init__(self, venue: str = "binance") -> None:
        self.venue = venue

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        try:
            return _parts(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error


def _parts(line: RecordedLine) -> Sequence[Part]:
    outer = _OUTER.decode(line.frame)
    if outer.lastUpdateId is not None:
        return [_answer(line)]
    payload: Any = outer.data if outer.stream else line.frame
    channel = outer.stream.partition("@")[2] or "depth"
    if outer.stream:
        kind = _KINDS.get(channel.partition("@")[0], "")
    else:
        kind = outer.e or ("bookTicker" if outer.u is not None else "")
    if kind == "depthUpdate":
        return [_book_frame(channel, msgspec.json.decode(payload, type=_BinanceDepth))]
    if kind == "bookTicker":
        ticker = msgspec.json.decode(payload, type=_BinanceTicker)
        return [BestPrices(ticker.s, ticker.u, (ticker.b, ticker.B), (ticker.a, ticker.A))]
    if kind == "aggTrade":
        aggregate = msgspec.json.decode(payload, type=_BinanceAggregate)
        return [TradeIds(aggregate.s, "aggregate", aggregate.a, aggregate.a)]
    if kind == "trade":
        fill = msgspec.json.decode(payload, type=_BinanceFill)
        return [TradeIds(fill.s, "fill", fill.t, fill.t)]
    return ()


def _book_frame(channel: str, depth: _BinanceDepth) -> LevelsFrame:
    if depth.u < depth.U:
        raise UnreadableFrame(f"u {depth.u} < U {depth.U}")
    return LevelsFrame(
        *(depth.s, channel, depth.b, depth.a, "update_ids"), first_id=depth.U, final_id=depth.u, previous_id=depth.pu
    )


def _answer(line: RecordedLine) -> BookAnswer:
    answer = msgspec.json.decode(line.frame, type=_BinanceAnswer)
    numbers(answer.bids)
    numbers(answer.asks)
    symbol = answer.symbol or parse_qs(urlsplit(line.url).query).get("symbol", [""])[0]
    return BookAnswer(symbol, answer.lastUpdateId, answer.bids, answer.asks)


class BinanceFuturesRules(BinanceSpotRules):
    def __init__(self, venue: str = "binance-usdm") -> None:
        super().__init__(venue)

    def follows(self, last_id: int, frame: LevelsFrame) -> Following:
        if frame.previous_id is None:
            return super().follows(last_id, frame)
        return VenueRules.follows(self, last_id, frame)

    def joins(self, answer_id: int, frame: LevelsFrame) -> bool:
        is_within = (frame.first_id or 0) <= answer_id <= (frame.final_id or 0)
        return is_within or frame.previous_id == answer_id
