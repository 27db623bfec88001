"""Kraken futures. PURE.

Kraken, "Book" of the futures' websocket: `seq` of a product is that of the frame before + 1, from the snapshot's on. A
level whose quantity is not above 0 is none. Trades have a `seq` of their own that follows by one; their snapshot is of
trades from before the subscription, the newest first. A ticker has no id of the book.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.events import Id
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.verify.parts import (
    LevelsFrame,
    Part,
    RangeRules,
    TextPair,
    TouchPrices,
    TradeIds,
    UnreadableFrame,
    Whole,
)


class _FuturesLevel(msgspec.Struct):
    """Numbers as they stand in the frame."""

    price: msgspec.Raw
    qty: msgspec.Raw


class _FuturesSnapshot(msgspec.Struct):
    product_id: str
    seq: Id
    bids: list[_FuturesLevel]
    asks: list[_FuturesLevel]


class _FuturesChange(msgspec.Struct):
    product_id: str
    seq: Id
    side: Literal["buy", "sell"]
    price: msgspec.Raw
    qty: msgspec.Raw


class _FuturesTrade(msgspec.Struct):
    product_id: str
    seq: Id


class _FuturesTrades(msgspec.Struct):
    trades: list[_FuturesTrade]


class _FuturesTicker(msgspec.Struct):
    product_id: str
    bid: float | None = None
    ask: float | None = None


class _FuturesOuter(msgspec.Struct):
    feed: str = ""
    event: str = ""


_OUTER: Final = msgspec.json.Decoder(_FuturesOuter)
_SNAPSHOT: Final = msgspec.json.Decoder(_FuturesSnapshot)
_CHANGE: Final = msgspec.json.Decoder(_FuturesChange)
_TRADE: Final = msgspec.json.Decoder(_FuturesTrade)
_TRADES: Final = msgspec.json.Decoder(_FuturesTrades)
_TICKER: Final = msgspec.json.Decoder(_FuturesTicker)


class KrakenFuturesRules(RangeRules):
    venue = "kraken-futures"
    proof = Proof(book="update_ids", trades="consecutive_ids", refill=False)

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        try:
            outer = _OUTER.decode(line.frame)
            return () if outer.event else _parts(outer.feed, line.frame)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error


def _parts(feed: str, raw: bytes) -> Sequence[Part]:
    if feed == "book":
        change = _CHANGE.decode(raw)
        level = [_level(change.price, change.qty)]
        bids, asks = (level, []) if change.side == "buy" else ([], level)
        return [_frame(change.product_id, change.seq, bids, asks)]
    if feed == "book_snapshot":
        book = _SNAPSHOT.decode(raw)
        bids, asks = ([_level(level.price, level.qty) for level in side] for side in (book.bids, book.asks))
        return [_frame(book.product_id, book.seq, bids, asks, Whole())]
    if feed in ("trade", "trade_snapshot"):
        is_old = feed == "trade_snapshot"
        trades = _TRADES.decode(raw).trades if is_old else [_TRADE.decode(raw)]
        return sorted(TradeIds(trade.product_id, "fill", trade.seq, trade.seq, is_old) for trade in trades)
    if feed in ("ticker", "ticker_lite"):
        ticker = _TICKER.decode(raw)
        return [TouchPrices(ticker.product_id, str(ticker.bid or 0), str(ticker.ask or 0))]
    return ()


def _frame(
    symbol: str, seq: int, bids: Sequence[TextPair], asks: Sequence[TextPair], whole: Whole | None = None
) -> LevelsFrame:
    return LevelsFrame(symbol, "book", bids, asks, "update_ids", whole, first_id=seq, final_id=seq)


def _level(price: msgspec.Raw, quantity: msgspec.Raw) -> TextPair:
    size = str(bytes(quantity), "ascii")
    return str(bytes(price), "ascii"), "0" if size.startswith("-") else size
