"""The past of the true book: the judge of everybody else's book must not be wrong itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vibe_orderbook_mcp.sim.ledger import KEEP_MS, Ledger

puts = st.lists(st.tuples(st.integers(0, 1), st.integers(1, 6), st.integers(0, 3), st.booleans()), max_size=60)


@given(puts)
def test_the_book_at_an_earlier_id_is_the_copy_taken_then(changes: list[tuple[int, int, int, bool]]) -> None:
    ledger = Ledger(10)
    copies = {10: tuple(dict(side) for side in ledger.sides)}
    for side, price, size, same_id in changes:
        ledger.last_id += not (same_id and ledger.last_id > 10)
        ledger.put(side, price, size)
        copies[ledger.last_id] = tuple(dict(each) for each in ledger.sides)
    for update_id, copy in copies.items():
        assert ledger.at(update_id) == copy
    assert ledger.at(9) is None
    assert ledger.at(ledger.last_id + 1) is None


def test_an_event_reports_touched_levels_even_when_nothing_is_left_of_the_touch() -> None:
    """The exchange does the same: one row in ten removes a level that nobody has ever seen."""
    ledger = Ledger(0)
    ledger.last_id = 1
    ledger.put(0, 5, 2)
    ledger.last_id = 2
    ledger.put(0, 5, 0)
    assert ledger.close_event(100) == ([(5, 0)], [])
    assert ledger.close_event(200) == ([], [])
    ledger.put(1, 7, 3)
    assert ledger.close_event(300) == ([], [(7, 3)])
    ledger.put(1, 7, 0)
    assert ledger.close_event(400) == ([], [(7, 0)])


def test_a_minute_is_remembered_and_no_more() -> None:
    ledger = Ledger(0)
    for index in range(1, 1001):
        ledger.last_id = index
        ledger.put(1, index % 7 + 1, index)
        ledger.close_event(index * 100)
    kept = KEEP_MS // 100
    assert ledger.at(1000 - kept) is not None
    assert ledger.at(1000 - kept - 2) is None
    assert ledger.id_at(50_000) == 500
    assert ledger.id_at(50_050) == 500
    assert ledger.id_at(1) == ledger.oldest_id
