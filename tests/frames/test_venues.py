"""Whose frames these are, by frames written after the venues' documents and by the recordings that are here."""

from __future__ import annotations

import pytest

from tests.folders import RECORDINGS
from vibe_orderbook_mcp.frames.lines import read_lines
from vibe_orderbook_mcp.frames.venues import LABELS, Recognizer, of_one_shape, venue_of

DEPTH = '"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]'


def depth(more: str = "") -> str:
    return "{" + DEPTH + more + "}"


@pytest.mark.parametrize(
    ("frame", "venue"),
    [
        ('{"stream":"btcusdt@depth@100ms","data":' + depth() + "}", "binance"),
        (depth(), "binance"),
        ('{"stream":"btcusdt@depth","data":' + depth(',"T":1,"pu":0') + "}", "binance-usdm"),
        (depth(',"pu":0,"ps":"BTCUSD"'), "binance-coinm"),
        ('{"u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}', "binance"),
        ('{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}', "binance-usdm"),
        ('{"e":"trade","s":"BTCUSDT","t":1,"p":"1","q":"1","T":1,"m":true,"M":true}', "binance"),
        ('{"e":"trade","s":"BTCUSDT","t":1,"p":"1","q":"1","T":1,"m":true,"X":"INSURANCE_FUND"}', "binance-usdm"),
        ('{"e":"trade","s":"BTCUSD_PERP","t":1,"p":"1","q":"1","T":1,"m":true}', "binance-coinm"),
        ('{"e":"aggTrade","s":"BTCUSDT","a":1,"p":"1","q":"1","T":1,"m":true,"M":true}', "binance"),
        ('{"e":"aggTrade","s":"BTCUSDT","a":1,"p":"1","q":"1","T":1,"m":true}', None),
        ('{"e":"aggTrade","s":"BTCUSD_241227","a":1,"p":"1","q":"1","T":1,"m":true}', "binance-coinm"),
        ('{"e":"aggTrade","s":"BTCUSDT","a":1,"p":"1","q":"1","nq":"1","T":1,"m":true}', "binance-usdm"),
        ('{"e":"markPriceUpdate","s":"BTCUSDT"}', "binance-usdm"),
        ('{"lastUpdateId":1,"bids":[],"asks":[]}', "binance"),
        ('{"lastUpdateId":1,"E":1,"T":1,"bids":[],"asks":[]}', "binance-usdm"),
        ('{"lastUpdateId":1,"symbol":"BTCUSD_PERP","pair":"BTCUSD","bids":[],"asks":[]}', "binance-coinm"),
        ('{"timezone":"UTC","symbols":[{"symbol":"BTCUSDT"}]}', "binance"),
        ('{"timezone":"UTC","futuresType":"U_MARGINED","symbols":[]}', "binance-usdm"),
        ('{"channel":"book","type":"update","data":[{"symbol":"BTC/USD"}]}', "kraken"),
        ('{"feed":"book","product_id":"PI_XBTUSD","seq":1}', "kraken-futures"),
        ('{"type":"l2update","product_id":"BTC-USD","changes":[]}', "coinbase"),
        ('{"channel":"l2_data","sequence_num":0,"events":[]}', "coinbase"),
        ('{"arg":{"channel":"books","instId":"BTC-USDT"},"data":[]}', "okx"),
        ('{"arg":{"instType":"SPOT","channel":"books","instId":"BTCUSDT"},"data":[]}', "bitget"),
        (depth(',"pu":0,"ps":"BTCUSDT","st":1'), "binance-usdm"),
        (depth(',"pu":0,"ps":"BTCUSD","st":2'), "binance-coinm"),
        ('{"e":"trade","s":"BTCUSDT_241227","t":1,"p":"1","q":"1","T":1,"m":true,"X":"MARKET"}', "binance-usdm"),
        ('{"topic":"orderbook.200.BTCUSDT","type":"delta","ts":1,"data":{}}', "bybit"),
        ('{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1,"data":[{"i":"2290000000007764263"}]}', "bybit"),
        (
            '{"topic":"publicTrade.BTCUSDT","data":[{"i":"20f43950-d8dd-5b31-9112-a178eb6023af"}]}',
            "bybit-linear",
        ),
        ('{"topic":"tickers.BTCUSDT","type":"delta","cs":1,"data":{"bid1Price":"1"}}', "bybit-linear"),
        ('{"topic":"tickers.BTCUSDT","type":"snapshot","cs":1,"data":{"lastPrice":"1"}}', "bybit"),
        ('{"success":true,"ret_msg":"subscribe","op":"subscribe"}', "bybit"),
        ('{"topic":"/market/level2:BTC-USDT","subject":"trade.l2update","data":{}}', "kucoin"),
        ('{"channel":"l2Book","data":{"coin":"BTC"}}', "hyperliquid"),
        ('{"jsonrpc":"2.0","method":"subscription","params":{}}', "deribit"),
        ('{"time":1,"channel":"spot.order_book_update","event":"update","result":{}}', "gateio"),
        ('[17,"hb"]', "bitfinex"),
        ('{"ch":"market.btcusdt.depth.step0","ts":1}', "htx"),
        ('{"a":1}', None),
        ("no JSON", None),
        ("[" * 100_000, "bitfinex"),
        ('{"a":' * 100_000, None),
    ],
)
def test_a_frame_says_its_venue_by_its_shape(frame: str, venue: str | None) -> None:
    assert venue_of(frame.encode()) == venue
    assert venue is None or venue in LABELS


