"""A sink in memory: the rules of `store.sink` and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.intervals import Interval
from vibe_orderbook_mcp.model.rows import SecondRecord, StoredEvent, TradeBatch
from vibe_orderbook_mcp.store.plan import AppendResult

MINUTE_MS = 60_000


class MemorySink:
    """What was written lies open: by symbol, then by second, id, start and type, or hour."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, dict[int, SecondRecord]] = defaultdict(dict)
        self.trades: defaultdict[str, dict[int, Trade]] = defaultdict(dict)
        self.events: defaultdict[str, dict[tuple[int, str], StoredEvent]] = defaultdict(dict)
        self.baselines: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
        self._sealed_ms: defaultdict[str, int] = defaultdict(int)

    async def append(self, seconds: Sequence[SecondRecord], trades: Sequence[TradeBatch] = ()) -> AppendResult:
        rows: defaultdict[str, int] = defaultdict(int)
        tops: defaultdict[str, int] = defaultdict(int)
        skipped: defaultdict[str, int] = defaultdict(int)
        for record in seconds:
            symbol, known = record.spec.symbol, self.seconds[record.spec.symbol]
            if record.row.second in known:
                skipped[symbol] += 1
                continue
            known[record.row.second] = record
            rows[symbol] += 1
            tops[symbol] += record.top is not None
        added = [await self.add_trades(batch) for batch in trades]
        return AppendResult(
            snapshots={symbol: count for symbol, count in tops.items() if count},
            rows=dict(rows),
            skipped_seconds=dict(skipped),
            trades=_sum(each.trades for each in added),
            skipped_trades=_sum(each.skipped_trades for each in added),
        )

    async def add_trades(self, batch: TradeBatch) -> AppendResult:
        symbol, known = batch.spec.symbol, self.trades[batch.spec.symbol]
        fresh = {trade.agg_id: trade for trade in batch.trades if trade.agg_id not in known}
        known.update(fresh)
        return AppendResult(trades={symbol: len(fresh)}, skipped_trades={symbol: len(batch.trades) - len(fresh)})

    async def put_events(self, symbol: str, events: Sequence[StoredEvent]) -> None:
        self.events[symbol].update({(event.start_ms, event.type): event for event in events})

    async def put_baseline(self, symbol: str, hour_sec: int, data: bytes) -> None:
        self.baselines[symbol][hour_sec] = data

    async def seal(self, symbol: str, before_ms: int) -> int:
        until_ms, since_ms = before_ms - before_ms % MINUTE_MS, self._sealed_ms[symbol]
        self._sealed_ms[symbol] = max(since_ms, until_ms)
        times = (trade.time_ms for trade in self.trades[symbol].values())
        return len({time_ms // MINUTE_MS for time_ms in times if since_ms <= time_ms < until_ms})

    async def verify_ids(self, symbol: str) -> list[Interval]:
        return []  # memory drops nothing

    async def flush(self, *, sync: bool = True) -> None:
        pass  # what is in memory does not survive a power failure, and cannot

    async def forget(self, symbol: str) -> None:
        pass


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return {symbol: count for symbol, count in total.items() if count}
