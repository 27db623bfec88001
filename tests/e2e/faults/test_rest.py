"""The exchange's REST interface misbehaves while a book needs a snapshot: one row of the fault matrix each."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.e2e.faults.rig import Case, bear, live
from tests.e2e.rig import until
from tests.outcomes import Outcome
from vibe_orderbook_mcp.binance.rest import TIMEOUT_SECS
from vibe_orderbook_mcp.sim.faults import CorruptRest, Drop, Fault, RestStatus, SlowRest, StaleSnapshot

RETRIED = "asked again with growing pauses"
WAITED = "no request before the delay it asks for is over"
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
        "told by their update id, asked again",
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
    """And nothing is sent before it is over: whoever goes on asking is banned for longer."""

    async def run() -> None:
        async with live(tmp_path, backfill_hours=1) as watch:
            began = time.monotonic()
            fault = watch.sim.faults.add(RestStatus(status=418, retry_after=2))
            watch.sim.faults.add(Drop(symbol="BTCUSDT", channel="trades", count=1))  # the filler asks for it
            await until(lambda: watch.metric(FAILURES, status="418") == 1)
            requests = watch.runtime.rest.requests
            await watch.settled()
            assert watch.runtime.rest.requests == requests
            watch.sim.faults.remove(fault)
            over = time.monotonic()
            await until(lambda: watch.metric("vibe_trade_holes") == 0)
            assert watch.metric(FAILURES, status="418") == 1
            assert watch.not_live_at < began
            watch.tell(outcome, since=began, over=over)

    asyncio.run(run())
