"""REST answers of Binance's futures and of Binance.US. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

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
    sum_of,
    top_of,
)

Family = Literal["usdm", "coinm", "us"]

MOST_TRADES: Final = 1000
MOST_LEVELS: Final = {"usdm": 1000, "coinm": 1000, "us": 5000}
BASE: Final = {"usdm": "/fapi/v1", "coinm": "/dapi/v1", "us": "/api/v3"}
OPEN_MS: Final = 1_569_398_400_000
LAST_MS: Final = 4_133_404_800_000
DAY_MS: Final = 86_400_000


class FamilyRest:
    def __init__(self, family: Family, ids_a_step: int) -> None:
        self._family = family
        self._step = ids_a_step

    def ping(self, question: Question) -> Any:
        return {}

    def time(self, question: Question) -> Any:
        return {"serverTime": question.now_ms}

    def exchange_info(self, question: Question) -> Any:
        wanted = question.query.get("symbol")
        chosen = [each for each in question.listed if wanted in (None, each.product.symbol)]
        if wanted is not None and not chosen:
            raise _invalid_symbol()
        limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}]
        return {
            "timezone": "UTC",
            "serverTime": question.now_ms,
            "rateLimits": limits,
            "exchangeFilters": [],
            "symbols": [self._symbol(each) for each in chosen],
        }

    def _symbol(self, listed: ListedProduct) -> dict[str, Any]:
        product, status = listed.product, listed.status or "TRADING"
        body: dict[str, Any] = {"symbol": product.symbol, "baseAsset": product.asset, "quoteAsset": product.quote}
        body |= {"filters": _filters(product), "orderTypes": ["LIMIT", "MARKET"]}
        if self._family == "us":
            places = {"baseAssetPrecision": 8, "quotePrecision": 8, "quoteAssetPrecision": 8}
            return body | places | {"status": status, "isSpotTradingAllowed": True, "permissions": ["SPOT"]}
        body |= {
            "pair": product.names.get("pair", product.symbol),
            "contractType": "PERPETUAL",
            "deliveryDate": LAST_MS,
            "onboardDate": OPEN_MS,
            "marginAsset": product.asset if self._family == "coinm" else product.quote,
            "pricePrecision": product.price.exp,
            "quantityPrecision": product.size.exp,
            "baseAssetPrecision": 8,
            "quotePrecision": 8,
            "underlyingType": "COIN",
            "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        }
        if self._family == "coinm":
            return body | {"contractStatus": status, "contractSize": round(product.quote_a_size)}
        return body | {"status": status}

    def depth(self, question: Question) -> Any:
        """Its id may lie within a frame that is to come."""
        product = _found(question)
        market = question.market(product.symbol)
        limit = min(_whole(question, "limit", 100 if self._family == "us" else 500), MOST_LEVELS[self._family])
        update_id, sides = market.unpublished()
        bids, asks = (
            [(product.price.text(ticks), product.size.text(lots)) for ticks, lots in levels]
            for levels in best_levels(sides, limit)
        )
        body: dict[str, Any] = {"lastUpdateId": update_id * self._step}
        if self._family != "us":
            body |= {"E": question.now_ms, "T": question.now_ms - 2}
        return body | {"bids": bids, "asks": asks}

    def aggregates(self, question: Question) -> Any:
        product = _found(question)
        return [
            {
                "a": fill.id,
                "p": product.price.text(fill.price),
                "q": product.size.text(fill.lots),
                "f": fill.id,
                "l": fill.id,
                "T": fill.time_ms,
                "m": fill.taker_sells,
            }
            for fill in _fills(question, question.market(product.symbol))
        ]

    def trades(self, question: Question) -> Any:
        product = _found(question)
        fills = _fills(question, question.market(product.symbol))
        return [self._trade(product, fill) for fill in fills]

    def _trade(self, product: Product, fill: MarketFill) -> dict[str, Any]:
        price, size = product.price.text(fill.price), product.size.text(fill.lots)
        _, amount = sum_of([fill], product)
        body = {"id": fill.id, "price": price, "qty": size}
        body |= {"baseQty" if self._family == "coinm" else "quoteQty": f"{amount:.8f}"}
        return body | {"time": fill.time_ms, "isBuyerMaker": fill.taker_sells}

    def day(self, question: Question) -> Any:
        return self._each(question, self._day)

    def _day(self, product: Product, market: MarketView) -> dict[str, Any]:
        rows = market.newest_fills(MOST_TRADES)
        sizes, amounts = sum_of(rows, product)
        price = product.price.text
        last, opening = (rows[-1].price if rows else 0), market.opening_price()
        count = rows[-1].id - market.first_fill_at(market.time_ms - DAY_MS) if rows else 0
        times = count / max(1, len(rows))
        return {
            "symbol": product.symbol,
            "lastPrice": price(last),
            "openPrice": price(opening),
            "priceChangePercent": f"{100 * (last - opening) / opening:.3f}",
            "volume": f"{sizes * times:.3f}",
            ("baseVolume" if self._family == "coinm" else "quoteVolume"): f"{amounts * times:.3f}",
            "closeTime": market.time_ms,
            "count": count,
        }

    def best(self, question: Question) -> Any:
        return self._each(question, self._best)

    def _best(self, product: Product, market: MarketView) -> dict[str, Any]:
        bid, ask = top_of(market.sides)
        price, size = product.price.text, product.size.text
        return {
            "symbol": product.symbol,
            "bidPrice": price(bid[0]) if bid else "0",
            "bidQty": size(bid[1]) if bid else "0",
            "askPrice": price(ask[0]) if ask else "0",
            "askQty": size(ask[1]) if ask else "0",
            "lastUpdateId": market.change.final_id * self._step,
            "time": market.change.time_ms,
        }

    def premium(self, question: Question) -> Any:
        return self._each(question, self._premium)

    def _premium(self, product: Product, market: MarketView) -> dict[str, Any]:
        said = market.derivatives()
        return {
            "symbol": product.symbol,
            "markPrice": f"{said.mark_price:.8f}",
            "indexPrice": f"{said.index_price:.8f}",
            "estimatedSettlePrice": f"{said.index_price:.8f}",
            "lastFundingRate": f"{said.funding_rate:.8f}",
            "interestRate": "0.00010000",
            "nextFundingTime": said.next_funding_ms,
            "time": market.time_ms,
        }

    def open_interest(self, question: Question) -> Any:
        product = _found(question)
        market = question.market(product.symbol)
        amount = product.size.text(product.size.units(market.derivatives().open_interest))
        return {"symbol": product.symbol, "openInterest": amount, "time": market.time_ms}

    def funding_info(self, question: Question) -> Any:
        return [
            {"symbol": product.symbol, "adjustedFundingRateCap": "0.02", "fundingIntervalHours": 8}
            for product, _ in question.listed
        ]

    def _each(self, question: Question, answer: Any) -> Any:
        """One object for `symbol`, else a list; COIN-M answers with a list always."""
        chosen = [_found(question)] if "symbol" in question.query else [product for product, _ in question.listed]
        answers = [answer(product, question.market(product.symbol)) for product in chosen]
        return answers[0] if "symbol" in question.query and self._family != "coinm" else answers


def _invalid_symbol() -> NotServed:
    return NotServed({"code": -1121, "msg": "Invalid symbol."})


def _found(question: Question) -> Product:
    symbol = question.query.get("symbol")
    if not symbol:
        raise NotServed(
            {"code": -1102, "msg": "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."}
        )
    found = next((product for product, _ in question.listed if product.symbol == symbol), None)
    if found is None:
        raise _invalid_symbol()
    return found


def _whole(question: Question, name: str, default: int) -> int:
    text = question.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise NotServed({"code": -1100, "msg": f"Illegal characters found in parameter '{name}'."})
    return int(text)


def _fills(question: Question, market: MarketView) -> Sequence[MarketFill]:
    """From an id, from a time, or the newest."""
    limit = max(1, min(_whole(question, "limit", 500), MOST_TRADES))
    if "fromId" in question.query:
        return market.fills_from(_whole(question, "fromId", 0), limit)
    if "startTime" not in question.query:
        return market.newest_fills(limit)
    end_ms = _whole(question, "endTime", LAST_MS)
    fills = market.fills_from(market.first_fill_at(_whole(question, "startTime", 0)), limit)
    return [fill for fill in fills if fill.time_ms <= end_ms]


def _filters(product: Product) -> list[dict[str, Any]]:
    tick, step = product.price.text(1), product.size.text(1)
    sizes = {"minQty": step, "maxQty": "1000000", "stepSize": step}
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "10000000", "tickSize": tick},
        {"filterType": "LOT_SIZE"} | sizes,
        {"filterType": "MARKET_LOT_SIZE"} | sizes,
    ]


def endpoints_of(family: Family, ids_a_step: int) -> Mapping[str, Endpoint]:
    rest = FamilyRest(family, ids_a_step)
    found: dict[str, Endpoint] = {
        "ping": rest.ping,
        "time": rest.time,
        "exchangeInfo": rest.exchange_info,
        "depth": rest.depth,
        "aggTrades": rest.aggregates,
        "trades": rest.trades,
        "historicalTrades": rest.trades,
        "ticker/24hr": rest.day,
        "ticker/bookTicker": rest.best,
    }
    if family != "us":
        found |= {"premiumIndex": rest.premium, "openInterest": rest.open_interest, "fundingInfo": rest.funding_info}
    return {f"{BASE[family]}/{name}": endpoint for name, endpoint in found.items()}
