from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.analytics.books import BTC
from tests.analytics.rows import T0
from tests.analytics.tape import DAY, WHOLE, bars, volumes
from vibe_orderbook_mcp.analytics.numbers import significant
from vibe_orderbook_mcp.analytics.profile.bins import Histogram
from vibe_orderbook_mcp.analytics.profile.coverage import TapeCoverage
from vibe_orderbook_mcp.analytics.profile.vacuums_answer import liquidity_vacuums_answer
from vibe_orderbook_mcp.analytics.profile.vacuums_result import LiquidityVacuumsAnswer
from vibe_orderbook_mcp.analytics.resting import RestingDepth
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.events import Side

# Rows of 10 USD each from 61 800, in units of 0.01 BTC: 61 830 to 61 860 is thin.
BARS = bars([lots * 1000 for lots in (10, 50, 60, 3, 0, 4, 55, 20, 48, 52, 9)], BTC, first=6180, width=1000)
NONE_HELD = TapeCoverage(1, 99, None)
THIN = (50, 60, 55, 5, 4, 0, 6, 70, 80, 65)


def resting(
    side: Side, depths: tuple[float, ...], *, touch: int = 61_900, samples: int = 12, width: int = 5
) -> RestingDepth:
    """Bins of `width` USD from a touch on their edge."""
    lows = [touch - width * (i + 1) if side == "bid" else touch + width * i for i in range(len(depths))]
    bins = tuple((low * 100, depth) for low, depth in zip(lows, depths, strict=True))
    return RestingDepth(side, width * 100, bins, samples)


def answer(made: Histogram = BARS, tape: TapeCoverage = WHOLE, **more: Any) -> LiquidityVacuumsAnswer:
    fields: dict[str, Any] = {"mid": 61_900.0, "as_of_ms": T0 * 1000 - 12, "age_ms": 14, "status": "live"}
    return liquidity_vacuums_answer(BTC, made, DAY, tape, **(fields | more))


def test_a_traded_vacuum_is_wired_to_its_figures() -> None:
    """Edges, distance, width, deficit and severity."""
    found = answer()
    (zone,) = found.zones
    assert json.loads(zone.model_dump_json()) == {
        "kind": "traded", "side": "below", "low": "61830", "high": "61860", "distance_bps": 6.462, "width_bps": 4.847,
        "deficit_pct": 93.14, "severity": "High",
    }  # fmt: skip
    assert (found.zones_below, found.zones_above, found.bin_width, found.usual_bin_base) == (1, 0, "10", 0.34)
    assert (found.quality, found.duration_hours, found.mid, found.resting) == ("ok", 24, "61900", None)
    assert found.warnings == [
        "Only 200 trades: a dependable profile needs 300.",
        "No resting zones yet: the book must be recorded for about 60 s more.",
    ]
    assert found.summary == (
        "BTCUSDT, mid 61,900, from trades of the last 24 h: nearest below 61,830-61,860"
        " (6.46 bps away; High, 93.1 % less traded than usual)."
    )


def test_a_resting_zone_is_wired_to_its_figures() -> None:
    """Amounts in quote units, each bin at its middle."""
    found = answer(mid=61_901.0, resting=[resting("bid", THIN), resting("ask", (50.0,) * 10, touch=61_902)])
    zone = next(zone for zone in found.zones if zone.kind == "resting")
    before = sum(depth * (61_900 - 5 * i - 2.5) for i, depth in enumerate(THIN[:3]))
    inside = sum(depth * (61_900 - 5 * i - 2.5) for i, depth in enumerate(THIN[3:7], 3))
    assert json.loads(zone.model_dump_json()) == {
        "kind": "resting", "side": "below", "low": "61865", "high": "61885", "distance_bps": 2.585, "width_bps": 3.231,
        "notional_before_quote": pytest.approx(before, rel=1e-4),
        "notional_inside_quote": pytest.approx(inside, rel=1e-4),
    }  # fmt: skip
    assert found.resting is not None
    assert found.resting.model_dump() == {"bin_width": "5", "samples": 12, "down_to": "61850", "up_to": "61952"}


