"""Which part of a long window's trades is held."""

from __future__ import annotations

from vibe_orderbook_mcp.analytics.profile_coverage import TapeCoverage
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.runtime import Runtime
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.rollups import TradeSums


async def coverage(
    runtime: Runtime, history: History, symbol: str, span: Span, sums: TradeSums | None = None
) -> TapeCoverage:
    """Which part of the window's trades is held, by their ids; `sums` are theirs, if known. Raises StorageError."""
    start_ms = span.start * 1000
    ids = await history.id_coverage(symbol, start_ms, span.end * 1000, sums)
    oldest_ms = None
    if not ids.start_known and symbol not in runtime.filler.exhausted:
        # Nothing older than the window's first trade is held: before that trade it is not known what there was.
        held = await history.trade_span(symbol)
        oldest_ms = None if held is None else max(start_ms, held[0])
    complete_since_ms = ids.complete_since_ms
    if complete_since_ms is not None and symbol in runtime.filler.exhausted:
        first = await history.trade_span(symbol)
        if first is not None and complete_since_ms <= first[0]:
            complete_since_ms = min(complete_since_ms, start_ms)  # there was nothing before the first trade held
    return TapeCoverage(
        held=ids.held,
        missing=ids.missing,
        complete_since_ms=complete_since_ms,
        accounted_since_ms=oldest_ms,
        backfill=runtime.filler.progress(symbol),
    )
