"""The arrows of the design: imports point inwards, and what is pure stays pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

PACKAGE = "vibe_orderbook_mcp"
ROOT = Path(__file__).parents[1] / "src" / PACKAGE

# What awaits, opens, sleeps, reads the clock or the environment, or keeps a thread.
IMPURE = (
    *("asyncio", "anyio", "concurrent.futures", "threading", "multiprocessing", "subprocess", "signal", "select"),
    *("socket", "ssl", "http", "urllib.request", "httpx", "websockets", "uvicorn", "starlette"),
    *("os", "io", "sys", "pathlib", "shutil", "tempfile", "glob", "gzip", "rocksdict", "platformdirs"),
    *("time", "datetime", "random", "secrets", "logging", "loguru"),
)

# Modules of the package by pattern -> which of its own modules they may import. A module matches all its patterns.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": (),
    "core.*": ("core.*", "errors"),
    "analytics.*": ("analytics.*", "core.*", "errors"),
    "market": ("core.*", "analytics.*", "errors"),
    "views": ("core.*", "analytics.*", "errors"),
    "places": ("errors",),
    "outbound": ("errors",),
    "output_file": ("errors",),
    "binance.messages": ("core.events", "core.listed", "core.symbol", "errors"),
    "binance.refusals": (),
    "binance.unpacking": (),
    "binance.weights": (),
    "binance.backoff": (),
    "binance.*": ("binance.*", "core.*", "market", "errors", "repeats", "outbound", "output_file"),
    "store.*": ("store.*", "core.*", "errors", "repeats"),
    "frames.*": ("frames.*", "errors"),
    "verify.*": ("verify.*", "frames.*", "core.*", "errors", "output_file"),
    "sim.*": ("sim.*", "frames.*", "errors"),  # it stands for the exchange: shared code would share its mistakes
}

# Modules by pattern -> modules outside the package they may not import (nor anything below those).
MAY_NOT_IMPORT: dict[str, tuple[str, ...]] = {
    "errors": IMPURE,
    "core.*": IMPURE,
    "analytics.*": tuple(name for name in IMPURE if name != "datetime"),  # ISO 8601 text of a given time
    "market": IMPURE,
    "views": IMPURE,
    "places": IMPURE,
    "binance.messages": IMPURE,
    "binance.refusals": tuple(name for name in IMPURE if name != "datetime"),  # HTTP dates
    "binance.unpacking": IMPURE,
    "repeats": IMPURE,
    "binance.weights": IMPURE,
    "store.grid": IMPURE,
    "store.intervals": IMPURE,
    "store.keys": IMPURE,
    "store.rows": IMPURE,
    "store.snapshots": IMPURE,
    "store.trades": IMPURE,
    "store.rollups": IMPURE,
    "store.row_codes": IMPURE,
    "store.fields": IMPURE,
    "store.row_steps": IMPURE,
    "store.findings": IMPURE,
    "store.packing": tuple(name for name in IMPURE if name != "sys"),  # sys.byteorder
    "frames.venues": IMPURE,
    "verify.parts": IMPURE,
    "verify.binance_spot": IMPURE,
    "verify.text_book": IMPURE,
    "verify.comparison": IMPURE,
    "verify.instrument": IMPURE,
    "sim.ledger": IMPURE,
    "sim.matching": IMPURE,
}

# What is pure all the same: it reads the environment once, for which code is to run, never for what it answers.
BUT_MAY_IMPORT: dict[str, tuple[str, ...]] = {"core.compiled": ("os",)}

# Modules outside the package, or own ones -> the only modules that may import them.
ONLY_IMPORTED_BY: dict[str, tuple[str, ...]] = {
    "mcp": ("server", "mcp_server", "http", "http_limits", "sse", "oauth", "tools.register"),
    "mcp_types": ("server", "mcp_server", "sse", "tools.register"),
    "rocksdict": ("store.*",),
    "websockets": ("binance.connection", "binance.unreachable", "sim.*"),
    f"{PACKAGE}.sim": ("cli", "demo", "sim", "sim.*"),
    f"{PACKAGE}.cli": ("__main__",),
}


def modules() -> dict[str, Path]:
    """Name without the package ("core.book") -> file."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports_of(source: str) -> Iterator[str]:
    """Every module that is named in an import, wherever it stands. `from a import b` names a and a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports here are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def may_import(name: str, allowed: tuple[str, ...]) -> bool:
    """`from package import module` names the package as well; it may be named by who may import from it."""
    return matches(name, allowed) or any(is_within(each, name) for each in allowed)


def offences(module: str, source: str, known: set[str]) -> list[str]:
    allowed = [names for pattern, names in MAY_IMPORT.items() if fnmatchcase(module, pattern)]
    forbidden = [name for pattern, names in MAY_NOT_IMPORT.items() if fnmatchcase(module, pattern) for name in names]
    forbidden = [name for name in forbidden if name not in BUT_MAY_IMPORT.get(module, ())]
    forbidden += [name for name, users in ONLY_IMPORTED_BY.items() if not matches(module, users)]
    out = []
    for name in imports_of(source):
        own = name.removeprefix(f"{PACKAGE}.")
        is_outward = own != name and own in known and not all(may_import(own, names) for names in allowed)
        if is_outward or any(is_within(name, each) for each in forbidden):
            out.append(f"{module} imports {name}")
    return out


def test_imports_point_inwards_and_the_core_is_pure() -> None:
    """A core that reads no clock and opens no socket gives the same answer to a recording every day."""
    found = modules()
    assert "core.book" in found
    assert [line for name, path in found.items() for line in offences(name, path.read_text("utf-8"), set(found))] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core.book", "import time"),
        ("core.book", "import os"),
        ("core.compiled", "import socket"),
        ("core.book", "def f():\n    from os.path import join"),
        ("core.book", "from vibe_orderbook_mcp.analytics.numbers import decimals"),
        ("core.book", "from vibe_orderbook_mcp import market"),
        ("core.book", "import concurrent.futures as pool"),
        ("analytics.walls", "from vibe_orderbook_mcp.market import Market"),
        ("analytics.walls", "from websockets.asyncio.client import connect"),
        ("binance.messages", "import asyncio"),
        ("binance.messages", "from vibe_orderbook_mcp.binance import rest"),
        ("market", "from vibe_orderbook_mcp.store import rows"),
        ("store.rows", "import rocksdict"),
        ("tools.service", "import mcp.server"),
        ("runtime", "from vibe_orderbook_mcp.sim.server import SimServer"),
        ("sim.model", "from vibe_orderbook_mcp.core.book import OrderBook"),
    ],
)
def test_a_forbidden_import_is_noticed(module: str, source: str) -> None:
    """A guard that cannot fail guards nothing."""
    assert offences(module, source, set(modules()))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core.book", "from vibe_orderbook_mcp.core.events import Side\nfrom collections.abc import Iterable"),
        ("core.book", "import timeit_like_name, osmosis"),
        ("binance.feed", "import asyncio\nfrom vibe_orderbook_mcp.binance import messages"),
        ("tools.register", "from mcp.server.mcpserver import MCPServer"),
        ("cli", "from vibe_orderbook_mcp import __version__\nfrom vibe_orderbook_mcp.sim.server import SimServer"),
    ],
)
def test_an_allowed_import_is_left_alone(module: str, source: str) -> None:
    """Names that only look alike are other modules."""
    assert offences(module, source, set(modules())) == []
