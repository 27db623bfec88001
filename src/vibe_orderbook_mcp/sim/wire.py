"""The exchange's websocket payloads, field for field and in the exchange's order. PURE.

One set of structs serves both directions: the model's events are encoded with them, recordings are decoded with
them. Prices and sizes stay text, so what a recording holds is what a client of its replay gets.
"""

from __future__ import annotations

from typing import Final

import msgspec

TextLevel = tuple[str, str]


class DepthEvent(
    msgspec.Struct,
    tag_field="e",
    tag="depthUpdate",
    rename={"event_ms": "E", "symbol": "s", "first_id": "U", "final_id": "u", "bids": "b", "asks": "a"},
):
    """Absolute sizes of every level touched by updates `first_id` to `final_id`."""

    event_ms: int
    symbol: str
    first_id: int
    final_id: int
    bids: list[TextLevel]
    asks: list[TextLevel]


class AggTrade(
    msgspec.Struct,
    tag_field="e",
    tag="aggTrade",
    rename={
        "event_ms": "E",
        "symbol": "s",
        "agg_id": "a",
        "price": "p",
        "size": "q",
        "first_trade_id": "f",
        "last_trade_id": "l",
        "time_ms": "T",
        "buyer_is_maker": "m",
        "ignore": "M",
    },
):
    """The fills of one taker order at one price."""

    event_ms: int
    symbol: str
    agg_id: int
    price: str
    size: str
    first_trade_id: int
    last_trade_id: int
    time_ms: int
    buyer_is_maker: bool
    ignore: bool = True


class TradeFill(
    msgspec.Struct,
    tag_field="e",
    tag="trade",
    rename={
        "event_ms": "E",
        "symbol": "s",
        "trade_id": "t",
        "price": "p",
        "size": "q",
        "time_ms": "T",
        "buyer_is_maker": "m",
        "ignore": "M",
    },
):
    """One fill: one resting order met one taker order."""

    event_ms: int
    symbol: str
    trade_id: int
    price: str
    size: str
    time_ms: int
    buyer_is_maker: bool
    ignore: bool = True


class BookTicker(
    msgspec.Struct,
    rename={
        "update_id": "u",
        "symbol": "s",
        "bid": "b",
        "bid_size": "B",
        "ask": "a",
        "ask_size": "A",
    },
):
    """Best price and size of both sides after `update_id`. The one payload without an event type or time."""

    update_id: int
    symbol: str
    bid: str
    bid_size: str
    ask: str
    ask_size: str


class Depth(msgspec.Struct, rename={"last_update_id": "lastUpdateId"}):
    """A REST depth answer, and the payload of a partial book stream. Best level first."""

    last_update_id: int
    bids: list[TextLevel]
    asks: list[TextLevel]


class ShutdownNotice(msgspec.Struct, tag_field="e", tag="serverShutdown", rename={"event_ms": "E"}):
    event_ms: int


Event = DepthEvent | AggTrade | TradeFill | BookTicker

encode: Final = msgspec.json.Encoder().encode
