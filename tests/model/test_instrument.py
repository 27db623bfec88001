from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_orderbook_mcp.model.instrument import VENUES, Instrument

SYMBOLS = st.text(st.characters(codec="utf-8", categories=("L", "N"), include_characters="/:-_. "), min_size=1)


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (Instrument("binance", "BTCUSDT"), "BTCUSDT"),
        (Instrument("binance-us", "BTCUSDT"), "binance-us:BTCUSDT"),
        (Instrument("binance-coinm", "BTCUSD_PERP"), "binance-coinm:BTCUSD_PERP"),
        (Instrument("kraken", "BTC/USD"), "kraken:BTC/USD"),
        (Instrument("okx", "BTC-USDT-SWAP"), "okx:BTC-USDT-SWAP"),
        (Instrument("hyperliquid", "xyz:TSLA"), "hyperliquid:xyz:TSLA"),
        (Instrument("binance", "币安人生USDT"), "币安人生USDT"),
    ],
)
def test_an_instrument_is_called_by_its_venue_unless_that_is_the_default_one(instrument: Instrument, name: str) -> None:
    assert instrument.name == str(instrument) == name
    assert Instrument.of(name) == instrument


@given(st.sampled_from(sorted(VENUES)), SYMBOLS, st.sampled_from(sorted(VENUES)), SYMBOLS)
def test_a_name_is_of_one_instrument(venue: str, symbol: str, other_venue: str, other_symbol: str) -> None:
    one, other = Instrument(venue, symbol), Instrument(other_venue, other_symbol)
    assert Instrument.of(one.name) == one
    assert (one.name == other.name) == (one == other)
