"""Every venue whose recordings can be verified. Another one is a module with its `VenueRules`, and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vibe_orderbook_mcp.verify.binance_futures import BinanceFuturesRules
from vibe_orderbook_mcp.verify.binance_spot import BinanceSpotRules
from vibe_orderbook_mcp.verify.bybit import BybitRules
from vibe_orderbook_mcp.verify.coinbase import CoinbaseRules
from vibe_orderbook_mcp.verify.deribit import DeribitRules
from vibe_orderbook_mcp.verify.gateio import GateRules
from vibe_orderbook_mcp.verify.hyperliquid import HyperliquidRules
from vibe_orderbook_mcp.verify.kraken import KrakenRules
from vibe_orderbook_mcp.verify.kraken_futures import KrakenFuturesRules
from vibe_orderbook_mcp.verify.kucoin import KucoinRules
from vibe_orderbook_mcp.verify.okx import OkxRules
from vibe_orderbook_mcp.verify.parts import VenueRules

RULES: Final[dict[str, Callable[[], VenueRules]]] = {
    "binance": BinanceSpotRules,
    "binance-us": lambda: BinanceSpotRules("binance-us"),
    "binance-usdm": BinanceFuturesRules,
    "binance-coinm": lambda: BinanceFuturesRules("binance-coinm"),
    "kraken": KrakenRules,
    "coinbase": CoinbaseRules,
    "okx": OkxRules,
    "bybit": BybitRules,
    "bybit-linear": lambda: BybitRules("bybit-linear"),
    "hyperliquid": HyperliquidRules,
    "deribit": DeribitRules,
    "kucoin": KucoinRules,
    "gateio": GateRules,
    "kraken-futures": KrakenFuturesRules,
}
