from __future__ import annotations

import pytest

from tests.seconds.rig import ASKS, BIDS, Rig
from vibe_orderbook_mcp.book.book import BookSide
from vibe_orderbook_mcp.book.row_sums import Ladder, event_ofi, ladder


def rungs(*levels: tuple[float, float, float, float]) -> Ladder:
    """Levels as (bid, bid size, ask, ask size), best first."""
    bids, bid_sizes, asks, ask_sizes = zip(*levels, strict=True)
    return list(bids), list(bid_sizes), list(asks), list(ask_sizes)


@pytest.mark.parametrize(
    ("before", "after", "imbalance"),
    [
        (rungs((100, 5, 101, 4)), rungs((100, 8, 101, 3)), [4]),
        (rungs((100, 8, 101, 3)), rungs((100.5, 2, 101, 3)), [2]),
        (rungs((100.5, 2, 101, 3)), rungs((100, 7, 100.8, 6)), [-8]),
        (rungs((100, 5, 101, 4)), rungs((100, 7, 100.8, 6)), [-4]),  # the ends of the three alone: not their sum
        (rungs((100, 5, 101, 4), (99, 7, 102, 6)), rungs((100, 8, 101, 3), (99, 7, 102, 9)), [4, -3]),
        (rungs((100, 8, 101, 3), (99, 7, 102, 9)), rungs((100.5, 2, 101, 3), (100, 8, 102, 9)), [2, 8]),
        (rungs((100, 5, 101, 4)), rungs((100, 5, 102, 9)), [4]),  # the ask that left counts for the bid
        (rungs((100, 5, 101, 4)), rungs((99, 6, 101, 4)), [-5]),  # the bid that left counts against it
        (rungs((100, 5, 101, 4)), rungs((100, 5, 101, 4)), [0]),
        (rungs((100, 5, 101, 4), (99, 7, 102, 6)), rungs((100, 6, 101, 4)), [1]),  # shorter: what all sides have
    ],
)
def test_imbalance_of_one_event(before: Ladder, after: Ladder, imbalance: list[float]) -> None:
    """The worked figures of 2.2 and 2.3, and each branch of the rule once."""
    assert event_ofi(before, after) == imbalance


def test_swapping_the_sides_turns_the_sign() -> None:
    """The measure knows no up or down of its own."""
    before, after = rungs((100, 8, 101, 3), (99, 7, 102, 9)), rungs((100.5, 2, 101, 1), (100, 8, 102, 7))

    def mirrored(one: Ladder) -> Ladder:
        return [-p for p in one[2]], one[3], [-p for p in one[0]], one[1]

    assert event_ofi(mirrored(before), mirrored(after)) == [-e for e in event_ofi(before, after)]


def test_depth_is_the_mean_of_both_sizes_after_each_event() -> None:
    """It is what the imbalance is divided by, so it belongs to the same levels, and to the same events."""
    rig = Rig([(100.0, 5.0), (99.0, 7.0)], [(101.0, 4.0), (102.0, 6.0)])
    rig.event(10_100, [(100.0, 8.0)], [(101.0, 3.0), (102.0, 9.0)])
    assert rig.row().level_depth == (5.5, 8.0)
    rig = Rig([(100.0, 5.0), (99.0, 7.0)], [(101.0, 4.0), (102.0, 6.0)])
    rig.event(10_100, [(100.0, 8.0)], [(101.0, 3.0), (102.0, 9.0)])
    rig.event(10_200, [(100.0, 6.0), (99.0, 0.0)])
    assert rig.row().level_depth == (5.0, 4.0)


@pytest.mark.parametrize(("bids", "asks"), [([], [(10.0, 1.0)]), ([(9.0, 1.0)], []), ([(10.0, 1.0)], [(10.0, 1.0)])])
def test_a_book_without_both_sides_has_no_ladder(
    bids: list[tuple[float, float]], asks: list[tuple[float, float]]
) -> None:
    """A side that empties would look like an enormous imbalance."""
    assert ladder(BookSide("bid", bids), BookSide("ask", asks)) is None


def test_a_ladder_has_ten_rungs_at_most() -> None:
    """MLOFI is a vector of ten."""
    bids = [(100.0 - i, 1.0 + i) for i in range(15)]
    asks = [(101.0 + i, 2.0 + i) for i in range(12)]
    assert ladder(BookSide("bid", bids), BookSide("ask", asks)) == (
        [price for price, _ in bids[:10]],
        [size for _, size in bids[:10]],
        [price for price, _ in asks[:10]],
        [size for _, size in asks[:10]],
    )


def test_a_second_sums_its_events() -> None:
    """2.2 through the tracker: +4, +2 and -8 are -2, where the first and the last state alone would give -4."""
    rig = Rig([(100.0, 5.0)], [(101.0, 4.0)])
    rig.event(10_100, [(100.0, 8.0)], [(101.0, 3.0)])
    rig.event(10_200, [(100.5, 2.0)])
    rig.event(10_300, [(100.5, 0.0), (100.0, 7.0)], [(101.0, 0.0), (100.8, 6.0)])
    row = rig.row()
    assert row.ofi == -2.0
    assert row.mlofi[0] == -2.0
    assert row.level_depth[0] == pytest.approx((5.5 + 2.5 + 6.5) / 3)


def test_levels_are_summed_each_for_itself() -> None:
    """2.3 through the tracker: [4, -3] and [2, 8]."""
    rig = Rig([(100.0, 5.0), (99.0, 7.0)], [(101.0, 4.0), (102.0, 6.0)])
    rig.event(10_100, [(100.0, 8.0)], [(101.0, 3.0), (102.0, 9.0)])
    rig.event(10_200, [(100.5, 2.0)])
    row = rig.row()
    assert row.mlofi == (6.0, 5.0)
    assert row.ofi == 6.0


def test_a_side_that_empties_starts_a_new_chain() -> None:
    """2.2: neither the event that emptied it nor the one that filled it is an imbalance."""
    rig = Rig([(100.0, 5.0)], [(101.0, 4.0)])
    rig.event(10_100, [], [(101.0, 0.0)])
    rig.event(10_200, [], [(105.0, 9.0)])
    rig.event(10_300, [(100.0, 6.0)])
    assert rig.row().mlofi == (1.0,)


def test_a_resync_starts_a_new_chain() -> None:
    """What changed while the book was lost is not one event's imbalance."""
    rig = Rig()
    rig.lose()
    rig.load([(90.0, 50.0), *BIDS[1:]], ASKS)
    rig.event(10_100)
    rig.event(10_200, [(99.0, 8.0)])
    assert rig.row().ofi == 1.0
