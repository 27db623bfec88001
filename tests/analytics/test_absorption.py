from __future__ import annotations

import pytest

from tests.analytics.rows import T0, row, touched, window
from vibe_orderbook_mcp.analytics.absorption import (
    WINDOWS_NEEDED,
    absorbs,
    absorption_ratio,
    adverse_ticks,
    kappa_ticks,
    level_absorption,
    merge_touched,
    replenished,
    window_absorption,
)
from vibe_orderbook_mcp.analytics.past import EqualWindows, Past
from vibe_orderbook_mcp.analytics.rarity import percentile_rank
from vibe_orderbook_mcp.analytics.windows import Cut, Span, cut
from vibe_orderbook_mcp.core.rows import SecondRow, TouchedLevel

TICK = 0.01
# Sheet 4.1: ten traded against two shown at most, two at the start, none at the end.
REFILLED = touched(traded=10.0, start=2.0, top=2.0, end=0.0)


def test_the_level_rule_of_the_sheet() -> None:
    """10 on 2 with 8 put back absorbs; 8.1 on 5 does not; 10 on 2 with four ticks lost does not."""
    assert replenished(REFILLED) == 8.0
    assert absorbs(REFILLED, adverse=0.0, allowance=1.0)
    assert not absorbs(touched(traded=8.1, start=3.0, top=5.0, end=1.0), adverse=0.0, allowance=1.0)
    assert not absorbs(REFILLED, adverse=4.0, allowance=1.0)
    assert absorbs(REFILLED, adverse=4.0, allowance=4.0)


def test_a_level_that_was_eaten_without_refill_does_not_absorb() -> None:
    """Half of what traded must have come back; a big order that is simply consumed is no absorption."""
    eaten = touched(traded=9.0, start=9.0, top=3.0, end=0.0)
    assert replenished(eaten) == 0.0
    assert not absorbs(eaten, adverse=0.0, allowance=1.0)


def test_a_level_that_was_never_displayed_proves_nothing() -> None:
    """Three times nothing is nothing."""
    assert not absorbs(touched(traded=5.0, start=0.0, top=0.0, end=0.0), adverse=0.0, allowance=1.0)


def test_only_moves_against_the_absorbing_side_are_adverse() -> None:
    """Bids are hurt by a falling mid, asks by a rising one; float noise of a cent is a cent."""
    fall = 61837.63 - 61837.64
    assert adverse_ticks("passive_buying", fall, TICK) == 1.0
    assert adverse_ticks("passive_selling", fall, TICK) == 0.0
    assert adverse_ticks("passive_selling", -fall, TICK) == 1.0
    assert adverse_ticks("passive_buying", -0.005, TICK) == 0.5


def test_levels_are_joined_over_the_seconds_of_the_window() -> None:
    """Shown before the first hit, at most over all seconds, and after the last hit; sides stay apart."""
    rows = [
        row(0, touched=(touched(traded=4.0, trades=9, start=2.0, top=2.0, end=1.5),)),
        row(1, touched=(touched("ask", traded=1.0, start=9.0, top=9.0, end=8.0),)),
        row(2, touched=(touched(traded=6.0, trades=11, start=1.5, top=2.5, end=0.0),)),
    ]
    bid, ask = merge_touched(rows)
    assert bid == TouchedLevel("bid", 100.0, 10.0, 20, 2.0, 2.5, 0.0)
    assert ask.side == "ask"


def _hit(level: TouchedLevel = REFILLED, mid_end: float = 100.0) -> Cut:
    return window([row(0, mid=100.0, touched=(level,)), row(1, mid=mid_end)], mid_before=100.0)


def test_a_refilled_level_is_found_when_mid_holds() -> None:
    """And lost when mid falls by more than the allowance, kept when kappa allows it."""
    assert level_absorption(_hit(), TICK, None) == [REFILLED]
    assert level_absorption(_hit(mid_end=99.99), TICK, None) == [REFILLED]
    assert level_absorption(_hit(mid_end=99.96), TICK, None) == []
    assert level_absorption(_hit(mid_end=99.96), TICK, 4.0) == [REFILLED]
    assert level_absorption(_hit(mid_end=101.0), TICK, None) == [REFILLED]  # a rise does not hurt a bid


