"""One second's figures, each against the symbol's own past."""

from __future__ import annotations

from math import log2
from statistics import median
from typing import Any

import pytest

from tests.analytics.books import BTC
from tests.analytics.rows import row
from tests.analytics.watching import WARM_SECS, feed, quiet_row, quiet_rows, warm
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.usual.measures import Measures, depth_octaves, lasting, withdrawn_share
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow

AT = WARM_SECS


def test_the_numbers_worked_by_hand() -> None:
    assert withdrawn_share(1000, 150, 600) == pytest.approx(0.25)  # most of it was eaten
    assert withdrawn_share(1000, 150, 40) == pytest.approx(0.81)  # most of it was pulled
    assert withdrawn_share(1000, 1200, 0) == 0.0
    assert withdrawn_share(0, 0, 0) is None
    assert depth_octaves(0.6, None) == pytest.approx(1.32, abs=0.01)
    assert depth_octaves(None, 0.3) == pytest.approx(1.32, abs=0.01)
    assert depth_octaves(0.8, 1.0) == pytest.approx(2.32, abs=0.01)
    assert depth_octaves(0.0, 0.12) == pytest.approx(2.32, abs=0.01)
    assert depth_octaves(None, None) is None
    assert lasting([3.0, 1.0, 2.0]) == [1.0, 2.0, 3.0]
    assert lasting([3.0, None, 2.0]) is None
    assert lasting([3.0, 2.0]) is None


def told(watch: SymbolWatch, rows: list[SecondRow]) -> list[Measures]:
    feed(watch, rows)
    return list(watch.measures)[-len(rows) :]


def thin(second: int, bid: float, ask: float = 1.0, **fields: Any) -> SecondRow:
    """A second in which the sides hold these shares of what is usual."""
    usual = (1e5, 2e5, 5e5, 1e6, 2e6)
    return quiet_row(
        second,
        bid_band_quote=tuple(bid * each for each in usual),
        ask_band_quote=tuple(ask * each for each in usual),
        **fields,
    )


def test_a_quiet_second_is_as_usual() -> None:
    watch = warm()
    (found,) = told(watch, [quiet_row(AT, mid=watch.rows[-1].mid or 0.0)])
    assert found.band_bps == 5
    assert found.price_z is not None
    assert found.price_z < 5
    assert found.volume_times == pytest.approx(1.0)
    assert found.buy_share == pytest.approx(0.5)
    assert found.spread_times == pytest.approx(1.0)
    assert found.spread_usual_bps == pytest.approx(1e4 * 0.01 / 60_000, rel=0.02)
    assert found.depth_share == pytest.approx(1.0, rel=0.02)
    assert found.cost_times is None  # these rows hold no sizes at the touch


def test_depth_is_told_in_the_second_and_as_what_lasted_three() -> None:
    """One second without depth is depth_share alone: left is the largest of three."""
    watch = warm()
    found = told(watch, [thin(AT + place, 0.1 if place >= 1 else 1.0, sell_quote=0.0) for place in range(5)])
    assert [each.depth_share for each in found] == pytest.approx([1.0, 0.1, 0.1, 0.1, 0.1], rel=0.02)
    assert [each.thin_side for each in found[1:]] == ["bid"] * 4
    assert [each.depth_left for each in found[2:]] == pytest.approx([1.0, 0.1, 0.1], rel=0.02)
    before = min(each.bid_band_quote[0] for each in list(watch.rows)[-11:-5])
    assert found[-1].withdrawn == pytest.approx(1 - 1e4 / before)
    assert found[-1].depth == pytest.approx(max(-log2(1e4 / before), -0.76 * log2(0.1)), rel=0.02)


def test_what_was_sold_was_not_withdrawn() -> None:
    rows = [quiet_row(AT + place) for place in range(11)]
    eaten = [thin(AT + 11 + place, 0.2, sell_quote=20_000.0) for place in range(5)]
    assert told(warm(), rows + eaten)[-1].withdrawn == pytest.approx(0.0)
    pulled = [thin(AT + 11 + place, 0.2, sell_quote=1_000.0) for place in range(5)]
    assert told(warm(), rows + pulled)[-1].withdrawn == pytest.approx(0.75, abs=0.01)


def test_a_wall_that_flickers_is_no_withdrawal() -> None:
    """Against the least of the seconds ten to five before."""
    rows = [thin(AT + place, 5.0 if place % 3 else 1.0) for place in range(12)]
    assert told(warm(), [*rows, thin(AT + 12, 1.0)])[-1].withdrawn == pytest.approx(0.0, abs=0.02)


