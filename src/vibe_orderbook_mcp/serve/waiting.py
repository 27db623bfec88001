"""Questions that come too early. While a little waiting helps, the server waits, and not the client: a symbol that
nobody has asked about before has its first trades after a few seconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final, TypeVar, cast

from vibe_orderbook_mcp.model.errors import Refusal

T = TypeVar("T")
Tell = Callable[[float, float, str], Awaitable[None]]

# Reports progress to the client of the present call: seconds so far, seconds in total, why. None: the client did not
# request it.
TELL: ContextVar[Tell | None] = ContextVar("TELL", default=None)

WAIT_SECS: Final = 15.0  # the shortest window of a symbol that was not kept before takes 12 s
TOLD_WAIT_SECS: Final = 40.0  # for who hears meanwhile; clients give up after a minute
WAITING_MOST: Final = 64  # calls; further ones are refused at once, so that others find places
STEP_SECS: Final = 1.0


class Patience:
    """Of one call: how many seconds it has slept."""

    def __init__(self) -> None:
        self.slept_secs = 0.0


class Waiting:
    """How many calls wait at present."""

    def __init__(self) -> None:
        self.count = 0

    async def ask(self, work: Callable[[], Awaitable[T]], patience: Patience) -> T:
        """The answer, as soon as there is one. Raises the last Refusal, unless that has an answer for meanwhile."""
        began, tell = time.monotonic(), TELL.get()
        longest_secs = WAIT_SECS if tell is None else TOLD_WAIT_SECS
        while True:
            try:
                return await work()
            except Refusal as refusal:
                waited_secs, left_secs = time.monotonic() - began, _helps_in(refusal)
                if left_secs is None or waited_secs + left_secs > longest_secs or self.count >= WAITING_MOST:
                    if refusal.meanwhile is not None:
                        return cast("T", refusal.meanwhile)
                    raise
                message = refusal.message
            self.count += 1
            try:
                if tell is not None:
                    await tell(waited_secs, waited_secs + left_secs, message)
                pause_secs = min(STEP_SECS, left_secs)
                patience.slept_secs += pause_secs
                await asyncio.sleep(pause_secs)
            finally:
                self.count -= 1


def _helps_in(refusal: Refusal) -> float | None:
    """Seconds after which the same question may have an answer; None where waiting as such does not help."""
    too_early = refusal.code == "insufficient_historical_data" and refusal.is_passing
    return refusal.retry_after_secs if too_early else None
