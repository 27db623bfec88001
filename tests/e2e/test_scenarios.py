"""Each thing that can happen in a market is found by the detector meant for it, and by no other.

Simulated markets in virtual time, through the market, the recorder's tick and the watch as a live second goes. Every
case starts from the same hour of quiet market, simulated once a symbol.
"""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from functools import cache
from math import log
from pathlib import Path
from typing import Any

import pytest

from vibe_orderbook_mcp.analytics.anomalies.answer import AnomaliesAnswer, anomalies_answer
from vibe_orderbook_mcp.analytics.anomalies.watch import SymbolWatch
from vibe_orderbook_mcp.analytics.anomalies.watched import watched
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.flow.answer import order_flow_answer
from vibe_orderbook_mcp.analytics.flow.result import OrderFlowAnswer
from vibe_orderbook_mcp.analytics.health.answer import HealthScoreAnswer, health_score_answer
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.recorder import Recorder
from vibe_orderbook_mcp.collect.watcher import Watcher
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.market.ticks import FinalSecond
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.rows import RowFlag, SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.sim.driver import Drive, model_of
from vibe_orderbook_mcp.sim.episode import Truth

SYMBOLS = ("ADAUSDT", "BTCUSDT")  # a tick of 2.2 bps, where depth stands on few prices, and one of 0.0015
WARM_SECS = 65 * 60
BEFORE_SECS = 20  # of normal market before anything happens
AFTER_SECS = 45  # until every detector has had its say
DEPTH_LIMIT = 5000
ALARMS = {"market_shock", "update_burst", "fleeting_cluster", "crash_precursor"}
BOOK_SIDES = ("bid", "ask")
DIRECTIONS = ("buy", "sell")
WRITE_LAG_SECS = 5  # as in `tools.service`: rows that are newer than this end a window


class Straight(Watcher):
    """There is no archive whose past must be read before the first row is looked at."""

    def observe(self, owner: InstrumentOwner, final: FinalSecond) -> None:
        owner.watch.second(final.record.row, final.evidence)


