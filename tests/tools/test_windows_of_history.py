"""What tools keep and count of history between questions."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.core.events import Trade
from vibe_orderbook_mcp.core.rows import SecondRow, TradeBatch
from vibe_orderbook_mcp.core.symbol import SymbolSpec
from vibe_orderbook_mcp.runtime import Runtime
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.tools import trade_window
from vibe_orderbook_mcp.tools.row_cache import KEPT_SECS, RowCache

SPEC = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"))
NOW = 1_700_000_000


class SlowHistory:
    """Rows by second; every reading waits until it is let go, and the windows asked for are noted."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.go = asyncio.Event()

    async def rows(self, symbol: str, start: int, end: int) -> list[SecondRow]:
        self.asked.append((start, end))
        await self.go.wait()
        return [SecondRow(second=second, covered_ms=1000) for second in range(max(start, NOW - 50), end)]


def test_two_questions_at_once_get_every_row_once() -> None:
    async def run() -> None:
        slow, cache = SlowHistory(), RowCache()
        history = cast("History", slow)
        first = asyncio.create_task(cache.rows(history, "BTCUSDT", NOW))
        second = asyncio.create_task(cache.rows(history, "BTCUSDT", NOW))
        while len(slow.asked) < 2:
            await asyncio.sleep(0)
        slow.go.set()
        for rows in (await first, await second):
            assert [row.second for row in rows] == list(range(NOW - 50, NOW))
        assert [row.second for row in await cache.rows(history, "BTCUSDT", NOW + 2)][-3:] == [NOW - 1, NOW, NOW + 1]
        assert slow.asked[-1] == (NOW, NOW + 2)  # only what is new
        far = NOW + KEPT_SECS + 10
        assert all(row.second >= far - KEPT_SECS for row in await cache.rows(history, "BTCUSDT", far))

    asyncio.run(run())


def test_what_the_exchange_never_had_is_not_missing(tmp_path: Path) -> None:
    """A symbol that was listed an hour ago has a whole day's profile: nothing was traded before."""

    def runtime(exhausted: set[str]) -> Runtime:
        filler = SimpleNamespace(exhausted=exhausted, progress=lambda _: None)
        return cast("Runtime", SimpleNamespace(filler=filler))

    async def run() -> None:
        history = await History.open(tmp_path / "db", cap_mb=64, retention_days=7)
        try:
            trades = [
                Trade(number, (NOW - 3600) * 1000 + number, 100.0, 1.0, number, number, False)
                for number in range(1000, 1050)
            ]
            await history.add_trades(TradeBatch(SPEC, tuple(trades)))
            day = Span(NOW - 86_400, NOW)
            part = await trade_window.coverage(runtime(set()), history, "BTCUSDT", day)
            assert 0.0 < part.share(day) < 0.05
            whole = await trade_window.coverage(runtime({"BTCUSDT"}), history, "BTCUSDT", day)
            assert whole.share(day) == 1.0
        finally:
            await history.close()

    asyncio.run(run())
