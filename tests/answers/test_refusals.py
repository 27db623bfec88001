"""Every way a tool refuses, reached for real: what the client sees, and that nothing of the inside is in it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from tests.answers.serving import (
    Mode,
    answer,
    checked_refusal,
    exchange,
    refusal,
    server_for,
    serving,
    text_of,
    tracebacks,
)
from tests.collect.venue import feed_of
from tests.e2e.rig import until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.analytics.book.answers import L1Answer
from vibe_orderbook_mcp.answers.arguments import symbol_of
from vibe_orderbook_mcp.answers.health import HealthAnswer
from vibe_orderbook_mcp.answers.service import SourceAnswers
from vibe_orderbook_mcp.collect.asking import ANSWER_SECS
from vibe_orderbook_mcp.collect.local_source import LocalSource
from vibe_orderbook_mcp.model.errors import Refusal, StorageCorrupt
from vibe_orderbook_mcp.serve import waiting
from vibe_orderbook_mcp.serve.mcp_server import CRASHED
from vibe_orderbook_mcp.serve.register import register_tools
from vibe_orderbook_mcp.sim.faults import Disconnect, Drop, Refuse, RestStatus, SlowRest
from vibe_orderbook_mcp.store.history import History

L1, L2, FLOW, HEALTH = "orderbook_l1", "orderbook_l2", "get_order_flow", "orderbook_health"
BTC = {"symbol": "BTCUSDT"}

# Each with what its message must name.
WRONG: list[tuple[str, dict[str, Any], str]] = [
    (L1, {}, "symbol"),
    (L1, {"symbol": None}, "symbol"),
    (L1, {"symbol": 5}, "symbol"),
    (L1, {"symbol": True}, "symbol"),
    (L1, {"symbol": ["BTCUSDT"]}, "symbol"),
    (L1, {"symbol": {"a": 1}}, "symbol"),
    (L1, {"symbol": ""}, "symbol"),
    (L1, {"symbol": " / - "}, "symbol"),
    (L1, {"symbol": "A" * 300}, "symbol"),
    (L1, {"symbol": "A" * 41}, "symbol"),
    (L1, {"symbol": "BTC\x00USDT"}, "symbol"),
    (L1, {"symbol": "BTC\x1b[31mUSDT"}, "symbol"),
    (L1, {"symbol": "BTC:USDT"}, "symbol"),
    (L1, {"symbol": "../../etc/passwd"}, "symbol"),
    (L1, {"symbol": "🚀🌕"}, "symbol"),
    (L1, {"symbol": "BTC\u202eUSDT"}, "symbol"),
    (L2, {}, "symbol"),
    (L2, {**BTC, "levels": 0}, "levels"),
    (L2, {**BTC, "levels": 1001}, "levels"),
    (L2, {**BTC, "levels": -1}, "levels"),
    (L2, {**BTC, "levels": 10**30}, "levels"),
    (L2, {**BTC, "levels": True}, "levels"),
    (L2, {**BTC, "levels": "5.5"}, "levels"),
    (L2, {**BTC, "levels": 2.5}, "levels"),
    (L2, {**BTC, "levels": 1e300}, "levels"),
    (L2, {**BTC, "levels": "many"}, "levels"),
    (L2, {**BTC, "levels": "٣"}, "levels"),
    (L2, {**BTC, "levels": [5]}, "levels"),
    (FLOW, {}, "symbol"),
    (FLOW, {**BTC, "window_duration_secs": 9}, "window_duration_secs"),
    (FLOW, {**BTC, "window_duration_secs": 301}, "window_duration_secs"),
    (FLOW, {**BTC, "window_duration_secs": False}, "window_duration_secs"),
    (FLOW, {**BTC, "window_duration_secs": 60.5}, "window_duration_secs"),
    (FLOW, {**BTC, "detail": 2}, "detail"),
    (FLOW, {**BTC, "detail": "perhaps"}, "detail"),
    (FLOW, {**BTC, "detail": [True]}, "detail"),
    ("get_volume_profile", {}, "symbol"),
    ("get_volume_profile", {**BTC, "duration_hours": 0}, "duration_hours"),
    ("get_volume_profile", {**BTC, "duration_hours": 169}, "duration_hours"),
    ("get_volume_profile", {**BTC, "duration_hours": True}, "duration_hours"),
    ("get_volume_profile", {**BTC, "tick_size": True}, "tick_size"),
    ("get_volume_profile", {**BTC, "tick_size": "nan"}, "tick_size"),
    ("get_volume_profile", {**BTC, "tick_size": -1}, "tick_size"),
    ("get_volume_profile", {**BTC, "tick_size": "0"}, "tick_size"),
    ("get_volume_profile", {**BTC, "tick_size": "1e400"}, "tick_size"),
    ("get_volume_profile", {**BTC, "tick_size": "9" * 300}, "tick_size"),
    ("get_volume_profile", {**BTC, "tick_size": [1]}, "tick_size"),
    ("get_microstructure_health", {**BTC, "window_duration_secs": 9}, "window_duration_secs"),
    ("get_liquidity_vacuums", {**BTC, "duration_hours": 1.5}, "duration_hours"),
    ("detect_market_anomalies", {**BTC, "window_duration_secs": 301}, "window_duration_secs"),
    ("detect_market_anomalies", {**BTC, "since_hours": -1}, "since_hours"),
    ("detect_market_anomalies", {**BTC, "since_hours": 169}, "since_hours"),
    ("detect_market_anomalies", {**BTC, "detail": "perhaps"}, "detail"),
]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_wrong_argument_is_named_and_not_repeated(mode: Mode, tmp_path: Path) -> None:
    """What a client sent comes back at most as an argument's name: values may be long, or instructions."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange(), mode=mode) as (_, _server, client):
            for tool, arguments, named in WRONG:
                body = await refusal(client, tool, **arguments)
                assert body["code"] == "invalid_argument", (tool, arguments, body)
                assert named in body["message"], (tool, arguments, body)
                assert "retry_after_secs" not in body
                assert len(body["message"]) < 400
            with pytest.raises(MCPError) as caught:  # no result of a tool that is not there
                await client.call_tool("orderbook_l3", BTC)
            assert caught.value.error.code == INVALID_PARAMS
            assert "orderbook_l3" not in caught.value.error.message

    asyncio.run(run())


