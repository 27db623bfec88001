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
    ListedProduct,
    Listen,
    MarketEvent,
    MarketFill,
    MarketFills,
    MarketView,
    NotServed,
    Product,
    Question,
    Sides,
    Step,
    StreamKey,
    StreamKind,
    best_levels,
    encode,
    parse_request,
    top_of,
)

FIGURES_MS: Final = 100
MOST_TRADES: Final = 1000
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
        self.endpoints: Mapping[str, Endpoint] = {f"/api/v2/public/{name}": _over_http(name) for name in METHODS}

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
                return [encode(named | _error(-32602, "Invalid params"))]
            self._beat_every_ms = round(seconds * 1000)
            self._beat_ms = now_ms + self._beat_every_ms
            return [encode(named | {"result": "ok"})]
        if method in ("subscribe", "unsubscribe"):
            return self._change(method, params.get("channels"), named)
        return [encode(named | _error(-32601, "Method not found"))]

    def _change(self, method: str, channels: Any, named: dict[str, Any]) -> Sequence[Answer]:
        """What is not known is left out of the result."""
        names = [str(each) for each in channels] if isinstance(channels, list) else []
        if any(name.endswith(".raw") for name in names):
            return [encode(named | _error(13778, "raw_subscriptions_not_available_for_unauthorized"))]
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


def _error(code: int, words: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": words}}


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


def trade_of(market: MarketView, fill: MarketFill) -> dict[str, Any]:
    product, said = market.product, market.derivatives()
    return {
        "trade_seq": fill.id,
        "trade_id": f"{product.asset}-{fill.id * 3}" if product.asset != "BTC" else str(fill.id * 3),
        "timestamp": fill.time_ms,
        "tick_direction": 1,
        "price": product.price.number(fill.price),
        "mark_price": round(said.mark_price, 2),
        "index_price": round(said.index_price, 2),
        "instrument_name": product.symbol,
        "direction": "sell" if fill.taker_sells else "buy",
        "amount": product.size.number(fill.lots),
    }


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


def figures_of(market: MarketView) -> dict[str, Any]:
    said, product = market.derivatives(), market.product
    bid, ask = top_of(market.sides)
    newest = market.newest_fills(1)
    return {
        "timestamp": market.change.time_ms,
        "state": "open",
        "instrument_name": product.symbol,
        "mark_price": round(said.mark_price, 2),
        "index_price": round(said.index_price, 2),
        "last_price": product.price.number(newest[-1].price) if newest else None,
        "open_interest": product.size.number(product.size.units(said.open_interest)),
        "current_funding": round(said.funding_rate, 8),
        "funding_8h": round(said.funding_rate, 8),
        "best_bid_price": product.price.number(bid[0]) if bid else None,
        "best_bid_amount": product.size.number(bid[1]) if bid else 0.0,
        "best_ask_price": product.price.number(ask[0]) if ask else None,
        "best_ask_amount": product.size.number(ask[1]) if ask else 0.0,
    }


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


def _found(question: Question) -> Product:
    symbol = question.query.get("instrument_name", "")
    found = next((product for product, _ in question.listed if product.symbol == symbol), None)
    if found is None:
        raise NotServed({"jsonrpc": "2.0"} | _error(13020, "instrument_not_found"))
    return found


def _whole(question: Question, name: str, default: int) -> int:
    text = question.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise NotServed({"jsonrpc": "2.0"} | _error(-32602, "Invalid params"))
    return int(text)


def _instruments(question: Question) -> Any:
    currency = question.query.get("currency", "any")
    return [_instrument(each) for each in question.listed if currency in ("any", each.product.asset)]


def _instrument(listed: ListedProduct) -> dict[str, Any]:
    product = listed.product
    return {
        "instrument_name": product.symbol,
        "kind": "future",
        "instrument_type": "reversed",
        "settlement_period": "perpetual",
        "base_currency": product.asset,
        "quote_currency": product.quote,
        "counter_currency": product.quote,
        "settlement_currency": product.asset,
        "tick_size": product.price.number(1),
        "min_trade_amount": product.size.number(1),
        "contract_size": product.size.number(1),
        "is_active": listed.status is None,
        "state": "open" if listed.status is None else "halted",
    }


def _trades(question: Question) -> Any:
    """From `start_seq` to `end_seq`, ascending, or the newest."""
    product = _found(question)
    market = question.market(product.symbol)
    count = max(1, min(_whole(question, "count", 10), MOST_TRADES))
    if "start_seq" in question.query:
        last = _whole(question, "end_seq", 2**50)
        fills = [each for each in market.fills_from(_whole(question, "start_seq", 0), count + 1) if each.id <= last]
    else:
        fills = market.newest_fills(count + 1)[-count:]
    rows = [trade_of(market, fill) for fill in fills[:count]]
    return {"trades": rows, "has_more": len(fills) > count}


def _book(question: Question) -> Any:
    product = _found(question)
    market = question.market(product.symbol)
    bids, asks = (
        [(product.price.number(ticks), product.size.number(lots)) for ticks, lots in levels]
        for levels in best_levels(market.sides, _whole(question, "depth", 5))
    )
    return figures_of(market) | {"bids": bids, "asks": asks, "change_id": market.change.final_id}


def _currencies(question: Question) -> Any:
    names = dict.fromkeys(product.asset for product, _ in question.listed)
    return [{"currency": name, "currency_long": name, "decimals": 8, "fee_precision": 4} for name in names]


METHODS: Final[Mapping[str, Endpoint]] = {
    "get_currencies": _currencies,
    "get_time": lambda question: question.now_ms,
    "test": lambda _question: {"version": "1.2.26"},
    "get_instruments": _instruments,
    "get_instrument": lambda question: _instrument(ListedProduct(_found(question), None)),
    "get_last_trades_by_instrument": _trades,
    "get_order_book": _book,
    "ticker": lambda question: figures_of(question.market(_found(question).symbol)),
}


def _over_http(name: str) -> Endpoint:
    def answer(question: Question) -> Any:
        return {"jsonrpc": "2.0", "result": METHODS[name](question), "usIn": question.now_ms * 1000, "testnet": False}

    return answer
