"""Each fault does what it says, to whom it says, for as long as it says, and never to the truth."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from typing import Any

import httpx
import pytest
import websockets

from tests.sim.clients import DictBook, Listener, get, run, snapshot
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.sim.channels import Message
from vibe_orderbook_mcp.sim.faults import (
    ClockSkew,
    Corrupt,
    CorruptRest,
    Disconnect,
    Drop,
    Duplicate,
    Fault,
    Faults,
    Refuse,
    Regrid,
    Reorder,
    RestStatus,
    ServerShutdown,
    SlowRest,
    StaleSnapshot,
    Stall,
    Suspend,
)

SYMBOL, OTHER = "APTUSDT", "XRPUSDT"
DEPTH, OTHER_DEPTH = "aptusdt@depth@100ms", "xrpusdt@depth@100ms"


def sim() -> SimExchange:
    return SimExchange(
        SimConfig(
            symbols=(SYMBOL, OTHER),
            manual=True,
            start_ms=1_795_000_000_000,
            seed=7,
            history_hours=0,
            scenario="busy",
        )
    )


async def events(
    exchange: SimExchange, *faults: Fault, millis: int = 1000, stream: str = DEPTH
) -> list[dict[str, Any]]:
    """What a listener gets: one event, those under the faults, and the first after they are off."""
    async with Listener(exchange.ws_url, stream) as listener:
        await exchange.step(100)
        for fault in faults:
            exchange.faults.add(fault)
        await exchange.step(millis)
        exchange.faults.clear()
        await exchange.step(100)
        last = exchange.venue.states[stream.partition("@")[0].upper()].ledger.boundaries[-1].final_id
        out: list[dict[str, Any]] = []
        while not out or out[-1]["u"] != last:
            out.append((await listener.next())[1])
        return out


def gaps(found: list[dict[str, Any]]) -> int:
    return sum(right["U"] != left["u"] + 1 for left, right in pairwise(found))


def test_dropped_frames_leave_a_gap_and_the_book_heals_from_a_fresh_snapshot() -> None:
    async def body() -> None:
        async with sim() as exchange:
            assert gaps(await events(exchange)) == 0
            found = await events(exchange, Drop(count=3))
            assert gaps(found) == 1
            assert len(found) == 12 - 3
            async with Listener(exchange.ws_url, DEPTH) as listener:
                book = DictBook(await snapshot(exchange.rest_url, SYMBOL))
                await exchange.step(500)
                book.apply((await listener.next())[1])
                assert exchange.truth(SYMBOL, book.last_id) == book.best(100)

    run(body())


def test_a_fault_of_one_symbol_or_channel_leaves_the_others_alone() -> None:
    async def body() -> None:
        async with sim() as exchange:
            assert gaps(await events(exchange, Drop(symbol=OTHER), Drop(channel="trades"))) == 0
            assert gaps(await events(exchange, Drop(symbol=OTHER), stream=OTHER_DEPTH)) == 1
            assert len(await events(exchange, Drop(symbol="aptusdt"))) == 2
            assert len(await events(exchange, Drop(channel="all"))) == 2

    run(body())


def test_probability_is_of_each_frame_and_comes_from_the_seed() -> None:
    def lost(seed: int) -> list[bool]:
        faults = Faults(seed, lambda: 0.0)
        faults.add(Drop(probability=0.3))
        return [not faults.shape(Message(DEPTH, b"{}"), 0.0) for _ in range(400)]

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)
    assert 80 < sum(lost(1)) < 160


def test_frames_come_twice_or_in_the_wrong_order() -> None:
    async def body() -> None:
        async with sim() as exchange:
            twice = await events(exchange, Duplicate(count=2))
            assert sum(left == right for left, right in pairwise(twice)) == 2
            swapped = await events(exchange, Reorder(count=1))
            assert swapped[1]["U"] == swapped[2]["u"] + 1
            ordered = sorted(swapped, key=lambda event: int(event["u"]))
            assert gaps(ordered) == 0

    run(body())


@pytest.mark.parametrize(
    "mode", ["truncated", "not_json", "wrong_types", "nan", "negative_size", "binary", "unknown_event", "huge"]
)
def test_a_broken_frame_is_broken_and_the_next_is_whole(mode: Any) -> None:
    async def body() -> None:
        async with sim() as exchange, websockets.connect(f"{exchange.ws_url}/ws/{DEPTH}", max_size=None) as socket:
            await exchange.step(100)
            await socket.recv()
            exchange.faults.add(Corrupt(mode=mode, count=1, size=2**21))
            await exchange.step(100)
            broken, whole = await socket.recv(), None
            await exchange.step(100)
            whole = json.loads(await socket.recv())
            assert whole["e"] == "depthUpdate"
            if mode == "binary":
                assert isinstance(broken, bytes)
            elif mode in ("truncated", "not_json"):
                with pytest.raises(ValueError, match=r"Expecting|Unterminated|Invalid"):
                    json.loads(broken)
            else:
                body = json.loads(broken)
                assert {
                    "wrong_types": body.get("E") == "yesterday",
                    "nan": "NaN" in str(broken),
                    "negative_size": "-1.00000000" in str(broken),
                    "unknown_event": body.get("e") == "somethingNew",
                    "huge": len(broken) > 2**21,
                }[mode]

    run(body())


def test_a_stall_keeps_the_connection_and_sends_nothing() -> None:
    async def body() -> None:
        async with sim() as exchange, Listener(exchange.ws_url, DEPTH, OTHER_DEPTH) as one:
            number = max(exchange.hub.listeners)
            async with Listener(exchange.ws_url, DEPTH) as two:
                fault = exchange.faults.add(Stall(symbol=SYMBOL))
                await exchange.step(300)
                assert await two.silent()
                assert {(await one.next())[0] for _ in range(2)} == {OTHER_DEPTH}
                exchange.faults.remove(fault)
                while not await one.silent():
                    pass
                exchange.faults.add(Stall(connection=number))
                await exchange.step(300)
                assert (await two.next())[0] == DEPTH
                assert await one.silent()
                exchange.faults.clear()
                exchange.faults.add(Stall())
                await exchange.step(300)
                while not await two.silent():
                    pass
                pong = await two.socket.ping()
                await pong
                exchange.faults.clear()
                await exchange.step(100)
                assert (await two.next())[0] == DEPTH

    run(body())


def test_connections_are_cut_with_and_without_a_goodbye() -> None:
    async def body() -> None:
        async with sim() as exchange:
            for abrupt, code in ((True, None), (False, 1001)):
                async with Listener(exchange.ws_url, DEPTH) as one, Listener(exchange.ws_url, DEPTH) as two:
                    first = min(exchange.hub.listeners)
                    exchange.faults.add(Disconnect(connection=first, abrupt=abrupt))
                    with pytest.raises(websockets.ConnectionClosed) as closed:
                        await one.next()
                    assert (closed.value.rcvd.code if closed.value.rcvd else None) == code
                    await exchange.step(100)
                    assert (await two.next())[0] == DEPTH
                    exchange.faults.add(Disconnect(abrupt=abrupt))
                    with pytest.raises(websockets.ConnectionClosed):
                        await two.next()

    run(body())


def test_handshakes_are_refused_for_a_while() -> None:
    async def body() -> None:
        async with sim() as exchange:
            exchange.faults.add(Refuse(count=2))
            for _ in range(2):
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await websockets.connect(f"{exchange.ws_url}/ws/{DEPTH}")
                assert refused.value.response.status_code == 503
            async with Listener(exchange.ws_url, DEPTH):
                pass

    run(body())


def test_a_shutdown_is_announced_on_raw_and_combined_connections() -> None:
    async def body() -> None:
        async with (
            sim() as exchange,
            websockets.connect(f"{exchange.ws_url}/ws/{DEPTH}") as raw,
            Listener(exchange.ws_url, DEPTH) as combined,
        ):
            exchange.faults.add(ServerShutdown(disconnect_after=0.01))
            assert json.loads(await raw.recv()) == {"e": "serverShutdown", "E": exchange.venue.now_ms()}
            assert (await combined.next())[0] == "!serverShutdown"
            with pytest.raises(websockets.ConnectionClosedOK):
                await combined.next()

    run(body())


def test_rest_is_slow_refuses_and_hangs_where_told() -> None:
    async def body() -> None:
        async with sim() as exchange:
            exchange.faults.add(SlowRest(delay=0.1, endpoint="depth", count=1))
            began = time.perf_counter()
            await snapshot(exchange.rest_url, SYMBOL)
            assert time.perf_counter() - began >= 0.1
            for status in (403, 418, 429, 451, 500, 502, 503):
                exchange.faults.add(RestStatus(status=status, retry_after=7, count=1))
                answer = await get(exchange.rest_url, "/api/v3/depth", symbol=SYMBOL)
                assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
            assert (await get(exchange.rest_url, "/api/v3/depth", symbol=SYMBOL)).status_code == 200
            fault = exchange.faults.add(RestStatus(status="hang", endpoint="depth"))
            waiting = asyncio.create_task(snapshot(exchange.rest_url, SYMBOL))
            assert (await get(exchange.rest_url, "/api/v3/ping")).status_code == 200
            assert not waiting.done()
            exchange.faults.remove(fault)
            assert (await waiting)["bids"]

    run(body())


def test_a_stale_snapshot_is_the_true_book_of_some_seconds_ago() -> None:
    async def body() -> None:
        async with sim() as exchange:
            await exchange.step(10_000)
            exchange.faults.add(StaleSnapshot(age=4, symbol=SYMBOL, count=1))
            stale, fresh = await snapshot(exchange.rest_url, SYMBOL), await snapshot(exchange.rest_url, SYMBOL)
            boundaries = {each.final_id: each.event_ms for each in exchange.venue.states[SYMBOL].ledger.boundaries}
            age = exchange.venue.now_ms() - boundaries[stale["lastUpdateId"]]
            assert 4000 <= age < 4200
            assert fresh["lastUpdateId"] > stale["lastUpdateId"]
            truth = exchange.truth(SYMBOL, stale["lastUpdateId"], 5000)
            assert truth == ([tuple(x) for x in stale["bids"]], [tuple(x) for x in stale["asks"]])

    run(body())


def test_faults_end_with_their_time() -> None:
    now = [0.0]
    faults = Faults(1, clock=lambda: now[0])
    faults.add(Drop(seconds=5))
    faults.add(Refuse(seconds=2))
    assert not faults.shape(Message(DEPTH, b"{}"), 1.0)
    assert faults.refuses_handshake(1.9)
    assert not faults.refuses_handshake(2.0)
    assert faults.shape(Message(DEPTH, b"{}"), 5.0)
    assert faults.calm


def test_over_http_faults_are_added_listed_and_removed_and_nonsense_is_explained() -> None:
    async def body() -> None:
        async with sim() as exchange, httpx.AsyncClient(base_url=exchange.rest_url) as client:
            added = await client.post(
                "/sim/faults", json=[{"kind": "drop", "count": 5}, {"kind": "stall", "symbol": OTHER}]
            )
            first, second = added.json()["ids"]
            listed = (await client.get("/sim/faults")).json()["faults"]
            assert [(each["id"], each["kind"], each["left"]) for each in listed] == [
                (first, "drop", 5),
                (second, "stall", None),
            ]
            assert (await client.delete("/sim/faults", params={"id": first})).json()["faults"][0]["id"] == second
            assert (await client.delete("/sim/faults", params={"id": 99})).status_code == 404
            assert (await client.delete("/sim/faults")).json() == {"faults": []}
            for nonsense in (
                {"kind": "explode"},
                {"kind": "drop", "probability": 7},
                {"kind": "drop", "who": 1},
                "drop",
            ):
                answer = await client.post("/sim/faults", json=nonsense)
                assert answer.status_code == 400
                assert answer.json()["error"].startswith("This is not a fault: ")
                assert answer.json()["error"].count("\n") == 0

    run(body())


def test_a_suspended_symbol_is_silent_and_exchange_info_says_so_and_a_delisted_one_is_unknown() -> None:
    async def body() -> None:
        async with sim() as exchange:
            found = await events(exchange, Suspend(symbol=SYMBOL, status="BREAK"))
            assert (len(found), gaps(found)) == (2, 1)
            assert gaps(await events(exchange, Suspend(symbol=SYMBOL), stream=OTHER_DEPTH)) == 0
            async with httpx.AsyncClient(base_url=exchange.rest_url) as http:
                number = exchange.faults.add(Suspend(symbol=SYMBOL, status="HALT"))
                listed = (await http.get("/api/v3/exchangeInfo")).json()["symbols"]
                assert {entry["symbol"]: entry["status"] for entry in listed} == {SYMBOL: "HALT", OTHER: "TRADING"}
                exchange.faults.remove(number)
                exchange.faults.add(Suspend(symbol=SYMBOL, status="DELISTED"))
                listed = (await http.get("/api/v3/exchangeInfo")).json()["symbols"]
                assert [entry["symbol"] for entry in listed] == [OTHER]
                denied = await http.get("/api/v3/depth", params={"symbol": SYMBOL})
                assert (denied.status_code, denied.json()["code"]) == (400, -1121)

    run(body())


def test_exchange_info_tells_another_tick_and_trades_go_on() -> None:
    async def body() -> None:
        async with sim() as exchange, httpx.AsyncClient(base_url=exchange.rest_url) as http:
            exchange.faults.add(Regrid(symbol=SYMBOL, exp=5))
            listed = (await http.get("/api/v3/exchangeInfo")).json()["symbols"]
            ticks = {entry["symbol"]: entry["filters"][0]["tickSize"] for entry in listed}
            assert ticks[SYMBOL] == "0.00001000"
            assert ticks[OTHER] != ticks[SYMBOL]
            assert gaps(await events(exchange)) == 0

    run(body())


def test_a_clock_that_is_wrong_is_wrong_in_frames_and_over_rest() -> None:
    async def body() -> None:
        async with sim() as exchange, httpx.AsyncClient(base_url=exchange.rest_url) as http:
            first, *skewed, last = await events(exchange, ClockSkew(millis=-60_000))
            assert {event["E"] - first["E"] for event in skewed} == {-60_000 + 100 * i for i in range(1, 11)}
            assert last["E"] - first["E"] == 1100
            assert gaps([first, *skewed, last]) == 0
            exchange.faults.add(ClockSkew(millis=5_000))
            told = (await http.get("/api/v3/time")).json()["serverTime"]
            assert told == exchange.venue.now_ms() + 5_000

    run(body())


@pytest.mark.parametrize("mode", ["truncated", "not_json"])
def test_a_broken_body_comes_with_status_200(mode: Any) -> None:
    async def body() -> None:
        async with sim() as exchange, httpx.AsyncClient(base_url=exchange.rest_url) as http:
            exchange.faults.add(CorruptRest(mode=mode, endpoint="depth", count=1))
            broken, whole = [await http.get("/api/v3/depth", params={"symbol": SYMBOL}) for _ in range(2)]
            assert broken.status_code == 200
            with pytest.raises(json.JSONDecodeError):
                broken.json()
            assert whole.json()["bids"]

    run(body())


def test_a_frame_that_is_broken_already_can_be_broken_again() -> None:
    """Faults come in any order, over each other."""

    async def body() -> None:
        async with sim() as exchange, Listener(exchange.ws_url, DEPTH) as listener:
            for mode in ("truncated", "nan", "binary", "huge", "unknown_event"):
                exchange.faults.add(Corrupt(mode=mode, size=1))
            exchange.faults.add(ClockSkew(millis=1))
            await exchange.step(300)
            frames = [await listener.socket.recv() for _ in range(3)]
            with pytest.raises((UnicodeDecodeError, json.JSONDecodeError)):
                json.loads(frames[0])

    run(body())
