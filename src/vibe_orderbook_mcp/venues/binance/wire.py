"""Binance's combined streams: where they are, what is sent on them, and what comes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import msgspec

from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import Event, VenueTraits
from vibe_orderbook_mcp.venues.binance import messages
from vibe_orderbook_mcp.venues.binance.weights import US

TRAITS: Final = VenueTraits(
    name="binance",
    snapshots="rest",
    proof=Proof(book="update_ids", trades="consecutive_ids", refill=True),
    most_depth=5000,
    trades_a_page=1000,
    lifetime_secs=23 * 3600.0,  # the exchange ends a connection at 24 h
    # The largest recorded frame has 70 KB; the whole book of a major as one frame would have 1 MB.
    most_frame_bytes=4 * 1024 * 1024,
    symbols_a_line=200,  # two streams each; the exchange allows 1024
    streams_in_url=60,  # a longer URL is refused by some proxies
    streams_a_request=60,
    request_spacing_secs=0.3,  # with a ping a second that stays below the five messages which the exchange allows
)


US_TRAITS: Final = msgspec.structs.replace(TRAITS, name=US.venue)


class BinanceWire:
    """See `venues.contract.Wire`."""

    def address(self, base_url: str, streams: Sequence[str]) -> str:
        return f"{base_url}/stream?streams={quote('/'.join(streams), safe='/@')}"

    def subscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        return [msgspec.json.encode({"method": "SUBSCRIBE", "params": streams, "id": request_id})]

    def unsubscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        return [msgspec.json.encode({"method": "UNSUBSCRIBE", "params": streams, "id": request_id})]

    def read(self, raw: bytes) -> Sequence[Event]:
        return (messages.parse_frame(raw),)

    def ping(self) -> bytes | None:
        return None


class BinanceSpot:
    """See `venues.contract.Venue`."""

    def __init__(self, traits: VenueTraits = TRAITS) -> None:
        self.traits = traits

    tape = None

    def streams_of(self, symbol: str) -> list[str]:
        """Stream names are in lower case."""
        return [f"{symbol.lower()}@depth@100ms", f"{symbol.lower()}@aggTrade"]

    def wire(self) -> BinanceWire:
        return BinanceWire()

    def rule(self, spec: SymbolSpec) -> None:
        """Update ids that follow each other prove a whole book."""
