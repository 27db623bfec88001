"""Symbols side by side: events from the feed, and answers to the tools."""

from __future__ import annotations

import msgspec
import pytest

from tests.book.exchange import SPEC, SYMBOL, depth
from vibe_orderbook_mcp.analytics.resting import LOOK_SECS
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import Loaded, Outcome
from vibe_orderbook_mcp.market.day_volume import DAY_MS, DayVolume
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.market.view import FEW_LEVELS
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow

SECOND_NS = 1_000_000_000
START_MS = 1_700_000_000_000
BIDS = [(100.0, 5.0), (99.0, 7.0)]
ASKS = [(101.0, 4.0), (102.0, 6.0)]


def snapshot(update_id: int, bids: list[tuple[float, float]] | None = None) -> DepthSnapshot:
    return DepthSnapshot(update_id, list(BIDS if bids is None else bids), list(ASKS))


class Exchange:
    """A market with one symbol, and a clock that the events and this machine share."""

    def __init__(self) -> None:
        self.market = Market()
        self.state = self.market.add(SPEC)
        self.now_ms = 0

    @property
    def now_ns(self) -> int:
        return self.now_ms * 1_000_000

    def event(
        self, first_id: int, final_id: int, bids: list[tuple[float, float]] | None = None, *, after_ms: int = 100
    ) -> Outcome | None:
        self.now_ms += after_ms
        update = depth(first_id, final_id, bids, event_ms=START_MS + self.now_ms)
        return self.market.receive_depth(update, self.now_ns)

    def load(self, update_id: int, *, limit: int = 5000) -> Loaded:
        return self.market.load(SYMBOL, snapshot(update_id), limit, self.now_ns)

    def live(self, update_id: int = 10) -> Exchange:
        self.event(update_id, update_id)
        assert self.load(update_id) is Loaded.LIVE
        return self

    @property
    def book(self) -> OrderBook:
        assert self.state.book is not None
        return self.state.book

    def status(self) -> str:
        return self.state.status(self.now_ns)

    def rows(self) -> list[SecondRow]:
        self.state._recorded.seconds.finish()
        return [row for row, _ in self.state._recorded.seconds.take()]


def test_a_symbol_is_added_once() -> None:
    """A second subscription must not throw the book away."""
    exchange = Exchange().live()
    assert exchange.market.add(SPEC) is exchange.state
    exchange.market.give_up(SYMBOL)
    exchange.market.give_up(SYMBOL)
    assert exchange.market.symbols == {}


def test_what_comes_for_a_symbol_that_is_not_kept_is_ignored() -> None:
    """Events can still be on their way after a symbol was dropped."""
    market = Market()
    assert market.receive_depth(depth(1, 1), 0) is None
    assert market.receive_trade(SYMBOL, Trade(1, 1, 1.0, 1.0, 1, 1, buyer_is_maker=True)) is False
    assert market.load(SYMBOL, snapshot(1), 5000, 0) is Loaded.NOT_NEEDED
    market.confirm(SYMBOL)
    market.disconnected({SYMBOL})
    assert market.symbols == {}
    assert market.exchange_ms(0) is None


def test_a_book_is_shown_from_its_proof_to_its_loss() -> None:
    """`book` is what tools see, `reason` what they say when there is none."""
    exchange = Exchange()
    seen = [(exchange.status(), exchange.state.reason)]
    exchange.event(11, 12)
    seen.append((exchange.status(), exchange.state.reason))
    exchange.load(11)
    seen.append((exchange.status(), exchange.state.reason))
    exchange.event(14, 15)
    seen.append((exchange.status(), exchange.state.reason))
    exchange.load(14)
    exchange.market.disconnected({SYMBOL, "UNKNOWN"})
    seen.append((exchange.status(), exchange.state.reason))
    assert seen == [
        ("syncing", "waiting for the first snapshot"),
        ("syncing", "waiting for the first snapshot"),
        ("live", ""),
        ("syncing", "resyncing after a gap in the stream"),
        ("syncing", "reconnecting to the exchange"),
    ]
    assert (exchange.state.counts.gaps, exchange.state.counts.resyncs, exchange.state.counts.crossings) == (1, 2, 0)