def test_zones_of_bins_of_one_tick_end_at_a_price() -> None:
    """[61 900.03, 61 900.06) are three prices, and the third belongs to the zone."""
    rows = [lots * 1000 for lots in (10, 50, 60, 3, 0, 4, 55, 20, 48, 52, 9)]
    made = bars(rows, BTC, first=6_190_000, width=1)
    found = answer(made, mid=61_900.055)
    (zone,) = found.zones
    assert (zone.low, zone.high, zone.high_inclusive, zone.side) == ("61900.03", "61900.05", True, "below")
    assert (zone.distance_bps, zone.width_bps) == (0.0008078, 0.004847)
    assert "nearest below 61,900.03-61,900.05 (" in found.summary
    sides = [answer(made, mid=mid).zones[0].side for mid in (61_900.025, 61_900.03, 61_900.05, 61_900.06)]
    assert sides == ["above", "around", "around", "below"]
    thin = RestingDepth("ask", 1, tuple((6_190_000 + n, depth) for n, depth in enumerate(THIN)), 12)
    asks = answer(mid=61_899.99, resting=[thin])
    (zone,) = [zone for zone in asks.zones if zone.kind == "resting"]
    assert (zone.low, zone.high, zone.high_inclusive) == ("61900.03", "61900.06", True)
    assert zone.notional_inside_quote == significant(5 * 61_900.03 + 4 * 61_900.04 + 6 * 61_900.06, 5)
    assert asks.resting is not None
    assert asks.resting.up_to == "61900.09"
    assert "high_inclusive" not in json.loads(answer().zones[0].model_dump_json())


def test_amounts_are_valued_at_the_middle_of_each_bin() -> None:
    """With bins of 100 USD that is to be seen in the fifth digit."""
    found = answer(mid=61_901.0, resting=[resting("bid", THIN, width=100)])
    zone = next(zone for zone in found.zones if zone.kind == "resting")
    assert zone.notional_before_quote == significant(50 * 61_850 + 60 * 61_750 + 55 * 61_650, 5)
    assert zone.notional_inside_quote == significant(5 * 61_550 + 4 * 61_450 + 6 * 61_250, 5)


def test_zones_that_overlap_confirm_each_other() -> None:
    """Little traded and little resting at the same prices."""
    found = answer(resting=[resting("bid", THIN, touch=61_880)])
    assert [(zone.kind, zone.low, zone.high, zone.confirmed) for zone in found.zones] == [
        ("resting", "61845", "61865", True),
        ("traded", "61830", "61860", True),
    ]
    assert (
        "61,845-61,865 (5.65 bps away; 928,000 USDT rest inside and 10,200,000 before it, mean of 60 s, thin in both)"
        in found.summary
    )


def test_zones_that_only_touch_do_not_confirm_each_other() -> None:
    """An edge in common is no price in common."""
    found = answer(resting=[resting("bid", THIN, touch=61_895)])  # 61 860 to 61 880
    assert not any(zone.confirmed for zone in found.zones)


def test_zones_are_nearest_first_in_both_directions() -> None:
    """With a few of each unless all were asked for."""
    rows = [40, 0] * 12 + [40]
    found = answer(bars([lots * 1000 for lots in rows], BTC, first=6180, width=1000), mid=61_925.0)
    assert (found.zones_below, found.zones_above) == (6, 6)
    assert [(zone.side, zone.low) for zone in found.zones] == [
        ("below", "61910"), ("above", "61930"), ("below", "61890"), ("above", "61950"),
        ("below", "61870"), ("above", "61970"), ("below", "61850"), ("above", "61990"),
    ]  # fmt: skip
    everything = answer(bars([lots * 1000 for lots in rows], BTC, first=6180, width=1000), mid=61_925.0, detail=True)
    assert len(everything.zones) == 12
    distances = [zone.distance_bps for zone in everything.zones]
    assert distances == sorted(distances)


def test_mid_inside_a_zone_is_said() -> None:
    """The market stands in the hole right now."""
    found = answer(mid=61_845.0)
    assert [(zone.side, zone.distance_bps) for zone in found.zones] == [("around", 0.0)]
    assert "around mid 61,830-61,860 (0 bps away" in found.summary
    assert [answer(mid=edge).zones[0].side for edge in (61_830.0, 61_860.0)] == ["above", "below"]


def test_no_zones_is_an_answer() -> None:
    """An even market is worth saying."""
    found = answer(bars([4000] * 20, BTC, first=6180, width=1000))
    assert found.zones == []
    assert found.summary == (
        "BTCUSDT, mid 61,900, from trades of the last 24 h: no thin zones in trades from 61,800 to 61,999.99 (98 % of"
        " the volume; nothing was traded below 61,800 or above 61,999.99)."
    )


