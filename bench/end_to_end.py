"""The whole program over sockets at a real pace: CPU time, memory, and what it received meanwhile.

    python -m bench.end_to_end [--secs 60] [--symbols 2,20] [--loop auto|asyncio|uvloop] [--profile FILE] [--json FILE]

The simulated exchange runs in a process of its own, ten depth messages a second and symbol, trades beside them; the
server is started as a user would, with its recorder on. Its CPU time is read from the system after the books are live.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from tests.e2e.served import LIVELY, program, scraped

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
SETTLE_SECS = 10  # first snapshots, audits and indexes are past by then


def cpu_secs(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def measure(symbols: int, secs: float, profile: Path | None = None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            program(LIVELY[:symbols], Path(folder), max_symbols=max(20, symbols)) as running,
            httpx.AsyncClient() as http,
        ):
            pid = running.server.process.pid
            await asyncio.sleep(SETTLE_SECS)
            before, cpu = await scraped(http, running.url), cpu_secs(pid)
            sampler = _sampler(pid, secs, profile) if profile is not None else None
            await asyncio.sleep(secs)
            spent, after = cpu_secs(pid) - cpu, await scraped(http, running.url)
            if sampler is not None:
                await asyncio.to_thread(sampler.wait)
            return {
                "symbols": symbols,
                "secs": secs,
                "cpu_percent": 100 * spent / secs,
                "rss_mb": rss_mb(pid),
                "events_a_second": _grown(before, after, "vibe_depth_events_total") / secs,
                "trades_a_second": _grown(before, after, "vibe_trades_total") / secs,
            }


def _grown(before: dict[tuple[str, ...], float], after: dict[tuple[str, ...], float], name: str) -> float:
    return sum(value - before.get(key, 0.0) for key, value in after.items() if key[0] == name)


def _sampler(pid: int, secs: float, path: Path) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid), "--duration", str(int(secs))]
    return subprocess.Popen([*command, "--gil", "--rate", "500", "--format", "raw", "--output", str(path)])


def show(results: list[dict[str, Any]]) -> None:
    print("\nend to end over a socket, 10 messages a second and symbol")
    print(f"  {'symbols':>8}{'CPU %':>9}{'memory MB':>11}{'events/s':>10}{'trades/s':>10}")
    for one in results:
        print(
            f"  {one['symbols']:>8}{one['cpu_percent']:>9.2f}{one['rss_mb']:>11.0f}{one['events_a_second']:>10.0f}"
            f"{one['trades_a_second']:>10.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--secs", type=float, default=60.0)
    parser.add_argument("--symbols", default="2,20")
    parser.add_argument("--profile", type=Path, help="where a raw py-spy profile of the last run goes")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = [asyncio.run(measure(int(count), options.secs, options.profile)) for count in options.symbols.split(",")]
    show(results)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
