"""A recording behind the sockets: what was received then, is sent now, paced by the times of receipt."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from loguru import logger

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.aggregation import Aggregator
from vibe_orderbook_mcp.sim.inference import RecordingFacts
from vibe_orderbook_mcp.sim.ledger import ASK, BID, Ledger
from vibe_orderbook_mcp.sim.past import AggRow
from vibe_orderbook_mcp.sim.recordings import Check, Record, complete, read
from vibe_orderbook_mcp.sim.rules import Rules
from vibe_orderbook_mcp.sim.server import VenueServer
from vibe_orderbook_mcp.sim.sockets import StreamLimits
from vibe_orderbook_mcp.sim.trades import TradeLog
from vibe_orderbook_mcp.sim.venue import Drained, Publish, SymbolTruth, Wanted
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, Depth, DepthEvent, Event, TradeFill

SNAPSHOT_WAIT_S: Final = 9.0  # the exchange itself gives up on a request after ten
YIELD_NS: Final = 20_000_000  # how much of the recording is played without letting others run
YIELD_RECORDS: Final = 100


# What `/sim/status` calls the frames that were played.
PLAYED: Final[dict[type, str]] = {
    DepthEvent: "DepthUpdate",
    AggTrade: "AggTrade",
    TradeFill: "TradeFill",
    BookTicker: "BookTicker",
    Depth: "Depth",
}


class ReplayConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What to replay, and how fast."""

    files: tuple[Path, ...]
    speed: float = 1.0  # 0: as fast as clients take it
    venue: str | None = None  # None: whichever the frames are of
    patience_s: float = 2.0  # at speed 0: how long a lost client, or the question for a book, is waited for
    seed: int = 1  # of the faults
    host: str = "127.0.0.1"
    port: int = 0
    weight_limit: int = 6000
    limits: StreamLimits = StreamLimits()

    def check(self) -> None:
        if not self.files:
            raise ConfigError("A replay needs at least one recording.")
        if not 0 <= self.speed <= 10_000:
            raise ConfigError(f"speed is {self.speed}; it may be 0 (as fast as clients take it) to 10000.")
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"port is {self.port}; it may be 0 to 65535.")


class ReplayedSymbol:
    """One symbol's book and trades at the replay's position. No I/O.

    The book begins with the recorded depth answer: earlier events wait for it, those it already holds are skipped.
    """

    def __init__(self, rules: Rules, *, has_aggregates: bool) -> None:
        self.state = SymbolTruth(rules, Ledger(0), TradeLog(0))
        self.live = False
        self._waiting: list[DepthEvent] = []
        self._aggregator = None if has_aggregates else Aggregator(rules.size)
        self._traded = False

    def play(self, record: Record) -> list[Event]:
        """Take a record; what goes out to clients because of it."""
        what = record.what
        out = self.tick(record.received_ns)
        if isinstance(what, Depth):
            self._begin(what)
        elif isinstance(what, DepthEvent):
            self._apply(what)
            out.append(what)
        elif isinstance(what, TradeFill):
            self.state.trades.fills.append(what)
            closed = None if self._aggregator is None else self._aggregator.add(what, record.received_ns)
            out += self._remember(closed)
            out.append(what)
        elif isinstance(what, AggTrade):
            out += self._remember(what)
        elif isinstance(what, BookTicker):
            out.append(what)
        return out

    @property
    def closes_ns(self) -> int | None:
        """When an aggregate trade made from fills is complete if no other fill comes."""
        return None if self._aggregator is None else self._aggregator.closes_ns

    def tick(self, now_ns: int) -> list[Event]:
        """Time passes; the aggregate trade that is complete by it."""
        return [] if self._aggregator is None else self._remember(self._aggregator.tick(now_ns))

    def _begin(self, snapshot: Depth) -> None:
        if self.live:
            return  # our own book knows more than another answer of the same moment
        ledger, price, size = self.state.ledger, self.state.rules.price.units, self.state.rules.size.units
        for side, levels in ((BID, snapshot.bids), (ASK, snapshot.asks)):
            ledger.sides[side].clear()
            ledger.sides[side].update((price(text), size(lots)) for text, lots in levels)
        ledger.last_id = snapshot.last_update_id
        ledger.forget()
        self.live = True
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            self._apply(event)

    def _apply(self, event: DepthEvent) -> None:
        ledger = self.state.ledger
        if not self.live:
            self._waiting.append(event)
            return
        if event.final_id <= ledger.last_id:
            return
        if event.first_id > ledger.last_id + 1:
            logger.warning("The recording of {} has a gap before {}", event.symbol, event.first_id)
            self.live = False
            self._waiting = [event]
            return
        price, size = self.state.rules.price.units, self.state.rules.size.units
        ledger.last_id = event.final_id
        for side, levels in ((BID, event.bids), (ASK, event.asks)):
            for text, lots in levels:
                ledger.put(side, price(text), size(lots))
        ledger.close_event(event.event_ms)

    def _remember(self, trade: AggTrade | None) -> list[Event]:
        if trade is None:
            return []
        state, rules = self.state, self.state.rules
        if not self._traded or trade.agg_id != state.trades.next_id:
            fills, state.trades = state.trades.fills, TradeLog(trade.agg_id)  # after a hole, only what is provable
            state.trades.fills = fills
            self._traded = True
        row = AggRow(
            trade.agg_id,
            trade.time_ms,
            rules.price.units(trade.price),
            rules.size.units(trade.size),
            trade.first_trade_id,
            trade.last_trade_id,
            trade.buyer_is_maker,
        )
        state.trades.append(row)
        return [trade]


