from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from tests.analytics.books import ASKS, BIDS, BOOK, BTC, TENTH, tick_books, view
from vibe_orderbook_mcp.analytics.book.answers import L1Answer, L2Answer, l1_answer, l2_answer
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.microprice import MicropriceTable
from vibe_orderbook_mcp.analytics.snapshot import BookView
from vibe_orderbook_mcp.analytics.usual.baseline import Baseline, UsualDay
from vibe_orderbook_mcp.analytics.usual.figures import Sample
from vibe_orderbook_mcp.model.symbol import SymbolSpec

TickSide = list[tuple[int, float]]
AT_MS = 1_714_564_800_123
TOUCH = BookView([(61837.63, 3.8)], [(61837.64, 1.5)])


def l1(book: BookView, spec: SymbolSpec = BTC, **more: Any) -> L1Answer:
    return l1_answer(spec, book, last_update_id=7, as_of_ms=AT_MS, age_ms=12, status="live", **more)


def l2(book: BookView, spec: SymbolSpec = BTC, levels: int = 20) -> L2Answer:
    return l2_answer(spec, book, levels=levels, last_update_id=7, as_of_ms=AT_MS, age_ms=12, status="live")


def test_the_summary_is_what_a_desk_would_say() -> None:
    """Units, side and sign in one sentence that can be quoted without reading the rest."""
    assert l1(TOUCH).summary == (
        "BTCUSDT 61,837.63 / 61,837.64, spread 0.0016 bps (1 tick); within 10 bps of mid 235,000 USDT of bids and"
        " 92,800 of asks: bids heavier (72 % of the size); 50,000 USDT at once costs 0.00081 bps to buy and 0.00081 to"
        " sell, against mid, before fees."
    )


def test_the_summary_speaks_of_the_book_and_not_of_the_touch() -> None:
    """More is offered at the best price, and the book within 10 bps is five to one the other way."""
    book = BookView([(100.0, 1.0), (99.99, 99.0)], [(100.01, 2.0), (100.02, 18.0)])
    answer = l1(book)
    assert (answer.imbalance.level_1, answer.imbalance.within_10_bps) == (-0.333333, 0.666667)
    assert "bids heavier (83 % of the size)" in answer.summary


@pytest.mark.parametrize(
    ("bid", "words"),
    [
        (1.02, "about even (bids 50 % of the size)"), (1.2, "about even (bids 55 % of the size)"),
        (1.25, "bids heavier (56 % of the size)"), (0.8, "asks heavier (56 % of the size)"),
        (0.84, "about even (bids 46 % of the size)"),
    ],
)  # fmt: skip
def test_sides_that_hardly_differ_are_even(bid: float, words: str) -> None:
    """Below a tenth of the sum there is nothing to say: "+0.01" is not heavier."""
    assert words in l1(BookView([(100.0, bid)], [(100.01, 1.0)])).summary


def test_a_coarse_coin_is_compared_over_more_than_a_level() -> None:
    """One tick of 8 bps: within 10 bps stands one level a side. Within 50 bps there are six."""
    coarse = SymbolSpec("WANUSDT", "WAN", "USDT", Decimal("0.0001"), Decimal("1"))
    bids = [(round(0.1249 - i / 1e4, 4), 100.0 + 900 * (i > 0)) for i in range(10)]
    asks = [(round(0.1250 + i / 1e4, 4), 500.0) for i in range(10)]
    answer = l1(BookView(bids, asks), coarse)
    assert "within 50 bps of mid" in answer.summary
    assert "bids heavier" in answer.summary
    assert answer.imbalance.within_10_bps is not None
    assert answer.imbalance.within_10_bps < 0


def test_a_wide_spread_is_not_called_an_empty_book() -> None:
    assert "within 100 bps of mid 99.8 USDT of bids" in l1(BookView([(99.8, 1.0)], [(100.2, 1.0)])).summary
    assert "nothing rests within 100 bps of mid" in l1(BookView([(90.0, 1.0)], [(110.0, 1.0)])).summary


def test_cost_in_words_is_of_the_largest_amount_that_both_sides_fill() -> None:
    book = BookView([(100.0, 300.0)], [(100.1, 1000.0)])
    assert "; 25,000 USDT at once costs 5 bps to buy and 5 to sell, against mid, before fees." in l1(book).summary
    assert "; the known book does not fill 10,000 USDT at once." in l1(BOOK).summary


