from __future__ import annotations

from collections.abc import Callable

import ormsgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.values import exps, trade, trade_lists
from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.intervals import of_numbers
from vibe_orderbook_mcp.store.records.trades import (
    decode_minute,
    decode_second,
    encode_minute,
    encode_second,
    merge,
    minute_ids,
)


@given(st.data(), exps, exps)
def test_trades_come_back_bit_for_bit(data: st.DataObject, tick_exp: int, lot_exp: int) -> None:
    """Whatever the widths: ids, times and sizes far apart widen their column and nothing else."""
    trades = data.draw(trade_lists(tick_exp, lot_exp))
    assert decode_second(encode_second(trades, tick_exp=tick_exp, lot_exp=lot_exp)) == trades
    block = encode_minute(trades, tick_exp=tick_exp, lot_exp=lot_exp)
    assert decode_minute(block) == trades
    assert minute_ids(block) == of_numbers(trade.agg_id for trade in trades)


def test_a_block_of_a_usual_minute_is_a_third_of_its_seconds() -> None:
    trades = [trade(agg_id) for agg_id in range(600)]
    block = len(encode_minute(trades, tick_exp=2, lot_exp=5))
    assert block < len(encode_second(trades, tick_exp=2, lot_exp=5)) / 3 < 600 * 12


@given(st.lists(st.lists(st.integers(0, 40))))
def test_merging_is_union_by_id(parts: list[list[int]]) -> None:
    merged = merge(*([trade(agg_id) for agg_id in part] for part in parts))
    assert [found.agg_id for found in merged] == sorted({agg_id for part in parts for agg_id in part})


@pytest.mark.parametrize("decode", [decode_second, decode_minute, minute_ids])
@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\x93\x01\x02\x03", ormsgpack.packb([2, 0])])
def test_what_are_no_trades_of_ours_is_corrupt(decode: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(StorageCorrupt):
        decode(data)


def test_a_block_whose_columns_differ_in_length_is_corrupt() -> None:
    record = ormsgpack.unpackb(encode_minute([trade(1), trade(2)], tick_exp=2, lot_exp=5))
    record[1] = 3
    with pytest.raises(StorageCorrupt):
        decode_minute(ormsgpack.packb(record))


def test_makers_are_told_apart() -> None:
    trades = [Trade(n, n, 1.0, 1.0, n, n, n in (3, 9)) for n in range(12)]
    found = decode_minute(encode_minute(trades, tick_exp=0, lot_exp=0))
    assert [n for n, one in enumerate(found) if one.buyer_is_maker] == [3, 9]
