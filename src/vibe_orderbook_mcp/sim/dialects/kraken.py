"""Kraken spot, websocket v2. PURE.

A book of a subscribed depth: a snapshot, then the rows that changed inside that depth, each frame with the CRC32 of the
ten best levels a side. A level that falls out of the depth is not deleted. Of a price that a frame names twice, the
last row counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from zlib import crc32

from vibe_orderbook_mcp.sim.dialects.contract import (
    Answer,
    BookChange,
    Leave,
    Listen,
    MarketEvent,
    MarketFill,
    MarketFills,
    MarketView,
    Product,
    Step,
    StreamKey,
    Units,
)
from vibe_orderbook_mcp.sim.dialects.kraken_rest import ENDPOINTS, TOO_MANY
from vibe_orderbook_mcp.sim.dialects.wording import (
    BookWindow,
    encode,
    parse_request,
    rfc3339,
)

DEPTHS: Final = (10, 25, 100, 500, 1000)
CHECKED: Final = 10  # levels a side that the checksum is of
BEAT_MS: Final = 1000
TWICE_EVERY: Final = 300  # changes: then a level that goes is first set, in the same frame
OLD_TRADES: Final = 50

_NAMES: Final = {"BTC": "XBT", "DOGE": "XDG"}
_LONG: Final = {"XBT": "XXBT", "XDG": "XXDG", "ETH": "XETH", "XRP": "XXRP"}


def _product(asset: str, decimals: int, **more: Any) -> Product:
    old = _NAMES.get(asset, asset)
    key = f"{_LONG[old]}ZUSD" if old in ("XBT", "ETH", "XRP") else f"{old}USD"
    return Product(
        venue="kraken",
        symbol=f"{asset}/USD",
        asset=asset,
        quote="USD",
        price=Step(decimals),
        size=Step(8),
        names={"key": key, "altname": f"{old}USD", "wsname": f"{old}/USD", "base": _LONG.get(old, old)},
        **more,
    )


PRODUCTS: Final = (
    _product("BTC", 1, liveliness=0.35, levels=2600, lead_bps=-1.5),
    _product("ETH", 2, liveliness=0.3, levels=2200, lead_bps=-1.0),
    _product("SOL", 2, liveliness=0.12, levels=900),
    _product("XRP", 5, liveliness=0.1, levels=900),
    _product("DOGE", 7, liveliness=0.08, levels=700),
)


class KrakenDialect:
    venue = "kraken"
    event_ms = 40
    messages_a_second = 60
    requests = (30, 1.0)
    endpoints = ENDPOINTS

    def __init__(self, products: Sequence[Product] = PRODUCTS) -> None:
        self.products = products

    def conversation(self, path: str, query: str, now_ms: int) -> KrakenTalk | None:
        return KrakenTalk({each.symbol for each in self.products}, now_ms) if path == "/v2" else None

    def stream(self, key: StreamKey, market: MarketView) -> KrakenBook | KrakenTrades:
        if key.kind == "depth":
            return KrakenBook(market, int(key.option))
        return KrakenTrades(market, has_opening=key.option == "snapshot")

    def asked(self, query: Mapping[str, str], body: bytes) -> str:
        pair = query.get("pair", "")
        return next((each.symbol for each in self.products if pair in (*each.names.values(), each.symbol)), "")

    def update_of(self, wire_id: int, market: MarketView) -> int:
        return wire_id  # its frames have none

    def refusal(self, status: int) -> tuple[int, Any]:
        if status == 429:
            return 200, {"error": [TOO_MANY]}  # it says so with HTTP 200
        return status, {"error": ["EService:Unavailable"]}


class KrakenTalk:
    def __init__(self, symbols: set[str], now_ms: int) -> None:
        self._symbols = symbols
        self._born_ms = now_ms
        self._beat_ms = now_ms + BEAT_MS
        self._depth: dict[str, StreamKey] = {}  # a symbol's only book
        self._trades: dict[str, StreamKey] = {}

    def greeting(self) -> Sequence[Answer]:
        data = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": 10**18 + self._born_ms}
        return [encode({"channel": "status", "type": "update", "data": [data]})]

    def wrap(self, key: StreamKey, payload: bytes, now_ms: int) -> bytes:
        return payload

    def tick(self, now_ms: int) -> Sequence[Answer]:
        """A heartbeat every second, whether or not anything else was said; none before a subscription."""
        if now_ms < self._beat_ms or not (self._depth or self._trades):
            return ()
        self._beat_ms = now_ms - (now_ms - self._beat_ms) % BEAT_MS + BEAT_MS
        return [b'{"channel":"heartbeat"}']

    def hear(self, text: str, now_ms: int) -> Sequence[Answer]:
        request = parse_request(text)
        times = {"time_in": rfc3339(now_ms), "time_out": rfc3339(now_ms)}
        if request is None:
            return [encode({"error": "Malformed request", "success": False} | times)]
        method, asked = request.get("method"), {"req_id": request["req_id"]} if "req_id" in request else {}
        if method == "ping":
            return [encode({"method": "pong"} | asked | times)]
        params = request.get("params")
        if method not in ("subscribe", "unsubscribe") or not isinstance(params, dict):
            return [encode({"method": str(method), "error": "Malformed request", "success": False} | asked | times)]
        symbols = params.get("symbol")
        out: list[Answer] = []
        for symbol in symbols if isinstance(symbols, list) else [symbols]:
            result, steps = self._change(method, params, symbol)
            if isinstance(result, str):
                answer: dict[str, Any] = {"error": result, "method": method, "success": False, "symbol": symbol}
            else:
                answer = {"method": method, "result": result, "success": True}
            out += [encode(answer | asked | times), *steps]
        return out

    def _change(self, method: str, params: dict[str, Any], symbol: Any) -> tuple[dict[str, Any] | str, list[Answer]]:
        """The result, or the words of a refusal, and what the connection listens to now."""
        channel = params.get("channel")
        kept = {"book": self._depth, "trade": self._trades}.get(str(channel))
        if kept is None:
            return f"Channel {channel} is not supported", []
        if symbol not in self._symbols:
            return f"Currency pair not supported {symbol}", []
        if (key := self._key(str(channel), params, symbol)) is None:
            return "Subscription depth not supported", []
        result: dict[str, Any] = {"channel": channel, "symbol": symbol}
        if channel == "book":
            result["depth"] = int(key.option)
        if (method == "subscribe") == (symbol in kept):
            return "Already subscribed" if symbol in kept else "Subscription Not Found", []
        if method == "unsubscribe":
            return result, [Leave(kept.pop(symbol))]
        kept[symbol] = key
        return result | {"snapshot": params.get("snapshot", True)}, [Listen(key)]

    @staticmethod
    def _key(channel: str, params: dict[str, Any], symbol: str) -> StreamKey | None:
        if channel == "trade":
            return StreamKey("trades", symbol, "snapshot" if params.get("snapshot", True) else "")
        depth = params.get("depth", 10)
        return StreamKey("depth", symbol, str(depth)) if depth in DEPTHS else None


class KrakenBook:
    def __init__(self, market: MarketView, depth: int) -> None:
        self._market = market
        self._window = BookWindow(market.sides, depth)
        self._time_ms = market.change.time_ms

    def opening(self) -> list[bytes]:
        return [self._frame("snapshot", self._window.levels, ())]

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def told(self, event: MarketEvent) -> list[bytes]:
        if not isinstance(event, BookChange):
            return []
        self._time_ms = event.time_ms
        rows = self._window.step(with_fallen=False)
        if not any(rows):
            return []
        twice = [price for price, size in rows[0] if not size] if event.number % TWICE_EVERY == 0 else ()
        return [self._frame("update", rows, twice)]

    def _frame(self, kind: str, sides: Sequence[Units], twice: Sequence[int]) -> bytes:
        product = self._market.product
        price, size = product.price.text, product.size.text
        texts = [[f'{{"price":{price(ticks)},"qty":{size(lots)}}}' for ticks, lots in levels] for levels in sides]
        texts[0] = [f'{{"price":{price(ticks)},"qty":{size(1)}}}' for ticks in twice] + texts[0]
        said = ",".join(texts[0]), ",".join(texts[1])
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{product.symbol}","bids":[{said[0]}],'
            f'"asks":[{said[1]}],"checksum":{self._checksum()},"timestamp":"{rfc3339(self._time_ms)}"}}]}}'
        ).encode()

    def _checksum(self) -> int:
        """Asks and then bids, best first, each number without its point and its leading zeros."""
        product = self._market.product
        bids, asks = self._window.levels
        numbers = (
            part
            for levels in (asks[:CHECKED], bids[:CHECKED])
            for ticks, lots in levels
            for part in (product.price.text(ticks), product.size.text(lots))
        )
        return crc32("".join(number.replace(".", "").lstrip("0") for number in numbers).encode())


class KrakenTrades:
    def __init__(self, market: MarketView, *, has_opening: bool) -> None:
        self._market = market
        self._has_opening = has_opening

    def opening(self) -> list[bytes]:
        return [self._frame("snapshot", self._market.newest_fills(OLD_TRADES))] if self._has_opening else []

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def told(self, event: MarketEvent) -> list[bytes]:
        return [self._frame("update", event.fills)] if isinstance(event, MarketFills) else []

    def _frame(self, kind: str, fills: Sequence[MarketFill]) -> bytes:
        rows = ",".join(self._row(fill) for fill in fills)
        return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'.encode()

    def _row(self, fill: MarketFill) -> str:
        product = self._market.product
        return (
            f'{{"symbol":"{product.symbol}","side":"{"sell" if fill.taker_sells else "buy"}",'
            f'"price":{product.price.text(fill.price)},"qty":{product.size.text(fill.lots)},"ord_type":"market",'
            f'"trade_id":{fill.id},"timestamp":"{rfc3339(fill.time_ms, fill.rank)}"}}'
        )
