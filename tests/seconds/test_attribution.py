"""What was traded, added and cancelled: the worked figures of 2.1, the joins of 0.2.4, and the identity."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.book.exchange import SPEC, price_at, size_at
from tests.seconds.rig import ASKS, BIDS, START_MS, Rig, flow
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.model.events import DepthSnapshot, Side, Trade
from vibe_orderbook_mcp.model.rows import SecondRow


@pytest.mark.parametrize(
    ("before", "after", "traded", "expected"),
    [
        (5.0, 3.2, 1.0, (0.0, 0.8, 1.0)),
        (2.0, 2.0, 1.5, (1.5, 0.0, 1.5)),
        (0.0, 2.5, 0.0, (2.5, 0.0, 0.0)),
        (2.5, 0.0, 2.5, (0.0, 0.0, 2.5)),
        (2.5, 0.0, 0.0, (0.0, 2.5, 0.0)),
        (1.0, 1.0, 4.0, (4.0, 0.0, 4.0)),  # more was traded than was shown: a hidden part refilled it
        (0.3, 0.1, 0.2, (0.0, 0.0, 0.2)),  # 0.1 - 0.3 + 0.2 is not 0 in doubles
    ],
)
@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize("trade_first", [True, False])
def test_the_worked_figures(
    before: float, after: float, traded: float, expected: tuple[float, float, float], side: Side, trade_first: bool
) -> None:
    """change = added - cancelled - traded, on both sides, whether the trade or its depth event comes first."""
    price = 100.0 if side == "bid" else 101.0
    others = [(90.0, 1.0)], [(110.0, 1.0)]
    rig = Rig(
        *[
            [*rest, (price, before)] if rest_side == side else rest
            for rest_side, rest in zip(("bid", "ask"), others, strict=True)
        ]
    )
    rows = [(price, after)]

    def trade() -> None:
        if traded:
            rig.trade(10_050, price, traded, "sell" if side == "bid" else "buy")

    if trade_first:
        trade()
    rig.event(10_100, rows if side == "bid" else (), rows if side == "ask" else ())
    if not trade_first:
        trade()
    row = rig.row()
    assert flow(row, side) == expected
    assert flow(row, "ask" if side == "bid" else "bid") == (0.0, 0.0, 0.0)
    sums = row.bid if side == "bid" else row.ask
    assert (sums.add_events, sums.cancel_events) == (int(expected[0] > 0), int(expected[1] > 0))


def test_buyers_take_asks_and_sellers_take_bids() -> None:
    """A trade joined to the wrong side would make a cancellation there and an addition here."""
    rig = Rig([(100.0, 5.0)], [(100.5, 5.0)])
    rig.trade(10_010, 100.0, 1.0, "sell")
    rig.trade(10_020, 100.5, 2.0, "buy")
    rig.event(10_100, [(100.0, 4.0)], [(100.5, 3.0)])
    row = rig.row()
    assert flow(row, "bid") == (0.0, 0.0, 1.0)
    assert flow(row, "ask") == (0.0, 0.0, 2.0)


def test_a_trade_in_an_events_own_millisecond_belongs_to_the_next() -> None:
    """0.2.4: E >= T + 1 ms."""
    rig = Rig()
    rig.event(10_100, [(100.0, 6.0)])
    rig.trade(10_100, 100.0, 1.0, "sell")
    rig.event(10_200, [(100.0, 5.0)])
    row = rig.row()
    assert flow(row, "bid") == (1.0, 0.0, 1.0)
    assert row.joins_late == row.joins_open == 0


def test_the_first_event_that_names_the_level_is_the_trades_own() -> None:
    """In bursts the exchange publishes late: the event in between says nothing of the level, and is counted."""
    rig = Rig()
    rig.trade(10_050, 100.0, 1.0, "sell")
    rig.event(10_100, [(99.0, 8.0)])
    rig.event(10_200, [(100.0, 4.0)])
    rig.event(10_300, [(100.0, 3.0)])
    row = rig.row()
    assert flow(row, "bid") == (1.0, 1.0, 1.0)
    assert (row.joins_late, row.joins_open) == (1, 0)


def test_a_trade_that_comes_after_its_event_is_joined_all_the_same() -> None:
    """For 13 % of recorded BTCUSDT trades the depth event was there first. Also past one that lacks the level."""
    rig = Rig()
    rig.event(10_100, [(99.0, 8.0)])
    rig.event(10_200, [(100.0, 4.0)])
    rig.event(10_300, [(100.0, 3.0)])
    rig.trade(10_050, 100.0, 1.0, "sell")
    row = rig.row()
    assert flow(row, "bid") == (1.0, 1.0, 1.0)
    assert (row.joins_late, row.joins_open) == (1, 0)


@pytest.mark.parametrize(("event_ms", "joined"), [(10_351, True), (10_352, False)])
def test_a_join_reaches_three_hundred_milliseconds(event_ms: int, joined: bool) -> None:
    """Later changes of the level are somebody else's."""
    rig = Rig()
    rig.trade(10_050, 100.0, 1.0, "sell")
    rig.event(event_ms, [(100.0, 4.0)])
    rig.event(10_900)
    row = rig.row()
    assert flow(row, "bid") == ((0.0, 0.0, 1.0) if joined else (1.0, 1.0, 1.0))
    assert row.joins_open == int(not joined)


