"""What is usual: causal, without what was flagged, the same after a restart."""

from __future__ import annotations

import random
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from itertools import pairwise
from math import log, log1p
from statistics import median
from typing import NamedTuple

import pytest

from tests.analytics.books import BTC
from tests.analytics.rows import T0, row
from tests.analytics.watching import QUIET, quiet_row, quiet_rows, warm
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch, sample_of
from vibe_orderbook_mcp.analytics.usual.baseline import (
    HOLD_SECS,
    LEAST_SIGMA,
    RELATIVE_SECS,
    VERDICT_SECS,
    Baseline,
    restore_from,
)
from vibe_orderbook_mcp.analytics.usual.histograms import Sums, packed
from vibe_orderbook_mcp.analytics.usual.hours import HOUR, VERSION, HourBlock, decode, encode
from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow

TICK = 0.01


def observed(rows: list[SecondRow]) -> Baseline:
    baseline = Baseline(TICK)
    before = None
    for each in rows:
        baseline.observe(each.second, sample_of(each, before, TICK))
        before = each
    return baseline


def test_a_score_is_the_distance_from_the_hours_median() -> None:
    """7.2: (x - median) / (1.4826 MAD) of ln, over seconds that are at least a minute old."""
    rows = quiet_rows(2000)
    baseline = observed(rows)
    known = [log1p(each.ids) for each in rows[: 2000 - HOLD_SECS]]
    middle = median(known)
    sigma = 1.4826 * median(abs(value - middle) for value in known)
    assert baseline.score("updates", 400.0) == pytest.approx((log1p(400) - middle) / sigma)
    assert baseline.median("updates") == pytest.approx(2.718281828459045**middle - 1)


def test_below_fifteen_minutes_nothing_relative_is_said() -> None:
    """And below an hour no verdict."""
    baseline = observed(quiet_rows(RELATIVE_SECS + HOLD_SECS - 1))
    assert not baseline.is_relative
    assert baseline.score("updates", 400.0) is baseline.median("updates") is baseline.median_move_ticks is None
    assert baseline.median_spread_bps is None
    baseline = observed(quiet_rows(RELATIVE_SECS + HOLD_SECS))
    assert baseline.is_relative
    assert not baseline.is_ready
    assert baseline.median_spread_bps is not None
    almost = observed(quiet_rows(VERDICT_SECS + HOLD_SECS - 1))
    assert not almost.is_ready
    assert almost.secs_until_ready == 1
    assert observed(quiet_rows(VERDICT_SECS + HOLD_SECS)).is_ready


@pytest.mark.parametrize("flag", [RowFlag.GAP, RowFlag.RESYNC, RowFlag.CROSSED, RowFlag.DISCONNECTED, RowFlag.PARTIAL])
def test_a_second_with_a_broken_book_is_no_sample(flag: RowFlag) -> None:
    """A resync looks like a crash and a gap like silence."""
    assert sample_of(quiet_row(1), None, TICK) is not None
    assert sample_of(quiet_row(1, flags=int(flag)), None, TICK) is None
    assert sample_of(quiet_row(1, covered_ms=900), None, TICK) is None


def test_a_flagged_episode_and_its_margins_do_not_count() -> None:
    """Otherwise an event raises its own threshold."""
    rows = quiet_rows(1500)
    baseline, before = Baseline(TICK), None
    for place, each in enumerate(rows):
        if 1000 <= place <= 1010:
            baseline.exclude(T0 + 1000, each.second)
        baseline.observe(each.second, sample_of(each, before, TICK))
        before = each
    assert baseline.seconds == 1500 - HOLD_SECS - (60 + 11 + 60)


def test_an_episode_that_does_not_end_becomes_normal() -> None:
    """Fifteen minutes of it are left out, not the rest of the week."""
    baseline = Baseline(TICK)
    for each in quiet_rows(3000):
        baseline.exclude(T0, each.second)
        baseline.observe(each.second, sample_of(each, None, TICK))
    assert baseline.seconds == 3000 - HOLD_SECS - (900 + 60) - 1


