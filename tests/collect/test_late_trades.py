"""Trades that are stored and that no row of a window holds: fetched by id, of seconds that the process was down."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.analytics.books import BTC
from vibe_orderbook_mcp.analytics.windows import Span, missing_trades
from vibe_orderbook_mcp.collect.row_cache import with_late_trades
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import SecondRow, TradeBatch
from vibe_orderbook_mcp.seconds.traded import trade_fields
from vibe_orderbook_mcp.store.history import History

AT = 1_700_000_000


def trade(number: int) -> Trade:
    """One a second."""
    return Trade(number, (AT + number) * 1000, 100.0, 1.0, number, number, buyer_is_maker=False)


def row(second: int) -> SecondRow:
    fields = trade_fields([trade(second)], BTC.tick_exp, BTC.lot_exp)
    return SecondRow(second=AT + second, covered_ms=1000, **fields)


def test_a_window_across_a_restart_has_the_trades_that_the_profile_has(tmp_path: Path) -> None:
    """In the middle of the window, where ids tell that some are missing, and at its beginning, where they cannot."""

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            state = InstrumentOwner(BTC)
            await history.add_trades(TradeBatch(BTC, tuple(trade(n) for n in range(58))))
            seen = [row(n) for n in range(60) if n < 20 or n >= 30]
            for start in (0, 25):
                span = Span(AT + start, AT + 60)
                found = await with_late_trades(history, state, seen, span)
                window = [each for each in found if each.second >= span.start]
                assert missing_trades(window) == 0
                assert sum(each.buy_volume for each in window) == 60 - start  # the last two are not stored yet
                assert sum(each.covered_ms for each in window) == 1000 * (50 if start == 0 else 30)
            # The second in which the process began: half of it was seen, its first trade was not, and no id tells.
            half = SecondRow(second=AT + 30, covered_ms=500)
            begun = [half, *(row(n) for n in range(31, 60))]
            found = await with_late_trades(history, state, begun, Span(AT + 30, AT + 60))
            assert sum(each.buy_volume for each in found) == 30
            assert found[0].covered_ms == 500
            whole = [row(n) for n in range(60)]
            assert await with_late_trades(history, state, whole, Span(AT, AT + 60)) is whole
        finally:
            await history.close()

    asyncio.run(run())
