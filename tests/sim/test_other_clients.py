"""Other people's clients take the sim for the exchange: they keep their own books, and the books are right.

Neither library is a dependency; each test runs where its library happens to be installed.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.clients import run
from vibe_orderbook_mcp.sim import SimConfig, SimExchange

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries, not ours

SYMBOL = "ETHUSDT"
LEVELS = 20


def floats(exchange: SimExchange, update_id: int) -> tuple[list[list[float]], list[list[float]]]:
    truth = exchange.truth(SYMBOL, update_id, LEVELS)
    assert truth is not None
    bids, asks = ([[float(price), float(size)] for price, size in side] for side in truth)
    return bids, asks


def test_python_binance_keeps_the_true_book() -> None:
    binance = pytest.importorskip("binance", reason="python-binance is not installed")

    async def body() -> None:
        async with SimExchange(SimConfig(symbols=(SYMBOL, "BTCUSDT"), seed=7)) as exchange:
            client: Any = binance.AsyncClient()
            client.API_URL = f"{exchange.rest_url}/api"
            try:
                await client.ping()
                assert (await client.get_symbol_info(SYMBOL))["quoteAsset"] == "USDT"
                assert len(await client.get_aggregate_trades(symbol=SYMBOL, limit=700)) == 700
                assert (await client.get_ticker(symbol=SYMBOL))["symbol"] == SYMBOL
                sockets: Any = binance.BinanceSocketManager(client)
                sockets.STREAM_URL = f"{exchange.ws_url}/"
                manager = binance.DepthCacheManager(client, symbol=SYMBOL, bm=sockets, limit=1000, ws_interval=100)
                async with manager as depth:
                    for _ in range(15):
                        cache = await depth.recv()
                    bids, asks = cache.get_bids()[:LEVELS], cache.get_asks()[:LEVELS]
                    assert (bids, asks) == floats(exchange, depth._last_update_id)
            finally:
                await client.close_connection()

    run(body(), 30)


@pytest.mark.slow
def test_ccxt_keeps_the_true_book() -> None:
    pro = pytest.importorskip("ccxt.pro", reason="ccxt is not installed")

    async def body() -> None:
        async with SimExchange(SimConfig(symbols=(SYMBOL, "BTCUSDT"), seed=7)) as exchange:
            client: Any = pro.binance({"options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}})
            client.urls["api"]["public"] = f"{exchange.rest_url}/api/v3"
            client.urls["api"]["ws"]["spot"] = f"{exchange.ws_url}/ws"
            try:
                assert set(await client.load_markets()) == {"ETH/USDT", "BTC/USDT"}
                assert len(await client.fetch_trades("ETH/USDT", limit=500)) == 500
                for _ in range(15):
                    book = await client.watch_order_book("ETH/USDT", 1000)
                bids, asks = ([list(level[:2]) for level in book[side][:LEVELS]] for side in ("bids", "asks"))
                assert (bids, asks) == floats(exchange, book["nonce"])
                assert (await client.watch_trades("ETH/USDT"))[0]["symbol"] == "ETH/USDT"
            finally:
                await client.close()

    run(body(), 30)
