"""The exchange's stream misbehaves, over real sockets: one row of the fault matrix each."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import get_args

import pytest

from tests.e2e.faults.rig import SYMBOLS, Case, Relay, bear, exchange, live, watching
from tests.e2e.rig import until
from tests.outcomes import Outcome
from vibe_orderbook_mcp.sim.corruption import Corruption
from vibe_orderbook_mcp.sim.faults import (
    Corrupt,
    Disconnect,
    Drop,
    Duplicate,
    Fault,
    Refuse,
    Reorder,
    ServerShutdown,
    Stall,
)

RESYNC = "noticed at the next event; resynced by itself"
SKIPPED = "skipped and counted; resynced where an event is missing"
GAPS, SKIPS, RECONNECTS = "vibe_gaps_total", "vibe_malformed_frames_total", "vibe_reconnects_total"


def lossy(kind: type[Drop | Duplicate | Reorder], probability: float) -> list[Fault]:
    """Of the two symbols' frames for a while, and of the next one for certain."""
    return [kind(probability=probability, seconds=1.0), kind(count=1)]


CASES = [
    Case(
        "frames lost",
        RESYNC,
        [Drop(symbol="BTCUSDT", probability=0.2, seconds=1.0), Drop(symbol="BTCUSDT", count=1)],
        "Gap in BTC",
        GAPS,
    ),
    Case("frames repeated", "ignored and counted", lossy(Duplicate, 0.5), None, "vibe_depth_events_old_total"),
    Case(
        "frames out of order",
        RESYNC,
        [Reorder(symbol="ETHUSDT", probability=0.2, seconds=1.0), Reorder(symbol="ETHUSDT", count=1)],
        "Gap in ETH",
        GAPS,
    ),
    Case(
        "JSON cut short", SKIPPED, [Corrupt(mode="truncated", count=5)], "(unreadable)", SKIPS, {"kind": "unreadable"}
    ),
    Case(
        "HTML instead of JSON",
        SKIPPED,
        [Corrupt(mode="not_json", count=5)],
        "(unreadable)",
        SKIPS,
        {"kind": "unreadable"},
    ),
    Case("binary frames", SKIPPED, [Corrupt(mode="binary", count=5)], "(unreadable)", SKIPS, {"kind": "unreadable"}),
    Case(
        "fields of wrong types",
        SKIPPED,
        [Corrupt(mode="wrong_types", count=5)],
        "(invalid)",
        SKIPS,
        {"kind": "invalid"},
    ),
    Case("NaN as a size", SKIPPED, [Corrupt(mode="nan", count=5)], "(invalid)", SKIPS, {"kind": "invalid"}),
    Case("negative sizes", SKIPPED, [Corrupt(mode="negative_size", count=5)], "(invalid)", SKIPS, {"kind": "invalid"}),
    Case("unknown events", SKIPPED, [Corrupt(mode="unknown_event", count=5)], "(unknown)", SKIPS, {"kind": "unknown"}),
    Case(
        "a frame over 4 MiB", "not read; reconnected", [Corrupt(mode="huge", count=1)], "Lost the exchange", RECONNECTS
    ),
    Case("connection cut", "reconnected, resynced", [Disconnect(abrupt=True)], "Lost the exchange", RECONNECTS),
    Case("connection closed", "reconnected, resynced", [Disconnect(abrupt=False)], "Lost the exchange", RECONNECTS),
    Case(
        "handshakes refused (503)",
        "retried, with growing pauses",
        [Refuse(count=3), Disconnect()],
        "Cannot connect",
        RECONNECTS,
    ),
    Case(
        "shutdown announced",
        "connection changed before it breaks",
        [ServerShutdown(disconnect_after=None)],
        None,
        "vibe_replacements_total",
    ),
]


@pytest.mark.parametrize("case", [case.param() for case in CASES])
def test_no_fault_of_the_stream_makes_a_wrong_book_live(case: Case, outcome: Outcome, tmp_path: Path) -> None:
    """What is called live is the exchange's book at that update, whatever happened on the way."""

    async def run() -> None:
        async with live(tmp_path) as watch:
            await bear(watch, case, outcome)

    asyncio.run(run())


def test_every_way_to_break_a_frame_is_a_row() -> None:
    broken = {fault.mode for case in CASES for fault in case.faults if isinstance(fault, Corrupt)}
    assert broken == set(get_args(Corruption))


HALF_OPEN = "connection half open: no byte comes, no end either"


@pytest.mark.parametrize(
    "is_cut",
    [
        pytest.param(is_cut, marks=pytest.mark.fault(part="exchange", fault=fault, promise="stale after 3 s; replaced"))
        for is_cut, fault in ((False, HALF_OPEN), (True, f"{HALF_OPEN}; its replacement is cut at once"))
    ],
)
def test_a_connection_that_died_without_a_word_is_replaced(is_cut: bool, outcome: Outcome, tmp_path: Path) -> None:
    """Without waiting for the 30 s after which a ping without a pong ends it."""

    async def run() -> None:
        async with exchange() as sim, Relay(sim.port) as relay:  # noqa: SIM117  # the port is known once it is entered
            async with watching(sim, tmp_path, ws_url=f"ws://127.0.0.1:{relay.port}") as watch:
                await watch.all_live()
                # A silent symbol is unusual only once its pace is known.
                await until(lambda: all(watch.market.symbols[s].counts.events > 12 for s in SYMBOLS))
                began = time.monotonic()
                relay.freeze()
                await until(lambda: "stale" in watch.statuses_seen)
                if is_cut:
                    await until(lambda: len(sim.hub.listeners) == 2)
                    sim.faults.add(Disconnect())
                    await until(lambda: "ended before it took over" in watch.logged)
                await watch.settled()
                assert watch.metric("vibe_replacements_total") == 1
                assert watch.metric(RECONNECTS) == 0
                watch.tell(outcome, since=began, over=began)

    asyncio.run(run())


