"""Traded volume since 00:00 UTC, out of stored trades where the process has not lived through the whole day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vibe_orderbook_mcp.analytics.windows import missing_trades
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.store.history import History

DAY_SECS: Final = 86_400
# What was traded since then may not be written yet: it is taken from the rows.
RECENT_SECS: Final = 30


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
    if held.missing or not held.start_known or missing_trades(recent):
        return None
    firsts = [row.first_agg_id for row in recent if row.first_agg_id is not None]
    if firsts and (sums.last_agg_id is None or min(firsts) != sums.last_agg_id + 1):
        return None
    return (
        sums.buy_volume + sum(row.buy_volume for row in recent),
        sums.sell_volume + sum(row.sell_volume for row in recent),
    )
