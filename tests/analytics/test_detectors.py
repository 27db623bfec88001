"""Each scenario is found by its own detector and by no other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import BTC
from tests.analytics.rows import T0, generated_rows, row, touched
from tests.analytics.test_walls import walls_of
from tests.analytics.watching import QUIET, WARM_SECS, changed, feed, quiet_row, quiet_rows, warm
from vibe_orderbook_mcp.analytics.anomalies import bursts
from vibe_orderbook_mcp.analytics.anomalies.crash import (
    CrashLevel,
    crash_level,
    depth_drop,
)
from vibe_orderbook_mcp.analytics.anomalies.fleeting import is_fleeting, wall_limits
from vibe_orderbook_mcp.analytics.anomalies.iceberg import iceberg_class, size_limit
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch, sample_of
from vibe_orderbook_mcp.analytics.findings import LIMITS, TYPES, Finding, from_stored, to_stored
from vibe_orderbook_mcp.analytics.usual.measures import spread_floor_bps, spread_times
from vibe_orderbook_mcp.analytics.walls import nearest_groups
from vibe_orderbook_mcp.book.book import BookSide
from vibe_orderbook_mcp.model.errors import StorageCorrupt
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow, SideFlow
from vibe_orderbook_mcp.seconds.refills import RefillChain, Turnover
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence, WallLife

AT = WARM_SECS
MS = (T0 + AT) * 1000
TURNOVERS = tuple(Turnover(random.Random(place).uniform(0.1, 4.0), True) for place in range(4000))


def kinds(findings: Sequence[Finding]) -> set[str]:
    return {finding.type for finding in findings}


# --- 5.1 update bursts ------------------------------------------------------------------------------------------


def test_the_counts_worked_by_hand() -> None:
    """19 ids in 14 rows hide 0.263158 of the churn; 400 ids are 400 a trade without any, 1.333 with 300."""
    assert bursts.churn_share(19, 14) == pytest.approx(0.263158, abs=1e-6)
    assert bursts.churn_share(14, 19) == 0.0
    assert bursts.churn_share(0, 0) is None
    for trades, expected in ((0, 400.0), (300, 400 / 300)):
        sample = sample_of(quiet_row(1, ids=400, buy_trades=trades, sell_trades=0), None, 0.01)
        assert sample is not None
        assert sample.order_to_trade == expected


@pytest.mark.parametrize(
    ("times", "severity"), [(5, "Medium"), (9.9, "Medium"), (10, "High"), (20, "High"), (20.1, "Critical")]
)
def test_the_severity_bands(times: float, severity: str) -> None:
    assert bursts.severity_of(times) == severity


def stuffing(count: int, *, ids: int = 700, trades: int = 0, start: int = AT, mid: float = 60_000.0) -> list[SecondRow]:
    return [quiet_row(start + place, ids=ids, trades=trades, mid=mid) for place in range(count)]


def calm(start: int, count: int = 12) -> list[SecondRow]:
    return [quiet_row(start + place) for place in range(count)]


def test_a_burst_is_found_and_ends() -> None:
    """Three of five seconds raise it; its start is the first of them, its end the last."""
    watch = warm()
    watch.second(quiet_row(AT))
    raised = feed(watch, stuffing(2, start=AT + 1))
    assert raised == []
    (burst,) = feed(watch, stuffing(2, start=AT + 3))
    assert (burst.type, burst.severity, burst.start_ms) == ("update_burst", "High", MS + 1000)
    assert burst.is_open
    assert burst.evidence["updates_per_s"] == 700
    assert burst.evidence["absolute_500"] is True
    assert burst.evidence["order_to_trade"] == 700
    assert 15 < float(burst.evidence["times_median"]) < 20
    assert burst.rarity is not None
    assert 0.99 < burst.rarity <= 1 - 1 / ((burst.n_eff or 0.0) + 1)
    assert watch.open == [burst]
    (over,) = feed(watch, calm(AT + 5))
    assert (over.key, over.end_ms) == (burst.key, MS + 5000)
    assert watch.open == []
    assert list(watch.recent) == [over]


def test_a_burst_that_grows_is_told_again() -> None:
    """Its severity rises with the peak; the start stays."""
    watch = warm()
    rows = [quiet_row(AT), *stuffing(3, ids=250, start=AT + 1), *stuffing(3, ids=2000, start=AT + 4)]
    found = feed(watch, rows)
    assert [finding.severity for finding in found] == ["Medium", "Critical"]
    assert found[0].key == found[1].key


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(stuffing(8, trades=150), id="news: many trades"),
        pytest.param([quiet_row(AT + n, ids=900, trades=0, mid=60_000 + n) for n in range(8)], id="price moves"),
        pytest.param([*stuffing(1), *calm(AT + 1, 4), *stuffing(1, start=AT + 5)], id="single seconds"),
        pytest.param(stuffing(8, ids=150), id="under five times the median"),
        pytest.param(changed(stuffing(8), flags=int(RowFlag.RESYNC)), id="resync"),
        pytest.param(changed(stuffing(8), flags=int(RowFlag.GAP), covered_ms=200), id="gap"),
        pytest.param([quiet_row(AT + n, ids=0, rows=0, trades=0, covered_ms=0) for n in range(30)], id="frozen feed"),
        pytest.param(quiet_rows(60, start=AT, seed=5), id="quiet"),
    ],
)
def test_what_is_no_burst(rows: list[SecondRow]) -> None:
    """News trades and moves the price; a resync and silence are faults of the feed."""
    assert feed(warm(), rows) == []


def test_no_verdict_before_an_hour() -> None:
    """The same burst on a cold baseline is measured, not judged."""
    watch = SymbolWatch(BTC)
    feed(watch, quiet_rows(2000))
    assert feed(watch, stuffing(8, start=2000)) == []
    assert {each.detector for each in watch.not_run()} >= {"update_burst", "crash_precursor", "fleeting_cluster"}


def test_a_burst_does_not_raise_its_own_threshold() -> None:
    """Left out with a minute on both sides: a second burst an hour later looks the same."""
    watch = warm()
    before = watch.baseline.threshold("updates", 0.999)
    feed(watch, [*stuffing(300), *calm(AT + 300, 200)])
    after = watch.baseline.threshold("updates", 0.999)
    assert before is not None
    assert after == pytest.approx(before, rel=0.05)


# --- 5.3 flash-crash precursors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("depth", "times", "cancelled", "added", "level"),
    [
        (0.15e6, 12.0, 19.0, 1.0, "critical"),
        (0.45e6, 3.5, 5.0, 5.0, "warning"),
        (0.45e6, 1.0, 9.0, 1.0, "watch"),
        (1.1e6, 1.0, 0.0, 0.0, "none"),
        (0.5e6, 3.0, 0.0, 0.0, "warning"),
        (0.2e6, 10.0, 9.0, 1.0, "critical"),
        (0.9e6, 3.0, 8.0, 2.0, "watch"),
        (0.9e6, 12.0, 0.0, 0.0, "none"),
    ],
)
def test_the_levels_worked_by_hand(
    depth: float, times: float, cancelled: float, added: float, level: CrashLevel
) -> None:
    """The four worked cases, thresholds met exactly, and a wide spread alone."""
    share = cancelled / (cancelled + added) if cancelled + added else None
    assert crash_level(depth_drop(depth, 1e6), times, share) == level


@pytest.mark.parametrize(
    ("drop", "times", "cost", "share", "level"),
    [
        (0.5, 1.0, 2.0, 0.0, "warning"),
        (0.5, 1.0, 1.99, 0.0, "none"),
        (0.8, 1.0, 4.0, 0.9, "critical"),
        (0.8, 1.0, 3.99, 0.9, "warning"),
        (0.8, 10.0, None, 0.9, "critical"),
        (0.2, 1.0, 2.0, 0.8, "watch"),
        (0.2, 1.0, 5.0, 0.0, "none"),
    ],
)
def test_a_dear_book_is_as_good_as_a_wide_spread(
    drop: float, times: float, cost: float | None, share: float, level: CrashLevel
) -> None:
    """Where one tick is the spread it cannot widen three times: what a quarter of the usual depth costs can."""
    assert crash_level(drop, times, share, cost) == level


def test_without_a_reference_nothing_is_said() -> None:
    assert crash_level(None, 12.0, 1.0) == "none"
    assert crash_level(0.9, None, 1.0) == "none"
    assert crash_level(0.9, None, 1.0, cost=4.0) == "critical"
    assert depth_drop(1.0, 0.0) is None


def test_a_majors_one_tick_spread_is_no_yardstick() -> None:
    """BTCUSDT at 1 tick is 0.0016 bp: ten times that is still tight. One tick of a cheap coin may be 50 bps."""
    floor = spread_floor_bps(0.01, 60_000.0)
    assert floor == 0.5
    assert spread_times(0.0016 * 50, 0.0016, floor) == 1.0
    assert spread_times(5.0, 0.0016, floor) == 10.0
    assert spread_floor_bps(0.01, 2.0) == 50.0


def thin(
    count: int,
    *,
    start: int = AT,
    side: Side = "bid",
    depth: float = 0.1,
    spread: float = 60.0,
    flow: SideFlow | None = None,
) -> list[SecondRow]:
    quote = tuple(depth * band for band in (1e5, 2e5, 5e5, 1e6, 2e6))
    flow = flow or SideFlow(added=1.0, cancelled=99.0, add_events=1, cancel_events=99)
    fields: dict[str, Any] = {f"{side}_band_quote": quote, side: flow, "spread_mean": spread}
    return [quiet_row(start + place, **fields) for place in range(count)]


@pytest.mark.parametrize("side", ["bid", "ask"])
def test_a_draining_side_is_found(side: Side) -> None:
    """Three seconds raise it, thirty quiet ones clear it, and the side that drained is reported."""
    watch = warm()
    assert feed(watch, thin(2, side=side)) == []
    found = feed(watch, thin(10, start=AT + 2, side=side))
    assert kinds(found) == {"crash_precursor"}
    assert found[0].start_ms == MS
    worst = found[-1]
    assert (worst.severity, worst.side, worst.evidence["level"]) == ("Critical", side, "critical")
    assert worst.evidence["depth_drop"] == pytest.approx(0.9, abs=0.01)
    assert float(worst.evidence["spread_times"]) == pytest.approx(20.0)
    assert feed(watch, calm(AT + 12, 29)) == []
    (over,) = feed(watch, calm(AT + 41, 1))
    assert over.end_ms == MS + 12_000


def test_a_thin_book_that_its_symbol_often_has_is_no_crash() -> None:
    """Half of the depth gone at three times the spread, but far from rare by the symbol's own rate."""
    watch = warm()
    assert feed(watch, thin(15, depth=0.45, spread=12.0)) == []


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([*thin(2), *calm(AT + 2, 1), *thin(2, start=AT + 3)], id="never three in a row"),
        pytest.param(changed(thin(15), flags=int(RowFlag.RESYNC)), id="resync"),
        pytest.param(changed(thin(15), flags=int(RowFlag.GAP)), id="gap"),
        pytest.param([*thin(2), *thin(2, start=AT + 3)], id="a second missing between"),
        pytest.param([*thin(2), *changed(thin(1, start=AT + 2), flags=2), *thin(2, start=AT + 3)], id="gap between"),
        pytest.param(changed(thin(15), bid_truncated=0b11111), id="the known book ends within the own band"),
        pytest.param(thin(15, depth=1.0, spread=0.5), id="ticks on a major"),
        pytest.param([row(AT + n, covered_ms=0, flags=int(RowFlag.DISCONNECTED)) for n in range(9)], id="no book"),
    ],
)
def test_what_is_no_crash(rows: list[SecondRow]) -> None:
    assert feed(warm(), rows) == []


