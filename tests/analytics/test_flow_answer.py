from __future__ import annotations

import json
from math import sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import BTC
from tests.analytics.rows import T0, generated_rows, row, touched
from vibe_orderbook_mcp.analytics.flow.answer import order_flow_answer
from vibe_orderbook_mcp.analytics.flow.result import OrderFlowAnswer
from vibe_orderbook_mcp.analytics.flow.toxicity import VolumeBuckets
from vibe_orderbook_mcp.analytics.windows import Span, cut
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.numbering import OWN_FROM
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow, SideFlow


def flow(rows: list[SecondRow], secs: int = 10, **more: Any) -> OrderFlowAnswer:
    end = T0 + secs
    facts: dict[str, Any] = {"as_of_ms": end * 1000 - 77, "age_ms": 20, "status": "live"}
    return order_flow_answer(BTC, rows, Span(T0, end), **(facts | more))


def busy(second: int, **more: Any) -> SecondRow:
    fields: dict[str, Any] = {
        "mid": 61837.635, "events": 10, "ofi": 0.5, "mlofi": (0.5, 0.2), "level_depth": (2.0, 4.0),
        "bid": SideFlow(added=3.0, cancelled=1.0, add_events=30, cancel_events=10),
        "ask": SideFlow(added=2.0, cancelled=2.0, add_events=20, cancel_events=20),
        "buy_volume": 0.3, "sell_volume": 0.1, "buy_quote": 18551.29, "sell_quote": 6183.76, "buy_trades": 3,
        "sell_trades": 1, "agg_trades": 2, "first_agg_id": 100 + 2 * second, "last_agg_id": 101 + 2 * second,
        "size_squares": 0.1, "effective_spread_sum": 0.00064, "effective_spread_volume": 0.4,
    }  # fmt: skip
    return row(second, **(fields | more))


def test_the_headline_is_wired_to_the_figures() -> None:
    """Ten busy seconds: every headline figure by hand."""
    answer = flow([busy(i) for i in range(10)])
    assert (answer.flow_direction, answer.low_sample, answer.fills) == ("STRONG_BUY", False, 40)
    assert (answer.buy_volume_base, answer.sell_volume_base, answer.cvd_base) == (3.0, 1.0, 2.0)
    assert (answer.buy_volume_quote, answer.sell_volume_quote) == (185512.9, 61837.6)
    assert answer.delta_pct == 50.0
    assert (answer.ofi_base, answer.ofi_normalised, answer.ofi_direction) == (5.0, 2.5, "BUY")
    assert (answer.bid_adds_per_sec, answer.ask_adds_per_sec) == (30.0, 20.0)
    assert (answer.bid_cancel_share, answer.ask_cancel_share) == (0.25, 0.5)
    assert (answer.absorption, answer.warnings, answer.quality) == ([], [], "ok")
    assert answer.window.model_dump() == {
        "start": "2024-05-01T12:00:00Z", "end": "2024-05-01T12:00:10Z", "requested_secs": 10, "covered_secs": 10.0,
        "coverage": 1.0, "samples": 10,
    }  # fmt: skip
    assert answer.as_of == "2024-05-01T12:00:09.923Z"
    assert "detail" not in json.loads(answer.model_dump_json())


def test_the_summary_gives_both_labels_and_keeps_them_apart() -> None:
    """Traded flow and book pressure are two facts; where they disagree, that is said."""
    answer = flow([busy(i, ofi=-0.5) for i in range(10)])
    assert answer.summary == (
        "BTCUSDT, 10 s: mid unchanged at 61,837.635, VWAP 61,837.63; takers bought 3 and sold 1 BTC in 40 fills,"
        " net +2 BTC (+50.0 %): STRONG_BUY; book pressure (OFI): SELL; trades and book disagree."
    )


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        ((1.3, 1.0), (1.15, 1.0), "MODERATE_BUY (unchanged: 1.15 : 1 now, it began at 1.2); book"),
        ((1.0, 2.5), (1.0, 1.9), "STRONG_SELL (unchanged: 1.9 : 1 now, it began at 2); book"),
        ((1.3, 1.0), (1.25, 1.0), "MODERATE_BUY; book"),
        ((1.3, 1.0), (1.1, 1.0), "NEUTRAL; book"),
    ],
)
def test_a_label_that_its_own_number_does_not_reach_says_so(
    before: tuple[float, float], now: tuple[float, float], words: str
) -> None:
    """A reader who sees 1.15 : 1 must not look for a cut there. Such a label contradicts nobody."""
    way = -0.5 if before[0] > before[1] else 0.5
    rows = [busy(i - 30, buy_volume=before[0], sell_volume=before[1], ofi=way) for i in range(30)]
    rows += [busy(i, buy_volume=now[0], sell_volume=now[1], ofi=way) for i in range(10)]
    answer = flow(rows)
    assert words in answer.summary
    assert ("trades and book disagree" in answer.summary) == (words == "MODERATE_BUY; book")


