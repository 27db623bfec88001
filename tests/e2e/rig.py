"""A live feed over real sockets, watched at every event."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from loguru import logger

from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.book.sync import Outcome
from vibe_orderbook_mcp.collect import runtime as runtime_module
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.events import DepthUpdate, Trade
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE
from vibe_orderbook_mcp.process.config import Settings
from vibe_orderbook_mcp.venues.binance.rest import BinanceRest
from vibe_orderbook_mcp.venues.binance.wire import BinanceSpot
from vibe_orderbook_mcp.venues.contract import Venue
from vibe_orderbook_mcp.venues.feed import Feed

# Each part of a runtime has two seconds to close, then it is left behind. Tests want to know what it wrote.
runtime_module.STEP_SECS = PATIENCE_SECS

Top = tuple[int, tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]  # update id, bids, asks


class WatchedMarket(Market):
    """A market that notes what it would have served after every event."""

    def __init__(self, levels: int = 1) -> None:
        super().__init__()
        self.levels = levels
        self.tops: dict[str, list[Top]] = defaultdict(list)
        self.outcomes: dict[str, list[Outcome]] = defaultdict(list)
        self.received: dict[str, list[tuple[int, int]]] = defaultdict(list)  # first and final id of each event
        self.frames = 0

    def receive_trade(self, symbol: str, trade: Trade, venue: str = DEFAULT_VENUE) -> bool:
        self.frames += 1
        return super().receive_trade(symbol, trade, venue)

    def receive_depth(self, update: DepthUpdate, now_ns: int, venue: str = DEFAULT_VENUE) -> Outcome | None:
        self.frames += 1
        self.received[update.symbol].append((update.first_id, update.final_id))
        outcome = super().receive_depth(update, now_ns, venue)
        state = self.symbols.get(update.symbol)
        if outcome is not None:
            self.outcomes[update.symbol].append(outcome)
        if state is not None and state.book is not None and outcome is Outcome.APPLIED:
            book = state.book
            top = (book.last_update_id, tuple(book.bids.top(self.levels)), tuple(book.asks.top(self.levels)))
            self.tops[update.symbol].append(top)
        return outcome

    def count(self, symbol: str, outcome: Outcome) -> int:
        return self.outcomes[symbol].count(outcome)


class Logged:
    """Messages that were logged while it listens."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def __contains__(self, part: str) -> bool:
        return any(part in message for message in self.messages)

    def count(self, part: str) -> int:
        return sum(part in message for message in self.messages)


@contextlib.contextmanager
def listening(level: str = "DEBUG") -> Any:
    logged = Logged()
    sink = logger.add(lambda message: logged.messages.append(message.record["message"]), level=level)
    try:
        yield logged
    finally:
        logger.remove(sink)


@contextlib.asynccontextmanager
async def feeding(
    rest_url: str,
    ws_url: str,
    symbols: tuple[str, ...],
    market: Market | None = None,
    venue: Venue | None = None,
    **options: Any,
) -> AsyncIterator[Feed]:
    async with BinanceRest(rest_url) as rest:
        feed = Feed(market or WatchedMarket(), venue or BinanceSpot(), rest, ws_url, **options)
        for symbol in symbols:
            feed.keep(symbol)
        try:
            yield feed
        finally:
            await feed.aclose()


async def all_live(feed: Feed, symbols: tuple[str, ...], secs: float = PATIENCE_SECS) -> None:
    for symbol in symbols:
        assert await feed.wait_live(symbol, secs), f"{symbol} is not live: {feed.failed}"


async def until(condition: Callable[[], bool], secs: float = PATIENCE_SECS) -> None:
    """Wait for what no event announces, bounded."""
    async with asyncio.timeout(secs):
        while not condition():
            await asyncio.sleep(0.01)


def settings_for(rest_url: str, ws_url: str, path: Path, **changes: Any) -> Settings:
    return Settings(_env_file=None, rest_url=rest_url, ws_url=ws_url, data_path=path, **changes)


def runtime_for(rest_url: str, ws_url: str, path: Path, market: Market | None = None, **changes: Any) -> Runtime:
    return Runtime(settings_for(rest_url, ws_url, path, **changes), market)