def test_an_empty_side_is_critical() -> None:
    """With the reason; there is no depth to compare, and none is made up. It needs no baseline."""
    rows = [
        quiet_row(
            AT + place, mid=60_000.0, flags=int(RowFlag.ONE_SIDED), best_bid=None, covered_ms=0, bid_band_quote=()
        )
        for place in range(3)
    ]
    for watch in (warm(), SymbolWatch(BTC)):
        (found,) = feed(watch, changed(rows, mid=None, ask_band_quote=()))
        assert (found.severity, found.side, found.evidence["reason"]) == ("Critical", "bid", "one_sided")
        assert "depth_drop" not in found.evidence


def test_a_resync_that_is_one_sided_is_a_resync() -> None:
    rows = [row(AT + n, flags=int(RowFlag.ONE_SIDED | RowFlag.RESYNC)) for n in range(4)]
    assert feed(warm(), rows) == []


# --- 5.2 fleeting liquidity -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("born", "died", "peak", "traded", "expected"),
    [(0, 3, 50, 1, True), (1, 9, 40, 0, True), (2, 40, 60, 0, False), (5, 8, 30, 10, False), (0, 10, 50, 0, False)],
)
def test_the_walls_worked_by_hand(born: int, died: int, peak: float, traded: float, expected: bool) -> None:
    """Untraded within ten seconds: two of the four; exactly ten seconds are not less than ten."""
    assert is_fleeting(WallLife("bid", 100.0, born * 1000, died * 1000, peak, traded)) is expected


