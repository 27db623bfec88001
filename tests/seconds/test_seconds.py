"""Rows: when they are made, what they cover, and what the book looked like at their end."""

from __future__ import annotations

import pytest

from tests.book.exchange import SPEC, depth
from tests.seconds.rig import ASKS, BIDS, START_MS, Rig, flow
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.events import DepthSnapshot, Trade
from vibe_orderbook_mcp.model.rows import BANDS_BPS, BookTop, RowFlag, SecondRow
from vibe_orderbook_mcp.seconds.capture import capture_fields
from vibe_orderbook_mcp.seconds.tracker import CLOSE_MS, JUMP_SECONDS, SecondTracker


def seconds_of(rows: list[SecondRow]) -> list[int]:
    return [row.second for row in rows]


def test_a_row_is_final_when_its_late_trades_are_in() -> None:
    """Earlier a join would be cut off; much later a client would wait for nothing."""
    rig = Rig()
    rig.event(11_000 + CLOSE_MS - 1)
    assert rig.tracker.take() == []
    rig.event(11_000 + CLOSE_MS)
    assert seconds_of([row for row, _ in rig.tracker.take()]) == [10]
    assert rig.tracker.take() == []


def test_quiet_seconds_are_closed_by_the_clock() -> None:
    """No event says that a symbol is quiet. Its book stands, so the time is covered and shown at each end."""
    rig = Rig()
    rig.tracker.roll(14_000)
    closed = rig.tracker.take()
    assert seconds_of([row for row, _ in closed]) == [10, 11, 12]
    assert [row.covered_ms for row, _ in closed] == [1000, 1000, 1000]
    assert [row.events for row, _ in closed] == [1, 0, 0]
    assert all(row.spread_mean == row.spread_min == row.spread_max == 1.0 for row, _ in closed)
    assert all(top is not None and top.bids == tuple(BIDS) and top.asks == tuple(ASKS) for _, top in closed)


def test_time_does_not_run_backwards() -> None:
    """Two connections' frames can be a little out of order; the later second stays the one that is written to."""
    rig = Rig()
    rig.event(12_100)
    rig.event(11_900)
    rows = rig.rows()
    assert seconds_of(rows) == [10, 11, 12]
    assert [row.events for row in rows] == [1, 0, 2]


def test_a_row_that_takes_in_late_events_is_no_sound_one() -> None:
    """Five seconds of events after a stall are in one row: no update burst. The sums stay whole."""
    rig = Rig()
    rig.event(16_000)
    for event_ms in range(11_000, 16_000, 100):
        rig.event(event_ms)
    rig.event(17_000)
    late, after = [row for row in rig.rows() if row.second >= 16]
    assert (late.events, late.flags) == (51, RowFlag.PARTIAL)
    assert after.events == 1


def test_while_the_clock_is_put_back_no_row_grows_and_the_book_goes_on() -> None:
    """Its events belong to seconds that are over, and hours of them would be kept in memory for one row."""
    rig = Rig()
    rig.event(50_100)
    for event_ms in range(10_500, 40_000, 100):
        rig.event(event_ms, [(100.0, 1.0 + event_ms % 300)])
        rig.trade(event_ms, 100.0, 1.0, "sell")
    rig.event(50_200, [(100.5, 2.0)])
    rig.event(51_000)
    last, top = next((row, top) for row, top in rig.closed() if row.second == 50)
    assert (last.events, last.agg_trades, last.flags) == (2, 0, RowFlag.PARTIAL)
    assert top is not None
    assert top.bids[0] == (100.5, 2.0)
    assert flow(last, "bid") == (0.0, 0.0, 0.0)  # the first event after it is compared with nothing


def test_events_a_little_out_of_order_leave_a_row_sound() -> None:
    rig = Rig()
    for event_ms in (11_000, 12_100, 11_200, 12_300, 13_100):
        rig.event(event_ms)
    assert not any(row.flags & RowFlag.PARTIAL for row in rig.rows()[1:-1])


