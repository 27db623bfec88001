"""Coinbase Advanced Trade's public REST answers. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vibe_orderbook_mcp.sim.dialects.contract import (
    Endpoint,
    ListedProduct,
    MarketFill,
    NotServed,
    Product,
    Question,
)
from vibe_orderbook_mcp.sim.dialects.wording import (
    best_levels,
    rfc3339,
    top_of,
)

BASE: Final = "/api/v3/brokerage"
MOST_TRADES: Final = 1000


def trade_row(product: Product, fill: MarketFill) -> dict[str, str]:
    """`side` is the maker's."""
    return {
        "trade_id": str(fill.id),
        "product_id": product.symbol,
        "price": product.price.text(fill.price),
        "size": product.size.short(fill.lots),
        "time": rfc3339(fill.time_ms, fill.rank),
        "side": "BUY" if fill.taker_sells else "SELL",
    }


def _found(question: Question) -> ListedProduct:
    symbol = question.query.get("product_id", "")
    found = next((each for each in question.listed if each.product.symbol == symbol), None)
    if found is None:
        words = "valid product_id is required"
        raise NotServed({"error": "NOT_FOUND", "error_details": words, "message": words}, 404)
    return found


def _whole(question: Question, name: str, default: int) -> int:
    text = question.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise NotServed({"error": "INVALID_ARGUMENT", "error_details": name, "message": name})
    return int(text)


def server_time(question: Question) -> Any:
    seconds, millis = question.now_ms // 1000, question.now_ms
    return {"iso": rfc3339(millis)[:19] + "Z", "epochSeconds": str(seconds), "epochMillis": str(millis)}


def products(question: Question) -> Any:
    rows = [_row(each) for each in question.listed]
    return {"products": rows, "num_products": len(rows)}


def product(question: Question) -> Any:
    return _row(_found(question))


def _row(listed: ListedProduct) -> dict[str, Any]:
    each = listed.product
    return {
        "product_id": each.symbol,
        "base_increment": each.size.text(1),
        "quote_increment": each.price.text(1),
        "price_increment": each.price.text(1),
        "base_min_size": each.size.text(1),
        "base_max_size": "3400",
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_name": each.asset,
        "quote_name": "US Dollar",
        "base_currency_id": each.asset,
        "quote_currency_id": each.quote,
        "base_display_symbol": each.asset,
        "quote_display_symbol": each.quote,
        "product_type": "SPOT",
        "status": "online" if listed.status is None else "offline",
        "trading_disabled": listed.status is not None,
        "is_disabled": False,
        "new": False,
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "auction_mode": False,
        "view_only": False,
        "alias": "",
        "alias_to": [],
    }


def ticker(question: Question) -> Any:
    """Trades, newest first: the newest, or those of `start` to `end` in seconds."""
    product, _ = _found(question)
    market = question.market(product.symbol)
    limit = max(1, min(_whole(question, "limit", 100), MOST_TRADES))
    if "start" not in question.query and "end" not in question.query:
        fills = market.newest_fills(limit)
    else:
        first = market.first_fill_at(_whole(question, "start", 0) * 1000)
        end = market.first_fill_at(_whole(question, "end", question.now_ms // 1000 + 1) * 1000)
        begin = max(first, end - limit)
        fills = market.fills_from(begin, end - begin) if end > begin else []
    bid, ask = top_of(market.sides)
    return {
        "trades": [trade_row(product, fill) for fill in reversed(fills)],
        "best_bid": product.price.text(bid[0]) if bid else "",
        "best_ask": product.price.text(ask[0]) if ask else "",
    }


def product_book(question: Question) -> Any:
    product, _ = _found(question)
    market = question.market(product.symbol)
    price, size = product.price.text, product.size.short
    bids, asks = (
        [{"price": price(ticks), "size": size(lots)} for ticks, lots in levels]
        for levels in best_levels(market.sides, _whole(question, "limit", 0) or None)
    )
    time = rfc3339(market.change.time_ms)
    return {"pricebook": {"product_id": product.symbol, "bids": bids, "asks": asks, "time": time}}


def currencies(question: Question) -> Any:
    names = dict.fromkeys(name for product, _ in question.listed for name in (product.asset, product.quote))
    return {"data": [{"id": name, "code": name, "name": name, "min_size": "0.00000001"} for name in names]}


def rates(question: Question) -> Any:
    return {"data": {"currency": "USD", "rates": {"USD": "1.0"}}}


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    f"{BASE}/time": server_time,
    f"{BASE}/market/products": products,
    f"{BASE}/market/products/{{product_id}}": product,
    f"{BASE}/market/products/{{product_id}}/ticker": ticker,
    f"{BASE}/market/product_book": product_book,
    "/v2/currencies": currencies,
    "/v2/currencies/crypto": currencies,
    "/v2/exchange-rates": rates,
}
