"""OKX, websocket v5: spot and linear swaps. PURE.

`books` is the best 400 levels a side: a snapshot with `prevSeqId` -1, then rows, each frame with the `seqId` of the one
before. What leaves the 400 is deleted, and now and then a level that was never there. `checksum` is 0 these days. Sizes
of swaps are contracts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from vibe_orderbook_mcp.sim.dialects.contract import (
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
from vibe_orderbook_mcp.sim.dialects.okx_rest import ENDPOINTS
from vibe_orderbook_mcp.sim.dialects.wording import (
    BookWindow,
    encode,
    parse_request,
    top_of,
)

DEPTHS: Final = {"books": 400, "books5": 5}
CHECKED: Final = 25
PATIENCE_MS: Final = 30_000  # in which a client that listens to nothing has to say something
QUIET_MS: Final = 60_000  # then a frame without a change says that the book is alive
STRAY_EVERY: Final = 50  # changes: then a level is deleted that nobody has
CONNECTION: Final = "a4d3ae55"

_KINDS: Final[dict[str, StreamKind]] = {
    "books": "depth",
    "books5": "depth",
    "bbo-tbt": "ticker",
    "trades": "trades",
    "trades-all": "trades",
    "mark-price": "ticker",
    "funding-rate": "ticker",
    "open-interest": "ticker",
}
_SWAPS_ALONE: Final = frozenset({"mark-price", "funding-rate", "open-interest"})
_BUSINESS: Final = frozenset({"trades-all"})


def _spot(asset: str, tick: int, lot: int, **more: Any) -> Product:
    return Product(
        venue="okx", symbol=f"{asset}-USDT", asset=asset, quote="USDT", price=Step(tick), size=Step(lot), **more
    )


def _swap(asset: str, tick: int, contract: float, **more: Any) -> Product:
    return Product(
        venue="okx",
        symbol=f"{asset}-USDT-SWAP",
        asset=asset,
        quote="USDT",
        price=Step(tick),
        size=Step(2),
        market="perpetual",
        base_a_size=contract,
        **more,
    )


PRODUCTS: Final = (
    _spot("BTC", 1, 8, liveliness=0.35, lead_bps=0.5),
    _spot("ETH", 2, 6, liveliness=0.3, lead_bps=0.5),
    _spot("SOL", 2, 4, liveliness=0.12, levels=900),
    _swap("BTC", 1, 0.01, liveliness=0.4, lead_bps=-2.5),
    _swap("ETH", 2, 0.1, liveliness=0.35, lead_bps=-2.0),
)


class OkxDialect:
    venue = "okx"
    event_ms = 100
    messages_a_second = 50
    requests = (40, 10.0)
    endpoints = ENDPOINTS

    def __init__(self, products: Sequence[Product] = PRODUCTS, *, has_checksums: bool = False) -> None:
        self.products = products
        self._has_checksums = has_checksums

    def conversation(self, path: str, query: str, now_ms: int) -> OkxTalk | None:
        if path not in ("/ws/v5/public", "/ws/v5/business"):
            return None
        served = _BUSINESS if path.endswith("business") else frozenset(_KINDS) - _BUSINESS
        return OkxTalk({product.symbol: product for product in self.products}, served, now_ms)

    def stream(self, key: StreamKey, market: MarketView) -> OkxBook | OkxTape | OkxFigures:
        if key.kind == "depth":
            return OkxBook(market, key.option, has_checksums=self._has_checksums)
        if key.kind == "trades":
            return OkxTape(market, key.option)
        return OkxFigures(market, key.option)

    def asked(self, query: Mapping[str, str], body: bytes) -> str:
        return query.get("instId", "")

    def update_of(self, wire_id: int, market: MarketView) -> int:
        return wire_id

    def refusal(self, status: int) -> tuple[int, Any]:
        if status == 429:
            return 429, {"msg": "Too Many Requests", "code": "50011", "data": []}
        return status, {"msg": "Service temporarily unavailable", "code": "50001", "data": []}


class OkxTalk:
    def __init__(self, products: Mapping[str, Product], served: frozenset[str], now_ms: int) -> None:
        self._products = products
        self._served = served
        self._heard_ms = now_ms
        self._keys: dict[StreamKey, None] = {}

    def greeting(self) -> Sequence[Answer]:
        return ()

    def wrap(self, key: StreamKey, payload: bytes, now_ms: int) -> bytes:
        return payload

    def tick(self, now_ms: int) -> Sequence[Answer]:
        if self._keys or now_ms - self._heard_ms < PATIENCE_MS:
            return ()
        return [Bye(4004, "No data received in 30s.")]

    def hear(self, text: str, now_ms: int) -> Sequence[Answer]:
        self._heard_ms = now_ms
        if text == "ping":
            return [b"pong"]
        request = parse_request(text)
        operation, args = (request or {}).get("op"), (request or {}).get("args")
        named = {} if request is None or "id" not in request else {"id": request["id"]}
        if operation not in ("subscribe", "unsubscribe") or not isinstance(args, list):
            return [_error("60012", f"Invalid request: {text[:100]}", named)]
        out: list[Answer] = []
        for arg in args:
            key = self._key(arg)
            if key is None:
                word = f"Wrong URL or channel:{arg.get('channel')},instId:{arg.get('instId')} doesn't exist."
                out.append(_error("60018", f"{word} Please use the correct URL, channel and parameters.", named))
                continue
            out.append(encode(named | {"event": operation, "arg": arg, "connId": CONNECTION}))
            if operation == "subscribe" and key not in self._keys:
                self._keys[key] = None
                out.append(Listen(key))
            elif operation == "unsubscribe" and key in self._keys:
                del self._keys[key]
                out.append(Leave(key))
        return out

    def _key(self, arg: Any) -> StreamKey | None:
        channel, symbol = str(arg.get("channel")), str(arg.get("instId"))
        product = self._products.get(symbol)
        if product is None or channel not in self._served or channel not in _KINDS:
            return None
        if channel in _SWAPS_ALONE and product.market == "spot":
            return None
        return StreamKey(_KINDS[channel], symbol, channel)


def _error(code: str, words: str, named: dict[str, Any]) -> bytes:
    return encode(named | {"event": "error", "code": code, "msg": words, "connId": CONNECTION})


def _frame(market: MarketView, channel: str, data: dict[str, Any], **more: Any) -> bytes:
    return encode({"arg": {"channel": channel, "instId": market.product.symbol}} | more | {"data": [data]})


def _rows(product: Product, rows: Units) -> list[tuple[str, str, str, str]]:
    """Price, size, a field that is always 0, number of orders."""
    price, size = product.price.short, product.size.short
    return [(price(ticks), size(lots), "0", "1" if lots else "0") for ticks, lots in rows]


class OkxBook:
    def __init__(self, market: MarketView, channel: str, *, has_checksums: bool) -> None:
        self._market = market
        self._channel = channel
        self._has_checksums = has_checksums
        self._window = BookWindow(market.sides, DEPTHS[channel])
        self._time_ms, self._id = market.change.time_ms, market.change.final_id
        self._said_ms = market.time_ms

    def opening(self) -> list[bytes]:
        return [self._book("snapshot", self._window.levels, -1)]

    def told(self, event: MarketEvent) -> list[bytes]:
        if not isinstance(event, BookChange):
            return []
        bids, asks = self._window.step(with_fallen=True)
        if not bids and not asks:
            return []
        if event.number % STRAY_EVERY == 0 and self._window.levels[1]:
            asks.append((self._window.levels[1][-1][0] + 7_777, 0))
        before_id, self._id, self._time_ms = self._id, event.final_id, event.time_ms
        self._said_ms = event.time_ms
        if self._channel == "books5":
            return [self._book("snapshot", self._window.levels, before_id)]
        return [self._book("update", (bids, asks), before_id)]

    def tick(self, now_ms: int) -> list[bytes]:
        if now_ms - self._said_ms < QUIET_MS:
            return []
        self._said_ms = self._time_ms = now_ms
        return [self._book("update", ((), ()), self._id)]

    def _book(self, action: str, sides: Sequence[Units], before_id: int) -> bytes:
        product = self._market.product
        data = {
            "asks": _rows(product, sides[1]),
            "bids": _rows(product, sides[0]),
            "ts": str(self._time_ms),
            "checksum": self._checksum() if self._has_checksums else 0,
            "seqId": self._id,
            "prevSeqId": before_id,
        }
        return _frame(self._market, self._channel, data, action=action)

    def _checksum(self) -> int:
        """CRC32 of the best 25 levels, bids and asks in turn, as a signed number."""
        sides = [_rows(self._market.product, levels[:CHECKED]) for levels in self._window.levels]
        turns = [side[place] for place in range(CHECKED) for side in sides if place < len(side)]
        number = crc32(":".join(f"{row[0]}:{row[1]}" for row in turns).encode())
        return number - 2**32 if number >= 2**31 else number


class OkxTape:
    def __init__(self, market: MarketView, channel: str) -> None:
        self._market = market
        self._channel = channel

    def opening(self) -> list[bytes]:
        return []

    def told(self, event: MarketEvent) -> list[bytes]:
        if not isinstance(event, MarketFills):
            return []
        return [_frame(self._market, self._channel, self._row(fill)) for fill in event.fills]

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def _row(self, fill: MarketFill) -> dict[str, Any]:
        product = self._market.product
        row: dict[str, Any] = {
            "instId": product.symbol,
            "tradeId": str(fill.id),
            "px": product.price.short(fill.price),
            "sz": product.size.short(fill.lots),
            "side": "sell" if fill.taker_sells else "buy",
            "ts": str(fill.time_ms),
        }
        return row if self._channel == "trades-all" else row | {"count": "1", "seqId": self._market.change.final_id}


class OkxFigures:
    """Best prices at each change, and a swap's figures every second."""

    def __init__(self, market: MarketView, channel: str) -> None:
        self._market = market
        self._channel = channel
        self._touch: object = None
        self._due_ms = 0

    def opening(self) -> list[bytes]:
        return self._best() if self._channel == "bbo-tbt" else []

    def told(self, event: MarketEvent) -> list[bytes]:
        if self._channel != "bbo-tbt" or not isinstance(event, BookChange) or top_of(self._market.sides) == self._touch:
            return []
        return self._best()

    def _best(self) -> list[bytes]:
        market = self._market
        bid, ask = self._touch = top_of(market.sides)
        data = {
            "asks": _rows(market.product, [] if ask is None else [ask]),
            "bids": _rows(market.product, [] if bid is None else [bid]),
            "ts": str(market.change.time_ms),
            "seqId": market.change.final_id,
        }
        return [_frame(market, self._channel, data)]

    def tick(self, now_ms: int) -> list[bytes]:
        if self._channel == "bbo-tbt" or now_ms < self._due_ms:
            return []
        self._due_ms = now_ms - now_ms % 1000 + 1000
        product, said = self._market.product, self._market.derivatives()
        data: dict[str, Any] = {"instType": "SWAP", "instId": product.symbol, "ts": str(now_ms)}
        if self._channel == "mark-price":
            data["markPx"] = f"{said.mark_price:.2f}"
        elif self._channel == "funding-rate":
            data |= {"fundingRate": f"{said.funding_rate:.10f}", "fundingTime": str(said.next_funding_ms)}
            data |= {"nextFundingTime": str(said.next_funding_ms + 8 * 3_600_000), "method": "current_period"}
        else:
            contracts = f"{said.open_interest:.2f}"
            data |= {"oi": contracts, "oiCcy": f"{said.open_interest * (product.base_a_size or 0.0):.6f}"}
        return [_frame(self._market, self._channel, data)]
