"""Hyperliquid: perpetuals. PURE.

`l2Book` is a whole book of 20 levels a side about twice a second, the first one twice. `trades` begins with old ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from vibe_orderbook_mcp.sim.dialects.contract import (
    Answer,
    BookChange,
    Endpoint,
    Leave,
    Listen,
    MarketEvent,
    MarketFill,
    MarketFills,
    MarketView,
    NotServed,
    Product,
    Question,
    Step,
    StreamKey,
    StreamKind,
    Units,
    best_levels,
    encode,
    parse_request,
    sum_of,
    top_of,
)

LEVELS: Final = 20
BOOK_MS: Final = 500
OLD_TRADES: Final = 10
LOOK_BACK: Final = 1000
_MIX: Final = 0x9E3779B97F4A7C15

_KINDS: Final[dict[str, StreamKind]] = {
    "l2Book": "depth",
    "trades": "trades",
    "bbo": "ticker",
    "activeAssetCtx": "ticker",
}


def _product(asset: str, tick: int, lot: int, **more: Any) -> Product:
    return Product(
        venue="hyperliquid",
        symbol=asset,
        asset=asset,
        quote="USD",
        price=Step(tick),
        size=Step(lot),
        market="perpetual",
        **more,
    )


PRODUCTS: Final = (
    _product("BTC", 0, 5, liveliness=0.25, lead_bps=-1.0, levels=800),
    _product("ETH", 1, 4, liveliness=0.2, lead_bps=-1.0, levels=800),
    _product("SOL", 2, 2, liveliness=0.1, levels=600),
)


class HyperliquidDialect:
    venue = "hyperliquid"
    event_ms = 100
    messages_a_second = 33
    requests = (120, 20.0)

    def __init__(self, products: Sequence[Product] = PRODUCTS) -> None:
        self.products = products
        self.endpoints: Mapping[str, Endpoint] = {"/info": info}

    def conversation(self, path: str, query: str, now_ms: int) -> HyperliquidTalk | None:
        return HyperliquidTalk({each.symbol for each in self.products}) if path == "/ws" else None

    def stream(self, key: StreamKey, market: MarketView) -> HyperliquidBook | HyperliquidTape | HyperliquidFigures:
        if key.kind == "depth":
            return HyperliquidBook(market)
        return HyperliquidTape(market) if key.kind == "trades" else HyperliquidFigures(market, key.option)

    def asked(self, query: Mapping[str, str], body: bytes) -> str:
        return str(_request(body).get("coin", ""))

    def update_of(self, wire_id: int, market: MarketView) -> int:
        return wire_id  # its frames have times alone

    def refusal(self, status: int) -> tuple[int, Any]:
        return status, None


class HyperliquidTalk:
    def __init__(self, coins: set[str]) -> None:
        self._coins = coins
        self._keys: set[StreamKey] = set()

    def greeting(self) -> Sequence[Answer]:
        return ()

    def wrap(self, key: StreamKey, payload: bytes, now_ms: int) -> bytes:
        return payload

    def tick(self, now_ms: int) -> Sequence[Answer]:
        return ()

    def hear(self, text: str, now_ms: int) -> Sequence[Answer]:
        request = parse_request(text) or {}
        method, wanted = request.get("method"), request.get("subscription")
        if method == "ping":
            return [b'{"channel":"pong"}']
        if method not in ("subscribe", "unsubscribe") or not isinstance(wanted, dict):
            return [_error(f"Error parsing JSON into valid websocket request: {text[:200]}")]
        kind, coin = str(wanted.get("type")), str(wanted.get("coin"))
        if kind not in _KINDS or coin not in self._coins:
            return [_error(f"Invalid subscription {text[:200]}")]
        key = StreamKey(_KINDS[kind], coin, kind)
        if (key in self._keys) == (method == "subscribe"):
            return [_error(f"Already {method}d: {text[:200]}")]
        done = encode({"channel": "subscriptionResponse", "data": {"method": method, "subscription": wanted}})
        if method == "unsubscribe":
            self._keys.discard(key)
            return [done, Leave(key)]
        self._keys.add(key)
        return [done, Listen(key)]


def _error(words: str) -> bytes:
    return encode({"channel": "error", "data": words})


def _level(product: Product, row: tuple[int, int]) -> dict[str, Any]:
    price = product.price.text(row[0]) + ("" if product.price.exp else ".0")
    return {"px": price, "sz": product.size.short(row[1]), "n": 1 + row[1] % 7}


def book_of(market: MarketView) -> dict[str, Any]:
    levels: Sequence[Units] = best_levels(market.sides, LEVELS)
    rows = [[_level(market.product, row) for row in side] for side in levels]
    return {"coin": market.product.symbol, "time": market.change.time_ms, "levels": rows}


def trade_of(product: Product, fill: MarketFill) -> dict[str, Any]:
    return {
        "coin": product.symbol,
        "side": "A" if fill.taker_sells else "B",
        "px": _level(product, (fill.price, 0))["px"],
        "sz": product.size.short(fill.lots),
        "time": fill.time_ms,
        "hash": f"0x{0 if fill.id % 5 == 0 else fill.id * _MIX:064x}",
        "tid": fill.id * _MIX % 2**50,  # in no order
        "users": ["0x" + "0" * 40, "0x" + "0" * 39 + "1"],
    }


class HyperliquidBook:
    def __init__(self, market: MarketView) -> None:
        self._market = market
        self._due_ms = 0

    def opening(self) -> list[bytes]:
        return [self._frame()] * 2

    def told(self, event: MarketEvent) -> list[bytes]:
        if not isinstance(event, BookChange) or event.time_ms < self._due_ms:
            return []
        self._due_ms = event.time_ms + BOOK_MS
        return [self._frame()]

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def _frame(self) -> bytes:
        return encode({"channel": "l2Book", "data": book_of(self._market)})


class HyperliquidTape:
    def __init__(self, market: MarketView) -> None:
        self._market = market

    def opening(self) -> list[bytes]:
        return [self._frame(self._market.newest_fills(OLD_TRADES))]

    def told(self, event: MarketEvent) -> list[bytes]:
        return [self._frame(event.fills)] if isinstance(event, MarketFills) else []

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def _frame(self, fills: Sequence[MarketFill]) -> bytes:
        return encode({"channel": "trades", "data": [trade_of(self._market.product, fill) for fill in fills]})


class HyperliquidFigures:
    """Best prices at each change, or a perpetual's figures every second."""

    def __init__(self, market: MarketView, option: str) -> None:
        self._market = market
        self._option = option
        self._touch: object = None
        self._due_ms = 0

    def opening(self) -> list[bytes]:
        return [self._best()] if self._option == "bbo" else []

    def told(self, event: MarketEvent) -> list[bytes]:
        if self._option != "bbo" or not isinstance(event, BookChange) or top_of(self._market.sides) == self._touch:
            return []
        return [self._best()]

    def _best(self) -> bytes:
        market = self._market
        self._touch = top_of(market.sides)
        best = [None if row is None else _level(market.product, row) for row in top_of(market.sides)]
        data = {"coin": market.product.symbol, "time": market.change.time_ms, "bbo": best}
        return encode({"channel": "bbo", "data": data})

    def tick(self, now_ms: int) -> list[bytes]:
        if self._option == "bbo" or now_ms < self._due_ms:
            return []
        self._due_ms = now_ms - now_ms % 1000 + 1000
        data = {"coin": self._market.product.symbol, "ctx": figures_of(self._market)}
        return [encode({"channel": "activeAssetCtx", "data": data})]


