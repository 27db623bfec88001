"""The arrows of the design: imports point inwards, and what is pure stays pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.rooms import circles, house

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
    "model.*": ("model.*",),
    "book.*": ("book.*", "model.*"),
    "seconds.*": ("seconds.*", "book.*", "model.*"),
    "analytics.*": ("analytics.*", "seconds.*", "book.*", "model.*"),
    "market.*": ("market.*", "analytics.*", "seconds.*", "book.*", "model.*"),
    "process.*": ("process.*", "model.*"),
    "venues.binance.*": ("venues.binance.*", "book.*", "process.*", "model.*"),
    "venues.binance.messages": ("model.*",),
    "venues.binance.refusals": (),
    "venues.binance.weights": (),
    "venues.kraken.*": ("venues.kraken.*", "book.*", "process.*", "model.*"),
    "venues.bybit.*": ("venues.bybit.*", "book.*", "process.*", "model.*"),
    "venues.okx.*": ("venues.okx.*", "book.*", "process.*", "model.*"),
    "venues.*": ("venues.*", "market.*", "process.*", "book.*", "model.*"),
    "store.records.*": ("store.records.*", "model.*"),
    "store.disk.*": ("store.disk.*", "process.*", "model.*"),
    "store.*": ("store.*", "process.*", "model.*"),
    "frames.*": ("frames.*", "model.errors"),
    "verify.*": ("verify.*", "frames.*", "book.*", "model.*", "process.output_file"),
    "sim.*": ("sim.*", "frames.*", "model.errors"),  # it stands for the exchange: shared code would share its mistakes
    "sim.dialects.*": ("sim.dialects.*",),  # they know markets by what `contract` says of them
    "collect.*": (
        *("collect.*", "venues.*", "market.*", "analytics.*", "store.*", "seconds.*", "book.*", "process.*", "model.*"),
    ),
    "answers.*": ("answers.*", "analytics.*", "model.*"),  # made from values: where they come from is not seen
    "serve.*": ("serve.*", "answers.*", "collect.*", "process.*", "model.*"),
    "probe": (),
    "server": ("serve.*",),
}

NO_DATES = tuple(name for name in IMPURE if name != "datetime")  # ISO 8601 text of a given time, HTTP dates

# Modules by pattern -> modules outside the package they may not import (nor anything below those).
MAY_NOT_IMPORT: dict[str, tuple[str, ...]] = {
    "model.*": IMPURE,
    "book.*": IMPURE,
    "seconds.*": IMPURE,
    "analytics.*": NO_DATES,
    "market.*": IMPURE,
    "store.records.*": tuple(name for name in IMPURE if name != "sys"),  # sys.byteorder
    "collect.places": IMPURE,
    "collect.lost_seconds": IMPURE,
    "process.backoff": (*(name for name in IMPURE if name != "random"),),
    "process.repeats": IMPURE,
    "process.unpacking": IMPURE,
    "venues.binance.messages": IMPURE,
    "venues.binance.refusals": NO_DATES,
    "venues.binance.futures": tuple(name for name in IMPURE if name != "urllib.request"),
    "venues.binance.weights": IMPURE,
    "venues.binance.wire": tuple(name for name in IMPURE if name != "urllib.request"),
    "venues.kraken.messages": IMPURE,
    "venues.kraken.wire": IMPURE,
    "venues.bybit.messages": IMPURE,
    "venues.bybit.wire": IMPURE,
    "venues.okx.messages": IMPURE,
    "venues.okx.wire": IMPURE,
    "venues.contract": IMPURE,
    "frames.venues": IMPURE,
    "verify.parts": IMPURE,
    "verify.comparison": IMPURE,
    "verify.text_book": IMPURE,
    "verify.book_check": IMPURE,
    "verify.instrument": IMPURE,
    "verify.binance_spot": IMPURE,
    "verify.kraken": IMPURE,
    "verify.coinbase": IMPURE,
    "verify.coinbase_connections": IMPURE,
    "verify.coinbase_exchange": IMPURE,
    "verify.okx": IMPURE,
    "verify.bybit": IMPURE,
    "verify.hyperliquid": IMPURE,
    "verify.gateio": IMPURE,
    "verify.kucoin": IMPURE,
    "verify.kraken_futures": IMPURE,
    "verify.deribit": IMPURE,
    "sim.dialects.*": IMPURE,
    "sim.ledger": IMPURE,
    "sim.matching": IMPURE,
}

# Pure in spite of that: it reads the environment once, for which code is to run, never for what it answers; or it
# reads the text of a given time.
BUT_MAY_IMPORT: dict[str, tuple[str, ...]] = {"book.compiled": ("os",), "venues.kraken.messages": ("datetime",)}

# Modules outside the package, or own ones -> the only modules that may import them.
ONLY_IMPORTED_BY: dict[str, tuple[str, ...]] = {
    "mcp": ("server", "serve.*"),
    "mcp_types": ("server", "serve.*"),
    "rocksdict": ("store.*",),
    "websockets": ("venues.connection", "process.unreachable", "sim.*"),
    f"{PACKAGE}.sim": ("cli", "sim", "sim.*"),
    f"{PACKAGE}.cli": ("__main__",),
}


def modules() -> dict[str, Path]:
    """Name without the package ("book.book") -> file."""
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
    assert "book.book" in found
    assert [line for name, path in found.items() for line in offences(name, path.read_text("utf-8"), set(found))] == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("book.book", "import time"),
        ("book.book", "import os"),
        ("book.compiled", "import socket"),
        ("book.book", "def f():\n    from os.path import join"),
        ("book.book", "from vibe_orderbook_mcp.analytics.numbers import decimals"),
        ("book.book", "from vibe_orderbook_mcp import venues"),
        ("book.book", "import concurrent.futures as pool"),
        ("analytics.walls", "from vibe_orderbook_mcp.market.market import Market"),
        ("analytics.walls", "from websockets.asyncio.client import connect"),
        ("venues.binance.messages", "import asyncio"),
        ("venues.binance.messages", "from vibe_orderbook_mcp.venues.binance import rest"),
        ("market.market", "from vibe_orderbook_mcp.store.records import rows"),
        ("store.records.rows", "import asyncio"),
        ("answers.service", "import mcp.server"),
        ("answers.service", "from vibe_orderbook_mcp.collect.runtime import Runtime"),
        ("answers.minutes", "from vibe_orderbook_mcp.book.book import OrderBook"),
        ("serve.register", "from vibe_orderbook_mcp.analytics.results import Envelope"),
        ("collect.runtime", "from vibe_orderbook_mcp.sim.server import SimServer"),
        ("sim.model", "from vibe_orderbook_mcp.book.book import OrderBook"),
    ],
)
def test_a_forbidden_import_is_noticed(module: str, source: str) -> None:
    """A guard that cannot fail guards nothing."""
    assert offences(module, source, set(modules()))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("book.book", "from vibe_orderbook_mcp.model.events import Side\nfrom collections.abc import Iterable"),
        ("book.book", "import timeit_like_name, osmosis"),
        ("venues.feed", "import asyncio\nfrom vibe_orderbook_mcp.venues.binance import messages"),
        ("serve.register", "from mcp.server.mcpserver import MCPServer"),
        ("cli", "from vibe_orderbook_mcp import __version__\nfrom vibe_orderbook_mcp.sim.server import SimServer"),
    ],
)
def test_an_allowed_import_is_left_alone(module: str, source: str) -> None:
    """Names that only look alike are other modules."""
    assert offences(module, source, set(modules())) == []


def test_files_do_not_import_each_other() -> None:
    """Two files that need each other are one subject, or have a third one between them."""
    assert circles(house().imports) == []
