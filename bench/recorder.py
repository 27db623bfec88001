"""What recording costs: time a second and symbol on the event loop and on the writer's thread, and bytes on disk.

    python -m bench.recorder [--symbols 20] [--json FILE]

The recorded minutes (or synthetic ones) are fed to as many symbols, one message each in turn, so that caches are as
cold as with as many books; every second the recorder's tick runs as it does in production and its batch is written by
`History.append`. Times are CPU times of the thread; sizes are those of table files after a compaction.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench.sets import MessageSet, recorded
from bench.synthetic import synthetic
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.recorder import Recorder
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.market.ticks import FinalSecond
from vibe_orderbook_mcp.model.events import DepthUpdate, Trade
from vibe_orderbook_mcp.model.rows import KEPT_SECS, SecondRecord, SecondRow, TradeBatch
from vibe_orderbook_mcp.process.logs import set_up_logging
from vibe_orderbook_mcp.store.disk.layout import ROLL, ROW, SNAP, TRADE_MIN, Layout
from vibe_orderbook_mcp.store.disk.rocks import Database
from vibe_orderbook_mcp.store.writer import Writer
from vibe_orderbook_mcp.venues.binance.messages import DepthMessage, TradeMessage, parse_frame, parse_snapshot

RECORDED = (("BTCUSDT", "0.01000000", "0.00001000"), ("ETHUSDT", "0.01000000", "0.00010000"))
SECONDS = 60  # of each symbol, when many are fed in turn
WARM_SECS = 5

Event = DepthUpdate | Trade


def message_sets() -> list[MessageSet]:
    found = [messages for each in RECORDED if (messages := recorded(*each)) is not None]
    return found or [synthetic(4_000)]


def events_of(messages: MessageSet) -> Iterator[tuple[int, Event]]:
    for received_ms, raw in messages.frames:
        event = parse_frame(raw)
        if isinstance(event, DepthMessage):
            yield received_ms, event
        elif isinstance(event, TradeMessage):
            yield received_ms, event.trade()


class Clocked:
    """Time that a tracker spends where a second ends: its capture, its row. Other calls of `roll` are the event's."""

    def __init__(self, state: InstrumentOwner) -> None:
        self._tracker = state._recorded.seconds
        self._roll = self._tracker.roll
        self._second: int | None = None
        self._finished = 0
        self.capture_us: list[float] = []
        self.row_us: list[float] = []
        self.event_us: list[float] = []
        self._tracker.roll = self.roll  # type: ignore[method-assign]

    def roll(self, event_ms: int) -> None:
        before = len(self._tracker._finished)
        began = time.thread_time_ns()
        self._roll(event_ms)
        taken = (time.thread_time_ns() - began) / 1e3
        second, self._second = self._second, event_ms // 1000
        if second is not None and second != self._second:
            self.capture_us.append(taken)
        elif len(self._tracker._finished) != before:
            self.row_us.append(taken)
        else:
            self.event_us.append(taken)


def in_turn(sets: list[MessageSet], symbols: int) -> Iterator[tuple[int, str, MessageSet, Event]]:
    """(received ms, symbol, its set, event) of many symbols, in the order of receipt."""
    fed: list[tuple[int, str, MessageSet, Event]] = []
    for number in range(symbols):
        messages = sets[number % len(sets)]
        name = messages.symbol if number < len(sets) else f"S{number:02d}USDT"
        start = messages.frames[0][0]
        for received_ms, event in events_of(messages):
            if received_ms - start > SECONDS * 1000:
                break
            named = _named(event, name) if isinstance(event, DepthUpdate) else event
            fed.append((received_ms, name, messages, named))
    fed.sort(key=lambda each: each[0])
    return iter(fed)


def _named(event: DepthUpdate, symbol: str) -> DepthUpdate:
    return DepthUpdate(symbol, event.event_ms, event.first_id, event.final_id, event.bids, event.asks)


