"""Bybit v5: spot and linear perpetuals, whose frames are the same. PURE.

Bybit, "Orderbook": a frame's `u` is that of the one before + 1. A snapshot may come again at any time, and `u` 1 is one
too, of a service that started again: it takes the place of the book. Each depth is a book of its own with its own `u`;
`seq` is common to all of them, so the best level of `orderbook.1` with the same `seq` is the book's. What leaves a book
is always said, so more levels than the depth are a fault, and so are fewer once a side had all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.events import Id
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.verify.parts import (
    BestPrices,
    LevelsFrame,
    Part,
    RangeRules,
    TextPair,
    TouchPrices,
    TradeName,
    UnreadableFrame,
    Whole,
)

EMPTY: Final[TextPair] = ("0", "0")  # the best level of a side without any
RESTARTED: Final = 1  # the `u` of a book whose service started again


class _BybitBook(msgspec.Struct):
    s: str
    u: Id
    b: list[TextPair] = []
    a: list[TextPair] = []
    seq: Id | None = None


class _BybitTrade(msgspec.Struct):
    s: str
    i: str


class _BybitTicker(msgspec.Struct):
    symbol: str
    bid1Price: str = ""  # noqa: N815  # the venue's name
    ask1Price: str = ""  # noqa: N815


class _BybitOuter(msgspec.Struct):
    topic: str = ""
    type: str = ""
    data: msgspec.Raw = msgspec.Raw()
    cs: Id | None = None


_OUTER: Final = msgspec.json.Decoder(_BybitOuter)
_BOOK: Final = msgspec.json.Decoder(_BybitBook)
_TRADES: Final = msgspec.json.Decoder(list[_BybitTrade])
_TICKER: Final = msgspec.json.Decoder(_BybitTicker)


class BybitRules(RangeRules):
    proof = Proof(book="update_ids", trades="unproven", refill=False)
    beyond_depth = "fault"

    def __init__(self, venue: str = "bybit") -> None:
        self.venue = venue
        self._best: dict[str, tuple[TextPair, TextPair]] = {}  # what `orderbook.1` has said of each symbol

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        try:
            outer = _OUTER.decode(line.frame)
            kind, _, rest = outer.topic.partition(".")
            if kind == "orderbook":
                depth = rest.partition(".")[0]
                if depth == "1":
                    return self._best_prices(outer.type, _BOOK.decode(outer.data))
                return _book(int(depth), outer.type, _BOOK.decode(outer.data)) if depth.isdecimal() else ()
            if kind == "publicTrade":
                return [TradeName(trade.s, trade.i) for trade in _TRADES.decode(outer.data)]
            if kind == "tickers":
                ticker = _TICKER.decode(outer.data)
                if not (ticker.bid1Price or ticker.ask1Price):
                    return ()
                return [TouchPrices(ticker.symbol, ticker.bid1Price or None, ticker.ask1Price or None, outer.cs)]
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error
        return ()

    def _best_prices(self, kind: str, book: _BybitBook) -> Sequence[Part]:
        """A change says the sides that changed alone."""
        is_whole = kind == "snapshot"
        if not is_whole and book.s not in self._best:
            return ()
        bid, ask = (EMPTY, EMPTY) if is_whole else self._best[book.s]
        self._best[book.s] = bid, ask = _best(book.b, bid), _best(book.a, ask)
        return () if book.seq is None else [BestPrices(book.s, book.seq, bid, ask)]


def _book(depth: int, kind: str, book: _BybitBook) -> Sequence[Part]:
    whole = Whole(depth) if kind == "snapshot" or book.u == RESTARTED else None
    frame = LevelsFrame(
        *(book.s, f"orderbook.{depth}", book.b, book.a, "update_ids", whole),
        first_id=book.u,
        final_id=book.u,
        shared_id=book.seq,
        at=book.seq,
    )
    return [frame]


def _best(rows: Sequence[TextPair], before: TextPair) -> TextPair:
    """The one level of a side: the row that has a size, none where all are gone, the one before without a row."""
    if not rows:
        return before
    return next((row for row in rows if float(row[1])), EMPTY)
