"""Hyperliquid: perpetuals. PURE.

`l2Book` is a whole book of 20 levels a side about twice a second, the first one twice. `trades` begins with old ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

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
    Product,
    Step,
    StreamKey,
    StreamKind,
)
from vibe_orderbook_mcp.sim.dialects.hyperliquid_rest import (
    OLD_TRADES,
    book_of,
    figures_of,
    info,
    level_of,
    request_of,
    trade_of,
)
from vibe_orderbook_mcp.sim.dialects.wording import (
    encode,
    parse_request,
    top_of,
)

BOOK_MS: Final = 500

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
        return str(request_of(body).get("coin", ""))

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
        best = [None if row is None else level_of(market.product, row) for row in top_of(market.sides)]
        data = {"coin": market.product.symbol, "time": market.change.time_ms, "bbo": best}
        return encode({"channel": "bbo", "data": data})

    def tick(self, now_ms: int) -> list[bytes]:
        if self._option == "bbo" or now_ms < self._due_ms:
            return []
        self._due_ms = now_ms - now_ms % 1000 + 1000
        data = {"coin": self._market.product.symbol, "ctx": figures_of(self._market)}
        return [encode({"channel": "activeAssetCtx", "data": data})]
