"""The exchange's list of symbols, cached: an unlisted name costs no request.

The whole list is one request with the weight of a single look-up. It is read when a client first asks for a new symbol,
again when it is an hour old, and for an unlisted name at most once a minute. So a newly listed symbol stays unknown for
up to a minute.
"""

from __future__ import annotations

import asyncio
import time

from loguru import logger

from vibe_orderbook_mcp.model.errors import ExchangeError, RateLimited, SymbolUnknown
from vibe_orderbook_mcp.model.listed import Listing
from vibe_orderbook_mcp.venues.contract import Rest

REFRESH_SECS = 3600.0
ASK_AGAIN_SECS = 60.0  # for a name that is not in the list
BELIEVED_SECS = 24 * 3600.0  # how long an old list answers "not listed" while a new one is not available


class SymbolList:
    """One object for the process. `listing` is None until it was read."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._reading: asyncio.Task[None] | None = None
        self._asked_secs = float("-inf")
        self.listing: Listing | None = None

    async def check(self, symbol: str) -> None:
        """Returns if the symbol may exist. Raises SymbolUnknown if it does not, RateLimited while that is unknown and
        no request is allowed.
        """
        now = time.monotonic()
        listing = self.listing
        if listing is not None and symbol in listing:
            if listing.age_secs(now) > REFRESH_SECS and now > self._asked_secs + ASK_AGAIN_SECS:
                self._read()  # for the next question; this one does not wait
            return
        if listing is None or now > self._asked_secs + ASK_AGAIN_SECS or self._reading is not None:
            try:
                await asyncio.shield(self._read())
            except RateLimited:
                if listing is None or listing.age_secs(now) > BELIEVED_SECS:
                    raise
            except ExchangeError as error:
                logger.debug("The list of symbols cannot be read: {}", error)
                if listing is None or listing.age_secs(now) > BELIEVED_SECS:
                    return  # then only the symbol itself is requested
        if self.listing is not None and symbol not in self.listing:
            raise SymbolUnknown(symbol)

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _read(self) -> asyncio.Task[None]:
        """One request for all callers meanwhile."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
            self._reading.add_done_callback(self._has_read)
        return self._reading

    async def _read_all(self) -> None:
        self._asked_secs = time.monotonic()
        self.listing = await self._rest.all_symbols()

    def _has_read(self, task: asyncio.Task[None]) -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # the waiting callers have the error; after a time-out none waits
