"""Hyperliquid's levels, trades and figures, and its one path for questions. PURE."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from vibe_orderbook_mcp.sim.dialects.contract import (
    MarketFill,
    MarketView,
    NotServed,
    Product,
    Question,
    Units,
)
from vibe_orderbook_mcp.sim.dialects.wording import (
    best_levels,
    sum_of,
    top_of,
)

LEVELS: Final = 20
OLD_TRADES: Final = 10
LOOK_BACK: Final = 1000
_MIX: Final = 0x9E3779B97F4A7C15


def level_of(product: Product, row: tuple[int, int]) -> dict[str, Any]:
    price = product.price.text(row[0]) + ("" if product.price.exp else ".0")
    return {"px": price, "sz": product.size.short(row[1]), "n": 1 + row[1] % 7}


def book_of(market: MarketView) -> dict[str, Any]:
    levels: Sequence[Units] = best_levels(market.sides, LEVELS)
    rows = [[level_of(market.product, row) for row in side] for side in levels]
    return {"coin": market.product.symbol, "time": market.change.time_ms, "levels": rows}


def trade_of(product: Product, fill: MarketFill) -> dict[str, Any]:
    return {
        "coin": product.symbol,
        "side": "A" if fill.taker_sells else "B",
        "px": level_of(product, (fill.price, 0))["px"],
        "sz": product.size.short(fill.lots),
        "time": fill.time_ms,
        "hash": f"0x{0 if fill.id % 5 == 0 else fill.id * _MIX:064x}",
        "tid": fill.id * _MIX % 2**50,  # in no order
        "users": ["0x" + "0" * 40, "0x" + "0" * 39 + "1"],
    }


def figures_of(market: MarketView) -> dict[str, str]:
    said, product = market.derivatives(), market.product
    rows = market.newest_fills(LOOK_BACK)
    count = rows[-1].id - market.first_fill_at(market.time_ms - 86_400_000) if rows else 0
    _, amounts = sum_of(rows, product)
    return {
        "funding": f"{said.funding_rate / 8.0:.10f}",  # of an hour
        "openInterest": product.size.short(product.size.units(said.open_interest)),
        "prevDayPx": product.price.text(market.opening_price()),
        "dayNtlVlm": f"{amounts * count / max(1, len(rows)):.4f}",
        "oraclePx": f"{said.index_price:.2f}",
        "markPx": f"{said.mark_price:.2f}",
    }


def request_of(body: bytes) -> dict[str, Any]:
    """What is asked for stands in the body."""
    try:
        request = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return {}
    return request if isinstance(request, dict) else {}


def info(question: Question) -> Any:
    """The only path. Some questions are about everything, others about one coin."""
    request = request_of(question.body)
    kind, coin = str(request.get("type")), request.get("coin")
    if (general := _GENERAL.get(kind)) is not None:
        return general(question)
    if coin not in [product.symbol for product, _ in question.listed]:
        raise NotServed(None, 500)
    market = question.market(str(coin))
    if kind == "l2Book":
        return book_of(market)
    if kind == "recentTrades":
        return [trade_of(market.product, fill) for fill in reversed(market.newest_fills(OLD_TRADES))]
    raise NotServed("Failed to deserialize the JSON body into the target type", 422)


def _meta(question: Question) -> dict[str, Any]:
    universe = [
        {"name": product.symbol, "szDecimals": product.size.exp, "maxLeverage": 40}
        | ({} if status is None else {"isDelisted": True})
        for product, status in question.listed
    ]
    return {"universe": universe}


def _contexts(question: Question) -> list[Any]:
    return [_meta(question), [figures_of(question.market(product.symbol)) for product, _ in question.listed]]


def _mids(question: Question) -> dict[str, str]:
    return {product.symbol: f"{_mid(question, product):g}" for product, _ in question.listed}


def _mid(question: Question, product: Product) -> float:
    prices = [product.price.number(row[0]) for row in top_of(question.market(product.symbol).sides) if row is not None]
    return sum(prices) / len(prices) if prices else 0.0


_GENERAL: Final[Mapping[str, Callable[[Question], Any]]] = {
    "meta": _meta,
    "metaAndAssetCtxs": _contexts,
    "allMids": _mids,
    "perpDexs": lambda _question: [None],  # the first one has no name
    "spotMeta": lambda _question: {"tokens": [], "universe": []},
    "spotMetaAndAssetCtxs": lambda _question: [{"tokens": [], "universe": []}, []],
}