def test_each_side_is_compared_with_its_own_usual() -> None:
    """Bids hold a quarter of what asks do, always: asks at a third of theirs are the thin side, not bids."""
    watch = SymbolWatch(BTC)
    feed(watch, [thin(second, 0.25) for second in range(1000)])
    (found,) = told(watch, [thin(1000, 0.25, 0.3333)])
    assert found.thin_side == "ask"
    assert found.depth_share == pytest.approx(0.3333, rel=0.02)


def test_the_spread_of_a_second_and_what_lasted() -> None:
    """Both against the median of the day, at least half a bp; what lasted is the median of three seconds."""
    spreads = [0.01, 18.0, 0.01, 18.0, 18.0]
    found = told(warm(), [quiet_row(AT + place, spread_mean=each) for place, each in enumerate(spreads)])
    times = [each.spread_times for each in found]
    assert times == pytest.approx([1.0, 6.0, 1.0, 6.0, 6.0], rel=0.001)  # 3 bps against the least of 0.5
    assert [each.spread_lasting for each in found[2:]] == pytest.approx(
        [median(spreads[k : k + 3]) / 3 if median(spreads[k : k + 3]) > 1 else 1.0 for k in range(3)], rel=0.001
    )


def test_volume_is_of_a_minute_against_the_days_mean_minute() -> None:
    found = told(warm(), [quiet_row(AT + place, buy_quote=60_000.0, sell_quote=0.0) for place in range(60)])
    assert found[-1].volume_times == pytest.approx(5.0)
    assert found[-1].buy_share == 1.0
    assert found[29].volume_times == pytest.approx(3.0)
    young = SymbolWatch(BTC)
    assert told(young, quiet_rows(3000))[-1].volume_times is None  # an hour is needed


def test_a_second_without_a_sound_book_has_no_book_figures() -> None:
    """Its trades still count, and what it broke is not measured across it."""
    gap = row(AT, covered_ms=200, flags=int(RowFlag.GAP), buy_quote=6_000.0, sell_quote=6_000.0)
    found = told(warm(), [gap, *(quiet_row(AT + 1 + place) for place in range(12))])
    assert found[0] == Measures(
        AT + gap.second - AT,
        volume_times=found[0].volume_times,
        buy_share=0.5,
        sweep_share=0.0,
        spread_usual_bps=found[0].spread_usual_bps,
        band_bps=5,
        levels=found[0].levels,
    )
    assert found[0].volume_times == pytest.approx(1.0)
    assert [each.depth_left is None for each in found[:5]] == [True, True, True, False, False]
    assert [each.withdrawn is None for each in found] == [True] * 11 + [False] * 2
    assert [each.price_z is None for each in found[:4]] == [True, True, False, False]


def seen(watch: SymbolWatch) -> list[Measures]:
    """But for taker groups: those of seconds before the start are not stored."""
    return [each._replace(sweep_share=None, levels=()) for each in watch.measures]


@pytest.mark.parametrize("stop", [4000, 5033])
def test_a_restart_changes_no_figure(stop: int) -> None:
    """Stored hours and the rows since then give the same second to the last digit."""
    rows = quiet_rows(stop + 200)
    going_on, stopped = SymbolWatch(BTC), SymbolWatch(BTC)
    feed(going_on, rows)
    feed(stopped, rows[:stop])
    restarted = SymbolWatch(BTC)
    saved = [data for _, data in stopped.hour_blocks()]
    restarted.restore(saved, rows[max(0, stop - 3800) : stop])
    assert seen(restarted)[-1] == seen(stopped)[-1]
    feed(restarted, rows[stop:])
    assert list(restarted.measures)[-200:] == list(going_on.measures)[-200:]
    assert seen(restarted) == seen(going_on)
    assert restarted.baseline.band == going_on.baseline.band


def test_history_that_is_read_late_counts_from_then_on() -> None:
    rows = quiet_rows(4000)
    older, late = SymbolWatch(BTC), SymbolWatch(BTC)
    feed(older, rows[:3900])
    feed(late, rows[3900:])
    assert list(late.measures)[-1].price_z is list(late.measures)[-1].depth_share is None
    late.take_in([data for _, data in older.hour_blocks()], rows[:3900])
    (found,) = told(late, [quiet_row(4000)])
    assert found.price_z is not None
    assert found.volume_times == pytest.approx(1.0)
    assert found.band_bps == 5
    assert found.depth_share == pytest.approx(1.0, rel=0.02)
