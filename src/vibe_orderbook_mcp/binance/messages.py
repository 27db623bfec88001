"""Binance's JSON, decoded in one pass into the values of `core.events`. Pure.

Prices and sizes arrive as strings; msgspec reads them as doubles in C (`strict=False`), which costs about nothing
over the decode itself. Bounds on the fields reject negative, infinite and NaN numbers there too, so a damaged
frame is refused as a whole before any of it reaches a book.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from vibe_orderbook_mcp.core.events import DepthSnapshot, DepthUpdate, Id, Level, Millis, Price, Size, Trade
from vibe_orderbook_mcp.core.symbol import SymbolSpec
from vibe_orderbook_mcp.errors import ExchangeUnavailable, VibeError

Malformation = Literal["unreadable", "invalid", "unknown"]


# The largest of 13 000 recorded frames spans 1 466 ids. Taken as it is, a damaged `u` far ahead would make every later
# event look old, and the book would stand still with nothing to mend it; skipped, it is a gap, which resyncs.
MOST_IDS_A_FRAME = 100_000


class MalformedMessage(VibeError):
    """Bytes that are not what the exchange's documentation says. They are counted and skipped.

    `kind`: not JSON at all, an event with a wrong field, or an event that nobody has heard of.
    """

    def __init__(self, kind: Malformation, message: str) -> None:
        super().__init__(message)
        self.kind: Malformation = kind


class DepthMessage(DepthUpdate, tag_field="e", tag="depthUpdate"):
    """`<symbol>@depth@100ms`: the wire names of `DepthUpdate`."""

    symbol: str = msgspec.field(name="s")
    event_ms: Millis = msgspec.field(name="E")
    first_id: Id = msgspec.field(name="U")
    final_id: Id = msgspec.field(name="u")
    bids: list[Level] = msgspec.field(name="b")
    asks: list[Level] = msgspec.field(name="a")


class TradeMessage(msgspec.Struct, tag_field="e", tag="aggTrade"):
    """`<symbol>@aggTrade`."""

    symbol: str = msgspec.field(name="s")
    event_ms: Millis = msgspec.field(name="E")
    agg_id: Id = msgspec.field(name="a")
    price: Price = msgspec.field(name="p")
    size: Size = msgspec.field(name="q")
    first_trade_id: Id = msgspec.field(name="f")
    last_trade_id: Id = msgspec.field(name="l")
    time_ms: Millis = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")

    def trade(self) -> Trade:
        return Trade(
            self.agg_id,
            self.time_ms,
            self.price,
            self.size,
            self.first_trade_id,
            self.last_trade_id,
            self.buyer_is_maker,
        )


class ShutdownMessage(msgspec.Struct, tag_field="e", tag="serverShutdown"):
    """The server is about to go: open another connection as soon as possible."""


Event = DepthMessage | TradeMessage | ShutdownMessage


class Reply(msgspec.Struct):
    """The answer to a SUBSCRIBE; `error` is None when it was accepted."""

    id: int
    error: str | None = None


class _Frame(msgspec.Struct):
    """One text frame of a combined stream, or the answer to a request."""

    stream: str | None = None
    data: Event | None = None
    id: int | None = None
    code: int | None = None
    msg: str | None = None
    error: dict[str, Any] | None = None


class _Name(msgspec.Struct):
    e: str


class _NamedFrame(msgspec.Struct):
    data: _Name


_EVENTS = frozenset({"depthUpdate", "aggTrade", "serverShutdown"})


class _WireTrade(msgspec.Struct):
    a: Id
    p: Price
    q: Size
    f: Id
    l: Id  # noqa: E741  # the exchange's name
    T: Millis
    m: bool


class _WireSnapshot(DepthSnapshot):
    """`GET /api/v3/depth`."""

    last_update_id: Id = msgspec.field(name="lastUpdateId")


_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)


class _WireTime(msgspec.Struct):
    server_time_ms: Millis = msgspec.field(name="serverTime")


class _WireStatus(msgspec.Struct):
    symbol: str
    status: Annotated[str, msgspec.Meta(pattern="^[A-Z_]{1,40}$")]  # it is shown to users as it is


class _WireStatuses(msgspec.Struct):
    symbols: list[_WireStatus]


_STATUSES = msgspec.json.Decoder(_WireStatuses)
_TIME = msgspec.json.Decoder(_WireTime)
_decode_frame = msgspec.json.Decoder(_Frame, strict=False).decode
_NAMED = msgspec.json.Decoder(_NamedFrame)
_SNAPSHOT = msgspec.json.Decoder(_WireSnapshot, strict=False)
_TRADES = msgspec.json.Decoder(list[_WireTrade], strict=False)

# What decoding raises for bytes that are not what they should be; brackets in brackets end in a RecursionError.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def parse_frame(raw: bytes | str) -> Event | Reply:
    """One websocket text frame. Raises MalformedMessage for anything else than a documented message."""
    try:
        frame = _decode_frame(raw)
    except msgspec.ValidationError as error:
        raise MalformedMessage("invalid" if _is_known(raw) else "unknown", str(error)) from error
    except _UNREADABLE as error:
        raise MalformedMessage("unreadable", str(error)) from error
    event = frame.data
    if isinstance(event, DepthMessage):
        if event.final_id < event.first_id:
            raise MalformedMessage("invalid", f"u {event.final_id} < U {event.first_id}")
        if event.final_id - event.first_id > MOST_IDS_A_FRAME:
            raise MalformedMessage("invalid", f"u {event.final_id} is far beyond U {event.first_id}")
        return event
    if isinstance(event, TradeMessage):
        if event.last_trade_id < event.first_trade_id:
            raise MalformedMessage("invalid", f"l {event.last_trade_id} < f {event.first_trade_id}")
        return event
    if event is not None:
        return event
    if frame.id is not None:
        return Reply(frame.id, frame.msg or (str(frame.error) if frame.error else None))
    raise MalformedMessage("unknown", "neither an event nor an answer")


def _is_known(raw: bytes | str) -> bool:
    """Whether the frame names an event that is known here."""
    try:
        return _NAMED.decode(raw).data.e in _EVENTS
    except _UNREADABLE:
        return True  # not even its name can be read: it is wrong, not new


def parse_snapshot(raw: bytes) -> DepthSnapshot:
    try:
        return _SNAPSHOT.decode(raw)
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent a depth answer that cannot be read.") from error


def parse_trades(raw: bytes) -> list[Trade]:
    """`GET /api/v3/aggTrades`, ascending by id."""
    try:
        return [Trade(t.a, t.T, t.p, t.q, t.f, t.l, t.m) for t in _TRADES.decode(raw)]
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent trades that cannot be read.") from error


def parse_time(raw: bytes) -> int:
    """`GET /api/v3/time`: milliseconds since the epoch."""
    try:
        return _TIME.decode(raw).server_time_ms
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent a time that cannot be read.") from error


def parse_trading_status(raw: bytes, symbol: str) -> str | None:
    """The exchange's word in `exchangeInfo`, such as TRADING, HALT or BREAK; None when the symbol is not listed."""
    try:
        statuses = {item.symbol: item.status for item in _STATUSES.decode(raw).symbols}
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent symbol information that cannot be read.") from error
    return statuses.get(symbol)


