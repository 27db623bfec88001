"""The trades of a long window by price, and the stored share of them.

What the stream has brought is on its way to the store for a second, and for as long as the disk fails. A window that
ends now has those trades too: they are collected first, then the store is looked at, at one moment, and of what is in
both each counts once, by its id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vibe_orderbook_mcp.analytics.profile.coverage import TapeCoverage, TradedWindow
from vibe_orderbook_mcp.analytics.windows import MIN_COVERAGE, Span, missing_trades
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.summing import HistoryView, IdCoverage

DAY_SECS: Final = 86_400
# What was traded since then may not be written yet: it is taken from the rows.
RECENT_SECS: Final = 30


async def traded_window(runtime: Runtime, history: History, owner: InstrumentOwner, span: Span) -> TradedWindow:
    """The window, the trades of the part that can be answered, and its coverage. Raises StorageError.

    The part goes back to the oldest stored trade. Where more than half of its trades are missing, it is what
    comes after the last of them, if that is the larger part.
    """
    symbol = owner.spec.symbol
    collected = [*runtime.recorder.waiting(symbol), *owner.pending_trades]
    async with history.view() as view:
        if not history.writable:
            span = await _recorded(view, symbol, span)
        stored = await view.ids(symbol)
        fresh = {trade.agg_id: trade for trade in collected if not intervals.contains(stored, trade.agg_id)}
        waiting = [fresh[agg_id] for agg_id in sorted(fresh)]
        found = await _window(runtime, view, owner.spec, span, waiting)
        tape = found.tape
        since_ms = tape.complete_since_ms
        if since_ms is not None and since_ms > span.start * 1000 and tape.held_share(span) < MIN_COVERAGE:
            part = Span(-(-since_ms // 1000), span.end)
            if part.secs > 0 and part.secs / span.secs >= tape.share(span):
                histogram, whole = (await _window(runtime, view, owner.spec, part, waiting))[1:]
                tape = TapeCoverage(
                    held=whole.held,
                    missing=0,
                    complete_since_ms=part.start * 1000,
                    accounted_since_ms=part.start * 1000,
                    backfill=tape.backfill,
                    missing_before=tape.missing,
                )
                return TradedWindow(span, histogram, tape)
    return found


async def _window(
    runtime: Runtime, view: HistoryView, spec: SymbolSpec, span: Span, waiting: Sequence[Trade]
) -> TradedWindow:
    start_ms, end_ms = span.start * 1000, span.end * 1000
    histogram = await view.histogram_with(spec, start_ms, end_ms, waiting)
    ids = await view.id_coverage(spec.symbol, start_ms, end_ms, histogram, waiting)
    held = await view.trade_span(spec.symbol)
    times = [*([] if held is None else [held[0]]), *(trade.time_ms for trade in waiting)]
    tape = coverage(runtime, spec.symbol, span, ids, min(times, default=None))
    return TradedWindow(span, histogram, tape)


def coverage(runtime: Runtime, symbol: str, span: Span, ids: IdCoverage, first_ms: int | None) -> TapeCoverage:
    """The stored share of the window's trades, by their ids; `first_ms` is the time of the oldest stored trade."""
    start_ms = span.start * 1000
    filler = runtime.exchanges.of(symbol).filler
    nothing_older = filler.is_exhausted(symbol)
    complete_since_ms = ids.complete_since_ms
    if complete_since_ms is not None and nothing_older and first_ms is not None and complete_since_ms <= first_ms:
        complete_since_ms = min(complete_since_ms, start_ms)  # there was nothing before the first stored trade
    accounted_since_ms = None
    if not ids.start_known and not nothing_older and first_ms is not None:
        # No trade before the window's first one is stored: nothing is known about the time before it.
        accounted_since_ms = max(start_ms, first_ms)
    return TapeCoverage(
        held=ids.held,
        missing=ids.missing,
        breaks=ids.breaks,
        unknown_ms=ids.unknown_ms,
        complete_since_ms=complete_since_ms,
        accounted_since_ms=accounted_since_ms,
        backfill=filler.progress(symbol),
        never_traded=nothing_older and first_ms is None,
        is_new=filler.is_beginning(symbol),
    )


async def _recorded(view: HistoryView, symbol: str, span: Span) -> Span:
    """Beside another process that records: up to the newest second it has stored, as long as before."""
    newest = await view.newest_second(symbol)
    end = span.end if newest is None else min(span.end, newest + 1)
    return Span(end - span.secs, end)


async def stored_day(history: History, symbol: str, rows: Sequence[SecondRow], end: int) -> tuple[float, float] | None:
    """Aggressive (buy, sell) volume from midnight to `end`, base units; None unless the ids prove that it is all.

    `rows` are the seconds before `end`, ascending. Raises StorageError.
    """
    midnight = end - end % DAY_SECS
    border = max(midnight, end - RECENT_SECS)
    recent = [row for row in rows if border <= row.second < end]
    if border == midnight:
        return None  # half a minute old: nothing of the day is sure to be stored
    async with history.view() as view:
        sums = await view.trade_sums(symbol, midnight * 1000, border * 1000)
        held = await view.id_coverage(symbol, midnight * 1000, border * 1000, sums)
    if not held.is_whole or not held.start_known or missing_trades(recent) != 0:
        return None
    firsts = [row.first_agg_id for row in recent if row.first_agg_id is not None]
    if firsts and (sums.last_agg_id is None or min(firsts) != sums.last_agg_id + 1):
        return None
    return (
        sums.buy_volume + sum(row.buy_volume for row in recent),
        sums.sell_volume + sum(row.sell_volume for row in recent),
    )
