from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_orderbook_mcp.core.listed import Listed, Listing
from vibe_orderbook_mcp.core.naming import Name, pair_of, read_name, suggestions

BASES = ("BTC", "ETH", "SOL", "XRP", "DOGE", "PERP", "1000SATS", "币安人生")
LISTING = Listing(
    Listed(base + quote, base, quote) for base in BASES for quote in ("USDT", "FDUSD", "BTC") if base != quote
)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "BTCUSDT",
            "btcusdt",
            "btc/usdt",
            "BTC-USDT",
            "BTC_USDT",
            " btc usdt\n",
            "binance:BTCUSDT",
            "BINANCE:btc-usdt",
        ),
        *(
            "'BTCUSDT'",
            '"btcusdt"',
            "\u201cBTC/USDT\u201d",
            "`BTCUSDT`",
            "$BTCUSDT",
            "BTC\u200bUSDT",
            "\ufeffBTCUSDT\u00a0",
            "ＢＴＣＵＳＤＴ",
        ),
    ],
)
def test_spellings_of_one_instrument_are_one_name(text: str) -> None:
    """People, models, charting programs and copied web pages write it differently."""
    assert read_name(text) == Name("binance", "BTCUSDT")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("kraken:XBT/USD", Name("kraken", "XBTUSD")),
        ("OKX:BTC-USDT-SWAP", Name("okx", "BTCUSDT", is_perpetual=True)),
        ("binance_usdm:BTCUSDT", Name("binance-usdm", "BTCUSDT")),
        ("nowhere:BTCUSDT", Name(None, "BTCUSDT")),
        ("BTC-PERP", Name("binance", "BTC", is_perpetual=True)),
        ("BTCPERP", Name("binance", "BTC", is_perpetual=True)),
        ("BTCUSDT.P", Name("binance", "BTCUSDT", is_perpetual=True)),
        ("BTC/USDT:USDT", Name("binance", "BTCUSDT", is_perpetual=True)),
        ("binance:BTC/USDT:USDT-260327", Name("binance", "BTCUSDT", is_perpetual=True)),
        ("PERPUSDT", Name("binance", "PERPUSDT")),
        ("PERP", Name("binance", "PERP")),
    ],
)
def test_other_venues_and_markets_are_recognised(text: str, name: Name) -> None:
    assert read_name(text) == name


@pytest.mark.parametrize(
    "text", ["", " / - ", "''", "A" * 41, "A" * 300, "../../etc", "BTC\x00USDT", "BTC\u202eUSDT", "🚀", "a:", ":"]
)
def test_what_no_instrument_is_called_is_none(text: str) -> None:
    assert read_name(text) is None


@given(st.text(max_size=200))
def test_whatever_is_written_a_name_is_plain(text: str) -> None:
    """It goes into keys, paths of requests and answers."""
    name = read_name(text)
    assert name is None or (name.symbol.isalnum() and len(name.symbol) <= 40)


@pytest.mark.parametrize(
    ("asset", "pair"),
    [
        ("BTC", "BTCUSDT"),
        ("BITCOIN", "BTCUSDT"),
        ("ETHEREUM", "ETHUSDT"),
        ("XBT", "BTCUSDT"),
        ("NOPE", None),
        ("BTCUSDT", None),
    ],
)
def test_a_bare_asset_stands_for_its_dollar_pair(asset: str, pair: str | None) -> None:
    assert pair_of(asset, LISTING) == pair


@pytest.mark.parametrize(
    ("symbol", "first"),
    [
        ("XBTUSD", "BTCUSDT"),
        ("BTCUSD", "BTCUSDT"),
        ("BITCOINUSD", "BTCUSDT"),
        ("ETHUSDTT", "ETHUSDT"),
        ("SLOUSDT", "SOLUSDT"),
        ("DOGEEUR", "DOGEUSDT"),
        ("RIPPLE", "XRPUSDT"),
    ],
)
def test_the_likeliest_name_is_suggested_first(symbol: str, first: str) -> None:
    assert suggestions(symbol, LISTING)[0] == first


@pytest.mark.parametrize("symbol", ["QQQQQQ", "Z", "NOPENOPE"])
def test_nothing_is_suggested_for_what_is_like_nothing(symbol: str) -> None:
    assert suggestions(symbol, LISTING) == []


def test_only_listed_names_are_suggested() -> None:
    for symbol in ("BTCUSD", "XBT", "SOLETH", "AAVE"):
        assert set(suggestions(symbol, LISTING)) <= set(LISTING.names)
