"""Trades of one instrument that must be fetched, the progress of that, and trades that stay missing. Pure.

Aggregate-trade ids are consecutive, so missing trades are known exactly: every id between stored ones, and, back to the
wanted time, every id before the first stored one.
"""

from __future__ import annotations

from collections.abc import Sequence

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.tape import Backfill


class _Lookback:
    """How far back older trades have been fetched, and how fast."""

    __slots__ = ("began_secs", "ids", "newest_ms", "oldest_ms")

    def __init__(self, newest_ms: int, began_secs: float) -> None:
        self.began_secs = began_secs
        self.newest_ms = self.oldest_ms = newest_ms
        self.ids = 0


class Filling:
    """`missing` says what to fetch; the caller reports the result. Seconds are any monotonic clock's."""

    __slots__ = (
        *("_asked_resyncs", "_filled", "_floor", "_given_up", "_given_up_ids", "_is_exhausted", "_is_through"),
        *("_lookback",),
    )

    def __init__(self) -> None:
        self._floor = 0  # ids below this are too old, or the exchange has none
        self._given_up: list[Interval] = []  # ids that stay missing
        self._given_up_ids = 0
        self._filled = 0
        self._asked_resyncs: int | None = None  # the book's resyncs when the newest trades were last requested
        self._lookback: _Lookback | None = None
        self._is_exhausted = False
        self._is_through = False

    @property
    def filled(self) -> int:
        """Trades that were fetched and stored."""
        return self._filled

    @property
    def given_up(self) -> int:
        """Number of ids that stay missing."""
        return self._given_up_ids

    @property
    def given_up_ids(self) -> Sequence[Interval]:
        return self._given_up

    @property
    def is_exhausted(self) -> bool:
        """Whether the exchange has no older trades than the stored ones."""
        return self._is_exhausted

    @property
    def is_begun(self) -> bool:
        """Whether older trades have arrived, or none are wanted, or none exist."""
        return self._is_exhausted or self._floor > 0 or self._lookback is not None

    def progress(self, target_ms: int, now_secs: float) -> Backfill | None:
        """The progress of fetching trades back to `target_ms`. None: complete, or nothing has arrived yet."""
        if (lookback := self._lookback) is None or self._is_through:
            return None
        passed_ms, secs = lookback.newest_ms - lookback.oldest_ms, now_secs - lookback.began_secs
        if passed_ms <= 0 or secs <= 0:
            return None
        left = (lookback.oldest_ms - target_ms) * lookback.ids / passed_ms
        return Backfill(reaches_ms=target_ms, ids_left=max(0, round(left)), ids_per_sec=lookback.ids / secs)

    def missing(self, held: Sequence[Interval], seen: Sequence[Interval] | None) -> list[Interval]:
        """Inclusive id ranges that are not stored (`held`), newest first; the last one may reach back to id 0.

        `seen`: ids known to be missing in this process, used if older trades are not wanted.
        """
        if not held:
            return []
        oldest = held[0][0]
        if seen is None:
            before = [(0, oldest - 1)] if oldest else []
        else:  # received since the start but not written, or lost by the stream
            before = [(low, min(high, oldest - 1)) for low, high in seen if low < oldest]
        gaps = intervals.union(before, intervals.holes(held, oldest, held[-1][1]))
        return intervals.drop_below(intervals.difference(gaps, self._given_up), self._floor)[::-1]

    def is_lookback(self, low_id: int) -> bool:
        """Whether a missing range that begins there is the range before the oldest stored trade."""
        return low_id == self._floor

    def wants_newest(self, resyncs: int) -> bool:
        """Whether the newest trades were never requested, or events were missed since."""
        return self._asked_resyncs != resyncs

    def asked_newest(self, resyncs: int) -> None:
        self._asked_resyncs = resyncs

    def stored(self, trades: int) -> None:
        """Count fetched and stored trades."""
        self._filled += trades

    def looked_back(self, trades: Sequence[Trade], now_secs: float) -> None:
        """Record a page of older trades, ascending."""
        if self._lookback is None:
            self._lookback = _Lookback(trades[-1].time_ms, now_secs)
        self._lookback.oldest_ms = trades[0].time_ms
        self._lookback.ids += len(trades)

    def end_lookback(self, floor: int) -> None:
        """No trade with a lower id is wanted."""
        self._floor = max(self._floor, floor)
        self._is_through = self._lookback is not None

    def exhaust(self) -> None:
        """The exchange has no older trades."""
        self._is_exhausted = True

    def give_up(self, ids: Sequence[Interval]) -> None:
        """These trades are not available and are not requested again."""
        self._given_up = intervals.union(self._given_up, ids)
        self._given_up_ids += intervals.count(ids)
