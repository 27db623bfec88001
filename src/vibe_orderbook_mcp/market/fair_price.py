"""The micro-price of one instrument, learned from its own book. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from vibe_orderbook_mcp.analytics.microprice import MicropriceModel, MicropriceTable
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.recorded_book import Touch

# It is solved from what was counted so far: first after a minute of ticks, then every hour. That is off the event path.
FIRST_TICKS: Final = 60
AGAIN_TICKS: Final = 3600


class FairPrice:
    """`tick` once a second with what the book was meanwhile; `table` is what was learned."""

    __slots__ = ("_model", "_table", "_tick_size", "_ticks")

    def __init__(self, spec: SymbolSpec) -> None:
        self._model = MicropriceModel()
        self._table: MicropriceTable | None = None
        self._tick_size = float(spec.tick_size)
        self._ticks = 0

    @property
    def table(self) -> MicropriceTable | None:
        """None while too little was seen."""
        return self._table

    def tick(self, touches: Iterable[Touch | None]) -> None:
        """A second has passed: what the book was after each of its events, None where it was lost in between."""
        for touch in touches:
            if touch is None:
                self._model.break_chain()  # what comes next does not follow from what was before
            else:
                self._model.observe(*touch, self._tick_size)
        self._ticks += 1
        if self._ticks % (FIRST_TICKS if self._table is None else AGAIN_TICKS) == 0:
            self._table = self._model.solve() or self._table
