"""The exchange's REST interface misbehaves while a book needs a snapshot: one row of the fault matrix each."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.collect.venue import filler_of, rest_of
from tests.e2e.faults.rig import Case, bear, live
from tests.e2e.rig import until
from tests.outcomes import Outcome
from vibe_orderbook_mcp.collect.filler import LOOK_EVERY_SECS, RETRY_MOST_SECS, TURN_SECS
from vibe_orderbook_mcp.process.web import TIMEOUT_SECS
from vibe_orderbook_mcp.sim.corruption import BAD_EVERY
from vibe_orderbook_mcp.sim.faults import CorruptRest, Drop, Fault, RestStatus, SlowRest, StaleSnapshot
from vibe_orderbook_mcp.venues.binance.rest import PAGE_SECS

RETRIED = "asked again with growing pauses"
WAITED = "no request before the delay it asks for is over"
PROMISE = "fetched within 10 s of the first answer, whatever other symbols do"
FAILURES, RESYNCS = "vibe_rest_failures_total", "vibe_resyncs_total"
GAP = Drop(symbol="BTCUSDT", count=1)  # what makes a snapshot needed


def answered(status: int) -> list[Fault]:
    return [RestStatus(status=status, endpoint="depth", count=2), GAP]  # type: ignore[arg-type]  # one of its


def case(status: int, what: str, promise: str) -> Case:
    return Case(
        f"REST {status} ({what})", promise, answered(status), f"HTTP {status}", FAILURES, {"status": str(status)}
    )


NO_ANSWER = {"status": "no answer"}
CASES = [
    case(403, "web firewall", RETRIED),
    case(451, "location refused", f"{RETRIED}; says what to set"),
    case(500, "internal error", RETRIED),
    case(502, "bad gateway, HTML", RETRIED),
    case(503, "overloaded", RETRIED),
    Case(
        "REST 429 (weight used up), Retry-After 2 s",
        WAITED,
        [RestStatus(status=429, endpoint="depth", count=1, retry_after=2), GAP],
        "HTTP 429",
        FAILURES,
        {"status": "429"},
    ),
    Case(
        "REST 418 (banned), Retry-After 2 s",
        WAITED,
        [RestStatus(status=418, endpoint="depth", count=1, retry_after=2), GAP],
        "HTTP 418",
        FAILURES,
        {"status": "418"},
    ),
    Case(
        "REST 418 (banned), stated in the body alone, 2 s",
        WAITED,
        [RestStatus(status=418, endpoint="depth", count=1, retry_after=2, told="body"), GAP],
        "HTTP 418",
        FAILURES,
        {"status": "418"},
    ),
    Case(
        "REST 429 (weight used up), Retry-After as a date in 3 s",
        WAITED,
        [RestStatus(status=429, endpoint="depth", count=1, retry_after=3, told="date"), GAP],
        "HTTP 429",
        FAILURES,
        {"status": "429"},
    ),
    Case(
        "a level of every snapshot cannot be read",
        "counted; the side is known up to it",
        [CorruptRest(mode="bad_rows", endpoint="depth", count=1), GAP],
        "unreadable levels",
        "vibe_rest_rows_skipped_total",
        {"rows": "levels"},
    ),
    Case(
        "REST never answers",
        "given up after 10 s (here 3 s), asked again",
        [RestStatus(status="hang", endpoint="depth", count=1), GAP],
        "did not answer within",
        FAILURES,
        NO_ANSWER,
    ),
    Case(
        "REST answers after 0.8 s",
        "events wait for it",
        [SlowRest(delay=0.8, endpoint="depth", count=1), GAP],
        "Gap in BTC",
        RESYNCS,
    ),
    Case(
        "snapshots of 3 s ago",
        "recognised by their update id, asked again",
        [StaleSnapshot(age=3.0, count=2), GAP],
        "Gap in BTC",
        RESYNCS,
    ),
    Case(
        "snapshots cut short",
        RETRIED,
        [CorruptRest(mode="truncated", endpoint="depth", count=2), GAP],
        "cannot be read",
        FAILURES,
        NO_ANSWER,
    ),
    Case(
        "HTML with status 200",
        RETRIED,
        [CorruptRest(mode="not_json", endpoint="depth", count=2), GAP],
        "cannot be read",
        FAILURES,
        NO_ANSWER,
    ),
]


@pytest.mark.parametrize("each", [each.param() for each in CASES])
def test_no_answer_of_rest_makes_a_wrong_book_live(each: Case, outcome: Outcome, tmp_path: Path) -> None:
    async def run() -> None:
        async with live(tmp_path, timeout_secs=3.0 if each.labels == NO_ANSWER else TIMEOUT_SECS) as watch:
            await bear(watch, each, outcome)

    asyncio.run(run())


@pytest.mark.fault(
    part="exchange", fault="REST 418 while every book is in sequence", promise="books go on: they need the stream alone"
)
def test_a_ban_from_rest_does_not_touch_books_in_sequence(outcome: Outcome, tmp_path: Path) -> None:
    """And nothing is sent before it is over: a client that goes on asking is banned for longer."""

    async def run() -> None:
        async with live(tmp_path, backfill_hours=1) as watch:
            began = time.monotonic()
            fault = watch.sim.faults.add(RestStatus(status=418, retry_after=2))
            watch.sim.faults.add(Drop(symbol="BTCUSDT", channel="trades", count=1))  # the filler asks for it
            await until(lambda: watch.metric(FAILURES, status="418") == 1)
            requests = rest_of(watch.runtime).requests
            await watch.settled()
            assert rest_of(watch.runtime).requests == requests
            watch.sim.faults.remove(fault)
            over = time.monotonic()
            await until(lambda: watch.metric("vibe_trade_holes") == 0)
            assert watch.metric(FAILURES, status="418") == 1
            assert watch.not_live_at < began
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())


HOLE_SECS = 10.0


@pytest.mark.fault(
    part="exchange",
    fault="some trades of every page cannot be read",
    promise="the others are stored; these are given up, counted and said once",
)
def test_trades_that_cannot_be_read_cost_themselves(outcome: Outcome, tmp_path: Path) -> None:
    """One of them stopped its symbol's backfill for good, with 33 identical requests a minute."""

    async def run() -> None:
        async with live(tmp_path, backfill_hours=1, symbols="BTCUSDT") as watch:
            await until(lambda: watch.market.symbols["BTCUSDT"].counts.trades > 5)
            began = time.monotonic()
            watch.sim.faults.add(CorruptRest(mode="bad_rows", endpoint="aggTrades"))
            watch.sim.faults.add(Drop(channel="trades", count=2 * BAD_EVERY))
            filler, owner = filler_of(watch.runtime), watch.market.symbols["BTCUSDT"]
            await until(lambda: owner.filling.given_up >= 2 and not owner.holes)
            filled_at = time.monotonic()
            assert await filler.missing(owner) == []
            requests, looks = rest_of(watch.runtime).requests, watch.market.symbols["BTCUSDT"].counts.trades
            await until(lambda: watch.market.symbols["BTCUSDT"].counts.trades > looks + 50)  # some seconds
            assert rest_of(watch.runtime).requests - requests <= 3  # nothing of it is asked for again; others ask too
            watch.sim.faults.clear()
            await watch.settled()
            held = [trade.agg_id for trade in await watch.runtime.archive.writable().trades("BTCUSDT", 0, 2**53)]
            absent = set(range(held[0], held[-1])) - set(held)
            assert absent
            assert all(agg_id % BAD_EVERY == 0 for agg_id in absent)
            assert watch.metric("vibe_trades_given_up_total") == len(absent)
            assert watch.logged.count("unreadable trades") == 1
            watch.tell(outcome, since=began, over=began, recovered=filled_at)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fault", "other"),
    [
        pytest.param(
            [RestStatus(status=500, endpoint="aggTrades", seconds=8.0)],
            False,
            marks=pytest.mark.fault(
                part="exchange", fault="requests for trades fail for 8 s (HTTP 500)", promise=PROMISE
            ),
        ),
        pytest.param(
            [RestStatus(status="hang", endpoint="aggTrades", seconds=8.0)],
            False,
            marks=pytest.mark.fault(part="exchange", fault="requests for trades hang for 8 s", promise=PROMISE),
        ),
        pytest.param(
            [RestStatus(status="hang", endpoint="aggTrades", symbol="ETHUSDT", seconds=60.0)],
            True,
            marks=pytest.mark.fault(
                part="exchange", fault="requests for trades of another symbol hang for a minute", promise=PROMISE
            ),
        ),
        pytest.param(
            [RestStatus(status=500, endpoint="aggTrades", symbol="ETHUSDT", seconds=60.0)],
            True,
            marks=pytest.mark.fault(
                part="exchange", fault="trades of another symbol cannot be fetched for a minute", promise=PROMISE
            ),
        ),
    ],
)
def test_missing_trades_are_there_soon_after_the_exchange_answers_again(
    fault: list[Fault], other: bool, outcome: Outcome, tmp_path: Path
) -> None:
    """The pause after a failure was shared by all symbols and grew to a minute."""

    async def run() -> None:
        async with live(tmp_path) as watch:
            await until(lambda: all(state.counts.trades > 5 for state in watch.market.symbols.values()))
            tape = watch.market.symbols["BTCUSDT"]._chronicle.tape
            began = time.monotonic()
            for each in fault:
                watch.sim.faults.add(each)
            if other:
                watch.sim.faults.add(Drop(symbol="ETHUSDT", channel="trades", count=3))
                await until(lambda: watch.metric("vibe_trade_holes") > 0)
                await until(lambda: time.monotonic() > began + 8.0)  # the other symbol has failed several times
                over = time.monotonic()
                watch.sim.faults.add(Drop(symbol="BTCUSDT", channel="trades", count=3))
                await until(lambda: bool(tape.holes))
            else:
                watch.sim.faults.add(Drop(symbol="BTCUSDT", channel="trades", count=3))
                watch.sim.faults.add(Drop(symbol="ETHUSDT", channel="trades", count=3))
                await until(lambda: watch.sim.faults.listing() == [])
                over = time.monotonic()
            await until(lambda: not tape.holes and (other or watch.metric("vibe_trade_holes") == 0))
            filled_at = time.monotonic()
            await watch.settled()
            watch.sim.faults.clear()
            await watch.store_is_true()
            watch.tell(outcome, since=began, over=over, recovered=filled_at)

    asyncio.run(run())


def test_the_pauses_of_the_filler_keep_its_bound() -> None:
    """A request that was sent just before, the pause behind it, the next look, and the wait for another's answer."""
    assert PAGE_SECS + RETRY_MOST_SECS + LOOK_EVERY_SECS + TURN_SECS < HOLE_SECS