def test_an_hour_comes_back_from_its_bytes() -> None:
    blocks = warm().baseline.take_blocks()
    assert [decode(encode(block)) for block in blocks] == blocks
    assert len(encode(blocks[0])) < 10_000


@pytest.mark.parametrize(
    "damaged",
    [lambda _: b"", lambda _: b"x", lambda hour: hour[:-40]],
    ids=["empty", "of one byte", "without its end"],
)
def test_a_damaged_hour_is_refused(damaged: Callable[[bytes], bytes]) -> None:
    hour = encode(warm().baseline.take_blocks()[0])
    with pytest.raises(StorageCorrupt):
        decode(damaged(hour))


def test_another_version_is_refused() -> None:
    block = warm().baseline.take_blocks()[0]
    block.version = 99
    with pytest.raises(StorageCorrupt, match="version 99"):
        decode(encode(block))


def figures(watch: SymbolWatch) -> list[object]:
    baseline = watch.baseline
    out: list[object] = [watch.normal, baseline.seconds, baseline.median_move_ticks]
    out += [baseline.median_minute_move_ticks, baseline.is_ready]
    for name, value in (("updates", 300.0), ("order_to_trade", 90.0), ("spread", 0.02), ("depth_50", 4e5)):
        out += [baseline.median(name), baseline.standing(name, value), baseline.threshold(name, 0.999)]  # type: ignore[arg-type]  # literals
    out += [baseline.standing_level("minute_volume", 1.0), baseline.standing_level("minute_updates", 3.0)]
    return out


STOPS = (3599, 3600, 4000, 5033, 7199, 7290)


class Unstopped(NamedTuple):
    """Rows, what was stored of them at each of `STOPS`, and the figures of a watch that saw them all."""

    rows: list[SecondRow]
    saved: dict[int, dict[int, bytes]]
    figures: list[object]


@cache
def unstopped() -> Unstopped:
    rows = quiet_rows(7400)
    # A burst and a gap before the stop, so that what is left out has to be remembered too.
    rows[3000:3006] = [quiet_row(3000 + place, ids=900, trades=0) for place in range(6)]
    rows[3300] = row(3300, covered_ms=300, flags=int(RowFlag.GAP))
    watch = SymbolWatch(BTC)
    saved: dict[int, bytes] = {}
    at_stops: dict[int, dict[int, bytes]] = {}
    for place, each in enumerate(rows):
        if place in STOPS:
            at_stops[place] = dict(saved)
        watch.second(each)
        if each.second % 60 == 17:
            saved.update(watch.hour_blocks())
    return Unstopped(rows, at_stops, figures(watch))


@pytest.mark.parametrize("stop", STOPS)
def test_a_restart_changes_nothing(stop: int) -> None:
    """Stored hours plus the rows since give the same figures to the last digit, wherever the process stopped."""
    rows, at_stops, expected = unstopped()
    saved = at_stops[stop]
    since = restore_from([decode(data) for data in saved.values()], T0 + stop)
    restarted = SymbolWatch(BTC)
    restarted.restore(saved.values(), [each for each in rows[:stop] if each.second >= since])
    for each in rows[stop:]:
        restarted.second(each)
    assert figures(restarted) == expected


LATE_STOPS = (3599, 5033, 7000)
UNTIL_READ_SECS = 900


@cache
def unread() -> tuple[list[SecondRow], dict[int, dict[int, bytes]], dict[int, SymbolWatch]]:
    """Rows, what was stored of them at each of `LATE_STOPS`, and a watch that saw all of them, as it was later."""
    rows = quiet_rows(LATE_STOPS[-1] + UNTIL_READ_SECS)
    watch = SymbolWatch(BTC)
    saved: dict[int, bytes] = {}
    at_stops: dict[int, dict[int, bytes]] = {}
    later: dict[int, SymbolWatch] = {}
    for place, each in enumerate(rows, 1):
        watch.second(each)
        if each.second % 60 == 17:
            saved.update(watch.hour_blocks())
        if place in LATE_STOPS:
            at_stops[place] = dict(saved)
        if place - UNTIL_READ_SECS in LATE_STOPS:
            later[place - UNTIL_READ_SECS] = deepcopy(watch)
    return rows, at_stops, later


