"""What the exchange's REST interface can answer, byte by byte, and what becomes of it."""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
import zlib

import pytest

from tests.e2e.rig import listening
from tests.venues.binance.wire import http, wire
from vibe_orderbook_mcp.model.errors import ExchangeError, ExchangeUnavailable, RateLimited, SymbolUnknown
from vibe_orderbook_mcp.process import web
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.sim.faults import RestStatus
from vibe_orderbook_mcp.venues.binance import rest as rest_module
from vibe_orderbook_mcp.venues.binance.rest import BinanceRest

INVALID = b'{"code":-1121,"msg":"Invalid symbol."}'
DEPTH = b'{"lastUpdateId":7,"bids":[["1.0","2.0"]],"asks":[["1.1","2.0"]]}'


async def failure(*answers: bytes) -> ExchangeError:
    async with wire(*answers) as server, BinanceRest(server.url) as rest:
        with pytest.raises(ExchangeError) as caught:
            await rest.depth("BTCUSDT")
        assert rest.requests == 1
        assert rest.failures.total() == (0 if isinstance(caught.value, SymbolUnknown) else 1)
        return caught.value


STATUSES: list[tuple[bytes, type[ExchangeError], int | None, float | None]] = [
    (http("429 Too Many Requests", b"{}", "Retry-After: 7"), RateLimited, 429, 7.0),
    (http("429 Too Many Requests"), RateLimited, 429, 60.0),
    (http("429 Too Many Requests", b"{}", "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT"), RateLimited, 429, 60.0),
    (http("429 Too Many Requests", b"{}", "Retry-After: 0"), RateLimited, 429, 1.0),
    (http("429 Too Many Requests", b"{}", "Retry-After: -5"), RateLimited, 429, 1.0),
    (http("418 I'm a teapot", b"{}", "Retry-After: 300"), RateLimited, 418, 300.0),
    (http("418 I'm a teapot"), RateLimited, 418, 120.0),
    (http("451 Unavailable"), ExchangeUnavailable, 451, None),
    (http("403 Forbidden", b"<html>"), ExchangeUnavailable, 403, None),
    (http("500 Oops", b'{"code":-1000,"msg":"x"}'), ExchangeUnavailable, 500, None),
    (http("400 Bad Request", b'{"code":-1003,"msg":"x"}'), ExchangeUnavailable, 400, None),
    (http("400 Bad Request", b"not json"), ExchangeUnavailable, 400, None),
    (http("400 Bad Request", b"[1]"), ExchangeUnavailable, 400, None),
    (http("302 Found", b"", "Location: https://example.com/"), ExchangeUnavailable, 302, None),
]


@pytest.mark.parametrize(("raw", "kind", "status", "wait"), STATUSES)
def test_each_status_is_its_own_error(
    raw: bytes, kind: type[ExchangeError], status: int | None, wait: float | None
) -> None:
    error = asyncio.run(failure(raw))
    assert type(error) is kind
    assert getattr(error, "status", None) == status
    assert getattr(error, "retry_after_secs", None) == wait


@pytest.mark.parametrize("value", ["inf", "nan", "1e400", "99999999999999999999"])
def test_a_senseless_delay_does_not_silence_the_program_for_ever(value: str) -> None:
    """The exchange bans for three days at most. And a refusal's delay has to be a number in JSON."""
    error = asyncio.run(failure(http("429 Too Many Requests", b"{}", f"Retry-After: {value}")))
    assert isinstance(error, RateLimited)
    assert 1 <= error.retry_after_secs <= 3 * 86_400


def test_a_symbol_the_exchange_refuses_is_unknown() -> None:
    for code in (b"-1121", b"-1100", b"-1220"):
        error = asyncio.run(failure(http("400 Bad Request", INVALID.replace(b"-1121", code))))
        assert isinstance(error, SymbolUnknown)
        assert error.symbol == "BTCUSDT"


