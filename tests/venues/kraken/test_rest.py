"""Kraken's public REST interface: pairs, trades by their ids although pages go by time, refusals."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from random import Random

import pytest

from tests.patience import PATIENCE_SECS
from tests.venues.kraken.exchange import PAGE, Exchange, answer, exchange
from vibe_orderbook_mcp.model.errors import ExchangeUnavailable, RateLimited, SymbolUnknown
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.venues.kraken.rest import KrakenRest

START_NS = 1_785_000_000_000_000_000


def asked(work: Callable[[KrakenRest, Exchange], Awaitable[None]], times_ns: list[int] | None = None) -> None:
    async def run() -> None:
        async with exchange(times_ns) as serving:
            rest = KrakenRest(serving.url, request_secs=0.0)
            try:
                async with asyncio.timeout(PATIENCE_SECS):
                    await work(rest, serving)
            finally:
                await rest.aclose()

    asyncio.run(run())


def test_pairs_have_the_names_of_the_websocket() -> None:
    """REST writes XBT and XDG; asked for by these names the stream would refuse."""

    async def work(rest: KrakenRest, _serving: Exchange) -> None:
        listing = await rest.all_symbols()
        assert {(entry.symbol, entry.base_asset, entry.is_trading) for entry in listing} == {
            ("BTC/USD", "BTC", True),
            ("DOGE/USD", "DOGE", False),
        }
        assert rest.skipped == {"symbols": 1}
        spec = await rest.symbol("BTC/USD")
        assert spec == SymbolSpec("BTC/USD", "BTC", "USD", Decimal("0.1"), Decimal("0.00000001"))
        assert (spec.price_decimals, spec.size_decimals) == (1, 8)
        assert (await rest.listing("DOGE/USD"))[0] == "CANCEL_ONLY"
        assert (await rest.listing("BTC/USD"))[0] == "TRADING"
        with pytest.raises(SymbolUnknown):
            await rest.symbol("XBT/USD")

    asked(work)


def test_the_newest_trades_come_without_an_id() -> None:
    """Times are cut: 0.9999996 s is in its own millisecond."""

    async def work(rest: KrakenRest, _serving: Exchange) -> None:
        page = await rest.agg_trades("BTC/USD", None)
        assert [trade.agg_id for trade in page] == [1, 2]
        assert [trade.time_ms for trade in page] == [START_NS // 10**6, START_NS // 10**6 + 999]
        assert [(trade.price, trade.size, trade.buyer_is_maker) for trade in page] == [
            (100.1, 0.5, True),
            (100.2, 0.5, False),
        ]

    asked(work, [START_NS, START_NS + 999_999_600])


@pytest.mark.parametrize("seed", range(8))
def test_any_trade_is_found_by_its_id(seed: int) -> None:
    """Bursts and hours without a trade lie between what is known and what is looked for."""
    random = Random(seed)
    times, now = [], START_NS
    for _ in range(12_000):
        now += int(random.choice((0, 10**6, 10**8, 10**9)) * random.random())
        now += 10**12 * (random.random() < 0.001)
        times.append(now)
    wanted = [random.randrange(1, len(times) + 1) for _ in range(6)] + [1, len(times)]

    async def work(rest: KrakenRest, serving: Exchange) -> None:
        for from_id in wanted:
            before = len(serving.asked)
            page = await rest.agg_trades("BTC/USD", from_id)
            assert page[0].agg_id == from_id
            assert [trade.agg_id for trade in page] == list(range(from_id, page[-1].agg_id + 1))
            assert len(serving.asked) - before <= 14

    asked(work, times)


def test_every_id_can_be_fetched_from_the_newest_back() -> None:
    """As the filler goes: each page ends before the one that is known."""
    random = Random(1)
    times = [START_NS + 10**8 * place + random.randrange(10**7) for place in range(5000)]

    async def work(rest: KrakenRest, _serving: Exchange) -> None:
        page = await rest.agg_trades("BTC/USD", None)
        missing = set(range(1, 5001)) - {trade.agg_id for trade in page}
        turns = 0
        while missing:
            turns += 1
            start = max(1, max(missing) - PAGE + 1)
            missing -= {trade.agg_id for trade in await rest.agg_trades("BTC/USD", start, is_older=True)}
        assert turns <= 8

    asked(work, times)


def test_refusals_are_told_apart_and_their_words_stay_in_the_log() -> None:
    async def work(rest: KrakenRest, serving: Exchange) -> None:
        await rest.symbol("BTC/USD")
        serving.answer = lambda _: ("200 OK", answer({}, "EGeneral:Too many requests"))
        with pytest.raises(RateLimited) as limited:
            await rest.agg_trades("BTC/USD", None)
        assert limited.value.retry_after_secs == 5.0
        rest._spacing._free_at = 0.0
        serving.answer = lambda _: ("200 OK", answer({}, "EService:<script>"))
        with pytest.raises(ExchangeUnavailable) as refused:
            await rest.agg_trades("BTC/USD", None)
        assert "script" not in str(refused.value)
        serving.answer = lambda _: ("502 Bad Gateway", b"<html>")
        with pytest.raises(ExchangeUnavailable) as bad:
            await rest.agg_trades("BTC/USD", None)
        assert (bad.value.status, rest.failures) == (502, {"429": 1, "no answer": 1, "502": 1})

    asked(work)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"error":[],"result":[]}', b'{"error":[],"result":{"X":7}}'])
def test_an_answer_that_cannot_be_read_is_no_answer(body: bytes) -> None:
    async def work(rest: KrakenRest, serving: Exchange) -> None:
        await rest.symbol("BTC/USD")
        serving.answer = lambda _: ("200 OK", body)
        with pytest.raises(ExchangeUnavailable):
            await rest.agg_trades("BTC/USD", None)
        with pytest.raises(ExchangeUnavailable):
            await rest.server_time_ms()

    asked(work)


def test_the_clock_is_asked_in_seconds() -> None:
    async def work(rest: KrakenRest, _serving: Exchange) -> None:
        assert await rest.server_time_ms() == 1_785_542_400_000

    asked(work)
