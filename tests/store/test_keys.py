from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.store.records.keys import (
    milli_bounds,
    milli_key,
    parse_key,
    second_bounds,
    second_key,
    symbol_bounds,
)

symbols = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)
seconds = st.integers(0, 10**10 - 1)


def test_a_key_is_the_symbol_and_ten_digits() -> None:
    assert second_key("BTCUSDT", 1_700_000_000) == b"BTCUSDT:1700000000"
    assert second_key("BTCUSDT", 7) == b"BTCUSDT:0000000007"
    assert milli_key("BTCUSDT", 1_700_000_000_123) == b"BTCUSDT:1700000000123"
    assert second_key("币安人生USDT", 1).startswith("币安人生USDT:".encode())


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


@pytest.mark.parametrize("symbol", ["", "A:B", "A\n", "\x00", "\ud800"])
def test_a_symbol_that_would_break_keys_is_refused(symbol: str) -> None:
    with pytest.raises(StorageError):
        second_key(symbol, 1)


@pytest.mark.parametrize("second", [-1, 10**10])
def test_a_time_that_would_break_the_order_is_refused(second: int) -> None:
    with pytest.raises(StorageError):
        second_key("BTCUSDT", second)


@pytest.mark.parametrize("key", [b"", b"BTCUSDT", b"BTCUSDT:17", b"BTCUSDT:17000000xx", b"\xff:1700000000"])
def test_what_is_no_key_is_corrupt(key: bytes) -> None:
    with pytest.raises(StorageCorrupt):
        parse_key(key)
