"""What tools answer, recomputed by hand from other answers, the true book, or the stored trades."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # the SDK's own dependency; its stubs are a package of their own
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from tests.answers.serving import Mode, answer, exchange, refusal, server_for, serving
from tests.collect.venue import feed_of, filler_of
from tests.e2e.rig import until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.analytics.results import iso
from vibe_orderbook_mcp.model.rows import RowFlag
from vibe_orderbook_mcp.sim.faults import Corrupt, Disconnect, Drop, Refuse, Stall

SYMBOL = "BTCUSDT"
ENVELOPE = ["symbol", "as_of", "age_ms", "status", "summary", "warnings"]
BOUNDS: dict[str, dict[str, Any]] = {
    "symbol": {"type": "string", "minLength": 1, "maxLength": 40},
    "levels": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20},
    "window_duration_secs": {"type": "integer", "minimum": 10, "maximum": 300, "default": 60},
    "duration_hours": {"type": "integer", "minimum": 1, "maximum": 168, "default": 24},
    "since_hours": {"type": "integer", "minimum": 0, "maximum": 168, "default": 0},
    "tick_size": {"default": None},
    "detail": {"type": "boolean", "default": False},
}
PARAMETERS = {
    "orderbook_l1": ["symbol"],
    "orderbook_l2": ["symbol", "levels"],
    "get_order_flow": ["symbol", "window_duration_secs", "detail"],
    "get_volume_profile": ["symbol", "duration_hours", "tick_size", "detail"],
    "get_microstructure_health": ["symbol", "window_duration_secs", "detail"],
    "get_liquidity_vacuums": ["symbol", "duration_hours", "detail"],
    "detect_market_anomalies": ["symbol", "window_duration_secs", "since_hours", "detail"],
    "orderbook_health": [],
}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_touch_follows_from_the_levels_and_the_levels_are_the_exchanges(mode: Mode, tmp_path: Path) -> None:
    """With the stream stopped, both tools speak of the same update, and arithmetic on one gives the other."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange(), mode=mode) as (sim, server, client):
            state = server.runtime.market.symbols[SYMBOL]
            await until(lambda: state.counts.events >= 3)
            sim.faults.add(Stall())
            touch = {"last_update_id": None}
            async with asyncio.timeout(PATIENCE_SECS):
                while True:  # until what was under way is in
                    deep = await answer(client, "orderbook_l2", symbol=SYMBOL, levels=100)
                    if touch["last_update_id"] == deep["last_update_id"]:
                        break
                    touch = await answer(client, "orderbook_l1", symbol=SYMBOL)
            assert touch["as_of"] == deep["as_of"]
            truth = sim.truth(SYMBOL, deep["last_update_id"], 100)
            assert truth is not None
            for mine, theirs in ((deep["bids"], truth[0]), (deep["asks"], truth[1])):
                assert [tuple(level) for level in mine] == [tuple(level) for level in theirs]
            _check_touch(touch, deep)
            one = await answer(client, "orderbook_l2", symbol=SYMBOL, levels=1)
            assert (len(one["bids"]), len(one["asks"])) == (1, 1)
            most = await answer(client, "orderbook_l2", symbol=SYMBOL, levels=1000)
            assert (len(most["bids"]), len(most["asks"])) == (1000, 1000)
            assert most["bids"][:100] == deep["bids"]

    asyncio.run(run())