def test_the_spread_is_weighted_by_how_long_it_stood() -> None:
    """1.0 for 300 ms and 0.5 for 700 ms are 0.65, however many events there were."""
    rig = Rig([(100.0, 1.0), (99.0, 1.0)], [(101.0, 1.0)])
    rig.event(10_300, [(100.5, 1.0)])
    rig.event(10_500)
    rig.event(10_600)
    rig.event(11_200, [(100.5, 0.0)])
    first, second = rig.rows()
    assert first.covered_ms == 1000
    assert first.spread_mean == pytest.approx(0.65)
    assert (first.spread_min, first.spread_max) == (0.5, 1.0)
    assert (second.spread_min, second.spread_max) == (0.5, 1.0)  # the one it began with counts


def test_a_process_that_stops_has_covered_nothing_after_that() -> None:
    """The rest of the second was not seen. Nor was what came before the first event."""
    rig = Rig()
    rig.event(10_300)
    row = rig.row()
    assert row.covered_ms == 300
    assert row.flags == RowFlag.PARTIAL
    assert row.best_bid == 100.0


def test_finishing_twice_gives_each_second_once() -> None:
    """A second row of the same second would overwrite the first, which has the data."""
    rig = Rig()
    rig.event(10_300)
    assert len(rig.closed()) == 1
    rig.tracker.roll(12_000)  # the clock may go on for a moment
    assert rig.tracker.take() == []
    assert seconds_of(rig.rows()) == [12]
    assert rig.closed() == []


def test_nothing_is_finished_before_anything_began() -> None:
    """A symbol may be dropped before its first event."""
    tracker = SecondTracker(SPEC)
    tracker.finish()
    assert tracker.take() == []


def test_the_row_counts_events_rows_and_ids() -> None:
    """ids - rows is activity that was hidden inside the frame; `ids` is handed in because frames may overlap."""
    rig = Rig()
    rig.event(10_100, [(100.0, 4.0), (99.0, 0.0)], [(101.0, 1.0)], ids=5)
    rig.event(10_200, [(100.0, 5.0)], ids=2)
    row = rig.row()
    assert (row.events, row.rows, row.ids) == (3, 4, 8)


def test_the_row_shows_the_book_at_the_seconds_end() -> None:
    """An event of the next second must not be in it, though it is what closes it."""
    rig = Rig()
    rig.event(10_999, [(100.0, 6.0)])
    rig.event(11_000, [(100.0, 9.0)], [(101.0, 0.0)])
    (row, top), (after, _) = rig.closed()
    assert (row.best_bid, row.best_bid_size, row.best_ask, row.best_ask_size) == (100.0, 6.0, 101.0, 4.0)
    assert row.mid == 100.5
    assert top == BookTop(10_999, 102, ((100.0, 6.0), *BIDS[1:]), tuple(ASKS))
    assert (after.best_bid_size, after.best_ask) == (9.0, 102.0)


def test_a_level_exactly_at_a_bands_edge_is_inside_at_every_price() -> None:
    """50 bps of 1.20 are six ticks of 0.001: a last bit must not decide whether the sixth level counts."""
    for mid in range(1000, 3001, 20):  # in ticks, where each band is a whole number of hundredths of them
        ticks = list(range(1, 31))
        bids = [((mid - place) / 1000, 1.0) for place in ticks]
        asks = [((mid + place) / 1000, 1.0) for place in ticks]
        fields = capture_fields(OrderBook(DepthSnapshot(1, bids, asks)), 3, 0)
        within = tuple(sum(10_000 * place <= bps * mid for place in ticks) for bps in BANDS_BPS)
        assert fields["bid_band_base"] == fields["ask_band_base"] == within


def test_bands_are_cumulative_and_say_where_they_are_cut_off() -> None:
    """5 to 100 bps around mid. A band beyond the known book is a lower bound and its bit is set."""
    bids = [(99.95, 1.0), (99.92, 2.0), (99.5, 4.0), (99.1, 8.0)]
    asks = [(100.05, 1.0), (100.3, 2.0)]
    row = Rig(bids, asks, limit=4).row()
    assert row.mid == 100.0
    assert row.bid_band_base == (1.0, 3.0, 3.0, 7.0, 15.0)
    assert row.bid_band_quote == (99.95, 299.79, 299.79, 697.79, 1490.59)
    assert row.ask_band_base == (1.0, 1.0, 1.0, 3.0, 3.0)
    assert (row.bid_truncated, row.ask_truncated) == (16, 0)