@pytest.mark.fault(
    part="exchange", fault="20 disconnects in 4 s, some handshakes refused", promise="reconnected without hammering"
)
def test_a_storm_of_disconnects_is_weathered(outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        async with live(tmp_path) as watch:
            began = time.monotonic()
            watch.sim.faults.add(Refuse(count=3))
            for _ in range(20):
                watch.sim.faults.add(Disconnect())
                await asyncio.sleep(0.2)
            while watch.metric(RECONNECTS) < 2:
                watch.sim.faults.add(Disconnect())
                await asyncio.sleep(0.2)
            over = time.monotonic()
            await watch.settled()
            assert watch.logged.count("Lost the exchange") == 1
            assert watch.logged.count("Cannot connect") == 1
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())


@pytest.mark.fault(
    part="exchange", fault="nothing sent for 6 s on open connections", promise="stale after 3 s; live again"
)
def test_an_exchange_that_falls_silent_is_stale_until_it_speaks(outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        async with live(tmp_path) as watch:
            await until(lambda: all(watch.market.symbols[s].counts.events > 12 for s in SYMBOLS))  # its pace is known
            began, over = await watch.suffer([Stall(seconds=6.0)])
            assert "stale" in watch.statuses_seen
            await watch.settled()
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())


@pytest.mark.fault(
    part="exchange",
    fault="one symbol's stream stops, its connection goes on",
    promise="stale after 3 s; the connection replaced; live again",
)
def test_a_stream_that_stops_on_a_connection_that_goes_on_is_noticed(outcome: Outcome, tmp_path: Path) -> None:
    """Pings are answered and the other symbol speaks: only the exchange's own book tells this from quiet."""

    async def run() -> None:
        async with live(tmp_path) as watch:
            await until(lambda: all(watch.market.symbols[s].counts.events > 12 for s in SYMBOLS))  # its pace is known
            began = time.monotonic()
            watch.sim.faults.add(Stall(symbol="BTCUSDT"))
            await until(lambda: watch.statuses() == {"BTCUSDT": "stale", "ETHUSDT": "live"})
            await until(lambda: watch.metric("vibe_replacements_total") > 0)
            watch.sim.faults.clear()
            over = time.monotonic()
            await watch.settled()
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())


@pytest.mark.fault(
    part="exchange",
    fault="a symbol says nothing for many seconds, the exchange is well",
    promise="live throughout, covered",
)
def test_a_quiet_symbol_is_live_and_its_seconds_are_covered(outcome: Outcome, tmp_path: Path) -> None:
    """It changes every few seconds, alone on its connection: only pings and the exchange's own book speak for it."""

    async def run() -> None:
        symbols = ("WANUSDT",)
        async with exchange(symbols=symbols) as sim, watching(sim, tmp_path, symbols="WANUSDT") as watch:
            await watch.all_live()
            began = time.monotonic()
            watch.statuses_seen.clear()
            state = watch.market.symbols["WANUSDT"]
            for _ in range(15):  # it was lively a moment ago: each silence is an unusual one
                state._chronicle.silence.event(time.monotonic_ns())
            stored = watch.runtime.recorder.snapshots_stored
            await until(lambda: stored["WANUSDT"] >= 25)
            assert watch.statuses_seen == {"live"}
            assert watch.metric("vibe_replacements_total") == 0
            rows = await watch.runtime.archive.writable().rows("WANUSDT", 0, 2**40)
            covered = [row.covered_ms == 1000 for row in rows]
            assert all(covered[covered.index(True) :])  # from the first whole second with a book on
            assert covered.count(True) >= 23
            watch.tell(outcome, since=began, over=time.monotonic())

    asyncio.run(run())


@pytest.mark.fault(
    part="exchange", fault="trade frames lost, repeated, cut, with a NaN", promise="what is missing is fetched by id"
)
def test_trades_are_stored_whole_whatever_becomes_of_their_frames(outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        async with live(tmp_path) as watch:
            await until(lambda: watch.market.symbols["BTCUSDT"].counts.trades > 5)
            began, over = await watch.suffer(
                [
                    Drop(channel="trades", probability=0.3, seconds=1.5),
                    Duplicate(channel="trades", probability=0.3, seconds=1.5),
                    Corrupt(channel="trades", probability=0.2, mode="truncated", seconds=1.5),
                    Corrupt(channel="trades", probability=0.2, mode="nan", seconds=1.5),
                    Drop(channel="trades", symbol="BTCUSDT", count=1),
                    Corrupt(channel="trades", mode="truncated", count=1),
                    Corrupt(channel="trades", mode="nan", count=1),
                ]
            )
            state, seen = watch.market.symbols["BTCUSDT"], watch.market.symbols["BTCUSDT"].counts.trades
            await until(lambda: state.counts.trades > seen and state.filling.filled > 0)
            await until(lambda: watch.metric("vibe_trade_holes") == 0)
            filled_at = time.monotonic()
            await watch.settled()
            await watch.store_is_true()
            assert watch.logged.count("malformed frame") == 2  # one line a kind
            watch.tell(outcome, since=began, over=over, recovered=filled_at)

    asyncio.run(run())
