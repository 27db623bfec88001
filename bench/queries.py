"""Questions about the past, asked of a week of many symbols: how long each takes, and how long the loop stands still.

    python -m bench.queries [--data DIRECTORY] [--days 7] [--symbols 20] [--trades 10000000] [--json FILE]

The directory is built where it does not exist. Each question is asked through the server's own `call_tool`, so text
and structured content are part of it, at a new second every time ("each second"), once before anything was read
("first"), and again within one second ("same second"). A ticker notes how late the event loop gets to run meanwhile;
what the machine's other work does to it is measured by the same ticker while nothing is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
from mcp_types import CallToolResult

from bench.week import ASKED, CAP_MB, SPEC, Week, about, build, template
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.process.config import load_settings
from vibe_orderbook_mcp.process.logs import set_up_logging
from vibe_orderbook_mcp.serve.mcp_server import VibeServer
from vibe_orderbook_mcp.serve.serving import create_server
from vibe_orderbook_mcp.venues.binance.messages import parse_snapshot

TICK_SECS = 0.001
IDLE_SECS = 2.0
BASELINE_SECS = 2 * 3600  # of rows past the detectors before the first question, so that they have a normal

QUESTIONS: dict[str, tuple[str, dict[str, Any], float]] = {  # tool, arguments, milliseconds it may take
    "flow, 300 s": ("get_order_flow", {"window_duration_secs": 300}, 5),
    "flow, 300 s, detail": ("get_order_flow", {"window_duration_secs": 300, "detail": True}, 5),
    "profile, 24 h": ("get_volume_profile", {"duration_hours": 24}, 5),
    "profile, 168 h": ("get_volume_profile", {"duration_hours": 168}, 20),
    "profile, 168 h, detail": ("get_volume_profile", {"duration_hours": 168, "detail": True}, 20),
    "vacuums, 168 h": ("get_liquidity_vacuums", {"duration_hours": 168}, 20),
    "health, 300 s": ("get_microstructure_health", {"window_duration_secs": 300}, 10),
    "anomalies, 300 s": ("detect_market_anomalies", {"window_duration_secs": 300}, 10),
    "anomalies, 168 h of findings": ("detect_market_anomalies", {"since_hours": 168}, 10),
}


class Lag:
    """How late a ticker on the event loop was, at worst and usually, in milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        self.late = []
        task = asyncio.create_task(self._tick())
        await asyncio.sleep(2 * TICK_SECS)
        try:
            yield
        finally:
            await asyncio.sleep(2 * TICK_SECS)
            task.cancel()

    async def _tick(self) -> None:
        while True:
            due = time.perf_counter() + TICK_SECS
            await asyncio.sleep(TICK_SECS)
            self.late.append(1e3 * (time.perf_counter() - due))

    @property
    def worst_ms(self) -> float:
        return max(self.late, default=0.0)


class Asking:
    """A server on a stored week, without a feed: its clock stands where what is stored ends, and moves by `second`."""

    def __init__(self, server: VibeServer, week: Week) -> None:
        self.server = server
        self._end = week.end
        self._rows: list[SecondRow] = []
        self._last_id = 0
        self.state = server.runtime.market.add(SPEC)

    async def open(self) -> None:
        runtime = self.server.runtime
        await runtime.archive.open()
        history = runtime.archive.history
        if history is None:
            raise RuntimeError(runtime.archive.error)
        messages, _ = template()
        self._set_clock()
        runtime.market.load(ASKED, parse_snapshot(messages.snapshot), messages.limit or 5000, time.monotonic_ns())
        runtime.market.confirm(ASKED)
        self._rows = await history.rows(ASKED, self._end - BASELINE_SECS, self._end)
        self._last_id = max(row.last_agg_id or 0 for row in self._rows)
        for row in self._rows:
            self._final(row)

    def _set_clock(self) -> None:
        runtime = self.server.runtime
        for _ in range(2):  # a clock accepts a time that comes twice
            runtime.market.clock.observe(self._end * 1000 + 900, time.monotonic_ns())
        if (book := self.state.copy) is not None:
            book.event_ms = self._end * 1000 + 900
            self.state._chronicle.silence.begin(time.monotonic_ns())

    def _final(self, row: SecondRow) -> None:
        if (
            self.state.past.oldest is not None or row.second >= self._end
        ):  # what was stored before is read, as at a start
            self.state.past.add(row)
        self.state.watch.second(row)

    def second(self) -> None:
        """The next second's row is final."""
        self._last_id += 1
        row = msgspec.structs.replace(
            self._rows[self._end % len(self._rows)],
            second=self._end,
            first_agg_id=self._last_id,
            last_agg_id=self._last_id,
            agg_trades=1,
        )
        self._final(row)
        self._end += 1
        self._set_clock()

    async def ask(self, tool: str, arguments: dict[str, Any]) -> tuple[float, float, float, CallToolResult]:
        """Milliseconds of wall time, of CPU of all threads and of this one, and the answer."""
        began, whole, cpu = time.perf_counter(), time.process_time(), time.thread_time()
        result = await self.server.call_tool(tool, {"symbol": ASKED, **arguments})
        ended = time.perf_counter(), time.process_time(), time.thread_time()
        taken = 1e3 * (ended[0] - began), 1e3 * (ended[1] - whole), 1e3 * (ended[2] - cpu)
        if not isinstance(result, CallToolResult) or result.is_error:
            raise RuntimeError(f"{tool}: {result}")
        return *taken, result


