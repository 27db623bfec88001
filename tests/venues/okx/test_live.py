"""OKX's feed over real sockets: a book that is sent again, its pings, trades of contracts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import msgspec
from websockets.asyncio.server import ServerConnection, serve

from tests.patience import PATIENCE_SECS
from tests.venues.answering import answering
from tests.venues.okx.feed import SWAP, Sender, fill, trades
from tests.venues.okx.test_rest import exchange
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.venues.feed import Feed
from vibe_orderbook_mcp.venues.okx.rest import OkxRest
from vibe_orderbook_mcp.venues.okx.wire import TRAITS, Okx

NAME = f"okx:{SWAP}"


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_a_swap_is_followed_through_a_lost_frame() -> None:
    """Its book and its trades are in base units, and the connection is kept open by pings."""

    async def run() -> None:
        sender, market, pings = Sender(1, symbol=SWAP), Market(), 0
        sockets: list[ServerConnection] = []
        operations: list[str] = []

        async def serving(socket: ServerConnection) -> None:
            nonlocal pings
            sockets.append(socket)
            async for text in socket:
                if text == "ping":
                    pings += 1
                    await socket.send("pong")
                    continue
                request = json.loads(text)
                operations.append(request["op"])
                for argument in request["args"]:
                    event = {"id": request["id"], "event": request["op"], "arg": argument, "connId": "a4d3ae55"}
                    await socket.send(json.dumps(event))
                    if request["op"] == "subscribe" and argument["channel"] == "books":
                        await socket.send(sender.snapshot())

        async with (
            asyncio.timeout(PATIENCE_SECS),
            answering(exchange) as rest_server,
            serve(serving, "127.0.0.1", 0) as server,
        ):
            rest = OkxRest(rest_server.url, request_secs=0.0)
            venue = Okx(msgspec.structs.replace(TRAITS, ping_every_secs=0.01), depth=30)
            feed = Feed(market, venue, rest, f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
            try:
                feed.keep(NAME)
                assert await feed.wait_live(NAME, PATIENCE_SECS)
                owner = market.symbols[NAME]
                await sockets[-1].send(sender.update())
                await until(lambda: owner.counts.events == 1)
                sender.update()
                await sockets[-1].send(sender.update())
                await until(lambda: owner.counts.gaps == 1)
                assert await feed.wait_live(NAME, PATIENCE_SECS)
                assert operations[-2:] == ["unsubscribe", "subscribe"]
                assert owner.book is not None
                assert (owner.book.bids.top(99), owner.book.asks.top(99)) == sender.levels
                await sockets[-1].send(trades(fill(50, "100", count="3"), symbol=SWAP).decode())
                await until(lambda: owner.counts.trades == 3)
                batch = owner.take().trades
                assert batch is not None
                assert [trade.agg_id for trade in batch.trades] == [48, 49, 50]
                assert round(sum(trade.size for trade in batch.trades), 8) == 1.0  # a hundred contracts of 0.01 BTC
                await until(lambda: pings > 2)
                assert feed.malformed_frames == {}
            finally:
                await feed.aclose()
                await rest.aclose()

    asyncio.run(run())