def test_book_pressure_kept_from_before_contradicts_nobody_either() -> None:
    """Fifteen queues of selling, then less than one: the label stays, the dispute does not."""
    rows = [busy(i - 30, ofi=-3.0) for i in range(30)] + [busy(i, ofi=-0.18) for i in range(10)]
    answer = flow(rows)
    assert (answer.ofi_normalised, answer.ofi_direction, answer.flow_direction) == (-0.9, "SELL", "STRONG_BUY")
    assert answer.summary.endswith("book pressure (OFI): SELL (unchanged: it began at 1 queue).")


def test_the_price_of_the_window_is_a_headline() -> None:
    """Open, close, change, range and average: figures and words of the same rows."""
    rows = [busy(-1, mid=60_000.0)]
    rows += [
        busy(i, mid=60_000.0 + 3 * (i + 1), high=60_040.0 if i == 4 else 60_010.0, low=59_990.0) for i in range(10)
    ]
    answer = flow(rows)
    assert (answer.open, answer.high, answer.low, answer.close) == ("60000", "60040", "59990", "60030")
    assert (answer.change_bps, answer.range_bps, answer.vwap) == (5.0, 8.335, 60040.0)
    assert answer.summary.startswith(
        "BTCUSDT, 10 s: mid 60,000.00 to 60,030.00 (+5 bps), range 59,990.00 to 60,040.00 (trades), VWAP 60,040.00;"
    )
    rally = flow([busy(-1, mid=60_000.0), *(busy(i, mid=61_326.0) for i in range(10))])
    assert "(+2.21 %)" in rally.summary


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (60_001.0, 60_040.0, "range 60,000.00 (mid) to 60,040.00 (trade), VWAP"),
        (59_990.0, 60_029.0, "range 59,990.00 (trade) to 60,030.00 (mid), VWAP"),
        (60_001.0, 60_029.0, "range 60,000.00 to 60,030.00 (mids), VWAP"),
        (60_000.0, 60_030.0, "range 60,000.00 to 60,030.00 (trades), VWAP"),
    ],
)
def test_a_mid_that_nobody_traded_at_does_not_look_like_a_trade(low: float, high: float, words: str) -> None:
    rows = [busy(-1, mid=60_000.0), *(busy(i, mid=60_000.0 + 3 * (i + 1), low=low, high=high) for i in range(10))]
    assert words in flow(rows).summary


def test_a_mid_of_half_of_the_window_says_since_when() -> None:
    """Trades of unseen seconds are fetched by id: then volumes are of 60 s and mid is of the last 30."""
    traded = [row(i, covered_ms=0, buy_volume=0.3, buy_quote=18_000.0, buy_trades=3, agg_trades=3) for i in range(30)]
    moved = flow([*traded, *(busy(i, mid=60_000.0 + i) for i in range(30, 60))], secs=60)
    assert ": mid since 12:00:31 60,030.00 to 60,059.00 (+4.83 bps), " in moved.summary
    still = flow([*traded, *(busy(i) for i in range(30, 60))], secs=60)
    assert ": mid since 12:00:31 unchanged at 61,837.635, " in still.summary
    assert "since" not in flow([busy(i) for i in range(1, 60)], secs=60).summary


