"""Binance spot, and Binance.US, whose frames are the same. PURE.

The rule is that of binance-spot-api-docs, web-socket-streams.md, "How to manage a local order book correctly": update
ids follow each other without a hole, and the first event to apply has the book's id + 1 within [U; u].
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from vibe_orderbook_mcp.book.sync import is_gap
from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Id, Level, Millis
from vibe_orderbook_mcp.verify.parts import (
    BestPrices,
    BookAnswer,
    BookUpdate,
    Following,
    Part,
    TextPair,
    TradeNumber,
    UnreadableFrame,
    VenueProof,
)


class _Outer(msgspec.Struct):
    """A frame of a combined stream, or what tells the other kinds apart."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    e: str = ""
    u: int | None = None
    lastUpdateId: int | None = None  # noqa: N815  # the exchange's name


class _Depth(msgspec.Struct):
    s: str
    U: Id  # the exchange's name
    u: Id
    E: Millis
    b: list[TextPair]
    a: list[TextPair]


class _Answer(msgspec.Struct):
    lastUpdateId: Id  # noqa: N815  # the exchange's name
    bids: list[TextPair]
    asks: list[TextPair]
    symbol: str = ""


class _Ticker(msgspec.Struct):
    u: Id
    s: str
    b: str
    B: str
    a: str
    A: str


class _Aggregate(msgspec.Struct):
    s: str
    a: Id


class _Fill(msgspec.Struct):
    s: str
    t: Id


_OUTER: Final = msgspec.json.Decoder(_Outer)
_KINDS: Final = {"depth": "depthUpdate", "bookTicker": "bookTicker", "aggTrade": "aggTrade", "trade": "trade"}


class BinanceSpotRules:
    proof = VenueProof("update_ids", None, "consecutive_ids", refill=True)

    def __init__(self, venue: str = "binance") -> None:
        self.venue = venue

    def part(self, line: RecordedLine) -> Part | None:
        try:
            return self._part(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error

    def follows(self, last_id: int, update: DepthUpdate) -> Following:
        if update.final_id <= last_id:
            return "old"
        return "gap" if is_gap(last_id, update) else "next"

    def joins(self, answer_id: int, update: DepthUpdate) -> bool:
        return update.first_id <= answer_id + 1 <= update.final_id

    def name(self, symbol: str) -> str:
        return symbol if self.venue == "binance" else f"{self.venue}:{symbol}"

    def _part(self, line: RecordedLine) -> Part | None:
        outer = _OUTER.decode(line.frame)
        if outer.lastUpdateId is not None:
            return _answer(line)
        payload: Any = outer.data if outer.stream else line.frame
        if outer.stream:
            kind = _KINDS.get(outer.stream.partition("@")[2].partition("@")[0], "")
        else:
            kind = outer.e or ("bookTicker" if outer.u is not None else "")
        if kind == "depthUpdate":
            return _book_frame(msgspec.json.decode(payload, type=_Depth))
        if kind == "bookTicker":
            ticker = msgspec.json.decode(payload, type=_Ticker)
            return BestPrices(ticker.s, ticker.u, (ticker.b, ticker.B), (ticker.a, ticker.A))
        if kind == "aggTrade":
            aggregate = msgspec.json.decode(payload, type=_Aggregate)
            return TradeNumber(aggregate.s, "aggregate", aggregate.a)
        if kind == "trade":
            fill = msgspec.json.decode(payload, type=_Fill)
            return TradeNumber(fill.s, "fill", fill.t)
        return None


def _book_frame(depth: _Depth) -> BookUpdate:
    if depth.u < depth.U:
        raise UnreadableFrame(f"u {depth.u} < U {depth.U}")
    update = DepthUpdate(depth.s, depth.E, depth.U, depth.u, _numbers(depth.b), _numbers(depth.a))
    return BookUpdate(depth.s, update, depth.b, depth.a)


def _answer(line: RecordedLine) -> BookAnswer:
    answer = msgspec.json.decode(line.frame, type=_Answer)
    symbol = answer.symbol or parse_qs(urlsplit(line.url).query).get("symbol", [""])[0]
    snapshot = DepthSnapshot(answer.lastUpdateId, _numbers(answer.bids), _numbers(answer.asks))
    return BookAnswer(symbol, snapshot, answer.bids, answer.asks)


def _numbers(levels: list[TextPair]) -> list[Level]:
    """Raises msgspec.ValidationError for a price or size that is none."""
    return msgspec.convert(levels, list[Level], strict=False)