def test_arguments_are_understood_in_the_spellings_people_and_hosts_use(tmp_path: Path) -> None:
    async def run() -> None:
        sim = exchange("BTCUSDT", "币安人生USDT")
        async with serving(tmp_path / "db", sim) as (_, _server, client):
            for spelling in ("BTCUSDT", "btcusdt", "btc/usdt", "BTC-USDT", " Btc usdt ", "BTC_USDT", "BTC\tUSDT\n"):
                assert (await answer(client, L1, symbol=spelling))["symbol"] == "BTCUSDT"
            assert (await answer(client, L1, symbol="币安人生/usdt"))["symbol"] == "币安人生USDT"
            for spelling in (
                "'BTCUSDT'",
                "\u201cbtcusdt\u201d",
                "binance:BTCUSDT",
                "BINANCE:btc/usdt",
                "BTC\u200bUSDT\ufeff",
                "$BTC",
                "btc",
            ):
                assert (await answer(client, L1, symbol=spelling))["symbol"] == "BTCUSDT", spelling
            for levels in (3, 3.0, "3", " 3 ", "3.0"):
                assert len((await answer(client, L2, symbol="BTCUSDT", levels=levels))["bids"]) == 3
            for unset in (None, "", " "):
                assert len((await answer(client, L2, symbol="BTCUSDT", levels=unset))["bids"]) == 20, unset

    asyncio.run(run())


