"""Zones of a live market: which moment they are of, and what they are measured from."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.answers.serving import answer, serving
from tests.e2e.rig import until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.analytics.results import iso
from vibe_orderbook_mcp.serve import waiting
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.sim.faults import Stall

SYMBOL = "BTCUSDT"
HOUR = {"symbol": SYMBOL, "duration_hours": 1}


def market() -> SimExchange:
    """With an hour of trades: traded zones need no minute of watching."""
    return SimExchange(SimConfig(symbols=(SYMBOL,), seed=5, history_hours=2.0))


def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAIT_SECS", PATIENCE_SECS)  # a busy machine takes its time


def test_zones_are_dated_by_the_mid_that_they_are_measured_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window of trades ends at a whole second, and the book goes on after it."""

    patient(monkeypatch)

    async def run() -> None:
        async with serving(tmp_path / "db", market(), backfill_hours=1) as (sim, server, client):
            state = server.runtime.market.symbols[SYMBOL]
            await until(lambda: state.counts.events >= 3 and bool(state.watch.rows))
            await answer(client, "get_liquidity_vacuums", **HOUR)
            sim.faults.add(Stall())
            async with asyncio.timeout(PATIENCE_SECS):
                while True:  # until what was under way is in
                    touch = await answer(client, "orderbook_l1", symbol=SYMBOL)
                    zones = await answer(client, "get_liquidity_vacuums", **HOUR)
                    again = await answer(client, "orderbook_l1", symbol=SYMBOL)
                    if touch["last_update_id"] == again["last_update_id"]:
                        break
            assert (zones["as_of"], zones["mid"]) == (touch["as_of"], touch["mid"])
            assert "last_trade_age_secs" not in zones

    asyncio.run(run())


def test_zones_without_a_mid_are_dated_by_the_last_trade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient(monkeypatch)

    async def run() -> None:
        async with serving(tmp_path / "db", market(), backfill_hours=1) as (sim, server, client):
            state = server.runtime.market.symbols[SYMBOL]
            await until(lambda: state._chronicle.tape.last_ms is not None)
            await answer(client, "get_liquidity_vacuums", **HOUR)
            sim.scenario("empty_side", SYMBOL, side="bid", seconds=60)
            await until(lambda: state.book is not None and state.mid is None)
            first = state._chronicle.tape.last_ms
            zones = await answer(client, "get_liquidity_vacuums", **HOUR)
            last = state._chronicle.tape.last_ms
            assert first is not None
            assert last is not None
            assert iso(first) <= zones["as_of"] <= iso(last)
            assert zones["last_trade_age_secs"] >= 0.0
            assert f"the last trade, at {zones['as_of']}." in " ".join(zones["warnings"])

    asyncio.run(run())
