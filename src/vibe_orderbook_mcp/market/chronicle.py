"""The state of an instrument that outlasts a change of its grid: trades, past, and counts of events. Pure."""

from __future__ import annotations

import msgspec

from vibe_orderbook_mcp.market.day_volume import DayVolume
from vibe_orderbook_mcp.market.detection import Unsaved
from vibe_orderbook_mcp.market.filling import Filling
from vibe_orderbook_mcp.market.silence import Silence
from vibe_orderbook_mcp.model.numbering import OwnNumbers
from vibe_orderbook_mcp.model.tape import TradeTape
from vibe_orderbook_mcp.seconds.past_hour import PastHour

# The exchange's word for a symbol that trades; others are HALT, BREAK, END_OF_DAY... DELISTED is ours: it has none.
TRADING, DELISTED = "TRADING", "DELISTED"


class Counts(msgspec.Struct):
    """Counts since the start. `InstrumentOwner` counts; all others read."""

    events: int = 0  # depth events that were applied
    old_events: int = 0  # depth events that the book already contained
    gaps: int = 0
    crossings: int = 0
    checksum_failures: int = 0
    resyncs: int = 0  # snapshots that were joined with the stream, the first one included
    audits: int = 0
    audit_mismatches: int = 0
    trades: int = 0
    impossible_trades: int = 0  # beyond the instrument's own limits: skipped

    @property
    def loads(self) -> int:
        """How often the book was loaded, or replaced by a fresh copy."""
        return self.resyncs + self.audits


class Chronicle:
    """Everything that an owner passes to its successor when the exchange changes the tick or the step size."""

    __slots__ = ("counts", "day", "filling", "heard_ms", "numbers", "past", "silence", "tape", "trading", "unsaved")

    def __init__(self) -> None:
        self.tape = TradeTape()
        self.numbers: OwnNumbers | None = None  # for trades whose ids prove nothing
        self.day = DayVolume()
        self.past = PastHour()
        self.silence = Silence()
        self.counts = Counts()
        self.unsaved = Unsaved()
        self.filling = Filling()
        self.trading = TRADING  # the exchange's word for whether the symbol trades, or DELISTED
        self.heard_ms: int | None = None  # exchange time of the newest event of book or trades; stays without a book

    def heard(self, event_ms: int) -> None:
        """An event came; the newest one by its own time counts."""
        if self.heard_ms is None or event_ms > self.heard_ms:
            self.heard_ms = event_ms

    def suspension(self, symbol: str) -> str | None:
        """Why the instrument cannot be traded, as a sentence; None if it can."""
        if self.trading == TRADING:
            return None
        if self.trading == DELISTED:
            return f"The exchange does not list {symbol} any more."
        return f"Trading in {symbol} is suspended at the exchange (status {self.trading})."
