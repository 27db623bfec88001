"""Binance's other markets: USD-M and COIN-M futures, Binance.US. PURE.

Frames are those of Binance spot. On futures each depth frame also has `pu`, the last id of the frame before; ids in
between belong to other symbols. USD-M serves books below `/public` and trades of the tape, marks and liquidations below
`/market`; a stream that is asked for on the wrong path is accepted and stays silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import parse_qs

from vibe_orderbook_mcp.sim.dialects.binance_family_rest import endpoints_of
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
    Units,
)
from vibe_orderbook_mcp.sim.dialects.wording import (
    encode,
    parse_request,
    top_of,
)

IDS_A_STEP: Final = 3  # update ids of a futures symbol leave room for others
FORCED_EVERY: Final = 23  # trades: then one was a liquidation
UNUSUAL_EVERY: Final = 97  # trades: then one was none of the market's
UNUSUAL: Final = ("INSURANCE_FUND", "ADL", "NA")

Family = Literal["usdm", "coinm", "us"]

_PUBLIC: Final = frozenset({"depth", "rpiDepth", "bookTicker", "trade"})
_MARKET: Final = frozenset({"aggTrade", "markPrice", "forceOrder", "kline", "ticker"})
_KINDS: Final[dict[str, StreamKind]] = {
    "depth": "depth",
    "bookTicker": "ticker",
    "trade": "trades",
    "aggTrade": "trades",
    "markPrice": "ticker",
    "forceOrder": "trades",
}
_FUTURES_ALONE: Final = frozenset({"markPrice", "forceOrder"})


def _usdm(asset: str, tick: int, lot: int, **more: Any) -> Product:
    return Product(
        venue="binance-usdm",
        symbol=f"{asset}USDT",
        asset=asset,
        quote="USDT",
        price=Step(tick),
        size=Step(lot),
        market="perpetual",
        **more,
    )


def _coinm(asset: str, tick: int, dollars: float, **more: Any) -> Product:
    return Product(
        venue="binance-coinm",
        symbol=f"{asset}USD_PERP",
        asset=asset,
        quote="USD",
        price=Step(tick),
        size=Step(0),
        market="perpetual",
        base_a_size=None,
        quote_a_size=dollars,
        names={"pair": f"{asset}USD"},
        **more,
    )


def _us(asset: str, tick: int, lot: int, **more: Any) -> Product:
    return Product(
        venue="binance-us", symbol=f"{asset}USDT", asset=asset, quote="USDT", price=Step(tick), size=Step(lot), **more
    )


USDM_PRODUCTS: Final = (
    _usdm("BTC", 1, 3, liveliness=0.5, lead_bps=-3.0),
    _usdm("ETH", 2, 3, liveliness=0.45, lead_bps=-2.5),
    _usdm("SOL", 2, 2, liveliness=0.2, levels=900),
)
COINM_PRODUCTS: Final = (
    _coinm("BTC", 1, 100.0, liveliness=0.2, lead_bps=2.0),
    _coinm("ETH", 2, 10.0, liveliness=0.15, lead_bps=1.5),
)
US_PRODUCTS: Final = (
    _us("BTC", 2, 5, liveliness=0.1, lead_bps=1.0, levels=1200),
    _us("ETH", 2, 4, liveliness=0.08, levels=1000),
)


class BinanceFamily:
    event_ms = 100
    messages_a_second = 10
    requests = (600, 40.0)

    def __init__(self, family: Family, products: Sequence[Product]) -> None:
        self.venue = f"binance-{family}"
        self.products = products
        self.endpoints: Mapping[str, Endpoint] = endpoints_of(family, _step_of(family))
        self._family = family

    def conversation(self, path: str, query: str, now_ms: int) -> FamilyTalk | None:
        served = _PUBLIC | _MARKET
        if self._family == "us":
            served -= _FUTURES_ALONE
        if self._family == "usdm":
            served = _PUBLIC if path.startswith("/public/") else _MARKET if path.startswith("/market/") else frozenset()
            path = "/" + path.removeprefix("/public/").removeprefix("/market/").removeprefix("/")
        if path == "/stream":
            named, is_combined = parse_qs(query).get("streams", [""])[0], True
        elif path == "/ws" or path.startswith("/ws/"):
            named, is_combined = path.removeprefix("/ws").removeprefix("/"), False
        else:
            return None
        symbols = {product.symbol.lower(): product.symbol for product in self.products}
        streams = [name for name in named.split("/") if name]
        return FamilyTalk(symbols, served, streams, is_combined=is_combined)

    def stream(self, key: StreamKey, market: MarketView) -> FamilyStream:
        return FamilyStream(market, key.option, is_futures=self._family != "us")

    def asked(self, query: Mapping[str, str], body: bytes) -> str:
        return query.get("symbol", "")

    def update_of(self, wire_id: int, market: MarketView) -> int:
        return wire_id // _step_of(self._family)

    def refusal(self, status: int) -> tuple[int, Any]:
        words = {429: "Too many requests.", 418: "Way too many requests; IP banned.", 503: "Service Unavailable."}
        return status, {"code": -1003 if status in (418, 429) else -1000, "msg": words.get(status, "Unknown error.")}


def _step_of(family: Family) -> int:
    return 1 if family == "us" else IDS_A_STEP


class FamilyTalk:
    def __init__(
        self, symbols: Mapping[str, str], served: frozenset[str], streams: Sequence[str], *, is_combined: bool
    ) -> None:
        self._symbols = symbols
        self._served = served
        self._streams: dict[str, None] = dict.fromkeys(streams)
        self._is_combined = is_combined

    def greeting(self) -> Sequence[Answer]:
        return [Listen(key) for name in self._streams if (key := self._key(name)) is not None]

    def wrap(self, key: StreamKey, payload: bytes, now_ms: int) -> bytes:
        if not self._is_combined:
            return payload
        return b'{"stream":"%b@%b","data":%b}' % (key.symbol.lower().encode(), key.option.encode(), payload)

    def tick(self, now_ms: int) -> Sequence[Answer]:
        return ()

    def hear(self, text: str, now_ms: int) -> Sequence[Answer]:
        request = parse_request(text)
        if request is None:
            return [encode({"error": {"code": 3, "msg": "Invalid JSON: expected value at line 1 column 1"}})]
        method, params, asked = request.get("method"), request.get("params"), request.get("id")
        if method == "LIST_SUBSCRIPTIONS":
            return [encode({"result": list(self._streams), "id": asked})]
        names = params if isinstance(params, list) and all(isinstance(each, str) for each in params) else None
        if method not in ("SUBSCRIBE", "UNSUBSCRIBE") or names is None:
            return [encode({"error": {"code": 2, "msg": "Invalid request"}, "id": asked})]
        done: Answer = encode({"result": None, "id": asked})
        if method == "UNSUBSCRIBE":
            gone = [name for name in names if self._streams.pop(name, "") is None]
            return [done, *(Leave(key) for name in gone if (key := self._key(name)) is not None)]
        new = [name for name in dict.fromkeys(names) if name not in self._streams]
        self._streams.update(dict.fromkeys(new))
        return [done, *(Listen(key) for name in new if (key := self._key(name)) is not None)]

    def _key(self, name: str) -> StreamKey | None:
        """None for a stream that never says anything."""
        symbol, _, option = name.partition("@")
        kind = option.partition("@")[0]
        if symbol not in self._symbols or kind not in self._served or kind not in _KINDS:
            return None
        return StreamKey(_KINDS[kind], self._symbols[symbol], option)


class FamilyStream:
    """One stream of a symbol; `option` is its name behind the symbol."""

    def __init__(self, market: MarketView, option: str, *, is_futures: bool) -> None:
        self._market = market
        self._kind, _, speed = option.partition("@")
        self._every_ms = 1000 if speed == "1s" else 3000
        self._is_futures = is_futures
        self._step = IDS_A_STEP if is_futures else 1
        self._due_ms = 0
        self._touch: object = None
        product = market.product
        self._names: dict[str, Any] = {"s": product.symbol}
        if is_futures and "pair" in product.names:
            self._names["ps"] = product.names["pair"]

    def opening(self) -> list[bytes]:
        return []

    def told(self, event: MarketEvent) -> list[bytes]:
        if isinstance(event, BookChange):
            if self._kind == "depth":
                return [encode(self._depth(event))]
            return self._best(event) if self._kind == "bookTicker" else []
        if isinstance(event, MarketFills):
            make = {"aggTrade": self._aggregate, "trade": self._trade}.get(self._kind)
            if make is not None:
                return [encode(make(fill)) for fill in event.fills]
            if self._kind == "forceOrder":
                return [encode(self._forced(fill)) for fill in event.fills if fill.id % FORCED_EVERY == 0]
        return []

    def tick(self, now_ms: int) -> list[bytes]:
        if self._kind != "markPrice" or now_ms < self._due_ms:
            return []
        self._due_ms = now_ms - now_ms % self._every_ms + self._every_ms
        said, price = self._market.derivatives(), self._market.product.price.exp + 2
        body = {
            "e": "markPriceUpdate",
            "E": now_ms,
            "s": self._market.product.symbol,
            "p": f"{said.mark_price:.{price}f}",
            "P": f"{said.index_price:.{price}f}",
            "i": f"{said.index_price:.{price}f}",
            "r": f"{said.funding_rate:.8f}",
            "T": said.next_funding_ms,
        }
        return [encode(body)]

    def _levels(self, rows: Units) -> list[tuple[str, str]]:
        product = self._market.product
        return [(product.price.text(ticks), product.size.text(lots)) for ticks, lots in rows]

    def _depth(self, change: BookChange) -> dict[str, Any]:
        body: dict[str, Any] = {"e": "depthUpdate", "E": change.time_ms}
        if self._is_futures:
            body["T"] = change.time_ms - 2
        body |= self._names | {"U": change.first_id * self._step, "u": change.final_id * self._step}
        if self._is_futures:
            body["pu"] = (change.first_id - 1) * self._step
        return body | {"b": self._levels(change.bids), "a": self._levels(change.asks)}

    def _best(self, change: BookChange) -> list[bytes]:
        """Whenever the best prices or their sizes are others."""
        bid, ask = touch = top_of(self._market.sides)
        if touch == self._touch or bid is None or ask is None:
            return []
        self._touch = touch
        (best_bid,), (best_ask,) = self._levels([bid]), self._levels([ask])
        body: dict[str, Any] = {"e": "bookTicker"} if self._is_futures else {}
        body |= {"u": change.final_id * self._step} | self._names
        body |= {"b": best_bid[0], "B": best_bid[1], "a": best_ask[0], "A": best_ask[1]}
        if self._is_futures:
            body |= {"T": change.time_ms - 2, "E": change.time_ms}
        return [encode(body)]

    def _aggregate(self, fill: MarketFill) -> dict[str, Any]:
        price, size = self._price_and_size(fill)
        ids = {"a": fill.id, "p": price, "q": size, "f": fill.id, "l": fill.id, "T": fill.time_ms}
        body = {"e": "aggTrade", "E": fill.time_ms} | self._names | ids | {"m": fill.taker_sells}
        return body | ({"nq": size} if self._is_futures else {"M": True})

    def _trade(self, fill: MarketFill) -> dict[str, Any]:
        price, size = self._price_and_size(fill)
        body = (
            {"e": "trade", "E": fill.time_ms, "T": fill.time_ms} | self._names | {"t": fill.id, "p": price, "q": size}
        )
        if not self._is_futures:
            return body | {"m": fill.taker_sells, "M": True}
        turn, rest = divmod(fill.id, UNUSUAL_EVERY)
        return body | {"X": "MARKET" if rest else UNUSUAL[turn % len(UNUSUAL)], "m": fill.taker_sells}

    def _forced(self, fill: MarketFill) -> dict[str, Any]:
        price, size = self._price_and_size(fill)
        order = {
            **self._names,
            "S": "SELL" if fill.taker_sells else "BUY",
            "o": "LIMIT",
            "f": "IOC",
            "q": size,
            "p": price,
            "ap": price,
            "X": "FILLED",
            "l": size,
            "z": size,
            "T": fill.time_ms,
        }
        return {"e": "forceOrder", "E": fill.time_ms, "o": order}

    def _price_and_size(self, fill: MarketFill) -> tuple[str, str]:
        product = self._market.product
        return product.price.text(fill.price), product.size.text(fill.lots)