def test_an_unproven_book_is_not_shown_until_it_is_confirmed() -> None:
    """A quiet symbol: its stream is open and silent."""
    exchange = Exchange()
    assert exchange.load(10) is Loaded.UNPROVEN
    assert (exchange.status(), exchange.state.reason) == ("syncing", "waiting for the stream to confirm the snapshot")
    exchange.market.confirm(SYMBOL)
    assert (exchange.status(), exchange.state.reason) == ("live", "")


def test_a_confirmation_that_comes_too_late_does_not_hide_why_the_book_is_gone() -> None:
    """A gap may come while the feed waits for silence."""
    exchange = Exchange()
    exchange.load(10)
    exchange.event(20, 21)
    exchange.market.confirm(SYMBOL)
    assert (exchange.status(), exchange.state.reason) == ("syncing", "the first snapshot was older than the stream")
    assert exchange.state.counts.gaps == 0


def test_a_crossed_book_is_given_up_and_counted() -> None:
    """Crossed for one event it is only not shown."""
    exchange = Exchange().live()
    exchange.event(11, 11, [(101.0, 1.0)])
    assert exchange.status() == "syncing"
    assert exchange.event(12, 12) is Outcome.CROSSED
    assert exchange.state.counts.crossings == 1
    assert exchange.state.reason == "resyncing after the book crossed"
    assert exchange.rows()[0].flags & RowFlag.CROSSED


def test_a_snapshot_that_does_not_fit_changes_nothing() -> None:
    """Too old, or not needed."""
    exchange = Exchange()
    exchange.event(11, 12)
    assert exchange.load(3) is Loaded.TOO_OLD
    assert exchange.state.counts.resyncs == 0
    exchange.load(11)
    assert exchange.load(50) is Loaded.NOT_NEEDED
    assert exchange.state.counts.resyncs == 1
    assert exchange.book.last_update_id == 12


def test_a_loaded_book_has_the_time_of_its_newest_event_or_of_the_clock() -> None:
    """A REST answer carries no time."""
    exchange = Exchange().live()
    assert exchange.book.event_ms == START_MS + 100
    exchange.market.disconnected({SYMBOL})
    exchange.now_ms = 5_000
    exchange.load(30)
    exchange.market.confirm(SYMBOL)
    assert exchange.book.event_ms == START_MS + 5_000
    assert exchange.market.exchange_ms(exchange.now_ns) == START_MS + 5_000
    first = Exchange()
    first.load(10)
    first.market.confirm(SYMBOL)
    assert first.book.event_ms is None


def test_ids_are_counted_once_when_events_overlap() -> None:
    """Two connections cut at other ids during a change; ids are a count of actions and must not be counted twice."""
    exchange = Exchange().live(10)
    exchange.event(11, 15)
    exchange.event(14, 17)
    assert exchange.event(12, 17) is Outcome.OLD
    exchange.event(18, 18)
    assert (exchange.state.counts.events, exchange.state.counts.old_events) == (3, 1)
    row = exchange.rows()[0]
    assert (row.events, row.ids) == (3, 8)


def test_a_trade_beyond_what_the_exchange_accepts_is_skipped() -> None:
    """Stored, one absurd price would make every volume profile of its week unreadable."""
    exchange = Exchange().live()
    most_price, most_size = float(SPEC.max_price), float(SPEC.max_size)
    assert exchange.market.receive_trade(SYMBOL, Trade(5, START_MS, most_price, most_size, 7, 8, buyer_is_maker=False))
    for price, size in ((most_price * 1.01, 1.0), (100.0, most_size * 1000)):
        trade = Trade(6, START_MS + 150, price, size, 9, 9, buyer_is_maker=False)
        assert not exchange.market.receive_trade(SYMBOL, trade)
    assert (exchange.state.counts.trades, exchange.state.counts.impossible_trades) == (1, 2)
    assert exchange.state.moment(exchange.now_ns).last_price == most_price


