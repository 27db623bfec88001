"""The market, the books and the wire format decide everything; they never wait, open, or ask what time it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import vibe_orderbook_mcp.sim as package

SOURCES = sorted(Path(package.__file__).parent.rglob("*.py"))
SHELL = {
    *("__init__", "hub", "market_venue", "recordings", "replay", "rest", "server", "streams", "venue"),
    *("control", "sockets", "venue_rest", "venue_room", "venues"),
}
WORLDLY = {
    "asyncio",
    "time",
    "datetime",
    "socket",
    "os",
    "pathlib",
    "gzip",
    "loguru",
    "starlette",
    "uvicorn",
    "websockets",
}


@pytest.mark.parametrize("path", [path for path in SOURCES if path.stem not in SHELL], ids=lambda path: str(path.stem))
def test_a_pure_module_imports_nothing_of_the_world_and_never_awaits(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert not imported & WORLDLY
    assert not any(isinstance(node, ast.Await | ast.AsyncFunctionDef) for node in ast.walk(tree))
    assert "PURE" in (ast.get_docstring(tree) or "")
