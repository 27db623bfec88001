from __future__ import annotations

import random
from typing import Any

import pytest

from tests.analytics.rows import T0, row, touched, window
from vibe_orderbook_mcp.analytics.flow.absorption import (
    WINDOWS_NEEDED,
    WindowAbsorption,
    absorbs,
    adverse_ticks,
    gave_way,
    is_one_sided,
    kappa_ticks,
    level_absorption,
    merge_touched,
    replenished,
    share_of_aggression,
    window_absorption,
    windows_needed,
)
from vibe_orderbook_mcp.analytics.flow.past import EqualWindow, EqualWindows, Past
from vibe_orderbook_mcp.analytics.windows import Cut, Span, cut
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import SecondRow, TouchedLevel

TICK = 0.01
# Ten traded against two shown at most, two at the start, none at the end.
REFILLED = touched(traded=10.0, start=2.0, top=2.0, end=0.0)


def test_the_level_rule_worked_by_hand() -> None:
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


def _hit(*levels: TouchedLevel, mid_before: float = 100.0, mid_end: float = 100.0, **traded: Any) -> Cut:
    first = row(0, mid=mid_before, touched=levels or (REFILLED,), **traded)
    return window([first, row(1, mid=mid_end)], mid_before=mid_before)


def test_a_refilled_level_is_found_when_mid_holds() -> None:
    """And lost when mid falls by more than the allowance, kept when kappa allows it."""
    assert level_absorption(_hit(), TICK, None) == [REFILLED]
    assert level_absorption(_hit(mid_end=99.99), TICK, None) == [REFILLED]
    assert level_absorption(_hit(mid_end=99.96), TICK, None) == []
    assert level_absorption(_hit(mid_before=100.04), TICK, None) == []
    assert level_absorption(_hit(mid_before=100.04), TICK, 4.0) == [REFILLED]
    assert level_absorption(_hit(mid_end=101.0), TICK, None) == [REFILLED]  # a rise does not hurt a bid


def test_fewer_than_twenty_trades_at_a_level_are_not_called_absorption() -> None:
    """Two large prints against a refilled level are a coincidence like any other."""
    assert level_absorption(_hit(touched(traded=10.0, trades=19, start=2.0, top=2.0, end=0.0)), TICK, None) == []


def test_a_window_without_a_mid_absorbs_nothing() -> None:
    """Whether the price moved is unknown."""
    blind = window([row(0, touched=(REFILLED,))])
    assert level_absorption(blind, TICK, None) == []
    assert window_absorption(blind, EqualWindows(), TICK, None) is None


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


@pytest.mark.parametrize(("side", "way"), [("bid", -1), ("ask", 1)])
def test_a_level_that_mid_ended_beyond_has_given_way(side: Side, way: int) -> None:
    """However far mid is used to move: what price went through took nothing in. A tick beyond is the touch itself."""
    level = touched(side, traded=10.0, start=2.0, top=2.0, end=0.0)
    for ticks, expected in ((0, False), (1, False), (1.5, True), (40, True)):
        end = round(100.0 + way * ticks * TICK, 3)
        assert gave_way(level, end, TICK) is expected
        assert level_absorption(_hit(level, mid_end=end), TICK, 1000.0) == ([] if expected else [level])


@pytest.mark.parametrize(("against", "expected"), [(0.0, True), (2.5, True), (2.6, False), (10.0, False)])
def test_a_price_that_was_hit_from_both_sides_absorbs_nothing(against: float, expected: bool) -> None:
    """Four fifths of what traded at the price must hit one side: two who trade with each other hit both."""
    other = touched("ask", traded=against, trades=30, start=9.0, top=9.0, end=0.0)
    assert is_one_sided(10.0, against) is expected
    levels = (REFILLED, other) if against else (REFILLED,)
    assert level_absorption(_hit(*levels), TICK, None) == ([REFILLED] if expected else [])


def test_the_share_that_a_level_took_in_is_of_the_volume_of_its_own_direction() -> None:
    assert share_of_aggression(REFILLED, _hit(sell_volume=40.0, buy_volume=1e6)) == 0.25
    assert share_of_aggression(REFILLED, _hit()) is None


def _absorption(
    buy: float, sell: float, move_bps: float, *, tick_bps: float = 8.2, usual_bps: float = 4.1, rank: float = 1.0
) -> str | None:
    """With a quantile of 5,000. Ticks are the unit of the rule."""
    net = buy - sell
    return WindowAbsorption(
        net_quote=net,
        net_share=abs(net) / (buy + sell),
        moved_ticks=(1 if net > 0 else -1) * move_bps / tick_bps,
        allowance_ticks=max(1.0, usual_bps / tick_bps),
        net_needed_quote=5_000.0,
        rarity=0.99,
        volume_rank=rank,
        windows=200,
        windows_needed=200,
    ).absorber


