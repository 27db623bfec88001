"""Bybit's feed over real sockets: books that are sent again, and trades that are numbered and never counted twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.asyncio.server import ServerConnection, serve

from tests.patience import PATIENCE_SECS
from tests.venues.answering import answering
from tests.venues.bybit.feed import SYMBOL, Sender, fill, trades
from tests.venues.bybit.test_rest import exchange
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.numbering import is_own
from vibe_orderbook_mcp.venues.bybit.rest import BybitRest
from vibe_orderbook_mcp.venues.bybit.wire import Bybit
from vibe_orderbook_mcp.venues.feed import Feed

NAME = f"bybit:{SYMBOL}"


class Exchange:
    """Answers requests, and sends a snapshot for each subscription to a book."""

    def __init__(self) -> None:
        self.sender = Sender(1)
        self.sockets: list[ServerConnection] = []
        self.requests: list[tuple[str, list[str]]] = []

    async def serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        async for text in socket:
            request = json.loads(text)
            self.requests.append((request["op"], request.get("args", [])))
            answer = {"success": True, "ret_msg": "", "req_id": request.get("req_id"), "op": request["op"]}
            await socket.send(json.dumps(answer))
            if request["op"] == "subscribe" and f"orderbook.200.{SYMBOL}" in request["args"]:
                await socket.send(self.sender.snapshot())

    async def say(self, *frames: str | bytes, to: int = -1) -> None:
        for frame in frames:
            await self.sockets[to].send(frame if isinstance(frame, str) else frame.decode())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def following() -> AsyncIterator[tuple[Exchange, Feed, InstrumentOwner]]:
    exchanging, market = Exchange(), Market()
    async with (
        asyncio.timeout(PATIENCE_SECS),
        answering(exchange) as rest_server,
        serve(exchanging.serve, "127.0.0.1", 0) as server,
    ):
        rest = BybitRest(rest_server.url, "spot", request_secs=0.0)
        port = next(iter(server.sockets)).getsockname()[1]
        feed = Feed(market, Bybit("spot", depth=30), rest, f"ws://127.0.0.1:{port}")
        try:
            feed.keep(NAME)
            assert await feed.wait_live(NAME, PATIENCE_SECS)
            yield exchanging, feed, market.symbols[NAME]
        finally:
            await feed.aclose()
            await rest.aclose()


def run(work: Callable[[Exchange, Feed, InstrumentOwner], Awaitable[None]]) -> None:
    async def live() -> None:
        async with following() as parts:
            await work(*parts)

    asyncio.run(live())


def taken(owner: InstrumentOwner) -> tuple[Trade, ...]:
    batch = owner.take().trades
    return () if batch is None else batch.trades


def test_a_lost_frame_has_the_book_sent_again() -> None:
    async def work(exchanging: Exchange, feed: Feed, owner: InstrumentOwner) -> None:
        sender = exchanging.sender
        await exchanging.say(sender.update())
        await until(lambda: owner.counts.events == 1)
        sender.update()
        await exchanging.say(sender.update())
        await until(lambda: owner.counts.gaps == 1)
        assert await feed.wait_live(NAME, PATIENCE_SECS)
        books = [f"orderbook.200.{SYMBOL}"]
        assert exchanging.requests[-2:] == [("unsubscribe", books), ("subscribe", books)]
        assert owner.book is not None
        assert (owner.book.bids.top(99), owner.book.asks.top(99)) == sender.levels

    run(work)


def test_a_book_with_a_level_too_many_is_sent_again() -> None:
    async def work(exchanging: Exchange, feed: Feed, owner: InstrumentOwner) -> None:
        frame = json.loads(exchanging.sender.update())
        frame["data"]["b"].append(["98.55", "1"])
        await exchanging.say(json.dumps(frame))
        await until(lambda: owner.counts.resyncs == 2)
        assert await feed.wait_live(NAME, PATIENCE_SECS)
        assert owner.book is not None
        assert (owner.book.bids.top(99), owner.book.asks.top(99)) == exchanging.sender.levels

    run(work)


def test_a_lost_connection_is_a_hole_of_unknown_size() -> None:
    """Numbers are consecutive on a connection, and never between two."""

    async def work(exchanging: Exchange, feed: Feed, owner: InstrumentOwner) -> None:
        await exchanging.say(trades(fill("a"), fill("b")), trades(fill("c", T=1785542402500)))
        await until(lambda: owner.counts.trades == 3)
        first = [trade.agg_id for trade in taken(owner)]
        assert first == list(range(first[0], first[0] + 3))
        assert all(map(is_own, first))
        await exchanging.sockets[-1].close()
        await until(lambda: len(exchanging.sockets) == 2 and owner.counts.resyncs == 2)
        await exchanging.say(trades(fill("c", T=1785542402500), fill("d", T=1785542404000)))  # one of them again
        await until(lambda: owner.counts.trades == 4)
        (second,) = (trade.agg_id for trade in taken(owner))
        assert second > first[-1] + 1
        assert owner.holes == []  # nothing can be fetched

    run(work)


def test_a_connection_that_is_replaced_in_time_loses_no_trade_and_counts_none_twice() -> None:
    """Both deliver for a while, and the numbers go on."""

    async def work(exchanging: Exchange, feed: Feed, owner: InstrumentOwner) -> None:
        await exchanging.say(trades(fill("a")))
        await until(lambda: owner.counts.trades == 1)
        (line,) = feed.lines
        said = 0

        async def both(name: str) -> None:
            for socket in list(exchanging.sockets):
                with contextlib.suppress(Exception):  # the old one is closed in the midst
                    await socket.send(trades(fill(name)).decode())

        line.replace("a test")
        while line.replacements == 0:
            await both(f"while {said}")
            said += 1
            await asyncio.sleep(0.005)
        await both("behind")
        await until(lambda: owner.counts.trades == said + 2)
        numbers = [trade.agg_id for trade in taken(owner)]
        assert numbers == list(range(numbers[0], numbers[0] + said + 2))

    run(work)


def test_a_connection_that_was_silent_before_it_was_replaced_leaves_a_hole() -> None:
    """What it did not deliver any more came on none."""

    async def work(exchanging: Exchange, feed: Feed, owner: InstrumentOwner) -> None:
        await exchanging.say(trades(fill("a")))
        await until(lambda: owner.counts.trades == 1)
        (line,) = feed.lines
        assert line.connection is not None
        line.connection.frame_ns -= 4_000_000_000  # nothing came on it for this long
        line.replace("a test")
        await until(lambda: line.replacements == 1)
        await exchanging.say(trades(fill("b", T=1785542404000)))
        await until(lambda: owner.counts.trades == 2)
        first, second = (trade.agg_id for trade in taken(owner))
        assert second > first + 1

    run(work)
