"""Results as a table to read and as JSON to keep."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vibe_orderbook_mcp.book.compiled import IS_COMPILED

OWN_BOOK, OWN_ROWS = "this project: book", "this project: book and rows"
CCXT, PYTHON_BINANCE = "ccxt.pro, 1000 levels", "python-binance, never read"

PACKAGES = (
    "vibe-orderbook-mcp",
    "msgspec",
    "orjson",
    "websockets",
    "uvloop",
    "ccxt",
    "python-binance",
    "cryptofeed",
    "order-book",
    "unicorn-binance-local-depth-cache",
    "sortedcontainers",
)


def machine() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "books": "compiled code" if IS_COMPILED else "plain Python",
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def show_machine() -> None:
    about = machine()
    print(
        f"{about['date']}, {about['cpu']}, {about['cores']} cores, {about['system']}, Python {about['python']}, "
        f"books kept in {about['books']}"
    )
    print(", ".join(f"{name} {version}" for name, version in about["versions"].items()))


def show_goals(results: dict[str, Any]) -> None:
    """What the program is to reach, and what it did; ratios are of one run and to the same bytes."""
    rows = [
        *_book_goals(results.get("books", {})),
        *_end_to_end_goals(results.get("end_to_end", [])),
        *_recorder_goals(results.get("recorder", {})),
        *_query_goals(results.get("queries", {})),
        *_answer_goals(results.get("answers", {})),
    ]
    if rows:
        print(f"\n{'goal':<62}{'at':>10}{'measured':>10}")
    for what, bound, measured, is_met in rows:
        print(f"{what:<62}{bound:>10}{measured:>10}  {'met' if is_met else 'missed'}")


Goal = tuple[str, str, str, bool]


def _book_goals(books: dict[str, Any]) -> Iterator[Goal]:
    for name, one in books.items():
        depth = one["depth"]
        ratio = depth[OWN_BOOK]["ratio"]
        most = 2.5 if name.startswith("recorded") else 4.0 if "in turn" in name else 3.0
        yield f"{name}: book / orjson.loads", f"<= {most}", f"{ratio:.2f}", ratio <= most
        rows = depth[OWN_ROWS]["us"] / depth[OWN_BOOK]["us"]
        yield f"{name}: with rows / book", "<= 1.8", f"{rows:.2f}", rows <= 1.8
        for peer, least in ((CCXT, 4.0), (PYTHON_BINANCE, 2.0)):
            if peer in depth:
                times = depth[peer]["us"] / depth[OWN_BOOK]["us"]
                yield f"{name}: {peer} / book", f">= {least}", f"{times:.2f}", times >= least


def _end_to_end_goals(runs: list[dict[str, Any]]) -> Iterator[Goal]:
    for one in runs:
        most = {2: 1.0, 20: 6.0}.get(one["symbols"])
        if most is not None:
            spent = one["cpu_percent"]
            yield f"end to end, {one['symbols']} symbols: % of a core", f"<= {most:g}", f"{spent:.2f}", spent <= most


def _recorder_goals(found: dict[str, Any]) -> Iterator[Goal]:
    if not found:
        return
    cost, disk = found["costs"], found["disk"]
    spent = cost["second_on_loop_ms"]
    yield f"recorder, a second of {cost['symbols']} symbols: ms on the loop", "<= 2", f"{spent:.1f}", spent <= 2
    for name, what, most in (
        ("snapshot_bytes", "bytes a snapshot on disk", 105),
        ("trade_bytes", "bytes a trade on disk", 7),
        ("two_symbols_mb_an_hour", "MB an hour, two symbols", 2),
    ):
        yield f"recorder, {what}", f"<= {most}", f"{disk[name]:.2f}", disk[name] <= most


def _query_goals(found: dict[str, Any]) -> Iterator[Goal]:
    for name, one in found.items():
        most, taken = one["goal_ms"], one["each_second_ms"]
        yield f"query, {name}: ms", f"<= {most:g}", f"{taken:.1f}", taken <= most


def _answer_goals(found: dict[str, Any]) -> Iterator[Goal]:
    for transport, tools in found.items():
        for name, most in (("orderbook_l1", 0.5), ("orderbook_l2, 20 levels", 1.0)):
            if transport == "on_the_server":
                for book, costs in tools.items():
                    yield f"{name}, server's CPU, {book}: ms", f"<= {most}", f"{costs[name]:.2f}", costs[name] <= most
            else:
                over = tools[name]["over_empty_ms"]
                yield f"{name} over an empty tool, {transport}: ms", f"<= {most}", f"{over:.2f}", over <= most