def test_after_a_refusal_no_request_is_sent_before_its_time() -> None:
    """A client that goes on asking is banned."""

    async def run() -> None:
        async with wire(http("429 Too Many Requests", b"{}", "Retry-After: 30"), http("200 OK", DEPTH)) as server:
            async with BinanceRest(server.url) as rest:
                for _ in range(3):
                    with pytest.raises(RateLimited) as caught:
                        await rest.depth("BTCUSDT")
                    assert 25 < caught.value.retry_after_secs <= 30
            assert len(server.requests) == 1

    asyncio.run(run())


BROKEN = {
    "cut body": http("200 OK", DEPTH[:20], length=len(DEPTH)),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "nothing": b"",
    "wrong JSON": http("200 OK", b'{"lastUpdateId":'),
    "no JSON": http("200 OK", b"<html>maintenance</html>"),
    "another JSON": http("200 OK", b'{"serverTime":1}'),
    "null": http("200 OK", b"null"),
    "text for an id": http("200 OK", DEPTH.replace(b"7", b'"seven"')),
    "NaN": http("200 OK", DEPTH.replace(b'"1.0"', b'"nan"')),
    "not UTF-8": http("200 OK", DEPTH.replace(b"1.0", b"\xff\xfe")),
    "not gzip": http("200 OK", b"plain", "Content-Encoding: gzip"),
    "empty": http("200 OK", b""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_an_unavailable_exchange_in_plain_words(name: str) -> None:
    error = asyncio.run(failure(BROKEN[name])) if name not in PARSED else asyncio.run(parsed_failure(BROKEN[name]))
    assert type(error) is ExchangeUnavailable
    assert "Error" not in str(error)
    assert "/api" not in str(error)  # the host and port may be said, no path


PARSED = {"wrong JSON", "no JSON", "another JSON", "null", "text for an id", "NaN", "not UTF-8", "empty"}


async def parsed_failure(raw: bytes) -> ExchangeError:
    async with wire(raw) as server, BinanceRest(server.url) as rest:
        with pytest.raises(ExchangeError) as caught:
            await rest.depth("BTCUSDT")
        with pytest.raises(ExchangeUnavailable):
            await rest.symbol("BTCUSDT")
        with pytest.raises(ExchangeUnavailable):
            await rest.agg_trades("BTCUSDT", 1)
        if b"serverTime" not in raw:
            with pytest.raises(ExchangeUnavailable):
                await rest.server_time_ms()
        return caught.value


def test_an_answer_without_end_is_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "MAX_BODY_BYTES", 100_000)
    error = asyncio.run(failure(http("200 OK", b"[" * 1_000_000)))
    assert type(error) is ExchangeUnavailable
    assert "too large" in str(error)


def test_a_body_that_grows_beyond_all_bounds_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some kilobytes that are packed twice become gigabytes in one piece."""
    monkeypatch.setattr(web, "MAX_BODY_BYTES", 100_000)
    once = gzip.compress(b"[" * 50_000_000)
    for body, encoding in ((once, "gzip"), (gzip.compress(once), "gzip, gzip"), (zlib.compress(once), "gzip, deflate")):
        tracemalloc.start()
        error = asyncio.run(failure(http("200 OK", body, f"Content-Encoding: {encoding}")))
        _, most_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert type(error) is ExchangeUnavailable
        assert "too large" in str(error)
        assert most_bytes < 10_000_000  # it was refused as well once 50 MB were there


def test_a_ban_that_is_told_in_the_body_alone_is_kept_to() -> None:
    until_ms = round((time.time() + 900) * 1000)
    body = b'{"code":-1003,"msg":"Way too much request weight used; IP banned until %d."}' % until_ms
    for status in ("418 I'm a teapot", "403 Forbidden"):
        error = asyncio.run(failure(http(status, body)))
        assert isinstance(error, RateLimited)
        assert 890 < error.retry_after_secs <= 901


def test_rows_that_cannot_be_read_are_skipped_counted_and_said_once() -> None:
    async def run() -> None:
        depth = DEPTH.replace(b'["1.0","2.0"]', b'["1.0","2.0"],["nan","1"]')
        row = b'{"a":%d,"p":"1","q":"1","f":1,"l":1,"T":5,"m":true}'
        page = b"[" + b",".join([row % 1, b'{"a":2}', row % 3]) + b"]"
        with listening("WARNING") as logged:
            async with wire(http("200 OK", depth), http("200 OK", page)) as server, BinanceRest(server.url) as rest:
                assert (await rest.depth("BTCUSDT")).bids == [(1.0, 2.0)]
                for _ in range(3):
                    assert [trade.agg_id for trade in await rest.agg_trades("BTCUSDT", 1)] == [1, 3]
                assert rest.skipped == {"levels": 1, "trades": 3}
                assert rest.failures.total() == 0
        assert logged.count("unreadable trades") == 1
        assert logged.count("unreadable levels") == 1

    asyncio.run(run())


@pytest.mark.parametrize("drip_secs", [0.0, 0.05], ids=["silent", "a byte now and then"])
def test_an_answer_that_does_not_come_in_time_is_given_up(drip_secs: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that trickles keeps every pause short, and would hold one of the few places for snapshots for ever."""
    monkeypatch.setattr(rest_module, "ANSWER_SECS", 0.5)  # of `binance.rest`, which hands it in

    async def run() -> None:
        if drip_secs:
            async with wire(http("200 OK", DEPTH * 10)) as server, BinanceRest(server.url) as rest:
                server.drip_secs = drip_secs
                await given_up(rest)
        else:
            async with SimExchange(SimConfig(symbols=("BTCUSDT",), history_hours=0.0)) as sim:
                sim.faults.add(RestStatus(status="hang", endpoint="depth"))
                async with BinanceRest(sim.rest_url) as rest:
                    await given_up(rest)

    async def given_up(rest: BinanceRest) -> None:
        with pytest.raises(ExchangeUnavailable, match="did not answer"):
            await rest.depth("BTCUSDT")

    asyncio.run(run())


def test_the_exchanges_own_count_of_weight_is_believed() -> None:
    """Others may use the same address."""

    async def run() -> None:
        used = http("200 OK", DEPTH, "X-MBX-USED-WEIGHT-1M: 5900")
        async with wire(used) as server, BinanceRest(server.url) as rest:
            assert rest.affordable_depth() == 5000
            await rest.depth("BTCUSDT")
            assert rest.budget.used == 5900
            assert rest.affordable_depth() == 1000

    asyncio.run(run())


def test_entries_of_the_list_that_cannot_be_read_are_left_out_and_counted() -> None:
    """And an exchange that does not know the parameter which makes the list short is asked without it."""

    async def run() -> None:
        entry = b'{"symbol":"ETHUSDT","status":"TRADING","baseAsset":"ETH","quoteAsset":"USDT"}'
        listed = b'{"symbols":[{"symbol":["?"]},' + entry + b',{"symbol":"XUSDT","baseAsset":"X\\u001b[31m"}]}'
        refused = http(
            "400 Bad Request", b'{"code":-1101,"msg":"Too many parameters; expected \'0\' and received \'1\'."}'
        )
        answers = refused, http("200 OK", listed), http("200 OK", b'{"symbols":7}')
        async with wire(*answers) as server, BinanceRest(server.url) as rest:
            assert list((await rest.all_symbols()).names) == ["ETHUSDT"]
            assert rest.skipped == {"symbols": 2}
            assert [("showPermissionSets" in request) for request in server.requests] == [True, False]
            with pytest.raises(ExchangeUnavailable):
                await rest.all_symbols()
            assert rest.failures == {"400": 1, "no answer": 1}

    asyncio.run(run())
