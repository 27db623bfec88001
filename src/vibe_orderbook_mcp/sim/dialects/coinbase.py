"""Coinbase Advanced Trade. PURE.

Every message of a connection has the next `sequence_num`, whatever its channel. `level2` begins with the whole book in
one frame of megabytes. `market_trades` begins with a hundred trades from before, and lists the newest first; `side` is
the maker's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vibe_orderbook_mcp.sim.dialects.coinbase_rest import ENDPOINTS, trade_row
from vibe_orderbook_mcp.sim.dialects.contract import (
    ASK,
    BID,
    Answer,
    BookChange,
    Bye,
    Leave,
    Listen,
    MarketEvent,
    MarketFill,
    MarketFills,
    MarketView,
    Product,
    Step,
    StreamKey,
    StreamKind,
    Units,
)
from vibe_orderbook_mcp.sim.dialects.wording import (
    best_levels,
    encode,
    parse_request,
    rfc3339,
    top_of,
)

OLD_TRADES: Final = 100
BATCH_MS: Final = 250  # trades of this long come in one frame
BEAT_MS: Final = 1000
PATIENCE_MS: Final = 5_000  # in which a client has to subscribe to something
_NUMBER: Final = b'"sequence_num":-1'
_SIDES: Final = ("bid", "offer")
_KINDS: Final[dict[str, StreamKind]] = {"level2": "depth", "market_trades": "trades", "ticker": "ticker"}


def _product(asset: str, tick: int, lot: int, **more: Any) -> Product:
    symbol = f"{asset}-USD"
    return Product(venue="coinbase", symbol=symbol, asset=asset, quote="USD", price=Step(tick), size=Step(lot), **more)


PRODUCTS: Final = (
    _product("BTC", 2, 8, liveliness=0.4, lead_bps=-1.0, levels=12_000),
    _product("ETH", 2, 8, liveliness=0.35, lead_bps=-0.5, levels=8_000),
    _product("SOL", 2, 8, liveliness=0.15, levels=2_500),
)


class CoinbaseDialect:
    venue = "coinbase"
    event_ms = 50
    messages_a_second = 8
    requests = (40, 10.0)
    endpoints = ENDPOINTS

    def __init__(self, products: Sequence[Product] = PRODUCTS) -> None:
        self.products = products

    def conversation(self, path: str, query: str, now_ms: int) -> CoinbaseTalk | None:
        return CoinbaseTalk({each.symbol for each in self.products}, now_ms) if path == "/" else None

    def stream(self, key: StreamKey, market: MarketView) -> CoinbaseBook | CoinbaseTape | CoinbaseTicker:
        if key.kind == "depth":
            return CoinbaseBook(market)
        return CoinbaseTape(market) if key.kind == "trades" else CoinbaseTicker(market)

    def asked(self, query: Mapping[str, str], body: bytes) -> str:
        return query.get("product_id", "")

    def update_of(self, wire_id: int, market: MarketView) -> int:
        return wire_id  # its frames have none of a book

    def refusal(self, status: int) -> tuple[int, Any]:
        word = "RATE_LIMIT_EXCEEDED" if status == 429 else "UNAVAILABLE"
        return status, {"error": word, "error_details": "", "message": word}


class CoinbaseTalk:
    def __init__(self, symbols: set[str], now_ms: int) -> None:
        self._symbols = symbols
        self._born_ms = now_ms
        self._number = 0
        self._beats = 0
        self._beat_ms: int | None = None  # when the next heartbeat is due
        self._subscribed: dict[str, dict[str, None]] = {}

    def greeting(self) -> Sequence[Answer]:
        return ()

    def wrap(self, key: StreamKey, payload: bytes, now_ms: int) -> bytes:
        number, self._number = self._number, self._number + 1
        return payload.replace(_NUMBER, b'"sequence_num":%d' % number, 1)

    def tick(self, now_ms: int) -> Sequence[Answer]:
        if not self._subscribed and now_ms - self._born_ms > PATIENCE_MS:
            return [Bye(1008, "no subscription within 5 seconds")]
        if self._beat_ms is None or now_ms < self._beat_ms:
            return ()
        self._beat_ms = now_ms - (now_ms - self._beat_ms) % BEAT_MS + BEAT_MS
        self._beats += 1
        event = {
            "current_time": f"{rfc3339(now_ms)[:19].replace('T', ' ')} +0000 UTC",
            "heartbeat_counter": self._beats,
        }
        return [self._own("heartbeats", event, now_ms)]

    def hear(self, text: str, now_ms: int) -> Sequence[Answer]:
        request = parse_request(text)
        kind, channel = (request or {}).get("type"), (request or {}).get("channel")
        if request is None or kind not in ("subscribe", "unsubscribe"):
            return [encode({"type": "error", "message": "failure to parse request"})]
        symbols = request.get("product_ids", [])
        if channel not in (*_KINDS, "heartbeats") or not isinstance(symbols, list):
            return [encode({"type": "error", "message": f"channel {channel} is not supported"})]
        unknown = [symbol for symbol in symbols if symbol not in self._symbols]
        if unknown or (not symbols and channel != "heartbeats"):
            return [encode({"type": "error", "message": f"invalid product_ids: {unknown}"})]
        return self._change(kind, channel, symbols, now_ms)

    def _change(self, kind: str, channel: str, symbols: Sequence[str], now_ms: int) -> Sequence[Answer]:
        """The confirmation, and then what is listened to."""
        kept, out = self._subscribed.setdefault(channel, {}), list[Answer]()
        if channel == "heartbeats":
            self._beat_ms = now_ms + BEAT_MS if kind == "subscribe" else None
        for symbol in symbols:
            if (symbol in kept) == (kind == "subscribe"):
                continue
            if kind == "subscribe":
                kept[symbol] = None
            else:
                del kept[symbol]
            if channel != "heartbeats":
                key = StreamKey(_KINDS[channel], symbol)
                out.append(Listen(key) if kind == "subscribe" else Leave(key))
        if not kept and not (channel == "heartbeats" and kind == "subscribe"):
            del self._subscribed[channel]
        everything = {name: [*symbols] for name, symbols in self._subscribed.items()}
        return [self._own("subscriptions", {"subscriptions": everything}, now_ms), *out]

    def _own(self, channel: str, event: dict[str, Any], now_ms: int) -> bytes:
        return self.wrap(StreamKey("ticker", ""), _message(channel, event, now_ms), now_ms)


def _message(channel: str, event: dict[str, Any], now_ms: int) -> bytes:
    """Without its number, which each connection has of its own."""
    stamp = rfc3339(now_ms, 123)[:-1] + "456Z"
    head = {"channel": channel, "client_id": "", "timestamp": stamp, "sequence_num": -1}
    return encode(head | {"events": [event]})


class CoinbaseBook:
    def __init__(self, market: MarketView) -> None:
        self._market = market
        self._time_ms = market.change.time_ms

    def opening(self) -> list[bytes]:
        """The whole book, however deep."""
        bids, asks = best_levels(self._market.sides)
        return [self._frame("snapshot", bids, asks)]

    def told(self, event: MarketEvent) -> list[bytes]:
        if not isinstance(event, BookChange):
            return []
        self._time_ms = event.time_ms
        return [self._frame("update", event.bids, event.asks)] if event.bids or event.asks else []

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def _frame(self, kind: str, bids: Units, asks: Units) -> bytes:
        product = self._market.product
        price, size = product.price.text, product.size.short
        time = rfc3339(self._time_ms) if kind == "update" else "1970-01-01T00:00:00Z"
        updates = [
            {"side": _SIDES[side], "event_time": time, "price_level": price(ticks), "new_quantity": size(lots)}
            for side, rows in ((BID, bids), (ASK, asks))
            for ticks, lots in rows
        ]
        event = {"type": kind, "product_id": product.symbol, "updates": updates}
        return _message("l2_data", event, self._time_ms)


class CoinbaseTape:
    def __init__(self, market: MarketView) -> None:
        self._market = market
        self._waiting: list[MarketFill] = []
        self._due_ms = 0

    def opening(self) -> list[bytes]:
        """Trades that wait for the next frame are not old yet."""
        fills = self._market.newest_fills(OLD_TRADES + len(self._waiting))
        return [self._frame("snapshot", fills[: len(fills) - len(self._waiting)], self._market.time_ms)]

    def told(self, event: MarketEvent) -> list[bytes]:
        if isinstance(event, MarketFills):
            if not self._waiting:
                self._due_ms = event.time_ms + BATCH_MS
            self._waiting += event.fills
        return []

    def tick(self, now_ms: int) -> list[bytes]:
        if not self._waiting or now_ms < self._due_ms:
            return []
        fills, self._waiting = self._waiting, []
        return [self._frame("update", fills, now_ms)]

    def _frame(self, kind: str, fills: Sequence[MarketFill], now_ms: int) -> bytes:
        rows = [trade_row(self._market.product, fill) for fill in reversed(fills)]
        return _message("market_trades", {"type": kind, "trades": rows}, now_ms)


class CoinbaseTicker:
    def __init__(self, market: MarketView) -> None:
        self._market = market

    def opening(self) -> list[bytes]:
        return [self._frame("snapshot")]

    def told(self, event: MarketEvent) -> list[bytes]:
        return [self._frame("update")] if isinstance(event, MarketFills) else []

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def _frame(self, kind: str) -> bytes:
        market, product = self._market, self._market.product
        bid, ask = top_of(market.sides)
        newest = market.newest_fills(1)
        ticker = {
            "type": "ticker",
            "product_id": product.symbol,
            "price": product.price.text(newest[-1].price) if newest else "",
            "best_bid": product.price.text(bid[0]) if bid else "",
            "best_bid_quantity": product.size.short(bid[1]) if bid else "",
            "best_ask": product.price.text(ask[0]) if ask else "",
            "best_ask_quantity": product.size.short(ask[1]) if ask else "",
        }
        return _message("ticker", {"type": kind, "tickers": [ticker]}, market.time_ms)