def test_a_level_that_no_event_names_was_refilled_to_the_same_size() -> None:
    """The frame shows net changes only: as much was added as was taken. The evidence of an iceberg."""
    rig = Rig()
    rig.trade(10_050, 100.0, 1.5, "sell", fills=3)
    rig.event(10_100)
    rig.event(10_900)
    row = rig.row()
    assert flow(row, "bid") == (1.5, 0.0, 1.5)
    assert row.bid.add_events == 1
    assert (row.joins_late, row.joins_open) == (0, 1)
    (touched,) = row.touched
    assert (touched.side, touched.price, touched.traded, touched.trades) == ("bid", 100.0, 1.5, 3)
    assert (touched.shown_start, touched.shown_max, touched.shown_end) == (5.0, 5.0, 5.0)
    assert rig.tracker.levels.traded("bid", 100.0) == 1.5


def test_a_refill_at_a_price_that_is_not_shown_leaves_no_memory() -> None:
    """Nothing would ever remove it, and a level that comes later would inherit it."""
    rig = Rig()
    rig.trade(10_050, 99.5, 1.0, "sell")
    rig.event(10_500)
    rig.event(10_600)
    assert rig.tracker.levels.traded("bid", 99.5) == 0.0
    (touched,) = rig.row().touched
    assert touched.shown_max == 0.0


def test_trades_at_one_level_add_up() -> None:
    """A sweep's fills and several takers within one frame."""
    rig = Rig()
    rig.trade(10_010, 101.0, 1.0, "buy", fills=2)
    rig.trade(10_050, 101.0, 2.0, "buy")
    rig.event(10_100, [], [(101.0, 1.5)])
    row = rig.row()
    assert flow(row, "ask") == (0.5, 0.0, 3.0)
    (touched,) = row.touched
    assert (touched.traded, touched.trades) == (3.0, 3)
    assert (touched.shown_start, touched.shown_max, touched.shown_end) == (4.0, 4.0, 1.5)


def test_the_most_traded_levels_are_kept() -> None:
    """A sweep can run through hundreds of levels; a row holds eight."""
    asks = [(101.0 + i, 50.0) for i in range(12)]
    rig = Rig(asks=asks)
    for place, (price, _) in enumerate(asks):
        rig.trade(10_050, price, 1.0 + place, "buy")
    rig.event(10_100, [], [(price, 50.0 - 1.0 - place) for place, (price, _) in enumerate(asks)])
    assert [level.traded for level in rig.row().touched] == [12.0, 11.0, 10.0, 9.0, 8.0, 7.0]


def test_a_trade_that_was_joined_one_event_early_is_netted_out() -> None:
    """2.1: +1.0 beside a trade of 1.0 and -1.0 in the next event are clock skew, not an order placed and cancelled."""
    rig = Rig()
    rig.trade(10_050, 100.0, 1.0, "sell")
    rig.event(10_100, [(100.0, 5.0)])  # shows the size from before the trade
    rig.event(10_200, [(100.0, 4.0)])
    row = rig.row()
    assert flow(row, "bid") == (0.0, 0.0, 1.0)
    assert (row.bid.add_events, row.bid.cancel_events) == (0, 0)


