"""OKX's public REST answers. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    sum_of,
    top_of,
)

MOST_HISTORY: Final = 100
MOST_TRADES: Final = 500
MOST_LEVELS: Final = 400
LOOK_BACK: Final = 1000


def _told(rows: Sequence[Any]) -> dict[str, Any]:
    return {"code": "0", "msg": "", "data": rows}


def _refused(code: str, words: str) -> NotServed:
    return NotServed({"code": code, "msg": words, "data": []}, 200 if code.startswith("51") else 400)


def _found(question: Question) -> Product:
    symbol = question.query.get("instId", "")
    found = next((product for product, _ in question.listed if product.symbol == symbol), None)
    if found is None:
        raise _refused("51001", f"Instrument ID, Instrument ID code, or Spread ID doesn't exist: {symbol}.")
    return found


def _whole(question: Question, name: str, default: int) -> int:
    text = question.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise _refused("51000", f"Parameter {name} error")
    return int(text)


def server_time(question: Question) -> Any:
    return _told([{"ts": str(question.now_ms)}])


def instruments(question: Question) -> Any:
    kind, symbol = question.query.get("instType"), question.query.get("instId")
    if kind not in ("SPOT", "SWAP", "MARGIN", "FUTURES", "OPTION"):
        raise _refused("51000", "Parameter instType error")
    chosen = [each for each in question.listed if _kind(each.product) == kind]
    if symbol is not None:
        chosen = [each for each in chosen if each.product.symbol == symbol]
        if not chosen:
            raise _refused("51001", f"Instrument ID, Instrument ID code, or Spread ID doesn't exist: {symbol}.")
    return _told([_instrument(each) for each in chosen])


def _kind(product: Product) -> str:
    return "SPOT" if product.market == "spot" else "SWAP"


def _instrument(listed: ListedProduct) -> dict[str, Any]:
    product = listed.product
    is_swap = product.market == "perpetual"
    return {
        "instType": _kind(product),
        "instId": product.symbol,
        "uly": f"{product.asset}-{product.quote}" if is_swap else "",
        "instFamily": f"{product.asset}-{product.quote}" if is_swap else "",
        "baseCcy": "" if is_swap else product.asset,
        "quoteCcy": "" if is_swap else product.quote,
        "settleCcy": product.quote if is_swap else "",
        "ctVal": f"{product.base_a_size:g}" if is_swap else "",
        "ctMult": "1" if is_swap else "",
        "ctValCcy": product.asset if is_swap else "",
        "ctType": "linear" if is_swap else "",
        "tickSz": product.price.short(1),
        "lotSz": product.size.short(1),
        "minSz": product.size.short(1),
        "state": "live" if listed.status is None else "suspend",
        "listTime": "1611916828000",
        "expTime": "",
    }


def history(question: Question) -> Any:
    """Back from an id that is not in the answer, or from a time, newest first."""
    product = _found(question)
    market = question.market(product.symbol)
    limit = max(1, min(_whole(question, "limit", MOST_HISTORY), MOST_HISTORY))
    if "after" not in question.query:
        fills = market.newest_fills(limit)
    else:
        after = _whole(question, "after", 0)
        if question.query.get("type") == "2":
            after = market.first_fill_at(after)
        newest = market.newest_fills(1)
        after = min(after, newest[-1].id + 1) if newest else after
        fills = [fill for fill in market.fills_from(max(0, after - limit), limit) if fill.id < after]
    return _told([_trade(product, fill) for fill in reversed(fills)])


def trades(question: Question) -> Any:
    """The newest, newest first."""
    product = _found(question)
    limit = max(1, min(_whole(question, "limit", 100), MOST_TRADES))
    return _told([_trade(product, fill) for fill in reversed(question.market(product.symbol).newest_fills(limit))])


def _trade(product: Product, fill: MarketFill) -> dict[str, str]:
    return {
        "instId": product.symbol,
        "side": "sell" if fill.taker_sells else "buy",
        "sz": product.size.short(fill.lots),
        "px": product.price.short(fill.price),
        "tradeId": str(fill.id),
        "ts": str(fill.time_ms),
    }


def books(question: Question) -> Any:
    product = _found(question)
    market = question.market(product.symbol)
    depth = max(1, min(_whole(question, "sz", 1), MOST_LEVELS))
    price, size = product.price.short, product.size.short
    bids, asks = (
        [(price(ticks), size(lots), "0", "1") for ticks, lots in levels] for levels in best_levels(market.sides, depth)
    )
    return _told([{"asks": asks, "bids": bids, "ts": str(market.change.time_ms), "seqId": market.change.final_id}])


def tickers(question: Question) -> Any:
    """Of `instId`, or of all of a kind."""
    kind = question.query.get("instType", "SPOT")
    if "instId" in question.query:
        chosen = [_found(question)]
    else:
        chosen = [product for product, _ in question.listed if _kind(product) == kind]
    return _told([_ticker(question, product) for product in chosen])


def _ticker(question: Question, product: Product) -> dict[str, str]:
    market = question.market(product.symbol)
    price, size = product.price.short, product.size.short
    bid, ask = top_of(market.sides)
    rows = market.newest_fills(LOOK_BACK)
    count = rows[-1].id - market.first_fill_at(market.time_ms - 86_400_000) if rows else 0
    sizes, amounts = sum_of(rows, product)
    times = count / max(1, len(rows))
    base = product.base_a_size or 1.0
    return {
        "instType": _kind(product),
        "instId": product.symbol,
        "last": price(rows[-1].price) if rows else "",
        "askPx": price(ask[0]) if ask else "",
        "askSz": size(ask[1]) if ask else "",
        "bidPx": price(bid[0]) if bid else "",
        "bidSz": size(bid[1]) if bid else "",
        "open24h": price(market.opening_price()),
        "vol24h": f"{sizes * times:.4f}",
        "volCcy24h": f"{(amounts if product.market == 'spot' else sizes * base) * times:.4f}",
        "ts": str(market.time_ms),
    }


def mark_price(question: Question) -> Any:
    product = _found(question)
    said = question.market(product.symbol).derivatives()
    row = {"instType": "SWAP", "instId": product.symbol, "markPx": f"{said.mark_price:.2f}"}
    return _told([row | {"ts": str(question.now_ms)}])


def funding_rate(question: Question) -> Any:
    product = _found(question)
    said = question.market(product.symbol).derivatives()
    rates = {"fundingRate": f"{said.funding_rate:.10f}", "fundingTime": str(said.next_funding_ms)}
    later = {"nextFundingTime": str(said.next_funding_ms + 8 * 3_600_000), "nextFundingRate": ""}
    return _told([{"instType": "SWAP", "instId": product.symbol} | rates | later | {"ts": str(question.now_ms)}])


def open_interest(question: Question) -> Any:
    product = _found(question)
    amount = question.market(product.symbol).derivatives().open_interest
    row = {"instType": "SWAP", "instId": product.symbol, "oi": f"{amount:.2f}"}
    return _told([row | {"oiCcy": f"{amount * (product.base_a_size or 0.0):.6f}", "ts": str(question.now_ms)}])


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    "/api/v5/public/time": server_time,
    "/api/v5/public/instruments": instruments,
    "/api/v5/public/mark-price": mark_price,
    "/api/v5/public/funding-rate": funding_rate,
    "/api/v5/public/open-interest": open_interest,
    "/api/v5/market/history-trades": history,
    "/api/v5/market/trades": trades,
    "/api/v5/market/books": books,
    "/api/v5/market/ticker": tickers,
    "/api/v5/market/tickers": tickers,
}