def test_every_optional_argument_may_be_sent_empty_and_flags_as_numbers(tmp_path: Path) -> None:
    """Strict modes of some hosts have to send every field, and others know no booleans."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (_, server, client):
            for tool in (await client.list_tools()).tools:
                optional = set(tool.input_schema["properties"]) - set(tool.input_schema.get("required", ()))
                for unset in (None, ""):
                    given = {
                        **(BTC if "symbol" in tool.input_schema["properties"] else {}),
                        **dict.fromkeys(optional, unset),
                    }
                    result = await client.call_tool(tool.name, given)
                    code = json.loads(text_of(result))["code"] if result.is_error else ""
                    assert code in ("", "insufficient_historical_data"), (tool.name, text_of(result))
            await until(lambda: len(server.runtime.market.symbols["BTCUSDT"].watch.rows) > 10)
            for true in (True, "true", 1, "1"):
                found = await answer(client, "get_microstructure_health", **BTC, window_duration_secs=10, detail=true)
                assert "detail" in found

    asyncio.run(run())


def test_arguments_that_a_tool_does_not_have_are_ignored_and_named(tmp_path: Path) -> None:
    """Some gateways add their own to every call."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (_, _server, client):
            for tool, wanted in ((L1, BTC), (HEALTH, {})):
                body = await answer(client, tool, **wanted, sessionId="a" * 300, toolCallId={"b": 1})
                assert body["warnings"][-1] == (
                    'Arguments that this tool does not have were ignored: "sessionId", "toolCallId".'
                )
            refused = await refusal(client, L1, symbol="", sessionId=1)
            assert refused["code"] == "invalid_argument"
            many = await answer(client, L1, **BTC, **{f"x{number}": 1 for number in range(40)}, **{"y" * 500: 1})
            assert len(many["warnings"][-1]) < 400

    asyncio.run(run())


@pytest.mark.parametrize(
    ("symbol", "says"),
    [
        ("mexc:BTCUSDT", "mexc"),
        ("MEXC:BTCUSDT", "mexc"),
        ("gateio:BTC_USDT", "gateio"),
        ("BTC-PERP", "perpetuals"),
        ("BTCUSDT.P", "perpetuals"),
        ("BTC/USDT:USDT", "perpetuals"),
        ("mexc:BTC_USDT", "mexc"),
    ],
)
def test_another_market_is_refused_by_its_name(symbol: str, says: str) -> None:
    with pytest.raises(Refusal) as caught:
        symbol_of(symbol)
    assert caught.value.code == "symbol_not_found"
    assert says in caught.value.message
    assert "BTCUSDT" in caught.value.hint


def test_a_name_that_is_not_listed_comes_with_what_was_meant(tmp_path: Path) -> None:
    async def run() -> None:
        sim = exchange("BTCUSDT", "ETHUSDT", "SOLUSDT")
        async with serving(tmp_path / "db", sim) as (_, server, client):
            for symbol, meant in (
                ("XBTUSD", "BTCUSDT"),
                ("bitcoinusd", "BTCUSDT"),
                ("BTCUSD", "BTCUSDT"),
                ("BTCUDST", "BTCUSDT"),
                ("solana/usd", "SOLUSDT"),
                ("ETHUSDTT", "ETHUSDT"),
                ("ETHEUR", "ETHUSDT"),
            ):
                body = await refusal(client, L1, symbol=symbol)
                assert body["code"] == "symbol_not_found"
                assert body["hint"].startswith(f"Did you mean {meant}"), (symbol, body)
            assert (await answer(client, L1, symbol="bitcoin"))["symbol"] == "BTCUSDT"
            assert (await answer(client, L2, symbol="Ethereum"))["symbol"] == "ETHUSDT"
            assert set(server.runtime.market.symbols) == {"BTCUSDT", "ETHUSDT"}

    asyncio.run(run())


