"""Deribit: options, futures and perpetuals. PURE.

Deribit, "book.{instrument_name}.{interval}": a change's `prev_change_id` is the `change_id` of the notification before,
of the same channel; it is missing on the first one, which has the whole book. `book.{instrument_name}.{group}.{depth}.
{interval}` has a whole book each time. `trade_seq` follows by one in each instrument. A ticker goes by the time of its
book, not by its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.events import Id, Millis
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.verify.parts import (
    LevelsFrame,
    Part,
    TextPair,
    TouchPrices,
    TradeIds,
    UnreadableFrame,
    VenueRules,
    Whole,
)


class _DeribitBook(msgspec.Struct):
    instrument_name: str
    change_id: Id
    timestamp: Millis
    bids: list[list[msgspec.Raw]]  # action, price, amount; of a whole book of few levels price, amount
    asks: list[list[msgspec.Raw]]
    type: str = "snapshot"
    prev_change_id: Id | None = None


class _DeribitTrade(msgspec.Struct):
    instrument_name: str
    trade_seq: Id


class _DeribitTicker(msgspec.Struct):
    instrument_name: str
    timestamp: Millis
    best_bid_price: float | None = None
    best_ask_price: float | None = None


class _DeribitParams(msgspec.Struct):
    channel: str
    data: msgspec.Raw


class _DeribitOuter(msgspec.Struct):
    method: str = ""
    params: msgspec.Raw = msgspec.Raw()


_OUTER: Final = msgspec.json.Decoder(_DeribitOuter)
_PARAMS: Final = msgspec.json.Decoder(_DeribitParams)
_BOOK: Final = msgspec.json.Decoder(_DeribitBook)
_TRADES: Final = msgspec.json.Decoder(list[_DeribitTrade])
_TICKER: Final = msgspec.json.Decoder(_DeribitTicker)


class DeribitRules(VenueRules):
    venue = "deribit"
    proof = Proof(book="update_ids", trades="consecutive_ids", refill=True)

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        try:
            outer = _OUTER.decode(line.frame)
            return _parts(_PARAMS.decode(outer.params)) if outer.method == "subscription" else ()
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error


def _parts(params: _DeribitParams) -> Sequence[Part]:
    kind, *names = params.channel.split(".")
    if kind == "book":
        return [_book(".".join(names[1:]), _BOOK.decode(params.data), is_part=len(names) == 2)]
    if kind == "trades":
        trades = sorted(_TRADES.decode(params.data), key=lambda trade: trade.trade_seq)
        return [TradeIds(each.instrument_name, "fill", each.trade_seq, each.trade_seq) for each in trades]
    if kind in ("ticker", "quote"):
        ticker = _TICKER.decode(params.data)
        bid, ask = str(ticker.best_bid_price or 0), str(ticker.best_ask_price or 0)
        return [TouchPrices(ticker.instrument_name, bid, ask, ticker.timestamp)]
    return ()


def _book(interval: str, book: _DeribitBook, *, is_part: bool) -> LevelsFrame:
    """`is_part`: of a channel that sends changes."""
    is_whole = not is_part or book.type == "snapshot"
    return LevelsFrame(
        *(book.instrument_name, interval, _texts(book.bids), _texts(book.asks)),
        "update_ids" if is_part else "snapshots_only",
        Whole() if is_whole else None,
        final_id=book.change_id,
        previous_id=None if is_whole else book.prev_change_id,
        at=book.timestamp,
    )


def _texts(rows: Sequence[Sequence[msgspec.Raw]]) -> list[TextPair]:
    out = []
    for row in rows:
        *action, price, amount = (str(bytes(field), "ascii") for field in row)
        out.append((price, "0" if action == ['"delete"'] else amount))
    return out
