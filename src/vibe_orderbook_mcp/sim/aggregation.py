"""Aggregate trades made from single fills. PURE.

A run of consecutive fills with the same time, price and maker flag is one aggregate trade: that is the exchange's own
rule, as far as fills can tell. Ids are our own and consecutive, starting with the first fill's id.
"""

from __future__ import annotations

from typing import Final

from vibe_orderbook_mcp.sim.rules import Grid
from vibe_orderbook_mcp.sim.wire import AggTrade, TradeFill

QUIET_NS: Final = 20_000_000  # fills of one taker order come in one burst; after this long there are no more


class Aggregator:
    def __init__(self, size: Grid) -> None:
        self._size = size
        self._run: list[TradeFill] = []
        self._last_ns = 0
        self._next_id: int | None = None

    def add(self, fill: TradeFill, received_ns: int) -> AggTrade | None:
        """Take a fill; the aggregate trade it ended, if it ended one."""
        closed = None
        if self._run and not _continues(self._run[-1], fill):
            closed = self.close()
        self._run.append(fill)
        self._last_ns = received_ns
        return closed

    @property
    def closes_ns(self) -> int | None:
        """When the run is over unless another fill comes; None where there is no run."""
        return self._last_ns + QUIET_NS if self._run else None

    def tick(self, now_ns: int) -> AggTrade | None:
        """Close a run that time has ended."""
        return self.close() if self._run and now_ns - self._last_ns >= QUIET_NS else None

    def close(self) -> AggTrade | None:
        if not self._run:
            return None
        first, last = self._run[0], self._run[-1]
        agg_id = first.trade_id if self._next_id is None else self._next_id
        self._next_id = agg_id + 1
        total = sum(self._size.units(fill.size) for fill in self._run)
        self._run = []
        return AggTrade(
            last.event_ms,
            first.symbol,
            agg_id,
            first.price,
            self._size.text(total),
            first.trade_id,
            last.trade_id,
            first.time_ms,
            first.buyer_is_maker,
        )


def _continues(last: TradeFill, fill: TradeFill) -> bool:
    return (
        fill.trade_id == last.trade_id + 1
        and fill.time_ms == last.time_ms
        and fill.price == last.price
        and fill.buyer_is_maker == last.buyer_is_maker
    )
