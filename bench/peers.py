"""Peers, each driven through its own Binance message path, without network.

Where a library leaves the decoding to the caller, orjson does it. "never read" rows are the fair comparison for
programs that read the book rarely, "best read" rows for programs
that need best bid and ask after every message.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import orjson

from bench.contenders import Contender, Frames, Touch
from bench.sets import MessageSet


def run(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine that never really waits."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


class Sorted:
    """The obvious design: sortedcontainers' SortedDict by float price."""

    name = "SortedDict"
    share = 1.0

    def __init__(self, messages: MessageSet) -> None:
        sorted_dict = importlib.import_module("sortedcontainers").SortedDict
        snapshot = orjson.loads(messages.snapshot)
        self._bids = sorted_dict({float(price): float(size) for price, size in snapshot["bids"]})
        self._asks = sorted_dict({float(price): float(size) for price, size in snapshot["asks"]})
        self._last_id = snapshot["lastUpdateId"]
        self._touch: Touch | None = None

    def feed(self, frames: Frames) -> None:
        for _, raw in frames:
            data = orjson.loads(raw)["data"]
            if data["U"] != self._last_id + 1:
                raise AssertionError("a gap")
            self._last_id = data["u"]
            for side, rows in ((self._bids, data["b"]), (self._asks, data["a"])):
                for price, size in rows:
                    if float(size):
                        side[float(price)] = float(size)
                    else:
                        side.pop(float(price), None)
            self._touch = self._bids.peekitem(-1)[0], self._asks.peekitem(0)[0]

    def touch(self) -> Touch | None:
        return self._touch


class PythonBinance:
    """`DepthCacheManager._depth_event`, with the decoder that its websocket uses."""

    name = "python-binance, never read"
    share = 1.0

    def __init__(self, messages: MessageSet) -> None:
        module = importlib.import_module("binance.ws.depthcache")
        snapshot = orjson.loads(messages.snapshot)

        async def get_order_book(**_: object) -> Any:
            return snapshot

        client = SimpleNamespace(get_order_book=get_order_book)
        loop = asyncio.new_event_loop()
        self._manager = module.DepthCacheManager(client, messages.symbol, loop=loop, bm=object(), refresh_interval=0)
        run(self._manager._init_cache())
        loop.close()

    def feed(self, frames: Frames) -> None:
        event = self._manager._depth_event
        for _, raw in frames:
            run(event(orjson.loads(raw)["data"]))

    def touch(self) -> Touch | None:
        cache = self._manager.get_depth_cache()
        return cache.get_bids()[0][0], cache.get_asks()[0][0]


class PythonBinanceRead(PythonBinance):
    name = "python-binance, best read"
    share = 0.05

    def feed(self, frames: Frames) -> None:
        event, cache = self._manager._depth_event, self._manager.get_depth_cache()
        for _, raw in frames:
            run(event(orjson.loads(raw)["data"]))
            cache.get_bids()[0], cache.get_asks()[0]


class Ccxt:
    """ccxt.pro: `handle_message` and the `limit()` that its own watchers call, at its default of 1000 levels."""

    name = "ccxt.pro, 1000 levels"
    share = 1.0

    def __init__(self, messages: MessageSet) -> None:
        exchange = importlib.import_module("ccxt.pro").binance({"newUpdates": True})
        market = exchange.safe_market_structure(
            {"id": messages.symbol, "symbol": "A/B", "base": "A", "quote": "B", "type": "spot", "spot": True}
        )
        exchange.markets, exchange.markets_by_id = {"A/B": market}, {messages.symbol: [market]}
        exchange.symbols = ["A/B"]
        snapshot = orjson.loads(messages.snapshot)
        parsed = exchange.parse_order_book(snapshot, "A/B")
        parsed["nonce"] = snapshot["lastUpdateId"]
        self._book = exchange.orderbooks["A/B"] = exchange.order_book({}, 1000)
        self._book.reset(parsed)
        self._client = SimpleNamespace(
            url="wss://stream.binance.com/stream", subscriptions={}, futures={}, resolve=lambda *_: None
        )
        self._handle = exchange.handle_message

    def feed(self, frames: Frames) -> None:
        handle, client, limit = self._handle, self._client, self._book.limit
        for _, raw in frames:
            handle(client, orjson.loads(raw))
            limit()

    def touch(self) -> Touch | None:
        return self._book["bids"][0][0], self._book["asks"][0][0]