def test_fewer_than_twenty_trades_at_a_level_are_not_called_absorption() -> None:
    """Two large prints against a refilled level are a coincidence like any other."""
    assert level_absorption(_hit(touched(traded=10.0, trades=19, start=2.0, top=2.0, end=0.0)), TICK, None) == []


def test_a_window_without_a_mid_absorbs_nothing() -> None:
    """Whether the price gave way is unknown."""
    blind = window([row(0, touched=(REFILLED,))])
    assert level_absorption(blind, TICK, None) == []
    assert window_absorption(blind, EqualWindows(), "passive_buying", TICK) is None


def test_the_usual_move_is_a_median_over_the_hour_before() -> None:
    """A tick is no yardstick where it is 0.002 bp: 10 s windows that move 0, 3 and 6 ticks give 3."""
    mids = [100.0]
    for index in range(120):
        mids += [mids[-1] + (0, 3, 6)[index % 3] * TICK] * 10
    rows = [row(i - len(mids), mid=mid) for i, mid in enumerate(mids)]
    assert kappa_ticks(rows, window([], secs=10), TICK) == pytest.approx(3.0)


def test_below_fifteen_minutes_there_is_no_usual_move() -> None:
    """Then one tick alone is allowed, and the answer says so."""
    rows = [row(i - 899, mid=100.0) for i in range(899)]
    assert kappa_ticks(rows, window([], secs=10), TICK) is None
    assert kappa_ticks([row(-900, mid=100.0), *rows], window([], secs=10), TICK) == 0.0


def test_the_window_rule_of_the_sheet() -> None:
    """60 units for one tick rank 0.954545 among ten; for six ticks it is 10 per tick and 0.363636."""
    base = [5.0, 8.0, 9.0, 10.0, 11.0, 12.0, 14.0, 15.0, 20.0, 25.0]
    assert absorption_ratio(60.0, 1.0) == absorption_ratio(60.0, 0.0) == 60.0
    assert absorption_ratio(60.0, 6.0) == 10.0
    assert percentile_rank(base, 60.0) == pytest.approx(0.954545, abs=1e-6)
    assert percentile_rank(base, 10.0) == pytest.approx(0.363636, abs=1e-6)


def _history(windows: int, secs: int = 10) -> list[SecondRow]:
    """Equal windows with a little alternating volume, then one with a lot of selling and a mid that holds."""
    rows = [
        row(i - windows * secs, mid=100.0, sell_volume=1.0 + (i // secs * 7 % 5), buy_volume=1.0)
        for i in range(windows * secs)
    ]
    return rows + [row(i, mid=100.0, sell_volume=50.0, buy_volume=1.0) for i in range(secs)]


def test_two_hundred_quiet_windows_make_heavy_selling_into_a_still_mid_an_event() -> None:
    """And only on the side that took it in."""
    rows = _history(WINDOWS_NEEDED)
    now = cut(rows, Span(T0, T0 + 10))
    before = Past.of(rows).windows(10, T0)
    buying = window_absorption(now, before, "passive_buying", TICK)
    selling = window_absorption(now, before, "passive_selling", TICK)
    assert buying is not None
    assert selling is not None
    assert (buying.base_per_tick, buying.windows, buying.is_event) == (500.0, 200, True)
    assert buying.rarity == pytest.approx(200 / 201)
    assert not selling.is_event


def test_with_fewer_windows_there_is_no_rarity_but_their_number() -> None:
    """The reader learns how many windows there are, not an invented rank."""
    rows = _history(WINDOWS_NEEDED - 1)
    found = window_absorption(cut(rows, Span(T0, T0 + 10)), Past.of(rows).windows(10, T0), "passive_buying", TICK)
    assert found is not None
    assert (found.rarity, found.windows, found.is_event) == (None, 199, False)
