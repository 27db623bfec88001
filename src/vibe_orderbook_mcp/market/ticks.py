"""What one tick of an instrument brings: seconds, trades, a fair price now and then, and lines for the log. Pure."""

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

# Where in a second of the exchange's clock the tick is due: the second before is final then, an event later than that
# has shown it (one comes every 100 ms), and was 100 ms late at most.
TICK_AT_MS: Final = CLOSE_MS + 200
# The micro-price is solved off the event path from what was counted so far: first after a minute of ticks, then hourly.
FAIR_PRICE_FIRST_TICKS: Final = 60
FAIR_PRICE_AGAIN_TICKS: Final = 3600


class Notice(Enum):
    """What an operator should read in the log after a tick."""

    NO_BOOK = "no book"  # for a second or longer
    STALE = "stale"
    LIVE_AGAIN = "live again"


class FinalSecond(NamedTuple):
    """A second that nothing changes any more."""

    record: SecondRecord
    evidence: LevelEvidence | None  # what single levels did in it


class Ticked(NamedTuple):
    """What one tick brought: ascending by time."""

    seconds: Sequence[FinalSecond]
    trades: TradeBatch | None


class Notices:
    """What is worth a line, once a second: what lasts is said as often as the caller likes, what changes once."""

    __slots__ = ("_was_bookless", "_was_stale")

    def __init__(self) -> None:
        self._was_bookless = self._was_stale = False

    def tick(self, book: OrderBook | None, status: Status, *, is_suspended: bool) -> list[Notice]:
        """`status` and book of now. A suspended instrument is silent, and no stale one."""
        notices = []
        has_levels = book is not None and (book.bids.best is not None or book.asks.best is not None)
        if not has_levels and self._was_bookless:  # in its first second a new instrument has none yet
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
    """The micro-price of one instrument, learned from its own book. `tick` once a second; `table` is what was learned.

    The book counts its steps with every event. To solve them takes some milliseconds, so that is done seldom; a table
    that does not fit any more is kept until there is another one.
    """

    __slots__ = ("_steps", "_table", "_ticks")

    def __init__(self, steps: TouchSteps) -> None:
        self._steps = steps
        self._table: MicropriceTable | None = None
        self._ticks = 0

    @property
    def table(self) -> MicropriceTable | None:
        """None while too little was seen."""
        return self._table

    def tick(self) -> None:
        """A second has passed."""
        self._ticks += 1
        if self._ticks % (FAIR_PRICE_FIRST_TICKS if self._table is None else FAIR_PRICE_AGAIN_TICKS) == 0:
            self._table = solve(self._steps) or self._table
