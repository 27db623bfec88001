from __future__ import annotations

from operator import attrgetter

from hypothesis import given
from hypothesis import strategies as st

from vibe_orderbook_mcp.model.rows import KEPT_FIELDS, KEPT_SECS, SecondRow
from vibe_orderbook_mcp.seconds.past_hour import ROWS_STAY_SECS, PastHour

START = 1_700_000_000
fields = attrgetter(*KEPT_FIELDS)


def row(second: int) -> SecondRow:
    mid = None if second % 7 == 0 else 100.0 + second % 1000 / 8
    return SecondRow(
        second=second, covered_ms=second % 1001, flags=second % 128, mid=mid, ofi=-second / 3, buy_volume=0.1,
        sell_volume=second % 3 / 7, buy_quote=1e-9, sell_quote=1e15,
    )  # fmt: skip


@given(
    # Steps from one second to the next: now and then a laptop sleeps, once for almost all that is kept, once for more.
    st.lists(
        st.sampled_from([1, 1, 1, 2, 60, ROWS_STAY_SECS + 1, KEPT_SECS - 3, KEPT_SECS, 2 * KEPT_SECS]), max_size=12
    ),
    st.sets(st.integers(0, 12)),
    st.integers(-5, KEPT_SECS + 5),
)
def test_what_is_kept_is_what_came_to_the_bit(steps: list[int], asked: set[int], reach: int) -> None:
    """Columns in places that are used again must not mix seconds up, rows that stay are those of the columns."""
    past, second = PastHour(), START
    came: list[SecondRow] = []
    for number, step in enumerate([0, *steps]):
        second += step
        came.append(row(second))
        past.add(row(second))
        wanted = [each for each in came if second - KEPT_SECS <= each.second]
        if number in asked:
            assert list(map(fields, past.before(second + 1))) == list(map(fields, wanted))
    end = second + 1 - reach
    assert list(map(fields, past.before(end))) == [fields(each) for each in wanted if each.second < end]


def test_a_full_hour_is_kept_and_no_more() -> None:
    past = PastHour()
    for second in range(START, START + 2 * KEPT_SECS):
        past.add(row(second))
    kept = past.before(START + 2 * KEPT_SECS)
    assert list(map(fields, kept)) == [
        fields(row(second)) for second in range(START + KEPT_SECS - 1, START + 2 * KEPT_SECS)
    ]
    assert past.oldest == kept[0].second


def test_an_earlier_second_changes_nothing() -> None:
    past = PastHour()
    past.add(row(START))
    past.add(row(START - KEPT_SECS - 1))  # of the same place
    assert list(map(fields, past.before(START + 1))) == [fields(row(START))]


def test_nothing_came_yet() -> None:
    assert PastHour().oldest is None
    assert PastHour().before(START) == []
