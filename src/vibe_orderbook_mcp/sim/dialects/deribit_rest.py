"""Deribit's trades and figures, and the methods that answer over HTTP. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vibe_orderbook_mcp.sim.dialects.contract import (
    Endpoint,
    ListedProduct,
    MarketFill,
    MarketView,
    NotServed,
    Product,
    Question,
)
from vibe_orderbook_mcp.sim.dialects.wording import (
    best_levels,
    top_of,
)

MOST_TRADES: Final = 1000


def error_of(code: int, words: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": words}}


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


def _found(question: Question) -> Product:
    symbol = question.query.get("instrument_name", "")
    found = next((product for product, _ in question.listed if product.symbol == symbol), None)
    if found is None:
        raise NotServed({"jsonrpc": "2.0"} | error_of(13020, "instrument_not_found"))
    return found


def _whole(question: Question, name: str, default: int) -> int:
    text = question.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise NotServed({"jsonrpc": "2.0"} | error_of(-32602, "Invalid params"))
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


def over_http(name: str) -> Endpoint:
    def answer(question: Question) -> Any:
        return {"jsonrpc": "2.0", "result": METHODS[name](question), "usIn": question.now_ms * 1000, "testnet": False}

    return answer
