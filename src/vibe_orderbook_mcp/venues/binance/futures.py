"""Binance's USD-M futures: streams on two paths, and books whose frames name the one before. Pure.

Depth is served below `/public`, the tape below `/market`; a stream on the wrong path is accepted and stays silent
(since 2026-04-23). Ids between a frame's `pu` and its `U` belong to other symbols: a frame continues the book if its
`pu` is the id of the last one (official documents, "How to manage a local order book correctly"). Orders of the Retail
Price Improvement programme are in no depth stream. The tape (`aggTrade`) has market trades alone, and none of the
insurance fund or of forced deleveraging.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import quote

import msgspec

from vibe_orderbook_mcp.book.sync import BookRule
from vibe_orderbook_mcp.model.events import DepthUpdate, Id, Level, Millis
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import Event, MalformedMessage, Reply, VenueTraits
from vibe_orderbook_mcp.venues.binance.messages import ShutdownMessage, TradeMessage
from vibe_orderbook_mcp.venues.binance.weights import USDM
from vibe_orderbook_mcp.venues.binance.wire import TRAITS, BinanceWire

BOOKS: Final = "/public"
TAPE: Final = "/market"

USDM_TRAITS: Final = msgspec.structs.replace(
    TRAITS,
    name=USDM.venue,
    most_depth=USDM.most_depth,
    request_spacing_secs=0.2,  # ten incoming messages a second are allowed
)


class FuturesDepth(msgspec.Struct, tag_field="e", tag="depthUpdate"):
    """`<symbol>@depth@100ms` of futures."""

    symbol: str = msgspec.field(name="s")
    event_ms: Millis = msgspec.field(name="E")
    first_id: Id = msgspec.field(name="U")
    final_id: Id = msgspec.field(name="u")
    before_id: Annotated[int, msgspec.Meta(ge=-1, le=2**62)] = msgspec.field(name="pu")
    bids: list[Level] = msgspec.field(name="b")
    asks: list[Level] = msgspec.field(name="a")

    def update(self) -> DepthUpdate:
        """As it continues a book: the ids behind the one before, which are the symbol's or nobody's."""
        return DepthUpdate(self.symbol, self.event_ms, self.before_id + 1, self.final_id, self.bids, self.asks)


class _FuturesFrame(msgspec.Struct):
    stream: str | None = None
    data: FuturesDepth | TradeMessage | ShutdownMessage | None = None
    id: int | None = None
    code: int | None = None
    msg: str | None = None
    error: dict[str, object] | None = None


class _AnyEvent(msgspec.Struct):
    e: str


class _AnyFrame(msgspec.Struct):
    data: _AnyEvent


_FRAME = msgspec.json.Decoder(_FuturesFrame, strict=False)
_ANY = msgspec.json.Decoder(_AnyFrame)
_KNOWN: Final = frozenset({"depthUpdate", "aggTrade", "serverShutdown"})
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def parse_frame(raw: bytes) -> Event:
    """One text frame. Raises MalformedMessage for anything else than a documented message."""
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError as error:
        raise MalformedMessage("invalid" if _is_known(raw) else "unknown", str(error)) from error
    except _UNREADABLE as error:
        raise MalformedMessage("unreadable", str(error)) from error
    event = frame.data
    if isinstance(event, FuturesDepth):
        if not event.before_id < event.first_id <= event.final_id:
            raise MalformedMessage("invalid", f"pu {event.before_id}, U {event.first_id}, u {event.final_id}")
        return event.update()
    if isinstance(event, TradeMessage):
        if event.last_trade_id < event.first_trade_id:
            raise MalformedMessage("invalid", f"l {event.last_trade_id} < f {event.first_trade_id}")
        return event
    if event is not None:
        return event
    if frame.id is not None:
        return Reply(frame.id, frame.msg or (str(frame.error) if frame.error else None))
    raise MalformedMessage("unknown", "neither an event nor an answer")


def _is_known(raw: bytes) -> bool:
    try:
        return _ANY.decode(raw).data.e in _KNOWN
    except _UNREADABLE:
        return True  # not even its name can be read: it is wrong, not new


class UsdmWire(BinanceWire):
    """See `venues.contract.Wire`. `path` is that of books or of the tape."""

    def __init__(self, path: str) -> None:
        self._path = path

    def address(self, base_url: str, streams: Sequence[str]) -> str:
        return f"{base_url}{self._path}/stream?streams={quote('/'.join(streams), safe='/@')}"

    def read(self, raw: bytes) -> Sequence[Event]:
        return (parse_frame(raw),)


class UsdmTape:
    """See `venues.contract.Venue`: the trades alone."""

    traits: VenueTraits = USDM_TRAITS
    tape = None

    def streams_of(self, symbol: str) -> list[str]:
        return [f"{symbol.lower()}@aggTrade"]

    def wire(self) -> UsdmWire:
        return UsdmWire(TAPE)

    def rule(self, spec: SymbolSpec) -> None:
        """There is no book here."""


class BinanceUsdm:
    """See `venues.contract.Venue`."""

    def __init__(self, traits: VenueTraits = USDM_TRAITS) -> None:
        self.traits = traits
        self.tape = UsdmTape()

    def streams_of(self, symbol: str) -> list[str]:
        return [f"{symbol.lower()}@depth@100ms"]

    def wire(self) -> UsdmWire:
        return UsdmWire(BOOKS)

    def rule(self, spec: SymbolSpec) -> BookRule:
        """A whole book, whose ids are shared with other symbols."""
        return BookRule(counts_ids=False)