def flicker(second: int, count: int = 1, side: Side = "ask", traded: float = 0.0, size: float = 50.0) -> LevelEvidence:
    died = (T0 + second) * 1000 + 500
    lives = tuple(WallLife(side, 60_010.0 + n, died - 3000, died, size, traded) for n in range(count))
    return LevelEvidence(has_limits=True, walls=lives)


def test_a_cluster_of_fleeting_walls_is_found() -> None:
    """Three within a minute on one side, where the day before had none; the share after which mid moved away."""
    watch = warm()
    found: list[Finding] = []
    for place in range(12):
        mid = 60_000.0 - 0.01 * place
        found += watch.second(quiet_row(AT + place, mid=mid), flicker(AT + place) if place % 5 == 0 else QUIET)
    (cluster,) = found
    assert (cluster.type, cluster.side, cluster.severity) == ("fleeting_cluster", "ask", "Low")
    assert cluster.evidence["fleeting_walls"] == 3
    assert cluster.evidence["notional_quote"] == pytest.approx(3 * 50 * 60_010.0)
    assert float(cluster.evidence["opposite_share"]) >= 2 / 3
    over = feed(watch, calm(AT + 12, 60))
    assert [finding.end_ms is not None for finding in over] == [True]


def test_two_or_traded_ones_are_no_cluster() -> None:
    for evidence in (flicker(AT, 2), flicker(AT, 5, traded=10.0)):
        watch = warm()
        assert watch.second(quiet_row(AT), evidence) == []
        assert feed(watch, calm(AT + 1)) == []


