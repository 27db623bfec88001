from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import BTC
from tests.analytics.rows import T0
from tests.analytics.tape import DAY, WHOLE, Deal, bars, deals, histogram
from vibe_orderbook_mcp.analytics.profile.answer import volume_profile_answer
from vibe_orderbook_mcp.analytics.profile.bins import Histogram, PriceHistogram
from vibe_orderbook_mcp.analytics.profile.coverage import TapeCoverage
from vibe_orderbook_mcp.analytics.profile.result import VolumeProfileAnswer
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.tape import Backfill

WORKED = [5, 10, 20, 40, 60, 35, 18, 25, 30, 4, 3]
# Eleven rows, 10 USD each from 61 800, in units of 0.01 BTC.
BARS = bars([lots * 1000 for lots in WORKED], BTC, first=6180, width=1000)


MANY = bars([lots * 1000 for lots in WORKED], BTC, first=6180, width=1000, trades=30)


def with_last(price: float | None, made: PriceHistogram = BARS) -> PriceHistogram:
    """The same trades, the newest at `price`."""
    assert isinstance(made, Histogram)
    return msgspec.structs.replace(made, last_ticks=None if price is None else round(price * 100))


def profile(
    made: PriceHistogram, spec: SymbolSpec = BTC, tape: TapeCoverage = WHOLE, **more: Any
) -> VolumeProfileAnswer:
    fields: dict[str, Any] = {"as_of_ms": T0 * 1000 - 12, "now_ms": T0 * 1000 + 700, "age_ms": 14, "status": "live"}
    return volume_profile_answer(spec, made, DAY, tape, **(fields | more))


def test_the_headline_is_wired_to_the_figures() -> None:
    """Rows in dollars: every field by hand."""
    answer = profile(with_last(61_903.27))
    assert (answer.poc, answer.poc_bin.low, answer.poc_bin.high, answer.poc_bin.share) == (
        "61845",
        "61840",
        "61850",
        0.24,
    )
    assert (answer.value_area_low, answer.value_area_high, answer.value_area_share) == ("61820", "61890", 0.912)
    assert (answer.value_area_rule, answer.bin_width, answer.bins) == ("cbot", "10", 11)
    assert (answer.total_volume_base, answer.buy_volume_base, answer.sell_volume_base) == (2.5, 2.5, 0.0)
    assert (answer.delta_base, answer.delta_pct) == (2.5, 100.0)
    assert (answer.low, answer.high, answer.trades) == ("61800.00000000", "61909.99000000", 220)
    assert (answer.last_price, answer.last_vs_value_area) == ("61903.27000000", "above")
    assert (answer.value_area_distance_bps, answer.poc_distance_bps) == (2.144, 9.422)
    assert [node.low for node in answer.high_volume_nodes] == ["61840"]
    assert [node.low for node in answer.low_volume_nodes] == []
    assert (answer.duration_hours, answer.quality, answer.low_sample) == (24, "ok", True)
    assert answer.window.model_dump() == {
        "start": "2024-04-30T12:00:00Z", "end": "2024-05-01T12:00:00Z", "requested_secs": 86_400,
        "covered_secs": 86_400.0, "coverage": 1.0, "samples": 220,
    }  # fmt: skip
    assert "detail" not in json.loads(answer.model_dump_json())


def test_the_summary_is_what_a_desk_would_say() -> None:
    """Where, how much, and where price stands now."""
    assert profile(with_last(61_870.5, MANY)).summary == (
        "BTCUSDT, 24 h: most traded at 61,840-61,850 (POC, 24.0 % of 2.5 BTC, 50 % ahead of the next bin); value area"
        " 61,820-61,890 holds 91.2 % (bins are too wide for 70 %); last trade 61,870.5 is inside."
    )
    assert profile(with_last(61_810.0)).summary.endswith("; last trade 61,810 is below it by 1.62 bps.")
    assert profile(with_last(61_903.27)).summary.endswith("; last trade 61,903.27 is above it by 2.14 bps.")
    assert profile(BARS).summary.endswith("(bins are too wide for 70 %).")
    assert profile(BARS).last_vs_value_area is None
    assert ": only 220 trades; most traded at" in profile(BARS).summary


