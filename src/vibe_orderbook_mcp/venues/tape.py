"""Connections that carry trades alone, where a venue keeps them apart from its books."""

from __future__ import annotations

import time
from collections.abc import Callable

from loguru import logger

from vibe_orderbook_mcp.model.events import DepthUpdate
from vibe_orderbook_mcp.model.wire import BookReplaced, MalformedMessage, Traded
from vibe_orderbook_mcp.process.pace import Repeats


class TapeReceiver:
    """Passes trades on. Holes show by their ids, and no book depends on such a line. See `venues.line.Receiver`."""

    def __init__(self, trade: Callable[[Traded, int], object], malformed: Callable[[MalformedMessage], object]) -> None:
        self._trade = trade
        self._malformed = malformed
        self._said = Repeats()

    def trade(self, traded: Traded, received_ns: int) -> None:
        self._trade(traded, received_ns)

    def malformed(self, error: MalformedMessage) -> None:
        self._malformed(error)

    def depth(self, update: DepthUpdate, received_ns: int) -> None: ...

    def book(self, replaced: BookReplaced, received_ns: int) -> None: ...

    def connected(self, symbols: set[str], *, is_first: bool) -> None:
        if is_first:
            logger.info("Connected to the exchange: trades of {} symbol(s) on one connection", len(symbols))

    def disconnected(self, symbols: set[str], reason: str) -> None:
        if (more := self._said.more("lost", time.monotonic())) is not None:
            logger.warning("Lost the exchange connection of trades ({}); reconnecting{}", reason, more)

    def interrupted(self, symbols: set[str]) -> None: ...  # ids show what was missed

    def last_update_id(self, symbol: str) -> int | None: ...

    def is_stuck(self, symbols: set[str], now_ns: int) -> str | None: ...
