"""The last hour of one symbol, with the fields that questions about older seconds need.

A whole row takes 2.5 KB, these fields 64 bytes. So an hour of every symbol stays in memory, and a question about the
last minutes decodes nothing. The first question makes rows in a millisecond, and the next one uses them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from math import isnan, nan
from operator import attrgetter
from typing import Any, Final

from vibe_orderbook_mcp.model.rows import KEPT_FIELDS, KEPT_SECS, SecondRow, kept

_fields_of, _second_of = attrgetter(*KEPT_FIELDS), attrgetter("second")
_TYPES: Final = "qiidddddd"  # codes of KEPT_FIELDS for arrays; an unknown mid is nan
_SLOTS: Final = KEPT_SECS + 1
# Rows made for a question stay for the next one; without further questions about the symbol they are dropped.
ROWS_STAY_SECS: Final = 600


class PastHour:
    """Ascending seconds in columns of fixed size, indexed by second.

    All memory, 64 bytes a second, is allocated at the start, so it does not grow during the day. The time before the
    first `add` is not here.
    """

    __slots__ = ("_asked", "_columns", "_newest", "_oldest", "_rows")

    def __init__(self) -> None:
        self._columns: list[array[Any]] = [array(kind, [-1]) * _SLOTS for kind in _TYPES]  # no second is -1
        self._oldest = self._newest = -1
        self._rows: deque[SecondRow] | None = None
        self._asked = -1  # the newest second at the last question

    @property
    def oldest(self) -> int | None:
        return None if self._newest < 0 else max(self._oldest, self._newest - KEPT_SECS)

    @property
    def newest(self) -> int | None:
        return None if self._newest < 0 else self._newest

    def add(self, row: SecondRow) -> None:
        """The next second."""
        if row.second <= self._newest:
            return
        if self._newest < 0:
            self._oldest = row.second
        self._newest = row.second
        self._keep(row)
        if (rows := self._rows) is None:
            return
        if row.second - self._asked > ROWS_STAY_SECS:
            self._rows = None
            return
        rows.append(kept(_fields_of(row)))
        while rows[0].second < row.second - KEPT_SECS:
            rows.popleft()

    def before(self, end: int) -> list[SecondRow]:
        """Ascending."""
        if self._rows is None:
            self._rows = deque(self._made())
        self._asked = self._newest
        rows = list(self._rows)
        return rows[: bisect_left(rows, end, key=_second_of)]

    def _keep(self, row: SecondRow) -> None:
        place = row.second % _SLOTS
        for column, value in zip(self._columns, _fields_of(row), strict=True):
            column[place] = nan if value is None else value

    def _made(self) -> Iterator[SecondRow]:
        turn = (self._newest + 1) % _SLOTS  # the index of the oldest
        oldest = self.oldest
        if oldest is None:
            return
        for values in zip(*(column[turn:] + column[:turn] for column in self._columns), strict=True):
            if values[0] >= oldest:
                yield kept(None if isnan(value) else value for value in values)