@pytest.mark.parametrize(
    ("second", "third", "expected"),
    [
        ([(100.0, 4.5)], None, (1.0, 0.5, 1.0)),  # not the same size
        ([(99.0, 8.0)], [(100.0, 4.0)], (2.0, 1.0, 1.0)),  # not in the next event
    ],
)
def test_only_an_equal_change_in_the_next_event_is_skew(
    second: list[tuple[float, float]],
    third: list[tuple[float, float]] | None,
    expected: tuple[float, float, float],
) -> None:
    """Anything else is what it says."""
    rig = Rig()
    rig.trade(10_050, 100.0, 1.0, "sell")
    rig.event(10_100, [(100.0, 5.0)])
    rig.event(10_200, second)
    if third:
        rig.event(10_300, third)
    assert flow(rig.row(), "bid") == expected


def test_an_addition_without_a_trade_is_never_skew() -> None:
    """An order that is placed and cancelled again at once is the very thing that is to be seen."""
    rig = Rig()
    rig.event(10_100, [(100.0, 6.0)])
    rig.event(10_200, [(100.0, 5.0)])
    assert flow(rig.row(), "bid") == (1.0, 1.0, 0.0)


def test_skew_is_not_netted_across_seconds_that_are_over() -> None:
    """On a quiet symbol the next event may come when the row of the first is final: then nothing can be taken back."""
    rig = Rig()
    rig.trade(10_050, 100.0, 1.0, "sell")
    rig.event(10_100, [(100.0, 5.0)])
    rig.event(15_000, [(100.0, 4.0)])
    rows = rig.rows()
    assert flow(rows[0], "bid") == (1.0, 0.0, 1.0)
    assert flow(rows[5], "bid") == (0.0, 1.0, 0.0)


def test_a_level_first_seen_beyond_the_horizon_is_discovered_not_added() -> None:
    """Its old size is unknown. Once it has been seen it counts like every other."""
    rig = Rig(limit=3)  # three levels a side were asked for and came: there may be more
    rig.event(10_100, [(97.0, 4.0), (98.5, 1.0)], [(104.0, 0.0)])
    rig.event(10_200, [(97.0, 4.5)])
    row = rig.row()
    assert flow(row, "bid") == (1.5, 0.0, 0.0)
    assert (row.bid.discovered, row.ask.discovered) == (1, 1)
    assert (row.bid.add_events, row.ask.cancel_events) == (2, 0)


def test_what_happened_before_the_first_event_after_a_resync_is_not_compared() -> None:
    """The snapshot and its first event may overlap, and trades up to then belong to what was not seen."""
    rig = Rig()
    rig.lose()
    rig.load()
    rig.trade(10_040, 100.0, 1.0, "sell")  # belongs to the event that is skipped
    rig.event(10_100, [(100.0, 1.0)], [(101.0, 9.0)])
    rig.trade(10_099, 100.0, 1.0, "sell")  # the same, though it comes after it
    rig.trade(10_100, 100.0, 0.5, "sell")  # belongs to the next
    rig.event(10_200, [(100.0, 0.5)])
    rig.event(11_000)
    row = rig.rows()[0]
    assert flow(row, "bid") == (0.0, 0.0, 0.5)
    assert flow(row, "ask") == (0.0, 0.0, 0.0)
    assert row.joins_open == 0
    assert row.sell_volume == 2.5  # volumes are the tape's


def test_a_trade_told_before_the_skipped_event_may_belong_to_the_one_after() -> None:
    """Arrival order proves nothing here either."""
    rig = Rig()
    rig.lose()
    rig.load()
    rig.trade(10_120, 100.0, 0.5, "sell")
    rig.event(10_100, [(100.0, 1.0)])
    rig.event(10_200, [(100.0, 0.5)])
    assert flow(rig.row(), "bid") == (0.0, 0.0, 0.5)


