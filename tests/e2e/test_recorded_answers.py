"""What is answered about ten recorded minutes of two real markets: the same twice, and what the raw lines say."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from math import isfinite
from typing import Any

import pytest

from tests.analytics.tape import histogram_of
from tests.market.recordings import DEPTH_LIMIT, YEAR_2024, recorded
from tests.recordings import day_files
from vibe_orderbook_mcp.analytics.anomalies.answer import AnomaliesAnswer, anomalies_answer
from vibe_orderbook_mcp.analytics.anomalies.watched import watched
from vibe_orderbook_mcp.analytics.findings import Finding
from vibe_orderbook_mcp.analytics.flow.answer import order_flow_answer
from vibe_orderbook_mcp.analytics.health.answer import health_score_answer
from vibe_orderbook_mcp.analytics.profile.answer import volume_profile_answer
from vibe_orderbook_mcp.analytics.profile.coverage import TapeCoverage
from vibe_orderbook_mcp.analytics.results import Answer
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.rows import SecondRow

SYMBOLS = ("BTCUSDT", "ETHUSDT")
ANSWER_EVERY_SECS = 60
MINUTE_MS = 60_000

on_symbols = pytest.mark.parametrize("symbol", SYMBOLS)


@dataclass
class Replay:
    """Rows, findings as they were reported, and every answer to a caller that asks once a minute."""

    rows: list[SecondRow] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    told: list[Finding] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


def replay(symbol: str) -> Replay:
    """Through the market and the watch in the order and at the times of receipt, as a recorder would."""
    recording, market, out = recorded(YEAR_2024, symbol), Market(), Replay()
    state = market.add(recording.spec)
    for received_ns, what in recording.told:
        if isinstance(what, DepthSnapshot):
            market.load(symbol, what, DEPTH_LIMIT, received_ns)
        elif isinstance(what, DepthUpdate):
            market.receive_depth(what, received_ns)
        elif market.receive_trade(symbol, what):
            out.trades.append(what)
        for record, evidence in state.take().seconds:
            row = record.row
            out.rows.append(row)
            out.told += state.watch.second(row, evidence)
            if row.second % ANSWER_EVERY_SECS == 0:
                out.answers += answers(market, out, symbol, received_ns)
    for record, evidence in state.finish().seconds:
        out.rows.append(record.row)
        out.told += state.watch.second(record.row, evidence)
    return out


def answers(market: Market, so_far: Replay, symbol: str, now_ns: int) -> list[Answer]:
    """Too little was recorded for the longest windows at first: those are asked for later."""
    state, rows, end = market.symbols[symbol], so_far.rows, so_far.rows[-1].second + 1
    hour = Span(end - 3600, end)
    facts: dict[str, Any] = {
        "as_of_ms": end * 1000,
        "age_ms": (state.age_ns(now_ns) or 0) // 1_000_000,
        "status": state.status(now_ns),
    }
    histogram = histogram_of((each for each in so_far.trades if each.time_ms < end * 1000), state.spec)
    tape = TapeCoverage(held=len(so_far.trades), missing=0, complete_since_ms=hour.start * 1000)
    seen = end - rows[0].second
    profile = volume_profile_answer(state.spec, histogram, hour, tape, now_ms=end * 1000, detail=True, **facts)
    out: list[Answer] = [profile]
    for secs in (60, 300):
        if seen < secs:
            continue
        span = Span(end - secs, end)
        out.append(order_flow_answer(state.spec, rows, span, detail=True, **facts))
        health = health_score_answer(
            state.spec, rows, span, state.watch.normal, measures=state.watch.measures, detail=True, **facts
        )
        out.append(health)
        out.append(anomalies_answer(watched(state.watch, span, end), past=so_far.told, detail=True, **facts))
    return out


@cache
def replayed(symbol: str) -> Replay:
    return replay(symbol)


@on_symbols
def test_two_replays_give_the_same_answers_bit_for_bit(symbol: str) -> None:
    first, second = replayed(symbol), replay(symbol)
    assert len(first.answers) > 50
    assert [each.model_dump_json() for each in first.answers] == [each.model_dump_json() for each in second.answers]
    assert first.rows == second.rows
    assert first.told == second.told


@on_symbols
def test_no_detector_gives_a_verdict_on_ten_minutes(symbol: str) -> None:
    """There is no hour of history yet, and no order that refills itself by equal parts."""
    assert replayed(symbol).told == []


@on_symbols
def test_every_detector_that_needs_an_hour_says_that_it_cannot_run_yet(symbol: str) -> None:
    answers_given = [each for each in replayed(symbol).answers if isinstance(each, AnomaliesAnswer)]
    assert len(answers_given) > 10
    for answer in answers_given:
        waiting = {name for each in answer.cannot_run for name in each.detectors}
        assert waiting >= {"market_shock", "update_burst", "fleeting_cluster", "crash_precursor", "absorption"}


@on_symbols
def test_every_number_in_every_answer_is_finite(symbol: str) -> None:
    count = 0
    for answer in replayed(symbol).answers:
        for number in numbers(answer.model_dump()):  # as JSON a NaN would be null
            assert isfinite(number)
            count += 1
    assert count > 3_000
    for row in replayed(symbol).rows:
        for value in (getattr(row, name) for name in row.__struct_fields__):
            assert not isinstance(value, float) or isfinite(value)


def numbers(value: object) -> Iterator[float]:
    if isinstance(value, dict):
        for part in value.values():
            yield from numbers(part)
    elif isinstance(value, list):
        for part in value:
            yield from numbers(part)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


# Straight from the raw lines


@dataclass
class Minute:
    """Decimals and whole numbers, so that nothing is rounded."""

    signed: Decimal = Decimal(0)
    volume: Decimal = Decimal(0)
    trades: int = 0
    high: Decimal = Decimal(0)
    low: Decimal = Decimal("Infinity")


def minutes_of_lines(symbol: str) -> dict[int, Minute]:
    """Single fills by the minute in which they happened. Their ids leave none out and come once."""
    found: dict[int, Minute] = defaultdict(Minute)
    ids = []
    for path in day_files():
        if symbol.lower() not in path.name:
            continue
        with gzip.open(path, "rt") as lines:
            for line in lines:
                message = json.loads(line.split(" ", 1)[1])
                if message.get("stream") != f"{symbol.lower()}@trade":
                    continue
                fill = message["data"]
                price, size = Decimal(fill["p"]), Decimal(fill["q"])
                minute = found[fill["T"] // MINUTE_MS]
                minute.volume += size
                minute.signed += -size if fill["m"] else size
                minute.trades += 1
                minute.high, minute.low = max(minute.high, price), min(minute.low, price)
                ids.append(fill["t"])
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    return found


@on_symbols
def test_every_minute_is_what_the_raw_lines_say(symbol: str) -> None:
    spec = recorded(YEAR_2024, symbol).spec
    grid, lots = Decimal(1).scaleb(-spec.tick_exp), Decimal(1).scaleb(-spec.lot_exp)
    ours: dict[int, Minute] = defaultdict(Minute)
    for row in replayed(symbol).rows:
        minute = ours[row.second // 60]
        bought, sold = Decimal(row.buy_volume).quantize(lots), Decimal(row.sell_volume).quantize(lots)
        minute.volume += bought + sold
        minute.signed += bought - sold
        minute.trades += row.buy_trades + row.sell_trades
        if row.high is not None and row.low is not None:
            minute.high = max(minute.high, Decimal(row.high).quantize(grid))
            minute.low = min(minute.low, Decimal(row.low).quantize(grid))
    theirs = minutes_of_lines(symbol)
    assert len(theirs) >= 11
    assert {number: each for number, each in ours.items() if each.trades} == theirs


@on_symbols
def test_the_profile_of_all_of_it_is_what_the_raw_lines_say(symbol: str) -> None:
    spec, trades = recorded(YEAR_2024, symbol).spec, replayed(symbol).trades
    end = trades[-1].time_ms // 1000 + 1
    span = Span(end - 3600, end)
    answer = volume_profile_answer(
        spec,
        histogram_of(trades, spec),
        span,
        TapeCoverage(held=len(trades), missing=0, complete_since_ms=span.start * 1000),
        as_of_ms=end * 1000,
        now_ms=end * 1000,
        age_ms=0,
        status="live",
        detail=True,
    )
    theirs = minutes_of_lines(symbol).values()
    volume, signed = sum(each.volume for each in theirs), sum(each.signed for each in theirs)
    assert Decimal(str(answer.total_volume_base)) == volume
    assert Decimal(str(answer.delta_base)) == signed
    assert Decimal(answer.high) == max(each.high for each in theirs)
    assert Decimal(answer.low) == min(each.low for each in theirs)
    assert answer.detail is not None
    assert sum(answer.detail.trades) == len(trades)
    assert sum(answer.detail.buy_base) == pytest.approx(float(volume + signed) / 2, rel=1e-12)
