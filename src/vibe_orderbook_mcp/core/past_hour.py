"""The last hour of one symbol, as much of each second as is asked of seconds that are over for long.

Whole rows take 2.5 KB a second, these a fifth of that: an hour of every symbol stays in memory, and a question about
the last minutes decodes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

from vibe_orderbook_mcp.core.rows import SecondRow

KEPT_SECS: Final = 3600 + 300  # the hour before the longest window of seconds, and that window

# What is kept of a row, by the names of `SecondRow`; its other fields have their defaults.
KEPT_FIELDS: Final = (
    "second",
    "covered_ms",
    "flags",
    "mid",
    "ofi",
    "buy_volume",
    "sell_volume",
    "buy_quote",
    "sell_quote",
)


def kept(values: Iterable[Any]) -> SecondRow:
    """A row of `KEPT_FIELDS`, in their order."""
    return SecondRow(**dict(zip(KEPT_FIELDS, values, strict=True)))


_fields_of = attrgetter(*KEPT_FIELDS)


class PastHour:
    """Ascending seconds. What was before the first `add` has to be filled in once."""

    __slots__ = ("_rows", "is_filled")

    def __init__(self) -> None:
        self._rows: deque[SecondRow] = deque()
        self.is_filled = False  # what was stored before the first row is here too

    @property
    def oldest(self) -> int | None:
        return self._rows[0].second if self._rows else None

    def add(self, row: SecondRow) -> None:
        """The next second."""
        rows = self._rows
        if rows and row.second <= rows[-1].second:
            return
        rows.append(kept(_fields_of(row)))
        while rows[0].second < row.second - KEPT_SECS:
            rows.popleft()

    def fill(self, older: Sequence[SecondRow]) -> None:
        """Rows from before the first one, ascending, of which no more need be kept than `kept` does."""
        if not self.is_filled:
            first = self.oldest
            self._rows.extendleft(row for row in reversed(older) if first is None or row.second < first)
            self.is_filled = True

    def before(self, end: int) -> list[SecondRow]:
        return [row for row in self._rows if row.second < end]
