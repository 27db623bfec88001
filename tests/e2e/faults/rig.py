"""The whole program beside a simulated exchange, with a client that asks all the time and a check against the truth.

Every book that the program would serve is compared with the true one at the same update id, whenever it changes.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.faults.stored import stored_books, stored_trades
from tests.e2e.rig import Logged, listening, settings_for, until
from tests.outcomes import Outcome as Row
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.answers.service import SourceAnswers
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.book.sync import Loaded, Outcome
from vibe_orderbook_mcp.collect.local_source import LocalSource
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE
from vibe_orderbook_mcp.process.web import TIMEOUT_SECS
from vibe_orderbook_mcp.serve.metrics import Metrics
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.sim.faults import Corrupt, CorruptRest, Fault
from vibe_orderbook_mcp.venues.binance.rest import BinanceRest
from vibe_orderbook_mcp.venues.binance.weights import DEFAULT_LIMIT, WeightBudget

SYMBOLS = ("BTCUSDT", "ETHUSDT")
LEVELS = 20
DEEP_LEVELS = 1000
LOOK_SECS = 0.02
ASK_SECS = 0.1
LATE_SECS = 0.25  # an answer that took longer had to wait for its book
SETTLED_EVENTS = 5
MOST_LINES = 6  # warnings and errors about one fault: what happened, and twice that a symbol has a gap and no book


class JudgedMarket(Market):
    """A market whose every servable book is compared with the exchange's own, at the moment it becomes one."""

    def __init__(self) -> None:
        super().__init__()
        self.sim: SimExchange | None = None
        self.checked = 0
        self.most_late_secs = 0.0  # from the moment of an event, by the exchange's clock, until it was applied
        self.wrong: list[tuple[str, int]] = []
        # Of every event: when (monotonic), and how many snapshots had been joined by then.
        self.applied: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self.outcomes: dict[str, Counter[Outcome]] = defaultdict(Counter)

    def receive_depth(self, update: DepthUpdate, now_ns: int, venue: str = DEFAULT_VENUE) -> Outcome | None:
        outcome = super().receive_depth(update, now_ns, venue)
        if outcome is not None:
            self.outcomes[update.symbol][outcome] += 1
        if outcome is Outcome.APPLIED:
            if self.sim is not None and not self.sim.faults.skew_ms():
                late_secs = (self.sim.venue.now_ms() - update.event_ms) / 1000
                self.most_late_secs = max(self.most_late_secs, late_secs)
            self.applied[update.symbol].append((time.monotonic(), self.symbols[update.symbol].counts.resyncs))
            self.judge(update.symbol)
        return outcome

    def load(self, symbol: str, snapshot: DepthSnapshot, limit: int, now_ns: int, venue: str = DEFAULT_VENUE) -> Loaded:
        loaded = super().load(symbol, snapshot, limit, now_ns, venue)
        self.judge(symbol)
        return loaded

    def confirm(self, symbol: str, venue: str = DEFAULT_VENUE) -> None:
        super().confirm(symbol, venue)
        self.judge(symbol)

    def judge(self, symbol: str, levels: int = LEVELS) -> None:
        state = self.symbols.get(symbol)
        book = None if state is None else state.book
        if book is None or self.sim is None:
            return
        truth = self.sim.truth(symbol, book.last_update_id, levels)
        self.checked += 1
        if truth is None or tops(book, levels) != tuple([(float(p), float(s)) for p, s in side] for side in truth):
            self.wrong.append((symbol, book.last_update_id))


def tops(book: OrderBook, levels: int) -> tuple[list[tuple[float, float]], ...]:
    return book.bids.top(levels), book.asks.top(levels)


class Told(NamedTuple):
    """What one call was answered, and when."""

    at: float
    symbol: str
    what: str  # live, stale, or the code of a refusal
    took: float
    text: str  # warnings, or the refusal's message


