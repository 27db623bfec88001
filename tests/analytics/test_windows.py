from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.rows import T0, generated_rows, row, window
from vibe_orderbook_mcp.analytics.windows import (
    Span,
    check_coverage,
    cut,
    equal_windows,
    held_part,
    longest_covered,
    quality,
    total,
)
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.numbering import OWN_FROM
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow, SideFlow


def test_a_cut_holds_the_rows_of_its_seconds_and_the_mid_before() -> None:
    """The end is exclusive, and a change of mid starts from where the window before ended."""
    rows = [row(i, mid=100.0 + i) for i in range(10)]
    part = cut(rows, Span(T0 + 3, T0 + 6))
    assert [r.second - T0 for r in part.rows] == [3, 4, 5]
    assert (part.mid_before, part.mid_end, part.mid_change) == (102.0, 105.0, 3.0)
    assert cut(rows, Span(T0, T0 + 2)).mid_change == 1.0  # nothing before: from the first mid known


def test_a_mid_from_before_a_hole_is_not_the_mid_before() -> None:
    """Nobody knows what happened in seconds that are missing."""
    assert cut([row(0, mid=1.0), row(5, mid=2.0)], Span(T0 + 5, T0 + 6)).mid_before is None


def test_coverage_counts_covered_milliseconds_against_the_length_asked_for() -> None:
    """Missing seconds are not covered, and nothing is covered more than wholly."""
    part = window([row(0, covered_ms=500), row(3)], secs=4)
    assert (part.covered_secs, part.coverage) == (1.5, 0.375)
    assert window([row(0)], secs=1).coverage == 1.0
    assert window([], secs=60).coverage == 0.0


def test_totals_add_up_what_the_rows_hold() -> None:
    """One pass, every figure."""
    rows = [
        row(0, mid=100.0, events=2, ofi=1.0, mlofi=(1.0, 5.0), level_depth=(4.0, 8.0), flags=RowFlag.GAP,
            bid=SideFlow(added=1.0, cancelled=2.0, add_events=3, cancel_events=4), buy_volume=2.0, buy_quote=200.0,
            buy_trades=3, agg_trades=1, first_agg_id=10, last_agg_id=10, size_squares=4.0),
        row(1, mid=110.0, events=6, ofi=-3.0, mlofi=(-3.0,), level_depth=(8.0,), flags=RowFlag.LOCKED,
            bid=SideFlow(added=0.5), sell_volume=1.0, sell_quote=110.0, sell_trades=1, agg_trades=2,
            first_agg_id=12, last_agg_id=14, size_squares=0.5),
    ]  # fmt: skip
    sums = total(window(rows))
    assert (sums.samples, sums.events, sums.ofi, sums.mlofi) == (2, 8, -2.0, (-2.0, 5.0))
    assert sums.level_depth == (7.0, 8.0)  # weighted by events, not by seconds
    assert (sums.bid.added, sums.bid.cancelled, sums.bid.add_events) == (1.5, 2.0, 3)
    assert (sums.bid.added_quote, sums.bid.cancelled_quote) == (155.0, 200.0)
    assert sums.bid.cancel_share == pytest.approx(2.0 / 3.5)
    assert sums.ask.cancel_share is None
    assert (sums.buy_volume, sums.sell_volume, sums.fills, sums.size_squares) == (2.0, 1.0, 4, 4.5)
    assert sums.flags == RowFlag.GAP | RowFlag.LOCKED
    assert sums.missing_trades == 2  # ids 10 to 14 are five trades, the rows hold three


def test_of_own_numbers_a_hole_has_no_size() -> None:
    """They begin again with the time, so their distance counts no trades."""
    rows = [row(n, agg_trades=1, first_agg_id=OWN_FROM + n, last_agg_id=OWN_FROM + n) for n in range(3)]
    assert total(window(rows)).missing_trades == 0
    rows[2] = row(2, agg_trades=1, first_agg_id=OWN_FROM + 10**9, last_agg_id=OWN_FROM + 10**9)
    assert total(window(rows)).missing_trades is None


def test_a_second_without_a_mid_is_valued_at_the_nearest_one() -> None:
    """Amounts in quote units must not vanish because the book was one-sided at the end of a second."""
    rows = [row(0, bid=SideFlow(added=1.0)), row(1, mid=50.0), row(2, bid=SideFlow(added=2.0))]
    assert total(window(rows)).bid.added_quote == 150.0
    assert total(window([row(0, bid=SideFlow(added=1.0))])).bid.added_quote == 0.0