@pytest.mark.parametrize("stop", LATE_STOPS)
def test_what_is_stored_can_be_taken_in_later(stop: int) -> None:
    """History that could not be read at the start: once it can, a quarter of an hour on, the normal is nearly that of a
    watch that never stopped. Seconds are counted once; what was judged without a normal is not judged again."""
    all_rows, at_stops, later = unread()
    rows, saved, going_on, again = all_rows[: stop + UNTIL_READ_SECS], at_stops[stop], later[stop], SymbolWatch(BTC)
    for each in rows[stop:]:
        again.second(each)
    assert again.baseline.seconds < 900
    since = restore_from([decode(data) for data in saved.values()], T0 + stop)
    again.take_in(saved.values(), [each for each in rows[:stop] if each.second >= since])
    assert again.baseline.is_ready
    assert again.baseline.seconds == going_on.baseline.seconds
    assert again.normal.spread_bps == going_on.normal.spread_bps
    assert again.normal == going_on.normal
    assert again.baseline.median("updates") == going_on.baseline.median("updates")
    stored = SymbolWatch(BTC)
    stored.restore({**saved, **dict(again.hour_blocks())}.values(), [])
    assert stored.baseline.seconds == going_on.baseline.seconds


def test_after_a_long_stop_the_hour_before_is_gathered_anew() -> None:
    """Yesterday's pool stays; what a value is compared with is the last hour, and that has to be seen first."""
    watch = warm()
    again = SymbolWatch(BTC)
    again.restore([data for _, data in watch.hour_blocks()], [])
    assert again.baseline.seconds == watch.baseline.seconds
    assert not again.baseline.is_relative
    for each in quiet_rows(RELATIVE_SECS + HOLD_SECS, start=50_000):
        again.second(each, QUIET)
    assert again.baseline.is_ready


def test_an_event_of_a_new_hour_leaves_no_second_of_the_old_one_uncounted() -> None:
    """Seconds wait a little over a minute before they count, events of single levels do not."""
    baseline = Baseline(TICK)
    for each in quiet_rows(HOUR + 100, start=HOUR - 100 - T0 % HOUR):
        baseline.observe(each.second, sample_of(each, None, TICK))
        baseline.count_event("turnover", each.second, 1.0)
    assert baseline.seconds == HOUR + 100 - HOLD_SECS


def test_only_the_last_day_counts() -> None:
    """Hours leave the pools as they came."""
    baseline = observed(quiet_rows(1200))
    counted = baseline.seconds
    for each in quiet_rows(1200, start=24 * HOUR):
        baseline.observe(each.second, sample_of(each, None, TICK))
    assert baseline.seconds > counted
    for each in quiet_rows(1200, start=27 * HOUR):
        baseline.observe(each.second, sample_of(each, None, TICK))
    assert baseline.seconds == 2 * (1200 - HOLD_SECS) + HOLD_SECS
    week_later = quiet_rows(200, start=24 * HOUR * 9)
    for each in week_later:
        baseline.observe(each.second, sample_of(each, None, TICK))
    assert baseline.seconds == 200 - HOLD_SECS


def test_of_a_week_this_hour_of_the_day_and_its_neighbours_are_compared() -> None:
    """A Monday's noon with other noons; before there are seven days, with the last 24 hours."""
    for hours, expected in ((100, 25), (168, 21)):
        blocks = [
            HourBlock(VERSION, number, number * HOUR + HOUR - 1, HOUR, {"score:updates": packed({0: 9}, Sums())}, [])
            for number in range(1000, 1000 + hours)
        ]
        baseline = Baseline(TICK)
        baseline.restore(blocks)
        now = 999 + hours
        pooled = baseline._past["score:updates"].hours
        assert len(pooled) == expected
        alike = {number for number in range(1000, now + 1) if abs((number - now + 12) % 24 - 12) <= 1}
        assert (pooled == alike) is (hours == 168)


