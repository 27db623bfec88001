"""Comparisons of books with the exchange's own, over REST.

Every book is compared with a whole snapshot from time to time (`audit`). Its best levels are compared when its symbol
is silent for longer than its usual (`look`): see `market.silence`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from loguru import logger

from vibe_orderbook_mcp.book.sync import Loaded
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.market.silence import LOOK_NS
from vibe_orderbook_mcp.model.errors import ExchangeError
from vibe_orderbook_mcp.process.pace import delays
from vibe_orderbook_mcp.venues.contract import SnapshotRest

AUDIT_EVERY_SECS = 900.0
SHORT_AUDIT_SECS = 10.0  # for a book that is running out of known levels
AUDIT_PATIENCE_SECS = 60.0  # after this time the two copies will never be at the same update
# At most ten looks a second; `GLANCES` of `weights` bounds them.
LOOK_EVERY_SECS = 0.2
LOOK_SPACING_SECS = 0.1


class BookChecks:
    """`audit_forever` and `look_forever` until cancelled. `owners` are a venue's, by its own symbols, now and later."""

    def __init__(
        self,
        owners: Mapping[str, InstrumentOwner],
        rest: SnapshotRest,
        most_depth: int,
        *,
        audit_every_secs: float = AUDIT_EVERY_SECS,
    ) -> None:
        self._owners = owners
        self._rest = rest
        self._most_depth = most_depth  # of a whole snapshot, in levels a side
        self._audit_every_secs = audit_every_secs
        self._began: dict[str, float] = {}  # the newest audit
        self._said: dict[str, int] = {}  # mismatches already logged
        self._looks: set[asyncio.Task[None]] = set()

    def forget(self, symbol: str) -> None:
        self._began.pop(symbol, None)
        self._said.pop(symbol, None)

    async def audit_forever(self) -> None:
        """Audit every book from time to time, and earlier if it is running out of known levels."""
        while True:
            await asyncio.sleep(1.0)
            now = time.monotonic()
            for symbol, owner in list(self._owners.items()):
                if owner.counts.audit_mismatches > self._said.get(symbol, 0):
                    self._said[symbol], name = owner.counts.audit_mismatches, owner.spec.symbol
                    logger.error("Audit of {} found levels that differ from the exchange's; repaired", name)
                began = self._began.setdefault(symbol, now)
                if owner.is_audited and now > began + AUDIT_PATIENCE_SECS:
                    owner.end_audit()
                pause = SHORT_AUDIT_SECS if owner.is_running_short else self._audit_every_secs
                if now >= began + pause and owner.book is not None and not owner.is_audited:
                    self._began[symbol] = now
                    await self._audit(symbol, owner)
            for symbol in self._began.keys() - self._owners.keys():
                self.forget(symbol)  # dropped during an audit

    async def look_forever(self) -> None:
        """Compare the best levels of every symbol whose silence is doubtful."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_SECS)
                now_ns = time.monotonic_ns()
                for symbol, owner in list(self._owners.items()):
                    if owner.ask(now_ns):
                        looking = asyncio.create_task(self._look(symbol, owner))
                        self._looks.add(looking)
                        looking.add_done_callback(self._looks.discard)
                        await asyncio.sleep(LOOK_SPACING_SECS)
        finally:
            for looking in self._looks:
                looking.cancel()

    async def _audit(self, symbol: str, owner: InstrumentOwner) -> None:
        owner.begin_audit()
        waits = delays(0.5, 4.0)
        try:
            for _ in range(5):
                snapshot = await self._rest.depth(symbol, self._most_depth)
                if (
                    snapshot.bids_cut or snapshot.asks_cut
                ):  # the answer may know less than the book, and so may the next one
                    if owner.is_running_short:  # not every ten seconds for that
                        self._began[symbol] = time.monotonic() + self._audit_every_secs - SHORT_AUDIT_SECS
                    owner.end_audit()
                    return
                loaded = owner.load_audit(snapshot, self._most_depth)
                if loaded is not Loaded.TOO_OLD:
                    break
                await asyncio.sleep(next(waits))
            else:
                owner.end_audit()
        except ExchangeError as error:
            owner.end_audit()
            logger.debug("Audit of {} failed and will be tried again: {}", owner.spec.symbol, error)

    async def _look(self, symbol: str, owner: InstrumentOwner) -> None:
        asked_ns = time.monotonic_ns()
        try:
            async with asyncio.timeout(LOOK_NS / 1e9):
                snapshot = await self._rest.glance(symbol)
        except (ExchangeError, TimeoutError) as error:
            logger.debug("Checking whether {} is quiet failed: {!r}", owner.spec.symbol, error)
            owner.unanswered()
        else:
            owner.compare(snapshot, asked_ns, time.monotonic_ns())
