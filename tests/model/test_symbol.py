from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.model.errors import InexactSymbol
from vibe_orderbook_mcp.model.instrument import Instrument
from vibe_orderbook_mcp.model.symbol import SymbolSpec, decimal_text

SETTINGS = settings(deadline=None, max_examples=500)


def spec(tick: str, step: str = "1.00000000", max_price: str = "0", max_size: str = "0") -> SymbolSpec:
    return SymbolSpec("XY", "X", "Y", Decimal(tick), Decimal(step), Decimal(max_price), Decimal(max_size))


@pytest.mark.parametrize(
    ("tick", "decimals", "exp"),
    [
        ("0.01000000", 8, 2),
        ("1.00000000", 8, 0),
        ("10.00000000", 8, 0),
        ("0.00000001", 8, 8),
        ("0.05", 2, 2),
        ("1", 0, 0),
        ("0.00000000", 8, 8),  # the filter is off: nothing says that the printed places are empty
    ],
)
def test_printed_and_significant_places(tick: str, decimals: int, exp: int) -> None:
    """One is how the exchange spells, the other the grid that integers of ticks and lots count in."""
    assert (spec(tick).price_decimals, spec(tick).tick_exp) == (decimals, exp)
    assert (spec("1", tick).size_decimals, spec("1", tick).lot_exp) == (decimals, exp)


@SETTINGS
@given(st.integers(0, 10**15 - 1), st.integers(0, 10), st.integers(0, 8))
def test_a_text_comes_back_as_it_was_sent(digits: int, exp: int, zeros: int) -> None:
    """Clients get the exchange's decimals exactly: text -> double -> text, up to 15 significant digits."""
    text = f"{Decimal(digits).scaleb(-exp):.{exp + zeros}f}"
    assert decimal_text(float(text), exp + zeros) == text


def test_a_large_value_is_spelled_without_a_doubles_noise() -> None:
    """Plain formatting to eight places gives 100000000.01000001 and 1600000000.00999999."""
    assert decimal_text(100000000.01, 8) == "100000000.01000000"
    assert decimal_text(1600000000.01, 8) == "1600000000.01000000"
    assert decimal_text(1e16, 2) == "10000000000000000.00"


def test_a_value_off_the_grid_keeps_its_digits() -> None:
    """Orders from before a change of the tick size rest on; rounded, they would stand at another price."""
    assert decimal_text(0.12345, 8) == "0.12345000"
    assert decimal_text(0.25, 1) == "0.25"
    assert decimal_text(0.5, 0) == "0.5"
    assert decimal_text(1e-7, 2) == "0.0000001"
    assert decimal_text(0.00000637, 8) == "0.00000637"


@pytest.mark.parametrize(
    ("candidate", "what"),
    [
        (spec("0.01000000", "0.00001000", "1000000.00000000", "9000.00000000"), None),  # BTCUSDT
        (spec("0.00000001", "1.00", "1000.0", "92141578736"), None),
        (spec("0.01", "1", "9999999999999.99"), None),  # 15 digits
        (spec("0.01", "1", "10000000000000"), "a price"),  # 16
        (spec("0.01", "0.00000001", "100", "999.99999999"), None),
        (spec("0.01", "0.00000001", "100", "100000"), "a level's size"),
        (spec("0.00000001", "0.01", "1000.0", "92141578736"), None),  # the largest limit, on a fine grid
        (spec("0.00000000", "1", "10000000"), "a price"),
    ],
)
def test_a_symbol_that_a_double_cannot_carry_is_refused(candidate: SymbolSpec, what: str | None) -> None:
    """A price that is rounded on the way would be a wrong price; refusing the symbol says so at once."""
    if what is None:
        candidate.check_exact()
        return
    with pytest.raises(InexactSymbol) as refused:
        candidate.check_exact()
    assert (refused.value.symbol, refused.value.what, refused.value.digits) == ("XY", what, 16)


def test_what_the_exchange_says_is_of_an_instrument() -> None:
    """Its name has the venue in it; the venue's own spelling is what its addresses need."""
    kraken = SymbolSpec("kraken:BTC/USD", "BTC", "USD", Decimal("0.1"), Decimal("0.00000001"))
    assert kraken.instrument == Instrument("kraken", "BTC/USD")
    assert (spec("1", "1").instrument, spec("1", "1").market) == (Instrument("binance", "XY"), "spot")
