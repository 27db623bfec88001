from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.analytics.numbers import decimals, ratio, readable, secs_text, significant


def test_a_ratio_that_is_no_number_is_none() -> None:
    """NaN and infinity would break the client's schema."""
    assert ratio(1.0, 4.0) == 0.25
    assert ratio(1.0, 0.0) is None
    assert ratio(1e300, 1e-300) is None


def test_rounding_keeps_significant_digits_and_drops_the_sign_of_zero() -> None:
    """A reader pays by the token, and "-0.0" reads as a fall."""
    assert significant(0.000808608, 4) == 0.0008086
    assert significant(61837.63871, 6) == 61837.6
    assert str(significant(-0.0)) == "0.0"
    assert str(decimals(-1e-9, 4)) == "0.0"
    assert significant(None) is None
    assert decimals(None) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.8, "3.8"),
        (0.0016171, "0.00162"),
        (1_234_567.0, "1,230,000"),
        (0.0, "0"),
        (1e-8, "0.00000001"),
        (-2.5, "-2.5"),
    ],
)
def test_numbers_in_sentences_have_no_exponent(value: float, text: str) -> None:
    """A desk does not say "1.2e-05"."""
    assert readable(value) == text


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300))
def test_rounding_stays_within_half_a_last_digit(value: float) -> None:
    """Six digits: never further off than one part in a million, wherever the decimal point is."""
    assert significant(value) == pytest.approx(value, rel=5.1e-6, abs=1e-320)


@pytest.mark.parametrize(
    ("secs", "text"), [(10.802, "11"), (0.281, "0.3"), (6.0, "6"), (9.96, "10"), (60.0, "60"), (0.0, "0")]
)
def test_seconds_in_a_sentence_are_whole_or_tenths(secs: float, text: str) -> None:
    """Nobody says that 10.802 s are recorded."""
    assert secs_text(secs) == text