def test_how_much_of_the_past_was_watched() -> None:
    """Half an hour in each of ten hours; the first second asked for falls into one of them."""
    baseline = Baseline(TICK)
    baseline.restore([HourBlock(VERSION, number, number * HOUR + 1800, 1800, {}, []) for number in range(1000, 1010)])
    assert baseline.seconds_since(1005 * HOUR) == 5 * 1800
    assert baseline.seconds_since(1010 * HOUR - 600) == 600
    assert baseline.seconds_since(1010 * HOUR) == 0
    assert baseline.seconds_since(0) == 18_000


def test_prices_and_ticks_times_ten_change_nothing_relative() -> None:
    """Spreads are in basis points and moves in ticks."""
    rows = quiet_rows(1200)
    times_ten = [
        quiet_row(
            each.second - T0,
            ids=each.ids,
            mid=10 * (each.mid or 0.0),
            trades=each.buy_trades,
            spread_mean=10 * (each.spread_mean or 0.0),
            bid_band_quote=each.bid_band_quote,
            ask_band_quote=each.ask_band_quote,
        )
        for each in rows
    ]
    one, ten = observed(rows), Baseline(10 * TICK)
    before = None
    for each in times_ten:
        ten.observe(each.second, sample_of(each, before, 10 * TICK))
        before = each
    assert ten.median("spread") == pytest.approx(one.median("spread"))
    assert ten.median_move_ticks == one.median_move_ticks
    assert ten.score("depth_50", 5e5) == one.score("depth_50", 5e5)


def test_a_figure_that_never_varies_has_a_least_spread() -> None:
    """One tick all day: MAD is 0, and a score must not be infinite."""
    baseline = observed([quiet_row(second) for second in range(1200)])
    bps = 1e4 * 0.01 / 60_000.0
    assert baseline.score("spread", 3 * bps) == pytest.approx(log(3) / LEAST_SIGMA)


def simulate(phi: float, *, drift: float, days: int, step: int = 10, seed: int = 7) -> tuple[float, float]:
    """A simulation on our own pieces: exceedance of yesterday's 0.999 quantile, 3-of-5 alarms a day."""
    from vibe_orderbook_mcp.analytics.usual.histograms import Pool, bin_of
    from vibe_orderbook_mcp.analytics.usual.trailing import Trailing

    rng, per = random.Random(seed), 86_400 // step
    x, sd = 0.0, (1 - phi * phi) ** 0.5
    trailing, before, above, alarms = Trailing(HOUR), None, 0, 0
    for _ in range(days + 1):
        level, today, flags = rng.gauss(0, drift), Pool("score"), []
        for place in range(per):
            x = phi * x + sd * rng.gauss(0, 1)
            middle = trailing.median or 0.0
            score = (x + level - middle) / (trailing.sigma(middle) or 1.0)
            trailing.add((_ * per + place) * step, x + level)
            today.add(bin_of("score", score))
            flags.append(before is not None and score > before)
        above += sum(flags)
        raised = [sum(flags[max(0, at - 4) : at + 1]) >= 3 for at in range(per)]
        alarms += sum(now and not was for was, now in pairwise([False, *raised]))
        before = today.quantile(0.999)
    return above / (per * days), alarms / days


@pytest.mark.parametrize(("phi", "drift", "exceedance", "alarms"), [(0.0, 0.0, 1.1e-3, 0.0), (0.9, 1.0, 1.4e-3, 1.4)])
def test_the_false_alarm_rate_is_the_sheets(phi: float, drift: float, exceedance: float, alarms: float) -> None:
    """7.3: standardising keeps the rate near its nominal 1e-3 although the level drifts from day to day."""
    days = 12
    rate, per_day = simulate(phi, drift=drift, days=days)
    clusters = 1 if phi == 0.0 else (1 + phi) / (1 - phi)  # exceedances of an AR(1) come together
    error = (exceedance * clusters / (8640 * days)) ** 0.5
    assert abs(rate - exceedance) <= 2 * error + 1.5e-4  # bins are 0.05 wide
    assert abs(per_day - alarms) <= 2 * (max(alarms, 0.1) / days) ** 0.5