async def measure(path: Path, week: Week, rounds: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    lag = Lag()
    for name, (tool, arguments, goal) in QUESTIONS.items():
        # A server of its own, so that nothing was asked before.
        server = create_server(load_settings(data_path=path, storage_cap_mb=CAP_MB, symbols=ASKED, log_level="ERROR"))
        asking = Asking(server, week)
        await asking.open()
        try:
            async with lag.watched():
                await asyncio.sleep(IDLE_SECS)
            idle = lag.worst_ms
            async with lag.watched():
                first, first_cpu, _, result = await asking.ask(tool, arguments)
            first_lag = lag.worst_ms
            await _settle(asking, tool, arguments)
            each, cpus, loop, same, lags = [], [], [], [], []
            for _ in range(rounds):
                asking.second()
                async with lag.watched():
                    taken, whole, cpu, result = await asking.ask(tool, arguments)
                each.append(taken)
                cpus.append(whole)
                loop.append(cpu)
                lags.append(lag.worst_ms)
                same.append((await asking.ask(tool, arguments))[0])
            figures[name] = {
                "goal_ms": goal,
                "first_ms": first,
                "first_cpu_ms": first_cpu,
                "each_second_ms": median(each),
                "cpu_ms": median(cpus),
                "loop_cpu_ms": median(loop),
                "same_second_ms": median(same),
                "first_lag_ms": first_lag,
                "lag_ms": median(lags),
                "idle_lag_ms": idle,
                "bytes": sum(len(getattr(part, "text", "").encode()) for part in result.content),
            }
        finally:
            await server.runtime.archive.close()
    return figures


async def _settle(asking: Asking, tool: str, arguments: dict[str, Any]) -> None:
    """What the first question began in the background is through when the answer no longer changes its shape."""
    if tool == "get_order_flow":
        for _ in range(600):
            *_, result = await asking.ask(tool, arguments)
            told = result.structured_content or {}
            is_read = not any("still being read" in warning for warning in told["warnings"])
            if is_read and (not arguments.get("detail") or told["detail"]["vpin"] is not None):
                return
            asking.second()
            await asyncio.sleep(0.1)


def report(figures: dict[str, Any]) -> str:
    heads = (
        "goal",
        "first",
        "its CPU",
        "each second",
        "its CPU",
        "on the loop",
        "same second",
        "lag",
        "first lag",
        "idle lag",
        "bytes",
    )
    lines = [f"{'milliseconds':30}" + "".join(f"{head:>12}" for head in heads)]
    for name, found in figures.items():
        keys = (
            "goal",
            "first",
            "first_cpu",
            "each_second",
            "cpu",
            "loop_cpu",
            "same_second",
            "lag",
            "first_lag",
            "idle_lag",
        )
        lines.append(f"{name:30}" + "".join(f"{found[key + '_ms']:12.2f}" for key in keys) + f"{found['bytes']:12d}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="directory of bench.week; built where it is not there")
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--trades", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    set_up_logging("ERROR", "text")
    with tempfile.TemporaryDirectory() as folder:
        path = options.data or Path(folder) / "week"
        if not path.exists():
            build(path, days=options.days, symbols=options.symbols, trades=options.trades)
        week = msgspec.json.decode(about(path).read_bytes(), type=Week)
        figures = asyncio.run(measure(path, week, options.rounds))
    print(f"{week.days:g} days of {len(week.symbols)} symbols, {week.trades:,} trades of {ASKED}")
    print(report(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
