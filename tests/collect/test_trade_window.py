"""The trades of a window that ends now: those that are stored, and those on their way."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests.answers.serving import answer, exchange, serving
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.analytics.profile.bins import PriceHistogram
from vibe_orderbook_mcp.analytics.profile.coverage import tape_warnings, tape_window
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.collect.trade_window import traded_window
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.numbering import OwnNumbers
from vibe_orderbook_mcp.model.rows import SecondRecord, SecondRow, TradeBatch
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.status import store_status

pytestmark = pytest.mark.anyio

SPEC = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"))
NOW = 1_700_000_100
DAY = Span(NOW - 86_400, NOW)


async def test_trades_that_are_not_written_yet_are_in_the_profile(tmp_path: Path) -> None:
    """The disk fails for a while: the window goes on to now, and 1.0 is the coverage of what it really has."""
    async with serving(tmp_path, exchange()) as (_, server, client):
        runtime = server.runtime
        async with asyncio.timeout(PATIENCE_SECS):
            while runtime.recorder.trades_stored["BTCUSDT"] < 5:
                await asyncio.sleep(0.05)
            runtime.archive.settled.clear()  # the writer waits from its next batch on
            while runtime.recorder.queue_ticks < 3 or len(runtime.recorder.waiting("BTCUSDT")) < 5:
                await asyncio.sleep(0.05)
        body = await answer(client, "get_volume_profile", symbol="BTCUSDT", duration_hours=1)
        end_ms = round(datetime.fromisoformat(body["window"]["end"]).timestamp() * 1000)
        history = runtime.archive.history
        assert history is not None
        stored = await history.trades("BTCUSDT", 0, 10**13 - 1000)
        waiting = [*runtime.recorder.waiting("BTCUSDT"), *runtime.market.symbols["BTCUSDT"].pending_trades]
        until_then = {trade.agg_id for trade in (*stored, *waiting) if trade.time_ms < end_ms}
        assert body["trades"] == len(until_then) > len(stored)
        assert max(until_then) - min(until_then) + 1 == len(until_then)
        assert body["last_price"] is not None
        assert float(body["low"]) <= float(body["last_price"]) <= float(body["high"])


def runtime_with(*waiting: Trade, exhausted: tuple[str, ...] = ()) -> Runtime:
    """As far as a window of trades looks at it."""
    recorder = SimpleNamespace(waiting=lambda _: list(waiting))
    filler = SimpleNamespace(
        is_exhausted=set(exhausted).__contains__, progress=lambda _: None, is_beginning=lambda _: False
    )
    return cast(
        "Runtime",
        SimpleNamespace(
            recorder=recorder,
            exchanges=SimpleNamespace(of=lambda _: SimpleNamespace(filler=filler)),
        ),
    )


def count(histogram: PriceHistogram) -> int:
    return sum(trades for _, _, trades in histogram.bins.values())


def trades(numbers: range, before: int, step: int = 1) -> tuple[Trade, ...]:
    """One a number, the first of them `before` seconds ago."""
    first = numbers[0]
    return tuple(
        Trade(n, (NOW - before + (n - first) * step) * 1000, 100.0 + n % 5, 1.0, n, n, bool(n % 2)) for n in numbers
    )


async def test_trades_of_the_queue_count_once(tmp_path: Path) -> None:
    """They may have been stored between the look at the queue and the look at the store."""
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    listed = trades(range(100, 200), 100)
    await history.add_trades(TradeBatch(SPEC, listed[:60]))
    span, found, tape = await traded_window(runtime_with(*listed[40:]), history, InstrumentOwner(SPEC), DAY)
    assert (span, count(found), found.last_ms) == (DAY, 100, listed[-1].time_ms)
    assert (tape.held, tape.missing, tape.complete_since_ms) == (100, 0, (NOW - 100) * 1000)
    lost = listed[70:]  # ten between were lost: nothing is whole from before them
    _, found, tape = await traded_window(runtime_with(*lost), history, InstrumentOwner(SPEC), DAY)
    assert (count(found), tape.missing, tape.complete_since_ms) == (90, 10, lost[0].time_ms)
    await history.close()


async def test_a_profile_of_nothing_but_the_queue_has_fine_bins(tmp_path: Path) -> None:
    """In the first second of a symbol, or while the disk has failed from the start."""
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    listed = trades(range(100, 110), 10)
    _, found, tape = await traded_window(runtime_with(*listed), history, InstrumentOwner(SPEC), DAY)
    assert (count(found), found.width_ticks, found.tick_exp) == (10, 1, 2)
    assert tape.answered(DAY) == Span(NOW - 10, NOW)
    await history.close()


async def test_where_most_is_missing_the_whole_part_is_answered(tmp_path: Path) -> None:
    """Six hours with one trade in a hundred stored, then two whole ones: those, and not a thin profile of eight."""
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    await history.add_trades(TradeBatch(SPEC, trades(range(1000, 1010), 8 * 3600)))
    await history.add_trades(TradeBatch(SPEC, trades(range(10_000, 10_720), 7200, step=10)))
    _, found, tape = await traded_window(runtime_with(), history, InstrumentOwner(SPEC), DAY)
    assert (count(found), tape.held, tape.missing, tape.missing_before) == (720, 720, 0, 8990)
    assert tape.answered(DAY) == Span(NOW - 7200, NOW)
    assert tape.held_share(DAY) == 1.0
    await history.add_trades(TradeBatch(SPEC, trades(range(1010, 9000), 8 * 3600 - 100)))
    _, found, tape = await traded_window(runtime_with(), history, InstrumentOwner(SPEC), DAY)
    assert (count(found), tape.missing, tape.missing_before) == (8720, 1000, 0)  # with a small hole it is all of it
    await history.close()


async def test_beside_a_recorder_a_window_ends_where_its_seconds_end(tmp_path: Path) -> None:
    """What it has not stored yet would be a hole at the end, with coverage 1.0."""
    writer = await History.open(tmp_path, cap_mb=64, retention_days=7)
    rows = [SecondRecord(SPEC, SecondRow(second=NOW - n, covered_ms=1000), None) for n in (30, 29, 28)]
    await writer.append(rows, [TradeBatch(SPEC, trades(range(100, 103), 30))])
    reader = await History.open_secondary(tmp_path)
    hour = Span(NOW - 3600, NOW)
    span, found, _ = await traded_window(runtime_with(), reader, InstrumentOwner(SPEC), hour)
    assert (span, count(found)) == (Span(NOW - 27 - 3600, NOW - 27), 3)
    await reader.close()
    await writer.close()


def own(count: int, before: int, numbers: OwnNumbers) -> tuple[Trade, ...]:
    """A run of trades whose ids prove nothing, one a second, the first of them `before` seconds ago."""
    numbers.interrupt()
    out = []
    for place in range(count):
        time_ms = (NOW - before + place) * 1000
        trade = numbers.number(Trade(hash((before, place)) % 2**61, time_ms, 100.0, 1.0, 0, 0, bool(place % 2)))
        assert trade is not None
        out.append(trade)
    return tuple(out)


@pytest.mark.parametrize("is_stored", [True, False])
async def test_an_interruption_costs_its_time_where_trades_cannot_be_counted(tmp_path: Path, is_stored: bool) -> None:
    """Ten minutes without a connection among a day: 0.69 % of it, and not a number of trades that nobody knows."""
    history, numbers = await History.open(tmp_path, cap_mb=64, retention_days=7), OwnNumbers()
    await history.add_trades(TradeBatch(SPEC, own(80_000, 86_500, numbers)))
    newer = own(5_900, 5_900, numbers)  # 6_501 s ago was the last one before it
    runtime = runtime_with(*(() if is_stored else newer))
    if is_stored:
        await history.add_trades(TradeBatch(SPEC, newer))
    span, found, tape = await traded_window(runtime, history, InstrumentOwner(SPEC), DAY)
    assert (tape.missing, tape.breaks, tape.unknown_ms) == (0, 1, 601_000)
    assert tape.share(span) == 1 - 601 / 86_400
    assert tape.complete_since_ms == newer[0].time_ms
    assert count(found) == 79_900 + 5_900
    (warning,) = [each for each in tape_warnings(span, tape, count(found)) if "interrupted" in each]
    assert warning.startswith("The stream was interrupted once, 601 s together: how many trades are missing is unknown")
    assert tape_window(span, tape, count(found)).coverage == 0.993
    part = Span(NOW - 5_000, NOW)  # since then the stream was whole
    tape = (await traded_window(runtime, history, InstrumentOwner(SPEC), part)).tape
    assert (tape.breaks, tape.share(part)) == (0, 1.0)
    status = await store_status(history)
    assert [(each.trades.holes, each.trades.missing_ids) for each in status.symbols if each.trades is not None] == [
        (1, None) if is_stored else (0, 0)
    ]
    await history.close()


async def test_a_short_interruption_is_never_counted_as_complete(tmp_path: Path) -> None:
    """A second of a day: the coverage is rounded down."""
    history, numbers = await History.open(tmp_path, cap_mb=64, retention_days=7), OwnNumbers()
    await history.add_trades(TradeBatch(SPEC, own(80_000, 86_500, numbers)))
    await history.add_trades(TradeBatch(SPEC, own(6_500, 6_500, numbers)))
    span, found, tape = await traded_window(runtime_with(), history, InstrumentOwner(SPEC), DAY)
    assert (tape.breaks, tape.unknown_ms) == (1, 1000)
    assert tape_window(span, tape, count(found)).coverage == 0.9999
    await history.close()