@pytest.mark.parametrize(
    ("bids", "asks", "flag", "best"),
    [
        ([], [(101.0, 0.0), (102.0, 0.0), (103.0, 0.0)], RowFlag.ONE_SIDED, (100.0, None)),
        ([(101.0, 2.0)], [], RowFlag.LOCKED, (101.0, 101.0)),
        ([(101.5, 2.0)], [], RowFlag.CROSSED, (101.5, 101.0)),
    ],
)
def test_a_book_without_a_spread_is_flagged_and_covers_nothing(
    bids: list[tuple[float, float]],
    asks: list[tuple[float, float]],
    flag: RowFlag,
    best: tuple[float | None, float | None],
) -> None:
    """Figures that need a mid are None then, not 0, and the time is not counted as covered."""
    rig = Rig()
    rig.event(10_400, bids, asks)
    rig.tracker.roll(11_100)
    (row, top), _ = rig.closed()
    assert row.flags & flag
    assert row.covered_ms == 400
    assert row.mid is None
    assert row.bid_band_base == ()
    assert (row.best_bid, row.best_ask) == best
    assert (top is None) is (flag is not RowFlag.ONE_SIDED)  # half a book is worth keeping, a wrong one is not


def test_an_empty_book_is_not_stored() -> None:
    """A snapshot without levels would say that there were none."""
    rig = Rig([], [])
    ((row, top),) = rig.closed()
    assert row.flags & RowFlag.ONE_SIDED
    assert top is None
    assert row.best_bid is None


def test_a_lost_book_covers_nothing_until_it_is_back() -> None:
    """Every second without it carries the reason, the one in which it came back says so."""
    rig = Rig()
    rig.event(10_500)
    rig.lose(RowFlag.DISCONNECTED)
    rig.tracker.roll(13_200)
    rig.load()
    rig.event(13_300)
    rig.tracker.roll(14_000)
    closed = rig.closed()
    assert [row.covered_ms for row, _ in closed] == [500, 0, 0, 800, 0]
    assert [bool(row.flags & RowFlag.DISCONNECTED) for row, _ in closed] == [True, True, True, True, False]
    assert [bool(row.flags & RowFlag.RESYNC) for row, _ in closed] == [False, False, False, True, False]
    assert [top is None for _, top in closed] == [True, True, True, False, False]
    assert closed[1][0].mid is None


def test_events_of_a_lost_book_are_not_counted() -> None:
    """They wait in the buffer; what a row says of them would be said of no book."""
    rig = Rig()
    rig.lose()
    rig.tracker.applied(depth(1, 1, [(100.0, 1.0)]), ([5.0], []), 1)
    assert rig.row().events == 1


def test_a_stale_book_covers_nothing_until_it_speaks() -> None:
    """Silence beyond a symbol's pace is no proof that the spread still stands."""
    rig = Rig()
    rig.event(10_500)
    rig.tracker.stale()
    rig.event(12_300)
    rig.tracker.roll(13_000)
    assert [row.covered_ms for row in rig.rows()] == [500, 0, 700, 0]


def test_an_audited_copy_carries_on_without_a_break() -> None:
    """It is the same book at the same update; the row must not notice."""
    rig, other = Rig(), Rig()
    for each in (rig, other):
        each.event(10_100, [(100.0, 4.0)])
        if each is other:
            fresh = Rig().book
            fresh.apply(depth(100, each.book.last_update_id, [(100.0, 4.0)], event_ms=10_100))
            each.book = fresh
            each.tracker.swapped(fresh)
        each.event(10_200, [(100.0, 3.0)], [(100.5, 1.0)])
        each.trade(10_150, 100.0, 1.0, "sell")
    assert rig.closed() == other.closed()


# --- trades -------------------------------------------------------------------------------------------------


