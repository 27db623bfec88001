"""Which instrument an answer is about, and how its book is known to be right."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.answers.serving import answer, exchange, refusal, serving
from tests.collect.venue import feed_of
from vibe_orderbook_mcp.model.instrument import Proof
from vibe_orderbook_mcp.venues.binance.wire import TRAITS

pytestmark = pytest.mark.anyio

BINANCE = {"book": "update_ids", "book_levels": None, "trades": "consecutive_ids", "refill": True}


@pytest.mark.parametrize("symbol", ["BTCUSDT", "binance:btc/usdt", "Binance:BTC-USDT", "binance:BTC", "'btcusdt'"])
async def test_an_answer_says_which_instrument_it_is_about(symbol: str, tmp_path: Path) -> None:
    """However it was asked for, `symbol` is the name to ask with again."""
    async with serving(tmp_path / "db", exchange()) as (_, server, client):
        for tool in ("orderbook_l1", "orderbook_l2"):
            body = await answer(client, tool, symbol=symbol)
            assert (body["symbol"], body["venue"], body["market"]) == ("BTCUSDT", "binance", "spot")
            assert body["proof"] == BINANCE
        health = await answer(client, "orderbook_health")
        assert not {"venue", "market", "proof"} & health.keys()
        labels = b'{symbol="BTCUSDT",venue="binance"}'
        lines = server.metrics.text().splitlines()
        named = [line for line in lines if b"symbol=" in line]
        assert named
        assert all(labels in line for line in named)


async def test_the_proof_is_what_the_venue_has(tmp_path: Path) -> None:
    """It comes from the venue's traits: a feed of another kind is not answered as if ids proved it."""
    async with serving(tmp_path / "db", exchange("BTCUSDT", "ETHUSDT")) as (_, server, client):
        proof = Proof(book="checksum", book_levels=10, trades="unproven", refill=False)
        feed_of(server.runtime)._venue.traits = msgspec.structs.replace(TRAITS, proof=proof)
        body = await answer(client, "orderbook_l1", symbol="ETHUSDT")
        assert body["proof"] == {"book": "checksum", "book_levels": 10, "trades": "unproven", "refill": False}
        assert (await answer(client, "orderbook_l1", symbol="BTCUSDT"))["proof"] == BINANCE


@pytest.mark.parametrize("tool", ["orderbook_l1", "get_order_flow", "get_volume_profile"])
async def test_an_instrument_that_is_not_kept_is_refused_by_its_reason(tool: str, tmp_path: Path) -> None:
    async with serving(tmp_path / "db", exchange()) as (_, _server, client):
        mexc = await refusal(client, tool, symbol="mexc:BTCUSDT")
        assert mexc["code"] == "symbol_not_found"
        assert mexc["message"].startswith("mexc (MEXC) is not among the venues of this server yet")
        assert "it keeps books of binance" in mexc["message"]
        unknown = await refusal(client, tool, symbol="nowhere:BTCUSDT")
        assert (unknown["code"], "nowhere" in unknown["message"]) == ("invalid_argument", True)
        perpetual = await refusal(client, tool, symbol="BTC-PERP")
        assert "perpetuals and other futures are not among the markets" in perpetual["message"]