def test_every_distance_is_from_mid() -> None:
    """10 bps of depth and a move of 10 bps end at one price."""
    answer = l1(BookView([(99.96, 1.0), (99.92, 2.0), (99.8, 4.0)], [(100.04, 1.0), (100.08, 2.0), (100.2, 4.0)]))
    assert answer.depth is not None
    depth = {band.within_bps: (band.ask_quote, band.bid_quote) for band in answer.depth}
    moves = {each.bps: (each.buy_quote, each.sell_quote) for each in answer.price_move}
    assert {bps: moves[bps] for bps in (10, 25, 50)} == {bps: depth[bps] for bps in (10, 25, 50)}
    one_sided = l1(BookView([(100.0, 1.0)], []))
    assert {(each.buy_quote, each.sell_quote) for each in one_sided.price_move} == {(None, None)}


def test_what_is_usual_is_named_and_only_then_called_unusual() -> None:
    """A fifth of the usual bids at six times the usual spread; in the first quarter of an hour nobody knows."""
    book = BookView([(100.0, 40.0)], [(100.06, 100.0)])

    def day(secs: int) -> UsualDay:
        found = Baseline(0.01)
        for second in range(secs):
            found.observe(
                second,
                Sample(
                    updates=5.0, order_to_trade=5.0, spread_bps=1.0, depth_50=2e4, depth_25=2e4,
                    move_ticks=0.0, mid=100.0, quote_volume=10.0, buy_volume=1.0, sell_volume=1.0, walls_watched=False,
                    bids=(2e4,) * 5, asks=(1e4,) * 5,
                ),
            )  # fmt: skip
        return found.day

    fresh = l1(book, day=day(600))
    assert fresh.usual is None
    assert "median" not in fresh.summary
    young = l1(book, day=day(1200))
    assert young.usual is not None
    assert young.usual.spread_times == pytest.approx(6, rel=0.1)
    assert young.usual.bid_times == pytest.approx(0.2, rel=0.1)
    assert (
        "; against the median of the last 19 min: spread 6 ×, within 5 bps bids 0.2 × and asks 0.99 ×." in young.summary
    )
    assert "unusual" not in young.summary
    ready = l1(book, day=day(4000))
    assert "; against the median of the last 1.1 h: spread" in ready.summary
    assert ready.summary.endswith(", so the spread is unusually wide and bids are unusually thin.")


def test_a_finding_that_has_not_ended_is_in_the_summary() -> None:
    found = Finding(type="crash_precursor", start_ms=AT_MS - 9000, end_ms=None, severity="High", rarity=0.999)
    assert l1(TOUCH, findings=[found]).summary.endswith("; under way: crash_precursor (High).")


def test_book_values_are_the_exchanges_own_decimals_and_derived_ones_exact() -> None:
    """A float's rendering of spread or mid (0.010000000002) would not be the book's."""
    answer = l1(TOUCH)
    assert (answer.best_bid, answer.best_bid_size) == ("61837.63000000", "3.80000000")
    assert (answer.spread, answer.mid, answer.spread_ticks) == ("0.01", "61837.635", 1)
    assert answer.as_of == "2024-05-01T12:00:00.123Z"
    assert answer.last_update_id == 7


def test_a_price_off_the_grid_keeps_its_digits() -> None:
    """A tick size that changed at the exchange must not make us round 0.3521 to 0.35."""
    answer = l2(BookView([(0.3521, 1.0)], [(0.3532, 0.0000001)]), BTC)
    assert answer.bids == [("0.35210000", "1.00000000")]
    coarse = SymbolSpec("X", "X", "Y", Decimal("0.01"), Decimal("1"))
    assert l2(BookView([(0.3521, 1.0)], [(0.3532, 0.0000001)]), coarse).bids == [("0.3521", "1")]
    assert l2(BookView([], [(0.3532, 0.0000001)]), coarse).asks == [("0.3532", "0.0000001")]


def test_the_figures_of_the_sheets_book_arrive_in_the_answer() -> None:
    """The builder wires each figure to the field of its name."""
    answer = l1(BOOK, TENTH)
    assert answer.weighted_mid == answer.microprice == 100.08
    assert answer.microprice_model == "weighted_mid"
    assert answer.imbalance.model_dump() == {
        "level_1": 0.6, "levels_5": -0.090909, "levels_20": -0.090909, "within_10_bps": 0.6,
        "within_50_bps": 0.428571,
    }  # fmt: skip
    assert answer.depth is not None
    band = answer.depth[2]
    assert (band.within_bps, band.bid_base, band.ask_base, band.bid_quote) == (25, 10.0, 4.0, 999.4)
    assert answer.bid_walls is None
    buy = answer.slippage[0]
    assert (buy.side, buy.notional_quote, buy.levels, buy.worst_price) == ("buy", 10_000.0, 3, "100.9")
    assert (buy.filled_fraction, buy.insufficient_depth) == (0.24187, True)
    assert answer.price_move[0].buy_quote == 100.1  # up to 100.15, 10 bps above mid
    assert answer.price_move[0].sell_quote == 400.0