def test_where_nothing_was_found_the_answer_says_where_it_looked() -> None:
    """Far away there may be a hole that nobody looked into."""
    even = (50.0,) * 10
    rows = [20, *[4000] * 20, 20]  # the ends hold less than 1 % each
    both = answer(
        bars(rows, BTC, first=6180, width=1000),
        resting=[resting("bid", even), resting("ask", even, touch=61_905)],
    )
    assert both.zones == []
    assert both.summary.endswith(
        ": no thin zones in trades from 61,810 to 62,010 (98 % of the volume; nothing was traded below 61,800 or above"
        " 62,019.99) or in bids down to 61,850 or in asks up to 61,955."
    )
    assert both.traded is not None
    assert both.traded.model_dump() == {
        "down_to": "61810", "up_to": "62010", "lowest": "61800", "highest": "62019.99"
    }  # fmt: skip
    book = answer(tape=NONE_HELD, resting=[resting("bid", even), resting("ask", ())])
    assert book.summary.endswith(": no thin zones in bids down to 61,850.")
    assert book.traded is None


def test_either_part_alone_is_answered_and_the_other_said_to_be_missing() -> None:
    """A fresh server has a book before it has a day of trades."""
    sides = [resting("bid", THIN), resting("ask", THIN)]
    found = answer(tape=NONE_HELD, resting=sides)
    assert {zone.kind for zone in found.zones} == {"resting"}
    assert (found.quality, found.bin_width, found.usual_bin_base, found.window.samples) == (
        "insufficient",
        None,
        None,
        0,
    )
    assert found.warnings == ["No traded zones: 1 % of the window's trades are stored, 50 % are needed."]
    hours = replace(NONE_HELD, complete_since_ms=(T0 - 7300) * 1000)
    assert answer(tape=hours, resting=sides).warnings[0].endswith("are needed. duration_hours=2 can be answered now.")
    assert found.summary.startswith("BTCUSDT, mid 61,900, from the resting book of the last minute: nearest below")
    quiet = answer(Histogram(2, 5, 100, {}), resting=sides)
    assert quiet.warnings == ["No traded zones: nothing was traded in 24 h."]
    assert (quiet.quality, quiet.window.coverage) == ("insufficient", 1.0)


def test_a_window_longer_than_what_is_held_is_shortened_and_said() -> None:
    """Before it was "no thin zones" and `insufficient`, with two hours of trades at hand."""
    tape = TapeCoverage(200, 0, (T0 - 7300) * 1000, (T0 - 7300) * 1000)
    found = answer(tape=tape)
    assert [(zone.low, zone.high) for zone in found.zones] == [("61830", "61860")]
    assert (found.quality, found.window.start, found.window.covered_secs) == ("partial", "2024-05-01T09:58:20Z", 7300.0)
    assert found.summary.startswith("BTCUSDT, mid 61,900, from trades of the last 2 h of the requested 24 h: nearest")
    assert found.warnings[0] == "Stored trades begin at 2024-05-01T09:58:20Z: they cover 2 h of the requested 24 h."


def test_zones_of_a_few_minutes_are_not_sold_as_more() -> None:
    """The first question of a symbol: seconds of trades have thin prices by chance, and are no traded part."""

    def held(secs: int) -> TapeCoverage:
        return TapeCoverage(200, 0, (T0 - secs) * 1000, (T0 - secs) * 1000)

    some = answer(tape=held(400)).warnings
    assert some[2] == "Traded zones rest on only 6 min of trades and may disappear within minutes."
    few = answer(tape=held(79), resting=[resting("bid", THIN)])
    assert few.warnings == ["No traded zones yet: 79 s of trades are stored, 5 min are needed."]
    assert {zone.kind for zone in few.zones} == {"resting"}
    with pytest.raises(Refusal, match=r"trades cover 0\.091 % of the requested 24 h"):
        answer(tape=held(79))


def test_a_symbol_that_never_traded_has_its_resting_zones() -> None:
    """And no caller has to wait for trades that may never come."""
    never = TapeCoverage(0, 0, None, never_traded=True)
    nothing = Histogram(2, 5, 100, {})
    found = answer(nothing, never, resting=[resting("bid", THIN)])
    assert found.warnings == ["No traded zones: the exchange has no trade of this symbol."]
    assert {zone.kind for zone in found.zones} == {"resting"}
    with pytest.raises(Refusal, match="has never traded") as refused:
        answer(nothing, never)
    assert "resting book" in refused.value.hint