def test_the_last_trade_has_its_age() -> None:
    """Where the price stood a quarter of an hour ago is not where it stands."""
    made = histogram([(6_185_000, 100, False)] * 301, BTC)  # the last one a second before T0
    now = profile(made)
    assert now.last_trade_age_secs == 1.7
    assert "; last trade 61,850 is inside" in now.summary
    for passed, secs, said in ((9_000, 10.0, ""), (42_340, 43.3, " (43 s ago)"), (899_000, 900.0, " (15 min ago)")):
        later = profile(made, now_ms=T0 * 1000 + passed)
        assert later.last_trade_age_secs == secs
        assert f"; last trade 61,850{said} is inside" in later.summary
    assert profile(BARS).last_trade_age_secs is None
    assert profile(made, now_ms=(T0 - 5) * 1000).last_trade_age_secs == 0.0  # the clock is an estimate


TENTHS = SymbolSpec("DOGEUSDT", "DOGE", "USDT", Decimal("0.0001"), Decimal("1"))
# Prices 0.2130 to 0.2139, the newest at the top of the value area.
PRICES = bars([10, 10, 60, 110, 300, 180, 140, 40, 100, 50], TENTHS, first=2130, width=1, trades=40, last=2136)


def test_a_bin_of_one_tick_is_a_price() -> None:
    """0.21345 is no price of this market, and the highest price that belongs to the value area is no edge above it."""
    answer = profile(PRICES, TENTHS, detail=True)
    assert (answer.bin_width, answer.high_inclusive, answer.poc) == ("0.0001", True, "0.2134")
    assert (answer.poc_bin.low, answer.poc_bin.high) == ("0.2134", "0.2134")
    assert (answer.value_area_low, answer.value_area_high, answer.value_area_share) == ("0.2132", "0.2136", 0.79)
    assert (answer.last_vs_value_area, answer.value_area_distance_bps) == ("inside", 0.0)
    assert answer.poc_distance_bps == pytest.approx(10_000 * 0.0002 / 0.2134, rel=1e-3)
    assert ": most traded at 0.2134 (POC, 30.0 %" in answer.summary
    assert (
        "; value area 0.2132-0.2136 holds 79.0 % (the last pair of rows added 17 %); last trade 0.2136 is inside."
        in answer.summary
    )
    assert answer.detail is not None
    assert (answer.detail.value_area_low_centre, answer.detail.value_area_high_centre) == ("0.2132", "0.2136")
    above = profile(msgspec.structs.replace(PRICES, last_ticks=2137), TENTHS)
    assert (above.last_vs_value_area, above.value_area_distance_bps) == ("above", 4.682)


def test_wider_bins_keep_their_edges() -> None:
    """Two ticks are a range, and so is a tick among whose trades some lie between the ticks."""
    wide = profile(PRICES, TENTHS, tick_size=Decimal("0.0002"))
    assert (wide.poc, wide.poc_bin.low, wide.poc_bin.high) == ("0.2135", "0.2134", "0.2136")
    assert "high_inclusive" not in json.loads(wide.model_dump_json())
    finer = msgspec.structs.replace(
        PRICES, tick_exp=5, bins={10 * key + key % 2: held for key, held in PRICES.bins.items()},
        low_ticks=21300, high_ticks=21391, last_ticks=21360,
    )  # fmt: skip
    mixed = profile(finer, TENTHS)
    assert (mixed.bin_width, mixed.poc_bin.low, mixed.poc_bin.high) == ("0.0001", "0.2134", "0.2135")
    on_ticks = msgspec.structs.replace(finer, bins={10 * key: held for key, held in PRICES.bins.items()})
    assert profile(on_ticks, TENTHS).poc == "0.2134"