def test_a_learned_microprice_is_used_and_named() -> None:
    """The reader must know which model a figure comes from."""
    table = MicropriceTable(tuple([-0.2] * 5 + [0.2] * 5), transitions=20_000)
    answer = l1(TOUCH, microprice=table)
    assert (answer.microprice, answer.microprice_model) == (61837.637, "stoikov")
    assert answer.weighted_mid == 61837.63717
    wide = BookView([(61837.63, 3.8)], [(61837.66, 1.5)])
    assert l1(wide, microprice=table).microprice_model == "weighted_mid"


def test_walls_come_with_their_age_and_what_traded_there() -> None:
    """A wall that has stood for ten seconds is another thing than one that has just appeared."""
    sizes = [0.8, 1.1, 0.5, 2.3, 0.9, 1.7, 0.6, 3.1, 1.2, 0.4, 0.7, 40.0, 1.5, 0.3, 2.0, 1.0, 0.95, 1.3, 0.85, 2.6]
    bids = [(100 - i * 0.04, size) for i, size in enumerate(sizes)]
    spec = SymbolSpec("ABCUSDT", "ABC", "USDT", Decimal("0.01"), Decimal("0.01"))
    bids = [(round(price, 2), size) for price, size in bids]
    book = BookView(bids, [(100.02, 1.0)])
    answer = l1(book, spec, level_history=lambda side, price: (AT_MS - 12_345, 0.5))
    assert answer.ask_walls is None
    (wall,) = answer.bid_walls or []
    assert (wall.price, wall.size_base, wall.share, wall.z) == ("99.56", 40.0, 0.627, 5.54)
    assert (wall.age_s, wall.persistent, wall.traded_base) == (12.3, True, 0.5)
    (bare,) = json.loads(l1(book, spec).model_dump_json())["bid_walls"]
    assert set(bare) == {"price", "size_base", "notional_quote", "distance_bps", "z", "share"}


def walled(side: str, wall: TickSide) -> BookView:
    """Thirty levels a side, 2 bps apart, and more of them at a place 18 to 20 bps from mid."""
    bids = [(round(100.0 - i * 0.02, 2), 1.0 + i % 3) for i in range(30)]
    asks = [(round(100.02 + i * 0.02, 2), 1.0 + i % 3) for i in range(30)]
    levels = bids if side == "bid" else asks
    levels[9:10] = [(tick / 100, size) for tick, size in wall]
    return BookView(bids, asks)


def test_the_summary_names_the_largest_wall_once() -> None:
    """A third of a side in one place is what a desk would ask for first."""
    below = l1(walled("bid", [(9_982, 30_000.0)]))
    assert "; bid wall 2,990,000 USDT at 99.82, 19 bps below; the known book" in below.summary
    above = l1(walled("ask", [(10_020, 500.0)]))
    assert "; ask wall 50,100 USDT at 100.20, 19 bps above; " in above.summary
    both = BookView(walled("bid", [(9_982, 400.0)]).bids, walled("ask", [(10_020, 500.0)]).asks)
    assert l1(both).summary.count("wall") == 1
    assert "ask wall" in l1(both).summary
    assert "wall" not in l1(walled("bid", [(9_982, 1.0)])).summary


def test_a_wall_of_a_group_gives_the_group_and_its_largest_level() -> None:
    """Age and trades are of one level, and 6.9 do not stand at its price."""
    fine = SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.001"))
    bids = [(60_000.0 - 6 * i, 0.2 + i % 3 / 10) for i in range(30)]
    bids[9:10] = [(59_945.5, 2.0), (59_945.2, 2.095), (59_944.9, 1.5)]
    answer = l1(BookView(bids, [(60_000.01, 1.0)]), fine, level_history=lambda side, price: (AT_MS - 9_000, 0.25))
    (wall,) = json.loads(answer.model_dump_json())["bid_walls"]
    assert (wall["price"], wall["level_size_base"], wall["size_base"]) == ("59945.20", 2.095, 5.895)
    assert (wall["low"], wall["high"], wall["age_s"], wall["traded_base"]) == ("59940.00", "59945.50", 9.0, 0.25)
    assert "; bid wall 353,000 USDT at 59,940.00 to 59,945.50, 9.13 bps below; " in answer.summary


