"""Binance's own frames of 2024 and 2021, read in the order in which they came.

They are not part of this repository: `VIBE_TEST_RECORDINGS` names their folder, by default `../shared/data` beside
the project. Where they are absent, simulated ones of the same form stand in (`tests.made`).
"""

from __future__ import annotations

import gzip
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from tests import recordings
from tests.made import STAND_INS
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.sim.catalog import profile_of
from vibe_orderbook_mcp.venues.binance.messages import DepthMessage, parse_frame, parse_snapshot

YEAR_2024 = recordings.DAY
YEAR_2021 = recordings.SMALL
DEPTH_LIMIT = 1000

SPECS = {
    symbol: SymbolSpec(symbol, symbol[:3], symbol[3:], Decimal(tick), Decimal(step))
    for symbol, tick, step in (
        ("BTCUSDT", "0.01000000", "0.00001000"),
        ("ETHUSDT", "0.01000000", "0.00010000"),
        ("NKNUSDT", "0.00010000", "1.00000000"),
        ("BLZETH", "0.00000001", "1.00000000"),
        ("LRCBTC", "0.00000001", "1.00000000"),
        ("RUNEEUR", "0.00100000", "0.10000000"),
    )
}

Touch = tuple[float, float, float, float]  # best bid, its size, best ask, its size


@dataclass
class Recording:
    symbol: str
    told: list[tuple[int, DepthUpdate | DepthSnapshot | Trade]] = field(default_factory=list)  # received ns, what
    volumes: dict[tuple[int, bool], Decimal] = field(default_factory=dict)  # (second, buyer is maker) -> sum
    touches: list[tuple[int, Touch]] = field(default_factory=list)  # bookTicker: (update id, touch)

    @property
    def spec(self) -> SymbolSpec:
        return SPECS[self.symbol] if recordings.HAS_REAL else _made_spec(self.symbol)

    def touch_at(self, update_id: int) -> Touch | None:
        """What bookTicker said last up to this update: an independent truth."""
        place = bisect_right(self.touches, update_id, key=lambda one: one[0])
        return self.touches[place - 1][1] if place else None

    def add(self, received_ns: int, raw: bytes) -> None:
        head = raw[:60]
        if b"@depth" in head:
            update = parse_frame(raw)
            assert isinstance(update, DepthMessage)
            self.told.append((received_ns, update))
        elif b"rade" in head:
            self._add_trade(received_ns, msgspec.json.decode(raw)["data"])
        elif b"@bookTicker" in head:
            ticker = msgspec.json.decode(raw)["data"]
            self.touches.append((ticker["u"], _touch(ticker)))

    def _add_trade(self, received_ns: int, data: dict[str, Any]) -> None:
        """An aggregate trade, or a single fill as a trade of its own."""
        first, last = (data["f"], data["l"]) if "f" in data else (data["t"], data["t"])
        trade = Trade(
            data.get("a", first), data["T"], float(data["p"]), float(data["q"]), first, last, buyer_is_maker=data["m"]
        )
        self.told.append((received_ns, trade))
        key = (trade.time_ms // 1000, trade.buyer_is_maker)
        self.volumes[key] = self.volumes.get(key, Decimal(0)) + Decimal(data["q"])


def _made_spec(symbol: str) -> SymbolSpec:
    rules = profile_of(STAND_INS.get(symbol, symbol)).rules
    tick, step = Decimal(rules.price.text(1)), Decimal(rules.size.text(1))
    return SymbolSpec(symbol, rules.base, rules.quote, tick, step)


def _touch(ticker: dict[str, str]) -> Touch:
    return float(ticker["b"]), float(ticker["B"]), float(ticker["a"]), float(ticker["A"])


def touch_of(book: OrderBook) -> Touch:
    bid, ask = book.bids.best, book.asks.best
    assert bid is not None
    assert ask is not None
    return bid, book.bids.size_at(bid), ask, book.asks.size_at(ask)


@cache
def recorded(year: str, symbol: str) -> Recording:
    folder = recordings.folder(year)
    recording = Recording(symbol)
    for received_ns, raw in _lines_2024(folder, symbol) if year == YEAR_2024 else _lines_2021(folder, symbol):
        if raw.startswith(b'{"lastUpdateId"'):
            recording.told.append((received_ns, parse_snapshot(raw)))
        else:
            recording.add(received_ns, raw)
    recording.told.sort(key=lambda one: one[0])  # stable: only the REST answers stand in a file of their own
    return recording


def _lines_2024(folder: Path, symbol: str) -> Iterator[tuple[int, bytes]]:
    for day in (8, 9):
        for line in gzip.decompress((folder / f"spot_{symbol.lower()}_2024080{day}.gz").read_bytes()).splitlines():
            received_ns, _, raw = line.partition(b" ")
            yield int(received_ns), raw


def _lines_2021(folder: Path, symbol: str) -> Iterator[tuple[int, bytes]]:
    for line in (folder / "BINANCE.http.0.0").read_bytes().splitlines():
        request, _, rest = line.partition(b" -> ")
        if f"symbol={symbol}&".encode() in request:
            received, _, raw = rest.partition(b": ")
            yield int(Decimal(received.decode()) * 10**9), raw.replace(f',"symbol":"{symbol}"'.encode(), b"")
    for line in (folder / "BINANCE.ws.1.0").read_bytes().splitlines():
        received, _, raw = line.partition(b": ")
        if raw.startswith(f'{{"stream":"{symbol.lower()}@'.encode()):
            yield int(Decimal(received.decode()) * 10**9), raw
