"""What is due beside writing, and when."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any, cast

import msgspec

from tests.e2e.rig import listening
from tests.store.values import BTC, START
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.housekeeping import (
    SEAL_BEFORE_MS,
    SEAL_TICKS,
    SNAPSHOT_SUMMARY_TICKS,
    SYNC_TICKS,
    Housekeeping,
)
from vibe_orderbook_mcp.collect.watcher import Watcher
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.store.history import History


class Noted:
    """A history that notes what it is asked to do."""

    def __init__(self) -> None:
        self.sealed: list[tuple[str, int]] = []
        self.synced = 0
        self.forgotten: list[str] = []

    async def seal(self, symbol: str, before_ms: int) -> int:
        self.sealed.append((symbol, before_ms))
        return 0

    async def forget(self, symbol: str) -> None:
        self.forgotten.append(symbol)

    async def flush(self, *, sync: bool) -> None:
        self.synced += sync

    async def verify_ids(self, symbol: str) -> list[Any]:
        return []


def test_minutes_are_sealed_one_symbol_after_the_other_and_each_once_a_minute(tmp_path: Path) -> None:
    """All at once would hold up the next second's write, in which a killed process loses more."""

    async def run() -> None:
        market = Market()
        for number in range(20):
            market.add(msgspec.structs.replace(BTC, symbol=f"S{number}USDT"))
        market.clock.observe(START * 1000, time.monotonic_ns())
        history = Noted()
        house = Housekeeping(market, Watcher(Archive(tmp_path, cap_mb=64, retention_days=7)), set().__contains__)
        most = 0
        for _ in range(2 * SEAL_TICKS):
            before = len(history.sealed)
            house.ticks += 1
            await house.keep(cast("History", history))
            most = max(most, len(history.sealed) - before)
        assert most == 1
        assert Counter(symbol for symbol, _ in history.sealed) == dict.fromkeys(market.symbols, 2)
        assert all(before_ms >= START * 1000 - SEAL_BEFORE_MS for _, before_ms in history.sealed)
        assert history.synced == 2 * SEAL_TICKS // SYNC_TICKS

    asyncio.run(run())


def test_what_is_due_is_done_once_although_ticks_were_missed(tmp_path: Path) -> None:
    """Ten ticks may be caught up by one write."""

    async def run() -> None:
        history = Noted()
        house = Housekeeping(Market(), Watcher(Archive(tmp_path, cap_mb=64, retention_days=7)), set().__contains__)
        for ticks in (1, SYNC_TICKS + 3, SYNC_TICKS + 4, 2 * SYNC_TICKS, 5 * SYNC_TICKS + 1, 5 * SYNC_TICKS + 2):
            house.ticks = ticks
            await house.keep(cast("History", history))
        assert history.synced == 3

    asyncio.run(run())


def test_seconds_without_a_line_of_their_own_are_counted_in_one_line_a_minute(tmp_path: Path) -> None:
    """The line a second and symbol fills what a host keeps of a server's stderr."""

    async def run() -> None:
        house = Housekeeping(Market(), Watcher(Archive(tmp_path, cap_mb=64, retention_days=7)), set().__contains__)
        history = cast("History", Noted())
        with listening("INFO") as logged:
            for _ in range(SNAPSHOT_SUMMARY_TICKS + 1):
                house.ticks += 1
                house.stored({}, {"BTCUSDT": 1, "ETHUSDT": 2})
                await house.keep(history)
            assert logged.messages == ["Stored 180 snapshots: BTCUSDT 60, ETHUSDT 120"]
            for _ in range(SNAPSHOT_SUMMARY_TICKS):
                house.ticks += 1
                house.stored({}, {})
                await house.keep(history)
            assert logged.messages[1:] == ["Stored 3 snapshots: BTCUSDT 1, ETHUSDT 2"]

    asyncio.run(run())


def test_a_symbol_is_forgotten_after_its_last_second_is_written(tmp_path: Path) -> None:
    """A disk that hangs for minutes writes it later than its minute is over."""

    async def run() -> None:
        market, history, waiting = Market(), Noted(), {"ETHUSDT"}
        market.clock.observe(START * 1000, time.monotonic_ns())
        house = Housekeeping(market, Watcher(Archive(tmp_path, cap_mb=64, retention_days=7)), waiting.__contains__)
        house.forget("ETHUSDT", (START - 3600) * 1000)
        await house.keep(cast("History", history))
        assert history.forgotten == []
        waiting.clear()
        await house.keep(cast("History", history))
        await house.keep(cast("History", history))
        assert history.forgotten == ["ETHUSDT"]
        assert len(history.sealed) == 1

    asyncio.run(run())
