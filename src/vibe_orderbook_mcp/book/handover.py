"""Changing connections without missing an event: make before break.

A second connection is opened while the first still delivers. Both send the same updates, cut into frames at
different ids. The second one's first frames may run ahead of the first one's last ones; applied at once they
would look like a gap. So they wait here, per symbol, until they continue the book.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from vibe_orderbook_mcp.book.sync import is_gap
from vibe_orderbook_mcp.model.events import DepthUpdate


class Handover:
    """Events of the successor connection that do not continue their books yet."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._waiting: dict[str, deque[DepthUpdate]] = {}
        self._unjoined = set(symbols)

    @property
    def is_complete(self) -> bool:
        """Every symbol has had an event of the successor join its book."""
        return not self._unjoined

    def hold(self, update: DepthUpdate) -> None:
        self._waiting.setdefault(update.symbol, deque()).append(update)

    def joining(self, symbol: str, last_update_id: int | None) -> list[DepthUpdate]:
        """Take out the events that can be applied now. A book that is None takes all: it buffers them itself."""
        waiting = self._waiting.get(symbol)
        out: list[DepthUpdate] = []
        while waiting and (last_update_id is None or not is_gap(last_update_id, waiting[0])):
            update = waiting.popleft()
            out.append(update)
            if last_update_id is not None:
                last_update_id = max(last_update_id, update.final_id)
        if out:
            self._unjoined.discard(symbol)
        return out

    def remaining(self) -> list[DepthUpdate]:
        """What is left when the first connection goes: applied as it is, a real hole is then noticed as a gap."""
        return [update for waiting in self._waiting.values() for update in waiting]
