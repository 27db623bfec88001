"""Coinbase: frames of Advanced Trade, and those of Coinbase Exchange. PURE.

Coinbase, "Advanced Trade WebSocket": `sequence_num` counts all messages of a connection, whatever their channel, so a
hole in it may have been any book's. `level2` begins with the whole book; `market_trades` begins with trades from before
the subscription, and each of its frames has the newest first.

Frames of Exchange have no counter: nothing proves a book. Trade ids follow each other in both, `heartbeat` of Exchange
names the last one, and `side` is the maker's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from vibe_orderbook_mcp.frames.lines import RecordedLine
from vibe_orderbook_mcp.model.events import Id, Side
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.verify.coinbase_connections import CoinbaseConnections
from vibe_orderbook_mcp.verify.coinbase_exchange import exchange_parts
from vibe_orderbook_mcp.verify.parts import (
    FrameAgain,
    FramesLost,
    LevelsFrame,
    Part,
    TextPair,
    TouchPrices,
    TradeIds,
    UnreadableFrame,
    VenueRules,
    Whole,
)

TRADES_PROVED: Final = "consecutive_ids"


class _CoinbaseUpdate(msgspec.Struct):
    side: Literal["bid", "offer"]
    price_level: str
    new_quantity: str


class _CoinbaseTrade(msgspec.Struct):
    trade_id: str
    product_id: str
    price: str
    side: str


class _CoinbaseTicker(msgspec.Struct):
    product_id: str
    best_bid: str = ""
    best_ask: str = ""


class _CoinbaseEvent(msgspec.Struct):
    type: str = ""
    product_id: str = ""
    updates: list[_CoinbaseUpdate] = []
    trades: list[_CoinbaseTrade] = []
    tickers: list[_CoinbaseTicker] = []


class _CoinbaseOuter(msgspec.Struct):
    channel: str = ""
    sequence_num: Id | None = None
    events: msgspec.Raw = msgspec.Raw()


_OUTER: Final = msgspec.json.Decoder(_CoinbaseOuter)
_EVENTS: Final = msgspec.json.Decoder(list[_CoinbaseEvent])
# The rest has events of other forms; it counts in the sequence.
_CHANNELS: Final = frozenset({"l2_data", "market_trades", "ticker", "ticker_batch"})


class CoinbaseRules(VenueRules):
    venue = "coinbase"
    proof = Proof(book="connection_sequence", trades=TRADES_PROVED, refill=False)

    def __init__(self) -> None:
        self._connections = CoinbaseConnections()

    def parts(self, line: RecordedLine) -> Sequence[Part]:
        try:
            outer = _OUTER.decode(line.frame)
            if outer.sequence_num is None:
                return exchange_parts(line.frame)
            parts = _parts(outer.channel, _EVENTS.decode(outer.events)) if outer.channel in _CHANNELS else []
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise UnreadableFrame(str(error)) from error
        return self._in_sequence(outer.sequence_num, line.connection, parts)

    def _in_sequence(self, number: int, opened: int, parts: list[Part]) -> Sequence[Part]:
        """The parts of a message by its place on its connection."""
        place = self._connections.place(number, opened)
        if place.how == "next":
            return parts
        if place.how == "gap":
            return [FramesLost(f"messages {place.expected} to {number - 1} of a connection are missing"), *parts]
        why = f"message {number} of the connection came again, or late"
        return [
            FrameAgain(part.symbol, part.channel, why) if isinstance(part, LevelsFrame) else part
            for part in parts
            if isinstance(part, LevelsFrame | TradeIds)
        ]


def _parts(channel: str, events: Sequence[_CoinbaseEvent]) -> list[Part]:
    if channel == "l2_data":
        return [_book(event) for event in events]
    if channel == "market_trades":
        return sorted(_trade(event, trade) for event in events for trade in event.trades)
    return [
        TouchPrices(each.product_id, each.best_bid or None, each.best_ask or None)
        for event in events
        for each in event.tickers
    ]


def _book(event: _CoinbaseEvent) -> LevelsFrame:
    if not event.product_id:
        raise ValueError("a book without its product_id")
    sides: dict[str, list[TextPair]] = {"bid": [], "offer": []}
    for update in event.updates:
        sides[update.side].append((update.price_level, update.new_quantity))
    whole = Whole() if event.type == "snapshot" else None
    return LevelsFrame(event.product_id, "level2", sides["bid"], sides["offer"], "connection_sequence", whole)


def _trade(event: _CoinbaseEvent, trade: _CoinbaseTrade) -> TradeIds:
    maker: Side = "bid" if trade.side == "BUY" else "ask"
    number = int(trade.trade_id)
    return TradeIds(trade.product_id, "fill", number, number, event.type == "snapshot", maker, trade.price)
