"""Several venues in one server, over real sockets: eager and on demand, recorded, asked about, and after a restart."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from tests.answers.serving import answer, exchange, refusal, server_for
from tests.e2e.rig import listening, until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.answers.tools import SYMBOL, TOOLS
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE, KEPT_VENUES
from vibe_orderbook_mcp.process.demo import simulated_addresses
from vibe_orderbook_mcp.sim import SimExchange
from vibe_orderbook_mcp.sim.faults import Disconnect, Drop
from vibe_orderbook_mcp.sim.venues import SIMULATED

pytestmark = pytest.mark.anyio

# An instrument of each venue beside the default one, and those whose exchange is simulated.
PAIRS = {
    "binance-us": "binance-us:BTCUSDT",
    "binance-usdm": "binance-usdm:BTCUSDT",
    "binance-coinm": "binance-coinm:BTCUSD_PERP",
    "kraken": "kraken:BTC/USD",
    "coinbase": "coinbase:BTC-USD",
    "okx": "okx:BTC-USDT",
    "bybit": "bybit:BTCUSDT",
    "bybit-linear": "bybit-linear:BTCUSDT",
    "hyperliquid": "hyperliquid:BTC",
    "deribit": "deribit:BTC-PERPETUAL",
}
TRIED = [name for venue, name in PAIRS.items() if venue in KEPT_VENUES & SIMULATED]
# One whose books begin with the stream, and one whose books begin over REST.
RESTARTED = ("kraken:BTC/USD", "binance-usdm:BTCUSDT")


@contextlib.asynccontextmanager
async def on(sim: SimExchange, path: Path, symbols: str = "BTCUSDT") -> AsyncIterator[tuple[Runtime, Client]]:
    """A server on a running exchange of all venues, and a client of it."""
    urls = simulated_addresses(sim.rest_url, sim.ws_url)
    others: dict[str, Any] = {name: url for name, url in urls.items() if name not in ("rest_url", "ws_url")}
    server = server_for(sim, path, symbols=symbols, **others)
    async with Client(server) as client:
        yield server.runtime, client


def test_every_venue_is_tried() -> None:
    assert {DEFAULT_VENUE, *PAIRS} >= KEPT_VENUES
    assert PAIRS["kraken"] in TRIED


@pytest.mark.parametrize("name", TRIED)
async def test_every_tool_answers_about_an_eager_instrument_of_another_venue(name: str, tmp_path: Path) -> None:
    """Under its own name, with what proves it, and while the default venue is recorded beside it."""
    sim, venue = exchange("BTCUSDT", name), name.partition(":")[0]
    async with sim, on(sim, tmp_path, f"BTCUSDT,{name}") as (runtime, client):
        await until(lambda: runtime.recorder.snapshots_stored[name] >= 8)
        for tool in TOOLS:
            if SYMBOL not in tool.parameters:
                continue
            if tool.name == "get_liquidity_vacuums":  # zones of what was traded need more than seconds of it
                assert name in (await refusal(client, tool.name, symbol=name))["message"]
                continue
            body = await answer(client, tool.name, symbol=name)
            assert (body["symbol"], body["venue"], body["status"]) == (name, venue, "live"), tool.name
            assert body["proof"]["book"] != "none"
            assert name in body["summary"]
        health = await answer(client, "orderbook_health")
        assert {book["symbol"] for book in health["symbols"]} == {"BTCUSDT", name}


@pytest.mark.parametrize("name", TRIED)
async def test_a_client_may_ask_in_any_spelling(name: str, tmp_path: Path) -> None:
    sim, (venue, _, symbol) = exchange("BTCUSDT", name), name.partition(":")
    async with sim, on(sim, tmp_path) as (_, client):
        bare = symbol.replace("/", "").replace("-", "").lower()
        for written in (f"{venue}:{bare}", f" {venue.upper()}:{symbol}", f"{venue}:btc"):
            assert (await answer(client, "orderbook_l1", symbol=written))["symbol"] == name
        nobody = await refusal(client, "orderbook_l1", symbol=f"{venue}:NOSUCHCOIN")
        assert nobody["code"] == "symbol_not_found"


@pytest.mark.parametrize("name", RESTARTED)
async def test_history_of_a_venue_goes_on_after_a_restart(name: str, tmp_path: Path) -> None:
    """Seconds and trades are stored under the instrument's name, apart from those of the other venue."""
    sim = exchange("BTCUSDT", name)
    async with sim:
        stored: list[int] = []
        for _ in range(2):
            async with on(sim, tmp_path, f"BTCUSDT,{name}") as (runtime, _client):
                written = runtime.recorder.snapshots_stored
                await until(lambda: written[name] >= 4)  # noqa: B023  # waited for at once
                async with runtime.archive.writable().view() as view:
                    seconds = [row.second for row in await view.rows(name, 0, 10**10)]
                assert seconds == sorted(set(seconds))
                stored.append(len(seconds))
        assert stored[1] >= stored[0] + 4


@pytest.mark.parametrize("name", TRIED)
async def test_a_lost_frame_and_a_lost_connection_are_noticed_and_repaired(name: str, tmp_path: Path) -> None:
    sim = exchange("BTCUSDT", name)
    with listening("WARNING") as logged:
        async with sim, on(sim, tmp_path, f"BTCUSDT,{name}") as (runtime, client):
            feed = runtime.exchanges.feed(name)
            assert await feed.wait_live(name, PATIENCE_SECS)
            owner = runtime.market.symbols[name]
            loads = owner.counts.resyncs
            sim.faults.add(Drop(count=1, symbol=name))
            await until(lambda: owner.counts.resyncs > loads and owner.book is not None)
            assert any(name in line and "resyncing" in line for line in logged.messages)
            loads, reconnects = owner.counts.resyncs, feed.reconnects
            sim.faults.add(Disconnect())
            await until(lambda: feed.reconnects > reconnects and owner.counts.resyncs > loads)
            assert await feed.wait_live(name, PATIENCE_SECS)
            assert (await answer(client, "orderbook_l1", symbol=name))["status"] == "live"


async def test_an_update_without_an_id_has_none(tmp_path: Path) -> None:
    """A number of ours would look like the venue's."""
    sim = exchange("BTCUSDT", PAIRS["kraken"])
    async with sim, on(sim, tmp_path) as (_, client):
        assert (await answer(client, "orderbook_l1", symbol="kraken:BTC/USD"))["last_update_id"] is None
        assert (await answer(client, "orderbook_l1", symbol="BTCUSDT"))["last_update_id"] is not None
