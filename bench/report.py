"""Results as a table to read and as JSON to keep."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
    print(f"{about['date']}, {about['cpu']}, {about['cores']} cores, Python {about['python']}, {about['system']}")
    print(", ".join(f"{name} {version}" for name, version in about["versions"].items()))


def show_goals(results: dict[str, Any]) -> None:
    """What the hot path is to reach, and what it did; ratios are of one run and to the same bytes."""
    rows = [*_book_goals(results.get("books", {})), *_end_to_end_goals(results.get("end_to_end", []))]
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
