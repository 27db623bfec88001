"""The tree is kept in order: what these tests list as exceptions may only become less."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.folders import ROOT
from tests.rooms import SOURCE
from vibe_orderbook_mcp.answers.tools import TOOLS
from vibe_orderbook_mcp.store.records.fields import ENTRIES, FIELDS

PAGES = [page for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if page.name != "CHANGELOG.md"]
MOST_LINES = 70

# Functions of more than 70 lines. Nothing is added here.
LONG: dict[str, int] = {}

# Names of two classes. Nothing is added here.
TWICE: set[str] = set()

# Called by name from outside: the SDK, logging, asyncio, uvicorn.
CALLED_FROM_OUTSIDE = {"emit", "eof_received", "sse_app", "verify_token", "_should_upgrade"}

# What the pages quote that is not ours: fields and streams of exchanges, other programs and their settings.
FOREIGN = re.compile(r"[a-z]+[A-Z]\w*|npx|setpriv|dmesg|claude_desktop_config\.json|malloc_info|MALLOC_ARENA_MAX")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}


def programs() -> Iterator[Path]:
    """Code outside the package that is more than a test."""
    yield from (ROOT / "bench").rglob("*.py")
    for path in (ROOT / "scripts").iterdir():
        if path.is_file() and "python" in path.read_text("utf-8").partition("\n")[0]:
            yield path


def functions() -> Iterator[tuple[Path, Function]]:
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield path, node


def names_in(tree: ast.Module) -> Iterator[str]:
    """Every name that code reads, short strings included: they may be names of attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]
        elif isinstance(node, ast.keyword) and node.arg:
            yield node.arg
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 60:
            yield from re.findall(r"\w+", node.value)


def test_no_two_classes_have_the_same_name() -> None:
    """A reader who finds one takes it for the other."""
    places: dict[str, set[Path]] = defaultdict(set)
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and len(node.name) > 1:
                places[node.name].add(path)
    assert {name for name, paths in places.items() if len(paths) > 1} == TWICE


def test_functions_are_short() -> None:
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for _, node in functions()}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == LONG


def test_everything_is_called_by_the_program_and_not_by_tests_alone() -> None:
    used: Counter[str] = Counter()
    for tree in [*trees().values(), *(ast.parse(path.read_text("utf-8")) for path in programs())]:
        used.update(names_in(tree))
    unused = {
        f"{path.relative_to(SOURCE)}: {node.name}"
        for path, node in functions()
        if not used[node.name]
        and not node.decorator_list
        and not node.name.startswith("__")
        and node.name not in CALLED_FROM_OUTSIDE
    }
    assert unused == set()


@pytest.mark.parametrize("path", sorted(trees()), ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_text_of_the_code_counts_on_sections_of_a_page(path: Path) -> None:
    """Sections move, and clients read some of these texts without the page."""
    text = path.read_text("utf-8")
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", -1)):
            found += re.findall(r"\(\d\.\d\)|\b(?:analytics|section|figures) \d+(?:\.\d+)?\b", token.string)
    assert found == []


@cache
def known_words() -> frozenset[str]:
    """Every word of the repository that is not a page: names, fields, settings, files."""
    words: set[str] = {entry.name for entry in ENTRIES}
    for folder in ("src", "tests", "bench", "scripts", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in ("", ".py", ".pyx", ".pyi", ".pxd", ".c", ".txt", ".json"):
                words.update(re.findall(r"\w+", path.read_text("utf-8", "replace")))
                words.update(re.findall(r"\w+", path.name))
        words.update(path.name for path in (ROOT / folder).rglob("*") if path.is_dir())
    for path in ROOT.iterdir():
        words.update(re.findall(r"\w+", path.name))
        if path.is_file() and path.suffix in ("", ".toml", ".example"):
            words.update(re.findall(r"\w+", path.read_text("utf-8", "replace")))
    return frozenset(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_what_exists(page: Path) -> None:
    """A name in code quotes is one of the repository's."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    quoted = re.findall(r"`([A-Za-z_][\w./]*)(?:\(\))?`", text)
    unknown = {
        name
        for name in quoted
        if not FOREIGN.fullmatch(name)
        and not all(part.removesuffix("_total") in known_words() or part in FIELDS for part in re.findall(r"\w+", name))
        and not (page.parent / name).exists()
    }
    assert unknown == set()


# Folders of tests that are no room of the package: what they share, and what is about the whole program.
BESIDE_ROOMS = {"data", "e2e", "e2e/faults", "fuzz"}


def test_the_folders_of_the_tests_are_the_rooms_of_the_package() -> None:
    """Whoever changes a room finds its tests under its name."""
    folders = {str(path.parent.relative_to(ROOT / "tests")) for path in (ROOT / "tests").rglob("*.py")} - {"."}
    strangers = {folder for folder in folders - BESIDE_ROOMS if not (SOURCE / folder).is_dir()}
    assert strangers == set()


def test_tests_that_are_named_exist() -> None:
    """In pages, comments and docstrings: a path that leads nowhere is worse than none."""
    texts = [*PAGES, *SOURCE.rglob("*.py*"), *programs(), *(ROOT / "tests").rglob("*.py")]
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in texts
        if path.suffix != ".pyc"
        for name in re.findall(r"\btests/[\w./]+\w", path.read_text("utf-8"))
        if not (ROOT / name).exists()
    }
    assert wrong == set()


# What is listed in one file, or in several together.
TOOL_LISTS = (("README.md",), ("docs/ANALYTICS.md",))


@pytest.mark.parametrize("pages", TOOL_LISTS, ids=" ".join)
def test_every_tool_is_in_every_list(pages: tuple[str, ...]) -> None:
    text = "".join((ROOT / page).read_text("utf-8") for page in pages)
    assert [tool.name for tool in TOOLS if tool.name not in text] == []
