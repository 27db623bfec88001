"""Bybit's public REST answers. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal

from vibe_orderbook_mcp.sim.dialects.contract import (
    Endpoint,
    ListedProduct,
    NotServed,
    Product,
    Question,
)
from vibe_orderbook_mcp.sim.dialects.wording import (
    best_levels,
    sum_of,
    top_of,
)

Category = Literal["spot", "linear"]

MOST_TRADES: Final = {"spot": 60, "linear": 1000}
MOST_LEVELS: Final = {"spot": 200, "linear": 500}
LOOK_BACK: Final = 1000


def execution_id(fill_id: int, *, has_uuids: bool) -> str:
    """Of a trade: nothing in it says which one is next."""
    if not has_uuids:
        return str(2_290_000_000_000_000_000 + fill_id * 7)
    digits = f"{fill_id * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _told(question: Question, result: Any) -> dict[str, Any]:
    return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": question.now_ms}


def _refused(question: Question, words: str) -> NotServed:
    body = {"retCode": 10001, "retMsg": words, "result": {}, "retExtInfo": {}, "time": question.now_ms}
    return NotServed(body, 200)


def _check(category: Category, question: Question) -> None:
    if question.query.get("category") != category:
        raise _refused(question, f"params error: category only support {category} here")


def _found(category: Category, question: Question) -> Product:
    _check(category, question)
    symbol = question.query.get("symbol", "")
    found = next((product for product, _ in question.listed if product.symbol == symbol), None)
    if found is None:
        raise _refused(question, "Not supported symbols")
    return found


def _limit(question: Question, default: int, most: int) -> int:
    text = question.query.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _refused(question, "params error: limit")
    return max(1, min(int(text), most))


def server_time(question: Question) -> Any:
    seconds = question.now_ms // 1000
    return _told(question, {"timeSecond": str(seconds), "timeNano": str(question.now_ms * 1_000_000)})


def instruments(category: Category, question: Question) -> Any:
    _check(category, question)
    symbol = question.query.get("symbol")
    chosen = [each for each in question.listed if symbol in (None, each.product.symbol)]
    if not chosen:
        raise _refused(question, "symbol invalid")
    rows = [_instrument(category, each) for each in chosen]
    return _told(question, {"category": category, "list": rows, "nextPageCursor": ""})


def _instrument(category: Category, listed: ListedProduct) -> dict[str, Any]:
    product = listed.product
    row: dict[str, Any] = {
        "symbol": product.symbol,
        "baseCoin": product.asset,
        "quoteCoin": product.quote,
        "status": "Trading" if listed.status is None else "PreLaunch",
    }
    tick, step = product.price.text(1), product.size.text(1)
    if category == "spot":
        sizes = {"basePrecision": step, "quotePrecision": "0.0000001", "minOrderQty": step, "maxOrderQty": "8000"}
        return row | {"innovation": "0", "lotSizeFilter": sizes, "priceFilter": {"tickSize": tick}}
    sizes = {"qtyStep": step, "minOrderQty": step, "maxOrderQty": "1190.000"}
    return row | {
        "contractType": "LinearPerpetual",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "priceScale": str(product.price.exp),
        "settleCoin": product.quote,
        "fundingInterval": 480,
        "priceFilter": {"minPrice": tick, "maxPrice": "1999999.80", "tickSize": tick},
        "lotSizeFilter": sizes,
    }


def recent_trades(category: Category, question: Question) -> Any:
    """Newest first; there is no way further back."""
    product = _found(category, question)
    market = question.market(product.symbol)
    fills = market.newest_fills(_limit(question, 60 if category == "spot" else 500, MOST_TRADES[category]))
    rows = [
        {
            "execId": execution_id(fill.id, has_uuids=category != "spot"),
            "symbol": product.symbol,
            "price": product.price.text(fill.price),
            "size": product.size.short(fill.lots),
            "side": "Sell" if fill.taker_sells else "Buy",
            "time": str(fill.time_ms),
            "isBlockTrade": False,
            "isRPITrade": False,
        }
        for fill in reversed(fills)
    ]
    return _told(question, {"category": category, "list": rows})


def book(category: Category, question: Question) -> Any:
    product = _found(category, question)
    market = question.market(product.symbol)
    depth = _limit(question, 1 if category == "spot" else 25, MOST_LEVELS[category])
    bids, asks = (
        [(product.price.text(ticks), product.size.text(lots)) for ticks, lots in levels]
        for levels in best_levels(market.sides, depth)
    )
    ids = {"ts": market.change.time_ms, "u": market.change.number + 1000, "seq": market.change.final_id}
    return _told(question, {"s": product.symbol, "b": bids, "a": asks} | ids | {"cts": market.change.time_ms})


def tickers(category: Category, question: Question) -> Any:
    _check(category, question)
    chosen = [product for product, _ in question.listed]
    if "symbol" in question.query:
        chosen = [_found(category, question)]
    return _told(question, {"category": category, "list": [_ticker(question, product) for product in chosen]})


def _ticker(question: Question, product: Product) -> dict[str, str]:
    market = question.market(product.symbol)
    price, size = product.price.text, product.size.short
    bid, ask = top_of(market.sides)
    rows = market.newest_fills(LOOK_BACK)
    count = rows[-1].id - market.first_fill_at(market.time_ms - 86_400_000) if rows else 0
    sizes, amounts = sum_of(rows, product)
    times = count / max(1, len(rows))
    row = {
        "symbol": product.symbol,
        "bid1Price": price(bid[0]) if bid else "",
        "bid1Size": size(bid[1]) if bid else "",
        "ask1Price": price(ask[0]) if ask else "",
        "ask1Size": size(ask[1]) if ask else "",
        "lastPrice": price(rows[-1].price) if rows else "",
        "prevPrice24h": price(market.opening_price()),
        "volume24h": f"{sizes * times:.4f}",
        "turnover24h": f"{amounts * times:.4f}",
    }
    if product.market == "spot":
        return row
    said = market.derivatives()
    return row | {
        "markPrice": f"{said.mark_price:.{product.price.exp}f}",
        "indexPrice": f"{said.index_price:.{product.price.exp}f}",
        "openInterest": size(product.size.units(said.open_interest)),
        "openInterestValue": f"{said.open_interest * said.mark_price:.2f}",
        "fundingRate": f"{said.funding_rate:.8f}",
        "nextFundingTime": str(said.next_funding_ms),
        "fundingIntervalHour": "8",
    }


def endpoints_of(category: Category) -> Mapping[str, Endpoint]:
    return {
        "/v5/market/time": server_time,
        "/v5/market/instruments-info": partial(instruments, category),
        "/v5/market/recent-trade": partial(recent_trades, category),
        "/v5/market/orderbook": partial(book, category),
        "/v5/market/tickers": partial(tickers, category),
    }
