"""Scenarios, seen from outside: what a client in plain dicts finds must be what the truth says happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sim.clients import Listener, run
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.sim import SimConfig, SimExchange, wire
from vibe_orderbook_mcp.sim.driver import START_MS, Drive, model_of
from vibe_orderbook_mcp.sim.episode import Truth
from vibe_orderbook_mcp.sim.ledger import ASK, BID
from vibe_orderbook_mcp.sim.matching import MatchingBook
from vibe_orderbook_mcp.sim.scenarios import NAMES, REQUESTS, parse_requests, request_of, scenario_of
from vibe_orderbook_mcp.sim.stage import USUAL, Mood

Levels = list[tuple[float, float]]


class Frame(NamedTuple):
    symbol: str
    event_ms: int
    first_id: int
    final_id: int
    bids: Levels
    asks: Levels


class Hit(NamedTuple):
    agg_id: int
    time_ms: int
    price: float
    size: float
    first_id: int
    last_id: int
    seller_took: bool

    @property
    def fills(self) -> int:
        return self.last_id - self.first_id + 1


class Moment(NamedTuple):
    """The book after a frame."""

    event_ms: int
    bid: float | None
    ask: float | None

    @property
    def mid(self) -> float:
        assert self.bid is not None
        assert self.ask is not None
        return (self.bid + self.ask) / 2


class Client:
    """Follows one symbol by the published procedure, with one list entry for everything it sees."""

    def __init__(self, symbol: str, seed: int = 3, pace: str = "quiet") -> None:
        self.drive = Drive(model_of(symbol, seed=seed, scenario=pace), Frame, Hit)
        self.frames: list[Frame] = []
        self.hits: list[Hit] = []
        self.moments: list[Moment] = []
        self.gaps: list[Frame] = []
        self.last_id = 0
        self.sides: dict[str, dict[float, float]] = {}
        self._load()

    def follow(
        self, seconds: float, look: Callable[[Frame, dict[str, dict[float, float]]], None] | None = None
    ) -> None:
        """Look after each frame. A gap is healed by a snapshot, as a client would."""
        for event in self.drive.until(self.drive.now_ms + round(seconds * 1000)):
            if isinstance(event, Hit):
                self.hits.append(event)
                continue
            if event.final_id <= self.last_id:
                continue
            if event.first_id > self.last_id + 1:
                self.gaps.append(event)
                self._load()
                continue
            for side, levels in (("bid", event.bids), ("ask", event.asks)):
                for price, size in levels:
                    self.sides[side][price] = size
                    if size == 0:
                        del self.sides[side][price]
            self.last_id = event.final_id
            self.frames.append(event)
            bid, ask = max(self.sides["bid"], default=None), min(self.sides["ask"], default=None)
            assert bid is None or ask is None or bid < ask
            self.moments.append(Moment(event.event_ms, bid, ask))
            if look is not None:
                look(event, self.sides)

    def play(self, name: str, after: float = 20.0, rest: float = 5.0, **fields: Any) -> Truth:
        """A scenario after some normal market, followed to a while after its end."""
        self.follow(after)
        truth = self.drive.scenario(name, **fields)
        self.follow(REQUESTS[name](symbol="X", **fields).seconds + rest)
        assert truth.state in ("over", "leaving")
        assert truth.start_ms is not None
        assert truth.end_ms is not None
        return truth

    def ids(self, start_ms: int, end_ms: int) -> float:
        """Updates a second of frames that lie between."""
        inside = [each for each in self.frames if start_ms <= each.event_ms - 100 and each.event_ms <= end_ms]
        return 1000 * sum(each.final_id - each.first_id + 1 for each in inside) / (end_ms - start_ms)

    def traded(self, truth: Truth) -> list[Hit]:
        assert truth.start_ms is not None
        assert truth.end_ms is not None
        return [each for each in self.hits if truth.start_ms <= each.time_ms <= truth.end_ms]

    def depth(self, side: str, bps: float = 50.0) -> float:
        mid = self.moments[-1].mid
        near = [size for price, size in self.sides[side].items() if abs(price / mid - 1) <= bps / 1e4]
        return sum(near)

    def matches_truth(self) -> bool:
        ledger, rules = self.drive.model.book.ledger, self.drive.rules
        truth = ledger.at(self.last_id)
        assert truth is not None
        return [self.sides["bid"], self.sides["ask"]] == [
            {price / 10**rules.price.exp: lots / 10**rules.size.exp for price, lots in side.items()} for side in truth
        ]

    def _load(self) -> None:
        def take(last_id: int, bids: Levels, asks: Levels) -> None:
            self.last_id, self.sides = last_id, {"bid": dict(bids), "ask": dict(asks)}

        self.drive.snapshot(take, limit=100_000)


@pytest.mark.parametrize(("symbol", "side"), [("BTCUSDT", "buy"), ("ADAUSDT", "sell")])
def test_one_sided_flow_is_several_times_the_volume_of_the_other_direction(symbol: str, side: str) -> None:
    client = Client(symbol)
    truth = client.play("one_sided_flow", side=side)
    bought = sum(each.size for each in client.traded(truth) if not each.seller_took)
    sold = sum(each.size for each in client.traded(truth) if each.seller_took)
    assert len(client.traded(truth)) >= 20
    more, less = (bought, sold) if side == "buy" else (sold, bought)
    assert 3 * less <= more <= 12 * less
    assert (bought, sold) == pytest.approx((truth.numbers["buy_base"], truth.numbers["sell_base"]))


@pytest.mark.parametrize(("symbol", "pace"), [("BTCUSDT", "quiet"), ("ADAUSDT", "quiet"), ("APTUSDT", "normal")])
def test_an_update_burst_is_many_updates_few_trades_and_a_mid_that_stands(symbol: str, pace: str) -> None:
    client = Client(symbol, pace=pace)
    truth = client.play("update_burst")
    assert truth.start_ms is not None
    assert truth.end_ms is not None
    usual = client.ids(START_MS, truth.start_ms)
    for second in range(truth.start_ms, truth.end_ms - 1000, 1000):
        assert client.ids(second, second + 1000) > 15 * usual * 0.9  # of the frames that lie wholly inside
    assert client.ids(truth.start_ms, truth.end_ms) > 15 * usual
    assert sum(each.fills for each in client.traded(truth)) <= 10
    standing = [each.mid for each in client.moments if truth.start_ms + 100 <= each.event_ms < truth.end_ms]
    assert len(set(standing)) == 1
    assert standing[0] == pytest.approx(truth.numbers["mid_before"]) == truth.numbers["mid_after"]


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_news_is_as_many_updates_with_as_many_trades_and_a_price_that_runs(side: str) -> None:
    """What sets it apart from stuffing are its trades and its price."""
    client = Client("BTCUSDT")
    client.follow(60)
    resting = len(client.drive.model.book.orders)
    truth = client.play("news_burst", after=0, side=side)
    assert len(client.drive.model.book.orders) < 1.05 * resting  # who quotes in a hurry leaves in a hurry
    assert truth.start_ms is not None
    assert truth.end_ms is not None
    usual_ids = client.ids(START_MS, truth.start_ms)
    usual_fills = sum(each.fills for each in client.hits if each.time_ms < truth.start_ms) / 60
    assert client.ids(truth.start_ms, truth.end_ms) > 15 * usual_ids
    assert sum(each.fills for each in client.traded(truth)) / 10 > 10 * usual_fills
    moved = 1e4 * (truth.numbers["mid_after"] / truth.numbers["mid_before"] - 1)
    assert 20 < (moved if side == "buy" else -moved) < 45
    later = next(each.mid for each in client.moments if each.event_ms > truth.end_ms)
    assert later == pytest.approx(truth.numbers["mid_after"], rel=1e-4)


def test_news_moves_the_price_of_a_coarse_grid_in_nearly_every_second() -> None:
    """Otherwise single seconds of it are many updates with a mid that stands: stuffing, for all that rows can tell."""
    client = Client("ADAUSDT")
    truth = client.play("news_burst")
    assert truth.start_ms is not None
    mids = [
        max((each for each in client.moments if each.event_ms <= end), key=lambda each: each.event_ms).mid
        for end in range(truth.start_ms, truth.start_ms + 10_001, 1000)
    ]
    moved = [round(10**client.drive.rules.price.exp * abs(right - left), 1) for left, right in pairwise(mids)]
    assert sum(each > 2 for each in moved) >= 8


@pytest.mark.parametrize(("symbol", "side"), [("BTCUSDT", "bid"), ("ADAUSDT", "ask"), ("APTUSDT", "bid")])
def test_an_iceberg_never_shows_more_than_its_tranche_and_trades_what_it_hid(symbol: str, side: str) -> None:
    client = Client(symbol)
    client.follow(20)
    truth = client.drive.scenario("iceberg", side=side)
    client.follow(0.1)
    price, tranche = truth.price, truth.numbers["tranche"]
    assert price is not None
    shown: list[float] = []

    def look(frame: Frame, sides: dict[str, dict[float, float]]) -> None:
        if truth.state == "running":
            shown.append(sides[side].get(price, 0.0))

    client.follow(35, look)
    assert max(shown) == tranche
    executed = sum(each.size for each in client.traded(truth) if each.price == price)
    assert executed == pytest.approx(truth.numbers["executed"])
    assert truth.numbers["executed"] > 0.9 * truth.numbers["total"]
    assert truth.numbers["total"] == pytest.approx(25 * tranche)
    refills = [after - before for before, after in pairwise(shown) if after > before]
    assert len(refills) >= 10
    assert {each.seller_took for each in client.traded(truth) if each.price == price} == {side == "bid"}
    assert client.matches_truth()


@pytest.mark.parametrize(("symbol", "side"), [("BTCUSDT", "ask"), ("ADAUSDT", "bid")])
def test_walls_come_near_stand_some_seconds_and_go_untraded(symbol: str, side: str) -> None:
    client = Client(symbol)
    seen: dict[float, list[int]] = {}
    client.follow(20)
    truth = client.drive.scenario("wall", side=side)
    usual = client.depth(side, 100.0)

    def look(frame: Frame, sides: dict[str, dict[float, float]]) -> None:
        mid = client.moments[-1].mid
        for each in truth.orders:
            if sides[side].get(each.price, 0.0) >= each.size and abs(each.price / mid - 1) <= 50 / 1e4:
                seen.setdefault(each.price, []).append(frame.event_ms)

    client.follow(61, look)
    assert truth.state == "over"
    assert len(truth.orders) >= 4
    for each in truth.orders:
        assert 3000 <= each.end_ms - each.start_ms <= 8001
        assert each.traded == 0
        assert each.size > 0.3 * usual
        assert not [hit for hit in client.traded(truth) if hit.price == each.price]
        times = [when for when in seen[each.price] if each.start_ms <= when <= each.end_ms + 100]
        assert times[0] - each.start_ms <= 300
        assert each.end_ms - times[-1] <= 300
        assert client.sides[side].get(each.price, 0.0) < each.size


@pytest.mark.parametrize(("symbol", "side"), [("BTCUSDT", "bid"), ("ADAUSDT", "ask")])
def test_a_drain_takes_the_depth_opens_the_spread_and_ends(symbol: str, side: str) -> None:
    client = Client(symbol)
    client.follow(20)
    before = client.depth(side)
    truth = client.drive.scenario("drain", side=side)
    client.follow(15)
    top, mid = client.moments[-1], client.moments[-1].mid
    assert top.bid is not None
    assert top.ask is not None
    tick = 10.0**-client.drive.rules.price.exp
    assert client.depth(side) < 0.2 * before
    assert client.depth("ask" if side == "bid" else "bid") > 0.5 * before
    assert top.ask - top.bid > 10 * max(tick, mid * 0.5 / 1e4)
    assert truth.numbers["depth_after"] < 0.2 * truth.numbers["depth_before"]
    client.follow(90)
    assert truth.state == "over"
    top = client.moments[-1]
    assert top.bid is not None
    assert top.ask is not None
    assert client.depth(side) > 0.5 * before
    assert top.ask - top.bid < 3 * max(tick, mid * 0.5 / 1e4)
    assert client.matches_truth()


@pytest.mark.parametrize(("symbol", "side"), [("APTUSDT", "bid"), ("ADAUSDT", "ask")])
def test_one_side_of_the_book_empties_and_fills_again(symbol: str, side: str) -> None:
    client = Client(symbol)
    client.follow(20)
    levels, other = len(client.sides[side]), "ask" if side == "bid" else "bid"
    truth = client.drive.scenario("empty_side", side=side)
    client.follow(1.5)
    for _ in range(8):
        assert not client.sides[side]
        assert len(client.sides[other]) > 50
        assert truth.state == "running"
        client.follow(1)
    assert not [each for each in client.hits if each.time_ms >= truth.numbers["empty_ms"]]
    client.follow(90)
    assert truth.state == "over"
    assert len(client.sides[side]) > 0.8 * levels
    assert client.matches_truth()


def test_a_frozen_feed_says_nothing_while_its_market_goes_on() -> None:
    client, other = Client("ADAUSDT"), Client("ADAUSDT")
    truth = client.play("frozen_feed", seconds=8)
    other.follow(33)
    assert truth.start_ms is not None
    assert truth.end_ms == truth.start_ms + 8000
    window = range(truth.start_ms, truth.end_ms)
    lost = [each for each in other.frames if each.event_ms in window]
    assert not [each for each in (*client.frames,) if each.event_ms in window]
    assert not [each for each in client.hits if each.time_ms in window]
    assert truth.numbers["lost_depth"] == len(lost) > 60
    assert truth.numbers["lost_trades"] == len([each for each in other.hits if each.time_ms in window])
    assert len(client.gaps) == 1
    assert client.sides == other.sides  # the market did not notice


def test_a_resync_loses_a_few_frames_and_no_trade() -> None:
    client, other = Client("BTCUSDT", pace="normal"), Client("BTCUSDT", pace="normal")
    truth = client.play("resync", after=2, frames=10)
    other.follow(12)
    assert truth.numbers["lost_depth"] == 10
    assert client.hits == other.hits
    assert len(client.gaps) == 1
    # The frame that showed the gap, and one that may be in the snapshot already.
    assert 10 + 1 <= len(other.frames) - len(client.frames) <= 10 + 2
    assert client.sides == other.sides


# The same through the product's own rows


def rows_of(name: str, symbol: str = "BTCUSDT", **fields: Any) -> tuple[list[SecondRow], Truth, Market]:
    play = Drive(model_of(symbol, seed=5, scenario="quiet"), DepthUpdate, Trade)
    rules, market, rows = play.rules, Market(), list[SecondRow]()
    spec = SymbolSpec(
        symbol=symbol,
        base_asset=rules.base,
        quote_asset=rules.quote,
        tick_size=Decimal(rules.price.text(1)),
        step_size=Decimal(rules.size.text(1)),
    )
    state = market.add(spec)
    truth = play.scenario(name, after=20, **fields)
    for event in play.until(START_MS + 60_000):
        if state.book is None:
            market.load(symbol, play.snapshot(DepthSnapshot), 5000, play.now_ms * 1_000_000)
            market.confirm(symbol)
        if isinstance(event, DepthUpdate):
            market.receive_depth(event, event.event_ms * 1_000_000)
        else:
            market.receive_trade(symbol, event)
        rows += [each.record.row for each in state.take().seconds]
    return rows, truth, market


def seconds(rows: Iterable[SecondRow], start_ms: int, end_ms: int) -> list[SecondRow]:
    return [row for row in rows if start_ms <= row.second * 1000 and (row.second + 1) * 1000 <= end_ms]


def test_the_rows_of_a_burst_meet_what_a_detector_of_bursts_looks_for() -> None:
    rows, truth, _ = rows_of("update_burst")
    assert truth.start_ms is not None
    assert truth.end_ms is not None
    usual = sorted(row.ids for row in seconds(rows, START_MS + 1000, truth.start_ms))
    burst = seconds(rows, truth.start_ms + 100, truth.end_ms - 100)
    assert len(burst) >= 8
    assert min(row.ids for row in burst) >= 15 * usual[len(usual) // 2]
    assert max(row.buy_trades + row.sell_trades for row in burst) <= 2
    assert len({row.mid for row in burst}) == 1


def test_the_rows_of_a_drain_meet_what_a_detector_of_crashes_looks_for() -> None:
    rows, truth, _ = rows_of("drain", side="ask")
    before = seconds(rows, START_MS + 1000, truth.planned_ms)[-1]
    drained = seconds(rows, int(truth.numbers["drained_ms"]), int(truth.numbers["drained_ms"]) + 5000)
    assert len(drained) >= 3
    for row in drained[:2]:
        five = [each for each in rows if row.second - 5 < each.second <= row.second]
        cancelled, added = sum(each.ask.cancelled for each in five), sum(each.ask.added for each in five)
        assert row.ask_band_quote[3] < 0.2 * before.ask_band_quote[3]
        assert row.spread_mean is not None
        assert row.mid is not None
        assert row.spread_mean / row.mid > 10 * 0.5 / 1e4
        assert cancelled > 0.9 * (cancelled + added)


@pytest.mark.parametrize(("symbol", "side"), [("BTCUSDT", "buy"), ("ADAUSDT", "sell")])
def test_a_sweep_is_one_order_through_many_prices_and_the_price_stays(symbol: str, side: str) -> None:
    client = Client(symbol)
    truth = client.play("sweep", side=side)
    swept = [each for each in client.traded(truth) if each.time_ms == int(truth.numbers["swept_ms"])]
    assert len({each.price for each in swept}) == len(swept) == truth.numbers["prices"] >= 12
    assert {each.seller_took for each in swept} == {side == "sell"}
    assert sum(each.size for each in swept) == pytest.approx(truth.numbers["swept_base"])
    moved = 1e4 * (truth.numbers["mid_after"] / truth.numbers["mid_before"] - 1)
    assert 40 < (moved if side == "buy" else -moved) < 80


@pytest.mark.parametrize(("symbol", "side"), [("BTCUSDT", "sell"), ("ADAUSDT", "buy")])
def test_a_squeeze_runs_and_the_book_fills_behind_it(symbol: str, side: str) -> None:
    client = Client(symbol)
    truth = client.play("squeeze", side=side)
    assert truth.numbers["orders"] >= 30
    moved = 1e4 * (truth.numbers["mid_after"] / truth.numbers["mid_before"] - 1)
    assert 150 < (moved if side == "buy" else -moved) < 500
    more, less = ("buy_base", "sell_base") if side == "buy" else ("sell_base", "buy_base")
    assert truth.numbers[more] > 20 * truth.numbers[less]


@pytest.mark.parametrize(("symbol", "side"), [("BTCUSDT", "ask"), ("ADAUSDT", "bid")])
def test_a_withdrawal_leaves_the_touch_and_little_behind_it(symbol: str, side: str) -> None:
    client = Client(symbol)
    client.follow(20)
    before, mid = client.depth(side), client.moments[-1].mid
    truth = client.drive.scenario("withdrawal", side=side)
    client.follow(5)
    assert client.depth(side) < 0.15 * before
    assert client.moments[-1].mid == pytest.approx(mid, rel=1e-5)
    assert truth.numbers["touch"] == (client.moments[-1].bid if side == "bid" else client.moments[-1].ask)
    client.follow(60)
    assert client.depth(side) > 0.5 * before


def test_the_market_finds_the_resync_and_the_empty_side() -> None:
    rows, truth, market = rows_of("resync", "ADAUSDT")
    flagged = [row for row in rows if row.flags & RowFlag.GAP]
    assert market.symbols["ADAUSDT"].counts.gaps == 1
    assert len(flagged) == 1
    assert truth.start_ms is not None
    assert 0 <= flagged[0].second * 1000 + 1000 - truth.start_ms < 2000
    rows, truth, market = rows_of("empty_side", "ADAUSDT")
    one_sided = [row for row in rows if row.flags & RowFlag.ONE_SIDED]
    assert 8 <= len(one_sided) <= 10
    assert {row.best_bid for row in one_sided} == {None}
    assert market.symbols["ADAUSDT"].counts.gaps == market.symbols["ADAUSDT"].counts.crossings == 0


# What must hold whatever is played


@given(
    name=st.sampled_from(sorted(REQUESTS)),
    symbol=st.sampled_from(("APTUSDT", "XRPUSDT", "币安人生USDT")),
    seed=st.integers(0, 2**32),
    after=st.sampled_from((0.0, 0.7, 2.0)),
    length=st.integers(1, 6),
    mirrored=st.booleans(),
    steps=st.lists(st.integers(1, 900), max_size=20),
)
@settings(max_examples=40, deadline=None)
def test_the_stream_stays_whole_and_the_same_however_time_is_stepped(
    name: str, symbol: str, seed: int, after: float, length: int, mirrored: bool, steps: list[int]
) -> None:
    fields: dict[str, Any] = {"after": after, "seconds": length}
    if mirrored and "side" in REQUESTS[name].__struct_fields__:
        fields["side"] = "sell" if name in ("one_sided_flow", "news_burst", "sweep", "squeeze") else "ask"
    one, two = model_of(symbol, seed=seed), model_of(symbol, seed=seed)
    first, second = (each.scenario(request_of(name, symbol, **fields)) for each in (one, two))
    end_ms, now_ms = START_MS + 9000, START_MS
    text = one.text
    sides = [dict(text(list(each.items()))) for each in one.book.ledger.sides]
    last_id, fills = one.book.ledger.last_id, one.trade_id
    events = one.advance(end_ms)
    stepped = []
    for step in steps:
        now_ms = min(end_ms, now_ms + step)
        stepped += two.advance(now_ms)
    assert events == stepped + two.advance(end_ms)
    assert first == second
    for event in events:
        if isinstance(event, wire.TradeFill):
            fills += 1
            assert event.trade_id == fills
            assert Decimal(event.size) > 0
        if not isinstance(event, wire.DepthEvent):
            continue
        assert event.first_id == last_id + 1
        last_id = event.final_id
        for levels, changed in zip(sides, (event.bids, event.asks), strict=True):
            for price, size in changed:
                levels[price] = size
                if Decimal(size) == 0:
                    del levels[price]
        if sides[BID] and sides[ASK]:
            assert max(map(Decimal, sides[BID])) < min(map(Decimal, sides[ASK]))
    truth = one.book.ledger.at(last_id)
    assert truth is not None
    assert sides == [dict(text(list(each.items()))) for each in truth]
    book = one.book
    for side, ledger_side in enumerate(book.ledger.sides):
        queues = {price: sum(lots for _, lots in book.orders_at(side, price)) for price in book.prices(side)}
        assert queues == ledger_side
    assert all(book.shown(order) > 0 for order in book.orders)
    assert not [order for order in book._hidden if order not in book.orders]


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_nothing_is_different_before_it_begins(name: str) -> None:
    plain, other = model_of("APTUSDT", seed=9), model_of("APTUSDT", seed=9)
    other.scenario(request_of(name, "APTUSDT", after=5.0))
    assert plain.advance(START_MS + 5000) == other.advance(START_MS + 5000)
    changed = plain.advance(START_MS + 9000) != other.advance(START_MS + 9000)
    assert changed == (name not in ("frozen_feed", "resync"))


def test_the_drive_gives_the_numbers_that_the_text_spells() -> None:
    """An offline run must see the doubles a client of the sockets would."""
    words = [each for each in model_of("ADAUSDT").advance(START_MS + 5000) if not isinstance(each, wire.TradeFill)]
    values = list(Drive(model_of("ADAUSDT"), Frame, Hit).until(START_MS + 5000))
    assert len(words) == len(values)
    for word, value in zip(words, values, strict=True):
        if isinstance(word, wire.DepthEvent):
            assert isinstance(value, Frame)
            assert [(float(price), float(size)) for price, size in word.bids] == value.bids
            assert [(float(price), float(size)) for price, size in word.asks] == value.asks
            assert (word.symbol, word.event_ms, word.first_id, word.final_id) == value[:4]
        else:
            assert isinstance(word, wire.AggTrade)
            assert isinstance(value, Hit)
            assert value[:2] == (word.agg_id, word.time_ms)
            assert value[2:4] == (float(word.price), float(word.size))
            assert value[4:] == (word.first_trade_id, word.last_trade_id, word.buyer_is_maker)


def test_one_at_a_time_changes_a_market_and_it_can_be_stopped() -> None:
    model = model_of("APTUSDT")
    drain = model.scenario(request_of("drain", "APTUSDT", after=10.0))
    with pytest.raises(ConfigError, match="drain is planned in APTUSDT"):
        model.scenario(request_of("wall", "APTUSDT"))
    model.scenario(request_of("wall", "APTUSDT", after=3600.0))
    frozen = model.scenario(request_of("frozen_feed", "APTUSDT", after=12.0))
    model.advance(START_MS + 13_000)
    assert (drain.state, frozen.state) == ("running", "running")
    with pytest.raises(ConfigError, match="drain is going on"):
        model.scenario(request_of("wall", "APTUSDT"))
    assert model.programme.stop(drain.id)
    assert drain.end_ms == START_MS + 13_001
    model.advance(START_MS + 60_000)
    assert drain.state == "over"
    assert not model.programme.stop(drain.id)
    model.scenario(request_of("update_burst", "APTUSDT"))


@pytest.mark.parametrize(("name", "least", "most"), [("iceberg", 1, 1), ("wall", 1, 1), ("update_burst", 12, 42)])
def test_its_own_orders_leave_with_it(name: str, least: int, most: int) -> None:
    model = model_of("ADAUSDT", seed=2)
    truth = model.scenario(request_of(name, "ADAUSDT"))
    model.advance(START_MS + 2500)
    before = set(model.book.orders)
    assert model.programme.stop(truth.id)
    assert least <= len(before - set(model.book.orders)) <= most
    assert not model.book._hidden


def test_what_was_withdrawn_stays_away_when_the_price_has_moved_over_it() -> None:
    model = model_of("ADAUSDT", seed=2)
    truth = model.scenario(request_of("drain", "ADAUSDT"))
    model.advance(START_MS + 10_000)
    model.fair *= 0.99
    model.advance(START_MS + 90_000)
    top = model.book.top()
    assert truth.state == "over"
    assert top is not None
    assert abs((top[0] + top[2]) / 2 - model.fair) < 4


def test_takers_that_stay_away_do_so_at_once() -> None:
    model = model_of("BTCUSDT", scenario="busy")
    model.advance(START_MS + 2000)
    model.set_mood(Mood(takes=0.0), START_MS + 2000)
    assert not [each for each in model.advance(START_MS + 4000) if isinstance(each, wire.AggTrade)]
    model.set_mood(USUAL, START_MS + 4000)
    assert [each for each in model.advance(START_MS + 6000) if isinstance(each, wire.AggTrade)]


def test_a_repeated_one_begins_on_time_on_the_other_side() -> None:
    model = model_of("APTUSDT")
    model.scenario(request_of("iceberg", "APTUSDT", after=10.0, seconds=5, every=60.0))
    model.advance(START_MS + 200_000)
    truths = [each for each in model.programme.truths if each.start_ms is not None]
    assert [each.planned_ms - START_MS for each in truths] == [10_001, 70_001, 130_001, 190_001]
    assert [each.start_ms for each in truths] == [each.planned_ms for each in truths]
    assert [each.side for each in truths] == ["bid", "ask", "bid", "ask"]
    assert len({each.id for each in truths}) == 4


def test_an_iceberg_order_queues_again_behind_the_others_and_is_gone_in_the_end() -> None:
    book = MatchingBook(0)
    hidden = book.place_iceberg(ASK, 10, 3, 8)
    other = book.place(ASK, 10, 4)
    assert book.ledger.sides[ASK] == {10: 7}
    assert [fill.sizes for fill in book.take(ASK, 4, 10)] == [[3, 1]]
    assert book.ledger.sides[ASK] == {10: 6}
    assert book.orders_at(ASK, 10) == [(other, 3), (hidden, 3)]
    assert (book.shown(hidden), book.hidden(hidden)) == (3, 2)
    assert [fill.sizes for fill in book.take(ASK, 9, 10)] == [[3, 3, 2]]
    assert not book.orders
    assert book.ledger.sides[ASK] == {}
    again = book.place_iceberg(BID, 9, 2, 20)
    assert book.cancel(again)
    assert book.hidden(again) == 0
    assert book.ledger.sides[BID] == {}


# Asking for them


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"scenario": "storm", "symbol": "APTUSDT"}', "storm"),
        (b'{"scenario": "drain"}', "symbol"),
        (b'{"scenario": "drain", "symbol": "APTUSDT", "side": "buy"}', "side"),
        (b'{"scenario": "drain", "symbol": "APTUSDT", "speed": 1}', "speed"),
        (b'{"scenario": "drain", "symbol": "APTUSDT", "seconds": 0}', "seconds"),
        (b'{"scenario": "one_sided_flow", "symbol": "APTUSDT", "ratio": 2}', "ratio"),
        (b"drain", "malformed"),
    ],
)
def test_a_wrong_request_is_refused_with_one_sentence(body: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match="This is not a scenario") as caught:
        parse_requests(body)
    assert words in str(caught.value)


def test_names_from_python_are_checked_too() -> None:
    with pytest.raises(ConfigError, match="no scenario 'quiet' to play"):
        request_of("quiet", "APTUSDT")
    with pytest.raises(ConfigError, match="side"):
        request_of("wall", "APTUSDT", side="buy")
    assert [scenario_of(name).pace for name in NAMES] == [1.0, 0.25, 2.5] + [1.0] * len(REQUESTS)


def exchange(**options: Any) -> SimExchange:
    return SimExchange(
        SimConfig(symbols=("APTUSDT", "ADAUSDT"), manual=True, start_ms=START_MS, history_hours=0, **options)
    )


def test_scenarios_are_asked_for_and_listed_over_http_and_seen_by_listeners() -> None:
    async def body() -> None:
        async with (
            exchange() as sim,
            Listener(sim.ws_url, "aptusdt@depth@100ms", "adausdt@depth@100ms") as listener,
            httpx.AsyncClient(base_url=sim.rest_url) as http,
        ):
            wanted = [
                {"scenario": "frozen_feed", "symbol": "APTUSDT", "after": 1, "seconds": 2},
                {"scenario": "empty_side", "symbol": "ADAUSDT", "seconds": 3, "side": "ask"},
            ]
            answer = await http.post("/sim/scenario", content=json.dumps(wanted))
            assert [each["state"] for each in answer.json()["scenarios"]] == ["waiting", "waiting"]
            await sim.step(6000)
            first, second = (await http.get("/sim/scenario")).json()["scenarios"]
            assert (first["symbol"], first["state"], first["numbers"]["lost_depth"]) == ("APTUSDT", "over", 20)
            assert (second["scenario"], second["side"], second["end_ms"]) == ("empty_side", "ask", START_MS + 3001)
            times: dict[str, list[int]] = {"APTUSDT": [], "ADAUSDT": []}
            while min(map(len, times.values())) < 30 and sum(map(len, times.values())) < 80:
                _, event = await listener.next()
                times[event["s"]].append(event["E"])
            assert not [each for each in times["APTUSDT"] if 1001 <= each - START_MS < 3001]
            assert len([each for each in times["ADAUSDT"] if 1001 <= each - START_MS < 3001]) == 20
            refused = await http.post("/sim/scenario", content=b'{"scenario": "drain", "symbol": "NOPE"}')
            assert (refused.status_code, "does not list" in refused.json()["error"]) == (400, True)
            later = sim.scenario("wall", "APTUSDT", after=5)
            gone = await http.delete("/sim/scenario", params={"symbol": "APTUSDT", "id": later.id})
            assert gone.json()["scenarios"][1]["state"] == "over"
            assert (await http.delete("/sim/scenario", params={"symbol": "APTUSDT", "id": 9})).status_code == 404
            assert (await http.delete("/sim/scenario")).status_code == 404

    run(body())


def test_a_scenario_from_the_command_line_happens_in_the_first_symbol_and_is_announced() -> None:
    async def body() -> None:
        async with exchange(scenario="resync") as sim:
            assert sim.announcement == (
                "Scenario resync in APTUSDT: begins after 90 s, lasts 5 s and begins again every 180 s"
            )
            await sim.step(280_000)
            began = [each.start_ms for each in sim.venue.truths() if each.start_ms is not None]
            assert began == [START_MS + 90_001, START_MS + 270_001]

    run(body())
    assert exchange(scenario="quiet").announcement is None