def test_a_book_off_its_grid_says_so_and_starts_anew_on_another_one() -> None:
    """Figures would be rounded to the former tick. Trades and finished seconds do not depend on it."""
    exchange = Exchange().live()
    finer = 10.0 ** -(SPEC.tick_exp + 1)
    was_off_grid = exchange.state.is_off_grid
    exchange.event(11, 11, [(100.0 + finer, 1.0)])
    assert (was_off_grid, exchange.state.is_off_grid) == (False, True)
    exchange.market.receive_trade(SYMBOL, Trade(1, START_MS + 50, 101.0, 1.0, 1, 1, buyer_is_maker=False))
    exchange.event(12, 12, after_ms=3000)
    before = exchange.state
    spec = msgspec.structs.replace(SPEC, tick_size=SPEC.tick_size / 10)
    after = exchange.state = exchange.market.regrid(spec)
    assert exchange.market.symbols[SYMBOL] is after
    assert (after.spec, after.book, after.counts.events, after.counts.trades) == (spec, None, before.counts.events, 1)
    assert (after.filling, after.unsaved, after.past) == (before.filling, before.unsaved, before.past)
    assert after.watch is not before.watch  # what is usual is counted in ticks
    assert before.book is None  # an answer about it that is on its way must not speak for the new one
    assert [trade.agg_id for trade in after._chronicle.tape.take()] == [1]
    assert not after._chronicle.tape.receive(Trade(1, START_MS + 50, 101.0, 1.0, 1, 1, buyer_is_maker=False))
    assert [row.second - START_MS // 1000 for row, _ in after._recorded.seconds.take()] == [0, 1, 2, 3]
    assert before._recorded.seconds.take() == []
    exchange.live(20)
    exchange.event(21, 21, [(100.0 + finer, 1.0)])
    assert not after.is_off_grid


def test_trades_are_told_once() -> None:
    """The tape decides what is new; rows and the session must not count it again."""
    exchange = Exchange().live()
    trade = Trade(5, START_MS + 150, 101.0, 2.0, 7, 8, buyer_is_maker=False)
    assert exchange.market.receive_trade(SYMBOL, trade)
    assert not exchange.market.receive_trade(SYMBOL, trade)
    assert exchange.state.counts.trades == 1
    assert exchange.rows()[0].buy_volume == 2.0


# --- status by age ------------------------------------------------------------------------------------------


def test_a_book_of_unknown_pace_is_given_a_minute() -> None:
    """An illiquid symbol says nothing for minutes, and nothing is known of this one yet."""
    exchange = Exchange().live()
    exchange.now_ms += 60_000
    assert exchange.status() == "live"
    exchange.now_ms += 1
    assert exchange.status() == "stale"


@pytest.mark.parametrize(("pace_ms", "stale_after_ms"), [(100, 3_000), (1_000, 30_000)])
def test_a_book_is_stale_after_thirty_of_its_usual_intervals_but_not_before_five_seconds(
    pace_ms: int, stale_after_ms: int
) -> None:
    """A major that says nothing for three seconds is stuck; a slow symbol that does so for thirty is as it was."""
    exchange = Exchange().live()
    for update_id in range(11, 31):
        exchange.event(update_id, update_id, after_ms=pace_ms)
    assert exchange.state._chronicle.silence.stale_after_ns == pytest.approx(stale_after_ms * 1_000_000)
    exchange.now_ms += stale_after_ms - 10
    assert exchange.status() == "live"
    exchange.now_ms += 20
    assert exchange.status() == "stale"
    exchange.event(31, 31)
    assert exchange.status() == "live"


def test_the_age_of_a_book_is_never_negative() -> None:
    """`now` may have been read before the event came."""
    exchange = Exchange()
    assert exchange.state.age_ns(5) is None
    exchange.live()
    assert exchange.state.age_ns(exchange.now_ns - 5) == 0
    assert exchange.state.age_ns(exchange.now_ns + 5) == 5


def test_the_pace_is_measured_between_events() -> None:
    """The first one has nothing before it."""
    state = InstrumentOwner(SPEC)
    for place in range(11):
        state._chronicle.silence.event(place * 2 * SECOND_NS)
    assert state._chronicle.silence.stale_after_ns == pytest.approx(60 * SECOND_NS)


def test_a_book_runs_short_when_the_market_nears_the_edge_of_what_was_loaded() -> None:
    """A fresh snapshot in time costs nothing; one too late costs the truth beyond the edge."""
    bids = [(10_000.0 - i, 1.0) for i in range(FEW_LEVELS)]
    market = Market()
    state = market.add(SPEC)
    assert not state.is_running_short
    market.receive_depth(depth(10, 10), 0)
    market.load(SYMBOL, DepthSnapshot(10, bids, [(20_000.0, 1.0)]), FEW_LEVELS, 0)
    seen = [state.is_running_short]
    market.receive_depth(depth(11, 11, [(10_000.0, 0.0)]), 0)
    seen.append(state.is_running_short)
    assert seen == [False, True]


# --- audits -------------------------------------------------------------------------------------------------


def audited(exchange: Exchange) -> tuple[int, int]:
    return exchange.state.counts.audits, exchange.state.counts.audit_mismatches


def test_an_equal_copy_takes_the_books_place() -> None:
    """It knows as much and is fresh; the book goes on at the same update without a resync."""
    exchange = Exchange().live(10)
    exchange.state.begin_audit()
    before = exchange.book
    exchange.event(11, 12, [(100.0, 6.0)])
    assert exchange.state.load_audit(snapshot(10), 5000) is Loaded.LIVE
    assert audited(exchange) == (1, 0)
    assert exchange.book is not before
    assert exchange.book.event_ms == before.event_ms
    assert not exchange.state.is_audited
    assert exchange.event(13, 13, [(100.0, 8.0)]) is Outcome.APPLIED
    assert exchange.book.bids.sizes[100.0] == 8.0
    assert exchange.state.counts.resyncs == 1


def test_a_fresh_copy_is_as_old_as_the_book_whose_place_it_takes() -> None:
    """It was loaded a moment ago; its levels have stood for longer."""
    exchange = Exchange().live(10)
    exchange.event(11, 11, [(98.5, 3.0)])
    since_ms = exchange.book.bids.since_ms(98.5)
    assert since_ms is not None
    exchange.state.begin_audit()
    fresh = snapshot(11, [*exchange.book.bids.top(9)])
    exchange.state.load_audit(fresh, 5000)
    assert audited(exchange) == (1, 0)
    assert exchange.book.bids.since_ms(98.5) == since_ms
    assert exchange.book.bids.since_ms(100.0) is None


def test_a_snapshot_ahead_of_the_book_is_compared_when_the_book_has_caught_up() -> None:
    """REST and the stream are not in step."""
    exchange = Exchange().live(10)
    exchange.state.begin_audit()
    ahead = snapshot(13, [(100.0, 6.0), (99.0, 7.0)])
    assert exchange.state.load_audit(ahead, 5000) is Loaded.UNPROVEN
    assert audited(exchange) == (0, 0)
    exchange.event(11, 12, [(100.0, 9.0)])
    assert audited(exchange) == (0, 0)
    exchange.event(13, 13, [(100.0, 6.0)])
    assert audited(exchange) == (1, 0)


def test_a_tampered_book_is_found_and_mended() -> None:
    """What the sequence cannot show: a level that went wrong although no id is missing."""
    exchange = Exchange().live(10)
    exchange.book.bids.apply([(99.0, 1.0)])
    exchange.state.begin_audit()
    exchange.event(11, 11)
    exchange.state.load_audit(snapshot(11), 5000)
    assert audited(exchange) == (1, 1)
    assert exchange.book.bids.sizes[99.0] == 7.0


def test_a_snapshot_from_before_the_audit_cannot_be_used() -> None:
    """The events between the two were not kept for the second copy."""
    exchange = Exchange().live(10)
    exchange.event(11, 12)
    exchange.state.begin_audit()
    assert exchange.state.load_audit(snapshot(11), 5000) is Loaded.TOO_OLD
    assert exchange.state.load_audit(snapshot(12), 5000) is Loaded.UNPROVEN
    assert audited(exchange) == (1, 0)


def test_an_audit_ends_with_the_book_or_by_wish() -> None:
    """Without a book there is nothing to compare with, and its copy would go on buffering."""
    exchange = Exchange()
    exchange.state.begin_audit()
    assert not exchange.state.is_audited
    exchange.live(10)
    exchange.state.begin_audit()
    exchange.event(15, 15)
    assert exchange.state.load_audit(snapshot(15), 5000) is Loaded.NOT_NEEDED
    exchange.load(15)
    exchange.state.begin_audit()
    exchange.state.end_audit()
    assert exchange.state.load_audit(snapshot(15), 5000) is Loaded.NOT_NEEDED
    assert audited(exchange) == (0, 0)


# --- time ---------------------------------------------------------------------------------------------------


def test_a_corrupt_time_stamp_does_not_close_hours_of_seconds() -> None:
    """One bad stamp may cost ten seconds of rows, not the night's."""
    exchange = Exchange().live(10)
    exchange.event(11, 11)
    corrupt = DepthUpdate(SYMBOL, START_MS + 36_000_000, 12, 12, [(100.0, 1.0)], [])
    assert exchange.market.receive_depth(corrupt, exchange.now_ns) is Outcome.APPLIED
    for update_id in range(13, 213):
        exchange.event(update_id, update_id, [(100.0, float(update_id))])
    rows = exchange.rows()
    assert [row.second for row in rows] == list(range(START_MS // 1000, START_MS // 1000 + 21))
    assert sum(row.bid.added for row in rows) == 211.0
    assert sum(row.events for row in rows) == 202


def test_the_time_without_a_connection_is_not_covered() -> None:
    """Neither by the book that was lost nor by the one that came after it, however the seconds are closed."""
    exchange = Exchange().live(10)
    exchange.event(11, 11, after_ms=400)
    exchange.market.disconnected({SYMBOL})
    exchange.now_ms = 5_300
    assert exchange.load(50) is Loaded.UNPROVEN
    exchange.event(51, 51, after_ms=100)
    exchange.event(52, 52, after_ms=600)
    rows = exchange.rows()
    assert [row.covered_ms for row in rows] == [400, 0, 0, 0, 0, 600, 0]
    assert [bool(row.flags & RowFlag.DISCONNECTED) for row in rows] == [True] * 6 + [False]


def test_a_market_of_the_future_opens_with_its_first_event() -> None:
    """The first stamp is believed: there is nothing to compare it with."""
    exchange = Exchange()
    exchange.event(10, 10)
    assert exchange.market.exchange_ms(exchange.now_ns) == START_MS + 100


# --- the session --------------------------------------------------------------------------------------------


def session_trade(agg_id: int, time_ms: int, size: float, *, is_sell: bool = False) -> Trade:
    return Trade(agg_id, time_ms, 1.0, size, agg_id, agg_id, buyer_is_maker=is_sell)


def volumes(state: InstrumentOwner, *trades: Trade) -> tuple[float, float] | None:
    for trade in trades:
        state._chronicle.tape.receive(trade)
        state._chronicle.day.add(trade)
    return state.day_volumes


def test_a_session_is_whole_from_the_first_midnight_on() -> None:
    """Half a day's volume under the name of a day's would be wrong by half."""
    state = InstrumentOwner(SPEC)
    assert volumes(state, session_trade(1, DAY_MS - 5, 9.0)) is None
    assert volumes(state, session_trade(2, DAY_MS, 1.0), session_trade(3, DAY_MS + 9, 0.5, is_sell=True)) == (1.0, 0.5)
    assert volumes(state, session_trade(4, 2 * DAY_MS + 1, 3.0)) == (3.0, 0.0)


def test_a_missing_trade_costs_the_session_until_it_comes() -> None:
    """One that was fetched into the archive is no hole of the tape any more, but its volume was not added here."""
    state = InstrumentOwner(SPEC)
    volumes(state, session_trade(1, DAY_MS - 5, 9.0), session_trade(2, DAY_MS, 1.0))
    assert volumes(state, session_trade(4, DAY_MS + 9, 1.0)) is None
    assert volumes(state, session_trade(3, DAY_MS + 8, 1.0)) == (3.0, 0.0)
    assert volumes(state, session_trade(6, DAY_MS + 9, 1.0)) is None
    state.fill(5, 5)
    assert state.day_volumes is None
    assert volumes(state, session_trade(7, 2 * DAY_MS, 2.0)) == (2.0, 0.0)


def test_a_late_trade_of_yesterday_is_not_todays_volume() -> None:
    """Order of arrival is not order of time, at midnight neither. Its id belongs to the count nevertheless."""
    session = DayVolume()
    for trade in (
        session_trade(1, DAY_MS - 5, 9.0),
        session_trade(3, DAY_MS, 1.0),
        session_trade(2, DAY_MS - 1, 5.0),
    ):
        session.add(trade)
    assert session.volumes == (1.0, 0.0)


def test_time_before_a_gap_was_not_seen() -> None:
    """The event that shows a gap also shows that the time since the last one proves nothing."""
    exchange = Exchange().live()
    for update_id in range(11, 31):
        exchange.event(update_id, update_id, after_ms=100)
    last_ms = START_MS + exchange.now_ms
    exchange.event(40, 41, after_ms=5_000)  # nine updates are missing
    exchange.state._recorded.seconds.finish()
    taken = exchange.state._recorded.seconds.take()
    assert sum(row.covered_ms for row, _ in taken) == 2_000  # from the first event to the last that joined
    assert all(top is None for row, top in taken if (row.second + 1) * 1000 > last_ms)


def test_silence_between_two_events_that_join_is_time_that_was_seen() -> None:
    """Nothing happened: the ids say so."""
    exchange = Exchange().live()
    exchange.event(11, 11, after_ms=100)
    exchange.event(12, 12, after_ms=5_000)
    exchange.event(13, 13, after_ms=2_000)
    rows = [row for row, _ in exchange.state._recorded.seconds.take()]
    assert [row.covered_ms for row in rows[1:4]] == [1000, 1000, 1000]


def test_silence_beyond_what_is_usual_is_not_seen_when_the_clock_closes_its_seconds() -> None:
    """A frozen feed stores no snapshots and covers nothing."""
    exchange = Exchange().live()
    for update_id in range(11, 31):
        exchange.event(update_id, update_id, after_ms=100)
    assert exchange.state._chronicle.silence.quiet_ns == SECOND_NS
    exchange.now_ms += 6_000
    exchange.state._recorded.seconds.stale()  # what the recorder says of a symbol that is silent beyond `quiet_ns`
    exchange.state._recorded.seconds.roll(START_MS + exchange.now_ms)
    taken = exchange.state._recorded.seconds.take()
    assert sum(row.covered_ms for row, _ in taken) == 2_000
    assert [top for row, top in taken][3:] == [None] * (len(taken) - 3)
    exchange.event(31, 31)
    assert exchange.status() == "live"


def test_after_a_loss_the_micro_price_starts_a_new_chain() -> None:
    """The state after a gap does not follow from the one before it."""
    exchange = Exchange().live()
    steps = exchange.state._recorded.steps
    for update_id in range(11, 21):
        exchange.event(update_id, update_id, [(100.99, float(update_id))])
    counted = steps.transitions
    assert counted > 0
    exchange.event(40, 41)
    exchange.load(41)
    exchange.event(42, 42, [(100.99, 3.0)])
    assert steps.transitions == counted  # one state, no step to it
    exchange.event(43, 43, [(100.99, 4.0)])
    assert steps.transitions == counted + 1


def test_resting_depth_is_looked_at_where_each_second_ends_and_not_while_a_book_is_lost() -> None:
    """The time average is of books that were seen: a symbol without one adds nothing to it."""
    exchange = Exchange().live()
    assert exchange.state._resting.depth("bid") is None
    for update_id in range(11, 41):
        exchange.event(update_id, update_id, after_ms=1000)
    depth = exchange.state._resting.depth("bid")
    assert depth is not None
    assert depth.samples == 30 // LOOK_SECS
    exchange.market.disconnected({SYMBOL})
    assert exchange.state._resting.depth("bid") is None
    exchange.event(50, 50, after_ms=5000)
    assert exchange.state._resting.depth("bid") is None


# --- what answers are made of --------------------------------------------------------------------------------


def test_a_moment_says_what_was_so_when_it_was_made() -> None:
    """An answer takes a while, and events go on: its price, its age and its status must be of one and the same book."""
    exchange = Exchange()
    nothing = exchange.state.moment(exchange.now_ns)
    exchange.live()
    exchange.market.receive_trade(SYMBOL, Trade(1, START_MS + 50, 100.5, 1.0, 1, 1, buyer_is_maker=False))
    exchange.now_ms += 40
    live = exchange.state.moment(exchange.now_ns)
    before = msgspec.structs.asdict(live)
    exchange.event(11, 11, [(100.5, 1.0)], after_ms=60)
    exchange.market.disconnected({SYMBOL})
    lost = exchange.state.moment(exchange.now_ns)
    assert msgspec.structs.asdict(live) == before
    assert (nothing.status, nothing.now_ms, nothing.has_book, nothing.newest_ms, nothing.age_ns) == (
        *("syncing", None, False, None, None),
    )
    assert (live.status, live.reason, live.mid, live.last_price, live.last_trade_ms) == (
        *("live", "", 100.5, 100.5, START_MS + 50),
    )
    assert (live.now_ms, live.newest_ms, live.silent_secs) == (START_MS + 140, START_MS + 100, 0.04)
    assert (live.last_update_id, live.loads, live.defect) == (10, 1, None)
    assert (lost.status, lost.reason, lost.mid, lost.newest_ms) == (
        *("syncing", "reconnecting to the exchange", None, START_MS + 200),
    )


@pytest.mark.parametrize(
    ("bids", "asks", "defect"),
    [
        ([], ASKS, "one side of the book is empty"),
        (BIDS, [], "one side of the book is empty"),
        ([], [], "the book is empty"),
        (BIDS, ASKS, None),
    ],
)
def test_a_moment_says_what_a_live_book_lacks_for_a_market(
    bids: list[tuple[float, float]], asks: list[tuple[float, float]], defect: str | None
) -> None:
    """A halted market may have no bids at all; its book is in sequence, and there is no mid."""
    exchange = Exchange()
    exchange.event(10, 10)
    exchange.market.load(SYMBOL, DepthSnapshot(10, bids, asks), 5000, exchange.now_ns)
    now = exchange.state.moment(exchange.now_ns)
    assert (now.status, now.defect, now.mid is None) == ("live", defect, defect is not None)


def test_two_books_at_the_same_update_are_told_apart() -> None:
    """A fresh copy at the same update may know levels that the former one did not."""
    exchange = Exchange().live(10)
    before = exchange.state.moment(exchange.now_ns)
    exchange.state.begin_audit()
    exchange.state.load_audit(snapshot(10), 5000)
    after = exchange.state.moment(exchange.now_ns)
    assert (before.last_update_id, after.last_update_id) == (10, 10)
    assert before.loads != after.loads


def test_a_frame_keeps_its_levels_their_ages_and_what_was_traded_there() -> None:
    """The wall that an answer describes is the one that stood when it was asked for."""
    exchange = Exchange()
    assert exchange.state.frame() is None
    exchange.live()
    exchange.event(11, 11, [(100.5, 3.0)])
    came_ms = START_MS + exchange.now_ms
    exchange.market.receive_trade(SYMBOL, Trade(1, came_ms + 20, 100.5, 1.0, 1, 1, buyer_is_maker=True))
    exchange.event(12, 12, [(100.5, 2.0)])
    exchange.event(13, 13, after_ms=1000)  # what came with which event is settled by now
    frames = exchange.state.frame(), exchange.state.frame(1)
    exchange.event(14, 14, [(100.5, 0.0)])
    exchange.event(15, 15, [(100.5, 9.0)])
    exchange.event(16, 16, after_ms=1000)
    near, best = frames
    assert near is not None
    assert best is not None
    assert (near.last_update_id, near.event_ms, near.view.best_bid) == (13, came_ms + 1100, 100.5)
    assert near.level_history("bid", 100.5) == (came_ms, 1.0)
    assert near.level_history("bid", 100.0) == (None, 0.0)
    assert near.level_history("ask", 100.5) == (None, 0.0)
    assert (list(best.view.bids), list(best.view.asks)) == ([(100.5, 2.0)], [(101.0, 4.0)])
    now = exchange.state.frame()
    assert now is not None
    assert now.level_history("bid", 100.5) == (came_ms + 1300, 0.0)
