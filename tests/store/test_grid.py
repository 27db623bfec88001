from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.values import exps
from vibe_orderbook_mcp.store.records.grid import (
    OffGrid,
    exact_steps,
    sum_steps,
)


@given(exps, st.integers(0, 10**15))
def test_a_decimal_of_15_digits_survives_bit_for_bit(exp: int, steps: int) -> None:
    """Clients get the exchange's decimals exactly; the store must not be where a digit is lost."""
    value = float(f"{steps}e-{exp}")
    assert exact_steps([value], exp) == (exp, [steps])
    assert steps / 10**exp == value


@given(st.floats(1e-6, 1e9), exps)
def test_any_double_survives_on_a_finer_grid_or_is_refused(value: float, exp: int) -> None:
    try:
        finer, (steps,) = exact_steps([value], exp)
    except OffGrid:
        return
    assert finer >= exp
    assert steps / 10**finer == value


def test_a_finer_grid_is_used_only_when_a_value_needs_it() -> None:
    assert exact_steps([61_837.63, 0.01], 2) == (2, [6_183_763, 1])
    assert exact_steps([61_837.63, 0.0125], 2) == (4, [618_376_300, 125])


def test_more_digits_than_64_bits_hold_are_refused_with_the_value() -> None:
    with pytest.raises(OffGrid) as refusal:
        exact_steps([1e17], 8)
    assert refusal.value.value == 1e17
    for value in (float("inf"), 1e-30):
        with pytest.raises((OffGrid, OverflowError)):
            exact_steps([value], 2)


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50), st.integers(0, 5))
def test_sums_of_doubles_come_back_to_the_lot(lots: list[int], exp: int) -> None:
    total = sum(lot / 10**exp for lot in lots)
    assert sum_steps([total], exp) == (exp, [sum(lots)])


def test_a_sum_on_a_finer_grid_keeps_its_digits() -> None:
    assert sum_steps([0.1 + 0.2], 1) == (1, [3])
    assert sum_steps([0.0625], 1) == (4, [625])