def test_events_that_were_proven_before_a_gap_count() -> None:
    """The loss of the next event does not make them wrong, and rows, ids and imbalance count them as well."""
    rig = Rig()
    rig.trade(10_050, 100.0, 1.0, "sell")
    rig.event(10_100, [(100.0, 4.0), (99.0, 9.0)])
    rig.trade(10_150, 99.0, 1.0, "sell")  # its event is the one that is lost
    rig.lose()
    row = rig.row()
    assert flow(row, "bid") == (2.0, 0.0, 1.0)
    assert row.joins_open == 0
    assert row.sell_volume == 2.0


def test_a_late_trade_behind_a_younger_one_is_settled_in_its_own_second() -> None:
    """The order in which trades wait is the order of their coming, not of their times."""
    rig = Rig()
    rig.event(11_560)
    rig.trade(11_550, 100.0, 1.0, "sell")
    rig.trade(10_200, 99.0, 2.0, "sell")
    rig.event(11_600)
    rig.event(11_720)
    rows = rig.rows()
    assert rows[0].joins_open == 1
    assert flow(rows[0], "bid") == (2.0, 0.0, 2.0)


def test_volume_at_a_level_that_a_fresh_copy_of_the_book_lacks_is_forgotten() -> None:
    """No event will end that level: kept, it would stay for good, and count for a later one there."""
    rig = Rig()
    rig.trade(10_050, 99.0, 1.0, "sell")
    rig.event(10_100, [(99.0, 6.0)])
    rig.event(11_000)
    assert rig.tracker.levels.traded("bid", 99.0) == 1.0
    fresh = OrderBook(DepthSnapshot(rig.book.last_update_id, list(BIDS[:1]), list(ASKS)))
    rig.book = fresh
    rig.tracker.swapped(fresh)
    for event_ms in range(12_000, 140_000, 1_000):
        rig.event(event_ms)
    assert rig.tracker.levels.traded("bid", 99.0) == 0.0


@pytest.mark.parametrize(("corrupt_ms", "added"), [(10**13, 1.0 + 10.9 - 7.0), (0, 10.9 - 10.2)])
def test_an_event_with_a_corrupt_time_does_not_hold_up_the_others(corrupt_ms: int, added: float) -> None:
    """`Market` does not let it close seconds; here it must not wait for its time to come. One that is much too old
    counts nowhere, and neither does the event after it, which is not compared with what it left."""
    rig = Rig()
    rig.tracker.roll(10_100)
    update_book(rig, corrupt_ms, [(100.0, 6.0)])
    for event_ms in range(10_200, 13_000, 100):
        rig.event(event_ms, [(99.0, event_ms / 1000)])
    rows = rig.tracker.take()
    assert len(rows) == 2
    assert rows[0][0].bid.added == pytest.approx(added)
    assert rows[1][0].bid.added == pytest.approx(1.0)


def update_book(rig: Rig, event_ms: int, bids: list[tuple[float, float]]) -> None:
    from tests.book.exchange import depth

    update = depth(rig.book.last_update_id + 1, rig.book.last_update_id + 1, bids, event_ms=event_ms)
    before = rig.book.apply(update)
    rig.tracker.applied(update, before, 1)


# --- generated streams --------------------------------------------------------------------------------------

Event = tuple[int, list[tuple[int, int]], list[tuple[int, int]]]  # gap before it in ms, bid rows, ask rows
Fill = tuple[int, int, int, int, str]  # time, arrival delay, price, size, aggressor

BID_ROWS = st.lists(st.tuples(st.integers(95, 100), st.integers(0, 6)), max_size=4, unique_by=lambda row: row[0])
ASK_ROWS = st.lists(st.tuples(st.integers(101, 106), st.integers(0, 6)), max_size=4, unique_by=lambda row: row[0])
EVENTS = st.lists(
    st.tuples(st.sampled_from([1, 20, 100, 100, 100, 300, 900, 2500]), BID_ROWS, ASK_ROWS), min_size=1, max_size=25
)
FILLS = st.lists(
    st.tuples(
        st.integers(START_MS - 50, START_MS + 5_000),
        st.integers(0, 290),
        st.integers(95, 106),
        st.integers(1, 5),
        st.sampled_from(["buy", "sell"]),
    ),
    max_size=25,
)
STREAMS = settings(deadline=None, max_examples=80)


