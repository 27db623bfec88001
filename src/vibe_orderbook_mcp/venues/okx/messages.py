"""OKX's JSON (websocket v5 and REST), decoded into the values of `model.events`. Pure.

Numbers are texts in their shortest form. Sizes of swaps are contracts.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Final, Literal

import msgspec

from vibe_orderbook_mcp.model.errors import ExchangeUnavailable
from vibe_orderbook_mcp.model.events import Id, Level, Millis, Price, Size, Trade
from vibe_orderbook_mcp.model.listed import Listed, is_asset_name, is_symbol_name
from vibe_orderbook_mcp.model.symbol import SymbolSpec

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
MOST_FILLS: Final = 10_000  # in one message about trades

_Seq = Annotated[int, msgspec.Meta(ge=-1, le=2**62)]
_Fills = Annotated[int, msgspec.Meta(ge=1, le=MOST_FILLS)]


class OkxChannel(msgspec.Struct, frozen=True, gc=False, rename={"symbol": "instId"}):
    channel: str = ""
    symbol: str = ""


class OkxFrame(msgspec.Struct):
    """One message: of a channel, or an event of the connection."""

    arg: OkxChannel | None = None
    action: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    event: str | None = None
    id: str | None = None
    code: str | None = None
    msg: str | None = None


# Price, size, a field that is always 0, the number of orders.
OkxLevel = tuple[Price, Size, str, str]


class OkxDepth(msgspec.Struct, gc=False, rename={"event_ms": "ts", "seq_id": "seqId", "prev_seq_id": "prevSeqId"}):
    bids: list[OkxLevel]
    asks: list[OkxLevel]
    event_ms: Millis
    checksum: int = 0
    seq_id: _Seq | None = None
    prev_seq_id: _Seq | None = None


class OkxFills(msgspec.Struct, gc=False, rename={"trade_id": "tradeId", "price": "px", "size": "sz", "time_ms": "ts"}):
    """Fills of one order at one price. `trade_id` is the last one of their ids."""

    trade_id: Id
    price: Price
    size: Size
    side: Literal["buy", "sell"]  # the taker's
    time_ms: Millis
    count: _Fills = 1


class OkxBooks(msgspec.Struct):
    """A message of the channel `books`, decoded at once."""

    arg: OkxChannel
    action: Literal["snapshot", "update"]
    data: list[OkxDepth]


decode_books = msgspec.json.Decoder(OkxBooks, strict=False).decode
decode_frame = msgspec.json.Decoder(OkxFrame).decode
decode_fills = msgspec.json.Decoder(list[OkxFills], strict=False).decode


class Contract(msgspec.Struct, frozen=True):
    """What a size of the venue stands for: `size` base units each, and base sizes have `places` decimals."""

    size: float
    places: int
    venue_places: int  # decimals of the venue's own sizes

    @classmethod
    def of(cls, spec: SymbolSpec) -> Contract:
        step = (spec.step_size / spec.contract_size).normalize()
        return cls(float(spec.contract_size), spec.lot_exp, max(0, -int(step.as_tuple().exponent)))

    def base(self, size: float) -> float:
        """The double next to the exact product."""
        return size if self.size == 1.0 else round(size * self.size, self.places)

    def size_of(self, base: float) -> float:
        return base if self.size == 1.0 else round(base / self.size, self.venue_places)

    def rows(self, levels: list[OkxLevel]) -> list[Level]:
        """In the order of the frame: of a price that is named twice, the last row counts."""
        if self.size == 1.0:
            return [(price, size) for price, size, _, _ in levels]
        return [(price, self.base(size)) for price, size, _, _ in levels]

    def trades(self, fills: OkxFills) -> list[Trade]:
        """One for each id. Of fills that the venue added up only the sum is known: they get equal parts of it, and the
        last one the rest. Raises ValueError where the sum has fewer lots than fills.
        """
        first_id, is_sell, whole = fills.trade_id - fills.count + 1, fills.side == "sell", self.base(fills.size)
        lots = round(whole * 10**self.places)
        part = lots // fills.count
        if first_id < 0 or (fills.count > 1 and part == 0):
            raise ValueError(f"{fills.count} fills of {fills.size}, the last of them {fills.trade_id}")
        sizes = [part / 10**self.places] * (fills.count - 1)  # the doubles next to these decimals
        sizes.append((lots - part * len(sizes)) / 10**self.places if sizes else whole)
        return [
            Trade(trade_id, fills.time_ms, fills.price, size, trade_id, trade_id, is_sell)
            for trade_id, size in enumerate(sizes, first_id)
        ]


class OkxInstrument(msgspec.Struct, rename="camel"):
    """One entry of `instruments`."""

    inst_type: str
    inst_id: str
    state: str
    tick_sz: str
    lot_sz: str
    base_ccy: str = ""
    quote_ccy: str = ""
    settle_ccy: str = ""
    ct_val: str = ""
    ct_mult: str = ""
    ct_val_ccy: str = ""

    @property
    def assets(self) -> tuple[str, str]:
        """Base and quote. A swap has them in its name alone: "BTC-USDT-SWAP"."""
        if self.inst_type == "SPOT":
            return self.base_ccy, self.quote_ccy
        base, quote, _ = self.inst_id.split("-")
        return base, quote

    @property
    def contract_size(self) -> Decimal:
        """Base units of one contract; 1 where sizes are base units."""
        return Decimal(1) if self.inst_type == "SPOT" else Decimal(self.ct_val) * Decimal(self.ct_mult or 1)

    @property
    def is_kept(self) -> bool:
        """Spot, and swaps whose contracts are amounts of the base asset. Of an inverse one they are dollars: the size
        of a level in the base asset would change with its price.
        """
        return self.inst_type == "SPOT" or self.ct_val_ccy == self.assets[0]

    @property
    def status_word(self) -> str:
        """TRADING, or the exchange's own word in capital letters."""
        return "TRADING" if self.state == "live" else self.state.upper()[:40]

    def listed(self) -> Listed | None:
        """None where its names are no plain names."""
        base, quote = self.assets
        is_plain = is_asset_name(base) and is_asset_name(quote) and is_symbol_name(self.inst_id)
        return Listed(self.inst_id, base, quote, self.state == "live") if is_plain else None

    def spec(self) -> SymbolSpec:
        """The venue's largest orders are no limits: 9999999999 BTC."""
        base, quote = self.assets
        return SymbolSpec(
            self.inst_id,
            base,
            quote,
            Decimal(self.tick_sz),
            (Decimal(self.lot_sz) * self.contract_size).normalize(),
            trading=self.state == "live",
            market="spot" if self.inst_type == "SPOT" else "perpetual",
            contract_size=self.contract_size.normalize(),
        )


