"""The whole program driven by real recordings over sockets, with the recorded @bookTicker as the truth."""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from tests.collect.venue import rest_of
from tests.e2e.rig import Top, WatchedMarket, runtime_for
from tests.patience import PATIENCE_SECS
from tests.recordings import HAS_REAL, day_files
from vibe_orderbook_mcp.book.sync import Outcome
from vibe_orderbook_mcp.sim import ReplayConfig, ReplayExchange, book_tickers
from vibe_orderbook_mcp.sim.faults import Drop, Fault
from vibe_orderbook_mcp.venues.binance.wire import BinanceSpot

SYMBOLS = ("BTCUSDT", "ETHUSDT")
DEPTH_EVENTS = {"BTCUSDT": 6495, "ETHUSDT": 6470}  # counted in the raw lines
BEFORE_THE_BOOK = {"BTCUSDT": 3, "ETHUSDT": 2}  # of them, before the recorded depth answer


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


async def play(market: WatchedMarket, path: Path, *faults: Fault) -> None:
    """The whole recording at full speed. It goes on once everything that was sent has arrived and every book is live
    again, so a run is the same one however busy the machine is.
    """
    # A minute of the exchange passes in less than one, so the weight of a minute is allowed more often.
    async with ReplayExchange(ReplayConfig(files=day_files(), speed=0, seed=5, weight_limit=100 * 6000)) as sim:
        streams = [stream for symbol in SYMBOLS for stream in BinanceSpot().streams_of(symbol)]

        async def taken() -> None:
            while (
                market.frames < sim.hub.frames_sent or not all(map(sim.hub.wanted, streams)) or any(map(lags, SYMBOLS))
            ):
                await asyncio.sleep(0)

        def lags(symbol: str) -> bool:
            has_begun = sim.venue.states[symbol].ledger.last_id > 0
            return has_begun and market.symbols[symbol].needs_snapshot

        sim.hub.taken = taken
        for fault in faults:
            sim.faults.add(fault)
        runtime = runtime_for(sim.rest_url, sim.ws_url, path, market)
        rest_of(runtime).budget.limit *= 100
        async with runtime.hold():
            await asyncio.wait_for(sim.finished(), PATIENCE_SECS)
            await taken()


def test_every_top_of_two_recorded_days_equals_the_recorded_ticker(tmp_path: Path) -> None:
    """650 s of BTCUSDT and ETHUSDT: no gap, no crossing, and an independent truth at every single event."""
    market = WatchedMarket()
    asyncio.run(play(market, tmp_path / "db"))
    tickers = book_tickers(day_files())
    for symbol in SYMBOLS:
        state = market.symbols[symbol]
        assert (state.counts.gaps, state.counts.crossings, state.counts.resyncs) == (0, 0, 1)
        applied = market.count(symbol, Outcome.APPLIED)
        assert applied == DEPTH_EVENTS[symbol] - BEFORE_THE_BOOK[symbol] or not HAS_REAL
        assert applied > 6000
        equal, different = compare(market.tops[symbol], tickers[symbol])
        assert equal + different >= applied - 10
        assert different <= equal / 1000
        assert state.holes == []


def test_with_one_percent_lost_every_gap_is_noticed_and_no_wrong_top_is_live(tmp_path: Path) -> None:
    market = WatchedMarket()
    asyncio.run(play(market, tmp_path / "db", Drop(probability=0.01)))
    tickers = book_tickers(day_files())
    for symbol in SYMBOLS:
        state = market.symbols[symbol]
        ids = market.received[symbol][BEFORE_THE_BOOK[symbol] - 1 :]
        lost = sum(following[0] > event[1] + 1 for event, following in pairwise(ids))
        assert (state.counts.gaps, state.counts.resyncs, state.counts.crossings) == (lost, lost + 1, 0)
        assert lost > 50
        equal, different = compare(market.tops[symbol], tickers[symbol])
        assert equal + different >= len(ids) - lost - 10
        assert different <= equal / 1000, (equal, different, lost)