def test_an_answer_stays_short_and_a_wall_adds_little() -> None:
    """A model pays for every character."""
    fine = SymbolSpec("ETHUSDT", "ETH", "USDT", Decimal("0.01"), Decimal("0.0001"))
    bids = [(round(3389.00 - 0.12 * i, 2), 30.1234 + 10 * (i % 7)) for i in range(300)]
    asks = [(round(3389.01 + 0.12 * i, 2), 30.1234 + 10 * (i % 7)) for i in range(300)]
    wall = [(bids[50][0], 878.1234), (round(bids[50][0] - 0.01, 2), 20.1234)]

    def length(bids: list[tuple[float, float]]) -> tuple[int, L1Answer]:
        book = BookView(bids, asks, bid_horizon=3300.0, ask_horizon=3500.0)
        answer = l1(book, fine, level_history=lambda side, price: (AT_MS - 912_345, 1234.5))
        return len(answer.model_dump_json()), answer

    without, plain = length(bids)
    walled_length, answer = length([*bids[:50], *wall, *bids[51:]])
    assert (plain.bid_walls, len(answer.bid_walls or ())) == ([], 1)
    assert without < 2_500
    assert walled_length - without < 350


def test_nothing_beyond_the_horizon_is_counted_as_known() -> None:
    """A walk stops at the horizon, bands beyond it are lower bounds, and the answer says how far it is sure."""
    book = BookView(BIDS, ASKS, bid_horizon=99.9, ask_horizon=100.2)
    answer = l1(book, TENTH)
    assert answer.slippage[0].levels == 2
    assert answer.slippage[0].insufficient_depth
    assert (answer.bid_horizon_bps, answer.ask_horizon_bps) == (14.99, 14.99)
    assert answer.depth is not None
    assert [band.bid_truncated for band in answer.depth] == [False, False, True, True, True]
    assert answer.price_move[1].buy_lower_bound
    two = l2(book, TENTH, levels=2)
    assert (two.bid_horizon, two.ask_horizon, two.warnings) == ("99.9", "100.2", [])
    assert [text for text in l2(book, TENTH, levels=3).warnings if "beyond the known book" in text]


@pytest.mark.parametrize(
    ("bids", "asks", "words"),
    [
        ([], [], "empty book"),
        (BIDS, [], "no asks: best bid 100.0"),
        ([], ASKS, "no bids: best ask 100.1"),
        ([(100.2, 1.0)], [(100.1, 1.0)], "not valid"),
        ([(100.1, 1.0)], [(100.1, 2.0)], "0 bps (0 ticks)"),
    ],
)
def test_a_book_that_is_not_normal_is_answered_with_nulls_and_a_reason(
    bids: TickSide, asks: TickSide, words: str
) -> None:
    """One side empty, crossed or locked: say so; never invent a middle."""
    answer = l1(BookView(bids, asks), TENTH)
    assert words in answer.summary
    assert answer.warnings
    if words != "0 bps (0 ticks)":
        assert (answer.mid, answer.microprice, answer.microprice_model, answer.depth) == (None, None, None, None)
    else:
        assert (answer.spread, answer.spread_bps, answer.mid, answer.microprice) == ("0", 0.0, "100.1", 100.1)


def test_l2_gives_the_asked_levels_best_first() -> None:
    """Pairs of exact strings, no more than asked for."""
    answer = l2(BOOK, TENTH, levels=2)
    assert answer.bids == [("100.0", "4.000"), ("99.9", "6.000")]
    assert answer.asks == [("100.1", "1.000"), ("100.2", "3.000")]
    assert (answer.tick_size, answer.step_size) == ("0.1", "0.001")
    assert answer.summary == (
        "ABCUSDT 100.0 / 100.1, spread 10 bps (1 tick); 2 bid levels hold 10 ABC, 2 ask levels 4 ABC."
    )
    assert l2(BOOK, TENTH, levels=1).summary.endswith("; 1 bid level holds 4 ABC, 1 ask level 1 ABC.")


def test_every_field_says_what_it_means() -> None:
    """The schema is the only manual an assistant has."""
    for model in (L1Answer, L2Answer):
        schema = model.model_json_schema(mode="serialization")
        for owner in (schema, *schema["$defs"].values()) if "$defs" in schema else (schema,):
            for name, field in owner["properties"].items():
                assert field.get("description"), f"{owner['title']}.{name}"


@settings(deadline=None)
@given(tick_books())
def test_every_book_gives_a_valid_answer_that_orders_bid_mid_ask(sides: tuple[TickSide, TickSide]) -> None:
    """Whatever comes off the wire, an answer is JSON without NaN, and mid and microprice lie inside the touch."""
    book = view(*sides)
    answer = l1(book)
    json.loads(answer.model_dump_json(), parse_constant=pytest.fail)
    if answer.mid is not None:
        assert answer.best_bid is not None
        assert answer.best_ask is not None
        assert answer.microprice is not None
        assert Decimal(answer.best_bid) <= Decimal(answer.mid) <= Decimal(answer.best_ask)
        assert float(answer.best_bid) <= answer.microprice <= float(answer.best_ask)
    deep = l2(book, levels=1000)
    assert [(float(p), float(q)) for p, q in deep.bids] == list(book.bids)
    assert [(float(p), float(q)) for p, q in deep.asks] == list(book.asks)
