"""Feature rows as bytes: a MessagePack array with a leading version, by the table of `fields`. PURE

`decode_rows([second], [encode_row(row)])` gives the same row except for the roundings in the table. Rounded
fields are used in regressions, for normalising and for comparisons, never answered to the last lot. Exact values would
cost 65 bytes for every second. Prices, sizes of single levels, counts and ids are exact. The second itself is in the
key.

Version 1 had `mlofi` and `level_depth` among the 16-bit logarithms and a byte for a band's mean price. It is still
read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec
import ormsgpack

from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.events import SIDES
from vibe_orderbook_mcp.model.rows import SecondRow, SideFlow
from vibe_orderbook_mcp.store.records.fields import (
    DERIVED,
    ENTRIES,
    FIELDS,
    LENGTHS,
    PLACES,
    READ_VERSIONS,
    VERSION,
    Column,
    Write,
)
from vibe_orderbook_mcp.store.records.row_steps import RowSteps, row_steps

_UNREADABLE: Final = (ValueError, TypeError, IndexError, KeyError, struct.error)
_FLOW: Final = SideFlow.__struct_fields__
_OWN: Final = tuple(name for name in FIELDS if name in SecondRow.__struct_fields__)


class Columns(msgspec.Struct, frozen=True):
    """One list for each field, all as long as `second`, ascending. `columns["mid"]` is the list of mids."""

    second: list[int]
    fields: dict[str, Column]

    def __getitem__(self, field: str) -> Column:
        return self.second if field == "second" else self.fields[field]

    def __len__(self) -> int:
        return len(self.second)


def known_fields() -> tuple[str, ...]:
    return ("second", *FIELDS)


def encode_row(row: SecondRow, *, tick_exp: int, lot_exp: int) -> bytes:
    """Raises `OffGrid` for a price or a size that 64 bits cannot hold exactly."""
    steps = row_steps(row, tick_exp, lot_exp)
    record: list[object] = []
    for write in _WRITERS:
        record += write(row, steps)
    return ormsgpack.packb(record)


def decode_rows(seconds: Iterable[int], values: Sequence[bytes]) -> list[SecondRow]:
    """Raises `StorageCorrupt` if one of them cannot be read."""
    if not values:
        return []
    columns = decode_columns(values, tuple(FIELDS))
    flows = [_flows(columns, side) for side in SIDES]
    own = zip(*(columns[name] for name in _OWN), strict=True)
    return [
        SecondRow(second=second, bid=bid, ask=ask, **dict(zip(_OWN, row, strict=True)))
        for second, bid, ask, row in zip(seconds, *flows, own, strict=True)
    ]


def decode_columns(values: Sequence[bytes], fields: Sequence[str]) -> dict[str, Column]:
    """A few fields of many rows, column by column, without making rows of them. Names are those of `SecondRow`, a
    side's flow is `bid_added`.

    Raises `ValueError` for an unknown name, `StorageCorrupt` if a row cannot be read.
    """
    if unknown := [field for field in fields if field not in FIELDS and field != "second"]:
        raise ValueError(f"{', '.join(unknown)}: no such field; {', '.join(known_fields())} are known.")
    wanted = [FIELDS[name] for name in dict.fromkeys(fields) if name != "second"]
    if not values:
        return {field.name: [] for field in wanted}
    names = ("version", "tick_exp", *_entries(need for field in wanted for need in field.needs))
    taken = itemgetter(*(PLACES[name] for name in names))
    try:
        # Unpacked completely and dropped at once, which is faster than decoding a part into its own object.
        rows = map(ormsgpack.unpackb, values)
        taken_rows = [taken(row if row[0] == VERSION else _older(row)) for row in rows]
        columns: dict[str, Any] = dict(zip(names, zip(*taken_rows, strict=True), strict=True))
        return {field.name: field.read(*(_column(need, columns) for need in field.needs)) for field in wanted}
    except _UNREADABLE as error:
        raise StorageCorrupt("A stored feature row cannot be read.") from error


def _entries(needs: Iterable[str]) -> dict[str, None]:
    """The entries behind some columns, each once."""
    found: dict[str, None] = {}
    for need in needs:
        found |= _entries(DERIVED[need][0]) if need in DERIVED else {need: None}
    return found


def _column(name: str, columns: dict[str, Any]) -> Any:
    """A column shared by several fields is made once."""
    if name not in columns:
        needs, read = DERIVED[name]
        columns[name] = read(*(_column(need, columns) for need in needs))
    return columns[name]


def _older(record: list[Any]) -> list[Any]:
    """A row of an older version, with None for its missing entries."""
    if record[0] not in READ_VERSIONS:
        raise StorageCorrupt(f"A feature row of version {record[0]!r}; this program reads up to {VERSION}.")
    if len(record) != LENGTHS[record[0]]:
        raise StorageCorrupt("A stored feature row cannot be read: a part is missing.")
    return record + [None] * (len(ENTRIES) - len(record))


def _flows(columns: dict[str, Column], side: str) -> Iterator[SideFlow]:
    parts = zip(*(columns[f"{side}_{name}"] for name in _FLOW), strict=True)
    return (SideFlow(*part) for part in parts)


def _writers() -> list[Callable[[SecondRow, RowSteps], Iterable[object]]]:
    """The writer of one entry, or of several neighbours that are plain attributes of the row."""
    made: list[Callable[[SecondRow, RowSteps], Iterable[object]]] = []
    plain: list[str] = []
    for entry in ENTRIES:
        if isinstance(entry.write, str):
            plain.append(entry.write)
            continue
        if plain:
            made.append(_attributes(*plain))
            plain = []
        made.append(_one(entry.write))
    return [*made, _attributes(*plain)] if plain else made


def _attributes(*names: str) -> Callable[[SecondRow, RowSteps], Iterable[object]]:
    taken: Callable[[SecondRow], Any] = attrgetter(*names)
    return (lambda row, _: (taken(row),)) if len(names) == 1 else (lambda row, _: taken(row))


def _one(write: Write) -> Callable[[SecondRow, RowSteps], Iterable[object]]:
    return lambda row, steps: (write(row, steps),)


_WRITERS: Final = _writers()
