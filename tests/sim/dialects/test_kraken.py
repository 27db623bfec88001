"""Kraken's dialect: our own adapter and plain connections take it for the exchange."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.sim.clients import get, run
from tests.sim.dialects.rig import Talk, exchange, following, stepped, until
from vibe_orderbook_mcp.book.sync import Outcome
from vibe_orderbook_mcp.model.errors import ExchangeUnavailable, SymbolUnknown
from vibe_orderbook_mcp.sim.faults import (
    RestStatus,
    Stall,
    Suspend,
)
from vibe_orderbook_mcp.sim.server import SimExchange
from vibe_orderbook_mcp.venues.kraken.rest import KrakenRest
from vibe_orderbook_mcp.venues.kraken.wire import Kraken

NAMES = ("kraken:BTC/USD", "kraken:ETH/USD")
SYMBOLS = ("BTC/USD", "ETH/USD")
BTC = SYMBOLS[0]


def rest_of(sim: SimExchange) -> KrakenRest:
    return KrakenRest(f"{sim.rest_url}/kraken", request_secs=0.0)


@pytest.mark.parametrize("depth", [10, 1000])
def test_every_book_is_the_true_one_at_every_frame(depth: int) -> None:
    """Levels that fall out of the depth without a word are the point of the shallow one."""

    async def body() -> None:
        async with exchange(*NAMES) as sim:
            followed = following(sim, Kraken(depth=depth), rest_of(sim), SYMBOLS, levels=depth, has_ids=False)
            async with followed as (market, feed):
                await until(lambda: all(market.right[symbol] > 40 for symbol in SYMBOLS))
                assert market.wrong == {}
                assert feed.malformed_frames == {}
                assert {outcome for each in market.outcomes.values() for outcome in each} == {Outcome.APPLIED}

    run(body())


def test_trades_of_before_are_found_by_id() -> None:
    """Pages go by time: ids in the middle of nowhere are found, and pages meet without a hole."""

    async def body() -> None:
        async with exchange(NAMES[0]) as sim:
            rest = rest_of(sim)
            newest = await rest.agg_trades(BTC, None)
            first = newest[0].agg_id - 5321
            found: list[int] = []
            while not found or found[-1] < newest[0].agg_id:
                page = await rest.agg_trades(BTC, first if not found else found[-1] + 1)
                found += [trade.agg_id for trade in page]
            assert found == list(range(first, found[-1] + 1))
            with pytest.raises(SymbolUnknown):
                await rest.symbol("BTC/XXX")
            sim.faults.add(RestStatus(venue="kraken", endpoint="Trades", status=503, count=1))
            with pytest.raises(ExchangeUnavailable):
                await rest.agg_trades(BTC, None)
            assert len(await rest.agg_trades(BTC, None)) == 1000

    run(body())


def test_a_stalled_connection_says_nothing_and_the_other_one_goes_on() -> None:
    """Heartbeats stop with it."""

    async def body() -> None:
        url = "/kraken/v2"
        async with stepped(NAMES[0]) as sim, Talk(sim.ws_url + url) as stalled, Talk(sim.ws_url + url) as other:
            for talk in (stalled, other):
                await talk.say({"method": "subscribe", "params": {"channel": "book", "symbol": [BTC]}})
                await talk.until(lambda message: message.get("type") == "snapshot")
            fault = sim.faults.add(Stall(connection=min(sim.hub.listeners)))
            await sim.step(2_500)
            await other.until(lambda message: message == {"channel": "heartbeat"})
            sim.faults.remove(fault)
            await stalled.say({"method": "ping", "req_id": 1})
            assert (await stalled.next())["method"] == "pong"

    run(body())


def test_refusals_leave_the_connection_open() -> None:
    """An unknown pair and an unsupported depth are refused one by one, and the rest is served."""

    async def body() -> None:
        async with stepped(*NAMES) as sim, Talk(f"{sim.ws_url}/kraken/v2") as talk:
            assert (await talk.next())["channel"] == "status"
            for params, word in (
                ({"channel": "book", "symbol": [BTC], "depth": 11}, "Subscription depth not supported"),
                ({"channel": "book", "symbol": ["BTC/XXX"]}, "Currency pair not supported BTC/XXX"),
                ({"channel": "candles", "symbol": [BTC]}, "Channel candles is not supported"),
            ):
                await talk.say({"method": "subscribe", "params": params, "req_id": 7})
                answer = await talk.next()
                assert (answer["success"], answer["error"], answer["req_id"]) == (False, word, 7)
            await talk.say("{")
            assert (await talk.next())["success"] is False
            both = {"channel": "book", "symbol": ["BTC/XXX", BTC], "depth": 25}
            await talk.say({"method": "subscribe", "params": both})
            assert (await talk.next())["success"] is False
            assert (await talk.next())["result"]["depth"] == 25
            snapshot = await talk.next()
            assert (snapshot["type"], len(snapshot["data"][0]["bids"])) == ("snapshot", 25)
            await talk.say({"method": "subscribe", "params": both | {"symbol": [BTC], "depth": 10}})
            assert (await talk.next())["error"] == "Already subscribed"
            await talk.say({"method": "unsubscribe", "params": both | {"symbol": [BTC]}})
            assert (await talk.next())["success"] is True
            await talk.say({"method": "ping", "req_id": 9})
            pong = await talk.next()
            assert (pong["method"], pong["req_id"]) == ("pong", 9)

    run(body())


def test_frames_are_worded_as_in_a_recording() -> None:
    """Names and their order, numbers with all their places, heartbeats once a second."""

    async def body() -> None:
        async with stepped(*NAMES, scenario="busy") as sim, Talk(f"{sim.ws_url}/kraken/v2") as talk:
            for channel, more in (("book", {"depth": 10}), ("trade", {"snapshot": False})):
                params = {"channel": channel, "symbol": [BTC]} | more
                await talk.say({"method": "subscribe", "params": params})
                await talk.until(lambda message: "method" in message)
            await sim.step(10_000)
            raw: list[str] = []
            while sum('"heartbeat"' in each for each in raw) < 10:
                raw.append(str(await talk.socket.recv(decode=True)))
            messages = [json.loads(each) for each in raw]
            updates = [each for each in messages if each["channel"] == "book" and each["type"] == "update"]
            trades = [each for each in messages if each["channel"] == "trade"]
            names = ["symbol", "side", "price", "qty", "ord_type", "trade_id", "timestamp"]
            assert list(updates[0]) == ["channel", "type", "data"]
            assert list(updates[0]["data"][0]) == ["symbol", "bids", "asks", "checksum", "timestamp"]
            assert list(trades[0]["data"][0]) == names
            ids = [row["trade_id"] for each in trades for row in each["data"]]
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert any(len(each["data"]) > 1 for each in trades)
            times = [each["data"][0]["timestamp"] for each in updates]
            assert all(left < right for left, right in pairwise(times))
            assert all(len(time) == len("2026-07-07T23:00:03.501510Z") for time in times)
            text = next(each for each in raw if '"type":"update"' in each and '"price"' in each)
            price, qty = text.split('"price":')[1].split(',"qty":')
            assert (len(price.partition(".")[2]), len(qty.split("}")[0].partition(".")[2])) == (1, 8)

    run(body())


def test_a_price_that_a_frame_names_twice_is_deleted_by_its_last_row() -> None:
    """As seen in recordings: a client that collapses or sorts a frame keeps a level that is gone."""

    async def body() -> None:
        async with stepped(NAMES[0], scenario="busy") as sim, Talk(f"{sim.ws_url}/kraken/v2") as talk:
            await talk.say({"method": "subscribe", "params": {"channel": "book", "symbol": [BTC], "depth": 1000}})
            twice: list[list[dict[str, Any]]] = []
            while not twice:
                await sim.step(1000)
                message = await talk.next()
                while message.get("channel") != "heartbeat":
                    if message.get("channel") == "book" and message["type"] == "update":
                        bids = message["data"][0]["bids"]
                        prices = [row["price"] for row in bids]
                        twice += [
                            [row for row in bids if row["price"] == price]
                            for price in set(prices)
                            if prices.count(price) > 1
                        ]
                    message = await talk.next()
            assert all([row["qty"] > 0 for row in rows] == [True, False] for rows in twice)

    run(body())


def test_a_pair_that_stops_trading_is_silent_and_listed_so() -> None:
    async def body() -> None:
        async with exchange(*NAMES) as sim:
            rest = rest_of(sim)
            async with following(sim, Kraken(depth=10), rest, SYMBOLS, levels=10, has_ids=False) as (market, _):
                sim.faults.add(Suspend(symbol=NAMES[0]))
                assert (await KrakenRest(f"{sim.rest_url}/kraken").listing(BTC))[0] == "CANCEL_ONLY"
                assert (await KrakenRest(f"{sim.rest_url}/kraken").listing(SYMBOLS[1]))[0] == "TRADING"
                silent, other = market.right[BTC], market.right[SYMBOLS[1]]
                await until(lambda: market.right[SYMBOLS[1]] > other + 20)
                assert market.right[BTC] <= silent + 1  # that was on its way

    run(body())


def test_too_many_questions_are_refused_with_http_200() -> None:
    """The exchange says so in the answer's body."""

    async def body() -> None:
        async with stepped(NAMES[0]) as sim:
            answers = [await get(sim.rest_url, "/kraken/0/public/Time") for _ in range(40)]
            assert {answer.status_code for answer in answers} == {200}
            assert answers[0].json()["error"] == []
            assert answers[-1].json()["error"] == ["EGeneral:Too many requests"]

    run(body())
