"""Binance's JSON, decoded in one pass into the values of `model.events`. Pure.

Prices and sizes arrive as strings; msgspec reads them as doubles in C (`strict=False`), which costs about nothing
over the decode itself. Bounds on the fields reject negative, infinite and NaN numbers there too, so a damaged
frame is refused as a whole before any of it reaches a book.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from itertools import takewhile
from typing import Annotated, Any

import msgspec

from vibe_orderbook_mcp.model.errors import ExchangeUnavailable
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Id, Level, Millis, Price, Size, Trade
from vibe_orderbook_mcp.model.instrument import MarketKind
from vibe_orderbook_mcp.model.listed import Listed, is_asset_name, is_symbol_name
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import Closing, MalformedMessage, Reply, Traded

# Called with the number of rows that were skipped because they cannot be read.
Count = Callable[[int], object]


def _ignore(_skipped: int) -> None:
    pass


# The largest of 13 000 recorded frames spans 1 466 ids. If accepted, a damaged `u` far ahead would make every later
# event look old, and the book would stop for ever; if skipped, it is a gap, which resyncs.
MOST_IDS_A_FRAME = 100_000


class DepthMessage(DepthUpdate, tag_field="e", tag="depthUpdate"):
    """`<symbol>@depth@100ms`: the wire names of `DepthUpdate`."""

    symbol: str = msgspec.field(name="s")
    event_ms: Millis = msgspec.field(name="E")
    first_id: Id = msgspec.field(name="U")
    final_id: Id = msgspec.field(name="u")
    bids: list[Level] = msgspec.field(name="b")
    asks: list[Level] = msgspec.field(name="a")


class TradeMessage(Traded, tag_field="e", tag="aggTrade"):
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


class ShutdownMessage(Closing, tag_field="e", tag="serverShutdown"):
    """The server will close: open another connection as soon as possible."""


Event = DepthMessage | TradeMessage | ShutdownMessage


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


class _WireSnapshotRows(msgspec.Struct):
    last_update_id: Id = msgspec.field(name="lastUpdateId")
    bids: list[msgspec.Raw]
    asks: list[msgspec.Raw]


_DECIMAL = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)


class _WireTime(msgspec.Struct):
    server_time_ms: Millis = msgspec.field(name="serverTime")


# Shown to users unchanged.
StatusWord = Annotated[str, msgspec.Meta(pattern="^[A-Z_]{1,40}$")]


class _WireStatus(msgspec.Struct):
    status: StatusWord


class _WireListed(msgspec.Struct):
    """The fields read from every entry of `exchangeInfo`; a subscribed symbol's entry is read completely."""

    symbol: str
    status: StatusWord
    base_asset: str = msgspec.field(name="baseAsset")
    quote_asset: str = msgspec.field(name="quoteAsset")
    contract_type: str | None = msgspec.field(name="contractType", default=None)  # of futures alone

    @property
    def market(self) -> MarketKind:
        if self.contract_type is None:
            return "spot"
        return "perpetual" if self.contract_type.endswith("PERPETUAL") else "future"

    def __post_init__(self) -> None:
        if not (is_symbol_name(self.symbol) and is_asset_name(self.base_asset) and is_asset_name(self.quote_asset)):
            raise ValueError("not plain names")


class _WireListing(msgspec.Struct):
    symbols: list[msgspec.Raw]


_LISTING = msgspec.json.Decoder(_WireListing)
_LISTED = msgspec.json.Decoder(_WireListed)
_STATUS = msgspec.json.Decoder(_WireStatus)
_TIME = msgspec.json.Decoder(_WireTime)
_decode_frame = msgspec.json.Decoder(_Frame, strict=False).decode
_NAMED = msgspec.json.Decoder(_NamedFrame)
_SNAPSHOT = msgspec.json.Decoder(_WireSnapshot, strict=False)
_TRADES = msgspec.json.Decoder(list[_WireTrade], strict=False)
# The same row by row, for an answer with an unreadable row.
_SNAPSHOT_ROWS = msgspec.json.Decoder(_WireSnapshotRows, strict=False)
_LEVEL = msgspec.json.Decoder(Level, strict=False)
_TRADE_ROWS = msgspec.json.Decoder(list[msgspec.Raw])
_TRADE = msgspec.json.Decoder(_WireTrade, strict=False)

# Exceptions of decoding bad bytes; deeply nested brackets raise RecursionError.
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
        return True  # its name cannot be read either: it is wrong, not new


def parse_snapshot(raw: bytes, skipped: Count = _ignore) -> DepthSnapshot:
    """`GET /api/v3/depth`. `skipped` is called with the number of unreadable levels, if any.

    The price of an unreadable level is unknown too, so its side is known up to the level before it. Raises
    ExchangeUnavailable if a side has no level left.
    """
    try:
        return _SNAPSHOT.decode(raw)
    except _UNREADABLE:
        pass
    try:
        rows = _SNAPSHOT_ROWS.decode(raw)
    except _UNREADABLE as error:
        raise ExchangeUnavailable(_NO_DEPTH) from error
    sides = [[_read_level(row) for row in side] for side in (rows.bids, rows.asks)]
    bids, asks = ([*takewhile(lambda level: level is not None, side)] for side in sides)
    if (sides[0] and not bids) or (sides[1] and not asks):
        raise ExchangeUnavailable(_NO_DEPTH)
    skipped(sum(level is None for side in sides for level in side))
    return DepthSnapshot(
        rows.last_update_id,
        [level for level in bids if level is not None],
        [level for level in asks if level is not None],
        bids_cut=len(bids) < len(sides[0]),
        asks_cut=len(asks) < len(sides[1]),
    )