def test_an_area_of_more_than_70_percent_says_what_made_it_so() -> None:
    """Two rows at a time took a second cluster: the bins are as narrow as prices are."""

    def said(rows: list[int], spec: SymbolSpec = TENTHS, width: int = 1) -> str:
        summary = profile(bars(rows, spec, first=2130, width=width, trades=100), spec).summary
        return summary.split("; value area ")[1]

    cluster = [10, 20, 150, 300, 240, 20, 160, 60, 40]  # 69 % before the last step, one row a side stops at 71 %
    assert said(cluster) == "0.2133-0.2137 holds 78.0 % (the last pair of rows added 22 %)."
    assert said(cluster, BTC, 1000) == "21,330-21,380 holds 78.0 % (the last pair of rows added 22 %)."
    assert said([10, 20, 800, 20]) == "0.2132 holds 94.1 % (that one price)."
    assert said([300, 400]) == "0.2130-0.2131 holds 100.0 % (the last row added 43 %)."
    assert said([300, 400], BTC, 1000) == "21,300-21,320 holds 100.0 % (bins are too wide for 70 %)."


def test_edges_of_the_value_area_are_inside() -> None:
    """A price at VAH or VAL is at the area, not outside it by nothing."""
    for price in (61_820.0, 61_890.0):
        answer = profile(with_last(price))
        assert (answer.last_vs_value_area, answer.value_area_distance_bps) == ("inside", 0.0)
    assert profile(with_last(61_890.01)).last_vs_value_area == "above"
    assert profile(with_last(61_819.99)).last_vs_value_area == "below"


def test_quote_volume_is_price_times_size_of_each_trade() -> None:
    """Exactly, whatever the bins."""
    answer = profile(histogram([(6_185_000, 200_000, False), (6_195_050, 100_000, True)], BTC, 100))
    assert answer.total_volume_quote == 2 * 61_850.0 + 61_950.5
    assert (answer.buy_volume_base, answer.sell_volume_base, answer.delta_base) == (2.0, 1.0, 1.0)


def test_detail_adds_the_histogram_and_the_other_rule() -> None:
    """Columns, so that a bin costs three numbers."""
    detail = profile(BARS, detail=True).detail
    assert detail is not None
    assert (detail.low, detail.buy_base[:3], detail.trades[0]) == ("61800", [0.05, 0.1, 0.2], 20)
    assert sum(detail.sell_base) == 0.0
    assert (detail.value_area_low_centre, detail.value_area_high_centre) == ("61825", "61885")
    assert detail.other_value_area.model_dump() == {
        "rule": "single_row", "low": "61820", "high": "61880", "share": 0.792
    }  # fmt: skip
    assert len(detail.high_volume_nodes) == 1
    other = profile(BARS, detail=True, rule="single_row")
    assert (other.value_area_high, other.value_area_rule) == ("61880", "single_row")
    assert other.detail is not None
    assert other.detail.other_value_area.rule == "cbot"


def test_nodes_are_the_largest_and_the_nearest_ones() -> None:
    """Three of each are enough for a headline."""
    rows = [5, 90, 5, 0, 5, 80, 5, 0, 0, 5, 70, 5, 0, 5, 60, 5, 0, 5]
    answer = profile(bars(rows, BTC, first=6180, width=1000, last=6_185_000))
    assert [node.low for node in answer.high_volume_nodes] == ["61810", "61850", "61900"]
    assert [(node.low, node.high) for node in answer.low_volume_nodes] == [
        ("61830", "61840"), ("61870", "61890"), ("61920", "61930")
    ]  # fmt: skip


def test_a_wish_that_was_not_met_is_told() -> None:
    """The reader asked for one width and reads another."""
    assert profile(BARS, tick_size=Decimal("10")).warnings == ["Only 220 trades: a dependable profile needs 300."]
    assert profile(BARS, tick_size=Decimal("12.5")).warnings[1] == (
        "tick_size 12.5 was widened to 20: bins are whole multiples of what is stored."
    )
    fine = histogram([(6_000_000, 1, False), (6_100_000, 1, False)], BTC)
    assert profile(fine, tick_size=Decimal("0.01")).warnings[1] == (
        "tick_size 0.01 was widened to 10: it would need more than 200 bins."
    )