def test_equal_windows_go_backwards_from_the_end_without_overlap() -> None:
    """Oldest first, well covered ones only, never the window that is judged."""
    rows = [row(i) for i in range(35) if i != 17]
    found = equal_windows(rows, 10, T0 + 34)
    assert [w.span.start - T0 for w in found] == [4, 24]  # 14..24 lacks a second
    assert [w.span.start - T0 for w in equal_windows(rows, 10, T0 + 34, since=T0 + 5)] == [24]
    assert equal_windows([], 10, T0) == []
    assert len(equal_windows(rows, 10, T0 + 34, min_coverage=0.9)) == 3


@pytest.mark.parametrize(
    ("coverage", "count", "expected"),
    [(1.0, 10, "ok"), (0.95, 10, "ok"), (0.94, 10, "partial"), (1.0, 9, "partial"), (0.5, 99, "partial"),
     (0.49, 99, "insufficient")],
)  # fmt: skip
def test_quality_has_the_cuts_worked_by_hand(coverage: float, count: int, expected: str) -> None:
    assert quality(coverage, count, 10) == expected


def test_a_window_that_is_half_missing_is_refused_with_the_time_it_will_be_there() -> None:
    """ "No answer" is only useful with what to do instead."""
    rows = [row(i) for i in range(54, 60)]  # the last 6 of 60 s
    with pytest.raises(Refusal) as refused:
        check_coverage("BTCUSDT", rows, Span(T0, T0 + 60))
    refusal = refused.value
    assert refusal.code == "insufficient_historical_data"
    assert refusal.message == "BTCUSDT: 6 of the requested 60 s are recorded."
    assert refusal.retry_after_secs == 4.0
    assert "part of this window can be answered in 4 s and all of it in 51 s" in refusal.hint
    assert len(check_coverage("BTCUSDT", rows, Span(T0 + 50, T0 + 60)).rows) == 6


def test_the_newest_part_of_a_window_is_taken_where_less_than_half_is_recorded() -> None:
    """In the first minute, and after every outage, there is something to say already."""
    rows, asked = [row(i) for i in range(42, 60)], Span(T0, T0 + 60)
    assert held_part(rows, asked) == Span(T0 + 42, T0 + 60)
    assert held_part([row(i) for i in range(30, 60)], asked) == asked  # half is enough
    assert held_part(rows[-9:], asked) == asked  # too short to be an answer: refused
    assert held_part([row(i) for i in range(25)], asked) == asked  # nothing of now


def test_old_seconds_that_slide_out_do_not_count_towards_the_wait() -> None:
    """A feed that stopped has to fill the window again, whatever it recorded earlier."""
    rows = [row(i) for i in range(25)]
    with pytest.raises(Refusal) as refused:
        check_coverage("BTCUSDT", rows, Span(T0, T0 + 60))
    assert refused.value.retry_after_secs == 10.0
    with pytest.raises(Refusal) as empty:
        check_coverage("BTCUSDT", [], Span(T0, T0 + 60))
    assert empty.value.retry_after_secs == 10.0


def test_the_longest_covered_window_may_hold_a_small_hole() -> None:
    """Five per cent may be missing, as anywhere."""
    assert longest_covered(window([row(i) for i in range(100) if i != 50], secs=100)) == 100
    assert longest_covered(window([row(0)], secs=100)) == 0


@settings(deadline=None)
@given(generated_rows(), st.integers(0, 40), st.integers(1, 40))
def test_totals_do_not_depend_on_where_a_window_is_split(rows: list[SecondRow], at: int, secs: int) -> None:
    """Sums over two halves are the sums over the whole."""
    whole = total(cut(rows, Span(T0, T0 + secs)))
    middle = T0 + min(at, secs)
    parts = [total(cut(rows, span)) for span in (Span(T0, middle), Span(middle, T0 + secs))]
    for name in ("ofi", "buy_volume", "sell_volume", "buy_quote", "covered_secs", "events", "fills", "samples"):
        expected = sum(getattr(part, name) for part in parts)
        assert getattr(whole, name) == pytest.approx(expected, rel=1e-9, abs=1e-3)
    assert whole.bid.added == pytest.approx(sum(part.bid.added for part in parts))


@settings(deadline=None)
@given(generated_rows())
def test_the_order_of_sides_does_not_matter_to_totals(rows: list[SecondRow]) -> None:
    """Bids and asks are added up alike."""
    swapped = [msgspec.structs.replace(r, bid=r.ask, ask=r.bid) for r in rows]
    one, other = total(window(rows, secs=40)), total(window(swapped, secs=40))
    assert (one.bid, one.ask) == (other.ask, other.bid)
