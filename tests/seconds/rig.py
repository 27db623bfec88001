"""A book and its tracker, driven as `RecordedBook` drives them."""

from __future__ import annotations

from collections.abc import Sequence

from tests.book.exchange import SPEC, depth
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.events import DepthSnapshot, Side, Trade
from vibe_orderbook_mcp.model.rows import BookTop, RowFlag, SecondRow
from vibe_orderbook_mcp.seconds.tracker import SecondTracker

Rows = Sequence[tuple[float, float]]

START_MS = 10_000  # the rig's first event, which is not compared with anything
BIDS: Rows = [(100.0, 5.0), (99.0, 7.0), (98.0, 2.0)]
ASKS: Rows = [(101.0, 4.0), (102.0, 6.0), (103.0, 2.0)]


class Rig:
    def __init__(self, bids: Rows = BIDS, asks: Rows = ASKS, *, limit: int = 5000) -> None:
        self.tracker = SecondTracker(SPEC)
        self.book = self.load(bids, asks, limit)
        self._trades = 0
        self.event(START_MS)

    def load(self, bids: Rows = BIDS, asks: Rows = ASKS, limit: int = 5000) -> OrderBook:
        self.book = OrderBook(DepthSnapshot(100, list(bids), list(asks)), limit=limit)
        self.tracker.synced(self.book)
        return self.book

    def event(self, event_ms: int, bids: Rows = (), asks: Rows = (), *, ids: int = 1) -> None:
        self.tracker.roll(event_ms)
        update = depth(self.book.last_update_id + 1, self.book.last_update_id + ids, list(bids), list(asks))
        update.event_ms = event_ms
        before = self.book.apply(update)
        self.tracker.applied(update, before, ids)

    def trade(self, time_ms: int, price: float, size: float, aggressor: str, *, fills: int = 1) -> None:
        self._trades += 1
        first = 10 * self._trades
        self.tracker.trade(Trade(self._trades, time_ms, price, size, first, first + fills - 1, aggressor == "sell"))

    def lose(self, flag: RowFlag = RowFlag.GAP) -> None:
        self.tracker.lost(flag)

    def closed(self) -> list[tuple[SecondRow, BookTop | None]]:
        """All rows up to now, the last one closed by the end of the process."""
        self.tracker.finish()
        return self.tracker.take()

    def rows(self) -> list[SecondRow]:
        return [row for row, _ in self.closed()]

    def row(self) -> SecondRow:
        (row,) = self.rows()
        return row


def flow(row: SecondRow, side: Side) -> tuple[float, float, float]:
    """(added, cancelled, traded)."""
    sums = row.bid if side == "bid" else row.ask
    return sums.added, sums.cancelled, sums.traded