def test_a_symbol_that_the_exchange_does_not_list_is_not_found(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (_, server, client):
            for tool in (L1, L2, FLOW):
                for symbol in ("NOPEUSDT", "比特币", "BTC²"):
                    body = await refusal(client, tool, symbol=symbol)
                    assert body["code"] == "symbol_not_found"
                    assert "retry_after_secs" not in body
            assert set(server.runtime.market.symbols) == {"BTCUSDT"}  # a wrong name takes no place

    asyncio.run(run())


def test_no_more_symbols_are_kept_than_allowed_however_many_ask_at_once(tmp_path: Path) -> None:
    """The check and the subscription are an await apart, so calls at the same moment must be counted too."""

    async def run() -> None:
        wanted = ("ETHUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT")
        async with serving(tmp_path / "db", exchange("BTCUSDT", *wanted), max_symbols=2) as (_, server, client):
            results = await asyncio.gather(*(client.call_tool(L1, {"symbol": symbol}) for symbol in wanted))
            refusals = [checked_refusal(result) for result in results if result.is_error]
            assert len(refusals) == 3
            for body in refusals:
                assert body["code"] == "symbol_limit_reached"
                assert "BTCUSDT" in body["hint"]
                assert "VIBE_MAX_SYMBOLS" in body["hint"]
            assert len(server.runtime.market.symbols) == 2
            assert (await answer(client, L1, **BTC))["status"] == "live"

    asyncio.run(run())


def test_an_eager_symbol_keeps_its_place_while_it_cannot_be_subscribed_yet(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange("BTCUSDT", "ETHUSDT", "SOLUSDT") as sim:
            sim.faults.add(RestStatus(status=500, endpoint="exchangeInfo", count=2))
            server = server_for(sim, tmp_path / "db", symbols="BTCUSDT,ETHUSDT", max_symbols=2)
            async with Client(server) as client:
                await until(lambda: len(feed_of(server.runtime).failed) == 2)
                assert (await refusal(client, L1, symbol="SOLUSDT"))["code"] == "symbol_limit_reached"
                assert (await answer(client, L1, symbol="ETHUSDT"))["status"] == "live"
                assert (await answer(client, L1, symbol="BTCUSDT"))["status"] == "live"

    asyncio.run(run())


def test_while_the_book_resyncs_the_client_is_told_when_to_ask_again(tmp_path: Path) -> None:
    """Within 5 s, whatever holds the resync up; the other symbol is answered meanwhile."""

    async def run() -> None:
        async with serving(
            tmp_path / "db", exchange("BTCUSDT", "ETHUSDT", "SOLUSDT"), symbols="BTCUSDT,ETHUSDT", live=("ETHUSDT",)
        ) as (sim, server, client):
            assert await feed_of(server.runtime).wait_live("BTCUSDT", PATIENCE_SECS)
            sim.faults.add(SlowRest(delay=30, endpoint="depth"))
            sim.faults.add(Drop(symbol="BTCUSDT", count=1))
            await until(lambda: server.runtime.market.symbols["BTCUSDT"].counts.gaps == 1)
            first, second, third, other = await asyncio.gather(
                refusal(client, L1, **BTC),
                refusal(client, L2, **BTC),
                refusal(client, L1, symbol="SOLUSDT"),  # first use, and its snapshot does not come
                answer(client, L1, symbol="ETHUSDT"),
            )
            assert ANSWER_SECS < 5  # none has waited for the snapshot, which takes thirty
            assert [body["code"] for body in (first, second, third)] == ["syncing"] * 3
            assert all(body["retry_after_secs"] <= 5 for body in (first, second, third))
            assert "gap" in first["message"]
            assert other["status"] == "live"
            health = await answer(client, HEALTH)
            assert health["status"] == "syncing"
            assert any(warning.startswith("BTCUSDT is syncing") for warning in health["warnings"])

    asyncio.run(run())


def test_without_the_exchange_the_client_hears_that_it_is_unavailable(tmp_path: Path) -> None:
    async def at_first_use(path: Path) -> None:
        async with exchange() as sim:
            server = server_for(sim, path)
        async with Client(server) as client:  # the exchange is gone
            await until(lambda: bool(feed_of(server.runtime).failed))
            for tool in (L1, L2, FLOW):
                body = await refusal(client, tool, **BTC)
                assert body["code"] == "exchange_unavailable"
                assert body["retry_after_secs"] > 0
            health = await answer(client, HEALTH)
            assert (health["status"], health["connected"]) == ("syncing", False)
            assert "BTCUSDT" in health["failed_symbols"]

    async def after_a_disconnect(path: Path) -> None:
        async with serving(path, exchange()) as (sim, server, client):
            sim.faults.add(Refuse(seconds=60))
            sim.faults.add(Disconnect())
            await until(lambda: not feed_of(server.runtime).is_connected)
            body = await refusal(client, L1, **BTC)
            assert body["code"] == "exchange_unavailable"
            assert body["retry_after_secs"] > 0

    async def while_it_limits(path: Path) -> None:
        async with serving(path, exchange("BTCUSDT", "ETHUSDT")) as (sim, _server, client):
            sim.faults.add(RestStatus(status=429, endpoint="exchangeInfo", retry_after=7))
            body = await refusal(client, L1, symbol="ETHUSDT")
            assert (body["code"], body["retry_after_secs"]) == ("exchange_unavailable", 7.0)

    async def run() -> None:
        await asyncio.gather(
            at_first_use(tmp_path / "a"), after_a_disconnect(tmp_path / "b"), while_it_limits(tmp_path / "c")
        )

    asyncio.run(run())


@pytest.mark.parametrize("broken", ["a file", "below a file"])
def test_without_a_data_directory_live_tools_work_and_windowed_ones_say_why_not(broken: str, tmp_path: Path) -> None:
    """A book needs no disk: storage may fail, the present is still answered."""

    async def run() -> None:
        path = tmp_path / "db"
        path.write_text("not a directory")
        async with serving(path if broken == "a file" else path / "below", exchange()) as (_, server, client):
            await until(lambda: server.runtime.archive.mode == "unavailable")
            body = await refusal(client, FLOW, **BTC)
            assert body["code"] == "storage_error"
            assert body["retry_after_secs"] > 0
            assert "orderbook_l1" in body["hint"]
            assert str(tmp_path) not in str(body)
            assert (await answer(client, L1, **BTC))["status"] == "live"
            health = await answer(client, HEALTH)
            assert health["storage"] == "unavailable"
            assert str(tmp_path) not in str(health)
        assert path.read_text() == "not a directory"

    asyncio.run(run())


def test_beside_another_writer_history_is_read_and_health_says_who_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "WAIT_SECS", 0.0)

    async def run() -> None:
        path = tmp_path / "db"
        holder = await History.open(path, cap_mb=64, retention_days=7)
        try:
            async with serving(path, exchange()) as (_, server, client):
                await until(lambda: server.runtime.archive.mode == "read_only")
                assert (await refusal(client, FLOW, **BTC))["code"] == "insufficient_historical_data"
                health = await answer(client, HEALTH)
                assert health["storage"] == "read_only"
                assert "Another process" in health["storage_error"]
                assert (await answer(client, L1, **BTC))["status"] == "live"
        finally:
            await holder.close()

    asyncio.run(run())


def test_in_the_first_seconds_there_is_not_enough_history_and_the_client_learns_when_there_is(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (_, server, client):
            await until(lambda: server.runtime.archive.mode == "recording")
            for _ in range(3):
                result = await client.call_tool(FLOW, {**BTC, "window_duration_secs": 10})
                if not result.is_error:
                    break
                body = checked_refusal(result)
                assert body["code"] == "insufficient_historical_data"
                assert 1 <= body["retry_after_secs"] <= 10
                await asyncio.sleep(body["retry_after_secs"])  # the claim is about this delay
            flow = await answer(client, FLOW, **BTC, window_duration_secs=10)
            assert flow["window"]["coverage"] >= 0.5
            rows = server.runtime.market.symbols["BTCUSDT"].watch.rows
            await until(lambda: len(rows) > 12)
            for tool in (FLOW, "get_microstructure_health", "detect_market_anomalies"):
                body = await answer(client, tool, **BTC, window_duration_secs=300)
                held = body["window"]
                assert held["requested_secs"] == 300, tool
                assert 10 <= held["covered_secs"] < 150, tool
                assert held["coverage"] == round(held["covered_secs"] / 300, 4), tool
                assert body["warnings"][0].startswith("Shortened: "), tool
                assert held["start"] in body["warnings"][0], tool

    asyncio.run(run())


class BrokenAnswers(SourceAnswers):
    """A programming error in a tool."""

    async def orderbook_health(self) -> HealthAnswer:
        raise ZeroDivisionError("/home/someone/secret")

    async def orderbook_l1(self, symbol: object) -> L1Answer:
        raise StorageCorrupt("A stored record cannot be read.")


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_crash_stays_in_the_log(mode: Mode, tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "db", exchange(), mode=mode, live=()) as (_, server, client):
            register_tools(server, BrokenAnswers(LocalSource(server.runtime)), server.metrics, "broken_")
            with tracebacks() as logged:
                result = await client.call_tool("broken_orderbook_health", {})
            assert result.is_error
            assert "secret" not in text_of(result)
            assert "ZeroDivision" not in text_of(result)
            assert text_of(result) == CRASHED
            assert b'vibe_tool_crashes_total{tool="broken_orderbook_health"} 1.0' in server.metrics.text()
            refused = checked_refusal(await client.call_tool("broken_orderbook_l1", BTC))
            assert refused["code"] == "storage_error"  # a failure with a code of its own gets it, expected or not
            (text,) = [text for text in logged if text.startswith("Tool orderbook_health failed\n")]
            assert "ZeroDivisionError" in text
            assert "secret" in text
            assert (await answer(client, HEALTH))["recorder"] == "running"  # the server goes on

    asyncio.run(run())
