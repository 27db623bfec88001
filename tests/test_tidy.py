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
    """The author of a change finds a room's tests under its name."""
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


STYLE = ROOT / "docs" / "STYLE.md"


def banned_phrases() -> dict[str, str]:
    """The table of docs/STYLE.md: phrase -> what to write. The page and this test have one list."""
    table = STYLE.read_text("utf-8").partition("| never | write |\n|---|---|\n")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    return {phrase.strip(): instead for phrases, instead in rows for phrase in phrases.split(",")}


BANNED = banned_phrases()
LONGEST_FIRST = sorted((re.escape(each).replace(r"\ ", r"(?:\s+#)?\s+") for each in BANNED), key=len, reverse=True)
PHRASE = re.compile(rf"(?<![\w.-])({'|'.join(LONGEST_FIRST)})(?![\w(-])", re.IGNORECASE)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of comments, docstrings and texts; in tests without texts, which quote others."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        page = text if path != STYLE else text.partition("## English")[0] + text.partition("## Words")[2]
        yield 1, re.sub(r"```.*?```", lambda block: "\n" * block.group().count("\n"), page, flags=re.DOTALL)
    elif path.suffix in (".pyx", ".pyi"):
        yield from ((number, line.partition("#")[2]) for number, line in enumerate(text.splitlines(), 1))
        yield from (
            (text[: each.start()].count("\n") + 1, each[1]) for each in re.finditer(r'"""(.*?)"""', text, re.DOTALL)
        )
    else:
        comments: list[tokenize.TokenInfo] = []
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                if comments and token.start[0] != comments[-1].start[0] + 1:
                    yield comments[0].start[0], "\n".join(each.string for each in comments)
                    comments = []
                comments.append(token)
            is_text = token.type == tokenize.STRING and (token.string.startswith('"""') or "tests" not in path.parts)
            if is_text or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
                yield token.start[0], token.string
        if comments:
            yield comments[0].start[0], "\n".join(each.string for each in comments)


def all_prose() -> list[Path]:
    code = [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.pyx"), *SOURCE.rglob("*.pyi"), *programs()]
    return sorted([*PAGES, *code, *(ROOT / "tests").rglob("*.py")])


def banned_in(path: Path) -> Iterator[str]:
    for line, text in prose(path):
        plain = re.sub(r"`[^`\n]*`|\{[^{}]*\}", lambda quoted: " " * len(quoted.group()), text)
        for found in PHRASE.finditer(plain):
            phrase = " ".join(found[1].replace("#", " ").lower().split())
            number = line + plain[: found.start()].count("\n")
            yield f"{path.name}:{number}: {phrase!r}; write: {BANNED[phrase]}"


def test_no_text_has_words_that_the_style_page_bans() -> None:
    """A reader who trades must understand each sentence at first reading."""
    assert len(BANNED) > 40
    assert [f"{path.parent.relative_to(ROOT)}/{each}" for path in all_prose() for each in banned_in(path)] == []


def test_banned_words_are_found_wherever_prose_is(tmp_path: Path) -> None:
    """In comments, over a line break, in docstrings and texts; not in names, code quotes or parts of words."""
    code = tmp_path / "code.py"
    code.write_text(
        '"""It is told."""\nheld = 1  # half,\n# of\n# which one\n'
        'withheld = f"is {held} anew"\n# `held`, unheld, of whichever\n'
    )
    assert [each.split(";")[0] for each in banned_in(code)] == [
        "code.py:1: 'told'", "code.py:5: 'anew'", "code.py:3: 'of which'",
    ]  # fmt: skip
    page = tmp_path / "page.md"
    page.write_text("Half of it, of\nwhich `held` and\n```\nheld\n```\nmuch is held.\n")
    assert [each.split(";")[0] for each in banned_in(page)] == ["page.md:1: 'of which'", "page.md:6: 'held'"]
