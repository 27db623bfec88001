from __future__ import annotations

import math
from decimal import Decimal

import msgspec
import ormsgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.store.values import START, exps, row, rows
from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.rows import SecondRow, TouchedLevel
from vibe_orderbook_mcp.store.records.rows import decode_rows, encode_row

APPROXIMATE = {
    "bid_band_base": 0.0005,
    "ask_band_base": 0.0005,
    "bid_band_quote": 0.00085,  # 0.05 % of the size, and 3.3 bps of its mean price
    "ask_band_quote": 0.00085,
    "effective_spread_sum": 0.0005,
    "size_squares": 0.001,
}
LEVELS = ("mlofi", "level_depth")  # 0.4 %, but for what is next to nothing beside the greatest of them

# A recorded second of BTCUSDT as the first version of the coding wrote it.
VERSION_1 = bytes.fromhex(
    "dc0035010205cd03e800c3ce005e190f01ce0001695dce000238490100000acd0692cd0912ce003ed518ce00627524d1fc3b"
    "cc87cd011ecc85ce005388fcce006c5f3c00cd01adcd01e90ece0008ebd20000950a0a050502c440b64ff06e61bf533a9ba2"
    "08ac95590164e7e26f3444e3ceefc44289a86acf3a1b6c61636767676569616366565a5c5b5d5c5c58597073787a7b707579"
    "7a7b6370c4059c8b826848c405959a7d534e1e10ce0004bb58cd0ea1ce2045fbb7ce003529606805cedeaa1e146d00d1f510"
    "cd0af0c20000009693cd0c79cd0647d1f4db93cdfe4bcd6ea7cd669993010b019300d19541009300cd088d0093000000"
)


def _there_and_back(original: SecondRow, tick_exp: int = 2, lot_exp: int = 5) -> SecondRow:
    return decode_rows([original.second], [encode_row(original, tick_exp=tick_exp, lot_exp=lot_exp)])[0]


@given(st.data(), st.integers(0, 5), exps)
def test_a_row_comes_back_but_for_the_documented_roundings(data: st.DataObject, tick_exp: int, lot_exp: int) -> None:
    original = data.draw(rows(tick_exp, lot_exp))
    found = _there_and_back(original, tick_exp, lot_exp)
    for name in original.__struct_fields__:
        before, after = getattr(original, name), getattr(found, name)
        if name in APPROXIMATE:
            assert after == pytest.approx(before, rel=APPROXIMATE[name]), name
        elif name in LEVELS:
            half_lot = 0.51 * 10.0**-lot_exp if name == "mlofi" else 0.0
            smallest = 1.1e-11 * max(map(abs, (0.0, *original.mlofi, *original.level_depth)))
            assert len(after) == len(before)
            for a, b in zip(after, before, strict=True):
                assert abs(a - b) <= half_lot + max(0.004 * abs(b), smallest if b else 0.0), name
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
        if name in (*APPROXIMATE, *LEVELS)
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
    mlofi = tuple(lots / 10**5 for lots in (1, -2, 30, -100, 150, 0, -149, 7, 8, -9))
    assert _there_and_back(msgspec.structs.replace(row(START), mlofi=mlofi)).mlofi == mlofi


def test_rows_of_the_first_version_are_still_read() -> None:
    """History that was recorded before is not lost with an update, nor is it when such a row is stored again."""
    found = decode_rows([START], [VERSION_1])[0]
    assert (found.best_bid, found.best_ask, found.mid) == (61667.99, 61668.0, 61667.994999999995)
    assert found.mlofi == (5.84658, 0.55269, 0.9521, 1.96085, 1.94035, 2.09349, 1.26845, 2.84372, 0.5877, 0.89394)
    assert found.level_depth[:2] == pytest.approx((1.468246294768269, 0.061208671298868006))
    assert found.bid_band_base[-1] == pytest.approx(131.69105014297278)
    assert found.bid_band_quote[-1] == pytest.approx(8098192.792053091)
    assert found.touched[0] == TouchedLevel("ask", 61655.95, 0.65099, 1, 0.65099, 0.65099, 0.0)
    again = _there_and_back(found)
    assert again.mlofi == pytest.approx(found.mlofi, rel=0.004)
    assert again.bid_band_quote == pytest.approx(found.bid_band_quote, rel=0.00085)


def test_a_level_off_the_grid_is_kept_exactly() -> None:
    touched = TouchedLevel("ask", 100.0125, 0.3, 4, 0.0000001, 1.5, 0.0)
    found = _there_and_back(msgspec.structs.replace(row(START), touched=(touched,)))
    assert found.touched == (touched,)


def test_a_quiet_second_takes_few_bytes() -> None:
    assert len(encode_row(SecondRow(second=START, covered_ms=1000), tick_exp=2, lot_exp=5)) < 80


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x90", b"\x93\x01\x02\x03", ormsgpack.packb([3, 0])])
def test_what_is_no_row_of_ours_is_corrupt(data: bytes) -> None:
    with pytest.raises(StorageCorrupt):
        decode_rows([START], [data])[0]
