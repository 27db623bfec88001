"""Instruments of several venues in one directory: what is stored of one is never read, or deleted, as another's."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.store.values import BTC, START, batch, record, row, trade
from vibe_orderbook_mcp.model.rows import StoredEvent
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.history import History

pytestmark = pytest.mark.anyio

NAMES = (
    *("BTCUSDT", "BTCUSDT2", "binance-us:BTCUSDT", "bybit:BTCUSDT", "bybit-linear:BTCUSDT", "kraken:BTC/USD"),
    *("kraken:BTC/USDT", "okx:BTC-USDT", "okx:BTC-USDT-SWAP", "hyperliquid:xyz", "hyperliquid:xyz:1000PEPE"),
)
FOREVER = 10**10 - 1


def spec(name: str) -> SymbolSpec:
    return msgspec.structs.replace(BTC, symbol=name, market="perpetual" if "SWAP" in name else "spot")


def finding(number: int) -> StoredEvent:
    return StoredEvent(type="wall", start_ms=START * 1000 + number, severity="High")


async def test_each_instrument_has_its_own_past(tmp_path: Path) -> None:
    """Each has as many seconds, trades, findings and baselines as its place in the list, from the same instant on."""
    history = await History.open(tmp_path, cap_mb=64, retention_days=36_500)
    for count, name in enumerate(NAMES, start=1):
        result = await history.append(
            [record(START + n, spec(name)) for n in range(count)], [batch(*range(count * 10), spec=spec(name))]
        )
        assert not result.failed
        await history.put_events(name, [finding(n) for n in range(count)])
        await history.put_baseline(name, START // 3600 * 3600, name.encode())
    await history.seal("kraken:BTC/USD", (START + 3600) * 1000)
    await history.close()
    history = await History.open(tmp_path, cap_mb=64, retention_days=36_500)
    try:
        assert sorted(await history.symbols()) == sorted(NAMES)
        for count, name in enumerate(NAMES, start=1):
            assert await history.rows(name, 0, FOREVER) == [row(START + n) for n in range(count)]
            assert len(await history.snapshots(name, 0, FOREVER)) == count
            assert await history.trades(name, 0, FOREVER * 1000) == [trade(n) for n in range(count * 10)]
            assert (await history.histogram(name, 0, (START + 3600) * 1000)).trades == count * 10
            assert await history.count_events(name) == count
            assert [data for _, data in await history.baselines(name, 0)] == [name.encode()]
            assert await history.ids(name) == [(0, count * 10 - 1)]
            assert await history.spec(name) == spec(name)
    finally:
        await history.close()


async def test_a_grid_of_another_kind_of_market_comes_back(tmp_path: Path) -> None:
    swap = SymbolSpec("okx:BTC-USDT-SWAP", "BTC", "USDT", Decimal("0.1"), Decimal("0.01"), market="perpetual")
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    await history.append([], [batch(1, spec=swap)])
    await history.close()
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    try:
        assert await history.spec("okx:BTC-USDT-SWAP") == swap
    finally:
        await history.close()
