"""Bybit's public REST interface: instruments of two markets, refusals byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.patience import PATIENCE_SECS
from tests.venues.answering import Answered, answering
from tests.venues.binance.wire import http
from vibe_orderbook_mcp.model.errors import ExchangeError, ExchangeUnavailable, RateLimited, SymbolUnknown
from vibe_orderbook_mcp.model.listed import Listed
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.venues.bybit.messages import Market
from vibe_orderbook_mcp.venues.bybit.rest import BybitRest

SPOT_ROW: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "innovation": "0",
    "status": "Trading",
    "lotSizeFilter": {"basePrecision": "0.000001", "quotePrecision": "0.00000001", "minOrderQty": "0.000011"},
    "priceFilter": {"tickSize": "0.01"},
}
LINEAR_ROW: dict[str, Any] = {
    **SPOT_ROW,
    "contractType": "LinearPerpetual",
    "settleCoin": "USDT",
    "lotSizeFilter": {"qtyStep": "0.001", "maxOrderQty": "1190.000"},
    "priceFilter": {"tickSize": "0.10", "minPrice": "0.10", "maxPrice": "1999999.80"},
}
ROWS: dict[str, list[dict[str, Any]]] = {
    "spot": [
        SPOT_ROW,
        {**SPOT_ROW, "symbol": "ODDUSDT", "priceFilter": {"tickSize": "no number"}},
        {**SPOT_ROW, "symbol": "NULUSDT", "priceFilter": {"tickSize": "0"}},
        {**SPOT_ROW, "symbol": "STEPUSDT", "lotSizeFilter": {}},
        {**SPOT_ROW, "symbol": "<b>USDT", "baseCoin": "<b>"},
        {"symbol": "NONUSDT"},
    ],
    "linear": [
        LINEAR_ROW,
        {**LINEAR_ROW, "symbol": "1000PEPEUSDT", "baseCoin": "1000PEPE", "status": "Closed"},
        {**LINEAR_ROW, "symbol": "BTC-26DEC26", "contractType": "LinearFutures"},
    ],
}


def said(result: Any, code: int = 0, words: str = "OK") -> bytes:
    return json.dumps({"retCode": code, "retMsg": words, "result": result, "retExtInfo": {}, "time": 1}).encode()


def exchange(path: str, query: dict[str, str]) -> bytes:
    name = path.removeprefix("/v5/market/")
    if name == "time":
        return said({"timeSecond": "1785542400", "timeNano": "1785542400123999999"})
    assert name == "instruments-info"
    rows = ROWS[query["category"]]
    if "symbol" in query:
        found = [row for row in rows if row["symbol"] == query["symbol"]]
        return said({"category": query["category"], "list": found, "nextPageCursor": ""})
    if query["category"] == "spot":
        return said({"category": "spot", "list": rows})
    at = int(query.get("cursor", "0"))  # one symbol a page
    more = str(at + 1) if at + 1 < len(rows) else ""
    return said({"category": "linear", "list": rows[at : at + 1], "nextPageCursor": more})


def asked(work: Callable[[BybitRest, Answered], Awaitable[None]], market: Market = "spot") -> None:
    async def run() -> None:
        async with answering(exchange) as serving:
            rest = BybitRest(serving.url, market, request_secs=0.0)
            try:
                async with asyncio.timeout(PATIENCE_SECS):
                    await work(rest, serving)
            finally:
                await rest.aclose()

    asyncio.run(run())


def test_spot_is_read_whole() -> None:
    async def work(rest: BybitRest, _serving: Answered) -> None:
        assert list(await rest.all_symbols()) == [Listed("BTCUSDT", "BTC", "USDT")]
        assert rest.skipped == {"symbols": 5}
        spec = await rest.symbol("BTCUSDT")
        assert spec == SymbolSpec("BTCUSDT", "BTC", "USDT", Decimal("0.01"), Decimal("0.000001"))
        spec.check_exact()
        assert (await rest.listing("BTCUSDT"))[0] == "TRADING"
        assert await rest.server_time_ms() == 1785542400123  # cut
        for symbol in ("NOPE", "ODDUSDT"):
            with pytest.raises(SymbolUnknown):
                await rest.symbol(symbol)

    asked(work)


def test_of_contracts_every_page_is_read_and_the_perpetual_ones_are_kept() -> None:
    async def work(rest: BybitRest, serving: Answered) -> None:
        assert set(await rest.all_symbols()) == {
            Listed("BTCUSDT", "BTC", "USDT"),
            Listed("1000PEPEUSDT", "1000PEPE", "USDT", is_trading=False),
        }
        assert len(serving.asked) == 3
        spec = await rest.symbol("BTCUSDT")
        assert (spec.market, spec.tick_size, spec.step_size) == ("perpetual", Decimal("0.10"), Decimal("0.001"))
        assert (await rest.listing("1000PEPEUSDT"))[0] == "CLOSED"
        with pytest.raises(SymbolUnknown):
            await rest.symbol("BTC-26DEC26")

    asked(work, "linear")


REFUSALS: list[tuple[bytes, type[ExchangeError], int | None]] = [
    (http("429 Too Many Requests", b"{}"), RateLimited, 429),
    (http("200 OK", said({}, 10006, "Too many visits!")), RateLimited, 429),
    (http("200 OK", said({}, 10018, "Exceeded the IP Rate Limit.")), RateLimited, 429),
    (http("200 OK", said({}, 10001, "params error: symbol invalid")), SymbolUnknown, None),
    (http("200 OK", said({}, 10016, "<script>")), ExchangeUnavailable, None),
    (http("403 Forbidden", b"<html>"), ExchangeUnavailable, 403),
    (http("503 Service Unavailable", said({}, 10016, "<script>")), ExchangeUnavailable, 503),
    (http("200 OK", b"<html>"), ExchangeUnavailable, None),
    (http("200 OK", b"null"), ExchangeUnavailable, None),
    (http("200 OK", b""), ExchangeUnavailable, None),
    (http("200 OK", said(None)), ExchangeUnavailable, None),
    (http("200 OK", said({"list": 5})), ExchangeUnavailable, None),
    (http("200 OK", said({})[:9], length=99), ExchangeUnavailable, None),
    (b"SSH-2.0-OpenSSH_9.6\r\n", ExchangeUnavailable, None),
    (b"", ExchangeUnavailable, None),
]


@pytest.mark.parametrize(("raw", "kind", "status"), REFUSALS)
def test_each_refusal_is_its_own_error(raw: bytes, kind: type[ExchangeError], status: int | None) -> None:
    """The exchange's words go only to the log."""

    async def work(rest: BybitRest, serving: Answered) -> None:
        serving.raw = raw
        with pytest.raises(ExchangeError) as caught:
            await rest.symbol("BTCUSDT")
        assert type(caught.value) is kind
        assert getattr(caught.value, "status", None) == status
        assert "script" not in str(caught.value)

    asked(work)


@pytest.mark.parametrize("result", [None, {}, {"timeNano": "soon"}, {"timeNano": -5}, []])
def test_a_time_that_cannot_be_read_is_no_time(result: Any) -> None:
    async def work(rest: BybitRest, serving: Answered) -> None:
        serving.answer = lambda _path, _query: said(result)
        with pytest.raises(ExchangeUnavailable):
            await rest.server_time_ms()

    asked(work)


def test_trades_are_not_to_be_had_by_their_ids() -> None:
    async def work(rest: BybitRest, serving: Answered) -> None:
        with pytest.raises(ExchangeUnavailable):
            await rest.agg_trades("BTCUSDT", 5)
        assert serving.asked == []

    asked(work)
