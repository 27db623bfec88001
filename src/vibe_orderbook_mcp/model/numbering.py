"""Numbers for trades whose ids at the venue prove nothing: names without an order, or with holes. Pure.

History, and all that counts trades, needs consecutive numbers. So such trades are numbered in the order in which they
come. A run of numbers begins with the time of its first trade in microseconds, and goes on by one as long as the
stream is whole. So a later run is above an earlier one, also after a restart of the process, without a look at what is
stored. Between two runs the stream was interrupted: how many trades are missing there is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice, pairwise
from typing import Final

import msgspec

from vibe_orderbook_mcp.model.events import Trade

# In microseconds that is the year 2001. No venue with consecutive ids has come near it.
OWN_FROM: Final = 10**15
# Names that are remembered: a trade may come on two connections while one takes over from the other.
REMEMBERED: Final = 20_000


def is_own(trade_id: int | None) -> bool:
    """Whether a stored trade's number is ours."""
    return trade_id is not None and trade_id >= OWN_FROM


class Break(msgspec.Struct, frozen=True):
    """The stream was interrupted between two trades. Times are theirs; None: the earlier one is not stored any more."""

    after_ms: int | None
    until_ms: int


def inside(breaks: Iterable[Break], start_ms: int, end_ms: int) -> tuple[int, int]:
    """How many of them reach into a window, and how many of its milliseconds they are: at least one each."""
    count = unknown_ms = 0
    for each in breaks:
        after_ms = start_ms if each.after_ms is None else each.after_ms
        if each.until_ms > start_ms and after_ms < end_ms:
            count += 1
            unknown_ms += max(1, min(each.until_ms, end_ms) - max(after_ms, start_ms))
    return count, min(unknown_ms, max(0, end_ms - start_ms))


def breaks_between(trades: Sequence[Trade]) -> list[Break]:
    """Of trades with own numbers, ascending."""
    return [Break(a.time_ms, b.time_ms) for a, b in pairwise(trades) if b.agg_id != a.agg_id + 1]


class OwnNumbers:
    """The numbers of one instrument. An id of the venue is a name: equal for the same trade, and nothing else."""

    __slots__ = ("_is_whole", "_last", "_names")

    def __init__(self) -> None:
        self._last = OWN_FROM
        self._is_whole = False  # nothing can have been missed since the last one
        self._names: dict[int, None] = {}

    def number(self, trade: Trade) -> Trade | None:
        """The same trade with its number; None if it came before."""
        names = self._names
        if trade.agg_id in names:
            return None
        names[trade.agg_id] = None
        if len(names) > REMEMBERED:
            for name in list(islice(names, REMEMBERED // 2)):
                del names[name]
        self._last = self._last + 1 if self._is_whole else max(self._last + 2, trade.time_ms * 1000)
        self._is_whole = True
        return msgspec.structs.replace(trade, agg_id=self._last, first_trade_id=self._last, last_trade_id=self._last)

    def interrupt(self) -> None:
        """Trades may have been missed: the next one begins another run."""
        self._is_whole = False
