from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import BTC, price_at
from vibe_orderbook_mcp.analytics.profile.thin_zones import ThinZone, thin_zones
from vibe_orderbook_mcp.analytics.resting import LOOK_SECS, RestingDepth, RestingGrid
from vibe_orderbook_mcp.book.book import BookSide
from vibe_orderbook_mcp.model.events import Side

MID = 1_000_000  # ticks: 1 bp is 100 of them
Book = tuple[BookSide, BookSide]


def book(*, mid: int = MID, step: int = 20, size: float = 1.0, levels: int = 600, complete: bool = True) -> Book:
    """Levels every `step` ticks on both sides, the first one half a step from mid."""
    sides: tuple[Side, Side] = ("bid", "ask")
    bids, asks = (
        BookSide(
            side,
            [(price_at(mid + sign * (step // 2 + i * step)), size) for i in range(levels)],
            complete=complete,
        )
        for side, sign in zip(sides, (-1, 1), strict=True)
    )
    return bids, asks


def watch(grid: RestingGrid, bids: BookSide, asks: BookSide, *, secs: int = 60, start: int = 0) -> None:
    for second in range(start, start + secs):
        grid.sample(second * 1000, bids, asks)


def depths(grid: RestingGrid, side: Side) -> dict[int, float]:
    found = grid.depth(side)
    assert found is not None
    return {low // found.width_ticks: depth for low, depth in found.bins}


def test_the_zone_worked_by_hand() -> None:
    """Bins 3 to 6, 165 before them and 15 inside."""
    assert thin_zones([50, 60, 55, 5, 4, 0, 6, 70, 80, 65]) == [ThinZone(3, 6, 165, 15)]


@pytest.mark.parametrize("even", [[50, 60, 55, 58], [0, 0, 0], [], [1.0], [50, 1, 1, 50, 50, 50]])
def test_smooth_empty_and_short_stretches_are_no_zones(even: list[float]) -> None:
    """Two thin bins side by side are noise; an empty book has nothing to be thin against."""
    assert thin_zones(even) == []


def test_a_wide_hole_is_seen_through() -> None:
    """In the middle of ten empty bins the neighbours are empty too; the side's median is not."""
    assert thin_zones([50.0] * 6 + [0.0] * 10 + [50.0] * 6) == [ThinZone(6, 15, 300.0, 0.0)]


def test_a_dip_far_out_is_measured_against_its_neighbours() -> None:
    """Where the whole stretch holds ten times what the side usually does, 10 among 100 is thin."""
    assert thin_zones([10.0] * 12 + [100.0] * 3 + [10.0] * 3 + [100.0] * 3) == [ThinZone(15, 17, 420.0, 30.0)]


@settings(deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0, 30.0, 1e6]) | st.floats(0, 1e9), max_size=60))
def test_zones_lie_apart_in_order_and_add_up(amounts: list[float]) -> None:
    """Nearest first, three bins at least, finite, and what stands before includes the zones before."""
    previous = -1
    for zone in thin_zones(amounts):
        assert zone.first > previous
        assert zone.last - zone.first >= 2
        assert zone.before == sum(amounts[: zone.first])
        assert zone.inside == sum(amounts[zone.first : zone.last + 1])
        assert isfinite(zone.before + zone.inside)
        previous = zone.last


def test_a_still_book_averages_to_itself() -> None:
    """Bins of 1 bp, anchored at zero, from the touch to 100 bps."""
    grid = RestingGrid(BTC)
    assert grid.depth("bid") is None
    watch(grid, *book())
    bid, ask = grid.depth("bid"), grid.depth("ask")
    assert bid is not None
    assert ask is not None
    assert (bid.width_ticks, bid.samples, bid.is_enough) == (100, 12, True)
    assert [low for low, _ in bid.bins] == list(range(MID - 100, MID - 10_001, -100))
    assert [low for low, _ in ask.bins] == list(range(MID, MID + 10_000, 100))
    assert {depth for _, depth in (*bid.bins, *ask.bins)} == {5.0}


def test_ten_looks_at_every_bin_are_needed() -> None:
    """Less than a minute of watching is no average."""
    grid = RestingGrid(BTC)
    watch(grid, *book(), secs=49)
    assert not _depth(grid).is_enough
    watch(grid, *book(), secs=1, start=49)
    assert _depth(grid).is_enough


def test_only_the_last_minute_counts() -> None:
    """A wall that left a minute ago stands nowhere."""
    grid = RestingGrid(BTC)
    watch(grid, *book(size=100.0))
    watch(grid, *book(size=1.0), start=60)
    assert set(depths(grid, "bid").values()) == {5.0}
    watch(grid, *book(size=2.0), secs=30, start=120)
    assert mean(depths(grid, "bid").values()) == pytest.approx(7.5)


def test_a_pause_leaves_nothing_old_behind() -> None:
    """After two minutes without a look the first one is the only one."""
    grid = RestingGrid(BTC)
    watch(grid, *book(size=100.0))
    grid.sample(200_000, *book(size=1.0))
    assert set(depths(grid, "ask").values()) == {5.0}
    assert _depth(grid).samples == 0


def test_a_bin_counts_only_while_it_is_on_its_side() -> None:
    """The price fell through twenty bins just now: as asks they are new, not empty for the minute before."""
    grid = RestingGrid(BTC)
    watch(grid, *book())
    grid.sample(60_000, *book(mid=MID - 2000))
    asks, bids = depths(grid, "ask"), depths(grid, "bid")
    assert set(asks.values()) == {5.0}
    assert (min(asks), max(bids)) == (MID // 100 - 20, MID // 100 - 21)


def test_empty_bins_count_as_zero() -> None:
    """Levels every 5 bps: four of five bins are empty, and are there."""
    grid = RestingGrid(BTC)
    watch(grid, *book(step=500, levels=30))
    found = depths(grid, "bid")
    assert len(found) == 98  # from the touch's bin, 2.5 bps away, to 100 bps
    assert sorted(found.values())[-20:] == [1.0] * 20
    assert sum(found.values()) == 20.0


def test_beyond_the_known_book_nothing_is_said() -> None:
    """Fifty levels of 0.2 bps are known: ten bins and not a hundred, because the last ones would look thin."""
    grid = RestingGrid(BTC)
    watch(grid, *book(levels=50, complete=False))
    assert len(depths(grid, "bid")) == len(depths(grid, "ask")) == 9
    assert set(depths(grid, "bid").values()) == set(depths(grid, "ask").values()) == {5.0}


def test_a_book_without_a_mid_is_passed_over() -> None:
    """One side empty, or crossed: no distance can be measured."""
    grid = RestingGrid(BTC)
    bids, asks = book()
    grid.sample(0, BookSide("bid"), asks)
    grid.sample(0, bids, BookSide("ask"))
    grid.sample(0, BookSide("bid", [(10_000.5, 1.0)]), BookSide("ask", [(10_000.0, 1.0)]))
    assert grid.depth("bid") is None


def test_the_grid_follows_a_price_that_has_doubled() -> None:
    """A basis point is another width then; old and new bins cannot be averaged."""
    grid = RestingGrid(BTC)
    watch(grid, *book())
    grid.sample(60_000, *book(mid=2 * MID))
    assert (_depth(grid).width_ticks, _depth(grid).samples) == (200, 0)
    grid.clear()
    assert grid.depth("bid") is None


def test_a_coarse_tick_is_the_grid() -> None:
    """Where one tick is 100 bps, a bin is a tick."""
    grid = RestingGrid(BTC)
    watch(grid, *book(mid=10_000, step=2, levels=5))
    assert _depth(grid).width_ticks == 1


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(-300, 300), st.integers(2, 400), st.integers(1, 90), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_every_average_is_that_of_the_samples_taken(moves: list[tuple[int, int, int, bool]]) -> None:
    """Against plain sums over all levels, for books that jump, thin out and are known to different depths."""
    grid = RestingGrid(BTC)
    taken: dict[tuple[Side, int], list[float]] = {}
    known: dict[Side, set[int]] = {}
    for calls, (move, step, levels, complete) in enumerate(moves):
        sides = book(mid=MID + move, step=step, levels=levels, complete=complete)
        grid.sample(calls * 1000, *sides)
        mid = sum(levels_now.best or 0.0 for levels_now in sides) / 2
        for levels_now in sides:
            before = known.get(levels_now.side, set())
            known[levels_now.side] = set(wholly_known(levels_now, mid))
            for key in known[levels_now.side]:
                if calls % LOOK_SECS == 0 or key not in before:
                    taken.setdefault((levels_now.side, key), []).append(
                        sum(size for price, size in levels_now.sizes.items() if round(price * 100) // 100 == key)
                    )
    for side, keys in known.items():
        found = depths(grid, side)
        assert set(found) == keys
        for key, depth in found.items():
            assert depth == pytest.approx(mean(taken[side, key]))


def wholly_known(levels: BookSide, mid: float) -> Iterator[int]:
    """Bins of 100 ticks from the best price's to the last one within 100 bps and the horizon."""
    best = round((levels.best or 0.0) * 100)
    if levels.side == "bid":
        worst = max(mid * 0.99, levels.horizon or 0.0) * 100
        yield from (key for key in range(9_850, 10_050) if worst - 1e-3 <= key * 100 <= best)
    else:
        worst = min(mid * 1.01, levels.horizon or mid * 2) * 100
        yield from (key for key in range(9_950, 10_150) if best < (key + 1) * 100 <= worst + 1 + 1e-3)


def _depth(grid: RestingGrid) -> RestingDepth:
    found = grid.depth("bid")
    assert found is not None
    return found
