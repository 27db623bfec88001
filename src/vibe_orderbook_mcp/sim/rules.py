"""What a simulated symbol is: its grid, its filters, and the exchange's own words for both. PURE."""

from __future__ import annotations

from typing import Any

import msgspec

PLACES = 8  # the exchange prints every price and size of a spot symbol with eight places


class Grid(msgspec.Struct, frozen=True):
    """Integers of 10^-exp, printed with eight places."""

    exp: int

    def text(self, units: int) -> str:
        if not self.exp:
            return f"{units}.00000000"
        whole, part = divmod(units, 10**self.exp)
        return f"{whole}.{part:0{self.exp}d}{'0' * (PLACES - self.exp)}"

    def units(self, text: str) -> int:
        if (
            text[-9:-8] == "." and self.exp <= PLACES
        ):  # eight places, as nearly always: recordings are made of millions of these
            return int(text[:-9] + text[-8:]) // int(10 ** (PLACES - self.exp))
        whole, _, part = text.partition(".")
        return int(whole + part[: self.exp].ljust(self.exp, "0"))


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol as `exchangeInfo` tells it. Sizes are in the exchange's text, e.g. max_price "1000000.00000000"."""

    symbol: str
    base: str
    quote: str
    price: Grid
    size: Grid
    max_price: str
    max_size: str
    min_notional: str = "5.00000000"
    status: str = "TRADING"

    def listing(self) -> dict[str, Any]:
        """The symbol's entry in `exchangeInfo`, with every field the exchange documents."""
        return {
            "symbol": self.symbol,
            "status": self.status,
            "baseAsset": self.base,
            "baseAssetPrecision": PLACES,
            "quoteAsset": self.quote,
            "quotePrecision": PLACES,
            "quoteAssetPrecision": PLACES,
            "baseCommissionPrecision": PLACES,
            "quoteCommissionPrecision": PLACES,
            "orderTypes": [
                "LIMIT",
                "LIMIT_MAKER",
                "MARKET",
                "STOP_LOSS",
                "STOP_LOSS_LIMIT",
                "TAKE_PROFIT",
                "TAKE_PROFIT_LIMIT",
            ],
            "icebergAllowed": True,
            "ocoAllowed": True,
            "otoAllowed": True,
            "opoAllowed": True,
            "quoteOrderQtyMarketAllowed": True,
            "allowTrailingStop": True,
            "cancelReplaceAllowed": True,
            "amendAllowed": True,
            "pegInstructionsAllowed": True,
            "isSpotTradingAllowed": True,
            "isMarginTradingAllowed": False,
            "filters": self.filters(),
            "permissions": [],
            "permissionSets": [["SPOT"]],
            "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
            "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT"],
        }

    def filters(self) -> list[dict[str, Any]]:
        tick, step = self.price.text(1), self.size.text(1)
        return [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": self.max_price, "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": step, "maxQty": self.max_size, "stepSize": step},
            {"filterType": "ICEBERG_PARTS", "limit": 100},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": "0.00000000",
                "maxQty": self.max_size,
                "stepSize": "0.00000000",
            },
            {
                "filterType": "TRAILING_DELTA",
                "minTrailingAboveDelta": 10,
                "maxTrailingAboveDelta": 2000,
                "minTrailingBelowDelta": 10,
                "maxTrailingBelowDelta": 2000,
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "5",
                "bidMultiplierDown": "0.2",
                "askMultiplierUp": "5",
                "askMultiplierDown": "0.2",
                "avgPriceMins": 5,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": self.min_notional,
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ]


RATE_LIMITS: list[dict[str, Any]] = [
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000},
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 100},
    {"rateLimitType": "ORDERS", "interval": "DAY", "intervalNum": 1, "limit": 200000},
    {"rateLimitType": "RAW_REQUESTS", "interval": "MINUTE", "intervalNum": 5, "limit": 61000},
]
