"""The exchange over real sockets, with clients that share no code with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import pytest
import websockets

from tests.sim.clients import DictBook, Listener, get, run, snapshot
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.model.events import DepthUpdate
from vibe_orderbook_mcp.sim import SimConfig, SimExchange, serve_sim
from vibe_orderbook_mcp.sim.catalog import PROFILES
from vibe_orderbook_mcp.sim.sockets import StreamLimits

SYMBOL = "APTUSDT"
DEPTH, AGG = "aptusdt@depth@100ms", "aptusdt@aggTrade"


def sim(*symbols: str, **options: Any) -> SimExchange:
    """A small exchange whose time passes by `step` only."""
    options = {"manual": True, "seed": 7, "history_hours": 0.1} | options
    if options["manual"]:
        options.setdefault("start_ms", 1_795_000_000_000)
    return SimExchange(SimConfig(symbols=symbols or (SYMBOL,), **options))


def test_a_plain_client_follows_the_true_book_level_by_level() -> None:
    """The point of it all: snapshot, stream and truth are one book, whenever the snapshot was taken."""

    async def body() -> None:
        async with sim("APTUSDT", "币安人生USDT", scenario="busy") as exchange:
            for symbol in exchange.venue.states:
                async with Listener(exchange.ws_url, f"{symbol.lower()}@depth@100ms") as listener:
                    await exchange.step(350)
                    book = DictBook(await snapshot(exchange.rest_url, symbol))
                    await exchange.step(3000)
                    compared = 0
                    while compared < 25:
                        _, event = await listener.next()
                        assert event["s"] == symbol
                        if book.apply(event):
                            assert exchange.truth(symbol, book.last_id, 200) == book.best(200)
                            compared += 1

    run(body())


def test_on_the_clock_a_snapshot_falls_inside_an_event_and_still_fits() -> None:
    """Real answers carry ids between an event's U and u; a client that cannot bear that fails on its first day."""

    async def body() -> None:
        exchange = sim("BTCUSDT", manual=False, scenario="busy")
        async with exchange, Listener(exchange.ws_url, "btcusdt@depth@100ms") as listener:
            _, first = await listener.next()
            taken = [await snapshot(exchange.rest_url, "BTCUSDT", 1000) for _ in range(4)]
            events = [first]
            while events[-1]["u"] < taken[-1]["lastUpdateId"]:
                events.append((await listener.next())[1])
            assert all(right["U"] == left["u"] + 1 for left, right in pairwise(events))
            assert any(each["lastUpdateId"] not in {event["u"] for event in events} for each in taken)
            for each in taken:
                truth = exchange.truth("BTCUSDT", each["lastUpdateId"], 1000)
                assert truth == ([tuple(x) for x in each["bids"]], [tuple(x) for x in each["asks"]])
            # The package's own decoder takes the frames as they are.
            import msgspec

            raw = {"symbol": first["s"], "event_ms": first["E"], "first_id": first["U"], "final_id": first["u"]}
            msgspec.convert(raw | {"bids": first["b"], "asks": first["a"]}, DepthUpdate, strict=False)

    run(body())


def test_aggregate_trades_stream_and_rest_tell_the_same() -> None:
    async def body() -> None:
        async with (
            sim("BTCUSDT", scenario="busy") as exchange,
            Listener(exchange.ws_url, "btcusdt@aggTrade") as listener,
        ):
            await exchange.step(2000)
            answer = await get(exchange.rest_url, "/api/v3/aggTrades", symbol="BTCUSDT", limit=10)
            newest: list[dict[str, Any]] = answer.json()
            streamed: list[dict[str, Any]] = []
            while not streamed or streamed[-1]["a"] < newest[-1]["a"]:
                streamed.append((await listener.next())[1])
            bare = [{key: value for key, value in each.items() if key not in ("e", "E", "s")} for each in streamed]
            assert bare[-len(newest) :] == newest
            assert [each["a"] for each in bare] == list(range(bare[0]["a"], bare[-1]["a"] + 1))
            # Into the past, by id: contiguous with what was streamed.
            older = await get(
                exchange.rest_url, "/api/v3/aggTrades", symbol="BTCUSDT", fromId=bare[0]["a"] - 5, limit=6
            )
            assert [each["a"] for each in older.json()] == list(range(bare[0]["a"] - 5, bare[0]["a"] + 1))
            assert older.json()[-1] == bare[0]
            assert older.json()[-2]["l"] == bare[0]["f"] - 1

    run(body())