def test_a_part_of_the_window_is_answered_as_a_part() -> None:
    """Sixty per cent are stored: said in the sentence, the window and a warning."""
    answer = profile(BARS, tape=TapeCoverage(600, 400, None), warnings=["handed in"])
    assert answer.summary.startswith("BTCUSDT, 24 h (60 % of its trades stored): only 220 trades; most traded")
    assert (answer.quality, answer.window.coverage, answer.window.covered_secs) == ("partial", 0.6, 51_840.0)
    assert answer.warnings[0] == "handed in"
    assert answer.warnings[1].startswith("400 of 1,000 trades are missing")


def test_nothing_traded_is_a_refusal() -> None:
    """An empty window, and one of trades without a size, have no profile."""
    for empty in (Histogram(2, 5, 100, {}), histogram([(6_000_000, 0, False)], BTC)):
        with pytest.raises(Refusal) as refused:
            profile(empty)
        assert refused.value.code == "insufficient_historical_data"
        assert "nothing was traded" in refused.value.message
    with pytest.raises(Refusal):
        profile(BARS, tape=TapeCoverage(0, 10, None))


def test_one_trade_is_a_profile_of_one_bin() -> None:
    """Any n >= 1 is answered, and labelled."""
    answer = profile(histogram([(6_185_003, 100, True)], BTC))
    assert (answer.poc_bin.low, answer.poc_bin.high, answer.value_area_share, answer.bins) == (
        "61850.03",
        "61850.03",
        1.0,
        1,
    )
    assert (answer.low_sample, answer.delta_pct, answer.last_vs_value_area) == (True, -100.0, "inside")


