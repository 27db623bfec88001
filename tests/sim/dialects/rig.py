"""A live feed of a venue against its dialect, over real sockets: every served book is compared with the true one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import websockets

from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.book.sync import Outcome
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.events import DepthUpdate, Trade
from vibe_orderbook_mcp.model.wire import BookReplaced
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.venues.contract import Rest, Venue
from vibe_orderbook_mcp.venues.feed import Feed


class ComparedMarket(Market):
    """Compares the book with the true one after each frame that was applied. `levels` a side are compared."""

    def __init__(self, sim: SimExchange, venue: str, levels: int, *, has_ids: bool) -> None:
        super().__init__()
        self._sim, self._venue, self._levels, self._has_ids = sim, venue, levels, has_ids
        self.right: Counter[str] = Counter()
        self.wrong: dict[str, list[int]] = defaultdict(list)  # times of frames
        self.outcomes: dict[str, Counter[Outcome]] = defaultdict(Counter)
        self.whole: Counter[str] = Counter()  # books that came by the stream
        self.trades: dict[str, list[Trade]] = defaultdict(list)

    def receive_depth(self, update: DepthUpdate, now_ns: int, venue: str = "") -> Outcome | None:
        return self._note(update.symbol, super().receive_depth(update, now_ns, venue))

    def replace(self, replaced: BookReplaced, now_ns: int, venue: str = "") -> Outcome | None:
        self.whole[replaced.symbol] += 1
        return self._note(replaced.symbol, super().replace(replaced, now_ns, venue))

    def receive_trade(self, symbol: str, trade: Trade, venue: str = "") -> bool:
        self.trades[symbol].append(trade)
        return super().receive_trade(symbol, trade, venue)

    def owner(self, symbol: str) -> InstrumentOwner:
        """By the venue's own spelling."""
        return self.of_venue(self._venue)[symbol]

    def _note(self, symbol: str, outcome: Outcome | None) -> Outcome | None:
        owner = self.of_venue(self._venue).get(symbol)
        if outcome is None or owner is None:
            return outcome
        self.outcomes[symbol][outcome] += 1
        if outcome is Outcome.APPLIED and (book := owner.copy) is not None and book.event_ms is not None:
            where = {"update_id": book.last_update_id} if self._has_ids else {"time_ms": book.event_ms}
            truth = self._sim.truth(f"{self._venue}:{symbol}", levels=self._levels, **where)
            if truth is not None:  # over a minute ago
                contract = owner.spec.contract_size  # a venue's sizes may be contracts; ours are of the base asset
                theirs = [[(float(price), float(Decimal(size) * contract)) for price, size in side] for side in truth]
                mine = [list(side.top(self._levels)) for side in (book.bids, book.asks)]
                if mine == theirs:
                    self.right[symbol] += 1
                else:
                    self.wrong[symbol].append(book.event_ms)
        return outcome


@contextlib.asynccontextmanager
async def following(
    sim: SimExchange, venue: Venue, rest: Rest, symbols: tuple[str, ...], *, levels: int, has_ids: bool
) -> AsyncIterator[tuple[ComparedMarket, Feed]]:
    """A feed whose books are live."""
    name = venue.traits.name
    market = ComparedMarket(sim, name, levels, has_ids=has_ids)
    feed = Feed(market, venue, rest, f"{sim.ws_url}/{name}")
    try:
        for symbol in symbols:
            await feed.subscribe(symbol)
        for symbol in symbols:
            assert await feed.wait_live(symbol, PATIENCE_SECS), f"{symbol} is not live: {feed.last_error}"
        yield market, feed
    finally:
        await feed.aclose()


def exchange(*symbols: str, **options: Any) -> SimExchange:
    return SimExchange(SimConfig(symbols=symbols, seed=5, history_hours=options.pop("history_hours", 0.2), **options))


def stepped(*symbols: str, **options: Any) -> SimExchange:
    """One whose time passes by `step` only."""
    return exchange(*symbols, manual=True, start_ms=1_795_000_000_000, **options)


class Talk:
    """A plain connection that speaks JSON."""

    def __init__(self, url: str) -> None:
        self._connecting = websockets.connect(url, max_size=None, max_queue=None)
        self.said: list[Any] = []

    async def __aenter__(self) -> Talk:
        self.socket = await self._connecting
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.socket.close()

    async def say(self, message: Any) -> None:
        await self.socket.send(message if isinstance(message, str) else json.dumps(message))

    async def next(self) -> Any:
        text = await self.socket.recv()
        try:
            self.said.append(json.loads(text))
        except ValueError:
            self.said.append(text)
        return self.said[-1]

    async def until(self, is_it: Callable[[Any], bool]) -> Any:
        """The first message that it is."""
        while not is_it(message := await self.next()):
            pass
        return message


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event announces, bounded."""
    async with asyncio.timeout(PATIENCE_SECS):
        while not condition():
            await asyncio.sleep(0.01)
