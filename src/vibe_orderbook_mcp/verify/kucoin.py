"""KuCoin spot. PURE.

KuCoin, "Level2 - Market Data": a frame holds the changes `sequenceStart` to `sequenceEnd`, which follow each other
without a hole. The first one to apply has the sequence of the REST answer + 1 within them. A row whose price is 0 fills
a place in the sequence and is no level. A ticker has the sequence of the book that it is of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.events import Id
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.verify.parts import (
    BestPrices,
    BookAnswer,
    LevelsFrame,
    Part,
    RangeRules,
    TextPair,
    TradeName,
    UnreadableFrame,
    numbers,
    pairs,
)


class _KucoinChanges(msgspec.Struct):
    bids: list[list[str]]
    asks: list[list[str]]


class _KucoinUpdate(msgspec.Struct):
    symbol: str
    sequenceStart: Id  # noqa: N815  # the venue's name
    sequenceEnd: Id  # noqa: N815
    changes: _KucoinChanges


class _KucoinTicker(msgspec.Struct):
    sequence: str
    bestBid: str  # noqa: N815
    bestBidSize: str  # noqa: N815
    bestAsk: str  # noqa: N815
    bestAskSize: str  # noqa: N815


class _KucoinMatch(msgspec.Struct):
    symbol: str
    tradeId: str  # noqa: N815


class _KucoinAnswer(msgspec.Struct):
    sequence: str
    bids: list[list[str]]
    asks: list[list[str]]


class _KucoinOuter(msgspec.Struct):
    topic: str = ""
    code: str = ""
    data: msgspec.Raw = msgspec.Raw()


_OUTER: Final = msgspec.json.Decoder(_KucoinOuter)
_UPDATE: Final = msgspec.json.Decoder(_KucoinUpdate)
_TICKER: Final = msgspec.json.Decoder(_KucoinTicker)
_MATCH: Final = msgspec.json.Decoder(_KucoinMatch)
_ANSWER: Final = msgspec.json.Decoder(_KucoinAnswer)


class KucoinRules(RangeRules):
    venue = "kucoin"
    proof = Proof(book="update_ids", trades="unproven", refill=False)

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        try:
            if line.is_answer:
                return _answer(line)
            outer = _OUTER.decode(line.frame)
            kind, _, symbol = outer.topic.partition(":")
            if not bytes(outer.data):
                return ()
            if kind == "/market/level2":
                return [_frame(_UPDATE.decode(outer.data))]
            if kind == "/market/ticker":
                ticker = _TICKER.decode(outer.data)
                bid, ask = (ticker.bestBid, ticker.bestBidSize), (ticker.bestAsk, ticker.bestAskSize)
                return [BestPrices(symbol, int(ticker.sequence), bid, ask)]
            if kind == "/market/match":
                match = _MATCH.decode(outer.data)
                return [TradeName(match.symbol, match.tradeId)]
        except (msgspec.MsgspecError, ValueError, IndexError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error
        return ()


def _frame(update: _KucoinUpdate) -> LevelsFrame:
    bids, asks = _levels(update.changes.bids), _levels(update.changes.asks)
    first_id, final_id = update.sequenceStart, update.sequenceEnd
    return LevelsFrame(update.symbol, "level2", bids, asks, "update_ids", first_id=first_id, final_id=final_id)


def _levels(rows: Sequence[Sequence[str]]) -> list[TextPair]:
    return [(price, size) for price, size in pairs(rows) if float(price)]


def _answer(line: RecordedLine) -> Sequence[Part]:
    """Raises ValueError for an answer that is no whole book; others say nothing here."""
    address = urlsplit(line.url)
    if "orderbook" not in address.path:
        return ()
    book = _ANSWER.decode(_OUTER.decode(line.frame).data)
    bids, asks = pairs(book.bids), pairs(book.asks)
    numbers(bids)
    numbers(asks)
    return [BookAnswer(parse_qs(address.query).get("symbol", [""])[0], int(book.sequence), bids, asks)]