def _check_touch(touch: dict[str, Any], deep: dict[str, Any]) -> None:
    bids = [(Decimal(price), Decimal(size)) for price, size in deep["bids"]]
    asks = [(Decimal(price), Decimal(size)) for price, size in deep["asks"]]
    assert [price for price, _ in bids] == sorted((price for price, _ in bids), reverse=True)
    assert [price for price, _ in asks] == sorted(price for price, _ in asks)
    (bid, bid_size), (ask, ask_size) = bids[0], asks[0]
    assert (touch["best_bid"], touch["best_bid_size"]) == tuple(deep["bids"][0])
    assert (touch["best_ask"], touch["best_ask_size"]) == tuple(deep["asks"][0])
    mid = (bid + ask) / 2
    assert Decimal(touch["spread"]) == ask - bid
    assert touch["spread_ticks"] == (ask - bid) / Decimal(deep["tick_size"])
    assert Decimal(touch["mid"]) == mid
    assert touch["spread_bps"] == pytest.approx(float((ask - bid) / mid * 10_000), rel=1e-4)
    weighted = (bid * ask_size + ask * bid_size) / (bid_size + ask_size)
    assert touch["weighted_mid"] == pytest.approx(float(weighted), abs=1e-4)
    assert touch["microprice"] == touch["weighted_mid"]  # nothing is learned in the first minute
    assert touch["microprice_model"] == "weighted_mid"
    for name, levels in (("level_1", 1), ("levels_5", 5), ("levels_20", 20)):
        b, a = (sum(size for _, size in side[:levels]) for side in (bids, asks))
        assert touch["imbalance"][name] == pytest.approx(float((b - a) / (b + a)), abs=1e-3)