def test_where_walls_flicker_all_day_a_cluster_is_ordinary() -> None:
    """Three a minute are nothing to a market that always has them; three that are larger than all of those are."""
    watch = SymbolWatch(BTC)
    found: list[Finding] = []
    for each in quiet_rows(WARM_SECS + 60):
        second = each.second - T0
        found += watch.second(each, flicker(second) if second % 15 == 0 else QUIET)
    assert found == []
    assert watch.baseline.is_ready
    count = watch.fleeting("ask", T0 + WARM_SECS)
    assert count is not None
    assert count.walls >= 3
    larger = watch.second(quiet_row(WARM_SECS + 60), flicker(WARM_SECS + 60, 3, size=60.0))
    assert [(each.type, each.evidence["fleeting_walls"]) for each in larger] == [("fleeting_cluster", 7)]
    assert float(larger[0].evidence["third_largest_times_usual_depth"]) == pytest.approx(3.6, rel=0.05)


def test_walls_that_come_once_in_a_while_make_a_cluster_only_where_they_are_rarer_still() -> None:
    """An hour that had two such walls lets three within a minute stand out; one that had ten does not."""
    for earlier, expected in ((2, ["fleeting_cluster"]), (10, [])):
        watch = SymbolWatch(BTC)
        for each in quiet_rows(WARM_SECS):
            second = each.second - T0
            is_one = second >= 1200 and second % 200 == 0 and (second - 1200) // 200 < earlier
            assert watch.second(each, flicker(second) if is_one else QUIET) == []
        assert [each.type for each in watch.second(quiet_row(AT), flicker(AT, 3))] == expected


