"""A day of seconds as columns: windows of any length are compared with it, without making rows."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from math import isnan, nan
from typing import Any, Final, NamedTuple

from vibe_orderbook_mcp.analytics.rarity import Ranks
from vibe_orderbook_mcp.analytics.windows import OK_COVERAGE, Cut
from vibe_orderbook_mcp.model.rows import SecondRow

# More would give a finer rank than needed, and each question sums up every window.
WINDOWS_MOST: Final = 1440


class EqualWindow(NamedTuple):
    """An earlier window: aggressors' volume in base and in quote units, order-flow imbalance at the touch in base
    units, and the change of mid in quote units (None without a mid)."""

    buy_volume: float
    sell_volume: float
    buy_quote: float
    sell_quote: float
    ofi: float
    mid_change: float | None

    @classmethod
    def of(cls, window: Cut) -> EqualWindow:
        rows = window.rows
        return cls(
            sum(row.buy_volume for row in rows),
            sum(row.sell_volume for row in rows),
            sum(row.buy_quote for row in rows),
            sum(row.sell_quote for row in rows),
            sum(row.ofi for row in rows),
            window.mid_change,
        )


class EqualWindows(Sequence[EqualWindow]):
    """Earlier windows, oldest first. Figures of all of them are computed once and kept.

    The windows stay the same for the length of one window, and questions come once a second.
    """

    __slots__ = ("_ranks", "_windows")

    def __init__(self, windows: Sequence[EqualWindow] = ()) -> None:
        self._windows = windows
        self._ranks: dict[Hashable, Ranks] = {}

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, place: Any) -> Any:
        return self._windows[place]

    def __eq__(self, other: object) -> bool:
        return list(self._windows) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def ranks(self, name: Hashable, figure: Callable[[EqualWindow], float | None]) -> Ranks:
        """The ranks of a figure over the windows that have it, computed once for each name."""
        found = self._ranks.get(name)
        if found is None:
            values = [value for window in self._windows if (value := figure(window)) is not None]
            found = self._ranks[name] = Ranks(values)
        return found


class Earlier(NamedTuple):
    """The equal windows of a day. `read_secs`: how much of it they are from, None for all that there is."""

    windows: EqualWindows
    read_secs: int | None


class Past:
    """Ascending seconds. Seconds that were not recorded are missing."""

    __slots__ = ("_buys", "_buys_quote", "_covered_ms", "_mids", "_ofi", "_seconds", "_sells", "_sells_quote")

    def __init__(self) -> None:
        self._seconds = array("q")
        self._covered_ms = array("i")
        self._mids = array("d")  # nan: unknown
        self._buys = array("d")
        self._sells = array("d")
        self._buys_quote = array("d")
        self._sells_quote = array("d")
        self._ofi = array("d")

    @classmethod
    def of(cls, rows: Iterable[SecondRow]) -> Past:
        past = cls()
        for row in rows:
            past.add(row)
        return past

    @property
    def oldest(self) -> int | None:
        return self._seconds[0] if self._seconds else None

    @property
    def newest(self) -> int | None:
        return self._seconds[-1] if self._seconds else None

    def add(self, row: SecondRow) -> None:
        """Add the next second; an earlier one is ignored."""
        if self._seconds and row.second <= self._seconds[-1]:
            return
        mid = nan if row.mid is None else row.mid
        traded = row.buy_volume, row.sell_volume, row.buy_quote, row.sell_quote
        values = row.second, row.covered_ms, mid, *traded, row.ofi
        for column, value in zip(self._columns, values, strict=True):
            column.append(value)

    def extend(
        self,
        seconds: Sequence[int],
        covered_ms: Sequence[int],
        mids: Sequence[float | None],
        *flows: Sequence[float],
    ) -> None:
        """Add many ascending seconds after the newest or before the oldest; others are ignored.

        `flows`: buys and sells in base units, buys and sells in quote units, order-flow imbalance.
        """
        if not seconds:
            return
        columns = (
            ("q", seconds),
            ("i", covered_ms),
            ("d", [nan if mid is None else mid for mid in mids]),
            *(("d", values) for values in flows),
        )
        known = self._columns
        if not self._seconds or seconds[-1] > self._seconds[-1]:
            first = bisect_right(seconds, self._seconds[-1]) if self._seconds else 0
            for column, (kind, values) in zip(known, columns, strict=True):
                column.extend(array(kind, values[first:]))
        else:
            last = bisect_left(seconds, self._seconds[0])
            for column, (kind, values) in zip(known, columns, strict=True):
                column[:0] = array(kind, values[:last])

    @property
    def _columns(self) -> tuple[array[Any], ...]:
        flows = self._buys, self._sells, self._buys_quote, self._sells_quote, self._ofi
        return self._seconds, self._covered_ms, self._mids, *flows

    def drop_before(self, second: int) -> None:
        gone = bisect_left(self._seconds, second)
        for column in self._columns:
            del column[:gone]

    def windows(self, secs: int, before: int) -> EqualWindows:
        """Non-overlapping windows of `secs` that end at `before` or earlier, oldest first, well covered ones only."""
        if not self._seconds or secs <= 0:
            return EqualWindows()
        found: list[EqualWindow] = []
        last = bisect_left(self._seconds, before)
        for start in range(before - secs, self._seconds[0] - 1, -secs):
            first = bisect_left(self._seconds, start, 0, last)
            if sum(self._covered_ms[first:last]) >= OK_COVERAGE * 1000 * secs:
                buys, sells, buys_quote, sells_quote, ofi = (sum(column[first:last]) for column in self._columns[3:])
                change = self._mid_change(start, first, last)
                found.append(EqualWindow(buys, sells, buys_quote, sells_quote, ofi, change))
                if len(found) == WINDOWS_MOST:
                    break
            last = first
        return EqualWindows(found[::-1])

    def _mid_change(self, start: int, first: int, last: int) -> float | None:
        """Change from mid before the window (else its first mid) to its last mid."""
        mids = self._mids
        newest = next((mids[place] for place in range(last - 1, first - 1, -1) if not isnan(mids[place])), None)
        if newest is None:
            return None
        if first > 0 and self._seconds[first - 1] == start - 1 and not isnan(mids[first - 1]):
            return newest - mids[first - 1]
        return newest - next(mids[place] for place in range(first, last) if not isnan(mids[place]))