def test_a_far_print_does_not_make_bins_wider() -> None:
    """0.03 % of the volume at twice the price, then at half of it too: gathered at the ends, in every sum, and said."""
    usual = [(6_000_000 + n * 13 % 40_000, 100, bool(n % 2)) for n in range(4000)]
    alone, lots = profile(histogram(usual, BTC)), 400_000
    far = [*usual, (12_000_000, lots * 3 // 10_000, False)]
    answer = profile(histogram(far, BTC))
    for name in ("bin_width", "bins", "poc", "value_area_low", "value_area_high", "below_bins"):
        assert getattr(answer, name) == getattr(alone, name)
    assert answer.above_bins is not None
    assert answer.above_bins.model_dump() == {
        "low": "60400", "high": "120000.00000000", "volume_base": 0.0012, "share": 0.0002999, "trades": 1,
    }  # fmt: skip
    assert (answer.high, answer.trades, answer.total_volume_base) == ("120000.00000000", 4001, 4.0012)
    assert answer.warnings == [
        "1 trade with 0.03 % of the volume above the bins (60,400 to 120,000): too far away for bins."
    ]
    both = profile(histogram([(3_000_000, 100, True), *far], BTC))
    assert (both.bin_width, both.bins) == (alone.bin_width, alone.bins)
    assert both.below_bins is not None
    assert (both.below_bins.low, both.below_bins.high, both.below_bins.trades) == ("30000.00000000", "60000", 1)
    assert len(both.warnings) == 2


def test_a_far_print_leaves_tick_size_to_who_asks() -> None:
    """The bins asked for are those of the range that holds nearly all volume."""
    usual = [(6_000_000 + n * 13 % 40_000, 100, bool(n % 2)) for n in range(4000)]
    far = [*usual, (12_000_000, 120, False)]
    fine = profile(histogram(far, BTC), tick_size=Decimal("2.5"))
    assert (fine.bin_width, fine.bins, fine.below_bins) == ("2.5", 160, None)
    assert [warning for warning in fine.warnings if "widened" in warning] == []
    finer = profile(histogram(far, BTC), tick_size=Decimal("0.5"))
    assert (finer.bin_width, finer.bins, finer.below_bins) == ("5", 80, None)
    assert finer.warnings[0] == "tick_size 0.5 was widened to 5: it would need more than 200 bins."
    wide = profile(histogram(far, BTC), tick_size=Decimal("500"))
    assert (wide.bins, wide.above_bins) == (121, None)  # wide enough for all of it


def test_what_is_not_far_or_not_little_has_its_bins() -> None:
    """A long tail is part of the profile, and so is one percent of the volume, wherever it is."""
    usual = [(6_000_000 + n * 13 % 40_000, 100, bool(n % 2)) for n in range(4000)]
    near = profile(histogram([*usual, (6_055_000, 1, False)], BTC))
    assert (near.above_bins, near.high) == (None, "60550.00000000")
    much = profile(histogram([*usual, (12_000_000, 4000, False)], BTC))
    assert much.above_bins is None
    assert float(much.bin_width) > 500
    few_ticks = profile(histogram([(100_00 + n % 2, 1000, False) for n in range(400)] + [(100_20, 1, False)], BTC))
    assert (few_ticks.bins, few_ticks.above_bins) == (21, None)  # they cost nothing


def test_a_tie_is_not_told_as_a_fact() -> None:
    """3.7, 3.6, 3.5 and 3.5 %: by which the first leads is said, and who is as good."""
    rows = [100, 360, 100, 370, 100, 350, 100, 350, 100]
    answer = profile(bars([lots * 1000 for lots in rows], BTC, first=6180, width=1000, trades=50))
    assert answer.poc_lead_pct == 2.78
    assert [rival.low for rival in answer.poc_rivals] == ["61810", "61850", "61870"]
    assert (
        "no clear POC: 61,830-61,840 has 19.2 % of 19.3 BTC, 61,810-61,820 18.7 %, and 2 more within 10 % of it"
        in answer.summary
    )
    clear = profile(MANY)
    assert (clear.poc_lead_pct, clear.poc_rivals) == (50.0, [])
    even = profile(bars([4000] * 3, BTC, first=6180, width=1000, trades=200))
    assert (even.poc_lead_pct, len(even.poc_rivals)) == (0.0, 2)


def test_a_single_trade_has_no_shape_to_speak_of() -> None:
    """ "100 % of 159 XRP" at a point of control is one trade."""
    answer = profile(histogram([(6_185_003, 100, True)], BTC))
    assert answer.summary == ("BTCUSDT, 24 h: a single trade, 0.001 BTC at 61,850.03; one trade has no profile.")
    assert answer.warnings == ["Only 1 trade: a dependable profile needs 300."]
    assert (answer.poc_lead_pct, answer.poc_rivals) == (None, [])


def test_a_window_longer_than_what_is_held_is_shortened_and_said() -> None:
    """75 minutes of 24 h: the window is what is covered, and the sentence says so."""
    tape = TapeCoverage(220, 0, (T0 - 4531) * 1000, (T0 - 4531) * 1000)
    answer = profile(BARS, tape=tape)
    assert answer.summary.startswith("BTCUSDT, last 75 min of the requested 24 h: ")
    assert answer.window.model_dump() == {
        "start": "2024-05-01T10:44:29Z", "end": "2024-05-01T12:00:00Z", "requested_secs": 86_400,
        "covered_secs": 4531.0, "coverage": 0.0524, "samples": 220,
    }  # fmt: skip
    assert answer.warnings[0] == (
        "Stored trades begin at 2024-05-01T10:44:29Z: they cover 75 min of the requested 24 h."
    )


def test_a_profile_of_seconds_says_that_it_is_one() -> None:
    """And that older trades are coming, and when they will be there."""

    def held(secs: int, **more: Any) -> TapeCoverage:
        return TapeCoverage(220, 0, (T0 - secs) * 1000, (T0 - secs) * 1000, **more)

    few = profile(BARS, tape=held(79))
    assert few.summary.startswith(
        "BTCUSDT, last 79 s of the requested 24 h: a profile of no more than 79 s; only 220 trades; most traded"
    )
    fresh = profile(BARS, tape=held(1, is_new=True))
    assert ": a profile of no more than 1 s, older trades are being fetched; only 220 trades;" in fresh.summary
    assert "Older trades are about to be fetched: ask again in a few seconds." in fresh.warnings
    coming = Backfill(reaches_ms=DAY.start * 1000, ids_left=90_000, ids_per_sec=1000.0)
    fetched = profile(BARS, tape=held(79, backfill=coming))
    assert ": a profile of no more than 79 s, older trades are being fetched; only" in fetched.summary
    assert "Older trades are being fetched (90,000 to go, done in about 2 min)." in fetched.warnings
    assert "no more than" not in profile(BARS, tape=held(300, is_new=True)).summary


def test_it_is_worth_waiting_for_five_minutes_of_trades_that_are_coming() -> None:
    def waits(secs: int, **more: Any) -> float | None:
        return TapeCoverage(220, 0, (T0 - secs) * 1000, (T0 - secs) * 1000, **more).more_in_secs(DAY)

    coming = Backfill(reaches_ms=DAY.start * 1000, ids_left=86_300, ids_per_sec=10.0)
    assert waits(1, is_new=True) == 3.0
    assert waits(100, backfill=coming) == pytest.approx(20.0)  # a second of trades takes 0.1 s
    assert waits(299, backfill=coming) == 1.0
    assert waits(100, backfill=Backfill((T0 - 50) * 1000, 5)) is None  # it does not go back so far
    assert (waits(300, is_new=True), waits(100), WHOLE.more_in_secs(DAY)) == (None, None, None)


def test_every_field_says_what_it_means() -> None:
    """The schema is the only manual an assistant has."""
    schema = VolumeProfileAnswer.model_json_schema()
    for owner in (schema, *schema["$defs"].values()):
        for name, field in owner["properties"].items():
            assert field.get("description"), f"{owner['title']}.{name}"


@settings(deadline=None)
@given(deals, st.sampled_from([1, 10, 100]), st.none() | st.sampled_from(["0.03", "7"]))
def test_every_list_of_trades_gives_a_valid_answer(made: list[Deal], base: int, wish: str | None) -> None:
    """Never NaN, bins sum to the total, the point of control lies in the value area, and that within the range."""
    answer = profile(
        histogram(made, BTC, base),
        tick_size=None if wish is None else Decimal(wish),
        detail=True,
    )
    json.loads(answer.model_dump_json(), parse_constant=pytest.fail)
    assert VolumeProfileAnswer.model_validate_json(answer.model_dump_json()) == answer
    assert answer.detail is not None
    assert len(answer.detail.buy_base) == answer.bins <= 200
    ends = [end for end in (answer.below_bins, answer.above_bins) if end is not None]
    inside = sum(answer.detail.buy_base) + sum(answer.detail.sell_base)
    assert inside + sum(end.volume_base for end in ends) == pytest.approx(answer.total_volume_base)
    assert all(end.share <= 0.005 for end in ends)
    assert answer.last_price is not None
    assert float(answer.low) <= float(answer.last_price) <= float(answer.high)
    assert answer.buy_volume_base + answer.sell_volume_base == pytest.approx(answer.total_volume_base)
    assert sum(answer.detail.trades) + sum(end.trades for end in ends) == answer.trades
    assert float(answer.value_area_low) <= float(answer.poc) <= float(answer.value_area_high)
    assert (answer.below_bins is None) == (float(answer.detail.low) <= float(answer.low))
    assert float(answer.low) <= float(answer.value_area_high)
    assert (answer.poc_bin.low == answer.poc_bin.high == answer.poc) == answer.high_inclusive
    assert 0.7 <= answer.value_area_share <= 1.0


@settings(deadline=None)
@given(deals)
def test_scaling_price_and_tick_leaves_shares_and_bps_alone(made: list[Deal]) -> None:
    """Ten times the price on ten times the tick is the same market."""
    tenths = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.1"), Decimal("0.00001"))
    small = profile(histogram(made, BTC))
    large = profile(histogram(made, tenths), tenths)
    for name in ("value_area_share", "last_vs_value_area", "value_area_distance_bps", "poc_distance_bps", "delta_pct"):
        assert getattr(small, name) == getattr(large, name)
    assert [node.share for node in small.high_volume_nodes] == [node.share for node in large.high_volume_nodes]


@settings(deadline=None)
@given(deals)
def test_swapping_aggressors_turns_the_delta_and_nothing_else(made: list[Deal]) -> None:
    one = profile(histogram(made, BTC))
    two = profile(histogram([(ticks, lots, not maker) for ticks, lots, maker in made], BTC))
    assert (one.delta_base, one.buy_volume_base) == (-two.delta_base, two.sell_volume_base)
    assert (one.poc, one.value_area_low, one.value_area_high) == (two.poc, two.value_area_low, two.value_area_high)
