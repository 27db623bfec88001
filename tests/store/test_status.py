from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.values import BTC, ETH, START, batch, record, trade
from vibe_orderbook_mcp.model.rows import StoredEvent
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.reading import KEYS_A_PIECE
from vibe_orderbook_mcp.store.status import UNDER_WAY_SECS, StoredSpan, SymbolStatus, TradeSpan, store_status

pytestmark = pytest.mark.anyio


async def test_status_counts_what_is_there_and_what_is_missing(tmp_path: Path) -> None:
    writer = await History.open(tmp_path, cap_mb=64, retention_days=7)
    seconds = [*range(KEYS_A_PIECE), *range(KEYS_A_PIECE + 10, 6000), *range(6005, 6010)]  # a gap between two pieces
    for start in range(0, len(seconds), 500):
        await writer.append([record(START + n, top=n > 2) for n in seconds[start : start + 500]])
    await writer.append([record(START, ETH, top=False)])
    events = [StoredEvent(type="wall", start_ms=START * 1000 + n, severity="High") for n in range(3)]
    await writer.put_events(ETH.symbol, events)
    await writer.append([], [batch(*range(700), *range(720, 800), 900)])
    await writer.seal("BTCUSDT", START * 1000 + 60_000)
    reader = await History.open_secondary(tmp_path)
    status = await store_status(reader)
    await reader.close()
    assert await store_status(writer) == status or (await store_status(writer)).symbols == status.symbols
    await writer.close()
    assert status.schema_version == 1
    assert status.disk_bytes > 0
    rows = StoredSpan(first=START, last=START + 6009, count=len(seconds), gaps=2, missing_secs=15)
    trades = TradeSpan(first_ms=trade(0).time_ms, last_ms=trade(900).time_ms, count=781, holes=2, missing_ids=120)
    books = StoredSpan(first=START + 3, last=START + 6009, count=len(seconds) - 3, gaps=2, missing_secs=15)
    assert status.symbols == (
        SymbolStatus(symbol=BTC.symbol, snapshots=books, rows=rows, trades=trades),
        SymbolStatus(symbol=ETH.symbol, snapshots=None, rows=StoredSpan(START, START, 1, 0, 0), trades=None, events=3),
    )


async def test_a_gap_is_open_when_more_is_missing_than_what_is_under_way() -> None:
    span = StoredSpan(first=100, last=199, count=90, gaps=1, missing_secs=10)
    assert span.until(200 + UNDER_WAY_SECS) == span
    assert span.until(190) == span  # by another clock
    assert span.until(260) == StoredSpan(first=100, last=199, count=90, gaps=2, missing_secs=70)


async def test_status_of_an_empty_store_is_empty(tmp_path: Path) -> None:
    writer = await History.open(tmp_path, cap_mb=64, retention_days=7)
    assert (await store_status(writer)).symbols == ()
    await writer.close()