def test_the_least_size_of_a_wall_makes_one() -> None:
    """A level of exactly that size, put into the book that gave it, is a wall by 1.5; a little less is none."""
    bids = [(60_000.0 - 6.0 * place, 1.0 + place % 5) for place in range(1, 60)]
    asks = [(60_000.0 + 6.0 * place, 1.0 + place % 5) for place in range(1, 60)]
    limits = wall_limits(BookSide("bid", bids), BookSide("ask", asks), 0.01)
    assert limits is not None
    assert limits.bid_size is not None
    assert (limits.lowest, limits.highest) == (59_700.0, 60_300.0)
    for factor, walls in ((1.1, 1), (0.6, 0)):
        found = walls_of([*bids, (59_997.0, factor * limits.bid_size)])
        assert found is not None
        assert len(found) == walls


def test_a_coarse_tick_has_walls_too() -> None:
    """One tick is 8 bps: a side has twelve groups within 1 %, sixty within 5 %. The nearest forty say what is large."""
    tick, middle = 0.001, 1.2005
    sizes = [1.0 + place % 5 for place in range(70)]
    bids = [(round(1.2 - tick * place, 3), size) for place, size in enumerate(sizes)]
    asks = [(round(1.201 + tick * place, 3), size) for place, size in enumerate(sizes)]
    limits = wall_limits(BookSide("bid", bids), BookSide("ask", asks), tick)
    assert limits is not None
    assert limits.bid_size is not None
    assert limits.bid_size == pytest.approx(limits.ask_size)
    nearest = sizes[:40]
    assert nearest_groups(BookSide("ask", asks), middle, tick, 40) == nearest
    assert nearest_groups(BookSide("bid", bids), middle, tick, 40) == nearest[::-1]
    # What rests beyond the forty changes nothing.
    far = [(price, 1e6 if place >= 40 else size) for place, (price, size) in enumerate(asks)]
    assert wall_limits(BookSide("bid", bids), BookSide("ask", far), tick) == limits


@pytest.mark.parametrize(("levels", "is_known"), [(11, False), (12, True), (40, True)])
def test_twelve_groups_are_needed(levels: int, is_known: bool) -> None:
    bids = [(60_000.0 - 60.0 * place, 1.0 + place % 5) for place in range(1, levels + 1)]
    asks = [(60_000.0 + 60.0 * place, 1.0 + place % 5) for place in range(1, levels + 1)]
    limits = wall_limits(BookSide("bid", bids), BookSide("ask", asks), 0.01)
    assert limits is not None
    assert (limits.bid_size is not None, limits.ask_size is not None) == (is_known, is_known)


def test_groups_further_than_five_percent_do_not_count() -> None:
    bids = [(60_000.0 - 240.0 * place, 1.0 + place % 5) for place in range(1, 41)]  # 40 bps apart: 12 within 5 %
    assert len(nearest_groups(BookSide("bid", bids), 60_000.0, 0.01, 40)) == 12


def test_fleeting_walls_are_counted_over_the_window_that_is_asked_about() -> None:
    """Five minutes of them for a window of five minutes, and a finding is about the last minute alone."""
    watch = warm()
    for place in range(300):
        second = AT + place
        watch.second(quiet_row(second), flicker(second, 1) if place % 30 == 0 else QUIET)
    end = T0 + AT + 300
    counts = {secs: watch.fleeting("ask", end - secs) for secs in (10, 60, 120, 300)}
    assert {secs: None if count is None else count.walls for secs, count in counts.items()} == {
        10: 0,
        60: 2,
        120: 4,
        300: 10,
    }