def loop_and_writer(symbols: int) -> dict[str, Any]:
    """Microseconds a symbol and second, medians; and what a whole second of all symbols takes."""
    sets = message_sets()
    market = Market()
    recorder = Recorder(market, Archive(Path("unused"), cap_mb=1024, retention_days=7))
    clocks: dict[str, Clocked] = {}
    ticks: list[float] = []
    writes: list[float] = []
    logged: list[float] = []
    watched_us: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder) / "db", Layout(cap_mb=1024, retention_days=7))
        writer = Writer(database)
        next_tick = 0
        for received_ms, name, messages, event in in_turn(sets, symbols):
            if name not in market.symbols:
                spec = msgspec.structs.replace(messages.spec, symbol=name)
                clocks[name] = Clocked(market.add(spec))
                limit = messages.limit or 5000
                market.load(name, parse_snapshot(messages.snapshot), limit, received_ms * 1_000_000)
            if received_ms >= next_tick:
                next_tick = received_ms + 1000
                _tick(recorder, writer, received_ms, ticks, writes, logged, watched_us)
            if isinstance(event, Trade):
                market.receive_trade(name, event)
            else:
                market.receive_depth(event, received_ms * 1_000_000)
        database.close()
    usual = median(value for clock in clocks.values() for value in clock.event_us)
    capture = [value - usual for clock in clocks.values() for value in clock.capture_us[WARM_SECS:]]
    row = [value - usual for clock in clocks.values() for value in clock.row_us[WARM_SECS:]]
    watching = sum(watched_us) / max(1, len(watched_us))
    return {
        "symbols": symbols,
        "capture_us": median(capture),
        "capture_mean_us": sum(capture) / len(capture),
        "row_us": median(row),
        "detectors_us": watching,
        "tick_us": (sum(ticks) - sum(watched_us)) / len(ticks) / symbols,
        "log_us": median(logged[WARM_SECS:]) / symbols,
        "write_us": median(writes[WARM_SECS:]) / symbols,
        "second_on_loop_ms": (sum(capture) / len(capture) + median(row)) * symbols / 1e3
        + (median(ticks[WARM_SECS:]) + median(logged[WARM_SECS:])) / 1e3,
        "second_on_writer_ms": median(writes[WARM_SECS:]) / 1e3,
    }


def _tick(
    recorder: Recorder,
    writer: Writer,
    now_ms: int,
    ticks: list[float],
    writes: list[float],
    logged: list[float],
    watched_us: list[float],
) -> None:
    def observe(owner: InstrumentOwner, final: FinalSecond) -> None:
        began = time.thread_time_ns()
        owner.watch.second(final.record.row, final.evidence)
        watched_us.append((time.thread_time_ns() - began) / 1e3)

    recorder.watcher.observe = observe  # type: ignore[method-assign]  # no past to restore, and timed alone
    began = time.thread_time_ns()
    recorder.tick(now_ms * 1_000_000)
    ticks.append((time.thread_time_ns() - began) / 1e3)
    while recorder._queue:
        tick = recorder._queue.popleft()
        began = time.thread_time_ns()
        writer.append(tick.seconds, tick.trades)
        writes.append((time.thread_time_ns() - began) / 1e3)
        began = time.thread_time_ns()
        for record in tick.seconds:
            recorder._log_stored(record)
        logged.append((time.thread_time_ns() - began) / 1e3)


def bytes_on_disk() -> dict[str, Any]:
    """Bytes a row, a snapshot and a trade of everything recorded, and what that makes for two symbols in an hour."""
    sets = message_sets()
    seconds: list[SecondRecord] = []
    batches: list[TradeBatch] = []
    trades = 0
    for messages in sets:
        market = Market()
        state = market.add(messages.spec)
        market.load(messages.symbol, parse_snapshot(messages.snapshot), messages.limit or 5000, 0)
        for received_ms, event in events_of(messages):
            if isinstance(event, Trade):
                market.receive_trade(messages.symbol, event)
            else:
                market.receive_depth(event, received_ms * 1_000_000)
        taken = state.take()
        seconds += [each.record for each in taken.seconds]
        if taken.trades is not None:
            trades += len(taken.trades.trades)
            batches.append(taken.trades)
    seconds.sort(key=lambda record: record.row.second)
    with tempfile.TemporaryDirectory() as folder:
        database = Database.open(Path(folder) / "db", Layout(cap_mb=1024, retention_days=7))
        writer = Writer(database)
        for start in range(0, len(seconds), 20):
            writer.append(seconds[start : start + 20], [])
        for batch in batches:
            writer.add_trades(batch)
        database.flush()
        held = {}
        for family in (ROW, SNAP, TRADE_MIN, ROLL):
            database.compact(family)
            held[family] = database.property(family, "rocksdb.total-sst-files-size")
        database.close()
    row, snapshot = held[ROW] / len(seconds), held[SNAP] / len(seconds)
    return {
        "seconds": len(seconds),
        "row_bytes": row,
        "snapshot_bytes": snapshot,
        "trade_bytes": held[TRADE_MIN] / trades,
        "rollup_bytes_a_trade": held[ROLL] / trades,
        "two_symbols_mb_an_hour": 2 * 3600 * (row + snapshot) / 1e6,
    }


