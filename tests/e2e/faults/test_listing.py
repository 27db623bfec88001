"""A symbol stops trading: nothing is wrong with any connection, and yet its book is no price any more."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.e2e.faults.rig import Watch, exchange, watching
from tests.e2e.rig import until
from tests.outcomes import Outcome
from vibe_orderbook_mcp.collect.asking import ANSWER_SECS
from vibe_orderbook_mcp.sim.faults import Disconnect, Regrid, Suspend
from vibe_orderbook_mcp.venues import listing

ALL = ("BTCUSDT", "ETHUSDT", "SOLUSDT")


async def suspended(watch: Watch, **statuses: str) -> None:
    """Suspend symbols and wait until the program knows."""
    symbols = watch.market.symbols
    await watch.all_live()
    await until(lambda: all(symbols[symbol].counts.events > 12 for symbol in statuses))
    for symbol, status in statuses.items():
        watch.sim.faults.add(Suspend(symbol=symbol, status=status))  # type: ignore[arg-type]  # one of its
    await until(lambda: all(symbols[symbol].trading == status for symbol, status in statuses.items()))
    for symbol in symbols:
        assert watch.metric("vibe_symbol_trading", symbol=symbol) == (symbol not in statuses)


async def resumed(watch: Watch) -> float:
    """Let everything trade again and wait until all is live. Returns when the fault was over."""
    watch.sim.faults.clear()
    over = time.monotonic()
    await until(lambda: all(state.suspension is None for state in watch.market.symbols.values()))
    await watch.settled()
    return over


@pytest.mark.fault(
    part="exchange", fault="trading suspended (HALT, BREAK), later resumed", promise="stale, and says so"
)
def test_a_suspended_symbol_is_stale_and_says_why_until_it_trades_again(outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange(symbols=ALL) as sim, watching(sim, tmp_path, symbols=",".join(ALL)) as watch:
            began = time.monotonic()
            await suspended(watch, BTCUSDT="HALT", ETHUSDT="BREAK")
            for symbol, status in (("BTCUSDT", "HALT"), ("ETHUSDT", "BREAK")):
                told = await watch.ask(symbol)
                assert told.what == "stale"
                assert f"Trading in {symbol} is suspended at the exchange (status {status})" in told.text
                assert watch.logged.count(f"status {status}") == 1
            assert (await watch.ask("SOLUSDT")).what == "live"
            watch.tell(outcome, since=began, over=await resumed(watch))

    asyncio.run(run())


@pytest.mark.fault(
    part="exchange",
    fault="symbol delisted while subscribed, then the connection lost; later listed again",
    promise="stale and says so; without a book symbol_not_found at once",
)
def test_a_delisted_symbol_keeps_its_last_book_as_stale_and_comes_back(outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange() as sim, watching(sim, tmp_path) as watch:
            began = time.monotonic()
            await suspended(watch, BTCUSDT="DELISTED")
            told = await watch.ask("BTCUSDT")
            assert told.what == "stale"
            assert "does not list BTCUSDT any more" in told.text
            sim.faults.add(Disconnect())
            await until(lambda: watch.market.symbols["BTCUSDT"].book is None)
            await until(lambda: watch.market.symbols["ETHUSDT"].book is not None)
            told = await watch.ask("BTCUSDT")
            assert told.what == "symbol_not_found"
            assert told.took < ANSWER_SECS  # it has not waited for a book
            assert (await watch.ask("ETHUSDT")).what == "live"
            assert watch.logged.count("does not list BTCUSDT") == 1
            assert watch.metric("vibe_replacements_total") <= 1  # its silence is explained: no reason to reconnect
            watch.tell(outcome, since=began, over=await resumed(watch))

    asyncio.run(run())


@pytest.mark.fault(
    part="exchange",
    fault="a symbol's tick size is changed",
    promise="its book is loaded again; recording goes on in the new ticks",
)
def test_a_symbol_whose_tick_changes_is_kept_on_its_new_grid(
    outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prices would be rounded to the old tick, until somebody thinks of a restart."""
    monkeypatch.setattr(listing, "USUAL_EVERY_SECS", 1.0)

    async def run() -> None:
        async with exchange() as sim, watching(sim, tmp_path) as watch:
            await watch.all_live()
            recorder, symbols = watch.runtime.recorder, watch.market.symbols
            await until(lambda: recorder.snapshots_stored["BTCUSDT"] >= 2)
            before, other, began = symbols["BTCUSDT"], symbols["ETHUSDT"], time.monotonic()
            resyncs = before.counts.resyncs
            sim.faults.add(Regrid(symbol="BTCUSDT", exp=before.spec.tick_exp + 1))
            await until(lambda: symbols["BTCUSDT"].spec.tick_exp == before.spec.tick_exp + 1)
            over = time.monotonic()
            await watch.settled()
            assert watch.logged.count("The grid of BTCUSDT has changed: prices in 0.001") == 1
            assert symbols["ETHUSDT"] is other
            assert symbols["BTCUSDT"].counts.resyncs == resyncs + 1
            assert watch.metric("vibe_reconnects_total") == 0
            history = watch.runtime.archive.writable()
            stored, at = recorder.snapshots_stored["BTCUSDT"], before._chronicle.tape.last_id or 0
            await until(lambda: recorder.snapshots_stored["BTCUSDT"] >= stored + 2)
            await watch.store_is_true()
            (held,) = await history.ids("BTCUSDT")
            assert held[1] >= at
            # Its detectors know what was before.
            await until(lambda: any(row.second < before.watch.rows[-1].second for row in symbols["BTCUSDT"].watch.rows))
            seconds = [row.second for row in await history.rows("BTCUSDT", 0, 10**10)]
            assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
            spec = await history.spec("BTCUSDT")
            assert spec is not None
            assert spec.tick_exp == before.spec.tick_exp + 1
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())