def test_a_window_whose_end_was_not_seen_is_dated_by_its_newest_second() -> None:
    """Twelve seconds after a restart events come again, and no second of them is over: nothing used is of now."""
    answer = flow([busy(i) for i in range(48)], secs=60)
    assert (answer.as_of, answer.window.end) == ("2024-05-01T12:00:48.000Z", "2024-05-01T12:01:00Z")
    assert ", close is from 12:00:48, 12 s before the end of the window, " in answer.summary
    assert answer.warnings[0] == (
        "The newest recorded second ended at 2024-05-01T12:00:48Z, 12 s before the end of the window: later ones are"
        " not in these figures."
    )


def test_trades_that_are_newer_than_the_newest_mid_do_not_make_it_newer() -> None:
    """The book was lost while trades went on: as_of is theirs, and close says of when it is."""
    late = [row(i, covered_ms=0, buy_volume=0.3, buy_quote=18_000.0, buy_trades=3, agg_trades=3) for i in range(50, 60)]
    answer = flow([*(busy(i) for i in range(50)), *late], secs=60)
    assert answer.as_of == "2024-05-01T12:00:59.923Z"
    assert ", close is from 12:00:50, 10 s before the end of the window, " in answer.summary
    assert any("is from 2024-05-01T12:00:50Z, 10 s before" in warning for warning in answer.warnings)


def test_a_window_that_ends_with_its_newest_seconds_dates_nothing() -> None:
    """Rows come a second or two late: that is its end."""
    for seen in (60, 59, 58):
        answer = flow([busy(i) for i in range(seen)], secs=60)
        assert "close is from" not in answer.summary
        assert not any("newest" in warning for warning in answer.warnings)


