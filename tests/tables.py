"""Tables of the documents that are made from the code, each between two marks of its page. `scripts/tables` renews
them; `test_tables` notices when one is old."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.folders import ROOT
from tests.rooms import about, house
from vibe_orderbook_mcp.answers.fields import fields_text
from vibe_orderbook_mcp.collect.adapters import ADAPTERS
from vibe_orderbook_mcp.model.instrument import VENUES, Instrument
from vibe_orderbook_mcp.store.records.fields import ENTRIES


def stored_fields() -> str:
    """The array of a stored second, entry by entry."""
    lines = ["| place | entry | since | field of `SecondRow` | unit | comes back |", "|---|---|---|---|---|---|"]
    for place, entry in enumerate(ENTRIES):
        names = ", ".join(f"`{field.name}`" for field in entry.fields)
        units = ", ".join(dict.fromkeys(field.unit for field in entry.fields))
        roundings = ", ".join(dict.fromkeys(field.rounding for field in entry.fields))
        lines.append(f"| {place} | `{entry.name}` | {entry.since} | {names} | {units} | {roundings} |")
    return "\n".join(lines)


def answered_fields() -> str:
    """Every field of every tool's answer, one level below the page's own headings."""
    return fields_text().rstrip().replace("## ", "### ")


def rooms() -> str:
    """Every room from the ground up."""
    lines = ["| floor | room | files | what lives there | imports from |", "|---|---|---|---|---|"]
    floors = house().floors
    for name, modules in sorted(house().rooms.items(), key=lambda item: (floors[item[0]], item[0])):
        below = ", ".join(f"`{other}`" for other in sorted(house().arrows[name])) or "nothing"
        lines.append(f"| {floors[name]} | `{name}` | {len(modules)} | {about(name)} | {below} |")
    circles = len(house().circles)
    count = (
        f"{len(house().rooms)} rooms on {max(floors.values())} floors, {house().arrow_count} arrows, {circles} circles."
    )
    return "\n".join([*lines, "", count])


_BOOKS: Final = {
    "update_ids": "ids of updates that follow each other",
    "checksum": "the venue's checksum on every frame",
    "connection_sequence": "a counter of the whole connection",
    "snapshots_only": "nothing but whole snapshots",
    "none": "nothing",
}
_EXAMPLES: Final = {"kraken": "BTC/USD", "coinbase": "BTC-USD", "okx": "BTC-USDT", "deribit": "BTC-PERPETUAL"}


def kept_venues() -> str:
    """Every venue whose books are kept, and how they are known to be right."""
    lines = ["| venue | ask for | a book is proved by | trades |", "|---|---|---|---|"]
    for name, make in ADAPTERS.items():
        proof = make("http://127.0.0.1:9").venue.traits.proof
        example = Instrument(name, _EXAMPLES.get(name, "BTC" if name == "hyperliquid" else "BTCUSDT")).name
        levels = "" if proof.book_levels is None else f", of the best {proof.book_levels} levels a side"
        trades = "consecutive ids" if proof.trades == "consecutive_ids" else "unproven after a lost connection"
        refill = "; missing ones are fetched" if proof.refill else ""
        lines.append(f"| {VENUES[name]} | `{example}` | {_BOOKS[proof.book]}{levels} | {trades}{refill} |")
    return "\n".join(lines)


TABLES: Final[dict[str, tuple[Path, Callable[[], str]]]] = {
    "stored fields": (ROOT / "docs" / "STORAGE.md", stored_fields),
    "rooms": (ROOT / "docs" / "ARCHITECTURE.md", rooms),
    "venues": (ROOT / "README.md", kept_venues),
    "fields of answers": (ROOT / "docs" / "ANALYTICS.md", answered_fields),
}


def renewed(name: str) -> tuple[Path, str]:
    """The page of a table, and its text with the table as the code has it now."""
    page, make = TABLES[name]
    text = page.read_text("utf-8")
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page.name} does not have the marks of the table '{name}' once each.")
    pattern = f"{re.escape(begin)}.*{re.escape(end)}"
    return page, re.sub(pattern, lambda _: f"{begin}\n{make()}\n{end}", text, flags=re.DOTALL)
