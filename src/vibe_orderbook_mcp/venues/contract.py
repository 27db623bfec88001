"""What a venue has to offer to be kept: the one interface between the feed and everything that is a venue's own. Pure.

`docs/ADD_A_VENUE.md` says how to find out what belongs into it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from vibe_orderbook_mcp.book.sync import BookRule
from vibe_orderbook_mcp.model.events import DepthSnapshot, Trade
from vibe_orderbook_mcp.model.listed import Listing, PriceSource
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import Event, VenueTraits


class Wire(Protocol):
    """One connection to a venue: what is sent on it, and what its messages mean.

    An object serves one connection, so it may count what comes on it.
    """

    def address(self, base_url: str, streams: Sequence[str]) -> str:
        """Where to connect to, with as many of `streams` in it as `VenueTraits.streams_in_url` allows."""

    def subscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]:
        """Messages that ask for these streams. One `Reply` with this id answers all of them."""

    def unsubscribe(self, request_id: int, streams: Sequence[str]) -> Sequence[bytes]: ...

    def read(self, raw: bytes) -> Sequence[Event]:
        """What one message says, in its order. Raises MalformedMessage, and nothing else."""

    def ping(self) -> bytes | None:
        """What is to be said every `VenueTraits.ping_every_secs`; None: the websocket's own pings suffice."""


class Rest(Protocol):
    """A venue's answers to single questions. Methods raise ExchangeUnavailable, RateLimited or SymbolUnknown.

    Trades are asked for only where `VenueTraits.trades_a_page` says how many come at once.
    """

    requests: int

    @property
    def weight_used(self) -> int | None:
        """Of this minute, where the venue counts requests by weight."""

    failures: Counter[str]  # by HTTP status; "no answer" that came, or could be read
    source: PriceSource | None  # the origin of the prices; None until the venue has answered
    skipped: Counter[str]  # rows of answers that could not be read: levels, symbols, trades

    async def aclose(self) -> None: ...

    async def symbol(self, symbol: str, *, is_lookup: bool = False) -> SymbolSpec:
        """`is_lookup`: because a client asked. It then has a small share of the venue's limits, and does not wait."""

    async def all_symbols(self) -> Listing:
        """Everything that the venue lists."""

    async def listing(self, symbol: str) -> tuple[str, SymbolSpec]:
        """What the venue says of it now. The word is TRADING where it trades, else the venue's own."""

    async def server_time_ms(self) -> int:
        """The venue's clock."""

    async def agg_trades(self, symbol: str, from_id: int | None, *, is_older: bool = False) -> list[Trade]:
        """A page of trades from `from_id` on, ascending, or of the newest. `is_older`: nobody waits for it, and what it
        costs comes out of a share of its own.
        """


class SnapshotRest(Rest, Protocol):
    """The same of a venue whose `VenueTraits.snapshots` is "rest"."""

    def affordable_depth(self) -> int:
        """How many levels a side a snapshot should have now."""

    async def depth(self, symbol: str, limit: int) -> DepthSnapshot:
        """The best `limit` levels of each side."""

    async def glance(self, symbol: str) -> DepthSnapshot:
        """The best levels alone, for little of the venue's limits."""


class Venue(Protocol):
    """One venue, as the feed needs it."""

    traits: VenueTraits

    @property
    def tape(self) -> Venue | None:
        """What trades come on, if that is another connection than that of the books."""

    def streams_of(self, symbol: str) -> list[str]:
        """The streams that a book and its tape are made of, that of the book first."""

    def wire(self) -> Wire:
        """For a new connection."""

    def rule(self, spec: SymbolSpec) -> BookRule | None:
        """What else the venue says of this book; None: its update ids say it all."""
