"""Requests that keep a distance from each other."""

from __future__ import annotations

import asyncio
import time


class Spacing:
    """`wait` lets one request go every `secs`, in the order in which they came."""

    def __init__(self, secs: float) -> None:
        self._secs = secs
        self._free_at = float("-inf")

    @property
    def delay_secs(self) -> float:
        """How long a request would wait now."""
        return max(0.0, self._free_at - time.monotonic())

    def block(self, secs: float) -> None:
        """No request is sent for this time."""
        self._free_at = max(self._free_at, time.monotonic() + secs)

    async def wait(self) -> None:
        delay = self.delay_secs
        self._free_at = time.monotonic() + delay + self._secs
        if delay:
            await asyncio.sleep(delay)
