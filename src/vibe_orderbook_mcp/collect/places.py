"""The places for symbols: which symbol has one, and which makes room. Pure: seconds are any monotonic clock's.

A symbol of `VIBE_SYMBOLS` keeps its place. Every other symbol is subscribed on demand. When all places are taken, the
symbol with the oldest last question makes room, if that question is at least ten minutes old. Questions within ten
seconds, from any clients, count as one and give at most half of the places to new symbols. So a client that asks about
everything at once does not drive out the symbols of others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from vibe_orderbook_mcp.model.errors import VibeError

KEPT_SECS = 600.0  # after the last question about it
QUESTION_SECS = 10.0


class NoRoom(VibeError):
    """Every place is in use. `retry_after_secs`: when one may become free, or when the next question counts again."""

    def __init__(self, retry_after_secs: float, *, is_burst: bool) -> None:
        super().__init__(f"no room for {retry_after_secs:.0f} s")
        self.retry_after_secs = retry_after_secs
        self.is_burst = is_burst


class Places:
    """One object for the process."""

    def __init__(self, limit: int, eager: Collection[str]) -> None:
        self.limit = limit
        self._eager = frozenset(eager)
        self._asked_secs: dict[str, float] = {}  # newest question about each symbol on demand
        self._newcomers: deque[float] = deque()  # recent times of giving a place

    def ask(self, symbol: str, now_secs: float) -> None:
        """A question about a symbol that has a place."""
        if symbol in self._asked_secs:
            self._asked_secs[symbol] = now_secs

    def take(self, symbol: str, wanted: Collection[str], now_secs: float) -> str | None:
        """Give the symbol a place. `wanted` are all symbols with a place or waiting for one. Returns those that leave.

        Raises NoRoom, and then changes nothing.
        """
        if symbol in wanted:
            self.ask(symbol, now_secs)
            return None
        while self._newcomers and now_secs - self._newcomers[0] >= QUESTION_SECS:
            self._newcomers.popleft()
        if len(self._newcomers) >= max(1, self.limit // 2):
            raise NoRoom(QUESTION_SECS - (now_secs - self._newcomers[0]), is_burst=True)
        leaving = None if len(wanted) < self.limit else self._leaving(wanted, now_secs)
        self._newcomers.append(now_secs)
        # without those that could not be subscribed
        self._asked_secs = {s: secs for s, secs in self._asked_secs.items() if s in wanted and s != leaving}
        self._asked_secs[symbol] = now_secs
        return leaving

    def _leaving(self, wanted: Collection[str], now_secs: float) -> str:
        kept = set(wanted) - self._eager
        on_demand = [(secs, symbol) for symbol, secs in self._asked_secs.items() if symbol in kept]
        secs, symbol = min(on_demand, default=(now_secs, ""))
        if (rest_secs := KEPT_SECS - (now_secs - secs)) > 0:
            raise NoRoom(rest_secs, is_burst=False)
        return symbol