class Stage:
    """One symbol's market and what keeps it, a second at a time."""

    def __init__(self, symbol: str, seed: int = 1) -> None:
        self.drive = Drive(model_of(symbol, seed=seed, scenario="quiet"), DepthUpdate, Trade)
        rules = self.drive.rules
        spec = SymbolSpec(
            symbol,
            rules.base,
            rules.quote,
            tick_size=Decimal(rules.price.text(1)),
            step_size=Decimal(rules.size.text(1)),
            iceberg_parts=100,
        )
        self.market = Market()
        self.state = self.market.add(spec)
        self.rows: list[SecondRow] = []
        self._record()
        self._load()

    @property
    def watch(self) -> SymbolWatch:
        return self.state.watch

    @property
    def found(self) -> list[Finding]:
        """All findings so far, each as it stands now."""
        return [*self.watch.recent, *self.watch.open]

    def __deepcopy__(self, memo: dict[int, Any]) -> Stage:
        """Another stage at the same moment. Parts that are written again for it are not copied."""
        other = object.__new__(Stage)
        other.drive, other.market = deepcopy((self.drive, self.market), memo)
        other.state = other.market.symbols[self.drive.symbol]
        other.rows = []
        other._record()
        return other

    def play(self, secs: float) -> None:
        end_ms = self.drive.now_ms + round(secs * 1000)
        while self.drive.now_ms < end_ms:
            for event in self.drive.until(min(end_ms, self.drive.now_ms + 1000)):
                if isinstance(event, DepthUpdate):
                    self.market.receive_depth(event, event.event_ms * 1_000_000)
                else:
                    self.market.receive_trade(self.drive.symbol, event)
            if self.state.needs_snapshot:
                self._load()
            self._recorder.tick(self._now_ns)
            if self.watch.rows and (not self.rows or self.rows[-1].second < self.watch.rows[-1].second):
                newest = self.rows[-1].second if self.rows else -1
                self.rows += [row for row in self.watch.rows if row.second > newest]

    def happen(self, name: str, **fields: Any) -> Truth:
        """Have it happen after a while, and wait for what is said about it."""
        truth = self.drive.scenario(name, after=BEFORE_SECS, **fields)
        while truth.state != "over":
            self.play(1)
        self.play(AFTER_SECS)
        return truth

    def health(self) -> HealthScoreAnswer:
        rows, end = list(self.watch.rows), self._end()
        book, state = self.state.book, self.state
        return health_score_answer(
            state.spec,
            rows,
            Span(end - 60, end),
            self.watch.normal,
            measures=self.watch.measures,
            unseen_reason=state.reason if book is None else None,
            invalid_reason=None if book is None or book.is_two_sided else "one side is empty",
            **self._facts(),
        )

    def flow(self, start_ms: int, end_ms: int) -> OrderFlowAnswer:
        return order_flow_answer(
            self.state.spec, self.rows, Span(-(-start_ms // 1000), end_ms // 1000), **self._facts()
        )

    def anomalies(self) -> AnomaliesAnswer:
        end = self._end()
        return anomalies_answer(watched(self.watch, Span(end - 300, end), end), **self._facts())

    @property
    def _now_ns(self) -> int:
        return self.drive.now_ms * 1_000_000

    def _end(self) -> int:
        now, newest = self.drive.now_ms // 1000, self.watch.rows[-1].second + 1
        return newest if now - WRITE_LAG_SECS <= newest <= now else now

    def _facts(self) -> dict[str, Any]:
        age_ms = (self.state.age_ns(self._now_ns) or 0) // 1_000_000
        return {"as_of_ms": self.drive.now_ms, "age_ms": age_ms, "status": self.state.status(self._now_ns)}

    def _record(self) -> None:
        archive = Archive(Path("nowhere"), cap_mb=1, retention_days=1)
        archive.mode = "read_only"  # nothing is queued for a disk
        self._recorder = Recorder(self.market, archive)
        self._recorder.watcher = Straight(archive)

    def _load(self) -> None:
        self.market.load(self.drive.symbol, self.drive.snapshot(DepthSnapshot), DEPTH_LIMIT, self._now_ns)
        self.market.confirm(self.drive.symbol)


@cache
def warmed(symbol: str) -> Stage:
    stage = Stage(symbol)
    stage.play(WARM_SECS)
    return stage


def warm(symbol: str) -> Stage:
    """A stage whose last hour was quiet; nobody else plays on it."""
    stage = deepcopy(warmed(symbol))
    assert stage.watch.baseline.is_ready
    return stage


def since(stage: Stage, truth: Truth) -> list[Finding]:
    """What was found from the beginning of something on."""
    assert truth.start_ms is not None
    return [each for each in stage.found if each.end_ms is None or each.end_ms >= truth.start_ms]


def alarms(stage: Stage, truth: Truth) -> list[str]:
    return [each.type for each in since(stage, truth) if each.type in ALARMS]


def only(stage: Stage, truth: Truth, kind: str) -> Finding:
    """The one finding of that kind; there is no alarm of another."""
    assert set(alarms(stage, truth)) <= {kind}
    (found,) = [each for each in since(stage, truth) if each.type == kind]
    return found


def secs_to(stage: Stage, truth: Truth, kind: str) -> float:
    """Seconds of market time from the first second of what happened to the first second of its finding."""
    assert truth.start_ms is not None
    first = next(each for each in since(stage, truth) if each.type == kind)
    return (first.start_ms - truth.start_ms // 1000 * 1000) / 1000


def overlaps(found: Finding, truth: Truth, slack_ms: int = 1000) -> bool:
    """Whether it was found while it happened, and not in what came before or after."""
    assert truth.start_ms is not None
    assert truth.end_ms is not None
    return truth.start_ms - slack_ms <= found.start_ms < truth.end_ms


on_symbols = pytest.mark.parametrize("symbol", SYMBOLS)  # `tests.together`: a symbol's hour is simulated only once
on_book_sides = pytest.mark.parametrize("side", BOOK_SIDES)
on_directions = pytest.mark.parametrize("side", DIRECTIONS)


@on_symbols
def test_a_burst_of_updates_is_one_update_burst(symbol: str) -> None:
    stage = warm(symbol)
    truth = stage.happen("update_burst")
    found = only(stage, truth, "update_burst")
    assert overlaps(found, truth)
    assert found.end_ms is not None
    assert truth.end_ms is not None
    assert abs(found.end_ms - truth.end_ms) <= 1000
    assert found.severity in ("High", "Critical")
    assert float(found.evidence["times_median"]) >= 15
    assert "update_burst" in [each.type for each in stage.anomalies().findings]


@on_symbols
@on_directions
def test_news_is_no_update_burst(symbol: str, side: str) -> None:
    stage = warm(symbol)
    truth = stage.happen("news_burst", side=side)
    usual = stage.watch.baseline.median("updates")
    assert usual is not None
    assert truth.start_ms is not None
    busy = [row.ids for row in stage.rows if row.second * 1000 >= truth.start_ms][1:9]
    assert min(busy) > 5 * usual  # it had the chance
    assert "update_burst" not in alarms(stage, truth)


@on_symbols
@on_book_sides
def test_walls_that_come_and_go_are_a_fleeting_cluster(symbol: str, side: str) -> None:
    stage = warm(symbol)
    truth = stage.happen("wall", side=side)
    found = only(stage, truth, "fleeting_cluster")
    assert found.side == side
    assert overlaps(found, truth, 60_000)  # from the first of the minute, of any owner
    assert 3 <= float(found.evidence["fleeting_walls"]) <= len(truth.orders) + 3  # others' own among them
    assert truth.end_ms is not None
    walls = sum(order.price * order.size for order in truth.orders)
    assert float(found.evidence["notional_quote"]) > walls / 3


@on_symbols
@on_book_sides
def test_a_drained_side_is_a_critical_crash_precursor_of_that_side(symbol: str, side: str) -> None:
    stage = warm(symbol)
    truth = stage.happen("drain", side=side)
    first = next(each for each in since(stage, truth) if each.type == "crash_precursor")
    assert set(alarms(stage, truth)) == {"crash_precursor"}
    assert (first.side, first.severity, first.evidence["level"]) == (side, "Critical", "critical")
    assert overlaps(first, truth)
    assert first.start_ms <= truth.numbers["drained_ms"] + 2000


@on_symbols
@on_book_sides
def test_a_drained_side_is_poor_from_its_second_second_to_its_end(symbol: str, side: str) -> None:
    """However quiet the minute before was: a score of 60 s must not remember it for half a minute."""
    stage = warm(symbol)
    truth = stage.drive.scenario("drain", after=BEFORE_SECS, side=side)
    scores: dict[int, float | None] = {}
    while truth.state in ("waiting", "running"):
        stage.play(1)
        scores[stage.watch.rows[-1].second + 1] = stage.health().health_score
    assert truth.start_ms is not None
    before = scores[truth.start_ms // 1000 - 1]
    assert before is not None
    assert before > 60.0
    drained = [score for end, score in scores.items() if end * 1000 >= truth.numbers["drained_ms"] + 2000]
    assert len(drained) > 5
    assert all(score is not None and score < 40.0 for score in drained)
    stage.play(90)
    after = stage.health().health_score
    assert after is not None
    assert after > 60.0


@on_symbols
@on_book_sides
def test_a_draining_side_is_told_within_six_seconds_of_its_first(symbol: str, side: str) -> None:
    stage = warm(symbol)
    truth = stage.happen("drain", side=side)
    assert secs_to(stage, truth, "crash_precursor") <= 6
    assert "market_shock" not in alarms(stage, truth)  # nothing is traded


@on_symbols
@on_book_sides
def test_a_side_that_is_withdrawn_behind_its_touch_is_a_crash_precursor(symbol: str, side: str) -> None:
    """Mid and spread stand, so depth and what it costs to take it have to tell."""
    stage = warm(symbol)
    truth = stage.happen("withdrawal", side=side)
    assert truth.numbers["mid_after"] == truth.numbers["mid_before"]
    assert secs_to(stage, truth, "crash_precursor") <= 6
    assert set(alarms(stage, truth)) == {"crash_precursor"}
    first = next(each for each in since(stage, truth) if each.type == "crash_precursor")
    assert first.side == side
    assert float(first.evidence["spread_times"]) < 3
    assert float(first.evidence["cost_times"]) >= 2


@on_symbols
@on_directions
@pytest.mark.parametrize("name", ["sweep", "squeeze"])
def test_a_sweep_and_a_squeeze_are_one_market_shock_within_three_seconds(symbol: str, side: str, name: str) -> None:
    stage = warm(symbol)
    truth = stage.happen(name, side=side)
    assert secs_to(stage, truth, "market_shock") <= 3
    (shock,) = [each for each in since(stage, truth) if each.type == "market_shock"]
    assert shock.severity in ("High", "Critical")
    assert shock.evidence["direction"] == ("up" if side == "buy" else "down")
    assert shock.sweeps[0].side == ("ask" if side == "buy" else "bid")
    assert shock.sweeps[0].prices >= 3
    moved = 1e4 * log(truth.numbers["mid_after"] / truth.numbers["mid_before"])
    assert abs(float(shock.evidence["size_bps"])) > 0.3 * abs(moved)
    answer = stage.anomalies()
    assert answer.findings[0].type == "market_shock"
    assert answer.summary.startswith(f"{symbol}: Market shock since ")
    assert answer.measured.measures["price_z"].level == 2
    assert "quiet" not in answer.summary


@on_symbols
@on_book_sides
def test_a_side_that_empties_is_critical_at_once_and_says_so(symbol: str, side: str) -> None:
    stage = warm(symbol)
    truth = stage.happen("empty_side", side=side)
    first = next(each for each in since(stage, truth) if each.type == "crash_precursor")
    assert set(alarms(stage, truth)) == {"crash_precursor"}
    assert (first.side, first.severity, first.evidence["reason"]) == (side, "Critical", "one_sided")
    assert overlaps(first, truth, 2000)


@on_symbols
@on_book_sides
def test_an_iceberg_is_found_at_its_price_and_never_larger_than_it_is(symbol: str, side: str) -> None:
    stage = warm(symbol)
    truth = stage.happen("iceberg", side=side)
    found = next(
        each for each in since(stage, truth) if each.type == "iceberg" and each.evidence["class"] == "native_like"
    )
    assert alarms(stage, truth) == []
    assert (found.side, found.price) == (side, truth.price)
    assert float(found.evidence["tranche_base"]) == pytest.approx(truth.numbers["tranche"], rel=0.01)
    assert float(found.evidence["at_most_base"]) >= truth.numbers["total"]
    assert float(found.evidence["executed_base"]) >= 0.8 * truth.numbers["executed"]
    assert overlaps(found, truth)  # whatever others had traded at that price before
    assert float(found.evidence["executed_base"]) <= 1.01 * truth.numbers["total"]  # crumbs of others at its price


@on_symbols
@on_directions
def test_one_sided_flow_is_strong_and_no_alarm(symbol: str, side: str) -> None:
    stage = warm(symbol)
    truth = stage.happen("one_sided_flow", side=side)
    assert truth.start_ms is not None
    assert truth.end_ms is not None
    answer = stage.flow(truth.start_ms, truth.end_ms)
    assert answer.flow_direction == f"STRONG_{side.upper()}"
    assert not answer.low_sample
    assert answer.buy_volume_base + answer.sell_volume_base == pytest.approx(
        truth.numbers["buy_base"] + truth.numbers["sell_base"], rel=0.05
    )
    assert set(alarms(stage, truth)).isdisjoint({"update_burst", "crash_precursor"})


@on_symbols
def test_a_resync_is_nothing_but_a_resync(symbol: str) -> None:
    stage = warm(symbol)
    truth = stage.happen("resync", frames=10)
    assert stage.state.counts.gaps == 1
    assert any(row.flags & RowFlag.GAP for row in stage.rows)
    assert any(row.flags & RowFlag.RESYNC for row in stage.rows)
    assert alarms(stage, truth) == []
    assert stage.state.book is not None
    assert stage.anomalies().warnings != []


@on_symbols
def test_a_frozen_feed_lowers_health_within_ten_seconds_and_is_no_alarm(symbol: str) -> None:
    stage = warm(symbol)
    truth = stage.drive.scenario("frozen_feed", after=BEFORE_SECS, seconds=15)
    stage.play(BEFORE_SECS)
    before = stage.health()
    assert before.health_score is not None
    stage.play(10)
    assert truth.state == "running"
    frozen = stage.health()
    assert frozen.status != "live"
    assert frozen.health_score is not None
    assert frozen.health_score < before.health_score - 5
    assert frozen.window.coverage < before.window.coverage - 0.1
    assert truth.start_ms is not None
    unseen = [row for row in stage.rows if row.second * 1000 >= truth.start_ms + 1000]
    assert sum(row.covered_ms for row in unseen) == 0
    stage.play(BEFORE_SECS + AFTER_SECS)
    assert alarms(stage, truth) == []
    assert stage.state.counts.gaps == 1
    assert stage.health().status == "live"
