"""Trades in the order of their ids, and which ids are missing.

Aggregate-trade ids are consecutive per symbol. So completeness of a window is provable: a skipped id is a hole until
its
trade arrives, late from a second connection or fetched by id.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.numbering import is_own

# The most trades that wait for the recorder, which takes them every second. More than a minute of the busiest symbol
# means that it does not run; then ids are marked as missing instead of filling memory.
PENDING_LIMIT = 200_000


class Backfill(msgspec.Struct, frozen=True):
    """Older trades that are being fetched: back to when, how many are left, and how fast it goes (if known)."""

    reaches_ms: int
    ids_left: int
    ids_per_sec: float | None = None

    @property
    def eta_secs(self) -> float | None:
        return self.ids_left / self.ids_per_sec if self.ids_per_sec else None


class TradeTape:
    """New trades since the last `take`, and the holes between first and last id."""

    __slots__ = ("_pending", "duplicates", "first_id", "holes", "last_id", "last_ms", "last_price")

    def __init__(self) -> None:
        self.first_id: int | None = None
        self.last_id: int | None = None
        self.last_price: float | None = None
        self.last_ms: int | None = None  # exchange time of that trade
        self.holes: list[tuple[int, int]] = []  # inclusive, ascending, disjoint
        self.duplicates = 0
        self._pending: list[Trade] = []

    def receive(self, trade: Trade) -> bool:
        """Whether the trade is new. A trade with a skipped id fills its hole."""
        agg_id = trade.agg_id
        if self.last_id is None:
            self.first_id = self.last_id = agg_id
            self.last_price, self.last_ms = trade.price, trade.time_ms
        elif agg_id > self.last_id:
            if agg_id > self.last_id + 1 and not is_own(agg_id):  # else nobody knows what is missing
                self.holes.append((self.last_id + 1, agg_id - 1))
            self.last_id = agg_id
            self.last_price, self.last_ms = trade.price, trade.time_ms
        elif not self._fill(agg_id):
            self.duplicates += 1
            return False
        self._pending.append(trade)
        if len(self._pending) > PENDING_LIMIT:
            self._forget_oldest()
        return True

    @property
    def pending(self) -> tuple[Trade, ...]:
        """Trades since the last `take`."""
        return tuple(self._pending)

    def take(self) -> tuple[Trade, ...]:
        """Trades since the last call, ascending by id."""
        taken = sorted(self._pending, key=_agg_id)
        self._pending.clear()
        return tuple(taken)

    def lose(self, trades: Iterable[Trade]) -> None:
        """Trades that were taken could not be stored: they are missing again."""
        self.holes = _merged([*self.holes, *((trade.agg_id, trade.agg_id) for trade in trades)])

    def fill(self, first: int, last: int) -> None:
        """Ids `first` to `last` are stored elsewhere now, so they are not holes any more."""
        self.holes = [
            piece
            for low, high in self.holes
            for piece in ((low, min(high, first - 1)), (max(low, last + 1), high))
            if piece[0] <= piece[1]
        ]

    def _fill(self, agg_id: int) -> bool:
        if not any(low <= agg_id <= high for low, high in self.holes):
            return False
        self.fill(agg_id, agg_id)
        return True

    def _forget_oldest(self) -> None:
        half = len(self._pending) // 2
        lost, self._pending = self._pending[:half], self._pending[half:]
        self.lose(lost)


def _agg_id(trade: Trade) -> int:
    return trade.agg_id


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for low, high in sorted(spans):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return out