def test_single_trades_best_prices_slow_and_partial_books_are_streamed_too() -> None:
    """Other people's clients use these."""

    async def body() -> None:
        kinds = ("trade", "bookTicker", "depth", "depth5", "depth10@100ms", "depth20@100ms")
        async with sim(scenario="busy") as exchange:
            async with Listener(exchange.ws_url, *(f"aptusdt@{kind}" for kind in kinds)) as listener:
                await exchange.step(200)
                book = DictBook(await snapshot(exchange.rest_url, SYMBOL))
                await exchange.step(5000)
                seen: dict[str, list[dict[str, Any]]] = {kind: [] for kind in kinds}
                while len(seen["depth"]) < 4:
                    stream, event = await listener.next()
                    seen[stream.partition("@")[2]].append(event)
            for event in seen["depth"]:
                book.apply(event)
            assert exchange.truth(SYMBOL, book.last_id) == book.best(100)
            gaps = [right["E"] - left["E"] for left, right in pairwise(seen["depth"])]
            assert gaps == [1000, 1000, 1000]
            assert [each["t"] for each in seen["trade"]] == list(
                range(seen["trade"][0]["t"], seen["trade"][-1]["t"] + 1)
            )
            for partial in seen["depth20@100ms"]:
                truth = exchange.truth(SYMBOL, partial["lastUpdateId"], 20)
                assert truth == ([tuple(x) for x in partial["bids"]], [tuple(x) for x in partial["asks"]])
            assert {len(each["bids"]) for each in seen["depth5"]} == {5}
            assert len(seen["depth5"]) < len(seen["depth10@100ms"])
            assert list(seen["bookTicker"][0]) == ["u", "s", "b", "B", "a", "A"]

    run(body())


def test_raw_and_combined_connections_and_changes_of_subscription() -> None:
    async def body() -> None:
        async with sim() as exchange, websockets.connect(f"{exchange.ws_url}/ws/{DEPTH}") as raw:
            async with websockets.connect(f"{exchange.ws_url}/ws") as bare:
                await exchange.step(500)
                assert json.loads(await raw.recv())["e"] == "depthUpdate"
                await bare.send(json.dumps({"method": "SUBSCRIBE", "params": [DEPTH], "id": "x1"}))
                assert json.loads(await bare.recv()) == {"result": None, "id": "x1"}
                await exchange.step(200)
                first = json.loads(await bare.recv())
                assert first["e"] == "depthUpdate"
                await bare.send(json.dumps({"method": "SET_PROPERTY", "params": ["combined", True], "id": 2}))
                await bare.send(json.dumps({"method": "UNSUBSCRIBE", "params": [DEPTH], "id": 3}))
                answers: list[dict[str, Any]] = []
                while len(answers) < 2:
                    message = json.loads(await bare.recv())
                    if "id" in message:
                        answers.append(message)
                assert answers == [{"result": None, "id": 2}, {"result": None, "id": 3}]
                assert exchange.hub.wanted(DEPTH)
            await raw.close()
            await until(lambda: not exchange.hub.wanted(DEPTH))

    run(body())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_streams_of_unknown_paths_and_symbols_behave_as_on_the_exchange() -> None:
    """A wrong path is refused; a wrong or upper-case stream connects and stays silent."""

    async def body() -> None:
        async with sim() as exchange:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(f"{exchange.ws_url}/nowhere")
            assert refused.value.response.status_code == 404
            async with Listener(exchange.ws_url, "APTUSDT@depth@100ms", "nopeusdt@trade") as listener:
                await exchange.step(1000)
                assert await listener.silent()

    run(body())