def memory() -> dict[str, Any]:
    """Megabytes that two symbols take, in their books and beyond, an hour after the start; by Python's own count."""
    tracemalloc.start()
    market = Market()
    for number in range(2):
        messages = message_sets()[number % len(message_sets())]
        state = market.add(msgspec.structs.replace(messages.spec, symbol=f"S{number}USDT"))
        market.load(state.spec.symbol, parse_snapshot(messages.snapshot), messages.limit or 5000, 0)
        for received_ms, event in events_of(messages):
            if isinstance(event, Trade):
                market.receive_trade(state.spec.symbol, event)
            else:
                market.receive_depth(_named(event, state.spec.symbol), received_ms * 1_000_000)
            for each in state.take().seconds:
                state.watch.second(each.record.row, each.evidence)
        newest = state.watch.rows[-1]
        for later in range(1, KEPT_SECS):  # the same minute again and again, until an hour is over
            _keep(state, msgspec.structs.replace(state.watch.rows[-60], second=newest.second + later))
    del messages, event  # which are many megabytes themselves
    gc.collect()
    whole, _ = tracemalloc.get_traced_memory()
    books = [state.copy for state in market.symbols.values()]
    del market, state, newest
    gc.collect()
    alone, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {"books_mb": alone / 1e6, "beyond_mb": (whole - alone) / 1e6, "symbols": len(books)}


def _keep(state: InstrumentOwner, row: SecondRow) -> None:
    state.past.add(row)
    state.watch.second(row)


async def measure(symbols: int) -> dict[str, Any]:
    """On a loop, since the recorder keeps an event of one."""
    return {"costs": loop_and_writer(symbols), "disk": bytes_on_disk(), "memory": memory()}


def report(figures: dict[str, Any]) -> str:
    cost, disk = figures["costs"], figures["disk"]
    return "\n".join(
        [
            f"{cost['symbols']} symbols, microseconds of CPU a symbol and second",
            f"  capture {cost['capture_us']:.0f} (mean, with wall limits every 10 s: {cost['capture_mean_us']:.0f}),"
            f" row {cost['row_us']:.0f}, tick {cost['tick_us']:.0f}, detectors {cost['detectors_us']:.0f},"
            f" its line in the log {cost['log_us']:.0f};"
            f" writer's thread {cost['write_us']:.0f}",
            f"  a second of all: {cost['second_on_loop_ms']:.1f} ms on the loop (goal 2),"
            f" {cost['second_on_writer_ms']:.1f} ms on the writer's thread",
            f"bytes on disk: row {disk['row_bytes']:.1f}, snapshot {disk['snapshot_bytes']:.1f} (goal 105),"
            f" trade {disk['trade_bytes']:.2f} (goal 7) and {disk['rollup_bytes_a_trade']:.2f} of roll-ups;"
            f" two symbols {disk['two_symbols_mb_an_hour']:.2f} MB an hour (goal 2)",
            f"memory of two symbols: {figures['memory']['books_mb']:.1f} MB in the books,"
            f" {figures['memory']['beyond_mb']:.1f} MB beyond them (goal 10)",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stderr(nowhere),
    ):  # as by default, but for where it goes
        set_up_logging("INFO", "text")
        figures = asyncio.run(measure(options.symbols))
    print(report(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
