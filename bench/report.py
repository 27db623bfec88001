"""Results as a table to read and as JSON to keep."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


def show(results: dict[str, Any], notes: list[str]) -> None:
    about = machine()
    print(f"{about['date']}, {about['cpu']}, {about['cores']} cores, Python {about['python']}, {about['system']}")
    print(", ".join(f"{name} {version}" for name, version in about["versions"].items()))
    for name, one in results.get("books", {}).items():
        print(
            f"\n{name}: {one['depth_messages']} depth messages of {one['bytes_mean']:.0f} bytes and "
            f"{one['changes_mean']:.1f} changes, {one['trades']} trades"
        )
        for kind, title in (("depth", "depth messages alone"), ("all", "with the trades")):
            if kind not in one:
                continue
            print(f"  {title:<34}{'µs/message':>12}{'ratio':>9}{'segments':>10}")
            for timing in one[kind].values():
                wrong = "" if timing["is_true"] else "  another touch than ours"
                print(
                    f"  {timing['name']:<34}{timing['us']:>12.2f}{timing['ratio']:>9.2f}{timing['segments']:>10}{wrong}"
                )
    for note in notes:
        print(f"note: {note}")


def write(path: Path, results: dict[str, Any], notes: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), "notes": notes, **results}, indent=1) + "\n")
