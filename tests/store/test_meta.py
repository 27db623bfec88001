from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.store.values import CHINESE
from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.intervals import of_numbers
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.store.records.meta import SymbolMeta, decode_ids, decode_meta, encode_ids, encode_meta


def test_a_description_comes_back_with_the_exchanges_spelling() -> None:
    spec = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"), Decimal("1000000.0"))
    for meta in (SymbolMeta(spec, 7), SymbolMeta(CHINESE, 7, sealed=60)):
        found = decode_meta(meta.spec.symbol, encode_meta(meta))
        assert found == meta
        assert str(found.spec.tick_size) == str(meta.spec.tick_size)


@given(st.sets(st.integers(0, 2**62) | st.integers(0, 50)))
def test_ids_come_back(numbers: set[int]) -> None:
    held = of_numbers(sorted(numbers))
    assert decode_ids(encode_ids(held)) == held


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\x02", b"\x91\x01"])
def test_what_is_no_description_is_corrupt(data: bytes) -> None:
    with pytest.raises(StorageCorrupt):
        decode_meta("BTCUSDT", data)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91\x02", b"\x01"])
def test_what_are_no_ids_is_corrupt(data: bytes) -> None:
    with pytest.raises(StorageCorrupt):
        decode_ids(data)
