"""Log lines about missing trades: one line a symbol and minute, for any number of holes. Pure except for the log."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from loguru import logger

from vibe_orderbook_mcp.model import intervals
from vibe_orderbook_mcp.model.intervals import Interval

EVERY_SECS = 60.0

# Why trades stay missing -> the level of the line.
Reason = Literal[
    "the exchange has none that can be read", "they cannot be read in the exchange's answer", "they cannot be stored"
]
LEVELS: dict[Reason, str] = {
    "the exchange has none that can be read": "WARNING",
    "they cannot be read in the exchange's answer": "WARNING",
    "they cannot be stored": "ERROR",
}
_FILLED = "filled"


class HoleReport:
    """Collects events; `say` logs what is due: the first of a symbol at once, the rest once a minute."""

    def __init__(self) -> None:
        self._filled: dict[str, tuple[int, float]] = {}  # how many, and the time of the last
        self._lost: dict[tuple[str, Reason], list[Interval]] = {}
        self._said_secs: dict[tuple[str, str], float] = {}

    def filled(self, symbol: str, trades: int, unix_secs: float) -> None:
        """This number of trades was stored at that time."""
        self._filled[symbol] = self._filled.get(symbol, (0, 0.0))[0] + trades, unix_secs

    def lost(self, symbol: str, ids: list[Interval], why: Reason) -> None:
        """Inclusive id ranges that stay missing."""
        self._lost[symbol, why] = intervals.union(self._lost.get((symbol, why), []), ids)

    def say(self, now_secs: float, *, is_end: bool = False) -> None:
        """Seconds are any monotonic clock's. At the end everything is due."""
        self._say(
            [symbol for symbol in self._filled if self._is_due((symbol, _FILLED), now_secs) or is_end],
            [key for key in self._lost if self._is_due(key, now_secs) or is_end],
        )

    def forget(self, symbol: str) -> None:
        """The symbol was dropped: log its pending lines now."""
        self._say([symbol] if symbol in self._filled else [], [key for key in self._lost if key[0] == symbol])
        for about in [about for about in self._said_secs if about[0] == symbol]:
            del self._said_secs[about]

    def _say(self, filled: list[str], lost: list[tuple[str, Reason]]) -> None:
        for symbol in filled:
            count, unix_secs = self._filled.pop(symbol)
            logger.bind(symbol=symbol).info(
                "Filled {} missing trades of {} in the minute up to {:%H:%M:%S} UTC",
                *(count, symbol, datetime.fromtimestamp(unix_secs, UTC)),
            )
        for key in lost:
            (symbol, why), holes = key, self._lost.pop(key)
            logger.bind(symbol=symbol).log(
                LEVELS[why],
                "Trades of {} stay missing: {} in {}, ids {} to {}: {}",
                *(symbol, intervals.count(holes), _holes(len(holes)), holes[0][0], holes[-1][1], why),
            )

    def _is_due(self, about: tuple[str, str], now_secs: float) -> bool:
        said_secs = self._said_secs.get(about)
        if said_secs is not None and now_secs - said_secs < EVERY_SECS:
            return False
        self._said_secs[about] = now_secs
        return True


def _holes(count: int) -> str:
    return "1 hole" if count == 1 else f"{count} holes"
