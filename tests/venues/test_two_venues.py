"""Two feeds of two venues in one market, over real sockets: both list a BTCUSDT, and neither sees the other's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.e2e.rig import all_live, feeding, listening, until
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.recorder import Recorder
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.instrument import Instrument, Proof
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.sim.faults import Drop
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.venues.binance.wire import TRAITS, BinanceSpot

pytestmark = pytest.mark.anyio

US = "binance-us:BTCUSDT"  # Binance.US speaks the same interface
PROOF = Proof(book="update_ids", trades="unproven", refill=False)


def exchange(seed: int) -> SimExchange:
    return SimExchange(SimConfig(symbols=("BTCUSDT",), seed=seed, history_hours=0.0))


async def test_what_two_venues_spell_alike_is_kept_and_stored_apart(tmp_path: Path) -> None:
    venue, market = BinanceSpot(msgspec.structs.replace(TRAITS, name="binance-us", proof=PROOF)), Market()
    archive = Archive(tmp_path, cap_mb=64, retention_days=1)
    async with exchange(1) as here, exchange(2) as there:
        with listening() as logged:
            async with (
                feeding(here.rest_url, here.ws_url, ("BTCUSDT",), market) as feed,
                feeding(there.rest_url, there.ws_url, (US,), market, venue) as us,
            ):
                await all_live(feed, ("BTCUSDT",))
                await all_live(us, (US,))
                assert (feed.wanted, us.wanted) == ({"BTCUSDT"}, {US})
                spec = market.symbols[US].spec
                assert (spec.instrument, spec.proof) == (Instrument("binance-us", "BTCUSDT"), PROOF)
                for symbol, sim in (("BTCUSDT", here), (US, there)):
                    book = market.symbols[symbol].book
                    assert book is not None
                    truth = sim.truth("BTCUSDT", book.last_update_id, 1)
                    assert truth is not None
                    assert [book.bids.top(1)[0][0], book.asks.top(1)[0][0]] == [float(side[0][0]) for side in truth]
                gaps = market.symbols["BTCUSDT"].counts.gaps
                there.faults.add(Drop(symbol="BTCUSDT", count=1))
                await until(lambda: market.symbols[US].counts.gaps > 0)
                assert market.symbols["BTCUSDT"].counts.gaps == gaps
                await all_live(us, (US,))
                await archive.open()
                recorder = Recorder(market, archive)
                recorder.start(2)
                await until(lambda: min(recorder.snapshots_stored[name] for name in ("BTCUSDT", US)) >= 2)
            await recorder.stop()
            await archive.close()
    assert f"Gap in {US} depth stream: expected" in logged
    assert f"Pre-subscribed to {US} for snapshot persistence" in logged
    assert f"Book of {US} is live" in logged
    assert f"Stored snapshot for {US} at" in logged
    history = await History.open(tmp_path, cap_mb=64, retention_days=1)
    try:
        assert sorted(await history.symbols()) == sorted(("BTCUSDT", US))
        tops = {name: dict(await history.snapshots(name, 0, 10**10 - 1)) for name in ("BTCUSDT", US)}
        assert min(map(len, tops.values())) >= 2
        ids = [{top.last_update_id for top in each.values()} for each in tops.values()]
        assert not ids[0] & ids[1]
    finally:
        await history.close()


async def test_a_symbol_that_is_dropped_on_one_venue_is_kept_on_the_other(tmp_path: Path) -> None:
    venue, market = BinanceSpot(msgspec.structs.replace(TRAITS, name="binance-us")), Market()
    async with (
        exchange(1) as sim,
        feeding(sim.rest_url, sim.ws_url, ("BTCUSDT",), market) as feed,
        feeding(sim.rest_url, sim.ws_url, (US,), market, venue) as us,
    ):
        await all_live(feed, ("BTCUSDT",))
        await all_live(us, (US,))
        us.drop(US)
        assert list(market.symbols) == ["BTCUSDT"]
        events = market.symbols["BTCUSDT"].counts.events
        await until(lambda: market.symbols["BTCUSDT"].counts.events > events + 2)
        assert not await us.wait_live(US, 0.0)
        await us.subscribe(US)
        assert await us.wait_live(US, PATIENCE_SECS)