class _OkxAnswer(msgspec.Struct):
    code: str
    msg: str = ""
    data: list[msgspec.Raw] = []


class _OkxClock(msgspec.Struct):
    ts: Millis


_ANSWER = msgspec.json.Decoder(_OkxAnswer)
_INSTRUMENT = msgspec.json.Decoder(OkxInstrument)
_CLOCK = msgspec.json.Decoder(_OkxClock, strict=False)
_FILLS = msgspec.json.Decoder(OkxFills, strict=False)


def parse_answer(raw: bytes) -> tuple[str, str, list[msgspec.Raw]]:
    """Code ("0": no error), words and rows of a REST answer."""
    try:
        answer = _ANSWER.decode(raw)
    except UNREADABLE as error:
        raise ExchangeUnavailable("The exchange sent an answer that cannot be read.") from error
    return answer.code, answer.msg, answer.data


def parse_instruments(rows: list[msgspec.Raw]) -> tuple[list[OkxInstrument], int]:
    """Those that are kept here, and how many cannot be read."""
    found = [_instrument(row) for row in rows]
    kept = [each for each in found if each is not None and each.is_kept]
    return kept, found.count(None)


def _instrument(raw: msgspec.Raw) -> OkxInstrument | None:
    try:
        instrument = _INSTRUMENT.decode(raw)
        if instrument.is_kept and (instrument.listed() is None or not _is_grid(instrument.spec())):
            return None
    except (*UNREADABLE, ArithmeticError, ValueError):
        return None
    return instrument


def _is_grid(spec: SymbolSpec) -> bool:
    return all(step.is_finite() and step > 0 for step in (spec.tick_size, spec.step_size, spec.contract_size))


def parse_time(rows: list[msgspec.Raw]) -> int:
    """Milliseconds since the epoch."""
    try:
        return _CLOCK.decode(rows[0]).ts
    except (*UNREADABLE, IndexError) as error:
        raise ExchangeUnavailable("The exchange sent a time that cannot be read.") from error


def parse_page(rows: list[msgspec.Raw], contract: Contract) -> tuple[list[Trade], int]:
    """Trades in any order: ascending by id those that can be read, and how many cannot."""
    found = [_trades(row, contract) for row in rows]
    by_id = {trade.agg_id: trade for trades in found if trades is not None for trade in trades}
    return [by_id[agg_id] for agg_id in sorted(by_id)], found.count(None)


def _trades(raw: msgspec.Raw, contract: Contract) -> list[Trade] | None:
    try:
        return contract.trades(_FILLS.decode(raw))
    except (*UNREADABLE, ValueError):
        return None
