"""Books held against the exchange's own, asked for over REST.

Every book is compared with a whole snapshot now and then (`audit`), and with its best levels when its symbol is silent
for longer than is usual for it (`look`): see `market.silence`.
"""

from __future__ import annotations

import asyncio
import time

from loguru import logger

from vibe_orderbook_mcp.book.sync import Loaded
from vibe_orderbook_mcp.market.market import Market, SymbolState
from vibe_orderbook_mcp.market.silence import LOOK_NS
from vibe_orderbook_mcp.model.errors import ExchangeError
from vibe_orderbook_mcp.process.pace import delays
from vibe_orderbook_mcp.venues.binance.rest import DEPTH_LIMIT, BinanceRest

AUDIT_EVERY_SECS = 900.0
SHORT_AUDIT_SECS = 10.0  # for a book that runs out of known levels
AUDIT_PATIENCE_SECS = 60.0  # a second copy that has not met the first by then never will
# At most ten looks a second; `GLANCES` of `weights` bounds them.
LOOK_EVERY_SECS = 0.2
LOOK_SPACING_SECS = 0.1


class BookChecks:
    """`audit_forever` and `look_forever` until cancelled."""

    def __init__(self, market: Market, rest: BinanceRest, *, audit_every_secs: float = AUDIT_EVERY_SECS) -> None:
        self._market = market
        self._rest = rest
        self._audit_every_secs = audit_every_secs
        self._began: dict[str, float] = {}  # the newest audit
        self._said: dict[str, int] = {}  # mismatches that the log knows of
        self._looks: set[asyncio.Task[None]] = set()

    def forget(self, symbol: str) -> None:
        self._began.pop(symbol, None)
        self._said.pop(symbol, None)

    async def audit_forever(self) -> None:
        """Every book now and then, and early when it runs out of known levels."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for symbol, state in list(self._market.symbols.items()):
                if state.audit_mismatches > self._said.get(symbol, 0):
                    self._said[symbol] = state.audit_mismatches
                    logger.error("Audit of {} found levels that differ from the exchange's; mended", symbol)
                began = self._began.setdefault(symbol, now)
                if state.shadow is not None and now > began + AUDIT_PATIENCE_SECS:
                    self._market.end_audit(symbol)
                pause = SHORT_AUDIT_SECS if state.is_running_short else self._audit_every_secs
                if now >= began + pause and state.book is not None and state.shadow is None:
                    self._began[symbol] = now
                    await self._audit(symbol, state)
            for symbol in self._began.keys() - self._market.symbols.keys():
                self.forget(symbol)  # it was given up during an audit

    async def look_forever(self) -> None:
        """The best levels of every symbol whose silence is doubtful."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_SECS)
                now_ns = time.monotonic_ns()
                for symbol, state in list(self._market.symbols.items()):
                    if state.book is not None and state.suspension is None and state.silence.is_to_ask(now_ns):
                        state.silence.asked_ns = now_ns
                        looking = asyncio.create_task(self._look(symbol, state))
                        self._looks.add(looking)
                        looking.add_done_callback(self._looks.discard)
                        await asyncio.sleep(LOOK_SPACING_SECS)
        finally:
            for looking in self._looks:
                looking.cancel()

    async def _audit(self, symbol: str, state: SymbolState) -> None:
        market = self._market
        market.begin_audit(symbol)
        waits = delays(0.5, 4.0)
        try:
            for _ in range(5):
                snapshot = await self._rest.depth(symbol)
                if snapshot.bids_cut or snapshot.asks_cut:  # it may know less than the book, and again if asked again
                    if state.is_running_short:  # not every ten seconds for that
                        self._began[symbol] = time.monotonic() + self._audit_every_secs - SHORT_AUDIT_SECS
                    market.end_audit(symbol)
                    return
                loaded = market.load_audit(symbol, snapshot, DEPTH_LIMIT, time.monotonic_ns())
                if loaded is not Loaded.TOO_OLD:
                    break
                await asyncio.sleep(next(waits))
            else:
                market.end_audit(symbol)
        except ExchangeError as error:
            market.end_audit(symbol)
            logger.debug("Audit of {} put off: {}", symbol, error)

    async def _look(self, symbol: str, state: SymbolState) -> None:
        asked_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(LOOK_NS / 1e9):
                snapshot = await self._rest.glance(symbol)
        except (ExchangeError, TimeoutError) as error:
            logger.debug("Whether {} is quiet could not be asked: {!r}", symbol, error)
            state.silence.unanswered()
        else:
            self._market.look(symbol, snapshot, asked_ns, time.monotonic_ns())
