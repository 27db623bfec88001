"""OKX's public REST interface: instruments and contracts, trades by their ids, refusals byte by byte."""

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
from tests.venues.okx.feed import SWAP, SYMBOL
from vibe_orderbook_mcp.model.errors import ExchangeError, ExchangeUnavailable, RateLimited, SymbolUnknown
from vibe_orderbook_mcp.model.listed import Listed
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.venues.okx.rest import PAGE_TRADES, OkxRest

SPOT_ROW = {
    "instType": "SPOT",
    "instId": SYMBOL,
    "baseCcy": "BTC",
    "quoteCcy": "USDT",
    "tickSz": "0.1",
    "lotSz": "0.00000001",
    "maxLmtSz": "9999999999",
    "state": "live",
    "ctVal": "",
    "ctMult": "",
    "ctType": "",
}
SWAP_ROW = {
    **SPOT_ROW,
    "instType": "SWAP",
    "instId": SWAP,
    "baseCcy": "",
    "quoteCcy": "",
    "settleCcy": "USDT",
    "lotSz": "0.01",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctMult": "1",
    "ctValCcy": "BTC",
}
ROWS: list[dict[str, str]] = [
    SPOT_ROW,
    {**SPOT_ROW, "instId": "OLD-USDT", "baseCcy": "OLD", "state": "suspend"},
    {**SPOT_ROW, "instId": "ODD-USDT", "tickSz": "no number"},
    {**SPOT_ROW, "instId": "NUL-USDT", "tickSz": "0"},
    {**SPOT_ROW, "instId": "<b>-USDT", "baseCcy": "<b>"},
    {"instType": "SPOT", "instId": "NON-USDT"},
    SWAP_ROW,
    {**SWAP_ROW, "instId": "DOGE-USDT-SWAP", "ctVal": "1000", "ctValCcy": "DOGE", "lotSz": "0.01"},
    {**SWAP_ROW, "instId": "BTC-USD-SWAP", "ctType": "inverse", "ctVal": "100", "ctValCcy": "USD", "lotSz": "1"},
]
NEWEST_ID = 5000


def said(rows: list[Any], code: str = "0", words: str = "") -> bytes:
    return json.dumps({"code": code, "msg": words, "data": rows}).encode()


def exchange(path: str, query: dict[str, str]) -> bytes:
    name = path.removeprefix("/api/v5/")
    if name == "public/instruments":
        rows = [row for row in ROWS if row["instType"] == query["instType"]]
        found = [row for row in rows if query.get("instId") in (None, row["instId"])]
        return said(found) if found else said([], "51001", "Instrument ID does not exist")
    if name == "public/time":
        return said([{"ts": "1785542400123"}])
    assert name == "market/history-trades"
    assert query["type"] == "1"
    after = int(query.get("after", NEWEST_ID + 1))  # older than that id, newest first
    ids = list(range(1, NEWEST_ID + 1))[: after - 1][-int(query["limit"]) :]
    return said(
        [
            {"instId": query["instId"], "side": "sell", "sz": "5", "px": "100.1", "tradeId": str(each), "ts": str(each)}
            for each in reversed(ids)
        ]
    )


def asked(work: Callable[[OkxRest, Answered], Awaitable[None]]) -> None:
    async def run() -> None:
        async with answering(exchange) as serving:
            rest = OkxRest(serving.url, request_secs=0.0)
            try:
                async with asyncio.timeout(PATIENCE_SECS):
                    await work(rest, serving)
            finally:
                await rest.aclose()

    asyncio.run(run())


def test_instruments_are_spot_and_swaps_whose_contracts_are_coins() -> None:
    async def work(rest: OkxRest, _serving: Answered) -> None:
        assert set(await rest.all_symbols()) == {
            Listed(SYMBOL, "BTC", "USDT"),
            Listed("OLD-USDT", "OLD", "USDT", is_trading=False),
            Listed(SWAP, "BTC", "USDT"),
            Listed("DOGE-USDT-SWAP", "DOGE", "USDT"),
        }
        assert rest.skipped == {"symbols": 4}
        spec = await rest.symbol(SYMBOL)
        assert spec == SymbolSpec(SYMBOL, "BTC", "USDT", Decimal("0.1"), Decimal("0.00000001"))
        spec.check_exact()
        assert (await rest.listing("OLD-USDT"))[0] == "SUSPEND"
        assert (await rest.listing(SWAP))[0] == "TRADING"
        for symbol in ("NO-PE", "BTC-USD-SWAP", "ODD-USDT"):
            with pytest.raises(SymbolUnknown):
                await rest.symbol(symbol)
        assert await rest.server_time_ms() == 1785542400123

    asked(work)


