"""Lost seconds, counted by the clock and by symbol. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.rows import SecondRecord


class SymbolSeconds:
    """A set of seconds of the clock, with the number of its symbols and of their seconds."""

    def __init__(self, records: Iterable[SecondRecord] = ()) -> None:
        self._clock: list[Interval] = []
        self._symbols: set[str] = set()
        self.symbol_secs = 0
        self.add(records)

    def add(self, records: Iterable[SecondRecord]) -> None:
        """Each record once."""
        for record in records:
            second = record.row.second
            self._clock = intervals.add(self._clock, second, second)
            self._symbols.add(record.spec.symbol)
            self.symbol_secs += 1

    @property
    def clock_secs(self) -> int:
        """Different seconds of the clock."""
        return intervals.count(self._clock)

    def __bool__(self) -> bool:
        return self.symbol_secs > 0

    def __str__(self) -> str:
        """`16 seconds of 2 symbols`; if some symbols miss some of them, also the total over symbols."""
        secs, symbols = self.clock_secs, len(self._symbols)
        text = f"{_counted(secs, 'second')} of {_counted(symbols, 'symbol')}"
        return text if secs * symbols == self.symbol_secs else f"{text}, not all of each: {self.symbol_secs} in total"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