def parse_symbol(raw: bytes, symbol: str) -> SymbolSpec | None:
    """One symbol of `GET /api/v3/exchangeInfo`; None when it is not listed there."""
    try:
        listed: list[dict[str, Any]] = msgspec.json.decode(raw)["symbols"]
        entry = next((item for item in listed if item["symbol"] == symbol), None)
        if entry is None:
            return None
        filters = {item["filterType"]: item for item in entry["filters"]}
        price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
        return SymbolSpec(
            symbol=symbol,
            base_asset=entry["baseAsset"],
            quote_asset=entry["quoteAsset"],
            tick_size=_decimal(price["tickSize"]),
            step_size=_decimal(lot["stepSize"]),
            max_price=_decimal(price["maxPrice"]),
            max_size=_decimal(lot["maxQty"]),
            trading=entry["status"] == "TRADING",
            iceberg_parts=_limit(filters.get("ICEBERG_PARTS")),
        )
    except (*_UNREADABLE, KeyError, TypeError, ValueError) as error:
        raise ExchangeUnavailable("The exchange sent symbol information that cannot be read.") from error


def _limit(found: dict[str, Any] | None) -> int | None:
    """Without it a symbol can still be kept: it bounds one figure of an iceberg, and nothing else."""
    limit = None if found is None else found.get("limit")
    return limit if isinstance(limit, int) and limit > 0 else None


def _decimal(text: str) -> Decimal:
    """A plain decimal as the exchange writes them. Raises ValueError for what could not be computed with."""
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(text[:40])
    return Decimal(text)


def subscribe_request(request_id: int, streams: list[str]) -> bytes:
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": streams, "id": request_id})


def streams_of(symbol: str) -> list[str]:
    """The streams a book and its tape are made of. Stream names are in lower case."""
    return [f"{symbol.lower()}@depth@100ms", f"{symbol.lower()}@aggTrade"]