def test_rest_answers_have_the_documented_shape_weights_and_errors() -> None:
    async def body() -> None:
        async with sim("APTUSDT", "WANUSDT") as exchange, httpx.AsyncClient(base_url=exchange.rest_url) as client:

            async def ask(path: str, status: int = 200, **params: Any) -> Any:
                answer = await client.get(f"/api/v3/{path}", params=params)
                assert answer.status_code == status, answer.text
                weights.append(int(answer.headers["x-mbx-used-weight-1m"]))
                return answer.json()

            weights = [0]
            assert await ask("ping") == {}
            assert await ask("time") == {"serverTime": exchange.venue.now_ms()}
            everything = await ask("exchangeInfo")
            assert [entry["symbol"] for entry in everything["symbols"]] == ["APTUSDT", "WANUSDT"]
            assert everything["rateLimits"][0]["limit"] == 6000
            one = await ask("exchangeInfo", symbol="APTUSDT")
            assert await ask("exchangeInfo", symbols='["APTUSDT"]') == one
            filters = {each["filterType"]: each for each in one["symbols"][0]["filters"]}
            assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
            assert {"LOT_SIZE", "ICEBERG_PARTS", "NOTIONAL"} <= filters.keys()
            for path in ("exchangeInfo", "depth", "aggTrades", "ticker/24hr"):
                assert await ask(path, 400, symbol="NOPEUSDT") == {"code": -1121, "msg": "Invalid symbol."}
            assert (await ask("exchangeInfo", 400, symbols='["APTUSDT","NO"]'))["code"] == -1121
            assert (await ask("exchangeInfo", 400, symbols="APTUSDT"))["code"] == -1100
            assert (await ask("depth", 400))["code"] == -1102
            assert (await ask("depth", 400, symbol=SYMBOL, limit="many"))["code"] == -1100
            assert (await ask("aggTrades", 400, symbol=SYMBOL, fromId=1, startTime=1))["code"] == -1128
            for limit in (1, 100, 500, 1000, 5000, 9999):
                depth = await ask("depth", symbol=SYMBOL, limit=limit)
                assert len(depth["bids"]) == min(limit, len(exchange.venue.states[SYMBOL].ledger.sides[0]))
            assert [right - left for left, right in pairwise(weights[-7:])] == [5, 5, 25, 50, 250, 250]
            assert len((await ask("depth", symbol=SYMBOL))["asks"]) == 100
            await exchange.step(60_000)
            day = await ask("ticker/24hr", symbol=SYMBOL)
            assert day["count"] == day["lastId"] - day["firstId"] + 1
            assert len(await ask("ticker/bookTicker")) == 2
            trades = await ask("trades", symbol=SYMBOL, limit=3)
            assert [each["id"] for each in trades] == [trades[0]["id"] + n for n in range(3)]

    run(body())


def test_the_weight_limit_answers_429_with_a_delay_and_418_to_those_who_go_on() -> None:
    async def body() -> None:
        async with sim(weight_limit=20) as exchange:
            for _ in range(4):
                assert (await get(exchange.rest_url, "/api/v3/depth", symbol=SYMBOL)).status_code == 200
            limited = await get(exchange.rest_url, "/api/v3/ping")
            assert limited.status_code == 429
            assert 0 < int(limited.headers["retry-after"]) <= 60
            assert limited.json()["code"] == -1003
            for _ in range(10):
                banned = await get(exchange.rest_url, "/api/v3/ping")
            assert (banned.status_code, banned.headers["retry-after"]) == (418, "120")
            await exchange.step(180_000)
            assert (await get(exchange.rest_url, "/api/v3/ping")).status_code == 200

    run(body())


def test_more_than_five_messages_a_second_end_the_connection() -> None:
    async def body() -> None:
        async with sim() as exchange, websockets.connect(f"{exchange.ws_url}/ws") as socket:
            for number in range(8):
                await socket.send(json.dumps({"method": "LIST_SUBSCRIPTIONS", "id": number}))
            answers = [json.loads(message)["id"] async for message in closing(socket)]
            assert answers == [0, 1, 2, 3, 4]
            assert socket.close_code == 1008

    run(body())


async def closing(socket: websockets.ClientConnection) -> Any:
    """All messages until the connection ends, however it ends."""
    try:
        while True:
            yield await socket.recv()
    except websockets.ConnectionClosed:
        return


