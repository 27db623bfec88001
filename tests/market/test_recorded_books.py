"""Books from Binance's own frames, compared with what its bookTicker stream said at the same update."""

from __future__ import annotations

import random
from decimal import Decimal
from functools import cache

import pytest

from tests.book.exchange import assert_true_side
from tests.market.recordings import DEPTH_LIMIT, YEAR_2021, YEAR_2024, Recording, recorded, touch_of
from tests.recordings import needs_recordings
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import Outcome
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.rows import SecondRow

BUSY = [(YEAR_2024, symbol) for symbol in ("BTCUSDT", "ETHUSDT")]
SMALL = [(YEAR_2021, symbol) for symbol in ("NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR")]
LOST_SHARE = 0.01
ANSWER_FRAMES = 3  # how many frames a REST answer takes
COMPARE_EVERY = 50


class Comparison:
    """The top of a book against bookTicker."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.equal = self.different = 0

    def see(self, book: OrderBook) -> None:
        told = self._recording.touch_at(book.last_update_id)
        if told is None:
            return
        if told == touch_of(book):
            self.equal += 1
        else:
            self.different += 1

    def assert_holds(self) -> None:
        """Two tickers of BTCUSDT seem to have been skipped by the recorder, so this is not 100 %."""
        assert self.equal > 0 or not self._recording.touches  # RUNEEUR's was quiet
        assert self.different <= 0.001 * (self.equal + self.different)


@cache
def replay(year: str, symbol: str) -> tuple[InstrumentOwner, Comparison, list[SecondRow]]:
    recording = recorded(year, symbol)
    market = Market()
    state = market.add(recording.spec)
    comparison = Comparison(recording)
    for received_ns, one in recording.told:
        if isinstance(one, DepthUpdate):
            market.receive_depth(one, received_ns)
            if state.book is not None:
                comparison.see(state.book)
        elif isinstance(one, DepthSnapshot):
            market.load(recording.symbol, one, DEPTH_LIMIT, received_ns)
        else:
            market.receive_trade(recording.symbol, one)
    return state, comparison, [each.record.row for each in state.finish().seconds]


@pytest.mark.parametrize(("year", "symbol"), BUSY + SMALL)
def test_every_book_is_what_the_exchange_showed(year: str, symbol: str) -> None:
    """The whole path on real frames: no gap is imagined, no book crosses, and the top is the one that traders saw."""
    state, comparison, rows = replay(year, symbol)
    comparison.assert_holds()
    assert (state.counts.gaps, state.counts.crossings, state.counts.resyncs) == (0, 0, 1)
    assert state.duplicate_trades == 0
    assert [row.second for row in rows] == list(range(rows[0].second, rows[-1].second + 1))
    assert all(row.covered_ms == 1000 for row in rows if row.mid is not None and not row.flags)
    volumes: dict[tuple[int, bool], Decimal] = {}
    for row in rows:
        for is_sell, volume in ((False, row.buy_volume), (True, row.sell_volume)):
            if volume:
                volumes[row.second, is_sell] = Decimal(repr(volume))
    assert volumes == recorded(year, symbol).volumes


@needs_recordings
@pytest.mark.parametrize(("symbol", "late", "refilled"), [("BTCUSDT", 1258, 1), ("ETHUSDT", 90, 0)])
def test_trades_find_their_depth_events_as_often_as_was_measured(symbol: str, late: int, refilled: int) -> None:
    """The rule of 0.2.4 was chosen by such counts; a join that is off by a millisecond or a side misses by far."""
    rows = replay(YEAR_2024, symbol)[2]
    assert (sum(row.joins_late for row in rows), sum(row.joins_open for row in rows)) == (late, refilled)


@pytest.mark.parametrize(("year", "symbol"), BUSY)
def test_lost_frames_are_noticed_and_no_book_is_wrong_while_it_is_live(year: str, symbol: str) -> None:
    """One frame in a hundred is lost. Snapshots come from a second, complete book, a few frames late, as REST would."""
    recording = recorded(year, symbol)
    frames = [(at_ns, one) for at_ns, one in recording.told if isinstance(one, DepthUpdate)]
    complete = complete_book(recording)
    chance = random.Random(20240808)
    market = Market()
    state = market.add(recording.spec)
    comparison = Comparison(recording)
    answer: tuple[int, DepthSnapshot] | None = None  # what was asked for at which frame
    is_missing = False
    lost = noticed = live = 0
    for place, (received_ns, update) in enumerate(frames):
        if update.final_id <= complete.last_update_id:
            continue
        complete.apply(update)
        if chance.random() < LOST_SHARE:
            lost += 1
            is_missing = True
            continue
        had_book = state.copy is not None
        outcome = market.receive_depth(update, received_ns)
        expected = Outcome.BUFFERED if not had_book else Outcome.GAP if is_missing else Outcome.APPLIED
        assert outcome is expected
        noticed += outcome is Outcome.GAP
        is_missing = False
        if not state.needs_snapshot:
            answer = None
        elif answer is None:
            answer = place, rest_answer(complete)
        elif place >= answer[0] + ANSWER_FRAMES:
            market.load(symbol, answer[1], DEPTH_LIMIT, received_ns)
            answer = None
        if state.book is not None:
            live += 1
            comparison.see(state.book)
            assert touch_of(state.book) == touch_of(complete)
            if live % COMPARE_EVERY == 0:
                assert_true_side(state.book.bids, complete.bids.sizes)
                assert_true_side(state.book.asks, complete.asks.sizes)
    comparison.assert_holds()
    assert lost > 50
    assert noticed == state.counts.gaps
    assert noticed > 0.9 * lost  # the others were lost while a snapshot was under way
    assert state.counts.resyncs in (noticed, noticed + 1)
    assert state.counts.crossings == 0
    assert live > 0.9 * len(frames)


def complete_book(recording: Recording) -> OrderBook:
    """The book of the recorded REST answer. Levels beyond it come to be known to it and to its answers alike."""
    return OrderBook(next(one for _, one in recording.told if isinstance(one, DepthSnapshot)))


def rest_answer(book: OrderBook) -> DepthSnapshot:
    return DepthSnapshot(book.last_update_id, book.bids.top(DEPTH_LIMIT), book.asks.top(DEPTH_LIMIT))
