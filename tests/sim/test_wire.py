"""Payloads against the samples in the exchange's documentation: same keys, same order, same types."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from vibe_orderbook_mcp.sim.commands import MAX_STREAMS, Subscriptions
from vibe_orderbook_mcp.sim.rules import Grid
from vibe_orderbook_mcp.sim.weights import Weights
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, Depth, DepthEvent, ShutdownNotice, TradeFill, encode

# web-socket-streams.md and rest-api.md of the exchange's documentation, comments taken out.
AGG_TRADE = """{"e":"aggTrade","E":1672515782136,"s":"BNBBTC","a":12345,"p":"0.001","q":"100","f":100,"l":105,
"T":1672515782136,"m":true,"M":true}"""
TRADE = """{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.001","q":"100","T":1672515782136,"m":true,
"M":true}"""
TICKER = """{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"""
DEPTH_UPDATE = """{"e":"depthUpdate","E":1672515782136,"s":"BNBBTC","U":157,"u":160,"b":[["0.0024","10"]],
"a":[["0.0026","100"]]}"""
DEPTH = """{"lastUpdateId":1027024,"bids":[["4.00000000","431.00000000"]],"asks":[["4.00000200","12.00000000"]]}"""
SHUTDOWN = """{"e":"serverShutdown","E":1770123456789}"""


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (AGG_TRADE, AggTrade),
        (TRADE, TradeFill),
        (TICKER, BookTicker),
        (DEPTH_UPDATE, DepthEvent),
        (DEPTH, Depth),
        (SHUTDOWN, ShutdownNotice),
    ],
)
def test_a_documented_sample_comes_out_as_it_went_in(sample: str, kind: type) -> None:
    again = encode(msgspec.json.decode(sample, type=kind)).decode()
    assert again == sample.replace("\n", "")


def ask(session: Subscriptions, **request: Any) -> Any:
    return json.loads(session.answer(json.dumps(request)))


def test_subscribing_listing_and_unsubscribing_answer_as_documented() -> None:
    session = Subscriptions([], combined=False)
    assert ask(session, method="SUBSCRIBE", params=["btcusdt@aggTrade", "btcusdt@depth"], id=1) == {
        "result": None,
        "id": 1,
    }
    assert ask(session, method="UNSUBSCRIBE", params=["btcusdt@depth"], id=312) == {"result": None, "id": 312}
    assert ask(session, method="LIST_SUBSCRIPTIONS", id="a-3") == {"result": ["btcusdt@aggTrade"], "id": "a-3"}
    assert ask(session, method="GET_PROPERTY", params=["combined"], id=2) == {"result": False, "id": 2}
    assert ask(session, method="SET_PROPERTY", params=["combined", True], id=None) == {"result": None, "id": None}
    assert ask(session, method="GET_PROPERTY", params=["combined"], id=-5) == {"result": True, "id": -5}


@pytest.mark.parametrize(
    ("request_text", "code", "words"),
    [
        ('{"method":"SET_PROPERTY","params":["shine",true],"id":1}', 0, "Unknown property"),
        ('{"method":"SET_PROPERTY","params":["combined",1],"id":1}', 1, "Invalid value type: expected Boolean"),
        ('{"method":"GET_PROPERTY","params":[1],"id":1}', 2, "property name must be a string"),
        ('{"method":"GET_PROPERTY","params":[],"id":1}', 2, "property name must be a string"),
        ('{"method":"GET_PROPERTY","params":["combined",1],"id":1}', 2, "too many parameters"),
        ('{"method":"SUBSCRIBE","params":["x"],"id":1.5}', 2, "request ID must be an unsigned integer"),
        ('{"method":"SUBSCRIBE","params":["x"],"id":"' + "x" * 37 + '"}', 2, "request ID must be"),
        ('{"method":"JUMP","params":["x"],"id":1}', 2, "unknown variant `JUMP`, expected one of `SUBSCRIBE`"),
        ('{"params":["x"],"id":1}', 2, "missing field `method` at line 1 column"),
        ('{"method":', 3, "Invalid JSON: expected value at line 1 column 11"),
        ("[]", 2, "Invalid request"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_the_documented_words(request_text: str, code: int, words: str) -> None:
    answer = json.loads(Subscriptions([], combined=False).answer(request_text))
    assert answer["code"] == code
    assert words in answer["msg"]


def test_a_connection_may_listen_to_1024_streams_and_no_more() -> None:
    session = Subscriptions([f"s{n}@depth" for n in range(MAX_STREAMS)], combined=True)
    assert ask(session, method="SUBSCRIBE", params=["s1@depth"], id=1) == {"result": None, "id": 1}
    assert "code" in ask(session, method="SUBSCRIBE", params=["one-more@depth"], id=2)
    assert len(session.streams) == MAX_STREAMS


def test_weight_is_counted_by_the_minute_then_429_then_418_for_longer_each_time() -> None:
    weights = Weights(100)
    assert weights.spend("a", 100, 60_000).status == 200
    first = weights.spend("a", 1, 75_000)
    assert (first.status, first.retry_after_s, first.used) == (429, 45, 101)
    assert weights.spend("b", 1, 75_000).status == 200
    for _ in range(10):
        last = weights.spend("a", 1, 75_000)
    assert (last.status, last.retry_after_s) == (418, 120)
    assert weights.spend("a", 1, 120_000).status == 418
    assert weights.spend("a", 1, 75_000 + 120_000).status == 200
    for _ in range(12):
        again = weights.spend("a", 100, 75_000 + 121_000)
    assert (again.status, again.retry_after_s) == (418, 240)


def test_a_grid_prints_eight_places_and_reads_them_back() -> None:
    assert Grid(2).text(6183763) == "61837.63000000"
    assert Grid(8).text(17) == "0.00000017"
    assert Grid(0).text(5) == "5.00000000"
    assert [Grid(exp).units("61837.63000000") for exp in (0, 2, 8)] == [61837, 6183763, 6183763000000]
    assert [Grid(exp).units("61837.63") for exp in (0, 2, 8)] == [61837, 6183763, 6183763000000]