def test_detail_adds_what_was_looked_at() -> None:
    """Volume and depth of every bin: also where there are few zones, it changes the answer."""
    sides = [resting("bid", THIN), resting("ask", (50.0,) * 4, touch=61_905)]
    assert "detail" not in json.loads(answer(resting=sides).model_dump_json())
    detail = answer(resting=sides, detail=True).detail
    assert detail is not None
    assert (detail.traded_low, detail.traded_base[:5]) == ("61800", [0.1, 0.5, 0.6, 0.03, 0.0])
    assert [(side.side, side.nearest_low, side.depth_base[:3]) for side in detail.resting] == [
        ("bid", "61895", [50.0, 60.0, 55.0]), ("ask", "61905", [50.0, 50.0, 50.0]),
    ]  # fmt: skip


def test_distances_from_a_trade_are_not_told_as_from_mid() -> None:
    """A book with one side has no mid, and the last trade may be long ago."""
    found = answer(trade_age_secs=2.04)
    assert found.summary.startswith("BTCUSDT, last trade 61,900, from")
    assert found.last_trade_age_secs == 2.0
    assert (found.as_of, found.warnings[0]) == (
        "2024-05-01T11:59:59.988Z",
        "There is no mid now: distances are from the price of the last trade, at 2024-05-01T11:59:59.988Z.",
    )
    assert answer(trade_age_secs=75.0).summary.startswith("BTCUSDT, last trade 61,900 (75 s ago), from")
    assert "last_trade_age_secs" not in json.loads(answer().model_dump_json())


def test_neither_part_is_a_refusal() -> None:
    """Too few trades and too short a look at the book."""
    with pytest.raises(Refusal, match="trades cover 1 % of the requested 24 h") as refused:
        answer(tape=NONE_HELD, resting=[resting("bid", THIN, samples=9)])
    assert refused.value.code == "insufficient_historical_data"
    with pytest.raises(Refusal, match="nothing was traded"):
        answer(Histogram(2, 5, 100, {}))


def test_a_book_watched_for_too_short_says_how_long_to_wait() -> None:
    """Five of ten samples: half a minute more."""
    found = answer(resting=[resting("bid", THIN, samples=5)])
    assert found.warnings[-1] == "No resting zones yet: the book must be recorded for about 30 s more."
    assert found.resting is None


def test_few_trades_a_bin_are_low_confidence() -> None:
    """A thin bin may be chance then."""
    found = answer(bars([40, 1, 40], BTC, first=6180, width=1000, trades=9))
    assert found.low_confidence
    assert any("may be chance" in warning for warning in found.warnings)


def test_a_one_sided_look_has_one_end() -> None:
    """Nothing is known of the other side, and no end of it made up."""
    found = answer(resting=[resting("bid", THIN), resting("ask", ())])
    assert found.resting is not None
    assert (found.resting.down_to, found.resting.up_to) == ("61850", None)


def test_every_field_says_what_it_means() -> None:
    """The schema is the only manual an assistant has."""
    schema = LiquidityVacuumsAnswer.model_json_schema()
    for owner in (schema, *schema["$defs"].values()):
        for name, field in owner["properties"].items():
            assert field.get("description"), f"{owner['title']}.{name}"


_DEPTHS = st.lists(st.sampled_from([0.0, 0.001, 1.0, 50.0, 1e6]), max_size=40).map(tuple)


@settings(deadline=None)
@given(volumes, _DEPTHS, _DEPTHS, st.integers(1, 70_000), st.booleans())
def test_every_market_gives_a_valid_answer_or_a_refusal(
    traded: list[int], bids: tuple[float, ...], asks: tuple[float, ...], mid: int, detail: bool
) -> None:
    """Never NaN, sorted by distance, and sides that agree with mid."""
    sides = [resting("bid", bids), resting("ask", asks)]
    found = answer(bars(traded, BTC, first=6180, width=1000), resting=sides, mid=float(mid), detail=detail)
    json.loads(found.model_dump_json(), parse_constant=pytest.fail)
    assert LiquidityVacuumsAnswer.model_validate_json(found.model_dump_json()) == found
    distances = [zone.distance_bps for zone in found.zones]
    assert distances == sorted(distances)
    for zone in found.zones:
        assert float(zone.low) < float(zone.high) or zone.high_inclusive
        assert (zone.side == "below") == (float(zone.high) <= mid)
        assert (zone.side == "above") == (float(zone.low) >= mid)