def test_a_rally_is_no_absorption_and_neither_is_a_busy_minute_both_ways() -> None:
    """56,100 bought and 7,200 sold while price rose 194 bps: mid followed. The same amounts with a still mid: it did
    not. 30,000 against 28,000 is no direction."""
    assert _absorption(56_100, 7_200, 194.3) is None
    assert _absorption(7_200, 56_100, -194.3) is None
    assert _absorption(6_400, 400, 0.0, rank=0.99) == "passive_selling"
    assert _absorption(400, 6_400, 0.0) == "passive_buying"
    assert _absorption(30_000, 28_000, 0.0) is None
    assert _absorption(5_400, 400, 0.0) == "passive_selling"
    assert _absorption(5_300, 400, 0.0) is None  # less than the quantile
    assert _absorption(6_400, 400, 0.0, rank=0.89) is None
    assert _absorption(6_400, 400, 8.2) == "passive_selling"  # one tick
    assert _absorption(6_400, 400, 12.3) is None
    assert _absorption(6_400, 400, -50.0) == "passive_selling"  # mid fell under all that buying


def _history(windows: int, buys: float, sells: float, *, mid_end: float = 100.0, secs: int = 60) -> list[SecondRow]:
    """Equal windows with a little alternating volume, then one with these amounts a second."""
    rows = [
        row(i - windows * secs, mid=100.0, sell_quote=100.0 + 100 * (i // secs * 7 % 5), buy_quote=100.0)
        for i in range(windows * secs)
    ]
    now = [row(i, mid=100.0, buy_quote=buys, sell_quote=sells) for i in range(secs - 1)]
    return [*rows, *now, row(secs - 1, mid=mid_end, buy_quote=buys, sell_quote=sells)]


def _found(windows: int, buys: float, sells: float, *, mid_end: float = 100.0, secs: int = 60) -> WindowAbsorption:
    rows = _history(windows, buys, sells, mid_end=mid_end, secs=secs)
    found = window_absorption(cut(rows, Span(T0, T0 + secs)), Past.of(rows).windows(secs, T0), TICK, None)
    assert found is not None
    return found


def test_two_hundred_quiet_windows_make_heavy_selling_into_a_still_mid_an_event() -> None:
    """And only on the side that took it in."""
    found = _found(WINDOWS_NEEDED, 100.0, 5_000.0)
    assert (found.net_quote, found.moved_ticks, found.windows) == (-294_000.0, 0.0, 200)
    assert found.net_needed_quote == 24_000.0
    assert found.rarity == pytest.approx(200 / 201)
    assert found.absorber == "passive_buying"
    assert _found(WINDOWS_NEEDED, 5_000.0, 100.0).absorber == "passive_selling"


def test_a_price_that_follows_is_no_absorption() -> None:
    """Neither side is said to have absorbed a rally or a fall."""
    for buys, sells, way in ((5_000.0, 100.0, 1), (100.0, 5_000.0, -1)):
        assert _found(WINDOWS_NEEDED, buys, sells, mid_end=100.0 + way * 1.96).absorber is None
        assert _found(WINDOWS_NEEDED, buys, sells, mid_end=100.0 + way * 0.01).absorber is not None
        assert _found(WINDOWS_NEEDED, buys, sells, mid_end=100.0 - way * 1.96).absorber is not None


def test_with_fewer_windows_there_is_no_rarity_but_their_number() -> None:
    """The reader learns how many windows there are, not an invented rank."""
    found = _found(WINDOWS_NEEDED - 1, 100.0, 5_000.0)
    assert (found.rarity, found.net_needed_quote, found.windows, found.absorber) == (None, None, 199, None)


def test_less_than_an_hour_of_windows_makes_none_rare() -> None:
    """Two hundred windows of ten seconds are half an hour."""
    assert [windows_needed(secs) for secs in (10, 17, 18, 60, 300)] == [360, 212, 200, 200, 200]
    assert _found(359, 100.0, 5_000.0, secs=10).absorber is None
    assert _found(360, 100.0, 5_000.0, secs=10).absorber == "passive_buying"


def test_one_window_has_one_net_direction() -> None:
    """Every mixture of amounts and moves names one absorber at most, and only against the aggressors."""
    rng = random.Random(5)
    before = EqualWindows([EqualWindow(0.0, 0.0, rng.uniform(0, 50), rng.uniform(0, 50), 0.0, 0.0) for _ in range(300)])
    kinds = set()
    for _ in range(2000):
        buys, sells, moved = rng.uniform(0, 200), rng.uniform(0, 200), rng.randint(-5, 5) * TICK
        rows = [row(0, mid=100.0 + moved, buy_quote=buys, sell_quote=sells)]
        found = window_absorption(window(rows, 60, mid_before=100.0), before, TICK, 2.0)
        assert found is not None
        if found.absorber is not None:
            assert found.absorber == ("passive_selling" if buys > sells else "passive_buying")
            assert (moved if buys > sells else -moved) <= 2.0 * TICK + 1e-9
        kinds.add(found.absorber)
    assert kinds == {None, "passive_buying", "passive_selling"}
