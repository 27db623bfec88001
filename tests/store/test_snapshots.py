from __future__ import annotations

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.values import START, book, exps, tops
from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.rows import BookTop
from vibe_orderbook_mcp.store.records.snapshots import decode_snapshot, encode_snapshot


@given(st.data(), exps, exps, st.integers(0, 10**10 - 1))
def test_a_book_comes_back_bit_for_bit(data: st.DataObject, tick_exp: int, lot_exp: int, second: int) -> None:
    top = data.draw(tops(tick_exp, lot_exp))
    assert decode_snapshot(second, encode_snapshot(second, top, tick_exp=tick_exp, lot_exp=lot_exp)) == top


@pytest.mark.parametrize("sides", [(3, 0), (0, 3), (0, 0), (1, 1)])
def test_a_side_may_be_empty(sides: tuple[int, int]) -> None:
    full = book(START)
    top = BookTop(full.event_ms, full.last_update_id, full.bids[: sides[0]], full.asks[: sides[1]])
    assert decode_snapshot(START, encode_snapshot(START, top, tick_exp=2, lot_exp=5)) == top


def test_a_record_describes_itself_when_the_tick_size_changed() -> None:
    """The spec in memory may be older than the exchange's: no price may be rounded to it."""
    top = BookTop(START * 1000, 1, ((100.0125, 0.5),), ((100.02, 0.0000001),))
    data = encode_snapshot(START, top, tick_exp=2, lot_exp=5)
    assert decode_snapshot(START, data) == top
    assert ormsgpack.unpackb(data)[3:5] == [4, 7]


def test_the_layout_is_the_documented_one() -> None:
    top = BookTop(START * 1000 + 940, 77, ((100.02, 0.5), (100.0, 1.0)), ((100.03, 0.25), (100.06, 2.0)))
    assert ormsgpack.unpackb(encode_snapshot(START, top, tick_exp=2, lot_exp=2)) == [
        *(1, 940, 77, 2, 2, 10002),
        *([0, 2], [50, 100], [1, 3], [25, 200]),
    ]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\x93\x01\x02\x03", ormsgpack.packb([2, 0])])
def test_what_is_no_snapshot_of_ours_is_corrupt(data: bytes) -> None:
    with pytest.raises(StorageCorrupt):
        decode_snapshot(START, data)
