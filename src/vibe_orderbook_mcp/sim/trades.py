"""What a symbol traded, as the REST endpoints ask for it: by id, by time, the newest. PURE."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque

from vibe_orderbook_mcp.sim.past import AggRow, PastTrades
from vibe_orderbook_mcp.sim.wire import TradeFill

KEPT_LIVE = 2_000_000  # 33 bytes each: more than a day of a major


class TradeLog:
    """Aggregate trades with consecutive ids: those from before the start, then the live ones."""

    def __init__(self, first_live_id: int, past: PastTrades | None = None) -> None:
        self._past = past
        self._first_live = first_live_id
        # Columns: a day of trades must not cost a day of objects.
        self._times, self._prices, self._sizes = array("q"), array("q"), array("q")
        self._firsts, self._lasts, self._makers = array("q"), array("q"), array("b")
        self.fills: deque[TradeFill] = deque(maxlen=1000)

    @property
    def next_id(self) -> int:
        return self._first_live + len(self._times)

    @property
    def first_id(self) -> int:
        return self._past.first_id if self._past is not None else self._first_live

    def append(self, row: AggRow) -> None:
        if row.agg_id != self.next_id:
            raise ValueError(f"aggregate trade {row.agg_id} after {self.next_id - 1}")
        columns = (self._times, self._prices, self._sizes, self._firsts, self._lasts, self._makers)
        for column, value in zip(columns, (*row[1:6], row.buyer_is_maker), strict=True):
            column.append(value)
        if len(self._times) > KEPT_LIVE:
            for column in columns:
                del column[: KEPT_LIVE // 2]
            self._first_live += KEPT_LIVE // 2
            self._past = None  # what lies before a hole is of no use to anyone

    def from_id(self, agg_id: int, limit: int) -> list[AggRow]:
        """Up to `limit` trades from `agg_id` on (or from the oldest one known)."""
        out = self._past.from_id(agg_id, limit) if self._past is not None else []
        begin = max(0, agg_id - self._first_live)
        end = min(len(self._times), begin + limit - len(out))
        out += [self._row(index) for index in range(begin, end)]
        return out

    def between(self, start_ms: int | None, end_ms: int | None, limit: int) -> list[AggRow]:
        """The exchange's rule: the oldest from `start_ms` on; with only an end, the newest up to it."""
        if start_ms is not None:
            rows = self.from_id(self.id_at(start_ms), limit)
            return rows if end_ms is None else [row for row in rows if row.time_ms <= end_ms]
        stop = self.next_id if end_ms is None else self.id_at(end_ms + 1)
        first = max(self.first_id, stop - limit)
        return self.from_id(first, stop - first) if stop > first else []

    def last(self) -> AggRow | None:
        rows = self.from_id(self.next_id - 1, 1) if self.next_id > self.first_id else []
        return rows[0] if rows else None

    def id_at(self, time_ms: int) -> int:
        """The id of the first trade at or after a time; `next_id` when there is none."""
        if self._past is not None and (agg_id := self._past.id_at(time_ms)) < self._first_live:
            return agg_id
        return self._first_live + bisect_left(self._times, time_ms)

    def _row(self, index: int) -> AggRow:
        return AggRow(
            self._first_live + index,
            self._times[index],
            self._prices[index],
            self._sizes[index],
            self._firsts[index],
            self._lasts[index],
            bool(self._makers[index]),
        )
