"""What is so of an instrument at one moment. A value: nothing of it changes when the next event comes."""

from __future__ import annotations

from typing import Literal

import msgspec

from vibe_orderbook_mcp.model.symbol import SymbolSpec

# live: in proven sequence, and its connection answers. stale: in sequence, but not so. syncing: there is no book.
Status = Literal["live", "stale", "syncing"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer says of the moment it is made. Times in ms are the exchange's; None: not known.

    Two moments with the same `loads` and `last_update_id` have the same book.
    """

    spec: SymbolSpec
    status: Status
    now_ms: int | None
    age_ns: int | None  # since the newest depth event, or since the snapshot was loaded
    reason: str  # why there is no live book; empty when there is one
    suspension: str | None  # why the instrument cannot be traded, as a sentence; None when it can
    is_delisted: bool
    last_update_id: int | None  # of the book; None: there is none in proven sequence
    loads: int  # how often the book was loaded or exchanged for a fresh copy
    defect: str | None  # what the book lacks for a market, such as one of its sides
    event_ms: int | None  # of the newest event in the book
    heard_ms: int | None  # of the newest event of book or trades; stays without a book
    mid: float | None  # on the grid of half ticks
    last_price: float | None  # of the newest trade
    last_trade_ms: int | None
    day_volumes: tuple[float, float] | None  # aggressive (buy, sell) base units since 00:00 UTC; None: not all seen

    @property
    def has_book(self) -> bool:
        return self.last_update_id is not None

    @property
    def newest_ms(self) -> int | None:
        """Of the newest event in the book, or without a book of the newest one at all."""
        return self.event_ms if self.has_book else self.heard_ms

    @property
    def silent_secs(self) -> float:
        return (self.age_ns or 0) / 1e9
