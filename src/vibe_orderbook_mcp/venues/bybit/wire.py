"""Bybit's websocket v5: what is sent on it, and what comes. Pure.

A book begins with a snapshot in the stream. Each frame has the id of the one before + 1. Another snapshot may come at
any time, and id 1 is one too: the service started again. What enters or leaves the best 200 levels is always said. The
first snapshot is some seconds late, and the frames since then follow in one burst. Trades have names instead of ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from vibe_orderbook_mcp.book.sync import BookRule
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import BookReplaced, Event, MalformedMessage, Reply, TradeOf, VenueTraits
from vibe_orderbook_mcp.venues.bybit import messages
from vibe_orderbook_mcp.venues.bybit.messages import BybitFrame, Market

DEPTH: Final = 200
RESTARTED: Final = 1  # the id of the first frame of a service that started again

SPOT: Final = VenueTraits(
    name="bybit",
    snapshots="stream",
    proof=Proof(book="update_ids", trades="unproven", refill=False),
    symbols_a_line=50,
    streams_a_request=10,  # the most that spot allows
    request_spacing_secs=0.1,
    ping_every_secs=20.0,
)
LINEAR: Final = msgspec.structs.replace(SPOT, name="bybit-linear")

_BOOK, _TRADES = f"orderbook.{DEPTH}.", "publicTrade."


class BybitWire:
    """See `venues.contract.Wire`."""

    def __init__(self, market: Market, depth: int = DEPTH) -> None:
        self._market = market
        self._depth = depth
        self._ids: dict[str, int] = {}  # of the newest frame of each book
        self._waiting: set[str] = set()  # requests that are not answered yet

    def address(self, base_url: str, streams: Sequence[str]) -> str:
        return f"{base_url}/v5/public/{self._market}"

    def subscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        return self._request("subscribe", request_id, streams)

    def unsubscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        return self._request("unsubscribe", request_id, streams)

    def ping(self) -> bytes | None:
        return b'{"op":"ping"}'

    def read(self, raw: bytes) -> Sequence[Event]:
        try:
            frame = messages.decode_frame(raw)
        except msgspec.ValidationError as error:
            raise MalformedMessage("invalid", str(error)) from error
        except messages.UNREADABLE as error:
            raise MalformedMessage("unreadable", str(error)) from error
        topic = frame.topic
        try:
            if topic is not None and topic.startswith("orderbook."):
                return [self._book(frame)]
            if topic is not None and topic.startswith(_TRADES):
                return self._trades(frame)
        except (*messages.UNREADABLE, ValueError) as error:
            raise MalformedMessage("invalid", str(error)) from error
        if topic is None and frame.op is not None:
            return self._reply(frame)
        raise MalformedMessage("unknown", f"topic {topic!r:.80}")

    def _request(self, operation: str, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        self._waiting.add(str(request_id))
        return [msgspec.json.encode({"req_id": str(request_id), "op": operation, "args": streams})]

    def _reply(self, frame: BybitFrame) -> Sequence[Event]:
        """One answer for all streams of a request. The answer to a ping has another `op` on each market."""
        request_id = frame.req_id
        if frame.op not in ("subscribe", "unsubscribe") or request_id is None or request_id not in self._waiting:
            return ()
        self._waiting.discard(request_id)
        return [Reply(int(request_id), None if frame.success else frame.ret_msg or "refused without a word")]

    def _book(self, frame: BybitFrame) -> Event:
        depth = messages.decode_depth(frame.data)
        event_ms = frame.event_ms if frame.matched_ms is None else frame.matched_ms  # trades have the engine's time too
        if event_ms is None:
            raise ValueError("a book without a time")
        symbol, update_id = depth.symbol, depth.update_id
        last, self._ids[symbol] = self._ids.get(symbol), update_id
        if frame.type == "snapshot" or update_id == RESTARTED:
            snapshot = DepthSnapshot(update_id, depth.bids, depth.asks)
            return BookReplaced(symbol, event_ms, snapshot, self._depth)
        if last is not None and update_id < last:
            update_id = last + 2  # the service started again and its first frames were lost: a gap, not an old frame
        return DepthUpdate(symbol, event_ms, update_id, update_id, depth.bids, depth.asks)

    def _trades(self, frame: BybitFrame) -> Sequence[Event]:
        """Block trades are agreed elsewhere and are no flow of this market."""
        fills = sorted(messages.decode_fills(frame.data), key=_seq)
        return [TradeOf(fill.symbol, fill.trade()) for fill in fills if not fill.is_block]


def _seq(fill: messages.BybitFill) -> int:
    return fill.seq


class Bybit:
    """See `venues.contract.Venue`."""

    def __init__(self, market: Market, *, depth: int = DEPTH) -> None:
        self.traits = SPOT if market == "spot" else LINEAR
        self._market: Market = market
        self._depth = depth

    tape = None

    def streams_of(self, symbol: str) -> list[str]:
        return [_BOOK + symbol, _TRADES + symbol]

    def wire(self) -> BybitWire:
        return BybitWire(self._market, self._depth)

    def rule(self, spec: SymbolSpec) -> BookRule:
        return BookRule(self._depth, is_exact=True)
