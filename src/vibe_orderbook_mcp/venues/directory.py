"""What the exchange lists, remembered: a name that it does not list costs no request.

The whole list is one request of the weight of a single look-up. It is read when a client first asks for a symbol that
is not kept, again when it is an hour old, and for a name that is not in it at most once a minute: that is how long a
symbol that was listed just now stays unknown.
"""

from __future__ import annotations

import asyncio
import time

from loguru import logger

from vibe_orderbook_mcp.model.errors import ExchangeError, RateLimited, SymbolUnknown
from vibe_orderbook_mcp.model.listed import Listing
from vibe_orderbook_mcp.venues.contract import Rest

REFRESH_SECS = 3600.0
ASK_AGAIN_SECS = 60.0  # for a name that the list does not have
BELIEVED_SECS = 24 * 3600.0  # how long an old list answers "not listed" while no newer one can be had


class Directory:
    """One object for the process. `listing` is None until it was read."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._reading: asyncio.Task[None] | None = None
        self._asked_secs = float("-inf")
        self.listing: Listing | None = None

    async def check(self, symbol: str) -> None:
        """Returns when the symbol may exist. Raises SymbolUnknown when it does not, RateLimited while that is not
        known and may not be asked.
        """
        now = time.monotonic()
        listing = self.listing
        if listing is not None and symbol in listing:
            if listing.age_secs(now) > REFRESH_SECS and now > self._asked_secs + ASK_AGAIN_SECS:
                self._read()  # for the next question; this one need not wait
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
                    return  # the symbol alone may be asked for
        if self.listing is not None and symbol not in self.listing:
            raise SymbolUnknown(symbol)

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _read(self) -> asyncio.Task[None]:
        """One request for everybody who asks meanwhile."""
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
            task.exception()  # whoever waited was told; after a time-out nobody waits
