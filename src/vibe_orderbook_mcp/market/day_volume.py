"""Traded volume since midnight. Pure."""

from __future__ import annotations

from vibe_orderbook_mcp.model.events import Trade

DAY_MS = 86_400_000

Volumes = tuple[float, float]


class DayVolume:
    """Traded volume since 00:00 UTC. Complete from the first midnight during this process.

    Before that midnight this process may have missed trades. After it, consecutive ids prove that none is missing.
    """

    __slots__ = ("_day", "_first_id", "_last_id", "_seen", "_volumes")

    def __init__(self) -> None:
        self._day: int | None = None
        self._first_id: int | None = None  # the first id of the day; None: the day began before this process
        self._last_id = -1
        self._seen = 0  # trades since `_first_id`
        self._volumes: Volumes = (0.0, 0.0)

    @property
    def volumes(self) -> Volumes | None:
        """Aggressive (buy, sell) volume in base units; None unless every trade since midnight was added here.

        A trade that was fetched into the archive later was not added.
        """
        is_whole = self._first_id is not None and self._seen == self._last_id - self._first_id + 1
        return self._volumes if is_whole else None

    def add(self, trade: Trade) -> None:
        """A new trade, in any order of ids."""
        day = trade.time_ms // DAY_MS
        if self._day is None or day > self._day:
            self._first_id = None if self._day is None else self._last_id + 1
            self._day, self._seen, self._volumes = day, 0, (0.0, 0.0)
        self._last_id = max(self._last_id, trade.agg_id)
        if self._first_id is not None and trade.agg_id >= self._first_id:
            self._seen += 1
        buy, sell = self._volumes
        if day == self._day:
            self._volumes = (buy, sell + trade.size) if trade.buyer_is_maker else (buy + trade.size, sell)
