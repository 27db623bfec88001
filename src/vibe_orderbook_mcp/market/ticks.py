"""The output of one tick of an instrument: seconds, trades, a new fair price, and log lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final, NamedTuple

from vibe_orderbook_mcp.analytics.microprice import MicropriceTable, solve
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.touch_steps import TouchSteps
from vibe_orderbook_mcp.model.moment import Status
from vibe_orderbook_mcp.model.rows import SecondRecord, TradeBatch
from vibe_orderbook_mcp.seconds.tracker import CLOSE_MS
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence

# The time of the tick within a second of the exchange's clock. The second before is final then: a later event has
# arrived (one comes every 100 ms), at most 100 ms late.
TICK_AT_MS: Final = CLOSE_MS + 200
# The micro-price is solved off the event path from the counts so far: first after a minute of ticks, then hourly.
FAIR_PRICE_FIRST_TICKS: Final = 60
FAIR_PRICE_AGAIN_TICKS: Final = 3600


class Notice(Enum):
    """Log lines for the operator after a tick."""

    NO_BOOK = "no book"  # for a second or longer
    STALE = "stale"
    LIVE_AGAIN = "live again"


class FinalSecond(NamedTuple):
    """A final second."""

    record: SecondRecord
    evidence: LevelEvidence | None  # flow of single levels in it


class Ticked(NamedTuple):
    """The output of one tick, ascending by time."""

    seconds: Sequence[FinalSecond]
    trades: TradeBatch | None


class Notices:
    """Log lines, once a second: a change is logged once, a state as often as the caller wants."""

    __slots__ = ("_was_bookless", "_was_stale")

    def __init__(self) -> None:
        self._was_bookless = self._was_stale = False

    def tick(self, book: OrderBook | None, status: Status, *, is_suspended: bool) -> list[Notice]:
        """The present `status` and book. A suspended instrument is silent, not stale."""
        notices = []
        has_levels = book is not None and (book.bids.best is not None or book.asks.best is not None)
        if not has_levels and self._was_bookless:  # a new instrument has no book in its first second
            notices.append(Notice.NO_BOOK)
        self._was_bookless = not has_levels
        if status == "stale" and not is_suspended and not self._was_stale:
            self._was_stale = True
            notices.append(Notice.STALE)
        elif status == "live" and self._was_stale:
            self._was_stale = False
            notices.append(Notice.LIVE_AGAIN)
        return notices


class FairPrice:
    """The micro-price of one instrument, learned from its own book. Call `tick` once a second; `table` is the result.

    The book counts its steps with every event. Solving takes some milliseconds, so it is done rarely. An outdated table
    stays until there is a new one.
    """

    __slots__ = ("_steps", "_table", "_ticks")

    def __init__(self, steps: TouchSteps) -> None:
        self._steps = steps
        self._table: MicropriceTable | None = None
        self._ticks = 0

    @property
    def table(self) -> MicropriceTable | None:
        """None while there are too few observations."""
        return self._table

    def tick(self) -> None:
        """A second has passed."""
        self._ticks += 1
        if self._ticks % (FAIR_PRICE_FIRST_TICKS if self._table is None else FAIR_PRICE_AGAIN_TICKS) == 0:
            self._table = solve(self._steps) or self._table
