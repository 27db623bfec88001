"""The matching model, without sockets: what must hold for every seed, however its time is stepped."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.sim.catalog import PROFILES, profile_of
from vibe_orderbook_mcp.sim.ledger import ASK, BID
from vibe_orderbook_mcp.sim.matching import LevelFill, MatchingBook
from vibe_orderbook_mcp.sim.model import Ids, MarketModel
from vibe_orderbook_mcp.sim.scenarios import scenario_of
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, DepthEvent, Event, TradeFill

START_MS = 1_700_000_000_000
IDS = Ids(1000, 500, 900)
SMALL = ("币安人生USDT", "XRPUSDT", "APTUSDT")


def model(symbol: str = "APTUSDT", seed: int = 7, scenario: str = "busy") -> MarketModel:
    return MarketModel(profile_of(symbol), seed=seed, start_ms=START_MS, ids=IDS, scenario=scenario_of(scenario))


def play(market: MarketModel, millis: int, steps: Iterable[int] = ()) -> list[Event]:
    out, now, end = [], market.time_ms, market.time_ms + millis
    for step in steps:
        now = min(now + step, end)
        out += market.advance(now)
    return out + market.advance(end)


@given(symbol=st.sampled_from(SMALL), seed=st.integers(0, 2**32), steps=st.lists(st.integers(1, 700), max_size=30))
@settings(max_examples=15, deadline=None)
def test_replaying_the_events_onto_the_opening_book_gives_the_true_book(
    symbol: str, seed: int, steps: list[int]
) -> None:
    """A client that misses nothing must end where the exchange is, with contiguous ids and without a crossed book."""
    market = model(symbol, seed)
    text = market.text
    opening = market.book.ledger.sides
    sides = (dict(text(list(opening[BID].items()))), dict(text(list(opening[ASK].items()))))
    last_id, last_ms = IDS.update, START_MS
    ends: list[tuple[int, int]] = []
    for event in play(market, 4000, steps):
        if not isinstance(event, DepthEvent):
            continue
        assert event.first_id == last_id + 1
        assert event.final_id >= event.first_id
        assert event.event_ms > last_ms
        assert event.bids or event.asks
        last_id, last_ms = event.final_id, event.event_ms
        ends.append((last_ms, last_id))
        for side, levels in zip(sides, (event.bids, event.asks), strict=True):
            for price, size in levels:
                side[price] = size
                if Decimal(size) == 0:
                    del side[price]
        assert max(map(Decimal, sides[BID])) < min(map(Decimal, sides[ASK]))
    assert list(market.book.ledger.boundaries) == ends
    truth = market.book.ledger.at(last_id)
    assert truth is not None
    assert sides == (dict(text(list(truth[BID].items()))), dict(text(list(truth[ASK].items()))))


@given(seed=st.integers(0, 2**32), steps=st.lists(st.integers(1, 900), min_size=1, max_size=40))
@settings(max_examples=15, deadline=None)
def test_the_same_seed_gives_the_same_stream_however_time_is_stepped(seed: int, steps: list[int]) -> None:
    """Otherwise a test that steps by hand and a demo on the clock would see different markets."""
    assert play(model(seed=seed), 3000) == play(model(seed=seed), 3000, steps)


def test_another_seed_gives_another_stream() -> None:
    assert play(model(seed=1), 2000) != play(model(seed=2), 2000)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_trades_take_exactly_what_they_say_from_the_levels(seed: int) -> None:
    """Between two changes made by makers a level can shrink by cancels only; so trades are checked order by order."""
    market = model("BTCUSDT", seed, "busy")
    taken: list[tuple[int, int, int, int]] = []
    book, take = market.book, market.book.take

    def watched(side: int, lots: int, limit: int) -> list[LevelFill]:
        before, orders = dict(book.ledger.sides[side]), sum(book.ledger.sides[side].values())
        fills = take(side, lots, limit)
        for fill in fills:
            taken.append((side, fill.price, sum(fill.sizes), len(fill.sizes)))
            assert book.ledger.sides[side].get(fill.price, 0) == before[fill.price] - sum(fill.sizes)
        assert sum(book.ledger.sides[side].values()) == orders - sum(sum(fill.sizes) for fill in fills)
        return fills

    book.take = watched  # type: ignore[method-assign]  # watched, not replaced
    events = play(market, 2000)
    units = market.rules
    published = [
        (
            BID if event.buyer_is_maker else ASK,
            units.price.units(event.price),
            units.size.units(event.size),
            event.last_trade_id - event.first_trade_id + 1,
        )
        for event in events
        if isinstance(event, AggTrade)
    ]
    assert published == taken


@given(seed=st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_trade_ids_are_consecutive_and_a_trade_is_no_later_than_the_event_that_shows_it(seed: int) -> None:
    agg_id, trade_id, unshown = IDS.agg, IDS.trade, list[int]()
    fills: dict[int, Decimal] = {}
    for event in play(model("BTCUSDT", seed, "busy"), 3000):
        if isinstance(event, TradeFill):
            trade_id += 1
            assert event.trade_id == trade_id
            fills[event.trade_id] = Decimal(event.size)
        elif isinstance(event, AggTrade):
            agg_id += 1
            assert event.agg_id == agg_id
            assert event.last_trade_id == trade_id
            mine = range(event.first_trade_id, event.last_trade_id + 1)
            assert Decimal(event.size) == sum(fills.pop(each) for each in mine)
            unshown.append(event.time_ms)
        elif isinstance(event, DepthEvent):
            assert all(time_ms + 1 <= event.event_ms for time_ms in unshown)
            assert all(time_ms >= event.event_ms - 100 for time_ms in unshown)
            unshown.clear()
    assert not fills


def test_book_tickers_are_the_true_best_prices_at_their_update_id() -> None:
    market = model()
    market.watch_touch = True
    seen = 0
    for event in play(market, 3000):
        if isinstance(event, BookTicker):
            sides = market.book.ledger.at(event.update_id)
            assert sides is not None
            bid, ask = max(sides[BID]), min(sides[ASK])
            assert market.text([(bid, sides[BID][bid]), (ask, sides[ASK][ask])]) == [
                (event.bid, event.bid_size),
                (event.ask, event.ask_size),
            ]
            seen += 1
    assert seen > 20


def test_the_majors_are_as_lively_as_the_recorded_market() -> None:
    """Ten events a second of some 46 levels and more ids than that, 17 aggregate trades and 30 fills a second."""
    market = model("BTCUSDT", 3, "normal")
    assert min(len(side) for side in market.book.ledger.sides) > 5000
    events = play(market, 60_000)
    depth = [event for event in events if isinstance(event, DepthEvent)]
    rows = sum(len(event.bids) + len(event.asks) for event in depth) / len(depth)
    ids = sum(event.final_id - event.first_id + 1 for event in depth) / len(depth)
    aggs, fills = (sum(isinstance(event, kind) for event in events) / 60 for kind in (AggTrade, TradeFill))
    assert len(depth) == 600
    assert 35 < rows < 65
    assert rows < ids
    assert 8 < aggs < 30
    assert 15 < fills < 60
    assert min(len(side) for side in market.book.ledger.sides) > 5000


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("low", "high"), [(650, 730), (656, 736), (2, 2000)])
def test_a_book_that_was_torn_open_closes_around_the_fair_price(seed: int, low: int, high: int) -> None:
    """Makers were once trapped here: they closed the gap beyond the fair price and stepped back, for ever."""
    market = model("APTUSDT", seed, "normal")
    book = market.book
    for order, (_, price) in list(book.orders.items()):
        if low < price < high:
            book.cancel(order)
    play(market, 20_000)
    top = book.top()
    assert top is not None
    assert top[2] - top[0] <= 3
    assert abs((top[0] + top[2]) / 2 - market.fair) < 3


def test_the_slow_symbol_changes_every_few_seconds() -> None:
    events = [e for e in play(model("WANUSDT", 3, "normal"), 120_000) if isinstance(e, DepthEvent)]
    assert 10 < len(events) < 80


@pytest.mark.parametrize("symbol", PROFILES)
def test_every_symbol_can_be_represented_exactly_and_quotes_a_tight_two_sided_book(symbol: str) -> None:
    """A symbol whose numbers do not fit a double is refused by the server: the sim must not offer one by accident."""
    market = model(symbol, 5, "normal")
    play(market, 2000)
    rules, top = market.rules, market.book.top()
    SymbolSpec(
        symbol=symbol,
        base_asset=rules.base,
        quote_asset=rules.quote,
        tick_size=Decimal(rules.price.text(1)),
        step_size=Decimal(rules.size.text(1)),
        max_price=Decimal(rules.max_price),
        max_size=Decimal(rules.max_size),
    ).check_exact()
    assert top is not None
    assert (top[2] - top[0]) / top[0] < 0.01
    assert Decimal(rules.price.text(top[2])) < Decimal(rules.max_price)


def test_an_order_is_filled_after_those_that_came_before_it_at_its_price() -> None:
    book = MatchingBook(0)
    first, second = book.place(ASK, 10, 5), book.place(ASK, 10, 7)
    book.place(ASK, 11, 9)
    assert [(fill.price, fill.sizes) for fill in book.take(ASK, 6, 10)] == [(10, [5, 1])]
    assert first not in book.orders
    assert second in book.orders
    assert [(fill.price, fill.sizes) for fill in book.take(ASK, 8, 11)] == [(10, [6]), (11, [2])]
    assert book.ledger.sides[ASK] == {11: 7}
    assert book.ledger.last_id == 5


def test_a_sweep_and_a_cancel_replace_touch_two_levels_under_one_id() -> None:
    book = MatchingBook(100)
    order = book.place(BID, 10, 5)
    assert book.replace(order, 9, 4) is not None
    assert book.ledger.last_id == 102
    assert book.ledger.touched == ({10, 9}, set())
    assert book.replace(order, 8, 4) is None
    assert not book.cancel(order)
    assert book.ledger.last_id == 102


def test_a_passive_order_may_not_cross() -> None:
    book = MatchingBook(0)
    book.place(ASK, 10, 5)
    with pytest.raises(ValueError, match="cross"):
        book.place(BID, 10, 1)
