"""Clients ask for symbols that are not kept, and for names that do not exist: what it costs, and who waits for it."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.answers.serving import Serving, answer, checked_refusal, exchange, refusal, serving
from tests.collect.venue import feed_of, rest_of
from tests.e2e.rig import listening, until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.collect import asking
from vibe_orderbook_mcp.model.errors import SymbolUnknown
from vibe_orderbook_mcp.sim.faults import Drop, RestStatus, SlowRest
from vibe_orderbook_mcp.venues import symbol_list as directory
from vibe_orderbook_mcp.venues.binance.weights import DEFAULT_LIMIT, LOOKUPS, SPOT

L1 = "orderbook_l1"


@asynccontextmanager
async def served(path: Path, *symbols: str, **settings: Any) -> AsyncIterator[Serving]:
    async with serving(path / "db", exchange("BTCUSDT", *symbols), **settings) as all_there:
        yield all_there


def test_names_that_do_not_exist_cost_one_request_and_keep_no_book_waiting(tmp_path: Path) -> None:
    """258 misspelt names took 5160 of a minute's weight, and a resync of BTCUSDT had to wait for the next minute."""

    async def run() -> None:
        async with served(tmp_path, "ETHUSDT") as (sim, server, client):
            rest, state = rest_of(server.runtime), server.runtime.market.symbols["BTCUSDT"]
            before = rest.requests
            for number in range(258):
                body = await refusal(client, L1, symbol=f"NOPE{number}USDT")
                assert body["code"] == "symbol_not_found"
            assert rest.requests - before <= 1 + state.counts.resyncs
            assert rest.budget.used_by[LOOKUPS] == SPOT.info_weight
            sim.faults.add(Drop(symbol="BTCUSDT", count=1))
            resyncs = state.counts.resyncs
            await until(lambda: state.counts.resyncs > resyncs, 20)
            assert (await answer(client, L1, symbol="ETHUSDT"))["status"] == "live"  # the list has it
            assert set(feed_of(server.runtime).wanted) == {"BTCUSDT", "ETHUSDT"}

    asyncio.run(run())


def test_the_list_says_what_can_be_asked_for(tmp_path: Path) -> None:
    async def run() -> None:
        async with served(tmp_path, "ETHUSDT", "币安人生USDT") as (_, server, client):
            await refusal(client, L1, symbol="NOPEUSDT")
            listing = feed_of(server.runtime).listing
            assert listing is not None
            assert set(listing.names) == {"BTCUSDT", "ETHUSDT", "币安人生USDT"}
            assert listing.base_assets == frozenset({"BTC", "ETH", "币安人生"})
            assert listing.quote_assets == frozenset({"USDT"})

    asyncio.run(run())


def test_a_symbol_that_was_listed_since_is_found_after_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        async with served(tmp_path, "ETHUSDT") as (_, server, client):
            await refusal(client, L1, symbol="NOPEUSDT")
            feed = feed_of(server.runtime)
            known = feed.listing
            assert known is not None
            feed._symbol_list.listing = type(known)(entry for entry in known if entry.symbol != "ETHUSDT")
            with pytest.raises(SymbolUnknown):
                await feed.listed("ETHUSDT")
            monkeypatch.setattr(directory, "ASK_AGAIN_SECS", 0.0)
            assert (await answer(client, L1, symbol="ETHUSDT"))["status"] == "live"

    asyncio.run(run())


def test_while_the_share_of_lookups_is_used_up_nobody_waits_and_nothing_is_left_behind(tmp_path: Path) -> None:
    """An orphan that nobody waited for ended as "Task exception was never retrieved", and took a place until then."""

    async def run() -> None:
        with listening("WARNING") as logged:
            async with served(tmp_path, "ETHUSDT", max_symbols=2) as (_, server, client):
                runtime = server.runtime
                rest_of(runtime).budget.spend(int(DEFAULT_LIMIT * LOOKUPS.own), time.monotonic(), lane=LOOKUPS)
                results = await asyncio.gather(*(client.call_tool(L1, {"symbol": f"X{n}USDT"}) for n in range(20)))
                for result in results:
                    body = checked_refusal(result)
                    assert body["code"] == "exchange_unavailable"
                    assert 0 < body["retry_after_secs"] <= 60
                assert feed_of(runtime).wanted == {"BTCUSDT"}
                rest_of(runtime).budget.used_by.clear()
                assert (await answer(client, L1, symbol="ETHUSDT"))["status"] == "live"
            gc.collect()
            await asyncio.sleep(0)
        assert "never retrieved" not in logged

    asyncio.run(run())


@pytest.mark.parametrize("endpoint_fails", ["slow, then gone", "slow, then refused"])
def test_a_lookup_that_outlives_its_client_ends_quietly(
    endpoint_fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "ANSWER_SECS", 0.3)

    async def run() -> None:
        problems: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context["message"]))
        async with served(tmp_path, "ETHUSDT") as (sim, server, client):
            sim.faults.add(SlowRest(delay=0.6, endpoint="exchangeInfo", count=2))
            if endpoint_fails == "slow, then refused":
                sim.faults.add(RestStatus(status=429, endpoint="exchangeInfo", retry_after=60, count=2))
            else:
                sim.faults.add(RestStatus(status=503, endpoint="exchangeInfo", count=2))
            body = await refusal(client, L1, symbol="ETHUSDT")
            assert body["code"] == "syncing"
            await until(lambda: rest_of(server.runtime).failures.total() > 0, PATIENCE_SECS)
            await until(lambda: feed_of(server.runtime).wanted == {"BTCUSDT"}, PATIENCE_SECS)
        gc.collect()
        await asyncio.sleep(0)
        assert problems == []

    asyncio.run(run())
