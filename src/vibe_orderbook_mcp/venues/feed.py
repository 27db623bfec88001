"""The live feed: its symbols, their connections, and how each gets back into sequence.

A gap is repaired in the background as soon as it is detected, without a question about the book.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Hashable
from typing import cast

import msgspec
from loguru import logger

from vibe_orderbook_mcp.book.sync import Loaded, Outcome
from vibe_orderbook_mcp.market.chronicle import DELISTED, TRADING
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.errors import (
    ExchangeError,
    ExchangeUnavailable,
    InexactSymbol,
    RateLimited,
    SymbolUnknown,
)
from vibe_orderbook_mcp.model.events import DepthUpdate
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE, Instrument
from vibe_orderbook_mcp.model.listed import Listing
from vibe_orderbook_mcp.model.naming import listed_symbol
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.model.wire import BookReplaced, Malformation, MalformedMessage, Traded
from vibe_orderbook_mcp.process.pace import Repeats, delays
from vibe_orderbook_mcp.venues.checks import AUDIT_EVERY_SECS, BookChecks
from vibe_orderbook_mcp.venues.contract import Rest, SnapshotRest, Venue
from vibe_orderbook_mcp.venues.line import Line
from vibe_orderbook_mcp.venues.listing import ListingWatch
from vibe_orderbook_mcp.venues.symbol_list import SymbolList
from vibe_orderbook_mcp.venues.tape import TapeReceiver

SNAPSHOTS_AT_ONCE = 4
# A quiet symbol's snapshot is accepted when its open stream was silent for this long after it.
CONFIRM_AFTER_SECS = 2.0
UNPROVEN_LOOK_SECS = 0.05
UNKNOWN_RETRY_SECS = 300.0
SHOWN_MOST = 5  # symbols by name in a log line about all of them
# A book that comes by the stream is there at once, or was not sent; then it is asked for again.
STREAMED_BOOK_SECS = 5.0


class Feed:
    """Writes to `market`; reads sockets. One object a venue.

    Who calls it names instruments as everybody does. Inside, as on the connections, a symbol is in the venue's own
    spelling.
    """

    def __init__(
        self,
        market: Market,
        venue: Venue,
        rest: Rest,
        ws_url: str,
        *,
        audit_every_secs: float = AUDIT_EVERY_SECS,
    ) -> None:
        self.market = market
        self._venue = venue
        self._venue_name = venue.traits.name
        self._owners = market.of_venue(self._venue_name)
        self._rest = rest
        self._ws_url = ws_url
        # None: books begin by the stream.
        self._depths = cast("SnapshotRest", rest) if venue.traits.snapshots == "rest" else None
        self._checks = (
            None
            if self._depths is None
            else BookChecks(self._owners, self._depths, venue.traits.most_depth, audit_every_secs=audit_every_secs)
        )
        self.lines: list[Line] = []
        self.tape_lines: list[Line] = []  # where trades come on connections of their own
        self.malformed_frames: Counter[Malformation] = Counter()  # frames that were skipped
        self.last_error: str | None = None
        self.failed: dict[str, str] = {}  # eager symbols that could not be subscribed yet, and why
        self.found: dict[str, str] = {}  # eager instruments as they were asked for, and their names
        self._eager: set[str] = set()  # eager symbols that are not subscribed yet
        self._live: dict[str, asyncio.Event] = {}
        self._syncing: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._snapshots = asyncio.Semaphore(SNAPSHOTS_AT_ONCE)
        self._adding: dict[str, asyncio.Task[SymbolSpec]] = {}
        self._symbol_list = SymbolList(rest)
        self._listing = ListingWatch(self._owners, rest, self._resumed, self._regridded)
        self._said = Repeats()
        self._ends_noted = 0  # `reconnects` at the last end of a connection

    # --- which symbols -------------------------------------------------------------------------------------

    async def listed(self, symbol: str) -> str:
        """The name of the listed instrument that is meant, before a client's symbol takes a place. Raises
        SymbolUnknown, RateLimited; see `SymbolList.check`.
        """
        return symbol if symbol in self.wanted else self._name(await self._symbol_meant(self._spelling(symbol)))

    async def _symbol_meant(self, symbol: str) -> str:
        """The venue's spelling of it, or its pair of a bare asset. Raises SymbolUnknown, RateLimited."""
        try:
            await self._symbol_list.check(symbol)
        except SymbolUnknown:
            instrument = Instrument(self._venue_name, symbol)
            meant = None if self.listing is None else listed_symbol(instrument, self.listing)
            if meant is None:
                raise
            return meant
        return symbol

    @property
    def listing(self) -> Listing | None:
        """The exchange's list of symbols; None until a client asks for a new symbol."""
        return self._symbol_list.listing

    async def subscribe(self, symbol: str, *, is_lookup: bool = True) -> SymbolSpec:
        """Subscribe this symbol. Raises SymbolUnknown, InexactSymbol, ExchangeUnavailable, RateLimited.

        `is_lookup`: a client asked, and the cost is charged to the small share of clients' look-ups.
        """
        symbol = self._spelling(symbol)
        owner = self._owners.get(symbol)
        if owner is not None:
            return owner.spec
        task = self._adding.get(symbol)
        if task is None:
            task = self._adding[symbol] = asyncio.create_task(self._add(symbol, is_lookup=is_lookup))
            task.add_done_callback(lambda done: self._has_added(symbol, done))
        return await asyncio.shield(task)

    def _has_added(self, symbol: str, task: asyncio.Task[SymbolSpec]) -> None:
        self._adding.pop(symbol, None)
        if not task.cancelled():
            task.exception()  # the waiting callers have the error; after a time-out none waits

    def keep(self, symbol: str) -> None:
        """Subscribe an eager symbol in the background and retry until it works."""
        self._eager.add(symbol)
        self._spawn(self._keep(symbol))

    def drop(self, symbol: str) -> None:
        """Drop the symbol. Its rows and trades must be taken before."""
        self.market.give_up(symbol)
        self._said.forget(symbol)
        symbol = self._spelling(symbol)
        if (task := self._syncing.pop(symbol, None)) is not None:
            task.cancel()
        self._live.pop(symbol, None)
        if self._checks is not None:
            self._checks.forget(symbol)
        self._listing.forget(symbol)
        for line in (*self.lines, *self.tape_lines):
            if symbol in line.symbols:
                line.symbols.discard(symbol)
                self._spawn(line.drop(symbol))

    async def wait_live(self, symbol: str, timeout_secs: float) -> bool:
        """Whether the symbol has a proven book within the time."""
        event = self._live.setdefault(self._spelling(symbol), asyncio.Event())
        try:
            await asyncio.wait_for(event.wait(), timeout_secs)
        except TimeoutError:
            return False
        return True

    async def aclose(self) -> None:
        tasks = [*self._tasks, *self._syncing.values(), *self._adding.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, self._symbol_list.aclose(), return_exceptions=True)

    @property
    def wanted(self) -> set[str]:
        """Symbols that are subscribed, being subscribed, or eager and still missing."""
        return {*map(self._name, (*self._owners, *self._adding)), *self.failed}

    def _spelling(self, name: str) -> str:
        return Instrument.of(name).symbol

    def _name(self, symbol: str) -> str:
        return Instrument(self._venue_name, symbol).name

    @property
    def is_connected(self) -> bool:
        return bool(self.lines) and all(line.connection is not None for line in (*self.lines, *self.tape_lines))

    @property
    def reconnects(self) -> int:
        return sum(line.reconnects for line in (*self.lines, *self.tape_lines))

    @property
    def replacements(self) -> int:
        """Connections that were changed, make before break."""
        return sum(line.replacements for line in (*self.lines, *self.tape_lines))

    def _waiting_text(self) -> str:
        """The eager symbols that are not subscribed yet: the first few by name, the others by number."""
        waiting = sorted(self._eager)
        more = f" and {len(waiting) - SHOWN_MOST} more" if len(waiting) > SHOWN_MOST else ""
        return f"{', '.join(waiting[:SHOWN_MOST])}{more}"

    async def _keep(self, symbol: str) -> None:
        waits = delays(1.0)
        while True:
            try:
                spec = await self.subscribe(symbol, is_lookup=False)
            except SymbolUnknown as error:
                self.failed[symbol] = str(error)
                self._eager.discard(symbol)
                logger.error("Cannot subscribe to {}: {}", symbol, error)
                await asyncio.sleep(UNKNOWN_RETRY_SECS)
            except InexactSymbol as error:
                self.failed[symbol] = str(error)
                self._eager.discard(symbol)
                logger.error("Cannot subscribe to {}: {}", symbol, error)
                return
            except RateLimited as error:
                self.failed[symbol] = str(error)
                self._warn("subscribing", "Cannot subscribe to {} yet: {}", self._waiting_text(), error)
                await asyncio.sleep(error.retry_after_secs)
            except ExchangeError as error:
                self.failed[symbol] = self.last_error = str(error)
                self._warn("subscribing", "Cannot subscribe to {} yet: {}", self._waiting_text(), error)
                await asyncio.sleep(next(waits))
            else:
                self.failed.pop(symbol, None)
                self._eager.discard(symbol)
                self.found[symbol] = name = spec.symbol
                logger.bind(symbol=name).info("Pre-subscribed to {} for snapshot persistence", name)
                return

    async def _add(self, symbol: str, *, is_lookup: bool) -> SymbolSpec:
        spec = await self._spec(symbol, is_lookup=is_lookup)
        symbol = spec.symbol
        spec = msgspec.structs.replace(spec, symbol=self._name(symbol), proof=self._venue.traits.proof)
        spec.check_exact()
        clock = self.market.clock_of(self._venue_name)
        if clock.now_ms(time.monotonic_ns()) is None:
            # A quiet symbol may be silent for minutes, and its seconds must be stored from the first one.
            clock.observe(await self._rest.server_time_ms(), time.monotonic_ns())
        status = TRADING if spec.trading else (await self._rest.listing(symbol))[0]
        owner = self.market.add(spec, self._venue.rule(spec))
        if self._venue.traits.proof.trades == "unproven":
            owner.number_trades()
        self._listing.note(owner, status)
        line = self._line_with_room()
        owner.follow(line.pulse)
        if self._venue.tape is not None:
            self._spawn(self._subscribe_tape(self._venue.tape, symbol))
        if await self._subscribe(line, symbol) and line.connection is not None and owner.needs_snapshot:
            self._resync(symbol, is_opening=True)
        return spec

    async def _subscribe(self, line: Line, symbol: str) -> bool:
        """Whether the venue has confirmed it."""
        try:
            await line.add(symbol)
        except ExchangeUnavailable as error:
            # The symbol is in the line's list, so the next connection, which replaces this one, has it.
            logger.warning("Subscribing to {} was not confirmed: {}", self._name(symbol), error)
            line.replace("a subscription was not confirmed")
            return False
        return True

    async def _subscribe_tape(self, tape: Venue, symbol: str) -> None:
        line = next((each for each in self.tape_lines if len(each.symbols) < tape.traits.symbols_a_line), None)
        if line is None:
            line = Line(tape, self._ws_url, TapeReceiver(self.trade, self.malformed))
            self.tape_lines.append(line)
            self._spawn(line.run())
        await self._subscribe(line, symbol)

    async def _spec(self, symbol: str, *, is_lookup: bool) -> SymbolSpec:
        """What the venue says of it, also where an eager instrument is spelled otherwise than the venue does."""
        try:
            return await self._rest.symbol(symbol, is_lookup=is_lookup)
        except SymbolUnknown:
            if self._venue_name == DEFAULT_VENUE or is_lookup:
                raise
            return await self._rest.symbol(await self._symbol_meant(symbol), is_lookup=is_lookup)

    def _line_with_room(self) -> Line:
        line = next((line for line in self.lines if len(line.symbols) < self._venue.traits.symbols_a_line), None)
        if line is None:
            line = Line(self._venue, self._ws_url, self)
            self.lines.append(line)
            self._spawn(line.run())
            if len(self.lines) == 1:
                if self._checks is not None:
                    self._spawn(self._checks.audit_forever())
                    self._spawn(self._checks.look_forever())
                self._spawn(self._listing.run())
        return line

    # --- Receiver: events of lines -------------------------------------------------------------------------

    def depth(self, update: DepthUpdate, received_ns: int) -> None:
        symbol = update.symbol
        outcome = self.market.receive_depth(update, received_ns, self._venue_name)
        if outcome is Outcome.APPLIED:
            live = self._live.get(symbol)
            if live is None or not live.is_set():
                self._note_live(symbol)
        elif outcome is Outcome.GAP:
            expected, got = self._owners[symbol].missed
            self._begin_anew(symbol, outcome, "Gap in {} depth stream: expected {}, got {}; resyncing", expected, got)
        elif outcome is Outcome.CROSSED:
            self._begin_anew(symbol, outcome, "Crossed book of {}; resyncing")
        elif outcome is Outcome.WRONG:
            self._begin_anew(symbol, outcome, "The book of {} fails the exchange's checksum; resyncing")
        elif outcome is Outcome.MISCOUNTED:
            self._begin_anew(symbol, outcome, "The book of {} has too many or too few levels; resyncing")

    def book(self, replaced: BookReplaced, received_ns: int) -> None:
        outcome = self.market.replace(replaced, received_ns, self._venue_name)
        if outcome is Outcome.APPLIED:
            self._note_live(replaced.symbol)
        elif outcome is Outcome.WRONG:
            self._begin_anew(replaced.symbol, outcome, "A whole book of {} fails its own checksum; asking for another")
        elif outcome is Outcome.MISCOUNTED:
            self._begin_anew(replaced.symbol, outcome, "A whole book of {} has too many levels; asking for another")

    def _begin_anew(self, symbol: str, outcome: Outcome, text: str, *values: object) -> None:
        """The book cannot be proved any more."""
        name = self._name(symbol)
        self._warn((outcome, symbol), text, name, *values, symbol=name)
        self._lose(symbol)
        self._resync(symbol)

    def trade(self, traded: Traded, received_ns: int) -> None:
        self.market.receive_trade(traded.symbol, traded.trade(), self._venue_name)

    def malformed(self, error: MalformedMessage) -> None:
        self.malformed_frames[error.kind] += 1
        self._warn(error.kind, "Skipped a malformed frame ({}): {}", error.kind, str(error)[:200])

    def connected(self, symbols: set[str], *, is_first: bool) -> None:
        if is_first:
            logger.info("Connected to the exchange: {} symbol(s) on one connection", len(symbols))
        for symbol in symbols:
            owner = self._owners.get(symbol)
            if owner is not None and owner.needs_snapshot:
                self._resync(symbol, is_opening=True)

    def disconnected(self, symbols: set[str], reason: str) -> None:
        if any(self._live[symbol].is_set() for symbol in symbols if symbol in self._live):
            self._warn("lost", "Lost the exchange connection ({}); reconnecting", reason)
        elif self.reconnects > self._ends_noted:  # it was open; the line itself logs why one cannot be opened
            self._warn("lost", "The exchange connection ended before a book was live ({}); reconnecting", reason)
        self._ends_noted = self.reconnects
        self.last_error = reason.partition(": ")[0]
        self.market.disconnected(symbols, self._venue_name)
        for symbol in symbols:
            self._lose(symbol)
            task = self._syncing.pop(symbol, None)
            if task is not None:
                task.cancel()  # its snapshot would be older than the next connection

    def interrupted(self, symbols: set[str]) -> None:
        self.market.interrupted(symbols, self._venue_name)

    def last_update_id(self, symbol: str) -> int | None:
        owner = self._owners.get(symbol)
        copy = None if owner is None else owner.copy
        return None if copy is None else copy.last_update_id

    def is_stuck(self, symbols: set[str], now_ns: int) -> str | None:
        for symbol in symbols:
            owner = self._owners.get(symbol)
            if owner is not None and owner.suspension is None and owner.status(now_ns) == "stale":
                return f"{owner.spec.symbol} has been silent for {(owner.age_ns(now_ns) or 0) / 1e9:.0f} s"
        return None

    # --- getting back into sequence ------------------------------------------------------------------------

    def _resync(self, symbol: str, *, is_opening: bool = False) -> None:
        running = self._syncing.get(symbol)
        if running is None or running.done():
            work = (
                self._renew(symbol, is_opening=is_opening) if self._depths is None else self._sync(symbol, self._depths)
            )
            task = self._syncing[symbol] = asyncio.create_task(work)
            task.add_done_callback(self._ended)

    async def _sync(self, symbol: str, depths: SnapshotRest) -> None:
        """Fetch snapshots until one joins the stream. The stream is open: events are being buffered."""
        waits = delays(0.25, 15.0)
        market, venue = self.market, self._venue_name
        while (owner := self._owners.get(symbol)) is not None and owner.needs_snapshot:
            try:
                async with self._snapshots:
                    limit = depths.affordable_depth()
                    snapshot = await depths.depth(symbol, limit)
            except SymbolUnknown as error:
                owner.wait(str(error).rstrip("."))
                self._listing.note(owner, DELISTED)
                await asyncio.sleep(UNKNOWN_RETRY_SECS)  # or until it is listed again, see `_resumed`
                continue
            except RateLimited as error:
                self._note_refused(owner, error)
                await asyncio.sleep(error.retry_after_secs)
                continue
            except ExchangeError as error:
                self._note_refused(owner, error)
                await asyncio.sleep(next(waits))
                continue
            loaded = market.load(symbol, snapshot, limit, time.monotonic_ns(), venue)
            if loaded is Loaded.LIVE:
                self._note_live(symbol)
            elif loaded is Loaded.TOO_OLD:
                logger.debug("Snapshot of {} is older than the stream; fetching another", owner.spec.symbol)
                await asyncio.sleep(next(waits))
            elif loaded is Loaded.UNPROVEN and await self._stays_silent(owner):
                market.confirm(symbol, venue)
                self._note_live(symbol)

    async def _renew(self, symbol: str, *, is_opening: bool) -> None:
        """Have the stream send the book again until it does. One that is just opening sends it without being asked."""
        waits = delays(0.25, 15.0)
        while (owner := self._owners.get(symbol)) is not None and owner.needs_snapshot:
            line = next((line for line in self.lines if symbol in line.symbols), None)
            if line is None:
                return
            if not is_opening:
                try:
                    await line.renew(symbol)
                except ExchangeUnavailable as error:
                    self._note_refused(owner, error)
            is_opening = False
            if not await self.wait_live(symbol, STREAMED_BOOK_SECS):
                await asyncio.sleep(next(waits))

    def _note_refused(self, owner: InstrumentOwner, error: ExchangeError) -> None:
        reason = str(error).rstrip(".")
        self.last_error = reason
        owner.wait(reason)
        waiting = [each.spec.symbol for each in self._owners.values() if each.reason == reason]
        self._warn(("snapshot", reason), "Snapshot of {}: {}", ", ".join(sorted(waiting)), reason)

    def _resumed(self, symbol: str) -> None:
        """The symbol trades again: stop waiting for its listing."""
        owner = self._owners.get(symbol)
        if owner is not None and owner.needs_snapshot:
            if (task := self._syncing.pop(symbol, None)) is not None:
                task.cancel()
            self._resync(symbol)

    def _regridded(self, spec: SymbolSpec) -> None:
        """The exchange changed the symbol's tick or step size: its book starts again on the new grid."""
        name, symbol, before = spec.symbol, spec.instrument.symbol, self.market.symbols[spec.symbol].spec
        try:
            spec.check_exact()
        except InexactSymbol as error:
            logger.bind(symbol=name).error("{} stays on its old grid: {}", name, error)  # it is subscribed
            return
        logger.bind(symbol=name).warning(
            "The grid of {} has changed: prices in {:f} (were in {:f}), sizes in {:f} (were in {:f}); resyncing",
            *(name, spec.tick_size, before.tick_size, spec.step_size, before.step_size),
        )
        self.market.regrid(spec, self._venue.rule(spec))
        self._lose(symbol)
        if (task := self._syncing.pop(symbol, None)) is not None:
            task.cancel()
        if any(symbol in line.symbols and line.connection is not None for line in self.lines):
            self._resync(symbol)

    def _warn(self, about: Hashable, text: str, *values: object, symbol: str | None = None) -> None:
        """Log once, and then once a minute with a count: a line every few seconds would bury all others."""
        if (more := self._said.more(about, time.monotonic())) is not None:
            (logger if symbol is None else logger.bind(symbol=symbol)).warning(text + "{}", *values, more)

    async def _stays_silent(self, owner: InstrumentOwner) -> bool:
        """Whether no event proves or outdates the snapshot that was just loaded."""
        deadline = time.monotonic() + CONFIRM_AFTER_SECS
        while time.monotonic() < deadline:
            if owner.is_proven or owner.needs_snapshot:
                return False
            await asyncio.sleep(UNPROVEN_LOOK_SECS)
        return True

    def _note_live(self, symbol: str) -> None:
        owner = self._owners.get(symbol)
        event = self._live.setdefault(symbol, asyncio.Event())
        if owner is None or (book := owner.book) is None or event.is_set():
            return
        event.set()
        logger.bind(symbol=owner.spec.symbol).info(
            "Book of {} is live at update {}: {} bids, {} asks",
            owner.spec.symbol,
            book.last_update_id,
            len(book.bids),
            len(book.asks),
        )

    def _lose(self, symbol: str) -> None:
        event = self._live.get(symbol)
        if event is not None:
            event.clear()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("A feed task ended unexpectedly")
