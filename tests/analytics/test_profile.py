from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import BTC
from tests.analytics.tape import Deal, deals, histogram, histogram_of, trades_of
from vibe_orderbook_mcp.analytics.profile.bins import (
    MOST_BINS,
    Histogram,
    bin_width,
    choose_width,
    rebinned,
)
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.symbol import SymbolSpec

UNIT = SymbolSpec("X", "X", "Y", Decimal("1"), Decimal("1"))
FIVE_CENTS = SymbolSpec("X", "X", "Y", Decimal("0.05"), Decimal("1"))


def test_the_bins_worked_by_hand() -> None:
    """Ticks 1003, 1007, 1012 and 1031 in tens are bins 100 to 103; the empty one is there."""
    made = histogram([(1003, 1, False), (1007, 2, True), (1012, 4, False), (1031, 1, True)], UNIT)
    profile = rebinned(made, 10)
    assert profile is not None
    assert (profile.first_bin, profile.volume) == (100, (3, 4, 0, 1))
    assert (profile.buy, profile.sell, profile.trades) == ((1, 4, 0, 0), (2, 0, 0, 1), (2, 1, 0, 1))
    assert (made.low_ticks, made.high_ticks, profile.total) == (1003, 1031, 8)
    assert (made.buy_quote_units, made.sell_quote_units) == (1003 + 4 * 1012, 2 * 1007 + 1031)
    assert profile.low_edge(0) == 1000


@pytest.mark.parametrize(("ticks", "width"), [(100, 2), (5000, 100), (0, 1), (98, 1), (99, 2)])
def test_widths_are_the_narrowest_of_1_2_5_that_need_at_most_100_bins(ticks: int, width: int) -> None:
    """A range of 98 ticks can touch 100 bins, which still fit."""
    assert bin_width(ticks) == width


@pytest.mark.parametrize(
    ("ticks", "base", "width"),
    [(0, 100, 100), (10_000, 20, 200), (3_000, 20, 100), (0, 3, 3), (1000, 3, 15), (0, 8, 200)],
)
def test_widths_are_whole_multiples_of_what_is_stored(ticks: int, base: int, width: int) -> None:
    """Half a stored bin cannot be separated; 50 is no multiple of 20, and none of 1-2-5 is one of 3."""
    assert bin_width(ticks, base=base) == width


@settings(deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 400), st.integers(3, 200), st.integers(0, 10**9))
def test_every_width_fits_wherever_the_range_lies(ticks: int, base: int, most: int, low: int) -> None:
    """Anchoring at zero can cut a bin at both ends."""
    width = bin_width(ticks, most, base)
    assert width % base == 0
    assert (low + ticks) // width - low // width + 1 <= most


def test_a_wish_is_rounded_up_to_ticks_and_stored_bins() -> None:
    """What was asked for and what is given are both kept, so that it can be said."""
    fine = histogram([(1_000_00, 1, False), (1_001_00, 1, False)], BTC)
    coarse = histogram([(1_000_00, 1, False), (1_001_00, 1, False)], BTC, width=20)
    assert choose_width(fine, BTC, Decimal("0.5")).width_ticks == 50
    assert not choose_width(fine, BTC, Decimal("0.50")).rounded
    assert choose_width(fine, BTC, Decimal("0.505")).width_ticks == 51
    assert choose_width(fine, BTC, Decimal("0.505")).rounded
    assert choose_width(coarse, BTC, Decimal("0.5")).width_ticks == 60


def test_a_wish_for_more_than_200_bins_is_coarsened() -> None:
    """A cent each over a hundred dollars would be ten thousand bins."""
    made = histogram([(1_000_00, 1, False), (1_100_00, 1, False)], BTC)
    choice = choose_width(made, BTC, Decimal("0.03"))
    assert (choice.coarsened, choice.width_ticks) == (True, 60)
    profile = rebinned(made, choice.width_ticks)
    assert profile is not None
    assert len(profile.volume) <= MOST_BINS


@pytest.mark.parametrize("wish", ["0", "-1", "NaN", "Infinity", "1E+999999", "1001.01"])
def test_a_width_that_makes_no_sense_is_refused(wish: str) -> None:
    """Nothing, less than nothing, no number, and more than the price itself."""
    with pytest.raises(Refusal) as refused:
        choose_width(histogram([(1_001_00, 1, False)], BTC), BTC, Decimal(wish))
    assert refused.value.code == "invalid_argument"
    assert "multiple of 0.01" in refused.value.hint


def test_a_tick_that_is_no_power_of_ten_has_bins_of_whole_ticks() -> None:
    """Integer prices count in 0.01; with a tick of 0.05 four of five such bins could never trade."""
    made = histogram([(1000, 1, False), (1005, 1, False), (1010, 1, False)], FIVE_CENTS)
    assert choose_width(made, FIVE_CENTS).width_ticks == 5


def test_bins_that_do_not_fit_are_a_mistake_of_the_caller() -> None:
    """A wrong sum would look right."""
    with pytest.raises(ValueError, match="do not make up"):
        rebinned(histogram([(1, 1, False)], UNIT, width=10), 15)


def test_no_trades_make_no_profile() -> None:
    """Neither a bin nor a range."""
    empty = histogram_of([], BTC)
    assert empty == Histogram(2, 5, 1, {})
    assert rebinned(empty, 10) is None
    assert choose_width(empty, BTC).width_ticks == 1


@settings(deadline=None)
@given(deals, st.sampled_from([1, 2, 5, 10]), st.sampled_from([1, 2, 10, 50]), st.randoms())
def test_bins_sum_to_the_total_and_do_not_mind_order_or_base_width(
    made: list[Deal], base: int, times: int, random: object
) -> None:
    """Nothing is lost, and a profile of stored bins is the profile of the trades."""
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis' own random.Random
    width = base * times
    profile, stored = rebinned(histogram(made, BTC), width), rebinned(histogram(shuffled, BTC, base), width)
    assert profile is not None
    assert stored is not None
    assert profile.total == sum(lots for _, lots, _ in made)
    assert sum(profile.buy) == sum(lots for _, lots, maker in made if not maker)
    assert sum(profile.trades) == len(made)
    assert (profile.first_bin, profile.buy, profile.sell, profile.trades) == (
        stored.first_bin, stored.buy, stored.sell, stored.trades
    )  # fmt: skip


@settings(deadline=None)
@given(deals, st.integers(1, 59))
def test_splitting_a_trade_changes_nothing(made: list[Deal], at: int) -> None:
    """How an exchange cuts one order into messages is not information."""
    trades = trades_of(made, BTC)
    whole = trades[at % len(trades)]
    ten, four, six = (
        msgspec.structs.replace(whole, agg_id=agg_id, size=lots / 10**BTC.lot_exp)
        for agg_id, lots in ((900, 10), (901, 4), (902, 6))
    )
    one, two = (rebinned(histogram_of([*trades, *more], BTC, 5), 10) for more in ([ten], [four, six]))
    assert one is not None
    assert two is not None
    assert (one.first_bin, one.buy, one.sell) == (two.first_bin, two.buy, two.sell)
