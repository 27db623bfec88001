"""Bybit v5: spot and linear perpetuals. PURE.

`orderbook.N` is a snapshot and then deltas, whose `u` counts by one; what leaves the N levels is deleted. `seq` is that
of all topics of a symbol. `orderbook.1` is a snapshot each time, and comes again after three quiet seconds. Trades have
no ids that follow each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from vibe_orderbook_mcp.sim.dialects.bybit_rest import endpoints_of, execution_id
from vibe_orderbook_mcp.sim.dialects.contract import (
    Answer,
    BookChange,
    Endpoint,
    Leave,
    Listen,
    MarketEvent,
    MarketFills,
    MarketView,
    Product,
    Step,
    StreamKey,
    StreamKind,
    Units,
)
from vibe_orderbook_mcp.sim.dialects.wording import (
    BookWindow,
    encode,
    parse_request,
    top_of,
)

DEPTHS: Final = {"spot": (1, 50, 200, 1000), "linear": (1, 50, 200, 1000)}
FIRST_U: Final = 1000  # the `u` of a book's beginning: 1 would be a restart
QUIET_MS: Final = 3_000
FIGURES_MS: Final = 100
FORCED_EVERY: Final = 29  # trades: then one was a liquidation
CONNECTION: Final = "2a6f1f3c-0d6b-4c53-9f7d-7a2a3a1d0b11"

Category = Literal["spot", "linear"]

_KINDS: Final[dict[str, StreamKind]] = {
    "orderbook": "depth",
    "publicTrade": "trades",
    "tickers": "ticker",
    "allLiquidation": "trades",
}


def _product(venue: str, asset: str, tick: int, lot: int, **more: Any) -> Product:
    symbol = f"{asset}USDT"
    return Product(venue=venue, symbol=symbol, asset=asset, quote="USDT", price=Step(tick), size=Step(lot), **more)


SPOT_PRODUCTS: Final = (
    _product("bybit", "BTC", 2, 6, liveliness=0.3, lead_bps=0.8),
    _product("bybit", "ETH", 2, 5, liveliness=0.25, lead_bps=0.8),
    _product("bybit", "SOL", 2, 3, liveliness=0.1, levels=900),
)
LINEAR_PRODUCTS: Final = (
    _product("bybit-linear", "BTC", 1, 3, market="perpetual", liveliness=0.4, lead_bps=-3.0),
    _product("bybit-linear", "ETH", 2, 2, market="perpetual", liveliness=0.35, lead_bps=-2.5),
    _product("bybit-linear", "SOL", 3, 1, market="perpetual", liveliness=0.15, levels=900),
)


class BybitDialect:
    event_ms = 100
    messages_a_second = 50
    requests = (120, 50.0)

    def __init__(self, category: Category, products: Sequence[Product]) -> None:
        self.venue = "bybit" if category == "spot" else "bybit-linear"
        self.products = products
        self.endpoints: Mapping[str, Endpoint] = endpoints_of(category)
        self._category = category

    def conversation(self, path: str, query: str, now_ms: int) -> BybitTalk | None:
        if path != f"/v5/public/{self._category}":
            return None
        return BybitTalk({each.symbol for each in self.products}, self._category)

    def stream(self, key: StreamKey, market: MarketView) -> BybitBook | BybitBest | BybitTape | BybitFigures:
        name, _, depth = key.option.partition(".")
        if name == "orderbook":
            return BybitBest(market) if depth == "1" else BybitBook(market, int(depth))
        if name == "tickers":
            return BybitFigures(market)
        return BybitTape(market, name, has_uuids=self._category != "spot")

    def asked(self, query: Mapping[str, str], body: bytes) -> str:
        return query.get("symbol", "")

    def update_of(self, wire_id: int, market: MarketView) -> int:
        return market.id_of_change(wire_id - FIRST_U)

    def refusal(self, status: int) -> tuple[int, Any]:
        if status == 429:
            return 403, {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}
        return status, {"retCode": 10016, "retMsg": "Server error.", "result": {}}


class BybitTalk:
    def __init__(self, symbols: set[str], category: Category) -> None:
        self._symbols = symbols
        self._category = category
        self._topics: dict[str, StreamKey] = {}

    def greeting(self) -> Sequence[Answer]:
        return ()

    def wrap(self, key: StreamKey, payload: bytes, now_ms: int) -> bytes:
        return payload

    def tick(self, now_ms: int) -> Sequence[Answer]:
        return ()

    def hear(self, text: str, now_ms: int) -> Sequence[Answer]:
        request = parse_request(text) or {}
        operation, topics = request.get("op"), request.get("args", [])
        named = {"conn_id": CONNECTION, "req_id": request.get("req_id", ""), "op": operation}
        if operation == "ping":
            return [encode({"success": True, "ret_msg": "pong"} | named)]
        if operation not in ("subscribe", "unsubscribe") or not isinstance(topics, list):
            return [encode({"success": False, "ret_msg": "error:request,invalid op"} | named)]
        keys = {str(topic): self._key(str(topic)) for topic in topics}
        unknown = [topic for topic, key in keys.items() if key is None]
        if unknown:  # the whole request is refused
            return [encode({"success": False, "ret_msg": f"error:handler not found,topic:{unknown[0]}"} | named)]
        word = "subscribe" if self._category == "spot" and operation == "subscribe" else ""
        out: list[Answer] = [encode({"success": True, "ret_msg": word} | named)]
        for topic, key in keys.items():
            if key is not None and operation == "subscribe" and topic not in self._topics:
                self._topics[topic] = key
                out.append(Listen(key))
            elif operation == "unsubscribe" and topic in self._topics:
                out.append(Leave(self._topics.pop(topic)))
        return out

    def _key(self, topic: str) -> StreamKey | None:
        kind, _, rest = topic.partition(".")
        depth, _, symbol = rest.rpartition(".")
        if kind not in _KINDS or symbol not in self._symbols:
            return None
        if kind == "orderbook":
            is_served = depth.isdecimal() and int(depth) in DEPTHS[self._category]
            return StreamKey("depth" if depth != "1" else "ticker", symbol, f"orderbook.{depth}") if is_served else None
        return StreamKey(_KINDS[kind], symbol, kind) if not depth else None


def _frame(topic: str, kind: str, time_ms: int, data: Any, **more: Any) -> bytes:
    return encode({"topic": topic, "ts": time_ms + 2, "type": kind, "data": data} | more)


def _rows(product: Product, rows: Units) -> list[tuple[str, str]]:
    return [(product.price.text(ticks), product.size.text(lots) if lots else "0") for ticks, lots in rows]


class BybitBook:
    def __init__(self, market: MarketView, depth: int) -> None:
        self._market = market
        self._topic = f"orderbook.{depth}.{market.product.symbol}"
        self._window = BookWindow(market.sides, depth)

    def opening(self) -> list[bytes]:
        return [self._book("snapshot", self._window.levels)]

    def told(self, event: MarketEvent) -> list[bytes]:
        return [self._book("delta", self._window.step(with_fallen=True))] if isinstance(event, BookChange) else []

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def _book(self, kind: str, sides: Sequence[Units]) -> bytes:
        change, product = self._market.change, self._market.product
        data: dict[str, Any] = {"s": product.symbol, "b": _rows(product, sides[0]), "a": _rows(product, sides[1])}
        data |= {"u": change.number + FIRST_U, "seq": change.final_id}
        return _frame(self._topic, kind, change.time_ms, data, cts=change.time_ms)


class BybitBest:
    """A snapshot of the best level a side."""

    def __init__(self, market: MarketView) -> None:
        self._market = market
        self._touch: object = None
        self._said_ms = market.time_ms

    def opening(self) -> list[bytes]:
        return [self._best()]

    def told(self, event: MarketEvent) -> list[bytes]:
        if not isinstance(event, BookChange) or top_of(self._market.sides) == self._touch:
            return []
        return [self._best()]

    def tick(self, now_ms: int) -> list[bytes]:
        return [self._best()] if now_ms - self._said_ms >= QUIET_MS else []

    def _best(self) -> bytes:
        market = self._market
        change, product = market.change, market.product
        bid, ask = self._touch = top_of(market.sides)
        self._said_ms = market.time_ms
        data = {
            "s": product.symbol,
            "b": _rows(product, [] if bid is None else [bid]),
            "a": _rows(product, [] if ask is None else [ask]),
            "u": change.number + FIRST_U,
            "seq": change.final_id,
        }
        return _frame(f"orderbook.1.{product.symbol}", "snapshot", change.time_ms, data, cts=change.time_ms)


class BybitTape:
    """Trades, or liquidations."""

    def __init__(self, market: MarketView, name: str, *, has_uuids: bool) -> None:
        self._market = market
        self._name = name
        self._has_uuids = has_uuids

    def opening(self) -> list[bytes]:
        return []

    def told(self, event: MarketEvent) -> list[bytes]:
        if not isinstance(event, MarketFills):
            return []
        rows = [self._row(fill) for fill in event.fills if self._name == "publicTrade" or fill.id % FORCED_EVERY == 0]
        topic = f"{self._name}.{self._market.product.symbol}"
        return [_frame(topic, "snapshot", event.time_ms, rows)] if rows else []

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def _row(self, fill: Any) -> dict[str, Any]:
        product = self._market.product
        row: dict[str, Any] = {
            "T": fill.time_ms,
            "s": product.symbol,
            "S": "Sell" if fill.taker_sells else "Buy",
            "v": product.size.short(fill.lots),
            "p": product.price.text(fill.price),
        }
        if self._name != "publicTrade":
            return row
        trade_id = execution_id(fill.id, has_uuids=self._has_uuids)
        return row | {
            "L": "ZeroPlusTick",
            "i": trade_id,
            "BT": False,
            "RPI": False,
            "seq": self._market.change.final_id,
        }


class BybitFigures:
    """A snapshot, and then what is new. Spot tickers have no best prices, and nothing of a perpetual."""

    def __init__(self, market: MarketView) -> None:
        self._market = market
        self._due_ms = 0
        self._said: dict[str, str] = {}

    def opening(self) -> list[bytes]:
        return [self._frame("snapshot", self._now(), self._market.time_ms)]

    def told(self, event: MarketEvent) -> list[bytes]:
        return []

    def tick(self, now_ms: int) -> list[bytes]:
        if now_ms < self._due_ms:
            return []
        self._due_ms = now_ms - now_ms % FIGURES_MS + FIGURES_MS
        before, now = self._said, self._now()
        new = {name: value for name, value in now.items() if before.get(name) != value}
        return [self._frame("delta", new, now_ms)] if new else []

    def _frame(self, kind: str, figures: dict[str, str], now_ms: int) -> bytes:
        symbol = self._market.product.symbol
        topic, data = f"tickers.{symbol}", {"symbol": symbol} | figures
        return _frame(topic, kind, now_ms, data, cs=self._market.change.final_id)

    def _now(self) -> dict[str, str]:
        market, product = self._market, self._market.product
        newest = market.newest_fills(1)
        figures = {"lastPrice": product.price.text(newest[-1].price) if newest else ""}
        if product.market == "perpetual":
            said, (bid, ask) = market.derivatives(), top_of(market.sides)
            places = product.price.exp
            figures |= {
                "markPrice": f"{said.mark_price:.{places}f}",
                "indexPrice": f"{said.index_price:.{places}f}",
                "openInterest": product.size.short(product.size.units(said.open_interest)),
                "fundingRate": f"{said.funding_rate:.8f}",
                "nextFundingTime": str(said.next_funding_ms),
                "bid1Price": product.price.text(bid[0]) if bid else "",
                "bid1Size": product.size.short(bid[1]) if bid else "",
                "ask1Price": product.price.text(ask[0]) if ask else "",
                "ask1Size": product.size.short(ask[1]) if ask else "",
            }
        self._said = figures
        return figures
