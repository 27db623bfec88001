"""Nobody but `market` changes what is known of an instrument: others call its owner."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.rooms import SOURCE
from vibe_orderbook_mcp.market.chronicle import Chronicle, Counts
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.market.silence import Silence
from vibe_orderbook_mcp.market.view import InstrumentView
from vibe_orderbook_mcp.seconds.recorded_book import RecordedBook


def names_of(kind: type) -> set[str]:
    """Of its attributes and properties."""
    names = {name for name, value in vars(kind).items() if isinstance(value, property)}
    return names.union(getattr(kind, "__slots__", ()), getattr(kind, "__struct_fields__", ()))


OWNED = {
    name
    for kind in (InstrumentView, InstrumentOwner, Chronicle, Counts, Silence, RecordedBook)
    for name in names_of(kind)
}
INSIDE = {name for name in names_of(InstrumentView) | names_of(InstrumentOwner) if name.startswith("_")}
# Parts that are shown for reading, and methods that change them.
CHANGES = {
    "past": {"add"},
    "watch": {"second", "restore", "recall", "take_in", "hour_blocks"},
    **{part: {"apply", "keep_since"} for part in ("book", "copy", "bids", "asks")},
}
# Those below `market` cannot know an owner, and the simulated exchange does not.
ROOMS = {"venues", "collect", "answers", "serve"}


def targets(node: ast.AST) -> Iterator[ast.Attribute]:
    """Attributes that a statement sets or deletes, in tuples as well."""
    found: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        found = list(node.targets)
    elif isinstance(node, ast.AugAssign | ast.AnnAssign | ast.For | ast.AsyncFor | ast.NamedExpr | ast.comprehension):
        found = [node.target]
    elif isinstance(node, ast.withitem) and node.optional_vars is not None:
        found = [node.optional_vars]
    for each in found:
        for part in ast.walk(each):
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store | ast.Del):
                yield part


def is_own(attribute: ast.Attribute) -> bool:
    """An object may change itself."""
    return isinstance(attribute.value, ast.Name) and attribute.value.id in ("self", "cls")


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        found += [
            f"{each.lineno}: sets {ast.unparse(each)}"
            for each in targets(node)
            if each.attr in OWNED and not is_own(each)
        ]
        if isinstance(node, ast.Attribute) and node.attr in INSIDE and not is_own(node):
            found.append(f"{node.lineno}: reaches into {ast.unparse(node)}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            part, change = node.func.value, node.func.attr
            if isinstance(part, ast.Attribute) and change in CHANGES.get(part.attr, ()) and not is_own(part):
                found.append(f"{node.lineno}: changes {ast.unparse(node.func)}")
    return found


def test_what_is_known_of_an_instrument_is_changed_by_its_owner_alone() -> None:
    """Six modules once set its attributes: no test of one of them could know what the others did to it."""
    found = {
        f"{path.relative_to(SOURCE)}:{offence}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] in ROOMS
        for offence in offences(path.read_text("utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        "owner.reason = 'why'",
        "market.symbols[symbol].trading = status",
        "owner.counts.gaps += 1",
        "del owner.watch",
        "first, owner.spec = 1, spec",
        "for owner.reason in reasons: ...",
        "owner.silence.pulse = line.pulse",
        "owner._recorded.lose(flag)",
        "state.past.add(row)",
        "owner.watch.second(row)",
        "owner.book.bids.apply(levels)",
    ],
)
def test_a_change_from_outside_is_noticed(source: str) -> None:
    """A guard that cannot fail guards nothing."""
    assert offences(source)


@pytest.mark.parametrize(
    "source",
    [
        "rows = owner.past.before(end)",
        "self.reason = 'why'",
        "owner.wait('why')",
        "reason = owner.reason",
        "x.other = 1",
    ],
)
def test_what_is_none_of_the_owners_is_left_alone(source: str) -> None:
    assert offences(source) == []