def test_order_flow_is_the_sum_of_the_stored_trades(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (_, server, client):
            flow: dict[str, Any] = {"window": {"coverage": 0.0}}
            async with asyncio.timeout(PATIENCE_SECS):
                while flow["window"]["coverage"] < 1.0:
                    result = await client.call_tool("get_order_flow", {"symbol": SYMBOL, "window_duration_secs": 10})
                    flow = flow if result.is_error else result.structured_content or flow
                    await asyncio.sleep(0.5)
            flow = await answer(client, "get_order_flow", symbol=SYMBOL, window_duration_secs=10, detail=True)
            history = server.runtime.archive.history
            assert history is not None
            start, end = (_second(flow["window"][name]) for name in ("start", "end"))
            trades = await history.trades(SYMBOL, start * 1000, end * 1000)
            buys = [trade for trade in trades if not trade.buyer_is_maker]
            sells = [trade for trade in trades if trade.buyer_is_maker]
            assert end - start == 10
            assert len(trades) > 20
            assert trades[-1].agg_id - trades[0].agg_id + 1 == len(trades)
            assert flow["buy_volume_base"] == pytest.approx(sum(trade.size for trade in buys), abs=1e-9)
            assert flow["sell_volume_base"] == pytest.approx(sum(trade.size for trade in sells), abs=1e-9)
            assert flow["buy_volume_quote"] == pytest.approx(sum(t.size * t.price for t in buys), rel=1e-6)
            assert flow["sell_volume_quote"] == pytest.approx(sum(t.size * t.price for t in sells), rel=1e-6)
            bought, sold = flow["buy_volume_base"], flow["sell_volume_base"]
            assert flow["cvd_base"] == pytest.approx(bought - sold, abs=1e-9)
            assert flow["delta_pct"] == pytest.approx(100 * (bought - sold) / (bought + sold), abs=0.051)
            assert flow["fills"] == sum(trade.last_trade_id - trade.first_trade_id + 1 for trade in trades)
            assert flow["window"]["samples"] == 10
            assert flow["window"]["requested_secs"] == 10
            assert flow["window"]["covered_secs"] == 10.0
            stored = {row.second: row for row in await history.rows(SYMBOL, start, end)}
            assert sorted(stored) == list(range(start, end))
            seconds = 10.0
            assert flow["bid_adds_per_sec"] == pytest.approx(
                sum(row.bid.add_events for row in stored.values()) / seconds, rel=1e-3
            )
            assert flow["ofi_base"] == pytest.approx(sum(row.ofi for row in stored.values()), abs=1e-6)

    asyncio.run(run())


def _second(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def test_health_counts_what_happened(tmp_path: Path) -> None:
    async def run() -> None:
        sim = exchange("BTCUSDT", "ETHUSDT")
        async with serving(tmp_path / "db", sim, symbols="BTCUSDT,ETHUSDT", live=("BTCUSDT", "ETHUSDT")) as (
            _,
            server,
            client,
        ):
            runtime, began = server.runtime, time.monotonic()
            states = runtime.market.symbols
            sim.faults.add(Drop(symbol=SYMBOL, count=1))
            await until(lambda: states[SYMBOL].counts.gaps == 1 and states[SYMBOL].counts.resyncs == 2)
            # Trades: an unreadable depth frame would be another gap.
            sim.faults.add(Corrupt(symbol=SYMBOL, channel="trades", mode="truncated", count=2))
            await until(lambda: feed_of(runtime).malformed_frames.total() == 2)
            await until(lambda: runtime.recorder.snapshots_stored["ETHUSDT"] >= 2)
            health = await answer(client, "orderbook_health")
            by_symbol = {item["symbol"]: item for item in health["symbols"]}
            assert (by_symbol[SYMBOL]["gaps"], by_symbol[SYMBOL]["resyncs"]) == (1, 2)
            assert (by_symbol["ETHUSDT"]["gaps"], by_symbol["ETHUSDT"]["resyncs"]) == (0, 1)
            assert by_symbol["ETHUSDT"]["snapshots_stored"] == runtime.recorder.snapshots_stored["ETHUSDT"]
            assert (health["reconnects"], health["malformed_frames"]) == (0, 2)
            assert (health["recorder"], health["storage"], health["storage_error"]) == ("running", "recording", None)
            assert health["status"] == "live"
            assert health["warnings"] == []
            assert 0 <= health["last_write_age_ms"] < 1000 * (time.monotonic() - began)
            sim.faults.add(Disconnect())
            await until(lambda: feed_of(runtime).reconnects == 1)
            assert await feed_of(runtime).wait_live(SYMBOL, PATIENCE_SECS)
            health = await answer(client, "orderbook_health")
            assert (health["reconnects"], health["connected"]) == (1, True)
            assert {item["symbol"]: item["resyncs"] for item in health["symbols"]}[SYMBOL] == 3

    asyncio.run(run())


def test_a_frozen_feed_is_called_stale_and_never_served_as_live(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (sim, server, client):
            state = server.runtime.market.symbols[SYMBOL]
            await until(lambda: state.counts.events > 12)  # its pace is known
            sim.faults.add(Stall(seconds=60))
            async with asyncio.timeout(PATIENCE_SECS):
                while (touch := await answer(client, "orderbook_l1", symbol=SYMBOL))["status"] == "live":
                    assert touch["age_ms"] <= 3000
                    await asyncio.sleep(0.1)
            assert touch["status"] == "stale"
            assert touch["age_ms"] >= 3000
            assert any("last known book" in warning for warning in touch["warnings"])
            deep = await answer(client, "orderbook_l2", symbol=SYMBOL)
            assert deep["status"] == "stale"
            assert deep["warnings"]
            health = await answer(client, "orderbook_health")
            assert health["status"] == "stale"

    asyncio.run(run())


def test_health_without_an_exchange_tells_neither_a_date_nor_a_recording_that_is_not(tmp_path: Path) -> None:
    """Before the first event there is none to date it by; afterwards it is as old as the last that was heard."""

    async def run() -> None:
        async with exchange() as sim:
            server = server_for(sim, tmp_path / "never")
        began_ms = time.time_ns() // 1_000_000
        async with Client(server) as client:
            await until(lambda: bool(feed_of(server.runtime).failed) and server.runtime.archive.mode == "recording")
            health = await answer(client, "orderbook_health")
            assert health["as_of"] >= iso(began_ms)
            assert health["summary"].endswith("; history is open, and there is no live book to record.")
        async with contextlib.AsyncExitStack() as stack:
            async with exchange() as sim:
                server = server_for(sim, tmp_path / "lost")
                client = await stack.enter_async_context(Client(server))
                assert await feed_of(server.runtime).wait_live(SYMBOL, PATIENCE_SECS)
            state = server.runtime.market.symbols[SYMBOL]
            await until(lambda: state.copy is None)
            assert state.heard_ms is not None
            assert (await answer(client, "orderbook_health"))["as_of"] == iso(state.heard_ms)

    asyncio.run(run())


def test_after_a_lost_connection_nothing_later_counts_as_known(tmp_path: Path) -> None:
    """An hour whose last half was an outage has half of its trades, and the answer must not say all."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange(), backfill_hours=1) as (sim, server, client):
            state = server.runtime.market.symbols[SYMBOL]
            await until(lambda: server.runtime.recorder.trades_stored[SYMBOL] > 0 and bool(state.watch.rows))
            await until(lambda: filler_of(server.runtime).is_exhausted(SYMBOL))  # there is nothing older: all is known
            sim.faults.add(Refuse(seconds=60))
            sim.faults.add(Disconnect())
            await until(lambda: not feed_of(server.runtime).is_connected)
            lost = datetime.fromtimestamp((state.heard_ms or 0) / 1000, UTC)
            await until(lambda: any(row.second > lost.timestamp() + 1 for row in state.watch.rows))
            for tool in ("get_volume_profile", "get_microstructure_health"):
                body = await answer(client, tool, symbol=SYMBOL)
                assert (body["status"], body["age_ms"] > 1000) == ("syncing", True)
                assert datetime.fromisoformat(body["as_of"]) <= lost
                if tool == "get_volume_profile":
                    assert datetime.fromisoformat(body["window"]["end"]) <= lost
            # Of the market nothing is known: 0 would say that it has no book.
            assert (body["health_score"], body["level"], body["components"]) == (None, "Unknown", None)
            assert body["reason"] in body["summary"]
            assert "our connection, not the market" in body["summary"]

    asyncio.run(run())


def test_a_side_that_is_empty_at_the_exchange_is_live_with_nulls_and_no_window_is_promised(tmp_path: Path) -> None:
    """Its sequence is proved: that is no resync. Seconds of it are no seconds of a market, however long one waits."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (sim, server, client):
            state = server.runtime.market.symbols[SYMBOL]
            sim.scenario("empty_side", SYMBOL, side="bid", seconds=60)
            await until(lambda: state.book is not None and state.book.bids.best is None)
            touch = await answer(client, "orderbook_l1", symbol=SYMBOL)
            assert (touch["status"], touch["best_bid"], touch["mid"], touch["usual"]) == ("live", None, None, None)
            assert "BTCUSDT has no bids: best ask " in touch["summary"]
            assert "No bids in the book: figures that need both sides are null." in touch["warnings"]
            levels = await answer(client, "orderbook_l2", symbol=SYMBOL)
            assert (levels["status"], levels["bids"], len(levels["asks"])) == ("live", [], 20)
            told = await refusal(client, "get_order_flow", symbol=SYMBOL, window_duration_secs=300)
            assert (told["code"], "retry_after_secs" in told) == ("insufficient_historical_data", False)
            assert "The book of BTCUSDT is live, but one side of the book is empty" in told["message"]

    asyncio.run(run())


def test_a_market_without_a_price_is_not_called_out_of_sequence(tmp_path: Path) -> None:
    """No bids and no trade yet: zones have nothing to be measured from, and the book is live nevertheless."""

    async def run() -> None:
        sim = exchange("BTCUSDT", "WANUSDT")
        async with serving(tmp_path / "db", sim) as (_, server, client):
            sim.scenario("empty_side", "WANUSDT", side="bid", seconds=60)
            assert (await answer(client, "orderbook_l1", symbol="WANUSDT"))["status"] == "live"
            state = server.runtime.market.symbols["WANUSDT"]
            await until(lambda: state.book is not None and state.book.bids.best is None)
            state._chronicle.tape.last_price = None  # whatever may have traded meanwhile
            told = await refusal(client, "get_liquidity_vacuums", symbol="WANUSDT", duration_hours=1)
            assert told["code"] == "insufficient_historical_data"
            assert "The book of WANUSDT is live, but one side of the book is empty" in told["message"]

    asyncio.run(run())


def test_a_side_that_is_empty_at_the_exchange_has_health_0_and_a_young_market_no_verdict(tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (sim, server, client):
            state = server.runtime.market.symbols[SYMBOL]
            await until(lambda: sum(row.covered_ms for row in state.watch.rows) > 6_000)
            young = await answer(client, "get_microstructure_health", symbol=SYMBOL, window_duration_secs=10)
            assert (young["level"], young["baseline"], young["class"]) == ("Unknown", "warming_up", None)
            assert young["health_score"] is not None
            assert "no verdict yet" in young["summary"]
            sim.scenario("empty_side", SYMBOL, side="bid", seconds=60)
            await until(lambda: state.book is not None and not state.book.is_two_sided)
            empty = await answer(client, "get_microstructure_health", symbol=SYMBOL)
            assert (empty["health_score"], empty["level"]) == (0.0, "Critical")
            assert empty["summary"].endswith("BTCUSDT: health 0 (Critical): one side of the book is empty.")

    asyncio.run(run())


def test_after_a_dropped_frame_only_the_gap_is_left_out(tmp_path: Path) -> None:
    """One frame is lost and the book is loaded again: that is ours, and the market's book lacked nothing."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange()) as (sim, server, client):
            state = server.runtime.market.symbols[SYMBOL]
            await until(lambda: sum(row.covered_ms for row in state.watch.rows) > 8_000)
            sim.faults.add(Drop(symbol=SYMBOL, count=1))
            await until(lambda: state.counts.gaps == 1 and state.book is not None)
            await until(lambda: any(row.flags & RowFlag.GAP for row in state.watch.rows))
            for tool in ("get_microstructure_health", "detect_market_anomalies"):
                told = await answer(client, tool, symbol=SYMBOL, window_duration_secs=10)
                (named,) = [each for each in told["warnings"] if "resynchronised" in each]
                assert named.endswith("; those seconds are left out.")
                assert not any(word in told["summary"] for word in ("one-sided", "crossed"))
                assert told["status"] != "live" or "nothing can be judged" not in told["summary"]

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_schemas_say_types_and_bounds_and_every_answer_fits_them(mode: Mode, tmp_path: Path) -> None:
    async def run() -> None:
        async with serving(tmp_path / "db", exchange(), mode=mode, tool_prefix="binance_") as (_, _server, client):
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert set(tools) == {f"binance_{name}" for name in PARAMETERS}
            for name, parameters in PARAMETERS.items():
                tool = tools[f"binance_{name}"]
                assert list(tool.input_schema["properties"]) == parameters
                assert tool.input_schema.get("required", []) == [p for p in parameters if p == "symbol"]
                for parameter in parameters:
                    schema = tool.input_schema["properties"][parameter]
                    assert schema["description"]
                    assert schema | BOUNDS[parameter] == schema
                assert tool.title
                assert tool.description
                hints = tool.annotations
                assert hints is not None
                assert (hints.read_only_hint, hints.destructive_hint) == (True, False)
                assert tool.output_schema is not None
                jsonschema.Draft202012Validator.check_schema(tool.output_schema)
                assert set(tool.output_schema["required"]) == set(ENVELOPE) - {"age_ms"}
            for name in ("orderbook_l1", "orderbook_l2", "orderbook_health"):
                arguments = {"symbol": SYMBOL} if "symbol" in PARAMETERS[name] else {}
                body = await answer(client, f"binance_{name}", **arguments)
                jsonschema.validate(body, tools[f"binance_{name}"].output_schema or {})
                head = [field for field in body if field not in ("venue", "market", "proof")]  # of an instrument
                assert head[: len(ENVELOPE)] == ENVELOPE
                assert datetime.fromisoformat(body["as_of"]).tzinfo is not None
            with pytest.raises(MCPError):  # no prefix
                await client.call_tool("orderbook_l1", {"symbol": SYMBOL})

    asyncio.run(run())


def test_symbols_that_hardly_trade_are_live_without_an_event(tmp_path: Path) -> None:
    """Minutes may pass until the next one; two seconds of silence have to do."""

    async def run() -> None:
        async with serving(tmp_path / "db", exchange("BTCUSDT", "WANUSDT")) as (sim, _server, client):
            sim.faults.add(Drop(symbol="WANUSDT", count=10**9))
            touch = await answer(client, "orderbook_l1", symbol="wan-usdt")
            assert (touch["symbol"], touch["status"]) == ("WANUSDT", "live")

    asyncio.run(run())
