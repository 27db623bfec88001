"""The whole program driven by real recordings over sockets, with the recorded @bookTicker as the truth."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Sequence
from pathlib import Path

from tests.e2e.rig import Top, WatchedMarket, all_live, runtime_for, until
from tests.recordings import DAYS_2024, needs_recordings
from vibe_orderbook_mcp.core.sync import Outcome
from vibe_orderbook_mcp.runtime import Runtime
from vibe_orderbook_mcp.sim import ReplayConfig, ReplayExchange, book_tickers
from vibe_orderbook_mcp.sim.faults import Drop

SYMBOLS = ("BTCUSDT", "ETHUSDT")
DEPTH_EVENTS = {"BTCUSDT": 6495, "ETHUSDT": 6470}  # counted in the raw lines

pytestmark = needs_recordings


def compare(tops: list[Top], tickers: Sequence[tuple[object, ...]]) -> tuple[int, int]:
    """(equal, different) best prices and sizes against the newest ticker at or before each book's update id."""
    ids = [int(str(ticker[0])) for ticker in tickers]
    equal = different = 0
    for update_id, bids, asks in tops:
        place = bisect.bisect_right(ids, update_id) - 1
        if place < 0:
            continue
        expected = tuple(float(str(value)) for value in tickers[place][1:])
        if expected == (*bids[0], *asks[0]):
            equal += 1
        else:
            different += 1
    return equal, different


async def play(runtime: Runtime, sim: ReplayExchange) -> None:
    async with runtime.hold():
        await all_live(runtime.feed, SYMBOLS, 20)
        await asyncio.wait_for(sim.finished(), 200)
        market = runtime.market
        last = dict.fromkeys(SYMBOLS, -1)

        def settled() -> bool:
            now = {symbol: market.symbols[symbol].events for symbol in SYMBOLS}
            same = now == last
            last.update(now)
            return same and all(market.symbols[symbol].book is not None for symbol in SYMBOLS)

        await asyncio.sleep(0.1)
        await until(settled, 20)


def test_every_top_of_two_recorded_days_equals_the_recorded_ticker(tmp_path: Path) -> None:
    """650 s of BTCUSDT and ETHUSDT: no gap, no crossing, and an independent truth at every single event."""
    market = WatchedMarket()

    async def run() -> None:
        async with ReplayExchange(ReplayConfig(files=DAYS_2024, speed=0)) as sim:
            await play(runtime_for(sim.rest_url, sim.ws_url, tmp_path / "db", market), sim)

    asyncio.run(run())
    tickers = book_tickers(DAYS_2024)
    for symbol in SYMBOLS:
        state = market.symbols[symbol]
        assert (state.gaps, state.crossings, state.resyncs) == (0, 0, 1)
        applied = market.count(symbol, Outcome.APPLIED)
        assert applied >= 0.98 * DEPTH_EVENTS[symbol]  # the first ones wait for the snapshot, longer on a busy machine
        equal, different = compare(market.tops[symbol], tickers[symbol])
        assert equal + different >= applied - 10
        assert different <= equal / 1000
        assert state.tape.holes == []


def test_with_one_percent_lost_every_gap_is_noticed_and_no_wrong_top_is_live(tmp_path: Path) -> None:
    market = WatchedMarket()

    async def run() -> None:
        # A minute of the exchange passes in 60 / 25 s, so the weight of a minute is allowed 25 times as often.
        config = ReplayConfig(files=DAYS_2024, speed=25, seed=5, weight_limit=25 * 6000)
        async with ReplayExchange(config) as sim:
            sim.faults.add(Drop(probability=0.01))
            runtime = runtime_for(sim.rest_url, sim.ws_url, tmp_path / "db", market)
            runtime.rest.budget.limit *= 25
            await play(runtime, sim)

    asyncio.run(run())
    tickers = book_tickers(DAYS_2024)
    gaps = {symbol: market.symbols[symbol].gaps for symbol in SYMBOLS}
    for symbol in SYMBOLS:
        equal, different = compare(market.tops[symbol], tickers[symbol])
        assert gaps[symbol] > 10
        assert equal > 3000
        assert different <= equal / 1000, (equal, different, gaps)
        assert market.symbols[symbol].crossings == 0
