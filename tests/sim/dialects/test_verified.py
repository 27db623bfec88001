"""Recordings of every dialect are rebuilt by `verify`, which shares no code with it: by each venue's own rule.

The last book is the true one, level by level at the top, and best prices of the same id agree where a venue sends them.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.sim.clients import get, run
from tests.sim.dialects.rig import Talk, stepped
from vibe_orderbook_mcp.sim.faults import Drop, Duplicate, Fault
from vibe_orderbook_mcp.sim.server import SimExchange
from vibe_orderbook_mcp.verify.command import verify_to_text


class Case(NamedTuple):
    """How to listen to book, trades and best prices of one instrument."""

    name: str
    path: str
    asks: tuple[Any, ...]
    is_answer: str  # a part of each confirmation's text
    has_checks: bool = False  # checksums, or best prices with an id
    snapshot: str = ""  # REST path of the book that the stream continues


def okx(symbol: str) -> Case:
    args = [{"channel": channel, "instId": symbol} for channel in ("books", "trades", "bbo-tbt")]
    return Case(f"okx:{symbol}", "/ws/v5/public", ({"op": "subscribe", "args": args},), '"event"', has_checks=True)


def bybit(venue: str, category: str) -> Case:
    args = ["orderbook.200.BTCUSDT", "orderbook.1.BTCUSDT", "publicTrade.BTCUSDT", "tickers.BTCUSDT"]
    asks = ({"op": "subscribe", "args": args},)
    return Case(f"{venue}:BTCUSDT", f"/v5/public/{category}", asks, '"success"', has_checks=True)


def binance(name: str, path: str, rest: str) -> Case:
    symbol = name.partition(":")[2]
    streams = [f"{symbol.lower()}@{kind}" for kind in ("depth@100ms", "bookTicker", "trade")]
    asks = ({"method": "SUBSCRIBE", "params": streams, "id": 1},)
    return Case(name, path, asks, '"result"', has_checks=True, snapshot=f"{rest}/depth")


CASES = (
    Case(
        "kraken:BTC/USD",
        "/v2",
        (
            {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 10}},
            {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"], "snapshot": False}},
        ),
        '"success"',
        has_checks=True,
    ),
    binance("binance-usdm:BTCUSDT", "/public/stream", "/fapi/v1"),
    binance("binance-coinm:BTCUSD_PERP", "/stream", "/dapi/v1"),
    binance("binance-us:BTCUSDT", "/stream", "/api/v3"),
    okx("BTC-USDT"),
    okx("BTC-USDT-SWAP"),
    bybit("bybit", "spot"),
    bybit("bybit-linear", "linear"),
    Case(
        "coinbase:BTC-USD",
        "",
        tuple(
            {"type": "subscribe", "product_ids": ["BTC-USD"], "channel": channel}
            for channel in ("market_trades", "level2", "ticker", "heartbeats")
        ),
        '"subscriptions"',
    ),
    Case(
        "hyperliquid:BTC",
        "/ws",
        tuple(
            {"method": "subscribe", "subscription": {"type": kind, "coin": "BTC"}}
            for kind in ("l2Book", "trades", "bbo")
        ),
        '"subscriptionResponse"',
    ),
    Case(
        "deribit:BTC-PERPETUAL",
        "/ws/api/v2",
        (
            {
                "jsonrpc": "2.0",
                "id": 1,
                "method": "public/subscribe",
                "params": {"channels": [f"{kind}.BTC-PERPETUAL.100ms" for kind in ("book", "trades", "ticker")]},
            },
        ),
        '"result"',
    ),
)


async def recorded(sim: SimExchange, case: Case, folder: Path, *faults: Fault) -> list[Path]:
    """Twelve seconds of the venue's frames, and what REST said at their beginning."""
    venue = case.name.partition(":")[0]
    async with Talk(f"{sim.ws_url}/{venue}{case.path}") as talk:
        lines: list[str] = []
        for ask in case.asks:
            await talk.say(ask)
        answers = 0
        while answers < len(case.asks) * (3 if venue == "okx" else 1):
            lines.append(str(await talk.socket.recv(decode=True)))
            answers += case.is_answer in lines[-1]
        await sim.step(2_000)
        files = [folder / "stream.ndjson"]
        if case.snapshot:
            answer = await get(sim.rest_url, f"/{venue}{case.snapshot}", symbol=case.name.partition(":")[2], limit=1000)
            files.append(folder / "depth.json")
            files[1].write_text(answer.text, "utf-8")
        for fault in faults:
            sim.faults.add(fault)
        await sim.step(10_000)
        await (await talk.socket.ping())  # whatever was sent before the pong has arrived
        while True:
            try:
                lines.append(str(await next_one(talk)))
            except TimeoutError:
                break
        files[0].write_text("\n".join(lines) + "\n", "utf-8")
        return files


async def next_one(talk: Talk) -> str | bytes:
    """The next message that has arrived already."""
    async with asyncio.timeout(0.02):
        return await talk.socket.recv(decode=True)


def verified(files: list[Path], case: Case) -> tuple[dict[str, Any], bool]:
    text, is_sound = verify_to_text(files, case.name.partition(":")[0], None, as_json=True)
    reports = json.loads(text)["instruments"]
    return next(each for each in reports if each["instrument"] == case.name), is_sound


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_frame_follows_its_venues_rule(case: Case, tmp_path: Path) -> None:
    async def body() -> None:
        async with stepped(case.name, scenario="busy") as sim:
            report, is_sound = verified(await recorded(sim, case, tmp_path), case)
            assert is_sound
            assert (report["gaps"], report["crossed"], report["failed"], report["unreadable"]) == (0, 0, 0, 0)
            assert report["applied"] > 15
            assert report["trades"] > 10
            assert report["trade_ids_missing"] in (0, None)
            assert report["checked"] > 15 or not case.has_checks
            truth = sim.truth(case.name, levels=1)
            assert truth is not None
            if not case.name.startswith("hyperliquid"):  # which sends twice a second
                best = [float(side[0][0]) for side in truth]
                assert [float(report[side]) for side in ("best_bid", "best_ask")] == best

    run(body())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_fault_takes_is_found_where_the_venue_offers_a_proof(case: Case, tmp_path: Path) -> None:
    """Two frames of the book are lost, and one comes twice. Whole books in each frame prove nothing."""

    async def body() -> None:
        async with stepped(case.name, scenario="busy") as sim:
            faults = (Drop(symbol=case.name, count=2), Duplicate(symbol=case.name, channel="trades", count=2))
            report, is_sound = verified(await recorded(sim, case, tmp_path, *faults), case)
            assert is_sound == case.name.startswith("hyperliquid")
            assert report["gaps"] + report["failed"] > 0 or is_sound

    run(body())
