"""Whether subscribed symbols still trade, and on which grid: only `exchangeInfo` says so.

In its streams a halted or delisted symbol looks like a quiet one. So three kinds of symbols are checked: soon, if a
symbol became silent; soon, if its prices have more places than its tick; and all others from time to time, since a
halted market may still cancel orders. There is one request at a time, with pauses. That takes at most a fifteenth of
the request weight for any number of silent symbols.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

import msgspec
from loguru import logger

from vibe_orderbook_mcp.market.chronicle import DELISTED, TRADING
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.errors import ExchangeError, RateLimited, SymbolUnknown
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.venues.contract import Rest

PAUSE_SECS = 3.0
SILENT_EVERY_SECS = 15.0
RESUMED_EVERY_SECS = 3.0  # while a symbol reported as not trading still sends events
USUAL_EVERY_SECS = 900.0


class ListingWatch:
    """`run` until cancelled. `owners` are a venue's, by its own symbols, now and later. `resumed(symbol)` is called
    when a suspended symbol trades again, `regridded(spec)` when its tick or step size changed.
    """

    def __init__(
        self,
        owners: Mapping[str, InstrumentOwner],
        rest: Rest,
        resumed: Callable[[str], None],
        regridded: Callable[[SymbolSpec], None],
        *,
        pause_secs: float = PAUSE_SECS,
    ) -> None:
        self._owners = owners
        self._rest = rest
        self._resumed = resumed
        self._regridded = regridded
        self._pause_secs = pause_secs
        self._asked: dict[str, float] = {}

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._pause_secs)
            owner = self._next(time.monotonic())
            if owner is None:
                continue
            symbol = owner.spec.instrument.symbol
            self._asked[symbol] = time.monotonic()
            spec = None
            try:
                status, spec = await self._rest.listing(symbol)
            except SymbolUnknown:
                status = DELISTED
            except RateLimited as error:
                await asyncio.sleep(error.retry_after_secs)
                continue
            except ExchangeError as error:
                logger.debug("Checking whether {} trades failed: {}", owner.spec.symbol, error)
                continue
            self.note(owner, status)
            if spec is not None and self._owners.get(symbol) is owner:
                self._compare(owner, spec)

    def forget(self, symbol: str) -> None:
        self._asked.pop(symbol, None)

    def note(self, owner: InstrumentOwner, status: str) -> None:
        """`status` is the exchange's own word, or DELISTED."""
        name = owner.spec.symbol
        if not owner.trades_as(status):
            return
        if status == TRADING:
            logger.bind(symbol=name).info("{} trades again", name)
            self._resumed(owner.spec.instrument.symbol)
        else:
            logger.bind(symbol=name).warning("{}", owner.suspension)

    def _compare(self, owner: InstrumentOwner, spec: SymbolSpec) -> None:
        spec = msgspec.structs.replace(spec, symbol=owner.spec.symbol, proof=owner.spec.proof)
        if (spec.tick_size, spec.step_size) != (owner.spec.tick_size, owner.spec.step_size):
            self._regridded(spec)
        elif spec != owner.spec:
            owner.describe(spec)

    def _next(self, now: float) -> InstrumentOwner | None:
        """The due symbol with the longest wait."""
        now_ns = time.monotonic_ns()
        due = []
        for symbol, owner in self._owners.items():
            asked = self._asked.setdefault(symbol, now - SILENT_EVERY_SECS)
            if now - asked >= _every_secs(owner, now_ns, asked):
                due.append((asked, owner))
        return min(due, key=lambda item: item[0])[1] if due else None


def _every_secs(owner: InstrumentOwner, now_ns: int, asked: float) -> float:
    if owner.book is not None and owner.suspension is None and not owner.is_unusually_silent(now_ns):
        return SILENT_EVERY_SECS if owner.is_off_grid else USUAL_EVERY_SECS
    has_spoken = owner.received_ns is not None and owner.received_ns > asked * 1e9
    return RESUMED_EVERY_SECS if owner.suspension is not None and has_spoken else SILENT_EVERY_SECS
