"""Gate: spot, and USDT futures, whose frames differ in the form of a level. PURE.

Gate, "Maintain a local order book": frames hold the updates `U` to `u`, which follow each other without a hole. The
first one to apply has the `id` of the REST answer + 1 within them. A frame that is `full` is a whole book.
`book_ticker` has the `u` of the book that it is of.
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
    Whole,
    numbers,
)


class _GateLevel(msgspec.Struct):
    """Of futures: contracts, as a number or as text."""

    p: str
    s: msgspec.Raw


class _GateUpdate(msgspec.Struct):
    s: str
    U: Id  # the venue's name
    u: Id
    b: list[list[str] | _GateLevel] | None = None
    a: list[list[str] | _GateLevel] | None = None
    full: bool = False


class _GateTicker(msgspec.Struct):
    s: str
    u: Id
    b: str
    B: msgspec.Raw
    a: str
    A: msgspec.Raw


class _GateTrade(msgspec.Struct):
    id: int
    currency_pair: str = ""
    contract: str = ""


class _GateAnswer(msgspec.Struct):
    id: Id
    bids: list[list[str] | _GateLevel]
    asks: list[list[str] | _GateLevel]


class _GateOuter(msgspec.Struct):
    channel: str = ""
    event: str = ""
    result: msgspec.Raw = msgspec.Raw()


_OUTER: Final = msgspec.json.Decoder(_GateOuter)
_UPDATE: Final = msgspec.json.Decoder(_GateUpdate)
_TICKER: Final = msgspec.json.Decoder(_GateTicker)
_TRADES: Final = msgspec.json.Decoder(list[_GateTrade] | _GateTrade)
_ANSWER: Final = msgspec.json.Decoder(_GateAnswer)


class GateRules(RangeRules):
    venue = "gateio"
    proof = Proof(book="update_ids", trades="unproven", refill=False)

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        try:
            if line.is_answer:
                return _answer(line)
            outer = _OUTER.decode(line.frame)
            kind = outer.channel.partition(".")[2]
            if outer.event != "update":
                return ()
            if kind == "order_book_update":
                return [_frame(_UPDATE.decode(outer.result))]
            if kind == "book_ticker":
                ticker = _TICKER.decode(outer.result)
                bid, ask = (ticker.b or "0", _text(ticker.B)), (ticker.a or "0", _text(ticker.A))
                return [BestPrices(ticker.s, ticker.u, bid, ask)]
            if kind == "trades":
                trades = _TRADES.decode(outer.result)
                listed = trades if isinstance(trades, list) else [trades]
                return [TradeName(trade.currency_pair or trade.contract, str(trade.id)) for trade in listed]
        except (msgspec.MsgspecError, ValueError, IndexError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error
        return ()


def _frame(update: _GateUpdate) -> LevelsFrame:
    return LevelsFrame(
        *(update.s, "order_book_update", _levels(update.b or ()), _levels(update.a or ()), "update_ids"),
        whole=Whole() if update.full else None,
        first_id=update.U,
        final_id=update.u,
    )


def _levels(rows: Sequence[list[str] | _GateLevel]) -> list[TextPair]:
    return [(row.p, _text(row.s)) if isinstance(row, _GateLevel) else (row[0], row[1]) for row in rows]


def _text(number: msgspec.Raw) -> str:
    """A size as it stands in the frame, with quotes or without; an empty one is of an empty side."""
    return str(bytes(number), "ascii").strip('"') or "0"


def _answer(line: RecordedLine) -> Sequence[Part]:
    address = urlsplit(line.url)
    if not address.path.endswith("/order_book"):
        return ()
    book = _ANSWER.decode(line.frame)
    bids, asks = _levels(book.bids), _levels(book.asks)
    numbers(bids)
    numbers(asks)
    query = parse_qs(address.query)
    symbol = (query.get("currency_pair") or query.get("contract") or [""])[0]
    return [BookAnswer(symbol, book.id, bids, asks)]