def test_a_book_that_is_short_or_flat_or_one_sided_has_no_limits() -> None:
    few = [(60_000.0 - 6.0 * place, 1.0 + place % 5) for place in range(1, 10)]
    flat = [(60_000.0 + 6.0 * place, 1.0) for place in range(1, 60)]
    limits = wall_limits(BookSide("bid", few), BookSide("ask", flat), 0.01)
    assert limits is not None
    assert limits.bid_size is limits.ask_size is None
    assert wall_limits(BookSide("bid", few), BookSide("ask"), 0.01) is None


# --- 4.2 icebergs and 4.1 absorption ----------------------------------------------------------------------------


def refilled(
    *,
    executed: float = 10.0,
    refills: int = 4,
    shown: float = 2.0,
    equal: float = 1.0,
    start_ms: int = MS,
    ms: int = 900,
) -> RefillChain:
    return RefillChain("bid", 60_000.0, start_ms, start_ms + ms, executed, refills, 2.0, equal, 0.0, shown, 8.0)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        (refilled(), "native_like"),
        (refilled(equal=0.5), "native_like"),
        (refilled(equal=0.49), "replenished_level"),
        (refilled(executed=8.1, shown=5.0), None),
        (refilled(refills=2), None),
        (refilled(executed=6.0), "native_like"),
        (refilled(shown=0.0), None),
        (msgspec.structs.replace(refilled(), opposed=2.5), "native_like"),
        (msgspec.structs.replace(refilled(), opposed=2.6), None),
    ],
)
def test_the_classes_worked_by_hand(chain: RefillChain, expected: str | None) -> None:
    assert iceberg_class(chain) == expected


def test_the_parts_limit_bounds_a_native_iceberg() -> None:
    """Parts times tranche; never less than what was seen."""
    assert size_limit(refilled(), 100) == 200.0
    assert size_limit(refilled(executed=999.0), 100) == 999.0


def test_a_native_like_iceberg_is_told_at_once() -> None:
    """Rank or not: equal tranches speak for themselves. It ends half a minute after its last refill."""
    watch = SymbolWatch(msgspec.structs.replace(BTC, iceberg_parts=100))
    (found,) = watch.second(quiet_row(AT), LevelEvidence(has_limits=True, chains=(refilled(),)))
    assert (found.type, found.side, found.price, found.rarity) == ("iceberg", "bid", 60_000.0, None)
    assert found.evidence["at_most_base"] == 200.0
    assert watch.open == [found]
    over = feed(watch, calm(AT + 1, 40))
    assert [each.end_ms for each in over] == [MS + 900]


def test_two_equal_refills_are_a_coincidence_until_the_level_itself_is_rare() -> None:
    """On a quiet day of 56,767 trades two of four refills happened to be equal."""
    pair = refilled(equal=0.5, ms=5_000)
    assert iceberg_class(pair) == "native_like"
    assert warm().second(quiet_row(AT), LevelEvidence(has_limits=True, chains=(pair,))) == []
    three = refilled(equal=0.5, refills=6, ms=5_000)
    assert kinds(warm().second(quiet_row(AT), LevelEvidence(has_limits=True, chains=(three,)))) == {"iceberg"}
    watch = warm()
    watch.second(quiet_row(AT), LevelEvidence(has_limits=True, turnovers=TURNOVERS))
    rare = refilled(equal=0.5, executed=30.0, ms=5_000)
    assert kinds(watch.second(quiet_row(AT + 1), LevelEvidence(has_limits=True, chains=(rare,)))) == {"iceberg"}


