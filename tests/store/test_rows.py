from __future__ import annotations

import math
from decimal import Decimal

import msgspec
import ormsgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.store.values import START, exps, row, rows
from vibe_orderbook_mcp.core.rows import SecondRow, TouchedLevel
from vibe_orderbook_mcp.errors import StorageCorrupt
from vibe_orderbook_mcp.store.rows import decode_row, encode_row

APPROXIMATE = {
    "level_depth": 0.0005,
    "bid_band_base": 0.0005,
    "ask_band_base": 0.0005,
    "bid_band_quote": 0.0006,
    "ask_band_quote": 0.0006,
    "effective_spread_sum": 0.0005,
    "size_squares": 0.001,
}


def _there_and_back(original: SecondRow, tick_exp: int = 2, lot_exp: int = 5) -> SecondRow:
    return decode_row(original.second, encode_row(original, tick_exp=tick_exp, lot_exp=lot_exp))


@given(st.data(), st.integers(0, 5), exps)
def test_a_row_comes_back_but_for_the_documented_roundings(data: st.DataObject, tick_exp: int, lot_exp: int) -> None:
    original = data.draw(rows(tick_exp, lot_exp))
    found = _there_and_back(original, tick_exp, lot_exp)
    for name in original.__struct_fields__:
        before, after = getattr(original, name), getattr(found, name)
        if name in APPROXIMATE:
            assert after == pytest.approx(before, rel=APPROXIMATE[name]), name
        elif name == "mlofi":
            half_lot = 0.51 * 10.0**-lot_exp
            assert len(after) == len(before)
            assert all(abs(a - b) <= half_lot + 0.0005 * abs(b) for a, b in zip(after, before, strict=True)), name
        elif name == "spread_mean":
            assert after == before or math.isclose(after, before, abs_tol=10.0**-tick_exp / 1900, rel_tol=1e-15), name
        elif name in ("buy_quote", "sell_quote"):
            assert after == pytest.approx(before, rel=1e-15), name
        else:
            assert after == before, name


@given(st.data())
def test_what_was_read_is_stored_again_without_change(data: st.DataObject) -> None:
    """Rounding happens once: otherwise copying history from place to place would wear it down."""
    once = _there_and_back(data.draw(rows(2, 5)))
    assert _stable(once, _there_and_back(once))


def _stable(once: SecondRow, twice: SecondRow) -> bool:
    return all(
        getattr(once, name) == pytest.approx(getattr(twice, name), rel=1e-12)
        if name in (*APPROXIMATE, "mlofi")
        else getattr(once, name) == getattr(twice, name)
        for name in once.__struct_fields__
    )


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=200))
@example([10, 20])
def test_summed_volumes_come_back_to_the_lot(lots: list[int]) -> None:
    """0.1 + 0.2 is stored as 0.3, the exact sum of what was traded."""
    noisy = sum(lot / 10**5 for lot in lots)
    exact = float(Decimal(sum(lots)).scaleb(-5))
    found = _there_and_back(msgspec.structs.replace(row(START), buy_volume=noisy, ofi=-noisy, mlofi=(-noisy,)))
    assert (found.buy_volume, found.ofi, found.mlofi) == (exact, -exact, (-exact,))


def test_small_imbalances_are_exact_on_every_level() -> None:
    mlofi = tuple(lots / 10**5 for lots in (1, -2, 30, -400, 999, 0, -1000, 7, 8, -9))
    assert _there_and_back(msgspec.structs.replace(row(START), mlofi=mlofi)).mlofi == mlofi


def test_a_level_off_the_grid_is_kept_exactly() -> None:
    touched = TouchedLevel("ask", 100.0125, 0.3, 4, 0.0000001, 1.5, 0.0)
    found = _there_and_back(msgspec.structs.replace(row(START), touched=(touched,)))
    assert found.touched == (touched,)


def test_a_quiet_second_takes_few_bytes() -> None:
    assert len(encode_row(SecondRow(second=START, covered_ms=1000), tick_exp=2, lot_exp=5)) < 80


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\x93\x01\x02\x03", ormsgpack.packb([2, 0])])
def test_what_is_no_row_of_ours_is_corrupt(data: bytes) -> None:
    with pytest.raises(StorageCorrupt):
        decode_row(START, data)