class ReplayVenue:
    """A recording as an exchange.

    At speed 0 nothing is sent before clients have read what came before it; a client that lost its connection, and
    one that has not asked for a book yet, are waited for.
    """

    source = "recording"

    def __init__(
        self, files: Sequence[Path], *, speed: float, venue: str | None = None, patience_s: float = 2.0
    ) -> None:
        self._files = complete(files)
        self._speed = speed
        self._patience_s = patience_s
        self._facts = facts = RecordingFacts(read(self._files, Check(venue)))
        if not facts.symbols:
            raise ConfigError(f"There is nothing to replay in {', '.join(path.name for path in files)}.")
        for symbol, known in facts.symbols.items():
            if known.has_depth and not known.has_answer:
                logger.warning("The recording has no depth answer of {}: its book cannot be served", symbol)
        self._symbols = {
            symbol: ReplayedSymbol(facts.rules(symbol), has_aggregates=known.has_aggregates)
            for symbol, known in facts.symbols.items()
        }
        self.states = {symbol: played.state for symbol, played in self._symbols.items()}
        self.counts: Counter[str] = Counter()
        self.finished = asyncio.Event()
        self._begun = asyncio.Event()
        self._began_at = 0.0
        self._position_ns = facts.first_ns
        self._moved = asyncio.Event()  # replaced at every depth answer: a REST request may be waiting for it
        self._open: set[str] = set()  # symbols whose newest aggregate trade may still grow
        self._heard: set[str] = set()  # symbols whose live book somebody has had an event of
        self._asked: set[str] = set()  # symbols whose book was asked for since
        self._listened: set[str] = set()  # depth streams that have listeners, or had until now
        self._changed = asyncio.Event()  # replaced when a book was asked for, or a stream listened to

    def now_ms(self) -> int:
        """The exchange's time at the replay's position; it stands before the start and after the end."""
        position = self._position_ns
        if self._speed and self._begun.is_set() and not self.finished.is_set():
            elapsed = (time.monotonic() - self._began_at) * self._speed
            position = max(position, min(self._facts.first_ns + int(elapsed * 1e9), position + 10**9))
        return self._facts.first_event_ms + (position - self._facts.first_ns) // 1_000_000

    def refresh(self, symbol: str) -> None:
        """A recording moves by itself."""

    async def ready(self, symbol: str) -> bool:
        """Wait, within the exchange's own patience, until the recorded book of the symbol has been reached."""
        try:
            async with asyncio.timeout(SNAPSHOT_WAIT_S):
                while not self._symbols[symbol].live and not self.finished.is_set():
                    await self._moved.wait()
        except TimeoutError:
            logger.warning("The recorded depth answer of {} is not reached yet", symbol)
        self._asked.add(symbol)
        self._change()
        return self._symbols[symbol].live

    def subscribed(self, stream: str) -> None:
        """The first depth stream starts the play, so that nobody misses its beginning."""
        if "@depth" not in stream:
            return
        self._listened.add(stream)
        self._change()
        if not self._begun.is_set():
            self._began_at = time.monotonic()
            self._begun.set()

    async def run(self, publish: Publish, wanted: Wanted, drained: Drained) -> None:
        await self._begun.wait()
        yielded_ns, unyielded = 0, 0  # clients are waited for before the first line too
        for at_ns, record in self._steps():
            ahead = self._due(at_ns) - time.monotonic() if self._speed else 0.0
            unyielded += 1
            if ahead > 0.001:
                await asyncio.sleep(ahead)
                yielded_ns, unyielded = at_ns, 0
            elif at_ns - yielded_ns > YIELD_NS or unyielded > YIELD_RECORDS:
                await asyncio.sleep(0)
                await drained()
                yielded_ns, unyielded = at_ns, 0
            if not self._speed:
                await self._wait_for_clients(record, wanted)
            self._position_ns = max(self._position_ns, at_ns)
            self._close_runs(at_ns, publish)
            if record is not None:
                self._play(record, publish, wanted)
        self.finished.set()
        self._wake()
        logger.info("Replay finished: {}", dict(self.counts))
        await asyncio.Event().wait()  # the sockets stay open: the last book is still served

    def _steps(self) -> Iterator[tuple[int, Record | None]]:
        """The records by their times, and between them (None) the times at which an aggregate trade is complete."""
        for record in read(self._files):
            while (closes_ns := self._next_close()) is not None and closes_ns < record.received_ns:
                yield closes_ns, None
            yield record.received_ns, record
        while (closes_ns := self._next_close()) is not None:
            yield closes_ns, None

    def _next_close(self) -> int | None:
        return min((at_ns for symbol in self._open if (at_ns := self._symbols[symbol].closes_ns)), default=None)

    def _close_runs(self, at_ns: int, publish: Publish) -> None:
        for symbol in sorted(self._open):
            played = self._symbols[symbol]
            if events := played.tick(at_ns):
                publish(symbol, events)
            if played.closes_ns is None:
                self._open.discard(symbol)

    def _due(self, at_ns: int) -> float:
        return self._began_at + (at_ns - self._facts.first_ns) / 1e9 / self._speed

    def _play(self, record: Record, publish: Publish, wanted: Wanted) -> None:
        symbol = self._facts.owner(record)
        if not symbol:
            return
        played = self._symbols[symbol]
        self.counts[PLAYED[type(record.what)]] += 1
        if events := played.play(record):
            publish(symbol, events)
        if played.closes_ns is not None:
            self._open.add(symbol)
        if isinstance(record.what, Depth):
            self._wake()
        elif isinstance(record.what, DepthEvent) and played.live and wanted(_depth_stream(symbol)):
            self._heard.add(symbol)

    async def _wait_for_clients(self, record: Record | None, wanted: Wanted) -> None:
        """At full speed: wait for clients that lost their connection, and for the question about a book with events."""
        for stream in sorted(self._listened):
            if wanted(stream):
                continue
            symbol = stream.partition("@")[0].upper()
            self._heard.discard(symbol)
            self._asked.discard(symbol)
            if not await self._until(lambda stream=stream: wanted(stream)):  # type: ignore[misc]  # bound at once
                self._listened.discard(stream)
        if record is None or not isinstance(record.what, DepthEvent):
            return
        symbol = record.what.symbol
        if symbol in self._heard and symbol not in self._asked:
            await self._until(lambda: symbol in self._asked or not wanted(_depth_stream(symbol)))
            self._asked.add(symbol)

    async def _until(self, condition: Callable[[], bool]) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while not condition():
                    await self._changed.wait()
        return condition()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    def exchange_info(self) -> dict[str, Any] | None:
        return self._facts.exchange_info

    def status(self) -> dict[str, Any]:
        facts = self._facts
        return {
            "mode": "replay",
            "time_ms": self.now_ms(),
            "symbols": list(self.states),
            "speed": self._speed,
            "playing": self._begun.is_set() and not self.finished.is_set(),
            "finished": self.finished.is_set(),
            "position_s": round((self._position_ns - facts.first_ns) / 1e9, 3),
            "length_s": round((facts.last_ns - facts.first_ns) / 1e9, 3),
            "counts": dict(self.counts),
        }


def _depth_stream(symbol: str) -> str:
    return f"{symbol.lower()}@depth@100ms"


class ReplayExchange(VenueServer):
    """The exchange of a recording."""

    venue: ReplayVenue

    def __init__(self, config: ReplayConfig) -> None:
        config.check()
        self.config = config
        super().__init__(
            ReplayVenue(config.files, speed=config.speed, venue=config.venue, patience_s=config.patience_s),
            host=config.host,
            port=config.port,
            seed=config.seed,
            weight_limit=config.weight_limit,
            limits=config.limits,
        )

    async def finished(self) -> None:
        """Wait until the last line has been played."""
        await self.venue.finished.wait()


async def serve_replay(config: ReplayConfig, *, started: Callable[[str], None]) -> None:
    """Serve a recording until cancelled. `started` gets one sentence as soon as clients may come."""
    async with ReplayExchange(config) as sim:
        names = ", ".join(sim.venue.states)
        logger.info("Replay of {} on {}", names, sim.rest_url)
        started(
            f"Replay of {names}: REST {sim.rest_url}, websocket {sim.ws_url}; it starts with the first subscription"
        )
        await sim.wait()
