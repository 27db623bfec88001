"""Heavy calls come one after the other, callers take turns, and the loop serves others in between."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from mcp_types import CallToolResult

from tests.answers.serving import exchange, serving, text_of
from tests.e2e.rig import until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.answers.turns import CALLER, Turns
from vibe_orderbook_mcp.sim.faults import Stall

SYMBOL = "BTCUSDT"


def test_callers_take_turns_however_many_calls_one_of_them_has() -> None:
    """A second caller's only call comes after one of the first caller's, not after all of them."""

    async def run() -> list[str]:
        turns, order = Turns(), list[str]()

        async def call(caller: str) -> None:
            CALLER.set(caller)
            async with turns.taken():
                order.append(caller)

        gate = asyncio.Event()

        async def holds() -> None:
            async with turns.taken():
                await gate.wait()

        async with asyncio.TaskGroup() as group:
            group.create_task(holds())
            await asyncio.sleep(0)
            for caller in ("many",) * 5 + ("one", "two", "two"):
                group.create_task(call(caller))
            await asyncio.sleep(0)
            gate.set()
        return order

    assert asyncio.run(run()) == ["many", "one", "two", "many", "two", "many", "many", "many"]


@pytest.mark.parametrize("when", ["waiting", "given"])
def test_a_call_that_is_given_up_keeps_no_turn(when: str) -> None:
    """Neither while it waits nor in the very moment in which its turn comes."""

    async def run() -> None:
        turns, gate = Turns(), asyncio.Event()

        async def holds() -> None:
            async with turns.taken():
                await gate.wait()

        async def call() -> None:
            async with turns.taken():
                pass

        first = asyncio.create_task(holds())
        await asyncio.sleep(0)
        second, third = asyncio.create_task(call()), asyncio.create_task(call())
        await asyncio.sleep(0)
        if when == "waiting":
            second.cancel()
            gate.set()
        else:
            gate.set()
            await asyncio.sleep(0)  # the first ends: the turn is the second one's
            await asyncio.sleep(0)
            second.cancel()
        await asyncio.gather(first, third)
        await asyncio.gather(second, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_SECS), turns.taken():
            pass

    asyncio.run(run())


def test_the_loop_goes_on_while_hundreds_of_deep_books_are_asked_for(tmp_path: Path) -> None:
    """Between any two answers others have their turn: each time a round of the loop passes."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (_, server, _client):
            happened: list[str] = []

            async def deep() -> None:
                result = await server.call_tool("orderbook_l2", {"symbol": SYMBOL, "levels": 1000})
                assert not result.is_error
                happened.append("answer")

            async def others() -> None:
                while happened.count("answer") < 64:
                    happened.append("others")
                    await asyncio.sleep(0)

            await asyncio.gather(others(), *(deep() for _ in range(64)))
            answers = "".join("a" if each == "answer" else " " for each in happened).strip().split()
            assert max(map(len, answers)) == 1

    asyncio.run(run())


def test_the_same_levels_of_the_same_book_are_written_once(tmp_path: Path) -> None:
    """Callers share the lists; what differs, such as the age, is each one's own. Another update is another book."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (sim, server, _client):
            state = server.runtime.market.symbols[SYMBOL]
            await until(lambda: state.counts.events >= 3)
            before = await server.call_tool("orderbook_l2", {"symbol": SYMBOL, "levels": 500})
            newest = state.counts.events
            await until(lambda: state.counts.events > newest)
            sim.faults.add(Stall())
            first = second = before
            async with asyncio.timeout(PATIENCE_SECS):
                while first is before or body(first)["last_update_id"] != body(second)["last_update_id"]:
                    first, second = [
                        await server.call_tool("orderbook_l2", {"symbol": SYMBOL, "levels": 500}) for _ in range(2)
                    ]
            assert body(first)["bids"] is body(second)["bids"]
            assert body(first)["asks"] is body(second)["asks"]
            assert body(before)["last_update_id"] != body(first)["last_update_id"]
            assert body(before)["bids"] != body(first)["bids"]
            fewer = body(await server.call_tool("orderbook_l2", {"symbol": SYMBOL, "levels": 200}))
            assert fewer["bids"] == body(first)["bids"][:200]

    asyncio.run(run())


def body(result: CallToolResult) -> dict[str, Any]:
    assert not result.is_error
    found: dict[str, Any] | None = result.structured_content
    assert found is not None
    return found


def test_levels_are_short_for_a_model_and_exact_for_a_program(tmp_path: Path) -> None:
    """ "0.10000000" costs a model what "0.1" says; the structured content has the exchange's own digits. A warning that
    is added later changes neither."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (_, _server, client):
            for more in ({}, {"toolCallId": "7"}):
                result = await client.call_tool("orderbook_l2", {"symbol": SYMBOL, "levels": 20, **more})
                exact, short = body(result), json.loads(text_of(result))
                assert list(exact) == list(short)
                assert len(exact["bids"]) == len(short["bids"]) == 20
                for side in ("bids", "asks"):
                    for told, level in zip(short[side], exact[side], strict=True):
                        assert [len(each.partition(".")[2]) for each in level] == [8, 8]
                        assert told == [each.rstrip("0").rstrip(".") for each in level]
                for name in exact.keys() - {"bids", "asks", "bid_horizon", "ask_horizon"}:
                    assert exact[name] == short[name]
                assert bool(exact["warnings"]) == bool(more)

    asyncio.run(run())


def test_a_thousand_levels_a_side_fit_into_what_hosts_take(tmp_path: Path) -> None:
    """Hosts cut at 25,000 tokens. A token of such text is two characters at the least: digits come in threes, and
    brackets, quotes and commas between two numbers are one."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (_, _server, client):
            result = await client.call_tool("orderbook_l2", {"symbol": SYMBOL, "levels": 1000})
            assert (len(body(result)["bids"]), len(body(result)["asks"])) == (1000, 1000)
            assert len(text_of(result)) / 2 < 25_000

    asyncio.run(run())
