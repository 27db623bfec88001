from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.test_rows import VERSION_1
from tests.store.values import START, exps, record, row, rows
from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.rows import SecondRow, SideFlow
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.store.reading import COLUMNS_A_PIECE
from vibe_orderbook_mcp.store.records.fields import ENTRIES, FIELDS
from vibe_orderbook_mcp.store.records.rows import decode_columns, decode_rows, encode_row, known_fields


def value(of: SecondRow, field: str) -> object:
    side, _, what = field.partition("_")
    if side in ("bid", "ask") and not hasattr(of, field):
        return getattr(getattr(of, side), what)
    return getattr(of, field)


@given(st.data(), exps, exps)
@settings(deadline=None, max_examples=60)
def test_a_column_says_what_the_rows_say(data: st.DataObject, tick_exp: int, lot_exp: int) -> None:
    """Bit for bit: a detector must not judge otherwise because it read faster."""
    stored = [
        encode_row(data.draw(rows(tick_exp, lot_exp)), tick_exp=tick_exp, lot_exp=lot_exp)
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    known = known_fields()[1:]
    fields = data.draw(st.lists(st.sampled_from(known))) if data.draw(st.booleans()) else known
    columns = decode_columns(stored, fields)
    assert set(columns) == set(fields)
    whole = decode_rows([0] * len(stored), stored)
    for field in fields:
        assert columns[field] == [value(each, field) for each in whole]


@pytest.mark.anyio
async def test_columns_of_long_windows_come_whole_and_in_order(tmp_path: Path) -> None:
    history = await History.open(tmp_path, cap_mb=64, retention_days=7)
    seconds = [*range(START, START + COLUMNS_A_PIECE + 5), *range(START + 3000, START + 3000 + COLUMNS_A_PIECE)]
    for at in range(0, len(seconds), 200):
        await history.append([record(second) for second in seconds[at : at + 200]])
    found = await history.columns("BTCUSDT", 0, 10**10, ["second", "mid", "ids", "bid_added"])
    assert found.second == found["second"] == seconds
    assert found["mid"] == [row(second).mid for second in seconds]
    assert found["ids"] == [row(second).ids for second in seconds]
    assert len(found) == len(found["bid_added"]) == len(seconds)
    nothing = await history.columns("BTCUSDT", START - 10, START, ["mid"])
    assert (nothing.second, nothing["mid"]) == ([], [])
    with pytest.raises(ValueError, match="depth_7"):
        await history.columns("BTCUSDT", 0, 1, ["depth_7"])
    await history.close()


def test_columns_of_the_first_version_are_those_of_its_rows() -> None:
    known = known_fields()[1:]
    columns, whole = decode_columns([VERSION_1], known), decode_rows([START], [VERSION_1])[0]
    for field in known:
        assert columns[field] == [value(whole, field)]


def test_a_damaged_row_is_an_error() -> None:
    stored = encode_row(row(START), tick_exp=2, lot_exp=5)
    for damaged in (stored[:5], b"\x93\x02\x01\x01", b"\xc1", b"", stored.replace(b"\x02", b"\x07", 1)):
        with pytest.raises(StorageCorrupt):
            decode_columns([damaged], ["mid", "ofi"])


def test_every_field_of_a_row_is_in_the_table_and_no_other() -> None:
    """A field that is not in it would come back as its default."""
    flows = {f"{side}_{name}" for side in ("bid", "ask") for name in SideFlow.__struct_fields__}
    assert set(FIELDS) == ({*SecondRow.__struct_fields__} - {"second", "bid", "ask"}) | flows


def test_places_in_the_array_never_move() -> None:
    """Rows that users have lie at them. New entries go to the end, with the version that brings them."""
    names = [entry.name for entry in ENTRIES]
    assert len(names) == len(set(names))
    assert [entry.since for entry in ENTRIES] == sorted(entry.since for entry in ENTRIES)
    assert hashlib.sha256(" ".join(names[:54]).encode()).hexdigest()[:16] == "3dd38853d5475934"