class Watch:
    """A running program, a user of it for every symbol, and what both went through."""

    def __init__(self, sim: SimExchange, runtime: Runtime, market: JudgedMarket, logged: Logged) -> None:
        self.sim = sim
        self.runtime = runtime
        self.market = market
        self.logged = logged
        self.told: list[Told] = []
        self.not_live_at = 0.0  # the last moment at which a book was not live
        self.statuses_seen: set[str] = set()
        self._answers = SourceAnswers(LocalSource(runtime))
        self._metrics = Metrics(runtime)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self._metrics.text().decode())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def statuses(self) -> dict[str, str]:
        now_ns = time.monotonic_ns()
        return {symbol: state.status(now_ns) for symbol, state in self.market.symbols.items()}

    async def all_live(self, secs: float = PATIENCE_SECS) -> None:
        symbols = self.runtime.settings.symbols
        await until(lambda: [self.statuses().get(symbol) for symbol in symbols] == ["live"] * len(symbols), secs)

    async def settled(self, secs: float = PATIENCE_SECS) -> None:
        """Every symbol goes on: live, with further events in sequence behind it."""
        applied = {s: self.market.outcomes[s][Outcome.APPLIED] for s in self.runtime.settings.symbols}

        def goes_on() -> bool:
            return all(self.market.outcomes[s][Outcome.APPLIED] >= n + SETTLED_EVENTS for s, n in applied.items())

        await until(goes_on, secs)
        await self.all_live(secs)

    async def ask_forever(self, symbol: str) -> None:
        while True:
            self.told.append(await self.ask(symbol))
            await asyncio.sleep(ASK_SECS)

    async def ask(self, symbol: str) -> Told:
        began = time.monotonic()
        try:
            answer = await self._answers.orderbook_l2(symbol, LEVELS)
        except Refusal as refusal:
            return Told(began, symbol, refusal.code, time.monotonic() - began, refusal.message)
        took = time.monotonic() - began
        return Told(began, symbol, answer.status, took, " ".join(answer.warnings))

    async def look_forever(self) -> None:
        while True:
            statuses = set(self.statuses().values())
            self.statuses_seen |= statuses
            if statuses - {"live"}:
                self.not_live_at = time.monotonic()
            await asyncio.sleep(LOOK_SECS)

    def saw(self, since: float) -> str:
        """What users have seen since then, in words for the table."""
        told = [each for each in self.told if each.at >= since]
        late = max((each.took for each in told if each.what == "live"), default=0.0)
        words = [what for what, _ in groupby(each.what for each in told) if what != "live"]
        distinct = list(dict.fromkeys(words))
        if late > LATE_SECS:
            distinct.insert(0, f"answers up to {late:.1f} s late")
        return ", ".join(distinct) or "live throughout"

    def deep_check(self) -> None:
        """The books now, far down."""
        for symbol in self.market.symbols:
            self.market.judge(symbol, DEEP_LEVELS)

    async def store_is_true(self) -> None:
        """Nothing that was broken on its way is in the store, and no trade is missing between first and last."""
        stored = self.runtime.recorder.snapshots_stored
        await until(lambda: all(stored[symbol] > 0 for symbol in self.market.symbols))
        history = self.runtime.archive.writable()
        for symbol in self.market.symbols:
            async with asyncio.timeout(PATIENCE_SECS):  # the filler looks once a second
                while (trades := await stored_trades(history, self.sim, symbol)).missing:
                    await asyncio.sleep(ASK_SECS)
            assert trades.wrong == 0, f"{symbol}: {trades}"
            books = await stored_books(history, self.sim, symbol)
            assert (books.checked > 0, books.wrong) == (True, 0), f"{symbol}: {books}"

    def tell(self, row: Row, *, since: float, over: float, recovered: float | None = None) -> None:
        """Fill in the row of a fault that began at `since` and was over at `over`."""
        self.deep_check()
        row.recovered(max(0.0, (recovered or self.not_live_at) - over), saw=self.saw(since))
        row.books(checked=self.market.checked, wrong=len(self.market.wrong))

    async def suffer(self, faults: list[Fault], secs: float = PATIENCE_SECS) -> tuple[float, float]:
        """Switch the faults on and wait until they are over: (when they began, when they ended)."""
        began = time.monotonic()
        for fault in faults:
            self.sim.faults.add(fault)
        await until(lambda: self.sim.faults.listing() == [], secs)
        return began, time.monotonic()