def figures_of(market: MarketView) -> dict[str, str]:
    said, product = market.derivatives(), market.product
    rows = market.newest_fills(LOOK_BACK)
    count = rows[-1].id - market.first_fill_at(market.time_ms - 86_400_000) if rows else 0
    _, amounts = sum_of(rows, product)
    return {
        "funding": f"{said.funding_rate / 8.0:.10f}",  # of an hour
        "openInterest": product.size.short(product.size.units(said.open_interest)),
        "prevDayPx": product.price.text(market.opening_price()),
        "dayNtlVlm": f"{amounts * count / max(1, len(rows)):.4f}",
        "oraclePx": f"{said.index_price:.2f}",
        "markPx": f"{said.mark_price:.2f}",
    }


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return request if isinstance(request, dict) else {}


def info(question: Question) -> Any:
    """The only path: what is asked for stands in the body."""
    request = _request(question.body)
    kind, coin = request.get("type"), request.get("coin")
    products = [product for product, _ in question.listed]
    universe = [
        {"name": product.symbol, "szDecimals": product.size.exp, "maxLeverage": 40}
        | ({} if status is None else {"isDelisted": True})
        for product, status in question.listed
    ]
    if kind == "meta":
        return {"universe": universe}
    if kind == "metaAndAssetCtxs":
        return [{"universe": universe}, [figures_of(question.market(product.symbol)) for product in products]]
    if kind == "perpDexs":
        return [None]  # the first one has no name
    if kind in ("spotMeta", "spotMetaAndAssetCtxs"):
        return {"tokens": [], "universe": []} if kind == "spotMeta" else [{"tokens": [], "universe": []}, []]
    if kind == "allMids":
        return {product.symbol: f"{_mid(question, product):g}" for product in products}
    if coin not in [product.symbol for product in products]:
        raise NotServed(None, 500)
    market = question.market(str(coin))
    if kind == "l2Book":
        return book_of(market)
    if kind == "recentTrades":
        return [trade_of(market.product, fill) for fill in reversed(market.newest_fills(OLD_TRADES))]
    raise NotServed("Failed to deserialize the JSON body into the target type", 422)


def _mid(question: Question, product: Product) -> float:
    prices = [product.price.number(row[0]) for row in top_of(question.market(product.symbol).sides) if row is not None]
    return sum(prices) / len(prices) if prices else 0.0
