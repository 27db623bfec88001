"""What a recording says of its symbols, when nobody recorded what the exchange says. PURE."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.recordings import Record
from vibe_orderbook_mcp.sim.rules import PLACES, Grid, Rules
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, Depth, DepthEvent, TradeFill

QUOTES: Final = (
    *("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USDS", "IDRT", "BIDR", "BVND"),
    *("DAI", "USD", "EUR", "GBP", "AUD", "TRY", "BRL", "RUB", "UAH", "ZAR", "PLN", "JPY", "ARS", "MXN", "COP", "NGN"),
    *("BTC", "ETH", "BNB", "TRX", "XRP", "DOT", "DOGE"),
)
PRICE_DIGITS: Final = 15  # what a double carries exactly
SIZE_DIGITS: Final = 12  # leaves a level room for a thousand of the largest orders
_DECIMAL: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)


class _Seen:
    """The finest decimals and the largest numbers of one kind."""

    def __init__(self) -> None:
        self.exp = 0
        self.largest = 0.0
        self._known: set[str] = set()  # most texts come again and again

    def add(self, text: str) -> None:
        if text in self._known:
            return
        self._known.add(text)
        if _DECIMAL.fullmatch(text) is None:
            raise ConfigError(f"The recording has {text[:40]!r} for a price or a size, which is not a plain number.")
        whole, _, part = text.partition(".")
        part = part.rstrip("0")
        self.exp = max(self.exp, len(part))
        self.largest = max(self.largest, float(whole) + 1)

    def limit(self, digits: int) -> str:
        """A hundred times the largest number, as far as the digits allow."""
        room = digits - self.exp
        return Grid(0).text(min(10 ** (len(str(int(self.largest))) + 2), 10**room - 1))


class SymbolFacts:
    """One symbol's numbers as they pass in a first reading."""

    def __init__(self) -> None:
        self.has_aggregates = False
        self.has_answer = False
        self.has_depth = False
        self._first_id = self._last_id = 0  # of the update ids of its depth events
        self._prices, self._sizes = _Seen(), _Seen()

    def add(self, record: Record) -> None:
        what = record.what
        if isinstance(what, DepthEvent | Depth):
            self.has_answer |= isinstance(what, Depth)
            if isinstance(what, DepthEvent):
                self._first_id = min(self._first_id, what.first_id) if self.has_depth else what.first_id
                self._last_id = max(self._last_id, what.final_id)
                self.has_depth = True
            for side in (what.bids, what.asks):
                for price, size in side:
                    self._prices.add(price)
                    self._sizes.add(size)
        elif isinstance(what, AggTrade | TradeFill):
            self.has_aggregates |= isinstance(what, AggTrade)
            self._prices.add(what.price)
            self._sizes.add(what.size)
        elif isinstance(what, BookTicker):
            for price, size in ((what.bid, what.bid_size), (what.ask, what.ask_size)):
                self._prices.add(price)
                self._sizes.add(size)

    def reaches(self, update_id: int) -> bool:
        """Whether a depth answer of this update falls into the recorded stream."""
        return self.has_depth and self._first_id - 1 <= update_id <= self._last_id

    def rules(self, symbol: str) -> Rules:
        base, quote = split(symbol)
        return Rules(
            symbol=symbol,
            base=base,
            quote=quote,
            price=Grid(self._prices.exp),
            size=Grid(self._sizes.exp),
            max_price=self._prices.limit(PRICE_DIGITS),
            max_size=self._sizes.limit(SIZE_DIGITS),
        )


class RecordingFacts:
    """What one reading of all files tells: the symbols, their grids, when it starts."""

    def __init__(self, records: Iterable[Record]) -> None:
        self.symbols: dict[str, SymbolFacts] = {}
        self.exchange_info: dict[str, Any] | None = None
        self.first_ns = 0
        self.last_ns = 0
        self.first_event_ms = 0
        self._owners: dict[tuple[object, int], str] = {}  # (file, update id) of an answer that names none
        in_file: dict[object, set[str]] = defaultdict(set)
        unnamed: list[Record] = []
        for record in records:
            self.first_ns = self.first_ns or record.received_ns
            self.last_ns = record.received_ns
            if isinstance(record.what, dict):
                self.exchange_info = self.exchange_info or record.what
                continue
            if not record.is_named:
                unnamed.append(record)
                continue
            in_file[record.path].add(record.symbol)
            self.symbols.setdefault(record.symbol, SymbolFacts()).add(record)
            if not self.first_event_ms and isinstance(record.what, DepthEvent | AggTrade | TradeFill):
                # Recorders' clocks are off by seconds: exchange time is receive time plus this difference.
                self.first_event_ms = record.what.event_ms - (record.received_ns - self.first_ns) // 1_000_000
        for record in unnamed:
            self._name(record, in_file[record.path])

    def owner(self, record: Record) -> str:
        """The symbol of a record; empty where that is not known."""
        if record.is_named or not isinstance(record.what, Depth):
            return record.symbol
        return self._owners.get((record.path, record.what.last_update_id), "")

    def _name(self, record: Record, in_file: set[str]) -> None:
        """A depth answer that names no symbol is of the one that it continues, or of its file's only one."""
        if not isinstance(record.what, Depth):
            return
        update_id = record.what.last_update_id
        reached = {symbol for symbol, facts in self.symbols.items() if facts.reaches(update_id)}
        for candidates in (in_file & reached, in_file, reached):
            if len(candidates) == 1:
                symbol = next(iter(candidates))
                self._owners[record.path, update_id] = symbol
                self.symbols[symbol].add(record)
                return

    def rules(self, symbol: str) -> Rules:
        inferred = self.symbols[symbol].rules(symbol)
        listed = (self.exchange_info or {}).get("symbols", [])
        entry = next((each for each in listed if isinstance(each, dict) and each.get("symbol") == symbol), None)
        if entry is None:
            return inferred
        try:
            filters = {each["filterType"]: each for each in entry["filters"]}
            return Rules(
                symbol=symbol,
                base=entry["baseAsset"],
                quote=entry["quoteAsset"],
                # An exchange may coarsen a tick while old orders still rest on the finer one: the finer holds both.
                price=Grid(max(_exp(filters["PRICE_FILTER"]["tickSize"]), inferred.price.exp)),
                size=Grid(max(_exp(filters["LOT_SIZE"]["stepSize"]), inferred.size.exp)),
                max_price=filters["PRICE_FILTER"]["maxPrice"],
                max_size=filters["LOT_SIZE"]["maxQty"],
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"The recorded exchangeInfo of {symbol} cannot be read: {error!r}.") from None


def split(symbol: str) -> tuple[str, str]:
    """Base and quote asset, by the quote assets there are."""
    for quote in QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol.removesuffix(quote), quote
    return symbol[:-3] or symbol, symbol[-3:]


def _exp(step: str) -> int:
    return min(PLACES, len(step.partition(".")[2].rstrip("0")))
