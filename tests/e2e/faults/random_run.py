"""Many faults, one after another and over each other, against one running program; then everything is counted.

Time is compressed: faults that come hours apart follow each other within a second. Two limits that are made for
hours are widened for that: REST gives up after 1 s instead of 10, and its weight is ten times the exchange's.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tests.collect.venue import feed_of, rest_of
from tests.e2e.faults.rig import Relay, Watch, exchange, watching
from tests.e2e.faults.schedule import HalfOpen, Planned, schedule
from tests.e2e.faults.stored import stored_books, stored_trades
from tests.e2e.rig import until
from vibe_orderbook_mcp.sim import SimExchange
from vibe_orderbook_mcp.sim.faults import Disconnect, Fault, ServerShutdown

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT")
WEIGHT_LIMIT = 60_000
REST_SECS = 1.0
LOOK_SECS = 0.02
# These symbols have an event every 0.1 s. Longer between two that were applied: nobody saw what happened...
UNSEEN_SECS = 0.15
EDGE_SECS = 0.3  # ... give or take what a busy machine reads late
LONG_SECS = 1.0  # so long only a fault keeps a book from being resynced
SETTLE_SECS = 60.0
CALM_SECS = 5.0


class Span(NamedTuple):
    """Monotonic seconds."""

    start: float
    end: float

    @property
    def secs(self) -> float:
        return self.end - self.start


class Unseen(NamedTuple):
    """Between two events that were applied."""

    start: float
    end: float
    is_loss: bool  # the book was lost in between; otherwise the second event followed on the first, only late

    @property
    def secs(self) -> float:
        return self.end - self.start


class Recovery(NamedTuple):
    """The longest time that a book was not followed after the last fault that touched it."""

    secs: float
    symbol: str


class Report(NamedTuple):
    """What a run came to. `problems` is empty when every promise was kept."""

    faults: Counter[str]
    secs: float
    books_checked: int
    books_wrong: int
    trades: int
    snapshots: int
    gaps: int
    resyncs: int
    reconnects: int
    replacements: int
    malformed: int
    rest_failures: int
    lines: int  # of the log, warnings and errors
    longest_hole_secs: int
    longest_unseen_secs: float
    longest_recovery: Recovery
    problems: list[str]


async def random_run(count: int, seed: int, path: Path, symbols: tuple[str, ...] = SYMBOLS) -> Report:
    async with exchange(symbols=symbols, seed=seed, weight_limit=WEIGHT_LIMIT) as sim, Relay(sim.port) as relay:  # noqa: SIM117  # its port
        async with watching(
            sim,
            path,
            ws_url=f"ws://127.0.0.1:{relay.port}",
            symbols=",".join(symbols),
            weight_limit=WEIGHT_LIMIT,
            timeout_secs=REST_SECS,
        ) as watch:
            await watch.all_live()
            await until(lambda: all(watch.runtime.recorder.snapshots_stored[symbol] > 0 for symbol in symbols))
            began = time.monotonic()
            times = await _suffer(sim, relay, list(schedule(count, seed, symbols)))
            sim.faults.clear()
            problems = await _calm_down(watch)
            return await _report(watch, times, time.monotonic() - began, problems)


async def _suffer(sim: SimExchange, relay: Relay, plan: list[Planned]) -> list[tuple[str, Span]]:
    """Carry the plan out. Returns what each fault was and when it was at work."""
    times: list[tuple[str, Span]] = []
    async with asyncio.TaskGroup() as tasks:
        for planned in plan:
            await asyncio.sleep(planned.pause_secs)
            tasks.create_task(_strike(sim, relay, planned.fault, times))
    return times


async def _strike(sim: SimExchange, relay: Relay, fault: Fault | HalfOpen, times: list[tuple[str, Span]]) -> None:
    began = time.monotonic()
    if isinstance(fault, HalfOpen):
        relay.freeze()
        times.append(("half open", Span(began, time.monotonic())))
        return
    number = sim.faults.add(fault)
    if isinstance(fault, ServerShutdown):
        await asyncio.sleep(fault.disconnect_after or 0.0)
    elif not isinstance(fault, Disconnect):
        while any(active["id"] == number for active in sim.faults.listing()):
            await asyncio.sleep(LOOK_SECS)
    times.append((type(fault).__struct_config__.tag, Span(began, time.monotonic())))  # type: ignore[arg-type]  # a word


async def _calm_down(watch: Watch) -> list[str]:
    """Wait until all is as it should be; what is not by then is a problem."""
    symbols = watch.runtime.settings.symbols
    problems: list[str] = []
    try:
        await watch.settled(SETTLE_SECS)
    except TimeoutError:
        problems.append(f"not live again: {watch.statuses()}, {dict(feed_of(watch.runtime).failed)}")
    history, deadline = watch.runtime.archive.writable(), time.monotonic() + SETTLE_SECS
    for symbol in symbols:
        while (trades := await stored_trades(history, watch.sim, symbol)).missing and time.monotonic() < deadline:
            await asyncio.sleep(0.5)
        if trades.missing or trades.wrong or not trades.held:
            problems.append(f"trades of {symbol}: {trades}")
    await asyncio.sleep(CALM_SECS)
    watch.deep_check()
    return problems


async def _report(watch: Watch, times: list[tuple[str, Span]], secs: float, problems: list[str]) -> Report:
    market, history = watch.market, watch.runtime.archive.writable()
    if market.wrong:
        problems.append(f"{len(market.wrong)} books served as live were wrong, the first {market.wrong[0]}")
    trades = snapshots = longest_hole = 0
    longest_unseen, longest_recovery = 0.0, Recovery(0.0, "")
    for symbol in watch.runtime.settings.symbols:
        trades += (await stored_trades(history, watch.sim, symbol)).held
        books = await stored_books(history, watch.sim, symbol)
        snapshots += len(books.seconds)
        if books.wrong:
            problems.append(f"{books.wrong} of {books.checked} stored books of {symbol} are wrong")
        unseen = unseen_spans(market.applied[symbol])
        longest_unseen = max([longest_unseen, *(span.secs for span in unseen)])
        for span in (span for span in unseen if span.is_loss and span.secs > LONG_SECS):
            recovery = _recovery(span, [fault for _, fault in times], EDGE_SECS + market.most_late_secs)
            if recovery is None:
                second = span.start + watch.sim.venue.now_ms() / 1000 - time.monotonic()
                problems.append(
                    f"{symbol} was not followed for {span.secs:.1f} s from {second:.1f}; no fault was at work"
                )
            else:
                longest_recovery = max(longest_recovery, Recovery(recovery, symbol))
        for first, last in _holes(books.seconds):
            longest_hole = max(longest_hole, last - first + 1)
            if seen := [s for s in range(first, last + 1) if not any(_hides(watch, span, s) for span in unseen)]:
                problems.append(f"seconds {seen} of {symbol} are missing, and its book was followed")
    return Report(
        faults=Counter(kind for kind, _ in times),
        secs=secs,
        books_checked=market.checked,
        books_wrong=len(market.wrong),
        trades=trades,
        snapshots=snapshots,
        gaps=sum(state.counts.gaps for state in market.symbols.values()),
        resyncs=sum(state.counts.resyncs for state in market.symbols.values()),
        reconnects=feed_of(watch.runtime).reconnects,
        replacements=sum(line.replacements for line in feed_of(watch.runtime).lines),
        malformed=feed_of(watch.runtime).malformed_frames.total(),
        rest_failures=rest_of(watch.runtime).failures.total(),
        lines=len(watch.logged.messages),
        longest_hole_secs=longest_hole,
        longest_unseen_secs=longest_unseen,
        longest_recovery=longest_recovery,
        problems=problems + [f"unforeseen: {line}" for line in watch.logged.messages if "unexpected" in line],
    )


def unseen_spans(applied: list[tuple[float, int]]) -> list[Unseen]:
    """A connection may be lost and replaced between one event and the next: a loss counts however short it was."""
    spans = [Unseen(start, end, resyncs > before) for (start, before), (end, resyncs) in pairwise(applied)]
    return [span for span in spans if span.is_loss or span.secs > UNSEEN_SECS]


def _recovery(unseen: Unseen, faults: list[Span], edge_secs: float) -> float | None:
    """How long after the last fault in it (or just before it) a book was followed again; None without a fault."""
    near = [fault.end for fault in faults if fault.start <= unseen.end and fault.end >= unseen.start - edge_secs]
    return max(0.0, unseen.end - max(near)) if near else None


def _holes(seconds: list[int]) -> list[tuple[int, int]]:
    """Inclusive ranges that are missing between the first and the last."""
    return [(before + 1, after - 1) for before, after in pairwise(seconds) if after > before + 1]


def _hides(watch: Watch, unseen: Unseen, second: int) -> bool:
    """A second is kept as the book stood at its end: nobody saw that end."""
    offset = watch.sim.venue.now_ms() / 1000 - time.monotonic()
    edge_secs = EDGE_SECS + watch.market.most_late_secs
    return unseen.start - edge_secs <= second + 1 - offset <= unseen.end + edge_secs