_NO_DEPTH = "The exchange sent a depth answer that cannot be read."


def _read_level(row: msgspec.Raw) -> Level | None:
    try:
        level: Level = _LEVEL.decode(row)
    except _UNREADABLE:
        return None
    return level


def parse_trades(raw: bytes, skipped: Count = _ignore) -> list[Trade]:
    """`GET /api/v3/aggTrades`, ascending by id, without those that cannot be read.

    `skipped` is called with the number of those. Raises ExchangeUnavailable if none can be read.
    """
    try:
        return [_trade(row) for row in _TRADES.decode(raw)]
    except _UNREADABLE:
        pass
    try:
        rows = _TRADE_ROWS.decode(raw)
    except _UNREADABLE as error:
        raise ExchangeUnavailable(_NO_TRADES) from error
    found = [trade for trade in map(_read_trade, rows) if trade is not None]
    if not found:
        raise ExchangeUnavailable(_NO_TRADES)
    skipped(len(rows) - len(found))
    return found


_NO_TRADES = "The exchange sent trades that cannot be read."


def _read_trade(row: msgspec.Raw) -> Trade | None:
    try:
        return _trade(_TRADE.decode(row))
    except _UNREADABLE:
        return None


def _trade(wire: _WireTrade) -> Trade:
    return Trade(wire.a, wire.T, wire.p, wire.q, wire.f, wire.l, wire.m)


def parse_time(raw: bytes) -> int:
    """`GET /api/v3/time`: milliseconds since the epoch."""
    try:
        return _TIME.decode(raw).server_time_ms
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent a time that cannot be read.") from error


def parse_listing(raw: bytes, skipped: Count = _ignore) -> list[Listed]:
    """`GET /api/v3/exchangeInfo`: all readable symbols; `skipped` is called with the number of unreadable ones."""
    try:
        rows = _LISTING.decode(raw).symbols
    except _UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent a list of symbols that cannot be read.") from error
    found = [entry for entry in map(_listed, rows) if entry is not None]
    if len(found) < len(rows):
        skipped(len(rows) - len(found))
    return [Listed(entry.symbol, entry.base_asset, entry.quote_asset, entry.status == "TRADING") for entry in found]


def _listed(row: msgspec.Raw) -> _WireListed | None:
    try:
        return _LISTED.decode(row)
    except _UNREADABLE:
        return None


def parse_trading_status(raw: bytes, symbol: str) -> str | None:
    """The exchange's word in `exchangeInfo`, such as TRADING, HALT or BREAK; None when the symbol is not listed."""
    entry = _entry_of(raw, symbol)
    if entry is None:
        return None
    try:
        return _STATUS.decode(entry).status
    except _UNREADABLE as error:
        raise ExchangeUnavailable(_NO_SYMBOL) from error


def parse_symbol(raw: bytes, symbol: str) -> SymbolSpec | None:
    """One symbol of `GET /api/v3/exchangeInfo`; None when it is not listed there."""
    found = _entry_of(raw, symbol)
    if found is None:
        return None
    try:
        listed = _LISTED.decode(found)
        entry: dict[str, Any] = msgspec.json.decode(found)
        named = [item for item in entry["filters"] if isinstance(item, dict)]
        filters = {str(item.get("filterType")): item for item in named}
        price, lot = filters["PRICE_FILTER"], filters["LOT_SIZE"]
        return SymbolSpec(
            symbol=symbol,
            base_asset=listed.base_asset,
            quote_asset=listed.quote_asset,
            tick_size=_decimal(price["tickSize"]),
            step_size=_decimal(lot["stepSize"]),
            max_price=_decimal(price["maxPrice"]),
            max_size=_decimal(lot["maxQty"]),
            trading=listed.status == "TRADING",
            iceberg_parts=_limit(filters.get("ICEBERG_PARTS")),
            market=listed.market,
        )
    except (*_UNREADABLE, KeyError, TypeError, ValueError) as error:
        raise ExchangeUnavailable(_NO_SYMBOL) from error


_NO_SYMBOL = "The exchange sent symbol information that cannot be read."


class _WireName(msgspec.Struct):
    symbol: str


_SYMBOL_NAME = msgspec.json.Decoder(_WireName)


def _entry_of(raw: bytes, symbol: str) -> msgspec.Raw | None:
    """The symbol's entry of `exchangeInfo`. Other entries may be unreadable. Raises ExchangeUnavailable."""
    try:
        rows = _LISTING.decode(raw).symbols
    except _UNREADABLE as error:
        raise ExchangeUnavailable(_NO_SYMBOL) from error
    unreadable = 0
    for row in rows:
        try:
            if _SYMBOL_NAME.decode(row).symbol == symbol:
                return row
        except _UNREADABLE:
            unreadable += 1
    if unreadable:
        raise ExchangeUnavailable(_NO_SYMBOL)  # it may be the requested one
    return None


def _limit(found: dict[str, Any] | None) -> int | None:
    """Optional: it only bounds one figure of an iceberg."""
    limit = None if found is None else found.get("limit")
    return limit if isinstance(limit, int) and limit > 0 else None


def _decimal(text: str) -> Decimal:
    """A plain decimal in the exchange's format. Raises ValueError for anything else."""
    if _DECIMAL.fullmatch(text) is None:
        raise ValueError(text[:40])
    return Decimal(text)
