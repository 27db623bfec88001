"""The micro-price of one instrument, learned from its own book. Pure."""

from __future__ import annotations

from typing import Final

from vibe_orderbook_mcp.analytics.microprice import MicropriceTable, solve
from vibe_orderbook_mcp.book.touch_steps import TouchSteps

# It is solved from what was counted so far: first after a minute of ticks, then every hour. That is off the event path.
FIRST_TICKS: Final = 60
AGAIN_TICKS: Final = 3600


class FairPrice:
    """`tick` once a second; `table` is what was learned.

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
        if self._ticks % (FIRST_TICKS if self._table is None else AGAIN_TICKS) == 0:
            self._table = solve(self._steps) or self._table
