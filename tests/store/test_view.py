"""A question sees one moment of the store, whatever is written while it is answered."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.store.places import opened
from tests.store.values import BTC, START, batch, record, trade
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.store import rollup_reads
from vibe_orderbook_mcp.store.export import export_trades
from vibe_orderbook_mcp.store.history import History

pytestmark = pytest.mark.anyio

START_MS = START * 1000
FOREVER_MS = 10**13 - 1000
A_MINUTE = 600  # trades: ten a second


async def ids_of_histogram(history: History) -> tuple[int, int, int]:
    sums = await history.histogram("BTCUSDT", START_MS, FOREVER_MS)
    assert sum(count for _, _, count in sums.bins.values()) == sums.trades
    return sums.first_agg_id or 0, sums.last_agg_id or 0, sums.trades


async def ids_of_sums(history: History) -> tuple[int, int, int]:
    sums = await history.trade_sums("BTCUSDT", START_MS, FOREVER_MS)
    return sums.first_agg_id or 0, sums.last_agg_id or 0, sums.trades


async def ids_of_trades(history: History) -> tuple[int, int, int]:
    trades = await history.trades("BTCUSDT", START_MS, FOREVER_MS)
    return trades[0].agg_id, trades[-1].agg_id, len(trades)


async def ids_of_export(history: History) -> tuple[int, int, int]:
    sink = io.BytesIO()
    count = await export_trades(history, "BTCUSDT", START_MS, FOREVER_MS, "jsonl", sink)
    lines = sink.getvalue().splitlines()
    assert len(lines) == count
    return json.loads(lines[0])["agg_id"], json.loads(lines[-1])["agg_id"], count


Question = Callable[[History], Awaitable[tuple[int, int, int]]]
QUESTIONS = [ids_of_histogram, ids_of_sums, ids_of_trades, ids_of_export]


@pytest.mark.parametrize("beside", [False, True], ids=["recorder", "beside a recorder"])
@pytest.mark.parametrize("ask", QUESTIONS)
@pytest.mark.parametrize("open_minute", [200, 500])
async def test_trades_written_while_a_question_is_answered_leave_no_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ask: Question, beside: bool, open_minute: int
) -> None:
    """The minute that was open goes on, and others follow, between two reads: it is those minutes or none of them."""
    writer = await opened(tmp_path)
    for minute in range(3):
        await add(writer, minute * A_MINUTE, minute * A_MINUTE + A_MINUTE)
    await writer.seal("BTCUSDT", START_MS + 60_000)
    await add(writer, 3 * A_MINUTE, 3 * A_MINUTE + open_minute)
    history = await History.open_secondary(tmp_path) if beside else writer
    written = 3 * A_MINUTE + open_minute

    async def write_more() -> None:
        nonlocal written
        await add(writer, written, written + A_MINUTE // 2)
        written += A_MINUTE // 2
        if beside:  # another question, which sees it
            await history.newest_second("BTCUSDT")

    monkeypatch.setattr(rollup_reads, "PIECE_SECS", 2e-6)
    between_reads(history, monkeypatch, write_more)
    first, last, count = await ask(history)
    assert (first, count) == (0, last + 1)
    assert written > 4 * A_MINUTE
    monkeypatch.undo()
    assert await ask(history) == (0, written - 1, written)
    await history.close()
    await writer.close()


async def test_what_several_calls_of_a_view_find_fits_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage that is looked up later must not speak of trades that the sums do not have."""
    history = await opened(tmp_path)
    await add(history, 0, 1000)
    async with history.view() as view:
        sums = await view.histogram("BTCUSDT", START_MS, START_MS + 300_000)
        await add(history, 1500, 2000)
        assert await view.ids("BTCUSDT") == [(0, 999)]
        assert await view.newest_second("BTCUSDT") == START + 99
        held = await view.id_coverage("BTCUSDT", START_MS, START_MS + 300_000, sums)
        assert (held.held, held.missing, held.complete_since_ms) == (1000, 0, START_MS)
        assert len(await view.trades("BTCUSDT", START_MS, FOREVER_MS)) == 1000
    held = await history.id_coverage("BTCUSDT", START_MS, START_MS + 300_000)
    assert (held.held, held.missing, held.complete_since_ms) == (1500, 500, START_MS + 150_000)
    await history.close()


async def test_trades_that_wait_to_be_stored_count_as_held(tmp_path: Path) -> None:
    """And a hole before them is one: nothing is whole from before it."""
    history = await opened(tmp_path)
    await add(history, 0, 1000)
    window = "BTCUSDT", START_MS, START_MS + 120_000
    sums = await history.histogram(*window)
    held = await history.id_coverage(*window, sums, batch(*range(1000, 1300)).trades)
    assert (held.missing, held.end_known, held.complete_since_ms) == (200, True, START_MS)  # 1000-1199 not in `sums`
    held = await history.id_coverage(*window, sums, batch(*range(1050, 1060)).trades)
    assert (held.missing, held.complete_since_ms) == (0, START_MS + 105_000)
    await history.close()


async def test_a_view_ends_with_the_database_and_lets_go_of_its_lock(tmp_path: Path) -> None:
    """Else a database that failed could not be opened again while somebody reads."""
    history = await opened(tmp_path)
    await history.append([record(START)])
    async with history.view() as view:
        assert await view.newest_second("BTCUSDT") == START
        await history.reopen()
        with pytest.raises(StorageError, match="Ask once more"):
            await view.newest_second("BTCUSDT")
        assert await history.newest_second("BTCUSDT") == START
    await history.close()


async def add(history: History, first: int, stop: int) -> None:
    """Trades `first` to before `stop`, ten a second, and the rows of their seconds."""
    seconds = sorted({trade(number).time_ms // 1000 for number in range(first, stop)})
    await history.append([record(second, BTC) for second in seconds], [batch(*range(first, stop))])


def between_reads(history: History, monkeypatch: pytest.MonkeyPatch, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work` behind each of the next pieces that are read."""
    submit: Any = history._submit
    left, is_working = 40, False

    async def then_write(thread: Any, read: Any) -> Any:
        nonlocal left, is_working
        found = await submit(thread, read)
        if left > 0 and thread is history._read_thread and not is_working:
            left, is_working = left - 1, True
            await work()
            is_working = False
        return found

    monkeypatch.setattr(history, "_submit", then_write)
