"""What every sink does, whatever lies behind it: a suite that each of them has to pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import BookTop, SecondRecord, SecondRow, StoredEvent, TradeBatch
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.memory_sink import MemorySink
from vibe_orderbook_mcp.store.sink import Sink

pytestmark = pytest.mark.anyio

BTC = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"))
ETH = msgspec.structs.replace(BTC, symbol="ETHUSDT")
AT = 1_700_000_040  # a minute begins


class Stored(NamedTuple):
    """What of a symbol is in a sink."""

    events: list[int]  # of the row of each second, ascending
    tops: list[int]  # seconds with a top of book
    trades: list[int]
    findings: list[tuple[int, str, str]]
    baselines: list[tuple[int, bytes]]


class Rig(NamedTuple):
    sink: Sink
    stored: Callable[[str], Awaitable[Stored]]


@asynccontextmanager
async def in_history(path: Path) -> AsyncIterator[Rig]:
    history = await History.open(path, cap_mb=64, retention_days=7)

    async def stored(symbol: str) -> Stored:
        rows, tops = await history.rows(symbol, 0, 2 * AT), await history.snapshots(symbol, 0, 2 * AT)
        trades, events = await history.trades(symbol, 0, 2000 * AT), await history.events(symbol, 0, 2000 * AT)
        return Stored(
            [row.events for row in rows],
            [second for second, _ in tops],
            [trade.agg_id for trade in trades],
            [(event.start_ms, event.type, event.severity) for event in events],
            await history.baselines(symbol, 0),
        )

    try:
        yield Rig(history, stored)
    finally:
        await history.close()


@asynccontextmanager
async def in_memory(_: Path) -> AsyncIterator[Rig]:
    sink = MemorySink()

    async def stored(symbol: str) -> Stored:
        seconds = sorted(sink.seconds[symbol].items())
        return Stored(
            [record.row.events for _, record in seconds],
            [second for second, record in seconds if record.top is not None],
            sorted(sink.trades[symbol]),
            [(event.start_ms, event.type, event.severity) for _, event in sorted(sink.events[symbol].items())],
            sorted(sink.baselines[symbol].items()),
        )

    yield Rig(sink, stored)


@pytest.fixture(params=[in_history, in_memory])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    async with request.param(tmp_path / "db") as made:
        yield made


def second(number: int, *, spec: SymbolSpec = BTC, events: int = 1, top: bool = True) -> SecondRecord:
    book = (
        BookTop(last_update_id=number + 1, event_ms=(AT + number) * 1000, bids=((100.0, 1.0),), asks=((100.01, 2.0),))
        if top
        else None
    )
    return SecondRecord(spec, SecondRow(second=AT + number, covered_ms=1000, mid=100.0, events=events), book)


def trades(*numbers: int, spec: SymbolSpec = BTC, step_ms: int = 1000) -> TradeBatch:
    return TradeBatch(spec, tuple(Trade(n, AT * 1000 + n * step_ms, 100.0, 1.0, n, n, bool(n % 2)) for n in numbers))


async def test_a_second_of_several_symbols_is_stored_with_its_trades(rig: Rig) -> None:
    result = await rig.sink.append([second(0), second(0, spec=ETH, top=False)], [trades(1, 2), trades(7, spec=ETH)])
    assert (result.rows, result.snapshots) == ({"BTCUSDT": 1, "ETHUSDT": 1}, {"BTCUSDT": 1})
    assert (result.trades, result.failed) == ({"BTCUSDT": 2, "ETHUSDT": 1}, {})
    assert (await rig.stored("BTCUSDT"))[:3] == ([1], [AT], [1, 2])
    assert (await rig.stored("ETHUSDT"))[:3] == ([1], [], [7])


async def test_the_first_record_of_a_second_stays(rig: Rig) -> None:
    """Two holders record the same second, and a batch whose fate is not known is written again."""
    await rig.sink.append([second(0), second(1)])
    result = await rig.sink.append([second(1, events=99), second(2)])
    assert (result.skipped_seconds, result.rows) == ({"BTCUSDT": 1}, {"BTCUSDT": 1})
    assert (await rig.stored("BTCUSDT")).events == [1, 1, 1]


async def test_a_trade_is_known_by_its_id(rig: Rig) -> None:
    await rig.sink.append([second(0)], [trades(5, 6)])
    result = await rig.sink.append([second(1)], [trades(6, 7)])
    assert (result.trades, result.skipped_trades) == ({"BTCUSDT": 1}, {"BTCUSDT": 1})
    late = await rig.sink.add_trades(trades(9, 1, 6, 2))
    assert (late.trades, late.skipped_trades) == ({"BTCUSDT": 3}, {"BTCUSDT": 1})
    assert (await rig.stored("BTCUSDT")).trades == [1, 2, 5, 6, 7, 9]
    assert await rig.sink.verify_ids("BTCUSDT") == []


async def test_a_finding_that_goes_on_takes_its_own_place(rig: Rig) -> None:
    def found(start: int, kind: str, severity: str) -> StoredEvent:
        return StoredEvent(type=kind, start_ms=start, severity=severity, evidence={"value": 1.5})

    await rig.sink.put_events("BTCUSDT", [found(2000, "absorption", "Low"), found(1000, "iceberg", "Low")])
    await rig.sink.put_events("BTCUSDT", [found(2000, "absorption", "High"), found(2000, "iceberg", "Low")])
    assert (await rig.stored("BTCUSDT")).findings == [
        (1000, "iceberg", "Low"),
        (2000, "absorption", "High"),
        (2000, "iceberg", "Low"),
    ]
    assert (await rig.stored("ETHUSDT")).findings == []


async def test_the_newest_state_of_an_hour_counts(rig: Rig) -> None:
    for hour, data in ((7200, b"one"), (3600, b"two"), (7200, b"three")):
        await rig.sink.put_baseline("BTCUSDT", hour, data)
    assert (await rig.stored("BTCUSDT")).baselines == [(3600, b"two"), (7200, b"three")]


async def test_minutes_are_sealed_once_and_only_when_they_are_over(rig: Rig) -> None:
    await rig.sink.append([second(0)], [trades(1, 59, 61, 121)])
    end_ms = (AT + 121) * 1000
    assert await rig.sink.seal("BTCUSDT", end_ms) == 2
    assert await rig.sink.seal("BTCUSDT", end_ms) == 0
    await rig.sink.add_trades(trades(30))
    assert (await rig.stored("BTCUSDT")).trades == [1, 30, 59, 61, 121]


async def test_a_symbol_that_is_forgotten_keeps_what_is_stored_and_goes_on(rig: Rig) -> None:
    await rig.sink.append([second(0)], [trades(1)])
    await rig.sink.flush(sync=True)
    await rig.sink.forget("BTCUSDT")
    await rig.sink.append([second(0), second(5)], [trades(1, 2)])
    assert (await rig.stored("BTCUSDT"))[:3] == ([1, 1], [AT, AT + 5], [1, 2])


async def test_calls_may_be_under_way_together(rig: Rig) -> None:
    await asyncio.gather(*(rig.sink.append([second(n)], [trades(n, n + 1)]) for n in range(20)))
    stored = await rig.stored("BTCUSDT")
    assert (len(stored.events), stored.trades) == (20, list(range(21)))