def test_a_row_sums_its_trades_by_aggressor() -> None:
    """Fills are counted from the trade ids: one aggregate trade can stand for many."""
    rig = Rig()
    rig.trade(10_200, 101.0, 2.0, "buy", fills=3)
    rig.trade(10_100, 100.0, 0.5, "sell", fills=2)
    rig.trade(10_300, 100.7, 1.5, "buy")
    row = rig.row()
    assert (row.buy_volume, row.sell_volume) == (3.5, 0.5)
    assert (row.buy_quote, row.sell_quote) == (353.05, 50.0)
    assert (row.buy_trades, row.sell_trades, row.agg_trades) == (4, 2, 3)
    assert (row.first_agg_id, row.last_agg_id) == (1, 3)
    assert row.size_squares == pytest.approx(4 + 0.25 + 2.25)
    assert (row.high, row.low) == (101.0, 100.0)


def test_a_second_without_trades_has_no_prices() -> None:
    """0 would be a price."""
    row = Rig().row()
    assert (row.agg_trades, row.first_agg_id, row.last_agg_id, row.high, row.low) == (0, None, None, None, None)


def test_trades_may_run_ahead_of_the_depth_stream() -> None:
    """The second is opened for them, and those in between."""
    rig = Rig()
    rig.trade(12_010, 101.0, 1.0, "buy")
    rig.event(12_100)
    assert [(row.second, row.buy_volume, row.events) for row in rig.rows()] == [(10, 0, 1), (11, 0, 0), (12, 1, 1)]


def test_a_trade_whose_second_is_final_counts_into_the_oldest_that_is_not() -> None:
    """Volume is not lost for being late; the tape keeps its exact time."""
    rig = Rig()
    rig.event(12_800)
    rig.trade(10_500, 101.0, 1.0, "buy")
    assert [(row.second, row.buy_volume) for row in rig.rows()] == [(10, 0), (11, 0), (12, 1)]


def test_a_trade_may_come_before_the_first_depth_event() -> None:
    """On an illiquid symbol it often does."""
    tracker = SecondTracker(SPEC)
    tracker.trade(Trade(1, 10_500, 101.0, 1.0, 1, 1, buyer_is_maker=False))
    tracker.roll(11_300)
    tracker.finish()
    assert [(row.second, row.buy_volume, row.covered_ms, row.flags) for row, _ in tracker.take()] == [
        (10, 1.0, 0, RowFlag.PARTIAL),
        (11, 0.0, 0, RowFlag.PARTIAL),
    ]


def test_a_trade_of_a_distant_future_opens_no_seconds() -> None:
    """A corrupt time must not make rows for it; the volume stays where the book's time is."""
    rig = Rig()
    rig.trade(10_000_000, 101.0, 1.0, "buy")
    assert [(row.second, row.buy_volume) for row in rig.rows()] == [(10, 1.0)]


def test_effective_spread_compares_with_the_mid_before_the_trade() -> None:
    """2.9 through the tracker: a buy of 2 at 100.1 (mid 100.05) and a sell of 1 at 99.9 (mid 100): 13.330002 bps."""
    rig = Rig([(100.0, 5.0), (99.95, 5.0), (99.9, 5.0)], [(100.1, 5.0)])
    rig.trade(10_050, 100.1, 2.0, "buy")
    rig.event(10_100, [(100.0, 0.0), (99.95, 0.0)])
    rig.trade(10_150, 99.9, 1.0, "sell")
    rig.event(10_200, [(99.9, 4.0)], [(100.2, 1.0), (100.1, 0.0)])
    row = rig.row()
    assert row.effective_spread_volume == 3.0
    assert row.effective_spread_sum / row.effective_spread_volume == pytest.approx(13.330002, abs=1e-6)


def test_a_trade_in_an_events_own_millisecond_is_compared_with_the_mid_before_it() -> None:
    """2.9 says E < T: the event may be the trade's own effect. So it is when the trade comes after the event."""
    for trade_first in (True, False):
        rig = Rig([(100.0, 5.0)], [(100.1, 5.0)])
        if trade_first:
            rig.trade(10_100, 100.1, 1.0, "buy")
        rig.event(10_100, [], [(100.3, 1.0), (100.1, 0.0)])
        if not trade_first:
            rig.trade(10_100, 100.1, 1.0, "buy")
        rig.event(10_200)
        assert rig.row().effective_spread_sum == pytest.approx(2e4 * 0.05 / 100.05)


