from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE, VENUES, Instrument
from vibe_orderbook_mcp.store.records.keys import (
    HOURS,
    MINUTES,
    event_key,
    milli_bounds,
    milli_key,
    name_of,
    parse_event_key,
    parse_key,
    roll_bounds,
    roll_key,
    second_bounds,
    second_key,
    symbol_bounds,
)
from vibe_orderbook_mcp.store.records.meta import grid_key, ids_key, symbol_key

FOREVER = 10**14

# Names that start alike on purpose: marks and digits, and few letters.
plain = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=12)
marked = st.text("AB0179/:-_.% ;", min_size=1, max_size=8) | plain
elsewhere = st.builds(Instrument, st.sampled_from(sorted(VENUES.keys() - {DEFAULT_VENUE})), marked)
symbols = st.text("AB01", min_size=1, max_size=4) | plain | elsewhere.map(lambda instrument: instrument.name)
ALIKE = (
    "BTCUSDT",
    "BTCUSDT2",
    "BTC",
    "kraken:BTC/USD",
    "kraken:BTC/USDT",
    "kraken:BTC",
    "bybit:BTCUSDT",
    "bybit-linear:BTCUSDT",
    "hyperliquid:A",
    "hyperliquid:A:B",
    "hyperliquid:A:1",
    "hyperliquid:A:1700000000",
    "hyperliquid:A:",
    "hyperliquid:A/1",
    "hyperliquid:A%3A1",
)
seconds = st.integers(0, 10**10 - 1)


def test_a_key_is_the_symbol_and_ten_digits() -> None:
    assert second_key("BTCUSDT", 1_700_000_000) == b"BTCUSDT:1700000000"
    assert second_key("BTCUSDT", 7) == b"BTCUSDT:0000000007"
    assert milli_key("BTCUSDT", 1_700_000_000_123) == b"BTCUSDT:1700000000123"
    assert second_key("币安人生USDT", 1).startswith("币安人生USDT:".encode())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("kraken:BTC/USD", b"kraken/BTC/USD:1700000000"),
        ("okx:BTC-USDT-SWAP", b"okx/BTC-USDT-SWAP:1700000000"),
        ("binance-coinm:BTCUSD_PERP", b"binance-coinm/BTCUSD_PERP:1700000000"),
        ("hyperliquid:xyz:TSLA", b"hyperliquid/xyz:TSLA:1700000000"),
    ],
)
def test_a_key_of_another_venue_has_the_venue_before_the_first_slash(name: str, key: bytes) -> None:
    assert second_key(name, 1_700_000_000) == key
    assert parse_key(key) == (name, 1_700_000_000)
    venue, _, rest = key.partition(b"/")
    assert Instrument(venue.decode(), rest.rpartition(b":")[0].decode()).name == name


@given(symbols, symbols, seconds, seconds, st.text("ab_", min_size=1))
def test_no_key_of_any_kind_lies_among_those_of_another_instrument(
    name: str, other: str, second: int, at: int, kind: str
) -> None:
    """Rows, tops, trades, baselines, roll-ups, events: what is deleted or read of one is of that one."""
    _check_disjoint(name, other, second, at, kind)


@pytest.mark.parametrize("name", ALIKE)
@pytest.mark.parametrize("other", ALIKE)
def test_names_that_start_alike_do_not_mix(name: str, other: str) -> None:
    _check_disjoint(name, other, 1_700_000_000, 1_700_000_000, "burst")
    _check_disjoint(name, other, 0, 10**10 - 1, "burst")


def _check_disjoint(name: str, other: str, second: int, at: int, kind: str) -> None:
    keys = (second_key(other, at), milli_key(other, at * 1000), event_key(other, at * 1000, kind))
    low, high = symbol_bounds(name)
    for key in keys:
        assert (low <= key < high) == (name == other)
    for bounds, key in (
        (second_bounds(name, 0, FOREVER), keys[0]),
        (milli_bounds(name, 0, FOREVER), keys[1]),
        (milli_bounds(name, 0, FOREVER), keys[2]),
        *((roll_bounds(each, name, 0, FOREVER), roll_key(each, other, at)) for each in (MINUTES, HOURS)),
    ):
        assert (bounds[0] <= key < bounds[1]) == (name == other)
    for key_of in (symbol_key, ids_key, grid_key):
        assert (key_of(name) == key_of(other)) == (name == other)
        assert name_of(key_of(name).partition(b":")[2]) == name
    assert parse_event_key(keys[2]) == (at * 1000, kind)
    assert parse_key(roll_key(MINUTES, other, at).removeprefix(MINUTES)) == (other, at)


@given(symbols, seconds, seconds)
def test_key_order_is_time_order(symbol: str, a: int, b: int) -> None:
    assert (second_key(symbol, a) < second_key(symbol, b)) == (a < b)
    assert (milli_key(symbol, a) < milli_key(symbol, b)) == (a < b)


@given(symbols, seconds)
def test_a_key_says_what_it_was_made_of(symbol: str, second: int) -> None:
    assert parse_key(second_key(symbol, second)) == (symbol, second)
    assert parse_key(milli_key(symbol, second)) == (symbol, second)


@given(symbols, symbols, seconds, st.integers(-5, 10**11), st.integers(-5, 10**11))
def test_bounds_hold_the_window_of_one_symbol_and_nothing_else(
    symbol: str, other: str, second: int, start: int, end: int
) -> None:
    for bounds, key in ((second_bounds, second_key), (milli_bounds, milli_key)):
        low, high = bounds(symbol, start, end)
        assert (low <= key(symbol, second) < high) == (start <= second < end)
        assert symbol == other or not low <= key(other, second) < high
    low, high = symbol_bounds(symbol)
    assert (low <= second_key(other, second) < high) == (symbol == other)


@pytest.mark.parametrize(
    "symbol",
    ["", "A:B", "A\n", "\x00", "\ud800", "BTC/USD", "nowhere:A", "binance:A", "kraken:", "kraken:A\n", "kraken:\ud800"],
)
def test_a_symbol_that_would_break_keys_is_refused(symbol: str) -> None:
    with pytest.raises(StorageError):
        second_key(symbol, 1)


@pytest.mark.parametrize("second", [-1, 10**10])
def test_a_time_that_would_break_the_order_is_refused(second: int) -> None:
    with pytest.raises(StorageError):
        second_key("BTCUSDT", second)


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"BTCUSDT",
        b"BTCUSDT:17",
        b"BTCUSDT:17000000xx",
        b"\xff:1700000000",
        b"binance/A:1700000000",
        b"nowhere/A:1700000000",
    ],
)
def test_what_is_no_key_is_corrupt(key: bytes) -> None:
    with pytest.raises(StorageCorrupt):
        parse_key(key)
