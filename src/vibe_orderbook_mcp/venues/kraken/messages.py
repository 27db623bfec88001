"""Kraken's JSON (websocket v2 and REST), decoded into the values of `model.events`. Pure.

Numbers are bare JSON numbers. As doubles they stand for the decimals of the pair's precision, which the checksum is of.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal

import msgspec

from vibe_orderbook_mcp.model.errors import ExchangeUnavailable
from vibe_orderbook_mcp.model.events import Id, Level, Price, Size, Trade
from vibe_orderbook_mcp.model.listed import Listed, is_asset_name
from vibe_orderbook_mcp.model.symbol import SymbolSpec


def rfc3339_ms(text: str) -> int:
    """Milliseconds of "2026-07-07T23:00:03.977459Z", with any number of digits behind the second. Raises ValueError."""
    whole, point, fraction = text.removesuffix("Z").partition(".")
    if point and not (fraction.isascii() and fraction.isdigit()):
        raise ValueError(text[:40])
    return _second_of(whole) * 1000 + int(f"{fraction:0<3}"[:3])


@lru_cache(maxsize=64)
def _second_of(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())


_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

# REST and the first websocket interface spell two assets otherwise than the second one does.
_NAMES = {"XBT": "BTC", "XDG": "DOGE"}


class WireLevel(msgspec.Struct, gc=False):
    price: Price
    qty: Size


class WireBook(msgspec.Struct, gc=False):
    symbol: str
    bids: list[WireLevel]
    asks: list[WireLevel]
    checksum: int
    timestamp: str | None = None

    @property
    def event_ms(self) -> int | None:
        return None if self.timestamp is None else rfc3339_ms(self.timestamp)


class WireTrade(msgspec.Struct, gc=False):
    symbol: str
    side: Literal["buy", "sell"]  # the taker's
    price: Price
    qty: Size
    trade_id: Id
    timestamp: str

    def trade(self) -> Trade:
        """Each fill is sent by itself, so ids of aggregate trades and of fills are the same."""
        trade_id = self.trade_id
        is_sell = self.side == "sell"
        return Trade(trade_id, rfc3339_ms(self.timestamp), self.price, self.qty, trade_id, trade_id, is_sell)


class WireFrame(msgspec.Struct):
    """One message: of a channel, or the answer to a request."""

    channel: str | None = None
    type: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    method: str | None = None
    req_id: int | None = None
    success: bool | None = None
    error: str | None = None


decode_frame = msgspec.json.Decoder(WireFrame).decode
decode_books = msgspec.json.Decoder(list[WireBook]).decode
decode_trades = msgspec.json.Decoder(list[WireTrade]).decode


def rows(levels: list[WireLevel]) -> list[Level]:
    """In the order of the frame: of a price that is named twice, the last row counts."""
    return [(level.price, level.qty) for level in levels]


class WirePair(msgspec.Struct):
    """One entry of `AssetPairs`."""

    altname: str
    wsname: str
    pair_decimals: int
    lot_decimals: int
    status: str
    tick_size: str | None = None

    @property
    def symbol(self) -> str:
        """The name of websocket v2: "BTC/USD"."""
        return "/".join(_NAMES.get(asset, asset) for asset in self.wsname.split("/"))

    @property
    def status_word(self) -> str:
        """TRADING, or the exchange's own word in capital letters."""
        return "TRADING" if self.status == "online" else self.status.upper()[:40]

    def listed(self) -> Listed | None:
        """None where its names are no plain names."""
        base, _, quote = self.symbol.partition("/")
        is_plain = is_asset_name(base) and is_asset_name(quote)
        return Listed(self.symbol, base, quote, self.status == "online") if is_plain else None

    def spec(self) -> SymbolSpec:
        base, _, quote = self.symbol.partition("/")
        place = Decimal(1).scaleb(-self.pair_decimals)
        tick = place if self.tick_size is None else Decimal(self.tick_size).quantize(place)
        step = Decimal(1).scaleb(-self.lot_decimals)
        return SymbolSpec(self.symbol, base, quote, tick, step, trading=self.status == "online")


class _RestAnswer(msgspec.Struct):
    error: list[str]
    result: msgspec.Raw = msgspec.Raw()


class _ServerTime(msgspec.Struct):
    unixtime: int


_ANSWER = msgspec.json.Decoder(_RestAnswer)
_PAIRS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PAIR = msgspec.json.Decoder(WirePair)
_TIME = msgspec.json.Decoder(_ServerTime)
_TRADES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
# price, volume, time in seconds, side, order type, remarks, id
_ROW = msgspec.json.Decoder(tuple[Price, Size, Decimal, Literal["b", "s"], str, str, Id], strict=False)


class PagedTrade(msgspec.Struct, frozen=True):
    """A trade of `Trades`, and its time as the exchange pages by it."""

    trade: Trade
    time_ns: int


def parse_answer(raw: bytes) -> tuple[list[str], bytes]:
    """The errors of a REST answer, and what it says."""
    try:
        answer = _ANSWER.decode(raw)
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent an answer that cannot be read.") from error
    return answer.error, bytes(answer.result)


def parse_pairs(raw: bytes) -> tuple[list[WirePair], int]:
    """`AssetPairs`: those that can be read, and how many cannot."""
    try:
        entries = _PAIRS.decode(raw)
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent a list of symbols that cannot be read.") from error
    found = [pair for pair in map(_pair, entries.values()) if pair is not None]
    return found, len(entries) - len(found)


def _pair(raw: msgspec.Raw) -> WirePair | None:
    try:
        pair = _PAIR.decode(raw)
        pair.spec()
    except (*_UNREADABLE, ArithmeticError, ValueError):
        return None
    return pair if pair.listed() is not None else None


def parse_time(raw: bytes) -> int:
    """`Time`, which counts whole seconds: milliseconds since the epoch."""
    try:
        return _TIME.decode(raw).unixtime * 1000
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent a time that cannot be read.") from error


def parse_page(raw: bytes) -> tuple[list[PagedTrade], int]:
    """`Trades`, ascending by id: those that can be read, and how many cannot."""
    try:
        entries = _TRADES.decode(raw)
        entries.pop("last", None)
        found = [_row(row) for page in entries.values() for row in _ROWS.decode(page)]
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent trades that cannot be read.") from error
    read = sorted((row for row in found if row is not None), key=lambda row: row.trade.agg_id)
    return read, len(found) - len(read)


def _row(raw: msgspec.Raw) -> PagedTrade | None:
    try:
        price, size, secs, side, _, _, trade_id = _ROW.decode(raw)
        time_ns = int(secs.scaleb(9))
    except (*_UNREADABLE, ArithmeticError, ValueError):
        return None
    return PagedTrade(Trade(trade_id, time_ns // 1_000_000, price, size, trade_id, trade_id, side == "s"), time_ns)


def encode(request: dict[str, Any]) -> bytes:
    return msgspec.json.encode(request)
