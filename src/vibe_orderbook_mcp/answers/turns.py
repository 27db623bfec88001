"""Heavy work on the event loop: one piece at a time, and callers take turns.

A piece that holds the loop for milliseconds is harmless. Hundreds of them that become ready in the same round of the
loop are not: books, sockets and other callers wait for the whole round. Here the next piece becomes ready only when
one has ended, in the following round.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextvars import ContextVar
from typing import Final

# The caller of the present call; None: not distinguished from others, such as the client of a pipe.
CALLER: Final[ContextVar[Hashable]] = ContextVar("caller", default=None)


class Turns:
    """A caller with many calls gets one turn for each turn of every other caller that waits."""

    def __init__(self) -> None:
        self._is_taken = False
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    @contextlib.asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """One turn of the present caller. What it holds should not wait for anything."""
        if self._is_taken:
            await self._turn(CALLER.get())
        else:
            self._is_taken = True
        try:
            await asyncio.sleep(0)  # calls that are ready in this round wait for their turns meanwhile
            yield
        finally:
            self._pass_on()

    async def _turn(self, caller: Hashable) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(caller, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had just been given the turn
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """To the oldest call of the caller whose turn is longest ago. Cancelled calls are skipped."""
        while self._waiting:
            caller, calls = self._waiting.popitem(last=False)
            turn = calls.popleft()
            if calls:
                self._waiting[caller] = calls
            if not turn.done():
                turn.set_result(None)
                return
        self._is_taken = False
