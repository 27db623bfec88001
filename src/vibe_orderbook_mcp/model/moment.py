"""The state of an instrument at one moment. A value: the next event does not change it."""

from __future__ import annotations

from typing import Literal

import msgspec

from vibe_orderbook_mcp.model.symbol import SymbolSpec

# live: in proven sequence, and its connection answers. stale: in sequence, but no answer. syncing: there is no book.
Status = Literal["live", "stale", "syncing"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The state that every answer reports. Times in ms are the exchange's; None: unknown.

    Two moments with the same `loads` and `last_update_id` have the same book.
    """

    spec: SymbolSpec
    status: Status
    now_ms: int | None
    age_ns: int | None  # since the newest depth event, or since the snapshot was loaded
    reason: str  # why there is no live book; empty if there is one
    suspension: str | None  # why the instrument cannot be traded, as a sentence; None if it can
    is_delisted: bool
    disconnected: str | None = None  # why the exchange's stream is not connected; None when it is
    last_update_id: int | None  # of the book; None: there is none in proven sequence
    loads: int  # how often the book was loaded or replaced by a fresh copy
    defect: str | None  # the defect of the book, such as an empty side
    event_ms: int | None  # of the newest event in the book
    heard_ms: int | None  # of the newest event of book or trades; stays without a book
    newest_second: int | None = None  # that is over and was seen
    mid: float | None  # on the grid of half ticks
    last_price: float | None  # of the newest trade
    last_trade_ms: int | None
    day_volumes: tuple[float, float] | None  # aggressive (buy, sell) base units since 00:00 UTC; None: not all seen

    @property
    def has_book(self) -> bool:
        return self.last_update_id is not None

    @property
    def newest_ms(self) -> int | None:
        """Time of the newest event in the book; without a book, of the newest event of any kind."""
        return self.event_ms if self.has_book else self.heard_ms

    @property
    def silent_secs(self) -> float:
        return (self.age_ns or 0) / 1e9