def run(events: list[Event], fills: list[Fill], delays: list[int] | None = None) -> list[SecondRow]:
    """Feed both in the order of arrival: an event at its time, a trade some time after its own."""
    rig = Rig([(0.5, 1.0)], [(2.0, 1.0)])
    told: list[tuple[int, int, Event | Trade]] = []
    now_ms = START_MS
    for place, event in enumerate(events):
        now_ms += event[0]
        told.append((now_ms, place, event))
    for place, (time_ms, delay, price, size, aggressor) in enumerate(fills):
        trade = Trade(place, time_ms, price_at(price), size_at(size), place, place, aggressor == "sell")
        told.append((time_ms + (delay if delays is None else delays[place]), 1000 + place, trade))
    for at_ms, _, one in sorted(told, key=lambda item: item[:2]):
        if isinstance(one, Trade):
            rig.tracker.trade(one)
        else:
            rig.event(
                at_ms,
                [(price_at(price), size_at(size)) for price, size in one[1]],
                [(price_at(price), size_at(size)) for price, size in one[2]],
            )
    return rig.rows()


def lots(amount: float) -> int:
    whole = round(amount * 1000)
    assert amount == size_at(whole)  # exactly on the grid
    return whole


@STREAMS
@given(EVENTS, FILLS)
def test_added_less_cancelled_less_traded_is_the_change(events: list[Event], fills: list[Fill]) -> None:
    """The accounting identity, exactly, per side and to the lot, whatever was traded and in any order of arrival."""
    rows = run(events, fills)
    for side in ("bid", "ask"):
        final: dict[int, int] = {}
        for _, bids, asks in events:
            final.update(bids if side == "bid" else asks)
        flows = [row.bid if side == "bid" else row.ask for row in rows]
        change = sum(lots(f.added) - lots(f.cancelled) - lots(f.traded) for f in flows)
        assert change == sum(final.values())


@STREAMS
@given(EVENTS, FILLS, st.data())
def test_flow_does_not_depend_on_the_order_of_arrival(
    events: list[Event], fills: list[Fill], data: st.DataObject
) -> None:
    """Trades and depth come over one connection but from two places; within the hold their order must not matter."""
    delays = data.draw(st.lists(st.integers(0, 290), min_size=len(fills), max_size=len(fills)))
    one, other = run(events, fills), run(events, fills, delays)
    first, last = max(one[0].second, other[0].second), min(one[-1].second, other[-1].second)
    for a, b in zip(
        [row for row in one if first <= row.second <= last],
        [row for row in other if first <= row.second <= last],
        strict=True,
    ):
        assert (a.bid, a.ask) == (b.bid, b.ask)
        assert (a.joins_late, a.joins_open) == (b.joins_late, b.joins_open)
        assert (a.buy_volume, a.sell_volume) == (b.buy_volume, b.sell_volume)


@STREAMS
@given(EVENTS, FILLS, st.data())
def test_rows_of_an_event_may_come_in_any_order(events: list[Event], fills: list[Fill], data: st.DataObject) -> None:
    """An event is a set of levels."""
    shuffled = [(gap, data.draw(st.permutations(bids)), data.draw(st.permutations(asks))) for gap, bids, asks in events]
    assert run(events, fills) == run(shuffled, fills)


@STREAMS
@given(EVENTS, FILLS)
def test_the_same_stream_gives_the_same_rows(events: list[Event], fills: list[Fill]) -> None:
    """A recording must give the same answer every day."""
    assert run(events, fills) == run(events, fills)


@STREAMS
@given(EVENTS, FILLS)
def test_seconds_follow_each_other_and_hold_every_trade_once(events: list[Event], fills: list[Fill]) -> None:
    """Windows are sums of rows: a second missing or a trade counted twice would falsify every one of them."""
    rows = run(events, fills)
    assert [row.second for row in rows] == list(range(rows[0].second, rows[0].second + len(rows)))
    by_second: dict[int, int] = {}
    for time_ms, _, _, size, _ in fills:
        second = max(time_ms // 1000, rows[0].second)
        by_second[second] = by_second.get(second, 0) + size
    assert {row.second: lots(row.buy_volume) + lots(row.sell_volume) for row in rows if row.agg_trades} == by_second
    assert sum(row.events for row in rows) == len(events) + 1
    assert all(0 <= row.covered_ms <= 1000 for row in rows)
    assert SPEC.lot_exp == 3