def test_the_size_of_book_pressure_comes_with_how_rare_it_is() -> None:
    """+72 queues says nothing to anybody; larger than in 86 % of the equal windows does. Until that is known it is not
    in the summary."""
    quiet = [busy(i - 400, ofi=0.1 * (1 + (i // 10) % 7)) for i in range(400)]
    answer = flow([*quiet, *(busy(i, ofi=0.65) for i in range(10))])
    assert answer.ofi_rarity == pytest.approx(36 / 41, abs=0.02)
    words = "book pressure (OFI) +3.3 average best queues, larger than in 86 % of earlier 10 s windows: BUY"
    assert words in answer.summary
    small = flow([*quiet, *(busy(i, ofi=0.11) for i in range(10))])  # "larger than in 10 %" says it the wrong way round
    assert f"smaller than in {100 - int(100 * (small.ofi_rarity or 0.0))} % of earlier 10 s windows" in small.summary
    assert (small.ofi_rarity or 1.0) < 0.5
    first = flow([busy(i, ofi=0.65) for i in range(10)])
    assert (first.ofi_rarity, first.ofi_normalised) == (None, 3.25)
    assert "book pressure (OFI): BUY" in first.summary


def test_detail_says_what_move_goes_with_the_book_pressure() -> None:
    """By the hour's own fit: half a tick a base unit, and 6.5 units of OFI."""
    rows, mid = [], 60_000.0
    for second in range(-600, 10):
        ofi = float(second // 10 % 5 - 2)
        mid += 0.005 * ofi
        rows.append(busy(second, mid=mid, ofi=ofi))
    answer = flow(rows, detail=True)
    assert answer.detail is not None
    assert answer.detail.impact is not None
    assert answer.detail.impact.beta_ticks_per_base == pytest.approx(0.5, rel=1e-3)
    assert answer.detail.ofi_move_bps == pytest.approx(1e4 * 0.5 * 0.01 * answer.ofi_base / 60_000, rel=1e-3)


@pytest.mark.parametrize(
    ("first", "words"), [(100, "1 trade of the window is missing"), (99, "2 trades of the window are")]
)
def test_a_count_of_one_is_singular(first: int, words: str) -> None:
    rows = [busy(i, first_agg_id=None, last_agg_id=None) for i in range(9)]
    rows[0] = busy(0, agg_trades=1, first_agg_id=first, last_agg_id=first)
    rows += [busy(9, agg_trades=1, first_agg_id=102, last_agg_id=102)]
    rows = [
        busy(i, agg_trades=0, first_agg_id=None, last_agg_id=None) if i in range(1, 9) else rows[i] for i in range(10)
    ]
    assert any(words in warning for warning in flow(rows).warnings)
    sparse = flow([row(i, mid=100.0, events=1 if i == 3 else 0, mlofi=(1.0,), level_depth=(1.0,)) for i in range(10)])
    assert any("Only 1 book update in the window" in warning for warning in sparse.warnings)


def test_detail_adds_the_rest() -> None:
    """Asked for, it is all there; figures that need more history are null and say how much there is."""
    detail = flow([busy(i) for i in range(10)], detail=True, session=(7.5, 9.0)).detail
    assert detail is not None
    assert (detail.bid.added_base_per_s, detail.bid.cancelled_base_per_s) == (3.0, 1.0)
    assert detail.bid.added_quote_per_s == 185510.0
    assert (detail.ask.added_levels_per_s, detail.ask.cancelled_levels_per_s) == (20.0, 20.0)
    assert detail.mlofi_base == [5.0, 2.0]
    assert detail.mlofi_normalised == 1.5
    assert (detail.impact, detail.impact_buckets) == (None, 0)
    assert (detail.cvd_quote, detail.cvd_z, detail.cvd_session_base) == (123675.3, 2.0, -1.5)
    assert detail.effective_spread_bps == 0.0016
    assert (detail.kyle, detail.kyle_buckets, detail.vpin) == (None, 0, None)
    assert json.loads(detail.amihud.model_dump_json()) == {"value": None, "minutes": 0, "skipped_minutes": 0}
    assert detail.volatility.model_dump() == {
        "vol_bps": None, "annualised_pct": None, "jump_share": None, "span_secs": 5, "returns": 1
    }  # fmt: skip
    check = detail.absorption
    assert (check.kappa_ticks, check.allowance_ticks, check.windows, check.windows_needed) == (None, 1.0, 0, 360)
    assert (check.net_quote, check.net_share, check.net_needed_quote, check.net_rarity, check.moved_ticks) == (
        123675.3,
        0.5,
        None,
        None,
        0.0,
    )


def test_detail_measures_impact_volatility_and_toxicity_over_the_hour() -> None:
    """An hour of rows and fifty buckets: every figure is there, in its unit."""
    rows, mid = [], 60_000.0
    for second in range(-3590, 10):
        mid *= 1 + (1 if second % 20 < 10 else -1) * 1e-6
        buys, sells = (3.0, 1.0) if second % 20 < 10 else (1.0, 3.0)
        rows.append(busy(second, mid=mid, buy_quote=1e4 * buys, sell_quote=1e4 * sells))
    buckets = VolumeBuckets(1_000_000)
    for _ in range(50):
        buckets.add(700_000, is_buy=True)
        buckets.add(300_000, is_buy=False)
    detail = flow(rows, detail=True, vpin=buckets.newest).detail
    assert detail is not None
    assert detail.kyle is not None
    assert (detail.kyle.buckets, detail.kyle_buckets, detail.kyle.not_significant) == (359, 359, False)
    assert detail.kyle.bps_per_100k_quote == pytest.approx(0.05, rel=1e-3)
    assert (detail.amihud.minutes, detail.amihud.skipped_minutes) == (59, 0)
    assert detail.volatility.vol_bps == pytest.approx(1e4 * sqrt(719 * 25e-12), rel=1e-3)
    assert detail.volatility.annualised_pct == pytest.approx(100 * sqrt(5e-12 * 365 * 86_400), rel=2e-3)
    assert detail.vpin is not None
    assert detail.vpin.model_dump() == {
        "value": 0.4, "buckets": 50, "bucket_base": 10.0, "quality": "ok", "rarity": None
    }  # fmt: skip


def test_a_session_that_is_not_complete_is_null_with_a_note() -> None:
    """A sum since midnight that lacks an hour is no sum since midnight."""
    answer = flow([busy(i) for i in range(10)], detail=True)
    assert answer.detail is not None
    assert answer.detail.cvd_session_base is None
    assert any("00:00 UTC" in warning for warning in answer.warnings)


def test_half_a_window_is_answered_per_covered_second_and_says_so() -> None:
    """Six of ten seconds: sums of what was seen, rates that are not diluted."""
    answer = flow([busy(i) for i in range(4, 10)], warnings=["handed in"])
    assert answer.quality == "partial"
    assert answer.window.coverage == 0.6
    assert answer.bid_adds_per_sec == 30.0
    assert answer.warnings[0] == "handed in"
    assert any("6 of 10 s" in warning for warning in answer.warnings)
    assert answer.summary.startswith(
        "BTCUSDT, 10 s (book seen for 6 s of it): mid since 12:00:05 unchanged at 61,837.635"
    )


def test_volumes_of_a_connection_that_was_lost_say_how_much_of_the_window_they_lack() -> None:
    """Trades have ended with the book: "10 s" would be taken for theirs too. A resync goes on hearing them."""
    rows = [busy(i) for i in range(6)]
    lost = flow(rows, as_of_ms=(T0 + 6) * 1000 - 77, age_ms=4077, status="syncing")
    assert lost.summary.startswith(
        "BTCUSDT, 10 s (book seen for 6 s of it), no data for the last 4 of them: mid unchanged"
    )
    assert lost.warnings[0] == (
        "No data after 2024-05-01T12:00:05.923Z: trades of the window's last 4 s are not in these volumes."
    )
    resync = flow(rows, age_ms=4077, status="syncing")
    assert "nothing heard" not in resync.summary
    assert not any("No data after" in warning for warning in resync.warnings)


def test_less_than_half_is_refused() -> None:
    """No answer is an answer; this one says when to come back."""
    with pytest.raises(Refusal) as refused:
        flow([busy(i) for i in range(6, 10)])
    assert refused.value.code == "insufficient_historical_data"
    assert refused.value.retry_after_secs == 1.0


def test_a_window_without_trades_or_events_has_no_flow() -> None:
    """A quiet market on a live connection: zeros where zero is true, null where there is no figure."""
    answer = flow([row(i, mid=100.0) for i in range(10)])
    assert (answer.flow_direction, answer.ofi_direction, answer.delta_pct) == ("NO_FLOW", "NO_FLOW", None)
    assert (answer.cvd_base, answer.bid_adds_per_sec, answer.bid_cancel_share) == (0.0, 0.0, None)
    assert not answer.low_sample
    assert answer.quality == "partial"
    assert answer.summary == "BTCUSDT, 10 s: mid unchanged at 100.00; no trades."
    assert any("Only 0 book updates" in warning for warning in answer.warnings)


@pytest.mark.parametrize(("fills", "trades", "words"), [(1, 1, "1 fill, "), (120, 3, "120 fills, ")])
def test_a_few_trades_are_labelled_as_a_low_sample(fills: int, trades: int, words: str) -> None:
    """One buy is a ratio of infinity and no trend, however many resting orders it fills against."""
    last = row(9, buy_volume=0.1, buy_quote=1.0, buy_trades=fills, agg_trades=trades)
    answer = flow([row(i, events=5) for i in range(9)] + [last])
    assert (answer.flow_direction, answer.low_sample) == ("STRONG_BUY", True)
    plural = "" if trades == 1 else "s"
    assert f"{words}net +0.1 BTC (+100.0 %): too few for a label ({trades} trade{plural})" in answer.summary


def test_skipped_trades_and_resyncs_inside_the_window_are_told() -> None:
    """Aggregate ids prove what is missing."""
    rows = [busy(i) for i in range(10) if i != 5]
    rows[0] = busy(0, flags=RowFlag.RESYNC)
    warnings = flow(rows).warnings
    assert any("2 trades of the window are missing" in warning for warning in warnings)
    assert any("resynchronised" in warning for warning in warnings)


def test_missing_trades_that_nobody_can_count_are_told_without_a_number() -> None:
    """Of a venue whose ids prove nothing."""
    ids = [OWN_FROM + n for n in range(9)] + [OWN_FROM + 10**10]
    rows = [busy(n, agg_trades=1, first_agg_id=each, last_agg_id=each) for n, each in enumerate(ids)]
    (warning,) = [each for each in flow(rows).warnings if "missing" in each]
    assert warning == "The stream was interrupted inside the window: how many trades are missing is unknown."
    assert not any("missing" in each for each in flow(rows[:9]).warnings)


def test_a_refilled_level_is_a_headline() -> None:
    """Level, side, volume, what it showed and how much of the selling it took, in words without an owner."""
    level = touched(price=61837.63, traded=12.5, trades=25, start=2.0, top=2.1, end=1.0)
    answer = flow([busy(0, touched=(level,), sell_volume=49.1), *(busy(i) for i in range(1, 10))])
    assert [event.model_dump(exclude_none=True) for event in answer.absorption] == [
        {"direction": "passive_buying", "rule": "level", "price": "61837.63000000", "traded_base": 12.5,
         "trades": 25, "shown_max_base": 2.1, "replenished_base": 11.5, "share_of_volume": 0.25}
    ]  # fmt: skip
    assert answer.summary.endswith(
        " Passive buying at 61,837.63: 12.5 BTC traded against at most 2.1 shown, 25 % of takers' sells."
    )


def test_a_level_that_took_in_a_crumb_is_listed_and_no_headline() -> None:
    """1.6 % of what takers sold is not what the minute was about."""
    level = touched(price=61837.63, traded=12.5, trades=25, start=2.0, top=2.1, end=1.0)
    answer = flow([busy(0, touched=(level,), sell_volume=780.0), *(busy(i) for i in range(1, 10))])
    (event,) = answer.absorption
    assert event.share_of_volume == 0.016
    assert "Passive" not in answer.summary


def hours_before(secs: int = 60, windows: int = 200) -> list[SecondRow]:
    return [
        busy(i - windows * secs, sell_quote=6_000.0 + i // secs * 7 % 5 * 1000.0, buy_quote=6_000.0)
        for i in range(windows * secs)
    ]


def test_a_rare_window_is_a_headline_too() -> None:
    """Two hundred quieter windows before it: selling that mid did not follow."""
    rows = hours_before() + [busy(i, sell_quote=500_000.0) for i in range(60)]
    answer = flow(rows, secs=60, detail=True)
    (event,) = answer.absorption
    assert event.model_dump(exclude_none=True) == {
        "direction": "passive_buying", "rule": "window", "net_quote": -28886923.0, "net_share": 0.9284,
        "moved_ticks": 0.0, "rarity": 0.995,
    }  # fmt: skip
    assert answer.summary.endswith(
        " Passive buying: takers' net selling of 28,900,000 USDT is more than in 99 % of earlier 60 s"
        " windows, and mid did not follow."
    )
    assert answer.detail is not None
    assert answer.detail.absorption.net_needed_quote == 240000.0
    assert answer.detail.impact is None  # nothing moved: no line through equal flows
    assert answer.detail.impact_buckets == 360


def test_a_rally_is_not_called_absorption() -> None:
    """The same amounts while price runs 196 bps: sellers were run over."""
    for way, traded in ((1, {"buy_quote": 500_000.0}), (-1, {"sell_quote": 500_000.0})):
        mid = 61837.635 * (1 + way * 0.0196)
        rows = hours_before() + [busy(i, mid=61837.635 if i < 30 else mid, **traded) for i in range(60)]
        answer = flow(rows, secs=60)
        assert answer.absorption == []
        assert "Passive" not in answer.summary


def test_every_field_of_the_flow_answer_says_what_it_means() -> None:
    """The schema is the only manual an assistant has."""
    schema = OrderFlowAnswer.model_json_schema()
    for owner in (schema, *schema["$defs"].values()):
        for name, field in owner["properties"].items():
            assert field.get("description"), f"{owner['title']}.{name}"


@settings(deadline=None)
@given(generated_rows(), st.integers(1, 40), st.booleans())
def test_every_list_of_rows_gives_a_valid_answer_or_a_refusal(rows: list[SecondRow], secs: int, detail: bool) -> None:
    """Never NaN, never a crash, whatever was recorded."""
    if cut(rows, Span(T0, T0 + secs)).coverage < 0.5:
        with pytest.raises(Refusal) as refused:
            flow(rows, secs=secs, detail=detail)
        assert 1 <= (refused.value.retry_after_secs or 0) <= secs
        return
    answer = flow(rows, secs=secs, detail=detail)
    json.loads(answer.model_dump_json(), parse_constant=pytest.fail)
    assert answer.window.coverage >= 0.5
    assert answer.delta_pct is None or -100 <= answer.delta_pct <= 100
    assert OrderFlowAnswer.model_validate_json(answer.model_dump_json()) == answer
