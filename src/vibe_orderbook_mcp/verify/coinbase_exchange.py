"""Frames of Coinbase Exchange: `level2_batch`, `matches`, `heartbeat` and `ticker`. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from vibe_orderbook_mcp.model.events import Id, Side
from vibe_orderbook_mcp.verify.parts import (
    LevelsFrame,
    Part,
    TextPair,
    TouchPrices,
    TradeIds,
    TradesReached,
    Whole,
)


class _ExchangeFrame(msgspec.Struct):
    type: str = ""
    product_id: str = ""


class _ExchangeSnapshot(msgspec.Struct):
    product_id: str
    bids: list[TextPair]
    asks: list[TextPair]


class _ExchangeChanges(msgspec.Struct):
    product_id: str
    changes: list[tuple[Literal["buy", "sell"], str, str]]


class _ExchangeMatch(msgspec.Struct):
    product_id: str
    trade_id: Id
    price: str
    side: Literal["buy", "sell"]  # the maker's


class _ExchangeHeartbeat(msgspec.Struct):
    product_id: str
    last_trade_id: Id


class _ExchangeTicker(msgspec.Struct):
    product_id: str
    best_bid: str = ""
    best_ask: str = ""


_FRAME: Final = msgspec.json.Decoder(_ExchangeFrame)
_SNAPSHOT: Final = msgspec.json.Decoder(_ExchangeSnapshot)
_CHANGES: Final = msgspec.json.Decoder(_ExchangeChanges)
_MATCH: Final = msgspec.json.Decoder(_ExchangeMatch)
_HEARTBEAT: Final = msgspec.json.Decoder(_ExchangeHeartbeat)
_TICKER: Final = msgspec.json.Decoder(_ExchangeTicker)


def exchange_parts(raw: bytes) -> Sequence[Part]:
    """What one frame says. Raises msgspec.MsgspecError."""
    kind = _FRAME.decode(raw).type
    if kind == "l2update":
        frame = _CHANGES.decode(raw)
        bids = [(price, size) for side, price, size in frame.changes if side == "buy"]
        asks = [(price, size) for side, price, size in frame.changes if side == "sell"]
        return [LevelsFrame(frame.product_id, "level2", bids, asks, "none")]
    if kind == "snapshot":
        book = _SNAPSHOT.decode(raw)
        return [LevelsFrame(book.product_id, "level2", book.bids, book.asks, "none", Whole())]
    if kind in ("match", "last_match"):
        match = _MATCH.decode(raw)
        maker: Side = "bid" if match.side == "buy" else "ask"
        trade_id = match.trade_id
        return [TradeIds(match.product_id, "fill", trade_id, trade_id, kind == "last_match", maker, match.price)]
    if kind == "heartbeat":
        heartbeat = _HEARTBEAT.decode(raw)
        return [TradesReached(heartbeat.product_id, heartbeat.last_trade_id)]
    if kind == "ticker":
        ticker = _TICKER.decode(raw)
        return [TouchPrices(ticker.product_id, ticker.best_bid or None, ticker.best_ask or None)]
    return ()
