"""Trades from before the start, and the REST questions over past and present together."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.sim.catalog import profile_of
from vibe_orderbook_mcp.sim.past import AggRow, PastTrades
from vibe_orderbook_mcp.sim.trades import TradeLog

START_MS = 1_795_000_001_623  # inside a block of ids
HOURS = 0.5


def log(live: int = 50) -> TradeLog:
    past = PastTrades(profile_of("SOLUSDT"), seed=1, start_ms=START_MS, hours=HOURS)
    trades = TradeLog(past.first_live_id, past)
    for index in range(live):
        trade_id = past.first_live_trade_id + index
        trades.append(AggRow(past.first_live_id + index, START_MS + index // 2, 17_135, 10, trade_id, trade_id, False))
    return trades


TRADES = log()
EVERYTHING = TRADES.from_id(0, 10**9)


def test_ids_are_contiguous_and_times_ascend_from_the_past_into_the_present() -> None:
    assert len(EVERYTHING) > 10_000
    for left, right in pairwise(EVERYTHING):
        assert right.agg_id == left.agg_id + 1
        assert right.first_trade_id == left.last_trade_id + 1
        assert right.time_ms >= left.time_ms
    assert START_MS - EVERYTHING[0].time_ms >= HOURS * 3_600_000 - 1
    assert EVERYTHING[-51].time_ms <= START_MS


def test_the_past_ends_at_the_opening_price() -> None:
    assert abs(EVERYTHING[-51].price - profile_of("SOLUSDT").open_ticks) < 0.005 * EVERYTHING[-1].price


@given(st.integers(-200, 200), st.integers(1, 1000))
@settings(deadline=None)
def test_by_id_gives_the_slice_from_that_id(offset: int, limit: int) -> None:
    first_live = EVERYTHING[-50].agg_id
    wanted = [row for row in EVERYTHING if row.agg_id >= first_live + offset][:limit]
    assert TRADES.from_id(first_live + offset, limit) == wanted


# Times at which something traded, and times around the start at which mostly nothing did.
moments = st.sampled_from([row.time_ms for row in EVERYTHING]) | st.integers(START_MS - 5000, START_MS + 40)


@given(moments, st.sampled_from([0, 700, 5000]), st.integers(1, 1000))
@settings(deadline=None)
def test_by_time_gives_the_oldest_from_the_start_or_the_newest_up_to_the_end(
    begin: int, length: int, limit: int
) -> None:
    end = begin + length
    since = [row for row in EVERYTHING if row.time_ms >= begin]
    until = [row for row in EVERYTHING if row.time_ms <= end]
    assert TRADES.between(begin, None, limit) == since[:limit]
    assert TRADES.between(begin, end, limit) == [row for row in since[:limit] if row.time_ms <= end]
    assert TRADES.between(None, end, limit) == until[-limit:]
    assert TRADES.between(None, begin, limit) == [row for row in EVERYTHING if row.time_ms <= begin][-limit:]


def test_without_bounds_the_newest_are_given_and_before_history_nothing_is() -> None:
    assert TRADES.between(None, None, 100) == EVERYTHING[-100:]
    assert TRADES.between(None, 1, 100) == []
    assert TRADES.last() == EVERYTHING[-1]
    assert TradeLog(5).last() is None


def test_a_later_start_has_greater_ids_and_the_ids_in_between() -> None:
    """A server that comes back to a restarted exchange can fill what it missed by id."""
    profile = profile_of("SOLUSDT")
    early = PastTrades(profile, seed=1, start_ms=START_MS, hours=1)
    late = PastTrades(profile, seed=1, start_ms=START_MS + 600_000, hours=1)
    assert late.first_live_id > early.first_live_id
    assert late.first_live_trade_id > early.first_live_trade_id
    assert late.from_id(early.first_live_id, 1)[0].agg_id == early.first_live_id


def test_no_history_is_no_history() -> None:
    past = PastTrades(profile_of("SOLUSDT"), seed=1, start_ms=START_MS, hours=0)
    assert past.from_id(0, 10) == []
    assert past.id_at(0) == past.first_live_id
