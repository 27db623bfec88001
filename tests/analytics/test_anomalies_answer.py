"""What `detect_market_anomalies` says: the present, the past, and what could not be looked at."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from tests.analytics.books import BTC
from tests.analytics.rows import T0, row, touched
from tests.analytics.test_detectors import TURNOVERS, calm, flicker, refilled, stuffing, thin
from tests.analytics.watching import QUIET, WARM_SECS, bookless, changed, feed, quiet_row, quiet_rows, warm
from vibe_orderbook_mcp.analytics.anomalies.answer import AnomaliesAnswer, anomalies_answer
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.anomalies.watched import watched
from vibe_orderbook_mcp.analytics.findings import TYPES, Finding
from vibe_orderbook_mcp.analytics.flow.answer import order_flow_answer
from vibe_orderbook_mcp.analytics.flow.toxicity import Vpin
from vibe_orderbook_mcp.analytics.results import iso, iso_second
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.rows import RowFlag
from vibe_orderbook_mcp.seconds.wall_watch import LevelEvidence

AT = WARM_SECS


def ask(watch: SymbolWatch, *, secs: int = 60, **options: object) -> AnomaliesAnswer:
    end = watch.rows[-1].second + 1 if watch.rows else T0
    since = end - 3600 * cast("int", options.get("past_hours", 0))
    return anomalies_answer(
        watched(watch, Span(end - secs, end), since),
        as_of_ms=end * 1000,
        age_ms=20,
        **{"status": "live", **options},  # type: ignore[arg-type]  # one dict of them for all tests
    )


def test_a_quiet_market_is_said_in_one_line() -> None:
    """No findings, nothing that could not look, and the baseline behind it."""
    watch = warm()
    assert ask(watch).summary == (
        "BTCUSDT: no finding, and nothing measured is unusual in the last 60 s against 1 h of its own history;"
        " not checked: absorption."
    )
    watch.second(quiet_row(AT, mid=watch.rows[-1].mid or 0.0), LevelEvidence(has_limits=True, turnovers=TURNOVERS))
    found = ask(watch)
    assert found.summary == "BTCUSDT: quiet, nothing unusual in the last 60 s against 1 h of its own history."
    said = found.model_dump()
    assert found.findings == []
    assert found.cannot_run == []
    assert "past_findings" not in said
    assert "limits" not in said
    assert found.measured.warming_up is None
    assert len(json.dumps(said)) < 2_200


def test_a_window_whose_end_was_not_seen_is_not_dated_by_it() -> None:
    watch = warm()
    newest = watch.rows[-1].second + 1
    facts: dict[str, Any] = {"as_of_ms": (newest + 12) * 1000 - 5, "age_ms": 5}
    late = anomalies_answer(watched(watch, Span(newest - 48, newest + 12), newest), **facts, status="live")
    assert late.as_of == iso(newest * 1000)
    assert any(
        f"recorded second ended at {iso_second(newest)}, 12 s before the end" in warning for warning in late.warnings
    )
    assert not any("newest second" in warning for warning in ask(watch).warnings)


def test_a_burst_reads_as_a_desk_would_say_it() -> None:
    watch = warm()
    feed(watch, [quiet_row(AT), *stuffing(5, start=AT + 1)])
    found = ask(watch)
    assert found.summary.startswith("BTCUSDT: Update burst since 13:03:21 (High): 700 updates/s, ")
    assert found.summary.endswith("x its hourly median, hardly any trades; mid did not move.")
    (burst,) = found.findings
    assert burst.end is None
    assert burst.rarity is not None
    assert burst.thresholds is None
    assert burst.limits is None
    assert found.limits is not None
    detailed = ask(watch, detail=True)
    assert detailed.limits is None
    assert detailed.findings[0].thresholds is not None
    assert detailed.findings[0].thresholds["times_median"] == 5


def test_the_most_severe_comes_first() -> None:
    """And the others are counted in the summary."""
    watch = warm()
    watch.second(quiet_row(AT), LevelEvidence(has_limits=True, chains=(refilled(),)))
    feed(watch, thin(11, start=AT + 1))
    found = ask(watch)
    assert [each.type for each in found.findings] == ["crash_precursor", "iceberg"]
    assert "Liquidity critical since 13:03:21 (Critical): bid depth 90 % below its hourly median" in found.summary
    assert found.summary.endswith("1 more.")
    assert found.findings[1].price == "60000.00000000"


def test_other_findings_have_their_sentences() -> None:
    watch = warm()
    for place in range(3):
        watch.second(quiet_row(AT + place), flicker(AT + place))
    assert "Fleeting asks since" in ask(watch).summary
    watch = SymbolWatch(BTC)
    feed(watch, quiet_rows(70))
    watch.second(quiet_row(70), LevelEvidence(has_limits=True, chains=(refilled(start_ms=T0 * 1000 + 70_000),)))
    summary = ask(watch).summary
    assert "Refilled bid at 60,000.00" in summary
    assert "(native_like): 10 executed against 2 BTC shown at most, 4 refills." in summary


def test_a_finding_leaves_the_window_but_not_the_past() -> None:
    """One that touches the window is listed once, as present."""
    watch = warm()
    feed(watch, [quiet_row(AT), *stuffing(4, start=AT + 1), *calm(AT + 5, 30)])
    ended = watch.recent[-1]
    older = Finding(type="update_burst", start_ms=T0 * 1000, end_ms=T0 * 1000 + 9, severity="Low", rarity=None)
    now = ask(watch, past=[older, ended])
    assert [each.start for each in now.findings] == ["2024-05-01T13:03:21.000Z"]
    assert now.past_findings is not None
    assert [each.severity for each in now.past_findings] == ["Low"]
    assert "13:03:21 to 13:03:25" in now.summary
    feed(watch, calm(AT + 35, 60))
    later = ask(watch, past=[older, ended], past_hours=1)
    assert later.findings == []
    assert later.past_findings is not None
    assert [each.severity for each in later.past_findings] == ["High", "Low"]
    assert later.summary.startswith("BTCUSDT: no finding, and nothing measured is unusual in the last 60 s")
    assert later.summary.endswith(" 2 earlier findings in the last 1 h, the newest update_burst at 13:03:21.")


def test_a_past_that_nobody_watched_is_no_quiet_past() -> None:
    """About an hour was watched, of the one or the eight that are asked about."""
    watch = warm()
    short = ask(watch, past=[], past_hours=1)
    assert short.summary.endswith(" Nothing else in the last 1 h.")
    assert short.past_hours_watched == 1.0
    long = ask(watch, past=[], past_hours=8)
    assert long.summary.endswith(" Nothing else in the 1.0 h that were watched of the last 8 h.")
    assert ask(watch).past_hours_watched is None


def test_a_past_without_a_verdict_is_no_quiet_past() -> None:
    """In six minutes nothing can have been found but an empty side and icebergs."""
    watch = SymbolWatch(BTC)
    feed(watch, quiet_rows(400))
    said = ask(watch, past=[], past_hours=10).summary
    assert said.endswith("updates/s in the last 60 s. Only 5 min of the last 10 h were watched.")


def test_toxicity_stands_beside_the_values_where_it_is_known() -> None:
    found = ask(warm(), vpin=Vpin(0.25, 50, "ok", 0.9)).measured
    assert (found.vpin, found.vpin_rarity) == (0.25, 0.9)
    assert "vpin" not in ask(warm()).model_dump()["measured"]


def test_a_cold_baseline_gives_values_and_no_verdict() -> None:
    """Measured, marked as warming up, and how long it takes."""
    watch = SymbolWatch(BTC)
    feed(watch, [*quiet_rows(100), *stuffing(10, start=100)])
    found = ask(watch)
    assert found.findings == []
    assert found.measured.warming_up is True
    assert found.measured.updates_per_s_peak == 700
    assert found.measured.updates_times_median is None
    assert found.summary.startswith("BTCUSDT: no verdict yet; an hour of its own history is needed, about 59 min")
    (waiting,) = found.cannot_run  # one sentence for all of them
    assert waiting.detectors == ["market_shock", "update_burst", "fleeting_cluster", "crash_precursor", "absorption"]
    assert waiting.reason == "warming up: one hour of history is needed, about 59 min to go"


def test_what_cannot_be_measured_yet_takes_no_room() -> None:
    """In the first minutes most figures have no value. What has one is there, and no field of a warm market is lost."""
    watch = SymbolWatch(BTC)
    feed(watch, quiet_rows(70))
    young = json.loads(ask(watch).model_dump_json())["measured"]
    assert "null" not in json.dumps(young)
    assert young["warming_up"] is True
    assert young["measures"] == {}
    assert young["updates_per_trade"] > 0
    grown = json.loads(ask(warm()).model_dump_json())["measured"]
    assert list(grown["measures"]) == ["price_z", "volume_times", "sweep_share", "depth_halvings", "spread_times"]
    assert grown["measures"]["price_z"]["level"] == 0
    assert {"band_bps", "withdrawn", "depth_left", "depth_drop", "variance_times", "fleeting_walls_bid"} <= set(grown)
    assert AnomaliesAnswer.model_validate_json(ask(watch).model_dump_json()) == ask(watch)
    unseen = warm()
    for each in quiet_rows(60, start=AT):
        unseen.second(each)  # no taker groups were seen
    assert json.loads(ask(unseen).model_dump_json())["measured"]["measures"]["sweep_share"] == {"value": None}


def test_a_symbol_without_a_book_says_so() -> None:
    """Also in the first second, before anything came."""
    assert [each.detector for each in SymbolWatch(BTC).not_run()] == list(TYPES)
    with pytest.raises(Refusal):
        ask(SymbolWatch(BTC))
    watch = warm()
    feed(watch, [row(AT + place, covered_ms=0, flags=int(RowFlag.DISCONNECTED)) for place in range(20)])
    found = ask(watch, status="syncing")
    assert found.findings == []
    assert [each.detectors for each in found.cannot_run] == [list(TYPES)]
    assert "nothing can be judged now" in found.summary
    assert any("have data" in each for each in found.warnings)


@pytest.mark.parametrize("after", [0, 1, 5])
def test_after_a_gap_the_other_seconds_are_judged(after: int) -> None:
    """The book is there again: that nothing can be judged now would contradict the status of the same answer."""
    watch = warm()
    watch.second(quiet_row(AT), LevelEvidence(has_limits=True, turnovers=TURNOVERS))
    feed(watch, [bookless(AT + 1, flags=int(RowFlag.GAP), covered_ms=300), *calm(AT + 2, after)])
    found = ask(watch)
    assert found.cannot_run == []
    assert "nothing can be judged" not in found.summary
    said = "The book was resynchronised after 13:03:21; those seconds are left out."
    if after:
        said = "The book was resynchronised at 13:03:21; those seconds are left out."
    assert said in found.warnings
    assert found.summary.endswith(said) is (after < 3)
    syncing = ask(watch, status="syncing")
    assert "nothing can be judged now: the book is syncing" in syncing.summary
    assert after or "The book was out of sequence at 13:03:21; those seconds are left out." in syncing.warnings


def test_a_crossed_book_is_the_exchanges_and_is_not_judged() -> None:
    watch = warm()
    feed(watch, changed([quiet_row(AT)], mid=None, best_bid=60_001.0, flags=int(RowFlag.CROSSED), covered_ms=0))
    found = ask(watch)
    assert found.summary == "BTCUSDT: nothing can be judged now: the exchange's book was crossed at 13:03:20."
    assert [each.detectors for each in found.cannot_run] == [list(TYPES)]
    assert not any("resynchronised" in each for each in found.warnings)


def test_without_walls_to_tell_fleeting_cannot_run() -> None:
    watch = warm()
    watch.second(quiet_row(AT), LevelEvidence(has_limits=False))
    found = ask(watch)
    assert found.measured.fleeting_walls_bid is None
    assert ["fleeting_cluster"] in [each.detectors for each in found.cannot_run]


def test_a_quiet_market_is_not_spoken_about() -> None:
    watch = warm()
    assert [found for each in quiet_rows(1200, start=AT, seed=9) for found in watch.second(each, QUIET)] == []


@pytest.mark.parametrize("secs", [60, 300])
def test_what_order_flow_calls_absorption_is_measured_here_too(secs: int) -> None:
    """One rule over one window: a level that one tool lists and the other has looked at is in both answers, whether it
    is rare enough for a finding or not."""
    watch = warm()
    hit = touched(price=60_000.0, traded=40.0, trades=60, start=2.0, top=2.0, end=2.0)
    mid = watch.rows[-1].mid
    feed(watch, changed([quiet_row(AT, touched=(hit,), sell_volume=50.0), *calm(AT + 1, 40)], mid=mid))
    end = watch.rows[-1].second + 1
    found = ask(watch, secs=secs)
    assert found.findings == []
    (measured,) = found.measured.absorption
    assert (measured.price, measured.traded_base, measured.rule) == ("60000.00000000", 40.0, "level")
    flow = order_flow_answer(
        BTC, list(watch.rows), Span(end - secs, end), as_of_ms=end * 1000, age_ms=20, status="live"
    )
    assert flow.absorption == found.measured.absorption


def test_both_tools_let_pass_the_same_move() -> None:
    """How far mid usually goes is worked out from the hour before, and handed in."""
    watch = warm()
    hit = touched(price=60_000.0, traded=40.0, trades=60, start=2.0, top=2.0, end=2.0)
    before = changed([quiet_row(AT), quiet_row(AT + 1, touched=(hit,))], mid=60_000.03)
    feed(watch, before + changed(calm(AT + 2, 40), mid=60_000.0))
    assert ask(watch, secs=41).measured.absorption == []
    assert len(ask(watch, secs=41, usual_move_ticks=3.0).measured.absorption) == 1


def test_fleeting_walls_are_those_of_the_window_asked_about() -> None:
    watch = warm()
    for place in range(240):
        watch.second(quiet_row(AT + place), flicker(AT + place) if place % 60 == 0 else QUIET)
    assert [ask(watch, secs=secs).measured.fleeting_walls_ask for secs in (10, 60, 120, 300)] == [0, 1, 2, 4]


def test_nothing_is_called_quiet_while_a_measure_is_unusual() -> None:
    """No finding, for price stood; the largest value is named, and given with its level."""
    watch = warm()
    mid = watch.rows[-1].mid or 0.0
    busy = LevelEvidence(has_limits=True, turnovers=TURNOVERS)
    for place in range(60):
        watch.second(quiet_row(AT + place, mid=mid, buy_quote=80_000.0, sell_quote=28_000.0), busy)
    found = ask(watch)
    assert found.findings == []
    assert found.summary == (
        "BTCUSDT: no finding in the last 60 s; largest: volume 9 x usual (unusual for it),"
        " against 1 h of its own history."
    )
    volume = found.measured.measures["volume_times"]
    assert volume.value == pytest.approx(9.0, rel=0.01)
    assert (volume.level, volume.a_day) == (1, None)
    assert set(found.measured.measures) == {
        "price_z",
        "volume_times",
        "sweep_share",
        "depth_halvings",
        "spread_times",
    }


def test_a_detector_whose_finding_is_told_is_not_said_to_be_unable() -> None:
    """An empty side needs no history. One answer must not say that it was found and that it cannot be."""
    watch = SymbolWatch(BTC)
    feed(watch, quiet_rows(100))
    rows = [quiet_row(100 + place, flags=int(RowFlag.ONE_SIDED), best_bid=None, covered_ms=0) for place in range(3)]
    feed(watch, changed(rows, mid=None, bid_band_quote=(), ask_band_quote=()))
    feed(watch, quiet_rows(5, start=103))
    for status in ("live", "stale"):
        found = ask(watch, status=status)
        assert [each.type for each in found.findings] == ["crash_precursor"]
        assert "crash_precursor" not in [name for each in found.cannot_run for name in each.detectors]


def test_the_spread_itself_stands_beside_what_it_is_against_usual() -> None:
    """Below half a bp all spreads of a major are equally tight; 339 ticks are not hidden by that."""
    watch = warm()
    feed(watch, [quiet_row(AT, mid=watch.rows[-1].mid or 0.0, spread_mean=0.067)])
    measured = ask(watch).measured
    assert measured.spread_times == 1.0
    assert measured.spread_bps == pytest.approx(1e4 * 0.067 / 60_000, rel=0.01)
    assert measured.spread_usual_bps == pytest.approx(1e4 * 0.01 / 60_000, rel=0.02)