def test_a_client_that_does_not_pong_or_gets_too_old_is_disconnected() -> None:
    async def body() -> None:
        limits = StreamLimits(ping_s=0.02, pong_s=60, life_s=0.2)
        async with (
            sim(limits=limits) as exchange,
            websockets.connect(f"{exchange.ws_url}/ws/{DEPTH}", ping_interval=None) as socket,
        ):
            assert [message async for message in closing(socket)] == []
            assert socket.close_code in (
                1001,
                1008,
            )  # its pongs count as messages: some fifty a second are too many
        limits = StreamLimits(ping_s=0.05, pong_s=0.04)
        async with sim(limits=limits) as exchange:
            reader, writer = await asyncio.open_connection("127.0.0.1", exchange.port)
            writer.write(
                f"GET /ws/{DEPTH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            received = await reader.read()  # to the end: nobody answers the pings
            assert b"101 Switching Protocols" in received
            assert b"Pong timeout" in received
            writer.close()

    run(body())


def test_a_client_that_does_not_read_is_dropped_and_the_others_miss_nothing() -> None:
    async def body() -> None:
        limits = StreamLimits(buffer_bytes=200_000)
        async with (
            sim("BTCUSDT", limits=limits, scenario="busy") as exchange,
            Listener(exchange.ws_url, "btcusdt@depth@100ms") as good,
        ):
            slow = await websockets.connect(f"{exchange.ws_url}/ws/btcusdt@depth@100ms", max_queue=1)
            await until(lambda: len(exchange.hub.listeners) == 2)
            last = None
            while len(exchange.hub.listeners) == 2:
                await exchange.step(100)
                _, event = await good.next()
                assert last is None or event["U"] == last + 1
                last = event["u"]
            assert await good_still_served(exchange, good)
            slow.transport.abort()

    async def good_still_served(exchange: SimExchange, good: Listener) -> bool:
        await exchange.step(100)
        return bool((await good.next())[1]["e"] == "depthUpdate")

    run(body(), 40)


def test_all_symbols_start_and_the_exchange_stops_with_open_connections() -> None:
    async def body() -> None:
        async with sim(*PROFILES, manual=False, history_hours=24.0) as exchange:
            streams = [f"{symbol.lower()}@depth@100ms" for symbol in PROFILES]
            async with Listener(exchange.ws_url, *streams) as listener:
                waiting = set(streams) - {"wanusdt@depth@100ms"}
                while waiting:
                    waiting.discard((await listener.next())[0])
                await exchange.__aexit__()

    run(body())


def test_ids_of_a_later_start_are_greater() -> None:
    first, later = (sim(manual=True, start_ms=1_795_000_000_000 + shift) for shift in (0, 1000))
    for symbol in first.venue.states:
        one, two = first.venue.states[symbol], later.venue.states[symbol]
        assert two.ledger.last_id > one.ledger.last_id
        assert two.trades.next_id >= one.trades.next_id


def test_truth_and_status_are_reachable_over_http() -> None:
    async def body() -> None:
        async with sim() as exchange:
            await exchange.step(1000)
            last = exchange.venue.states[SYMBOL].ledger.last_id
            answer = (await get(exchange.rest_url, "/sim/truth", symbol=SYMBOL, update_id=last, levels=3)).json()
            truth = exchange.truth(SYMBOL, last, 3)
            assert truth is not None
            assert [tuple(level) for level in answer["bids"]] == truth[0]
            assert (await get(exchange.rest_url, "/sim/truth", symbol=SYMBOL, update_id=last + 9)).status_code == 404
            assert (await get(exchange.rest_url, "/sim/truth", symbol="NO")).status_code == 404
            assert (await get(exchange.rest_url, "/sim/status")).json()["symbols"] == [SYMBOL]

    run(body())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"symbols": ("NOPEUSDT",)}, "does not list 'NOPEUSDT'"),
        ({"symbols": ()}, "at least one symbol"),
        ({"scenario": "mad"}, "no scenario 'mad'"),
        ({"history_hours": 25.0}, "0 to 24"),
        ({"port": 70000}, "port is 70000"),
    ],
)
def test_a_wrong_setting_is_refused_with_one_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SimExchange(SimConfig(**options))


def test_serving_says_when_clients_may_come_and_ends_with_its_task() -> None:
    async def body() -> None:
        said: asyncio.Queue[str] = asyncio.Queue()
        serving = asyncio.create_task(serve_sim(SimConfig(symbols=(SYMBOL,)), started=said.put_nowait))
        sentence = await said.get()
        url = sentence.split()[3].rstrip(",")
        assert (await get(url, "/api/v3/ping")).status_code == 200
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConfigError, match="cannot listen"):
            await serve_sim(SimConfig(symbols=(SYMBOL,), port=port), started=said.put_nowait)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    run(body())
