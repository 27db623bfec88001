"""What the connection to a venue says, in one form for all venues. Pure.

A venue's own messages are turned into these where they are decoded. The code that keeps books knows no other form.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from vibe_orderbook_mcp.model.errors import VibeError
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.instrument import UNPROVEN, Proof

Malformation = Literal["unreadable", "invalid", "unknown"]


class MalformedMessage(VibeError):
    """Bytes that are not what the venue's documentation says. They are counted and skipped.

    `kind`: not JSON at all, an event with a wrong field, or an unknown event.
    """

    def __init__(self, kind: Malformation, message: str) -> None:
        super().__init__(message)
        self.kind: Malformation = kind


class BookReplaced(msgspec.Struct, gc=False):
    """The whole book of a symbol, sent by the stream: it takes the place of what was known.

    `limit` is how many levels a side were subscribed to; None: all that there are. `event_ms` and `checksum` are None
    where the venue does not say them.
    """

    symbol: str
    event_ms: int | None
    snapshot: DepthSnapshot
    limit: int | None = None
    checksum: int | None = None


class CheckedUpdate(DepthUpdate, gc=False):
    """An update with the venue's own checksum of the book after it."""

    checksum: int = 0


class Traded(msgspec.Struct):
    """Something was traded in `symbol`, in the venue's spelling."""

    symbol: str

    def trade(self) -> Trade:
        raise NotImplementedError


class TradeOf(Traded):
    """A trade that was decoded whole."""

    event: Trade

    def trade(self) -> Trade:
        return self.event


class Reply(msgspec.Struct):
    """The answer to a request; `error` is None when it was accepted."""

    id: int
    error: str | None = None


class Closing(msgspec.Struct):
    """The server is about to go: open another connection as soon as possible."""


class SequenceBroken(msgspec.Struct):
    """Messages of the connection were lost: no book that is kept from it can be proved. `reason` is for the log."""

    reason: str


class Say(msgspec.Struct):
    """The venue asked for an answer on the same connection: send this."""

    raw: bytes


Event = DepthUpdate | BookReplaced | Traded | Reply | Closing | SequenceBroken | Say


class VenueTraits(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every connection to a venue."""

    name: str
    # Whether a book begins with an answer over REST, or with a message of the stream.
    snapshots: Literal["rest", "stream"]
    proof: Proof = UNPROVEN  # how its books and trades are known to be right
    most_depth: int = 0  # levels a side of a whole snapshot over REST
    trades_a_page: int = 0  # how many trades come at once by their ids over REST; 0: they do not
    lifetime_secs: float | None = None  # at this age a connection is changed, before the venue ends it; None: never
    most_frame_bytes: int = 4 * 1024 * 1024
    symbols_a_line: int = 200
    streams_in_url: int = 0  # the rest is subscribed to by messages
    streams_a_request: int = 60
    request_spacing_secs: float = 0.3
    ping_every_secs: float | None = None
