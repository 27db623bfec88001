"""The exchange's stream misbehaves, over real sockets: one row of the fault matrix each."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.faults.rig import Watch, exchange, watching
from tests.outcomes import Outcome
from vibe_orderbook_mcp.sim.faults import Corrupt, Disconnect, Drop, Duplicate, Fault, Refuse, Reorder

RESYNC = "resynced by itself"
SKIPPED = "skipped and counted; resynced where an event is missing"


class Case(NamedTuple):
    """A fault, and the traces that it has to leave."""

    fault: str
    promise: str
    faults: list[Fault]
    log: str | None  # part of a log line that says what happened; None: nothing to say
    metric: str  # grows


CASES = [
    Case("frames lost", RESYNC, [Drop(probability=0.2, seconds=1.5), Drop(count=1)], "Gap in ", "vibe_gaps_total"),
    Case(
        "frames repeated",
        "ignored",
        [Duplicate(probability=0.5, seconds=1.0), Duplicate(count=1)],
        None,
        "vibe_depth_events_old_total",
    ),
    Case(
        "frames out of order",
        RESYNC,
        [Reorder(probability=0.2, seconds=1.5), Reorder(count=1)],
        "Gap in ",
        "vibe_gaps_total",
    ),
    *(
        Case(fault, SKIPPED, [Corrupt(mode=mode, count=5)], "malformed frame", "vibe_malformed_frames_total")  # type: ignore[arg-type]  # the modes below
        for fault, mode in (
            ("JSON cut short", "truncated"),
            ("HTML instead of JSON", "not_json"),
            ("fields of wrong types", "wrong_types"),
            ("NaN as a size", "nan"),
            ("negative sizes", "negative_size"),
            ("binary frames", "binary"),
            ("unknown events", "unknown_event"),
        )
    ),
    Case("connection cut", RESYNC, [Disconnect(abrupt=True)], "Lost the exchange", "vibe_reconnects_total"),
    Case("connection closed", RESYNC, [Disconnect(abrupt=False)], "Lost the exchange", "vibe_reconnects_total"),
    Case(
        "handshakes refused with 503",
        "retried with growing pauses",
        [Refuse(count=3), Disconnect()],
        "Cannot connect",
        "vibe_reconnects_total",
    ),
]


def row(case: Case) -> Any:
    marker = pytest.mark.fault(part="exchange", fault=case.fault, promise=case.promise)
    return pytest.param(case, marks=marker, id=case.fault)


@pytest.mark.parametrize("case", [row(case) for case in CASES])
def test_no_fault_of_the_stream_makes_a_wrong_book_live(case: Case, outcome: Outcome, tmp_path: Path) -> None:
    """What is called live is the exchange's book at that update, whatever happened on the way."""

    async def run() -> None:
        async with exchange() as sim, watching(sim, tmp_path) as watch:
            await watch.all_live()
            await bear(watch, case, outcome)

    asyncio.run(run())


async def bear(watch: Watch, case: Case, outcome: Outcome) -> None:
    before = watch.metric(case.metric)
    began, over = await watch.suffer(case.faults)
    await watch.settled()
    assert watch.metric(case.metric) > before
    if case.log is not None:
        assert case.log in watch.logged
    watch.tell(outcome, since=began, over=over)
