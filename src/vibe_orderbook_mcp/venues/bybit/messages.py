"""Bybit's JSON (websocket v5 and REST), decoded into the values of `model.events`. Pure.

Numbers are texts. Sizes of spot and of linear contracts are base units.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import blake2b
from typing import Annotated, Final, Literal

import msgspec

from vibe_orderbook_mcp.model.errors import ExchangeUnavailable
from vibe_orderbook_mcp.model.events import Id, Level, Millis, Price, Size, Trade
from vibe_orderbook_mcp.model.listed import Listed, is_asset_name, is_symbol_name
from vibe_orderbook_mcp.model.symbol import SymbolSpec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

Market = Literal["spot", "linear"]
TradeName = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class BybitFrame(msgspec.Struct, rename={"event_ms": "ts", "matched_ms": "cts"}):
    """One message: of a topic, or the answer to a request."""

    topic: str | None = None
    type: str | None = None
    event_ms: Millis | None = None
    matched_ms: Millis | None = None
    data: msgspec.Raw = msgspec.Raw()
    op: str | None = None
    req_id: str | None = None
    success: bool | None = None
    ret_msg: str | None = None


class BybitDepth(msgspec.Struct, gc=False, rename={"symbol": "s", "bids": "b", "asks": "a", "update_id": "u"}):
    symbol: str
    update_id: Id
    bids: list[Level] = []
    asks: list[Level] = []


class BybitFill(
    msgspec.Struct,
    gc=False,
    rename={"time_ms": "T", "symbol": "s", "side": "S", "size": "v", "price": "p", "name": "i", "is_block": "BT"},
):
    """`seq` orders the trades of a message; `name` says which trade it is, and nothing about others."""

    time_ms: Millis
    symbol: str
    side: Literal["Buy", "Sell"]  # the taker's
    size: Size
    price: Price
    name: TradeName
    is_block: bool = False
    seq: Id = 0

    def trade(self) -> Trade:
        """The id is made of the name: equal for the same trade, and without an order."""
        number = int.from_bytes(blake2b(self.name.encode(), digest_size=8).digest()) >> 2
        return Trade(number, self.time_ms, self.price, self.size, number, number, self.side == "Sell")


decode_frame = msgspec.json.Decoder(BybitFrame).decode
decode_depth = msgspec.json.Decoder(BybitDepth, strict=False).decode
decode_fills = msgspec.json.Decoder(list[BybitFill], strict=False).decode


class BybitPriceFilter(msgspec.Struct, rename="camel"):
    tick_size: str


class BybitLotFilter(msgspec.Struct, rename="camel"):
    """Spot has a precision, contracts have a step."""

    base_precision: str | None = None
    qty_step: str | None = None


class BybitInstrument(msgspec.Struct, rename="camel"):
    """One entry of `instruments-info`."""

    symbol: str
    status: str
    base_coin: str
    quote_coin: str
    price_filter: BybitPriceFilter
    lot_size_filter: BybitLotFilter
    contract_type: str | None = None

    @property
    def is_kept(self) -> bool:
        """Of contracts the perpetual ones."""
        return self.contract_type in (None, "LinearPerpetual")

    @property
    def status_word(self) -> str:
        """TRADING, or the exchange's own word in capital letters."""
        return self.status.upper()[:40]

    def listed(self) -> Listed | None:
        """None where its names are no plain names."""
        is_plain = is_asset_name(self.base_coin) and is_asset_name(self.quote_coin) and is_symbol_name(self.symbol)
        return Listed(self.symbol, self.base_coin, self.quote_coin, self._is_trading) if is_plain else None

    def spec(self) -> SymbolSpec:
        """Raises ArithmeticError where the grid is none."""
        step = self.lot_size_filter.qty_step or self.lot_size_filter.base_precision or ""
        return SymbolSpec(
            *(self.symbol, self.base_coin, self.quote_coin),
            *(Decimal(self.price_filter.tick_size), Decimal(step)),
            trading=self._is_trading,
            market="spot" if self.contract_type is None else "perpetual",
        )

    @property
    def _is_trading(self) -> bool:
        return self.status == "Trading"


class BybitAnswer(msgspec.Struct, rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw()


class BybitPage(msgspec.Struct, rename={"rows": "list", "next_cursor": "nextPageCursor"}):
    rows: list[msgspec.Raw]
    next_cursor: str = ""


class _BybitClock(msgspec.Struct, rename="camel"):
    time_nano: Annotated[int, msgspec.Meta(ge=0, le=9 * 10**18)]


_ANSWER = msgspec.json.Decoder(BybitAnswer)
_PAGE = msgspec.json.Decoder(BybitPage)
_INSTRUMENT = msgspec.json.Decoder(BybitInstrument)
_CLOCK = msgspec.json.Decoder(_BybitClock, strict=False)


def parse_answer(raw: bytes) -> BybitAnswer:
    try:
        return _ANSWER.decode(raw)
    except UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent an answer that cannot be read.") from error


def parse_instruments(raw: msgspec.Raw) -> tuple[list[BybitInstrument], int, str]:
    """A page of those that are kept here, how many cannot be read, and where the next page begins; "": nowhere."""
    try:
        page = _PAGE.decode(raw)
    except UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent a list of symbols that cannot be read.") from error
    found = [_instrument(row) for row in page.rows]
    kept = [each for each in found if each is not None and each.is_kept]
    return kept, found.count(None), page.next_cursor


def _instrument(raw: msgspec.Raw) -> BybitInstrument | None:
    try:
        instrument = _INSTRUMENT.decode(raw)
        spec = instrument.spec()
    except (*UNREADABLE, ArithmeticError, ValueError):
        return None
    has_grid = all(step.is_finite() and step > 0 for step in (spec.tick_size, spec.step_size))
    return instrument if has_grid and instrument.listed() is not None else None


def parse_time(raw: msgspec.Raw) -> int:
    """Milliseconds since the epoch, cut."""
    try:
        return _CLOCK.decode(raw).time_nano // 1_000_000
    except UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent a time that cannot be read.") from error
