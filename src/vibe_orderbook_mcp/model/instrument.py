"""An instrument and the venue that lists it. Pure.

A venue's own messages know symbols alone. Everywhere else an instrument goes by its name, which has the venue in it:
two venues list a `BTCUSDT`.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

# What is traded. The venue's list says it.
MarketKind = Literal["spot", "perpetual", "future"]

DEFAULT_VENUE: Final = "binance"

# Every venue that has a name here, and what it is called in a sentence.
VENUES: Final[dict[str, str]] = {
    "binance": "Binance spot",
    "binance-us": "Binance.US spot",
    "binance-usdm": "Binance USD-M futures",
    "binance-coinm": "Binance COIN-M futures",
    "kraken": "Kraken spot",
    "coinbase": "Coinbase spot",
    "okx": "OKX",
    "bybit": "Bybit spot",
    "bybit-linear": "Bybit linear perpetuals",
    "hyperliquid": "Hyperliquid perpetuals",
    "deribit": "Deribit perpetuals",
    "kucoin": "KuCoin",
    "gateio": "Gate",
    "kraken-futures": "Kraken futures",
    "bitfinex": "Bitfinex",
    "bitstamp": "Bitstamp",
    "bitget": "Bitget",
    "htx": "HTX",
    "mexc": "MEXC",
    "gemini": "Gemini",
}
# Those whose books are kept: `collect.adapters` has as many.
KEPT_VENUES: Final = frozenset({DEFAULT_VENUE, "binance-us", "binance-usdm", "bybit", "bybit-linear", "kraken", "okx"})


class Instrument(msgspec.Struct, frozen=True, order=True):
    """`symbol` is the venue's own spelling, `venue` one of `VENUES`."""

    venue: str
    symbol: str

    @property
    def name(self) -> str:
        """What to ask with, and what logs, answers and metrics call it: `BTCUSDT`, `kraken:BTC/USD`.

        The default venue is left out where nothing is lost by it.
        """
        is_bare = self.venue == DEFAULT_VENUE and ":" not in self.symbol
        return self.symbol if is_bare else f"{self.venue}:{self.symbol}"

    @classmethod
    def of(cls, name: str) -> Instrument:
        """The instrument of a name that `name` has made. Of what people write see `model.naming`."""
        venue, colon, symbol = name.partition(":")
        return cls(venue, symbol) if colon and venue in VENUES else cls(DEFAULT_VENUE, name)

    def __str__(self) -> str:
        return self.name


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """How the books and trades of a venue are known to be right.

    `book_levels` is how many levels a side the proof covers; None: all. `refill`: trades that are missing can be
    fetched by id.
    """

    book: Literal["update_ids", "checksum", "connection_sequence", "snapshots_only", "none"]
    book_levels: int | None = None
    trades: Literal["consecutive_ids", "unproven"]
    refill: bool


UNPROVEN: Final = Proof(book="none", trades="unproven", refill=False)
