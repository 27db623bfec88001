"""The rooms of the package and the arrows between them, read from its imports.

A room is a folder of modules, or a module that lies directly in the package. An arrow is an import from one room by
another. A room's floor is one above the highest room that it imports.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.folders import ROOT

PACKAGE = "vibe_orderbook_mcp"
SOURCE = ROOT / "src" / PACKAGE

Graph = Mapping[str, frozenset[str]]


class House(NamedTuple):
    """`modules` and `imports` by module name without the package's; `rooms` are their modules."""

    modules: dict[str, Path]
    imports: dict[str, frozenset[str]]
    rooms: dict[str, list[str]]
    arrows: dict[str, frozenset[str]]

    @property
    def arrow_count(self) -> int:
        return sum(map(len, self.arrows.values()))

    @property
    def circles(self) -> list[list[str]]:
        """Rooms that import each other, however many rooms lie between."""
        return circles(self.arrows)

    @property
    def floors(self) -> dict[str, int]:
        """Rooms of one circle share a floor."""
        return floors(self.arrows)


@cache
def house() -> House:
    modules = dict(_modules())
    imports = {name: frozenset(_imports(path, modules)) - {name} for name, path in modules.items()}
    rooms: dict[str, list[str]] = defaultdict(list)
    for name, path in modules.items():
        if path.name != "__init__.py" and name != "__main__":
            rooms[room_of(name)].append(name)
    arrows = {
        room: frozenset(
            other for name in names for used in imports[name] if (other := room_of(used)) != room and other in rooms
        )
        for room, names in rooms.items()
    }
    return House(modules, imports, dict(rooms), arrows)


def room_of(module: str) -> str:
    return module.rpartition(".")[0] or module


def about(room: str) -> str:
    """The first sentence of what the room says of itself."""
    folder = SOURCE.joinpath(*room.split("."))
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


def circles(graph: Graph) -> list[list[str]]:
    reached = {node: _reached(graph, node) for node in graph}
    found: list[list[str]] = []
    for node in sorted(graph):
        ring = sorted(other for other in reached[node] if node in reached[other])
        if len(ring) > 1 and ring not in found:
            found.append(ring)
    return found


def floors(graph: Graph) -> dict[str, int]:
    ring_of = {node: ring for ring in circles(graph) for node in ring}

    @cache
    def floor(node: str) -> int:
        ring = ring_of.get(node, [node])
        below = {other for member in ring for other in graph[member]} - set(ring)
        return 1 + max(map(floor, below), default=0)

    return {node: floor(node) for node in graph}


def _reached(graph: Graph, start: str) -> set[str]:
    reached, waiting = {start}, [start]
    while waiting:
        new = graph[waiting.pop()] - reached
        reached |= new
        waiting.extend(new)
    return reached


def _modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            yield name, path


def _imports(path: Path, modules: Mapping[str, Path]) -> Iterator[str]:
    """Modules of the package that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if own_name(name) in modules else node.module or "" for name in within]
        yield from (own for name in names if (own := own_name(name)) in modules)


def own_name(name: str) -> str:
    """Empty for a module of somebody else."""
    return name.removeprefix(f"{PACKAGE}.") if name.startswith(f"{PACKAGE}.") else ""