def test_an_address_says_more_than_a_shape() -> None:
    """Binance and Binance.US have frames of one shape, and some frames of futures are like those of spot."""
    frame = b'{"e":"kline","s":"BTCUSDT"}'
    for url, venue in (
        ("wss://stream.binance.com:9443/stream", "binance"),
        ("wss://data-stream.binance.vision/stream", "binance"),
        ("wss://stream.binance.us:9443/stream", "binance-us"),
        ("wss://fstream.binance.com/stream", "binance-usdm"),
        ("https://dapi.binance.com/dapi/v1/depth", "binance-coinm"),
        ("wss://futures.kraken.com/ws/v1", "kraken-futures"),
        ("wss://stream.bybit.com/v5/public/spot", "bybit"),
        ("wss://stream.bybit.com/v5/public/linear", "bybit-linear"),
        ("ws://127.0.0.1:9443/ws", "binance"),
    ):
        assert venue_of(frame, url) == venue


def test_aggregate_trades_alone_without_the_key_of_spot_are_of_futures() -> None:
    trade = b'{"e":"aggTrade","s":"BTCUSDT","a":1,"p":"1","q":"1","T":1,"m":true}'
    recognizer = Recognizer()
    recognizer.see(trade)
    assert recognizer.venue == "binance-usdm"
    recognizer.see(depth().encode())
    assert recognizer.venue == "binance"


def test_one_frame_of_linear_perpetuals_says_whose_the_books_are() -> None:
    """Books of both markets look alike; trades and tickers do not."""
    recognizer = Recognizer()
    for _ in range(5):
        recognizer.see(b'{"topic":"orderbook.200.BTCUSDT","type":"delta","ts":1,"data":{}}')
    assert recognizer.venue == "bybit"
    recognizer.see(b'{"topic":"tickers.BTCUSDT","type":"delta","cs":1,"data":{"fundingRate":"1"}}')
    assert recognizer.venue == "bybit-linear"
    assert not recognizer.is_said
    assert of_one_shape("bybit", "bybit-linear")
    assert not of_one_shape("bybit", "okx")


FOLDERS = {
    "binance_coinm": "binance-coinm",
    "binance_spot": "binance",
    "binance_usdm": "binance-usdm",
    "bitfinex": "bitfinex",
    "bitget_v1": "bitget",
    "coinbase_exchange": "coinbase",
    "deribit": "deribit",
    "gateio": "gateio",
    "gateio_futures": "gateio",
    "hyperliquid": "hyperliquid",
    "kraken_futures": "kraken-futures",
    "kraken_spot_v2": "kraken",
    "kucoin": "kucoin",
    "okx": "okx",
}


@pytest.mark.skipif(not (RECORDINGS / "venues").is_dir(), reason=f"no recordings in {RECORDINGS}")
@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_recorded_streams_are_recognized_by_their_frames_alone(folder: str) -> None:
    for path in (RECORDINGS / "venues" / folder).iterdir():
        if ".ws." not in path.name and ("live" not in path.name and not path.name[-11:-3].isdigit()):
            continue
        recognizer = Recognizer()
        for line in read_lines(path, print):
            recognizer.see(line.frame)
        assert recognizer.venue == FOLDERS[folder], path.name