class Cryptofeed:
    """`Binance.message_handler` with its own decoder and Decimals."""

    name = "cryptofeed, never read"
    share = 1.0

    def __init__(self, messages: MessageSet) -> None:
        binance = importlib.import_module("cryptofeed.exchanges.binance").Binance
        book_type = importlib.import_module("cryptofeed.types").OrderBook
        decimal = importlib.import_module("decimal").Decimal
        symbols = importlib.import_module("cryptofeed.symbols").Symbols
        symbols.set(binance.id, {"A-B": messages.symbol}, {"instrument_type": {"A-B": "spot"}})
        self._feed = binance(symbols=["A-B"], channels=["l2_book"], callbacks={})
        snapshot = orjson.loads(messages.snapshot)
        self._book = book_type(
            binance.id,
            "A-B",
            max_depth=0,
            **{side: {decimal(price): decimal(size) for price, size in snapshot[side]} for side in ("bids", "asks")},
        )
        self._feed._l2_book["A-B"] = self._book
        self._feed.last_update_id["A-B"] = snapshot["lastUpdateId"]
        self._book.delta = {}

    def feed(self, frames: Frames) -> None:
        handler = self._feed.message_handler
        for _, raw in frames:
            run(handler(raw, None, 0.0))

    def touch(self) -> Touch | None:
        book = self._book.book
        return float(book.bids.index(0)[0]), float(book.asks.index(0)[0])


class CryptofeedRead(Cryptofeed):
    name = "cryptofeed, best read"
    share = 0.05

    def feed(self, frames: Frames) -> None:
        handler, book = self._feed.message_handler, self._book.book
        for _, raw in frames:
            run(handler(raw, None, 0.0))
            book.bids.index(0), book.asks.index(0)


class Unicorn:
    """The compiled manager's stream loop, with a queue that holds our messages; 1000 levels, its own choice."""

    name = "unicorn depth cache, never read"
    share = 0.1

    def __init__(self, messages: MessageSet) -> None:
        manager = importlib.import_module("unicorn_binance_local_depth_cache.manager").BinanceLocalDepthCacheManager
        snapshot = orjson.loads(messages.snapshot)
        self._market = market = messages.symbol.lower()
        self._manager = one = manager.__new__(manager)
        one.exchange = "binance.com"
        one.stop_request = False
        one.high_performance = False
        lock = importlib.import_module("threading").Lock
        one.threading_lock_ask, one.threading_lock_bid = {market: lock()}, {market: lock()}
        one.depth_caches = {}
        one.default_refresh_interval = None
        one._add_depthcache(market=market)
        one.depth_caches[market].update(
            asks={price: float(size) for price, size in snapshot["asks"]},
            bids={price: float(size) for price, size in snapshot["bids"]},
            is_synchronized=True,
            refresh_request=False,
            stop_request=False,
            last_refresh_time=0,
            last_update_id=snapshot["lastUpdateId"],
        )
        self._queue: list[bytes] = []
        one.ubwa = SimpleNamespace(
            get_stream_label=lambda **_: "",
            is_stop_request=lambda **_: not self._queue,
            get_stream_data_from_asyncio_queue=self._next,
            asyncio_queue_task_done=lambda **_: None,
        )

    async def _next(self, **_: object) -> Any:
        return orjson.loads(self._queue.pop())

    def feed(self, frames: Frames) -> None:
        self._queue.extend(raw for _, raw in reversed(frames))
        run(self._manager._manage_depth_cache_async(stream_id="1"))

    def touch(self) -> Touch | None:
        bids = self._manager.get_bids(market=self._market, limit_count=1)
        asks = self._manager.get_asks(market=self._market, limit_count=1)
        return float(bids[0][0]), float(asks[0][0])


PEERS: tuple[tuple[str, Callable[[MessageSet], Contender]], ...] = (
    ("sortedcontainers", Sorted),
    ("python-binance", PythonBinance),
    ("python-binance", PythonBinanceRead),
    ("ccxt", Ccxt),
    ("cryptofeed", Cryptofeed),
    ("cryptofeed", CryptofeedRead),
    ("unicorn-binance-local-depth-cache", Unicorn),
)


def peers(messages: MessageSet, notes: list[str]) -> list[Contender]:
    """Those that are installed; what is missing goes to `notes`."""
    logging.disable(logging.CRITICAL)  # they log every message at debug level; nobody listens
    found: list[Contender] = []
    for package, make in PEERS:
        try:
            found.append(make(messages))
        except ImportError as error:
            note = f"{package} is not installed ({error}); bench/setup installs it"
            if note not in notes:
                notes.append(note)
    return found
