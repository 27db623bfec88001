"""Other people's clients take each dialect for its venue: they keep their own books, and the books are right.

No library is a dependency; each test runs where its library happens to be installed.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, NamedTuple

import pytest

from tests.sim.clients import run
from tests.sim.dialects.rig import exchange
from vibe_orderbook_mcp.sim.server import SimExchange

pytestmark = pytest.mark.filterwarnings("ignore")  # not ours to repair

LEVELS = 5
BOOKS = 12


class Client(NamedTuple):
    """A class of ccxt, what it calls the market, and where its own addresses lead."""

    name: str
    market: str
    instrument: str
    options: dict[str, Any]
    addresses: tuple[tuple[str, str], ...]  # REST and websocket, by what they replace
    ahead_ms: int = 0  # of the book's time, which its time of sending may be
    has_ids: bool = False
    has_trades: bool = True


CLIENTS = (
    Client(
        "kraken",
        "BTC/USD",
        "kraken:BTC/USD",
        {},
        (("https://api.kraken.com", "rest"), ("wss://ws.kraken.com", "ws")),
    ),
    Client(
        "binanceusdm",
        "BTC/USDT:USDT",
        "binance-usdm:BTCUSDT",
        {"fetchCurrencies": False, "fetchMarkets": {"types": ["linear"]}},
        (("https://fapi.binance.com", "rest"), ("wss://fstream.binance.com", "ws")),
        has_ids=True,
    ),
    Client(
        "okx",
        "BTC/USDT",
        "okx:BTC-USDT",
        {},
        (("https://{hostname}", "rest"), ("wss://ws.okx.com:443", "ws")),
    ),
    Client(
        "bybit",
        "BTC/USDT",
        "bybit:BTCUSDT",
        {"fetchMarkets": {"types": ["spot"]}},
        (("https://api.{hostname}", "rest"), ("wss://stream.{hostname}", "ws")),
        ahead_ms=2,
    ),
    Client(
        "coinbase",
        "ETH/USD",
        "coinbase:ETH-USD",
        {},
        (("https://api.coinbase.com", "rest"), ("wss://advanced-trade-ws.coinbase.com", "ws")),
    ),
    Client(
        "hyperliquid",
        "BTC/USDC:USDC",
        "hyperliquid:BTC",
        {"fetchMarkets": {"types": ["swap"]}},
        (("https://api.{hostname}", "rest"), ("wss://api.hyperliquid.xyz", "ws")),
        has_trades=False,  # it asks for a wallet's
    ),
    Client(
        "deribit",
        "BTC/USD:BTC",
        "deribit:BTC-PERPETUAL",
        {"currencies": ["BTC", "ETH"]},
        (("https://www.deribit.com", "rest"), ("wss://www.deribit.com", "ws")),
    ),
)


def led(addresses: Any, pairs: list[tuple[str, str]]) -> Any:
    """The same addresses, leading to the simulated venue."""
    if isinstance(addresses, dict):
        return {name: led(each, pairs) for name, each in addresses.items()}
    for there, here in pairs:
        addresses = addresses.replace(there, here)
    return addresses


def is_true(sim: SimExchange, client: Client, book: Any) -> bool:
    """Whether the best levels are those of the true book."""
    where = {"update_id": book["nonce"]} if client.has_ids else {"time_ms": book["timestamp"] - client.ahead_ms}
    truth = sim.truth(client.instrument, levels=LEVELS, **where)
    assert truth is not None
    mine = [[list(map(float, level[:2])) for level in book[side][:LEVELS]] for side in ("bids", "asks")]
    return mine == [[[float(price), float(size)] for price, size in side] for side in truth]


@pytest.mark.slow
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_ccxt_keeps_the_true_book(client: Client) -> None:
    pro = pytest.importorskip("ccxt.pro", reason="ccxt is not installed")

    async def body() -> None:
        venue = client.instrument.partition(":")[0]
        async with exchange(client.instrument) as sim:
            theirs: Any = getattr(pro, client.name)({"options": client.options})
            bases = {"rest": f"{sim.rest_url}/{venue}", "ws": f"{sim.ws_url}/{venue}"}
            pairs = [(there, bases[here]) for there, here in client.addresses]
            theirs.urls["api"] = led(theirs.urls["api"], pairs)
            try:
                assert client.market in await theirs.load_markets()
                if client.has_trades:
                    assert len(await theirs.fetch_trades(client.market, limit=50)) == 50
                books = 0
                while books < BOOKS:
                    book = await theirs.watch_order_book(client.market)
                    if book["timestamp"] is not None:  # a snapshot's is not kept by each
                        assert is_true(sim, client, book)
                        books += 1
                assert (await theirs.watch_trades(client.market))[0]["symbol"] == client.market
            finally:
                await theirs.close()

    run(body(), 60)


class Beside(threading.Thread):
    """The exchange on a loop of its own, for a client that blocks the one it runs on."""

    def __init__(self, *symbols: str) -> None:
        super().__init__(daemon=True)
        self._symbols = symbols
        self._is_up, self._leave = threading.Event(), threading.Event()
        self.port = 0

    def __enter__(self) -> Beside:
        self.start()
        assert self._is_up.wait(60.0)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._leave.set()
        self.join()

    def run(self) -> None:
        async def body() -> None:
            async with exchange(*self._symbols) as sim:
                self.port = sim.port
                self._is_up.set()
                await asyncio.to_thread(self._leave.wait)

        asyncio.run(body())


def test_the_sdk_of_krakens_users_finds_every_checksum_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """It compares the checksum of every update with its own book."""
    spot = pytest.importorskip("kraken.spot", reason="python-kraken-sdk is not installed")
    base_api = pytest.importorskip("kraken.base_api")
    websocket = pytest.importorskip("kraken.spot.websocket")

    async def body(port: int) -> None:
        for each in [each for each in vars(websocket).values() if hasattr(each, "WS_URL")]:
            monkeypatch.setattr(each, "WS_URL", f"ws://127.0.0.1:{port}/kraken")
        base = f"http://127.0.0.1:{port}/kraken"
        monkeypatch.setattr(base_api, "urljoin", lambda _base, path: base + path)  # it drops a path of the base
        seen: list[bool] = []
        enough = asyncio.Event()

        async def note(books: Any, pair: str) -> None:
            seen.append(books.get(pair=pair)["valid"])
            if len(seen) > 50:
                enough.set()

        theirs = type(
            "Books", (spot.SpotOrderBookClient,), {"on_book_update": lambda self, pair, message: note(self, pair)}
        )
        books: Any = theirs(depth=10)
        await books.start()
        try:
            await books.add_book(pairs=["BTC/USD"])
            await enough.wait()
            assert all(seen)
        finally:
            await books.close()

    with Beside("kraken:BTC/USD") as sim:
        run(body(sim.port), 60)
