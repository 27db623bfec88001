"""One computation for equal questions within a second; computations of milliseconds run outside of the event loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

QUESTIONS_KEPT: Final = 32


class Shared:
    """The newest result for each question, while its inputs stay the same.

    `basis` identifies the inputs: a new basis causes a new computation. Failures are not cached.
    """

    def __init__(self, kept: int = QUESTIONS_KEPT) -> None:
        self._kept = kept
        self._known: OrderedDict[Hashable, tuple[Hashable, asyncio.Task[Any]]] = OrderedDict()

    async def get(self, question: Hashable, basis: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        known = self._known.get(question)
        if known is None or known[0] != basis:
            task = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._forget_failure(question, done))
            known = self._known[question] = basis, task
            while len(self._known) > self._kept:
                self._known.popitem(last=False)
        self._known.move_to_end(question)
        # A waiting caller may cancel without losing the result for the others.
        return cast("T", await asyncio.shield(known[1]))

    def _forget_failure(self, question: Hashable, done: asyncio.Task[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            known = self._known.get(question)
            if known is not None and known[1] is done:
                del self._known[question]