class Case(NamedTuple):
    """Faults, and the traces that they have to leave."""

    fault: str
    promise: str
    faults: list[Fault]
    log: str | None  # part of the one line that says what happened; None: nothing to say
    metric: str  # grows
    labels: dict[str, str] = {}  # noqa: RUF012  # never changed

    def param(self) -> Any:
        marker = pytest.mark.fault(part="exchange", fault=self.fault, promise=self.promise)
        return pytest.param(self, marks=marker, id=self.fault)


async def bear(watch: Watch, case: Case, row: Row) -> None:
    """Have it happen to a running program, and check everything that every row promises."""
    before, lines = watch.metric(case.metric, **case.labels), len(watch.logged.messages)
    began, over = await watch.suffer(case.faults)
    await until(lambda: watch.metric(case.metric, **case.labels) > before)
    await watch.settled()
    said = watch.logged.messages[lines:]
    assert sum(case.log in line for line in said) == 1 if case.log is not None else not said, said
    assert len(said) <= MOST_LINES, said
    if any(isinstance(fault, Corrupt | CorruptRest) for fault in case.faults):
        await watch.store_is_true()
    watch.tell(row, since=began, over=over)


class Relay:
    """A TCP connection that passes through here can die without a word: nothing is forwarded, nothing is closed."""

    def __init__(self, port: int) -> None:
        self._to_port = port
        self._thawed: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    def freeze(self) -> None:
        """The connections of now. Those that come later are whole."""
        for event in self._thawed:
            event.clear()
        self._thawed = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers += [writer, onward[1]]
        thawed = asyncio.Event()
        thawed.set()
        self._thawed.append(thawed)
        for source, sink in ((reader, onward[1]), (onward[0], writer)):
            self._tasks.append(asyncio.create_task(self._pass_on(source, sink, thawed)))

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, thawed: asyncio.Event) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await thawed.wait()
                sink.write(data)
                await sink.drain()
        sink.close()


def exchange(**changes: Any) -> SimExchange:
    return SimExchange(SimConfig(**{"symbols": SYMBOLS, "seed": 11, "history_hours": 0.0, **changes}))


@contextlib.asynccontextmanager
async def watching(
    sim: SimExchange,
    path: Path,
    *,
    rest_url: str | None = None,
    ws_url: str | None = None,
    timeout_secs: float = TIMEOUT_SECS,
    weight_limit: int = DEFAULT_LIMIT,
    **settings: Any,
) -> AsyncIterator[Watch]:
    """The program on this exchange, which the caller starts."""
    market = JudgedMarket()
    market.sim = sim
    options = {"symbols": ",".join(SYMBOLS), "backfill_hours": 0, **settings}
    with listening("WARNING") as logged:
        budget = WeightBudget(weight_limit)
        rest = BinanceRest(rest_url or sim.rest_url, timeout_secs=timeout_secs, budget=budget)
        runtime = Runtime(
            settings_for(rest_url or sim.rest_url, ws_url or sim.ws_url, path, **options), market, rest=rest
        )
        async with runtime.hold():
            watch = Watch(sim, runtime, market, logged)
            with in_background(watch.look_forever(), *map(watch.ask_forever, runtime.settings.symbols)):
                yield watch


@contextlib.asynccontextmanager
async def live(path: Path, **settings: Any) -> AsyncIterator[Watch]:
    """The program on an exchange of its own, entered once every book is live."""
    async with exchange() as sim, watching(sim, path, **settings) as watch:
        await watch.all_live()
        yield watch


@contextlib.contextmanager
def in_background(*work: Any) -> Iterator[None]:
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
