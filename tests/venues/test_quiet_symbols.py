"""A symbol that says nothing on a connection that works: its book is live and its seconds are covered."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.answers.serving import exchange
from tests.book.exchange import SPEC, SYMBOL, depth
from tests.collect.venue import feed_of
from tests.e2e.rig import runtime_for, until
from tests.market.recordings import DEPTH_LIMIT, YEAR_2024, Recording, recorded
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.recorder import Recorder
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.silence import UNHEARD_MOST_MS
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow
from vibe_orderbook_mcp.sim.faults import RestStatus
from vibe_orderbook_mcp.venues.connection import ConnectionPulse

SECOND_NS = 1_000_000_000
START_MS = 1_700_000_000_000
BOOK = DepthSnapshot(10, [(100.0, 5.0)], [(101.0, 4.0)])
OTHER = DepthSnapshot(11, [(100.0, 6.0)], [(101.0, 4.0)])


class Played:
    """A market, its recorder and a clock; the exchange's and this machine's are the same."""

    def __init__(self, path: Path, pace_ms: int = 100) -> None:
        self.market = Market()
        self.state = self.market.add(SPEC)
        self.pulse = ConnectionPulse()
        self.state.follow(self.pulse)
        self.recorder = Recorder(self.market, Archive(path, cap_mb=64, retention_days=1))
        self.now_ms = 0
        self.update_id = 10
        self._event(10, 10)
        self.market.load(SYMBOL, BOOK, 5000, self._now_ns)
        for _ in range(30):
            self.wait(pace_ms)
            self.speak()

    @property
    def _now_ns(self) -> int:
        return self.now_ms * 1_000_000

    def _event(self, first: int, last: int) -> None:
        self.pulse.frame(self._now_ns)
        self.market.receive_depth(depth(first, last, event_ms=START_MS + self.now_ms), self._now_ns)

    def speak(self, missing: int = 0) -> None:
        first = self.update_id + 1 + missing
        self._event(first, first)
        self.update_id = first

    def wait(self, ms: int, *, answers: bool = True, look: DepthSnapshot | str | None = BOOK) -> None:
        """Time passes in steps of 100 ms, with a tick in each second, a ping in each, and an answer about the book."""
        for _ in range(ms // 100):
            self.now_ms += 100
            now_ns = self._now_ns
            if answers and self.now_ms % 1000 == 300:
                self.pulse.pong(now_ns - 100_000_000, now_ns)
                self.market.clock.observe(START_MS + self.now_ms, now_ns)
            if self.state.ask(now_ns):
                if isinstance(look, DepthSnapshot):
                    fresh = DepthSnapshot(max(self.update_id, look.last_update_id), look.bids, look.asks)
                    self.state.compare(fresh, now_ns, now_ns)
                elif look == "fails":
                    self.state.unanswered()
            if self.now_ms % 1000 == 900:
                self.recorder.tick(now_ns)

    def rows(self) -> list[SecondRow]:
        return [record.row for tick in self.recorder._queue for record in tick.seconds]

    def uncovered(self) -> list[int]:
        """Seconds since the start that are stored as not covered, but for the first."""
        first = START_MS // 1000
        return [row.second - first for row in self.rows() if row.second > first and row.covered_ms < 1000]


@pytest.mark.parametrize("secs", [2, 13, 43, 70])
def test_a_silence_that_the_exchange_confirms_is_covered_and_stored_as_it_passes(secs: int, tmp_path: Path) -> None:
    """2.65 % of the seconds of an unbroken stream were not."""
    played = Played(tmp_path)
    played.wait(secs * 1000)
    assert played.state.status(played._now_ns) == "live"
    rows = played.rows()
    assert rows[-1].second >= (START_MS + played.now_ms) // 1000 - 5
    assert played.uncovered() == []
    assert all(row.mid == 100.5 for row in rows[1:])
    played.speak()
    played.wait(5_000)
    assert played.uncovered() == []
    assert not any(row.flags & ~RowFlag.PARTIAL for row in played.rows())


def test_where_the_exchange_cannot_be_asked_the_connection_is_proof_enough(tmp_path: Path) -> None:
    played = Played(tmp_path)
    played.wait(43_000, look="fails")
    assert played.state.status(played._now_ns) == "live"
    played.speak()
    played.wait(3_000)
    assert played.uncovered() == []


def test_the_next_event_proves_a_silence_that_nothing_else_did(tmp_path: Path) -> None:
    """No answer in time, no pong: the seconds stay open for a while, and the next id completes them."""
    for silent_ms, answers, look in ((2_500, True, None), (UNHEARD_MOST_MS, False, "fails")):
        played = Played(tmp_path / str(answers))
        played.wait(silent_ms, answers=answers, look=look)
        played.speak()
        played.wait(3_000)
        assert played.uncovered() == [], (silent_ms, answers)


def test_a_gap_after_silence_takes_the_seconds_that_nobody_saw(tmp_path: Path) -> None:
    played = Played(tmp_path)
    played.wait(2_500, look=None)
    spoken = (played.now_ms - 2_500) // 1000
    played.speak(missing=5)
    played.wait(3_000)
    assert played.uncovered()[0] <= spoken + 1


def test_a_stream_that_stopped_covers_nothing_although_pings_are_answered(tmp_path: Path) -> None:
    """Seconds of "nothing happened" would be a calm that detectors take for normal."""
    played = Played(tmp_path)
    stopped = played.now_ms // 1000
    played.wait(20_000, look=OTHER)
    assert played.state.status(played._now_ns) == "stale"
    silent = range(stopped + 1, played.now_ms // 1000 - 5)
    assert set(silent) <= set(played.uncovered())
    assert all(row.covered_ms == 0 for row in played.rows() if row.second - START_MS // 1000 in silent)


def test_a_connection_that_does_not_answer_covers_nothing_and_is_stale(tmp_path: Path) -> None:
    played = Played(tmp_path)
    stopped = played.now_ms // 1000
    played.wait(20_000, answers=False, look="fails")
    assert played.state.status(played._now_ns) == "stale"
    assert set(range(stopped + 1, played.now_ms // 1000 - 9)) <= set(played.uncovered())
    played.wait(10_000)  # it answers again, and the exchange's book is the same
    assert played.state.status(played._now_ns) == "live"
    assert (played.now_ms // 1000 - 5) not in played.uncovered()


def test_silence_without_rest_is_quiet_while_pings_are_answered(tmp_path: Path) -> None:
    async def run() -> None:
        async with exchange("WANUSDT") as sim:
            runtime = runtime_for(sim.rest_url, sim.ws_url, tmp_path / "db", symbols="WANUSDT", backfill_hours=0)
            async with runtime.hold():
                assert await feed_of(runtime).wait_live("WANUSDT", PATIENCE_SECS)
                sim.faults.add(RestStatus(status=503))
                state: Any = runtime.market.symbols["WANUSDT"]
                stored = runtime.recorder.snapshots_stored
                before = stored["WANUSDT"]
                await until(lambda: stored["WANUSDT"] >= before + 10)
                assert state.status(time.monotonic_ns()) == "live"

    asyncio.run(run())


# --- recordings -------------------------------------------------------------------------------------------------


def thinned(recording: Recording) -> list[tuple[int, DepthUpdate | DepthSnapshot]]:
    """The same changes sent less often: now and then everything of 1 to 45 s in one event. No id is missing."""
    random = Random(7)
    out: list[tuple[int, DepthUpdate | DepthSnapshot]] = []
    waiting: list[DepthUpdate] = []
    until_ns = 0
    for received_ns, one in recording.told:
        if isinstance(one, DepthSnapshot):
            out.append((received_ns, one))
            until_ns = received_ns + 20 * SECOND_NS
        elif isinstance(one, DepthUpdate):
            waiting.append(one)
            if received_ns >= until_ns:
                out.append((received_ns, merged(waiting)))
                waiting = []
                is_silent = len(out) > 300 and random.random() < 0.02
                until_ns = received_ns + (round(random.uniform(1, 45) * SECOND_NS) if is_silent else 0)
            elif len(out) < 300:
                out += [(received_ns, each) for each in waiting]
                waiting = []
    return out


def merged(updates: list[DepthUpdate]) -> DepthUpdate:
    bids = {price: size for update in updates for price, size in update.bids}
    asks = {price: size for update in updates for price, size in update.asks}
    first, last = updates[0], updates[-1]
    return DepthUpdate(first.symbol, last.event_ms, first.first_id, last.final_id, [*bids.items()], [*asks.items()])


def uncovered_of(symbol: str, path: Path, *, is_watched: bool) -> tuple[int, int]:
    """Seconds of the thinned recording that are stored as not covered, of how many, from the first with a book on.

    `is_watched`: the connection is asked for signs of life, the exchange for its book.
    """
    recording = recorded(YEAR_2024, symbol)
    market, pulse = Market(), ConnectionPulse()
    recorder = Recorder(market, Archive(path, cap_mb=64, retention_days=1))
    state = market.add(recording.spec)
    if is_watched:
        state.follow(pulse)
    tick_ns = 0
    for received_ns, one in thinned(recording):
        while tick_ns and tick_ns + SECOND_NS <= received_ns:
            tick_ns += SECOND_NS
            pulse.pong(tick_ns - 100_000_000, tick_ns)
            confirm(market, symbol, tick_ns)
            recorder.tick(tick_ns)
        tick_ns = tick_ns or received_ns
        pulse.frame(received_ns)
        if isinstance(one, DepthUpdate):
            market.receive_depth(one, received_ns)
        else:
            market.load(symbol, one, DEPTH_LIMIT, received_ns)
    assert (state.counts.gaps, state.counts.crossings, state.counts.resyncs) == (0, 0, 1)
    rows = [record.row for tick in recorder._queue for record in tick.seconds]
    begun = next(place for place, row in enumerate(rows) if row.covered_ms == 1000)
    return sum(row.covered_ms < 1000 for row in rows[begun:]), len(rows) - begun


def confirm(market: Market, symbol: str, now_ns: int) -> None:
    """The exchange, asked, has the book of the stream so far."""
    state = market.symbols[symbol]
    if (book := state.book) is not None and state.ask(now_ns):
        same = DepthSnapshot(book.last_update_id, book.bids.top(100), book.asks.top(100))
        state.compare(same, now_ns, now_ns)


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT"])
def test_no_second_of_an_unbroken_recording_with_silences_is_uncovered(symbol: str, tmp_path: Path) -> None:
    uncovered, seconds = uncovered_of(symbol, tmp_path / "a", is_watched=True)
    assert seconds > 300
    assert uncovered == 0
    before, _ = uncovered_of(symbol, tmp_path / "b", is_watched=False)
    assert before > 20  # what the pace alone makes of it
