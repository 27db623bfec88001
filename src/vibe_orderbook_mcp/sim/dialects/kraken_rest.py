"""Kraken's public REST answers. PURE."""

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
)

TOO_MANY: Final = "EGeneral:Too many requests"
UNKNOWN_PAIR: Final = "EQuery:Unknown asset pair"
INVALID: Final = "EGeneral:Invalid arguments"
MOST_TRADES: Final = 1000
MOST_LEVELS: Final = 500


def _told(result: Any) -> dict[str, Any]:
    return {"error": [], "result": result}


def _refused(word: str) -> NotServed:
    return NotServed({"error": [word]}, 200)


def _found(question: Question) -> Product:
    pair = question.query.get("pair", "")
    for product, _ in question.listed:
        if pair in (*product.names.values(), product.symbol):
            return product
    raise _refused(UNKNOWN_PAIR)


def _whole(question: Question, name: str, default: int) -> int:
    text = question.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise _refused(f"{INVALID}:{name}")
    return int(text)


def server_time(question: Question) -> Any:
    seconds = question.now_ms // 1000
    return _told({"unixtime": seconds, "rfc1123": rfc3339(seconds * 1000)})


def system_status(question: Question) -> Any:
    return _told({"status": "online", "timestamp": rfc3339(question.now_ms)[:19] + "Z"})


def asset_pairs(question: Question) -> Any:
    """All of them, or those that `pair` names. One that is asked for by the name of websocket v2 is answered by it."""
    wanted = [name for name in question.query.get("pair", "").split(",") if name]
    found = {}
    for each in question.listed:
        product = each.product
        if not wanted or {*wanted} & {*product.names.values()}:
            found[product.names["key"]] = _pair(each)
        elif product.symbol in wanted:
            found[product.symbol] = _pair(each)
    if len(found) < len(wanted):
        raise _refused(UNKNOWN_PAIR)
    return _told(found)


def _pair(listed: ListedProduct) -> dict[str, Any]:
    product = listed.product
    return {
        "altname": product.names["altname"],
        "wsname": product.names["wsname"],
        "aclass_base": "currency",
        "base": product.names["base"],
        "aclass_quote": "currency",
        "quote": "ZUSD",
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": product.price.exp,
        "lot_decimals": product.size.exp,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.0001",
        "costmin": "0.5",
        "tick_size": product.price.text(1),
        "status": "online" if listed.status is None else "cancel_only",
        "execution_venue": "international",
    }


def assets(question: Question) -> Any:
    found = {}
    for product, _ in question.listed:
        short = product.names["wsname"].partition("/")[0]
        found[product.names["base"]] = {"aclass": "currency", "altname": short, "decimals": 10, "display_decimals": 5}
    found["ZUSD"] = {"aclass": "currency", "altname": "USD", "decimals": 4, "display_decimals": 2}
    return _told({name: entry | {"status": "enabled"} for name, entry in found.items()})


def trades(question: Question) -> Any:
    """Those after `since` (ns), ascending; without it the newest. `last` is where the next page begins."""
    product = _found(question)
    count = min(MOST_TRADES, max(1, _whole(question, "count", MOST_TRADES)))
    market = question.market(product.symbol)
    if "since" not in question.query:
        fills = market.newest_fills(count)
    else:
        since_ns = _whole(question, "since", 0)
        found = market.fills_from(market.first_fill_at(since_ns // 1_000_000), count + MOST_TRADES)
        fills = [fill for fill in found if _ns(fill) > since_ns][:count]
    rows = [_row(product, fill) for fill in fills]
    last = str(_ns(fills[-1])) if fills else question.query.get("since", str(question.now_ms * 1_000_000))
    return _told({product.names["key"]: rows, "last": last})


def _ns(fill: MarketFill) -> int:
    return fill.time_ms * 1_000_000 + fill.rank * 1000


def _row(product: Product, fill: MarketFill) -> list[Any]:
    """Price, size, seconds, side, kind of the taker's order, nothing, id."""
    seconds, micros = divmod(_ns(fill) // 1000, 1_000_000)
    price, size = product.price.text(fill.price), product.size.text(fill.lots)
    return [price, size, seconds + micros / 1e6, "s" if fill.taker_sells else "b", "m", "", fill.id]


def depth(question: Question) -> Any:
    product = _found(question)
    count = min(MOST_LEVELS, max(1, _whole(question, "count", 100)))
    market = question.market(product.symbol)
    seconds = market.change.time_ms // 1000
    bids, asks = (
        [[product.price.text(ticks), product.size.text(lots), seconds] for ticks, lots in levels]
        for levels in best_levels(market.sides, count)
    )
    return _told({product.names["key"]: {"asks": asks, "bids": bids}})


def ticker(question: Question) -> Any:
    product = _found(question)
    market = question.market(product.symbol)
    bids, asks = best_levels(market.sides, 1)
    price, size = product.price.text, product.size.text
    newest = market.newest_fills(1)
    last = [price(newest[-1].price), size(newest[-1].lots)] if newest else ["0", "0"]
    return _told(
        {
            product.names["key"]: {
                "a": [price(asks[0][0]), "1", size(asks[0][1])] if asks else ["0", "0", "0"],
                "b": [price(bids[0][0]), "1", size(bids[0][1])] if bids else ["0", "0", "0"],
                "c": last,
                "o": price(market.opening_price()),
            }
        }
    )


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    f"/0/public/{name}": endpoint
    for name, endpoint in (
        ("Time", server_time),
        ("SystemStatus", system_status),
        ("Assets", assets),
        ("AssetPairs", asset_pairs),
        ("Trades", trades),
        ("Depth", depth),
        ("Ticker", ticker),
    )
}