def test_a_trade_waits_for_the_states_before_it() -> None:
    """It may come before the depth event that tells what the book was when it was made."""
    rig = Rig([(100.0, 5.0)], [(100.1, 5.0)])
    rig.trade(10_150, 100.3, 1.0, "buy")
    rig.event(10_100, [], [(100.3, 1.0), (100.1, 0.0)])
    rig.event(10_200)
    assert rig.row().effective_spread_sum == pytest.approx(2e4 * 0.15 / 100.15)


def test_the_mid_before_a_trade_may_be_old_on_a_quiet_symbol() -> None:
    """It stood until the next event, however long that took; the trade may come after that event."""
    rig = Rig([(100.0, 5.0)], [(100.1, 5.0)])
    rig.event(19_000, [], [(100.3, 1.0), (100.1, 0.0)])
    rig.trade(18_990, 100.1, 1.0, "buy")
    rows = rig.rows()
    assert rows[-2].effective_spread_volume == 1.0
    assert rows[-2].effective_spread_sum == pytest.approx(2e4 * 0.05 / 100.05)


def test_mids_are_not_kept_for_ever() -> None:
    """A trade that comes seconds late is compared with what is still known, or not at all."""
    rig = Rig([(100.0, 5.0)], [(100.1, 5.0)])
    for event_ms in range(10_100, 16_000, 100):
        rig.event(event_ms)
    rig.trade(10_050, 100.1, 1.0, "buy")
    assert sum(row.effective_spread_volume for row in rig.rows()) == 0.0


def test_without_a_mid_before_it_a_trade_has_no_effective_spread() -> None:
    """None, not 0: 0 would be a perfect market."""
    rig = Rig([(100.0, 5.0)], [(100.1, 5.0)])
    rig.event(10_100, [], [(100.1, 0.0)])
    rig.trade(10_150, 100.1, 1.0, "buy")
    rig.event(10_200)
    row = rig.row()
    assert (row.effective_spread_sum, row.effective_spread_volume, row.buy_volume) == (0.0, 0.0, 1.0)


# --- jumps --------------------------------------------------------------------------------------------------


def test_a_jump_in_time_leaves_a_hole_instead_of_rows() -> None:
    """A laptop slept: nothing is known of the hours between, and empty rows would say that nothing happened."""
    rig = Rig()
    rig.event(10_500)
    rig.trade(11_200, 101.0, 1.0, "buy")
    far_ms = 10_500 + (JUMP_SECONDS + 1) * 1000
    rig.event(far_ms, [(100.0, 4.0)])
    rig.event(far_ms + 300)
    rows = rig.rows()
    assert seconds_of(rows) == [10, 11, far_ms // 1000]
    assert [row.covered_ms for row in rows] == [500, 0, 300]
    assert rows[1].buy_volume == 1.0
    assert rows[-1].flags & RowFlag.PARTIAL


def test_a_silence_up_to_the_limit_is_filled_with_rows() -> None:
    """A very quiet symbol is no hole."""
    rig = Rig()
    rig.event(10_500 + JUMP_SECONDS * 1000)
    assert len(rig.rows()) == JUMP_SECONDS + 1


def test_a_book_that_comes_before_the_first_event_waits_for_time_to_begin() -> None:
    """A REST answer has no time of its own."""
    tracker = SecondTracker(SPEC)
    tracker.lost(RowFlag.GAP)
    tracker.stale()
    assert tracker.take() == []
    rig = Rig()
    assert rig.row().spread_min == 1.0


def test_the_first_book_is_no_resync() -> None:
    """A window after a plain start would say that the book was resynchronised, which sounds like trouble."""
    tracker = SecondTracker(SPEC)
    tracker.roll(START_MS)
    tracker.lost(RowFlag.RESYNC)  # the first snapshot was older than the stream
    tracker.roll(START_MS + 1500)
    book = OrderBook(DepthSnapshot(1, list(BIDS), list(ASKS)))
    tracker.synced(book)
    tracker.roll(START_MS + 3000)
    tracker.lost(RowFlag.GAP)
    tracker.synced(book)
    tracker.finish()
    flags = [RowFlag(row.flags) for row, _ in tracker.take()]
    assert flags[:3] == [RowFlag.PARTIAL, RowFlag.PARTIAL, RowFlag(0)]
    assert flags[3] & RowFlag.RESYNC
