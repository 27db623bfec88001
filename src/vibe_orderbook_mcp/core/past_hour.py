"""The last hour of one symbol, as much of each second as is asked of seconds that are over for long.

Whole rows take 2.5 KB a second, these an eighth of that: an hour of every symbol stays in memory, and a question about
the last minutes decodes nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, cast

import msgspec

from vibe_orderbook_mcp.core.rows import SecondRow

KEPT_SECS: Final = 3600 + 300  # the hour before the longest window of seconds, and that window


class PastRow(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a `SecondRow`, under its names. Whoever asks for more is told by an AttributeError."""

    second: int
    covered_ms: int
    flags: int
    mid: float | None
    ofi: float
    buy_volume: float
    sell_volume: float
    buy_quote: float
    sell_quote: float


KEPT_FIELDS: Final = PastRow.__struct_fields__


def kept(values: Iterable[Any]) -> SecondRow:
    """A row of `KEPT_FIELDS`, in their order, for functions that need no others."""
    return cast("SecondRow", PastRow(*values))


_fields_of, _second_of = attrgetter(*KEPT_FIELDS), attrgetter("second")


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
        rows = list(self._rows)
        return rows[: bisect_left(rows, end, key=_second_of)]