def test_a_replenished_level_must_be_rare_and_last() -> None:
    """Beyond what kept-up levels reach once in ten days, and not within moments: a sweep meets many makers."""
    chain = refilled(equal=0.2, executed=30.0, ms=5_000)
    watch = warm()
    assert kinds(watch.second(quiet_row(AT), LevelEvidence(has_limits=True, chains=(chain,)))) == set()
    watch.second(quiet_row(AT + 1), LevelEvidence(has_limits=True, turnovers=TURNOVERS))
    sweep = refilled(equal=0.2, executed=30.0, ms=900)
    assert kinds(watch.second(quiet_row(AT + 2), LevelEvidence(has_limits=True, chains=(sweep,)))) == set()
    (found,) = watch.second(quiet_row(AT + 3), LevelEvidence(has_limits=True, chains=(chain,)))
    assert found.severity == "Medium"
    assert found.rarity == pytest.approx(1 - 1 / 4001)  # capped: 4000 values cannot tell more


def test_absorption_is_found_live() -> None:
    """4.1 over the last minute: 40 traded on 2 shown, refilled, mid where it was."""
    watch = warm()
    busy = LevelEvidence(has_limits=True, turnovers=TURNOVERS)
    watch.second(quiet_row(AT), busy)
    hit = touched(price=60_000.0, traded=40.0, trades=60, start=2.0, top=2.0, end=2.0)
    mid = watch.rows[-2].mid  # it holds
    found = feed(watch, changed([quiet_row(AT + 1, touched=(hit,)), *calm(AT + 2, 4)], mid=mid))
    assert [(each.type, each.side, each.price) for each in found] == [("absorption", "bid", 60_000.0)]
    assert found[0].evidence["direction"] == "passive_buying"
    over = feed(watch, [quiet_row(AT + 6, mid=50_000.0), *changed(calm(AT + 7, 120), mid=mid)])
    assert [each.end_ms for each in over] == [MS + 61_000]  # one finding: mid came back


# --- all of them ------------------------------------------------------------------------------------------------


def test_an_unfinished_quiet_hour_is_quiet() -> None:
    assert feed(warm(), quiet_rows(900, start=AT, seed=3)) == []


@settings(max_examples=25, deadline=None)
@given(generated_rows(), st.booleans())
def test_any_rows_give_finite_findings(rows: list[SecondRow], is_warm: bool) -> None:
    """Holes, empty books, zeros and huge sizes: no crash, never NaN, and rarity within (0, 1)."""
    watch = warm() if is_warm else SymbolWatch(BTC)
    shift = AT + 100 if is_warm else 0
    for each in rows:
        moved = changed([each], second=each.second + shift)[0]
        for finding in watch.second(moved, flicker(moved.second - T0, 2)):
            values = [*finding.evidence.values(), *finding.thresholds.values()]
            assert all(abs(value) < 1e300 for value in values if isinstance(value, float))
            assert finding.rarity is None or 0.0 < finding.rarity < 1.0
    watch.not_run()
    watch.hour_blocks()


def test_a_second_is_told_once() -> None:
    """A repeated or older row changes nothing."""
    watch = warm()
    seconds = watch.baseline.seconds
    assert feed(watch, [quiet_row(AT - 5), quiet_row(AT - 1)]) == []
    assert watch.baseline.seconds == seconds


def test_a_finding_comes_back_from_history() -> None:
    """Stored under its type and start, so the type names side and price too: two levels may start in one frame."""
    finding = Finding(
        type="iceberg",
        start_ms=MS,
        end_ms=None,
        severity="Low",
        rarity=0.9,
        n_eff=99.0,
        side="bid",
        price=60_000.01,
        evidence={"class": "native_like", "refills": 3, "absolute_500": True},
        thresholds={"refills": 3.0},
    )
    stored = to_stored(finding)
    assert stored.type == "iceberg bid 60000.01"
    assert from_stored(stored) == finding
    with pytest.raises(StorageCorrupt):
        from_stored(msgspec.structs.replace(stored, evidence={}))
    with pytest.raises(StorageCorrupt):
        from_stored(msgspec.structs.replace(stored, type="omen"))


def test_nobody_is_accused() -> None:
    """Intent and owner are not in the data (5.2, 7.1)."""
    assert set(LIMITS) == set(TYPES)
    for text in LIMITS.values():
        assert not any(word in text.lower() for word in ("spoof", "manipulat", "whale", "probability"))
