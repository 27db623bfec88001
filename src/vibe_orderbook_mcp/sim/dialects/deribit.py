"""Deribit: perpetuals, by JSON-RPC on a websocket. PURE.

`book.X.100ms` is the whole book and then changes, each with the `change_id` of the one before. Raw channels need a
login. Amounts are US dollars. A client that has asked for heartbeats has to answer each `test_request`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vibe_orderbook_mcp.sim.dialects.contract import (
    Answer,
    BookChange,
    Bye,
    Endpoint,
    Leave,
    Listen,
    MarketEvent,
    MarketFills,
    MarketView,
    Product,
    Sides,
    Step,
    StreamKey,
    StreamKind,
)
from vibe_orderbook_mcp.sim.dialects.deribit_rest import METHODS, error_of, figures_of, over_http, trade_of
from vibe_orderbook_mcp.sim.dialects.wording import (
    best_levels,
    encode,
    parse_request,
)

FIGURES_MS: Final = 100
SHORTEST_BEAT_S: Final = 10

_KINDS: Final[dict[str, StreamKind]] = {"book": "depth", "trades": "trades", "ticker": "ticker"}


def _product(asset: str, price: Step, size: Step, **more: Any) -> Product:
    return Product(
        venue="deribit",
        symbol=f"{asset}-PERPETUAL",
        asset=asset,
        quote="USD",
        price=price,
        size=size,
        market="perpetual",
        base_a_size=None,
        **more,
    )


PRODUCTS: Final = (
    _product("BTC", Step(1, times=5), Step(0, times=10), liveliness=0.25, lead_bps=1.0, levels=900),
    _product("ETH", Step(2, times=5), Step(0), liveliness=0.2, lead_bps=1.0, levels=900),
)


class DeribitDialect:
    venue = "deribit"
    event_ms = 100
    messages_a_second = 20
    requests = (40, 10.0)

    def __init__(self, products: Sequence[Product] = PRODUCTS) -> None:
        self.products = products
        self.endpoints: Mapping[str, Endpoint] = {f"/api/v2/public/{name}": over_http(name) for name in METHODS}

    def conversation(self, path: str, query: str, now_ms: int) -> DeribitTalk | None:
        return DeribitTalk({each.symbol for each in self.products}) if path == "/ws/api/v2" else None

    def stream(self, key: StreamKey, market: MarketView) -> DeribitBook | DeribitTape | DeribitFigures:
        if key.kind == "depth":
            return DeribitBook(market)
        return DeribitTape(market) if key.kind == "trades" else DeribitFigures(market)

    def asked(self, query: Mapping[str, str], body: bytes) -> str:
        return query.get("instrument_name", "")

    def update_of(self, wire_id: int, market: MarketView) -> int:
        return wire_id

    def refusal(self, status: int) -> tuple[int, Any]:
        code, word = (10028, "too_many_requests") if status == 429 else (13503, "unavailable")
        return status, {"jsonrpc": "2.0", "error": {"code": code, "message": word}}


class DeribitTalk:
    def __init__(self, symbols: set[str]) -> None:
        self._symbols = symbols
        self._channels: dict[str, StreamKey] = {}
        self._beat_every_ms: int | None = None
        self._beat_ms = 0
        self._is_asked = False  # and has not answered

    def greeting(self) -> Sequence[Answer]:
        return ()

    def wrap(self, key: StreamKey, payload: bytes, now_ms: int) -> bytes:
        return payload

    def tick(self, now_ms: int) -> Sequence[Answer]:
        if self._beat_every_ms is None or now_ms < self._beat_ms:
            return ()
        if self._is_asked:
            return [Bye(1000, "heartbeat")]
        self._beat_ms, self._is_asked = now_ms + self._beat_every_ms, True
        return [encode({"jsonrpc": "2.0", "method": "heartbeat", "params": {"type": "test_request"}})]

    def hear(self, text: str, now_ms: int) -> Sequence[Answer]:
        request = parse_request(text) or {}
        method, params = str(request.get("method")).removeprefix("public/"), request.get("params") or {}
        named = {"jsonrpc": "2.0"} | ({"id": request["id"]} if "id" in request else {})
        if method == "test":
            self._is_asked = False
            return [encode(named | {"result": {"version": "1.2.26"}})]
        if method == "set_heartbeat":
            seconds = params.get("interval")
            if not isinstance(seconds, int | float) or seconds < SHORTEST_BEAT_S:
                return [encode(named | error_of(-32602, "Invalid params"))]
            self._beat_every_ms = round(seconds * 1000)
            self._beat_ms = now_ms + self._beat_every_ms
            return [encode(named | {"result": "ok"})]
        if method in ("subscribe", "unsubscribe"):
            return self._change(method, params.get("channels"), named)
        return [encode(named | error_of(-32601, "Method not found"))]

    def _change(self, method: str, channels: Any, named: dict[str, Any]) -> Sequence[Answer]:
        """What is not known is left out of the result."""
        names = [str(each) for each in channels] if isinstance(channels, list) else []
        if any(name.endswith(".raw") for name in names):
            return [encode(named | error_of(13778, "raw_subscriptions_not_available_for_unauthorized"))]
        known = {name: key for name in names if (key := self._key(name)) is not None}
        out: list[Answer] = [encode(named | {"result": list(known)})]
        for name, key in known.items():
            if method == "subscribe" and name not in self._channels:
                self._channels[name] = key
                out.append(Listen(key))
            elif method == "unsubscribe" and name in self._channels:
                out.append(Leave(self._channels.pop(name)))
        return out

    def _key(self, name: str) -> StreamKey | None:
        kind, _, rest = name.partition(".")
        symbol, _, interval = rest.partition(".")
        if kind not in _KINDS or symbol not in self._symbols or interval != "100ms":
            return None
        return StreamKey(_KINDS[kind], symbol, name)


def _said(channel: str, data: Any) -> bytes:
    return encode({"jsonrpc": "2.0", "method": "subscription", "params": {"channel": channel, "data": data}})


class DeribitBook:
    def __init__(self, market: MarketView) -> None:
        self._market = market
        self._known: Sides = (dict(market.sides[0]), dict(market.sides[1]))

    def opening(self) -> list[bytes]:
        product = self._market.product
        bids, asks = (
            [("new", product.price.number(ticks), product.size.number(lots)) for ticks, lots in levels]
            for levels in best_levels(self._market.sides)
        )
        return [self._frame({"type": "snapshot"}, bids, asks)]

    def told(self, event: MarketEvent) -> list[bytes]:
        if not isinstance(event, BookChange):
            return []
        bids, asks = (
            [self._row(side, ticks, lots) for ticks, lots in rows] for side, rows in enumerate((event.bids, event.asks))
        )
        return [self._frame({"type": "change", "prev_change_id": event.first_id - 1}, bids, asks)]

    def tick(self, now_ms: int) -> list[bytes]:
        return []

    def _row(self, side: int, ticks: int, lots: int) -> tuple[str, float, float]:
        known, product = self._known[side], self._market.product
        action = "delete" if not lots else "change" if ticks in known else "new"
        if lots:
            known[ticks] = lots
        else:
            known.pop(ticks, None)
        return action, product.price.number(ticks), product.size.number(lots)

    def _frame(self, head: dict[str, Any], bids: Sequence[Any], asks: Sequence[Any]) -> bytes:
        change, symbol = self._market.change, self._market.product.symbol
        names = {"timestamp": change.time_ms, "instrument_name": symbol, "change_id": change.final_id}
        return _said(f"book.{symbol}.100ms", head | names | {"bids": bids, "asks": asks})


class DeribitTape:
    def __init__(self, market: MarketView) -> None:
        self._market = market

    def opening(self) -> list[bytes]:
        return []

    def told(self, event: MarketEvent) -> list[bytes]:
        if not isinstance(event, MarketFills):
            return []
        rows = [trade_of(self._market, fill) for fill in event.fills]
        return [_said(f"trades.{self._market.product.symbol}.100ms", rows)]

    def tick(self, now_ms: int) -> list[bytes]:
        return []


class DeribitFigures:
    def __init__(self, market: MarketView) -> None:
        self._market = market
        self._due_ms = 0

    def opening(self) -> list[bytes]:
        return []

    def told(self, event: MarketEvent) -> list[bytes]:
        return []

    def tick(self, now_ms: int) -> list[bytes]:
        if now_ms < self._due_ms:
            return []
        self._due_ms = now_ms - now_ms % FIGURES_MS + FIGURES_MS
        return [_said(f"ticker.{self._market.product.symbol}.100ms", figures_of(self._market))]
