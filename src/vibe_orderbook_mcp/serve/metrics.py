"""What operators scrape. Counters live where things happen; they are read when somebody asks."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from vibe_orderbook_mcp import __version__
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.model.instrument import Instrument
from vibe_orderbook_mcp.process import stderr
from vibe_orderbook_mcp.serve.limits import HttpLimits, InFlight

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LOOP_LOOK_SECS = 0.5
PER_SYMBOL = ("symbol", "venue")  # labels of what is counted of each instrument


class Metrics:
    """One registry a runtime, so that two in one process (tests) do not mix."""

    def __init__(self, runtime: Runtime, in_flight: InFlight | None = None) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_RuntimeCollector(runtime))
        self.registry.register(_LoopCollector(in_flight or InFlight(HttpLimits())))
        ProcessCollector(namespace="vibe", registry=self.registry)  # memory, open files, CPU; Linux only
        self.tool_seconds = Histogram(
            "vibe_tool_seconds", "Duration of a tool call.", ["tool"], registry=self.registry, buckets=BUCKETS
        )
        self.refusals = Counter(
            "vibe_tool_refusals", "Tool calls that were refused.", ["tool", "code"], registry=self.registry
        )

        self.http_refusals = Counter(
            "vibe_http_refused", "HTTP requests and connections refused or dropped.", ["reason"], registry=self.registry
        )
        self.loop_lag = Histogram(
            "vibe_loop_lag_seconds",
            "How late the event loop was, looked at twice a second.",
            registry=self.registry,
            buckets=BUCKETS,
        )
        self.crashes = Counter(
            "vibe_tool_crashes", "Tool calls that failed by a mistake of ours.", ["tool"], registry=self.registry
        )

    def text(self) -> bytes:
        return generate_latest(self.registry)

    @contextlib.asynccontextmanager
    async def watching_loop(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch_loop())
        try:
            yield
        finally:
            watching.cancel()

    async def _watch_loop(self) -> None:
        """Whatever holds the loop holds up books, ticks and answers alike."""
        while True:
            due = time.perf_counter() + LOOP_LOOK_SECS
            await asyncio.sleep(LOOP_LOOK_SECS)
            self.loop_lag.observe(max(0.0, time.perf_counter() - due))


class _RuntimeCollector(Collector):
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def collect(self) -> Iterable[Metric]:
        yield from self._symbols()
        yield from self._process()

    def _symbols(self) -> Iterator[Metric]:
        runtime = self._runtime
        now_ns = time.monotonic_ns()
        states = runtime.market.symbols
        stored, trades = runtime.recorder.snapshots_stored, runtime.recorder.trades_stored
        ages = GaugeMetricFamily("vibe_book_age_seconds", "Since the book's last event.", labels=PER_SYMBOL)
        trading = GaugeMetricFamily("vibe_symbol_trading", "0 when halted or delisted.", labels=PER_SYMBOL)
        live = GaugeMetricFamily("vibe_book_live", "1 when in proven sequence and fresh.", labels=PER_SYMBOL)
        for symbol, state in states.items():
            age = state.age_ns(now_ns)
            if age is not None:
                ages.add_metric(_named(symbol), age / 1e9)
            trading.add_metric(_named(symbol), float(state.suspension is None))
            live.add_metric(_named(symbol), 1.0 if state.status(now_ns) == "live" else 0.0)
        for symbol in {
            *map(runtime.exchanges.name, runtime.settings.symbols),
            *runtime.exchanges.failed,
        } - states.keys():
            live.add_metric(_named(symbol), 0.0)  # not subscribed yet: an alarm has to see it too
        yield ages
        yield live
        yield trading
        counters: list[tuple[str, str, str]] = [
            ("vibe_depth_events", "Depth events applied.", "events"),
            ("vibe_depth_events_old", "Depth events that were contained already.", "old_events"),
            ("vibe_gaps", "Gaps in the depth stream.", "gaps"),
            ("vibe_crossings", "Books dropped because they crossed.", "crossings"),
            (
                "vibe_checksum_failures",
                "Books dropped because the venue's checksum is of another one.",
                "checksum_failures",
            ),
            ("vibe_resyncs", "Snapshots that were joined with the stream.", "resyncs"),
            ("vibe_trades", "Aggregate trades received.", "trades"),
            ("vibe_trades_impossible", "Trades beyond the symbol's own limits: skipped.", "impossible_trades"),
            ("vibe_audits", "Comparisons with a fresh snapshot.", "audits"),
            ("vibe_audit_mismatches", "Comparisons that found a difference.", "audit_mismatches"),
        ]
        for name, text, field in counters:
            yield _per_symbol(name, text, {symbol: getattr(state.counts, field) for symbol, state in states.items()})
        duplicates = {symbol: state.duplicate_trades for symbol, state in states.items()}
        yield _per_symbol("vibe_trades_duplicate", "Trades that had come already.", duplicates)
        yield _per_symbol("vibe_snapshots_stored", "Seconds written.", {s: stored[s] for s in states})
        yield _per_symbol("vibe_trades_stored", "Trades written as they came.", {s: trades[s] for s in states})
        yield _per_symbol(
            "vibe_trades_filled", "Trades fetched by id.", {s: state.filling.filled for s, state in states.items()}
        )
        given_up = {s: state.filling.given_up for s, state in states.items()}
        yield _per_symbol("vibe_trades_given_up", "Trades that the exchange does not have or broke.", given_up)
        holes = GaugeMetricFamily("vibe_trade_holes", "Open holes in the ids of this run.", labels=PER_SYMBOL)
        for symbol, state in states.items():
            holes.add_metric(_named(symbol), len(state.holes))
        yield holes

    def _process(self) -> Iterator[Metric]:
        runtime = self._runtime
        about = {
            "version": __version__,
            "python": platform.python_version(),
            "books": "compiled" if runtime.market.is_compiled else "python",
        }
        yield InfoMetricFamily(
            "vibe_build", "What runs: its version, Python's, and what books are kept in.", value=about
        )
        yield from self._venues()
        archive, recorder = runtime.archive, runtime.recorder
        yield CounterMetricFamily("vibe_storage_errors", "Failed writes and openings.", value=archive.errors)
        if archive.free_bytes is not None:
            yield GaugeMetricFamily("vibe_disk_free_bytes", "Of the data directory.", value=archive.free_bytes)
        yield GaugeMetricFamily(
            "vibe_disk_reserve_bytes", "Writing pauses when less is free.", value=archive.reserve_bytes
        )
        yield GaugeMetricFamily(
            "vibe_history_set_aside", "Directories with damaged history.", value=len(archive.set_aside)
        )
        yield GaugeMetricFamily(
            "vibe_history_damaged", "1 when reading met damage.", value=float(archive.damage is not None)
        )
        is_recording = recorder.why_not_recording is None
        yield GaugeMetricFamily("vibe_storage_recording", "1 when recording.", value=float(is_recording))
        yield GaugeMetricFamily(
            "vibe_recorder_queue_ticks", "Seconds that wait for the disk.", value=recorder.queue_ticks
        )
        yield CounterMetricFamily(
            "vibe_seconds_dropped",
            "Lost to a failing disk: a second of two symbols counts as 2.",
            value=recorder.seconds_dropped,
        )
        yield GaugeMetricFamily("vibe_recorder_lag_seconds", "Of the newest second's tick.", value=recorder.lag_secs)
        yield CounterMetricFamily("vibe_findings", "Findings that were opened.", value=recorder.watcher.findings)
        if archive.written_ns is not None:
            since = (time.monotonic_ns() - archive.written_ns) / 1e9
            yield GaugeMetricFamily("vibe_last_write_age_seconds", "Since the last successful write.", value=since)
        sessions = GaugeMetricFamily("vibe_sessions", "Open client sessions; HTTP has none.", labels=["transport"])
        for transport in ("stdio", "sse", "http"):
            sessions.add_metric([transport], runtime.sessions[transport])
        yield sessions

    def _venues(self) -> Iterator[Metric]:
        """Connections and requests, by venue."""
        reconnects = CounterMetricFamily("vibe_reconnects", "Connections that broke.", labels=["venue"])
        replacements = CounterMetricFamily(
            "vibe_replacements", "Connections changed make-before-break.", labels=["venue"]
        )
        connected = GaugeMetricFamily("vibe_connected", "1 when every connection is open.", labels=["venue"])
        malformed = CounterMetricFamily("vibe_malformed_frames", "Frames skipped.", labels=["venue", "kind"])
        used = GaugeMetricFamily("vibe_rest_weight_used", "Request weight this minute.", labels=["venue"])
        requests = CounterMetricFamily("vibe_rest_requests", "REST requests sent.", labels=["venue"])
        skipped = CounterMetricFamily(
            "vibe_rest_rows_skipped", "Rows of REST answers that could not be read.", labels=["venue", "rows"]
        )
        failures = CounterMetricFamily("vibe_rest_failures", "REST requests that failed.", labels=["venue", "status"])
        for exchange in self._runtime.exchanges:
            venue, feed, rest = exchange.venue, exchange.feed, exchange.rest
            reconnects.add_metric([venue], feed.reconnects)
            replacements.add_metric([venue], feed.replacements)
            connected.add_metric([venue], float(feed.is_connected))
            for kind in ("unreadable", "invalid", "unknown"):
                malformed.add_metric([venue, kind], feed.malformed_frames[kind])
            if rest.weight_used is not None:
                used.add_metric([venue], rest.weight_used)
            requests.add_metric([venue], rest.requests)
            for rows in ("levels", "symbols", "trades"):
                skipped.add_metric([venue, rows], rest.skipped[rows])
            for status, count in rest.failures.items():
                failures.add_metric([venue, status], count)
        yield from (reconnects, replacements, connected, malformed, used, requests, skipped, failures)


class _LoopCollector(Collector):
    def __init__(self, in_flight: InFlight) -> None:
        self._in_flight = in_flight

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("vibe_in_flight", "Requests and calls being worked on.", value=self._in_flight.total)
        yield CounterMetricFamily(
            "vibe_log_lines_dropped", "Lines that nobody read off standard error.", value=stderr.dropped_lines()
        )
        yield GaugeMetricFamily("vibe_threads", "Threads of the process.", value=threading.active_count())
        with contextlib.suppress(RuntimeError):  # read outside the loop
            yield GaugeMetricFamily("vibe_tasks", "Tasks of the event loop.", value=len(asyncio.all_tasks()))


def _named(symbol: str) -> tuple[str, str]:
    """The values of `PER_SYMBOL`: the name to ask with, and who lists it."""
    return symbol, Instrument.of(symbol).venue


def _per_symbol(name: str, text: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=PER_SYMBOL)
    for symbol, value in values.items():
        family.add_metric(_named(symbol), value)
    return family