def test_the_steps_of_a_swap_are_base_units() -> None:
    """A contract of 0.01 BTC is traded in hundredths: 0.0001 BTC. One of 1000 DOGE in steps of 10 DOGE."""

    async def work(rest: OkxRest, _serving: Answered) -> None:
        spec = await rest.symbol(SWAP)
        assert (spec.market, spec.contract_size, spec.step_size) == ("perpetual", Decimal("0.01"), Decimal("0.0001"))
        doge = await rest.symbol("DOGE-USDT-SWAP")
        assert (doge.contract_size, doge.step_size) == (Decimal(1000), Decimal(10))
        trade = (await rest.agg_trades(SWAP, NEWEST_ID))[0]
        assert (trade.agg_id, trade.size, trade.buyer_is_maker) == (NEWEST_ID, 0.05, True)
        assert (await rest.agg_trades("DOGE-USDT-SWAP", NEWEST_ID))[0].size == 5000.0

    asked(work)


@pytest.mark.parametrize("from_id", [1, 2, 99, 2500, NEWEST_ID - 99, NEWEST_ID - 98, NEWEST_ID])
def test_a_page_begins_with_the_trade_that_is_asked_for(from_id: int) -> None:
    """The exchange's own pages go backwards."""

    async def work(rest: OkxRest, _serving: Answered) -> None:
        page = await rest.agg_trades(SYMBOL, from_id)
        assert [trade.agg_id for trade in page] == list(range(from_id, min(NEWEST_ID + 1, from_id + PAGE_TRADES)))

    asked(work)


def test_the_newest_trades_come_without_an_id() -> None:
    async def work(rest: OkxRest, _serving: Answered) -> None:
        page = await rest.agg_trades(SYMBOL, None)
        assert [trade.agg_id for trade in page] == list(range(NEWEST_ID - 99, NEWEST_ID + 1))
        assert await rest.agg_trades(SYMBOL, NEWEST_ID + 500) == []

    asked(work)


def test_rows_that_cannot_be_read_are_counted() -> None:
    async def work(rest: OkxRest, serving: Answered) -> None:
        rows = [{"tradeId": "7", "px": "1", "sz": "2", "side": "buy", "ts": "5"}, {"tradeId": "x"}, 5, None]
        await rest.symbol(SYMBOL)
        serving.answer = lambda _path, _query: said(rows)
        assert [trade.agg_id for trade in await rest.agg_trades(SYMBOL, None)] == [7]
        assert rest.skipped == {"trades": 3}

    asked(work)


REFUSALS: list[tuple[bytes, type[ExchangeError], int | None]] = [
    (http("429 Too Many Requests", said([], "50011", "Rate limit reached")), RateLimited, 429),
    (http("200 OK", said([], "50011", "Rate limit reached")), RateLimited, 429),
    (http("200 OK", said([], "51001", "Instrument ID does not exist")), SymbolUnknown, None),
    (http("400 Bad Request", said([], "51001", "Instrument ID does not exist")), SymbolUnknown, None),
    (http("200 OK", said([], "50001", "<script>")), ExchangeUnavailable, None),
    (http("503 Service Unavailable", said([], "50001", "<script>")), ExchangeUnavailable, 503),
    (http("502 Bad Gateway", b"<html>"), ExchangeUnavailable, 502),
    (http("200 OK", b"<html>"), ExchangeUnavailable, None),
    (http("200 OK", b"null"), ExchangeUnavailable, None),
    (http("200 OK", b""), ExchangeUnavailable, None),
    (http("200 OK", said([])[:9], length=99), ExchangeUnavailable, None),
    (b"SSH-2.0-OpenSSH_9.6\r\n", ExchangeUnavailable, None),
    (b"", ExchangeUnavailable, None),
]


@pytest.mark.parametrize(("raw", "kind", "status"), REFUSALS)
def test_each_refusal_is_its_own_error(raw: bytes, kind: type[ExchangeError], status: int | None) -> None:
    """The exchange's words go only to the log."""

    async def work(rest: OkxRest, serving: Answered) -> None:
        serving.raw = raw
        with pytest.raises(ExchangeError) as caught:
            await rest.symbol(SYMBOL)
        assert type(caught.value) is kind
        assert getattr(caught.value, "status", None) == status
        assert "script" not in str(caught.value)
        assert rest.failures.total() == (kind is not SymbolUnknown)

    asked(work)


def test_after_too_many_requests_none_is_sent_for_a_while() -> None:
    async def work(rest: OkxRest, serving: Answered) -> None:
        serving.raw = REFUSALS[0][0]
        with pytest.raises(RateLimited):
            await rest.symbol(SYMBOL)
        with pytest.raises(RateLimited) as refused:
            await rest.symbol(SYMBOL, is_lookup=True)  # a client does not wait
        assert refused.value.retry_after_secs > 3
        assert len(serving.asked) == 1

    asked(work)


@pytest.mark.parametrize("rows", [[], [5], [{"ts": "soon"}], [{}]])
def test_a_time_that_cannot_be_read_is_no_time(rows: list[Any]) -> None:
    async def work(rest: OkxRest, serving: Answered) -> None:
        serving.answer = lambda _path, _query: said(rows)
        with pytest.raises(ExchangeUnavailable):
            await rest.server_time_ms()

    asked(work)
