"""Recordings through the sockets: the recorded best prices judge the book a plain client keeps."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import websockets

from tests.recordings import HAS_REAL, day_files, small_files
from tests.sim.clients import DictBook, Listener, get, run, snapshot
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim import (
    ReplayConfig,
    ReplayExchange,
    SimConfig,
    SimExchange,
    book_tickers,
    serve_replay,
)
from vibe_orderbook_mcp.sim.aggregation import Aggregator
from vibe_orderbook_mcp.sim.faults import Disconnect, Drop
from vibe_orderbook_mcp.sim.inference import split
from vibe_orderbook_mcp.sim.recordings import complete, read
from vibe_orderbook_mcp.sim.rules import Grid
from vibe_orderbook_mcp.sim.wire import AggTrade, Depth, TradeFill


class Follower:
    """Keeps all books of a replay, and what they showed at the end of each event."""

    def __init__(self, rest_url: str) -> None:
        self.tops: dict[str, dict[int, tuple[str, str, str, str]]] = defaultdict(dict)
        self.volume: Counter[str] = Counter()
        self.next_agg: dict[str, int] = {}
        self._rest_url = rest_url
        self._books: dict[str, DictBook] = {}
        self._early: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._asked: dict[str, asyncio.Task[dict[str, Any]]] = {}

    def take(self, event: dict[str, Any]) -> None:
        symbol = event["s"]
        if event["e"] == "aggTrade":
            assert event["a"] == self.next_agg.get(symbol, event["a"])
            self.next_agg[symbol] = event["a"] + 1
            self.volume[symbol] += int(event["q"].replace(".", ""))
            return
        self._early[symbol].append(event)
        if symbol not in self._asked:
            self._asked[symbol] = asyncio.create_task(snapshot(self._rest_url, symbol))
        elif self._asked[symbol].done():
            if symbol not in self._books:
                self._books[symbol] = DictBook(self._asked[symbol].result())
            book = self._books[symbol]
            for waiting in self._early.pop(symbol):
                if book.apply(waiting):
                    self.tops[symbol][book.last_id] = book.top()

    def agreement(self, symbol: str, tickers: list[tuple[int, str, str, str, str]]) -> tuple[int, int]:
        """How often the top equals the newest recorded ticker at or before its id, and how often not."""
        right = wrong = index = 0
        for update_id, top in sorted(self.tops[symbol].items()):
            while index + 1 < len(tickers) and tickers[index + 1][0] <= update_id:
                index += 1
            if tickers and tickers[index][0] <= update_id:
                right += tickers[index][1:] == top
                wrong += tickers[index][1:] != top
        return right, wrong


async def follow(files: list[Path], speed: float) -> tuple[Follower, ReplayExchange]:
    async with ReplayExchange(ReplayConfig(files=tuple(files), speed=speed)) as exchange:
        streams = [
            f"{symbol.lower()}@{kind}" for symbol in exchange.venue.states for kind in ("depth@100ms", "aggTrade")
        ]
        follower = Follower(exchange.rest_url)
        async with Listener(exchange.ws_url, *streams) as listener:
            ends = asyncio.create_task(exchange.finished())
            pending = asyncio.create_task(listener.next())
            while not ends.done() or not pending.done():
                await asyncio.wait({pending}, timeout=0.3 if ends.done() else None, return_when="FIRST_COMPLETED")
                if pending.done():
                    follower.take(pending.result()[1])
                    pending = asyncio.create_task(listener.next())
                elif ends.done():
                    break
            pending.cancel()
            ends.cancel()
    return follower, exchange


def fill_volume(files: list[Path], kind: type) -> Counter[str]:
    volume: Counter[str] = Counter()
    for record in read(complete(files)):
        if isinstance(record.what, kind):
            volume[record.symbol] += int(record.what.size.replace(".", ""))  # type: ignore[union-attr]
    return volume


@pytest.mark.slow
def test_a_day_of_two_majors_replays_without_a_gap_and_agrees_with_the_recorded_best_prices() -> None:
    """The only market here that nobody invented: 13 thousand depth events, 570 thousand levels, judged 12 900 times."""
    follower, exchange = run(follow(list(day_files()), 0))
    truth = book_tickers(day_files())
    for symbol, least in (("BTCUSDT", 6300), ("ETHUSDT", 6300)):
        right, wrong = follower.agreement(symbol, truth[symbol])
        assert right > least
        assert right / (right + wrong) >= 0.999
    assert follower.volume == fill_volume(list(day_files()), TradeFill)
    status = exchange.venue.status()
    assert status["finished"]
    assert status["counts"]["DepthUpdate"] == (6495 + 6470 if HAS_REAL else 2 * 6500)


def test_the_older_format_replays_with_its_rest_answers_from_the_file_beside_it() -> None:
    follower, _ = run(follow(list(small_files()), 0))
    truth = book_tickers(small_files())
    compared = 0
    for symbol, tickers in truth.items():
        right, wrong = follower.agreement(symbol, tickers)
        assert wrong == 0
        compared += right
    assert compared > 100
    assert set(follower.tops) == {"NKNUSDT", "BLZETH", "LRCBTC", "RUNEEUR"}
    assert follower.volume == fill_volume(list(small_files()), AggTrade)


def test_the_day_is_known_by_its_grid_and_rest_serves_the_book_at_the_position() -> None:
    async def body() -> None:
        async with ReplayExchange(ReplayConfig(files=day_files()[:1], speed=50)) as exchange:
            info = (await get(exchange.rest_url, "/api/v3/exchangeInfo", symbol="BTCUSDT")).json()["symbols"][0]
            assert (info["baseAsset"], info["quoteAsset"]) == ("BTC", "USDT")
            assert info["filters"][0]["tickSize"] == "0.01000000"
            early = (await get(exchange.rest_url, "/api/v3/time")).json()["serverTime"]
            async with Listener(exchange.ws_url, "btcusdt@depth@100ms") as listener:
                first = (await listener.next())[1]
                assert abs(first["E"] - early) < 1000
                while (await listener.next())[1]["E"] < first["E"] + 20_000:
                    pass
                book = await snapshot(exchange.rest_url, "BTCUSDT")
                assert book["lastUpdateId"] > first["u"]
                truth = exchange.truth("BTCUSDT", book["lastUpdateId"], 5000)
                assert truth == ([tuple(x) for x in book["bids"]], [tuple(x) for x in book["asks"]])
                trades = (await get(exchange.rest_url, "/api/v3/aggTrades", symbol="BTCUSDT", limit=50)).json()
                assert [each["a"] for each in trades] == list(range(trades[0]["a"], trades[0]["a"] + 50))
                status = (await get(exchange.rest_url, "/sim/status")).json()
                assert status["playing"]
                assert 10 < status["position_s"] < 300

    run(body())


# A recording of our own making: what `record` writes, with a gap, an exchangeInfo and two symbols in one file.

BASE_NS = 1_700_000_000_000_000_000


def depth(symbol: str, first: int, final: int, price: str, size: str, at_ms: int) -> tuple[int, Any]:
    data = {"e": "depthUpdate", "E": 1_700_000_001_000 + at_ms, "s": symbol, "U": first, "u": final}
    return at_ms, {"stream": f"{symbol.lower()}@depth@100ms", "data": data | {"b": [[price, size]], "a": []}}


def fill(symbol: str, number: int, price: str, size: str, at_ms: int, time_ms: int) -> tuple[int, Any]:
    data = {"e": "trade", "E": time_ms + 1, "s": symbol, "t": number, "p": price, "q": size, "T": time_ms}
    return at_ms, {"stream": f"{symbol.lower()}@trade", "data": data | {"m": True, "M": True}}


def answer(symbol: str | None, last_id: int, at_ms: int) -> tuple[int, Any]:
    book = {"lastUpdateId": last_id, "bids": [["10.00000000", "1.50000000"]], "asks": [["11.00000000", "2.00000000"]]}
    return at_ms, book | ({"symbol": symbol} if symbol else {})


def write(path: Path, *lines: tuple[int, Any]) -> Path:
    text = "".join(f"{BASE_NS + at_ms * 1_000_000} {json.dumps(body)}\n" for at_ms, body in lines)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def test_an_own_recording_holds_several_symbols_and_their_exchange_info(tmp_path: Path) -> None:
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000.00000000", "tickSize": "0.01000000"},
        {"filterType": "LOT_SIZE", "minQty": "0.1", "maxQty": "9000.00000000", "stepSize": "0.10000000"},
    ]
    listed = [{"symbol": "AAAUSDT", "baseAsset": "AAA", "quoteAsset": "USDT", "filters": filters}, {"symbol": "ZZZ"}]
    path = write(
        tmp_path / "own.gz",
        (0, {"timezone": "UTC", "serverTime": 1, "symbols": listed}),
        answer("AAAUSDT", 5, 1),
        answer("BBBEUR", 50, 2),
        depth("AAAUSDT", 4, 6, "10.00000000", "0.00000000", 3),
        depth("BBBEUR", 51, 52, "10.50000000", "3.00000000", 4),
        depth("AAAUSDT", 7, 8, "9.99000000", "4.00000000", 5),
    )

    async def body() -> None:
        async with ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=0.0)) as exchange:
            async with Listener(exchange.ws_url, "aaausdt@depth@100ms"):
                await exchange.finished()
            info = (await get(exchange.rest_url, "/api/v3/exchangeInfo", symbol="AAAUSDT")).json()
            assert [each["symbol"] for each in info["symbols"]] == ["AAAUSDT"]
            one, two = [await snapshot(exchange.rest_url, symbol) for symbol in ("AAAUSDT", "BBBEUR")]
            assert (one["lastUpdateId"], one["bids"]) == (8, [["9.99000000", "4.00000000"]])
            assert two["bids"] == [["10.50000000", "3.00000000"], ["10.00000000", "1.50000000"]]

    run(body())


def test_a_question_for_a_book_waits_until_the_recorded_answer_is_reached(tmp_path: Path) -> None:
    path = write(
        tmp_path / "late",
        depth("AAAUSDT", 4, 6, "10.00000000", "7.00000000", 0),
        answer(None, 5, 100),
        depth("AAAUSDT", 7, 8, "9.00000000", "1.00000000", 150),
    )

    async def body() -> None:
        async with ReplayExchange(ReplayConfig(files=(path,), speed=1)) as exchange:
            waiting = asyncio.create_task(snapshot(exchange.rest_url, "AAAUSDT"))
            async with Listener(exchange.ws_url, "aaausdt@depth@100ms") as listener:
                assert (await listener.next())[1]["u"] == 6
                assert not waiting.done()
                book = await waiting
                assert book["lastUpdateId"] in (6, 8)
                assert ["10.00000000", "7.00000000"] in book["bids"]

    run(body())


def test_a_gap_in_a_recording_is_passed_on_and_the_book_waits_for_the_next_answer(tmp_path: Path) -> None:
    """A recorder may lose its connection; the replay must not invent what was lost."""
    path = write(
        tmp_path / "gap",
        answer(None, 5, 0),
        depth("AAAUSDT", 6, 6, "10.00000000", "7.00000000", 1),
        depth("AAAUSDT", 9, 9, "9.00000000", "1.00000000", 2),
        answer(None, 9, 3),
        depth("AAAUSDT", 10, 11, "8.00000000", "1.00000000", 4),
    )

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=0.0))
        async with exchange, Listener(exchange.ws_url, "aaausdt@depth@100ms") as listener:
            assert [(await listener.next())[1]["U"] for _ in range(3)] == [6, 9, 10]
            await exchange.finished()
            book = await snapshot(exchange.rest_url, "AAAUSDT")
            assert (book["lastUpdateId"], len(book["bids"])) == (11, 2)
            assert exchange.truth("AAAUSDT", 6) is None

    run(body())


def test_fills_are_served_as_aggregate_trades_to_the_last_one(tmp_path: Path) -> None:
    path = write(
        tmp_path / "fills",
        answer(None, 5, 0),
        depth("AAAUSDT", 6, 6, "10.00000000", "7.00000000", 1),
        fill("AAAUSDT", 70, "10.00000000", "0.30000000", 2, 1_700_000_001_001),
        fill("AAAUSDT", 71, "10.00000000", "0.20000000", 3, 1_700_000_001_001),
        fill("AAAUSDT", 72, "9.00000000", "0.10000000", 4, 1_700_000_001_001),
    )

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=0.0))
        async with exchange, Listener(exchange.ws_url, "aaausdt@aggTrade", "aaausdt@depth@100ms") as listener:
            await listener.next()
            streamed = [(await listener.next())[1] for _ in range(2)]
            assert [(each["a"], each["q"], each["f"], each["l"]) for each in streamed] == [
                (70, "0.50000000", 70, 71),
                (71, "0.10000000", 72, 72),
            ]
            served = (await get(exchange.rest_url, "/api/v3/aggTrades", symbol="AAAUSDT", fromId=70)).json()
            assert [(each["a"], each["q"]) for each in served] == [(70, "0.50000000"), (71, "0.10000000")]

    run(body())


def test_faults_bend_a_replay_like_any_other_exchange(tmp_path: Path) -> None:
    lines = [depth("AAAUSDT", n, n, "10.00000000", f"{n}.00000000", n) for n in range(6, 16)]
    path = write(tmp_path / "faulty", answer(None, 5, 0), *lines)

    async def body() -> None:
        async with ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=0.0)) as exchange:
            exchange.faults.add(Drop(count=4))
            async with Listener(exchange.ws_url, "aaausdt@depth@100ms") as listener:
                assert (await listener.next())[1]["U"] == 10
                await exchange.finished()
                assert exchange.truth("AAAUSDT", 15, 1) == (
                    [("10.00000000", "15.00000000")],
                    [("11.00000000", "2.00000000")],
                )

    run(body())


def test_serving_a_replay_says_when_clients_may_come_and_ends_with_its_task(tmp_path: Path) -> None:
    path = write(tmp_path / "own", answer(None, 5, 0), depth("AAAUSDT", 6, 6, "10.00000000", "7.00000000", 1))

    async def body() -> None:
        said: asyncio.Queue[str] = asyncio.Queue()
        serving = asyncio.create_task(serve_replay(ReplayConfig(files=(path,)), started=said.put_nowait))
        sentence = await said.get()
        assert sentence.startswith("Replay of AAAUSDT: REST http://127.0.0.1:")
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    run(body())


def test_fills_are_gathered_while_time_price_and_side_stay_the_same() -> None:
    def trade(number: int, price: str, time_ms: int, *, maker: bool = True) -> TradeFill:
        return TradeFill(time_ms + 1, "AAAUSDT", number, price, "0.30000000", time_ms, maker)

    aggregator = Aggregator(Grid(1))
    runs = [
        [trade(7, "10.0", 1), trade(8, "10.0", 1)],
        [trade(9, "10.1", 1)],
        [trade(10, "10.1", 1, maker=False)],
        [trade(11, "10.1", 2, maker=False)],
        [trade(13, "10.1", 2, maker=False)],  # number 12 is missing: what is lost is not covered up
    ]
    closed = [aggregator.add(each, 0) for one in runs for each in one]
    found = [each for each in (*closed, aggregator.tick(10_000_000), aggregator.tick(30_000_000)) if each]
    assert [(each.agg_id, each.first_trade_id, each.last_trade_id) for each in found] == [
        (7, 7, 8),
        (8, 9, 9),
        (9, 10, 10),
        (10, 11, 11),
        (11, 13, 13),
    ]
    assert found[0].size == "0.60000000"
    assert aggregator.close() is None


def test_symbols_are_split_by_known_quote_assets() -> None:
    assert split("BTCUSDT") == ("BTC", "USDT")
    assert split("BLZETH") == ("BLZ", "ETH")
    assert split("BTCFDUSD") == ("BTC", "FDUSD")
    assert split("币安人生USDT") == ("币安人生", "USDT")


LISTED = {"timezone": "UTC", "symbols": [{"symbol": "AAAUSDT", "filters": 7}]}


def cut(path: Path, size: int) -> Path:
    path.write_bytes(gzip.compress(b"x")[:size])
    return path


def test_what_is_not_a_recording_is_refused_with_one_sentence(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("hello world\n")
    empty = write(tmp_path / "empty")
    for files, words in (
        ((nonsense,), "line 1"),
        ((tmp_path / "none",), "no recording"),
        ((empty,), "nothing to replay"),
        ((write(tmp_path / "price", depth("AAAUSDT", 6, 6, "1e5", "1", 2)),), "not a plain number"),
        ((write(tmp_path / "size", depth("AAAUSDT", 6, 6, "1", "nan", 2)),), "not a plain number"),
        ((write(tmp_path / "listed", depth("AAAUSDT", 6, 6, "1", "1", 2), (3, LISTED)),), "exchangeInfo of AAAUSDT"),
        ((cut(tmp_path / "cut.gz", 3),), "nothing to replay"),
    ):
        with pytest.raises(ConfigError, match=words):
            ReplayExchange(ReplayConfig(files=files))
    with pytest.raises(ConfigError, match="speed is -1"):
        ReplayExchange(ReplayConfig(files=(nonsense,), speed=-1))
    with pytest.raises(ConfigError, match="at least one"):
        ReplayExchange(ReplayConfig(files=()))


def test_recorded_rest_answers_belong_to_the_symbol_they_name_or_their_file(tmp_path: Path) -> None:
    path = write(tmp_path / "x", answer(None, 5, 0), answer("CCCUSDT", 6, 1), depth("AAAUSDT", 6, 6, "1", "1", 2))
    found = [(record.symbol, record.what.last_update_id) for record in read([path]) if isinstance(record.what, Depth)]
    assert found == [("AAAUSDT", 5), ("CCCUSDT", 6)]


FUND = {"e": "trade", "E": 1, "T": 1, "s": "AAAUSDT", "t": 1, "p": "1", "q": "1", "X": "INSURANCE_FUND", "m": True}
FUTURES: dict[str, Any] = {
    "USD-M": {"stream": "aaausdt@depth", "data": depth("AAAUSDT", 6, 6, "1", "1", 0)[1]["data"] | {"pu": 5}},
    "COIN-M": {"stream": "aaausd_perp@depth", "data": depth("AAAUSD_PERP", 6, 6, "1", "1", 0)[1]["data"]},
    "insurance fund": {"stream": "aaausdt@trade", "data": FUND},
    "REST": {"lastUpdateId": 5, "E": 1, "T": 1, "bids": [], "asks": []},
}


@pytest.mark.parametrize("kind", sorted(FUTURES))
def test_a_recording_of_futures_is_refused_by_its_name_wherever_its_first_frame_is(tmp_path: Path, kind: str) -> None:
    """Served as spot, a print of an insurance fund would be a trade of the volume profile."""
    spot = [answer(None, 5, 0), depth("AAAUSDT", 6, 6, "10.00000000", "7.00000000", 1)]
    path = write(tmp_path / "futures.gz", *spot, (2, FUTURES[kind]))
    words = "is a recording of Binance (USD-M|COIN-M) futures .*; Binance spot .* can be replayed"
    with pytest.raises(ConfigError, match=words):
        ReplayExchange(ReplayConfig(files=(path,)))


def test_the_venue_that_was_asked_for_has_to_be_the_recording_s(tmp_path: Path) -> None:
    path = tmp_path / "A.ws.1.0"
    frame = json.dumps(depth("AAAUSDT", 6, 6, "1", "1", 0)[1])
    path.write_text(f"wss://stream.binance.us:9443/stream <-> 1633998274.5\n1633998274.7: {frame}\n")
    ReplayExchange(ReplayConfig(files=(path,)))
    ReplayExchange(ReplayConfig(files=(path,), venue="binance-us"))
    with pytest.raises(ConfigError, match=r"A.ws.1.0 is a recording of Binance.US spot"):
        ReplayExchange(ReplayConfig(files=(path,), venue="binance"))
    with pytest.raises(ConfigError, match=r"--venue is 'kraken'; recordings of Binance spot"):
        ReplayExchange(ReplayConfig(files=(path,), venue="kraken"))


@pytest.mark.parametrize("digits", [10, 13, 16, 19])
def test_a_recording_lasts_as_long_as_it_did_whatever_the_unit_of_its_times(tmp_path: Path, digits: int) -> None:
    """Three of four public recordings ran 1000 times too fast."""
    lines = [answer(None, 5, 0), *(depth("AAAUSDT", n, n, "10.0", f"{n}.0", (n - 5) * 7000) for n in range(6, 9))]
    path = tmp_path / "x"
    text = [f"{str(BASE_NS + at_ms * 1_000_000)[:digits]} {json.dumps(body)}" for at_ms, body in lines]
    path.write_text("\n".join(text))
    status = ReplayExchange(ReplayConfig(files=(path,))).venue.status()
    assert status["length_s"] == 21


def test_frames_without_a_time_are_paced_by_the_exchange_s_and_may_have_no_stream(tmp_path: Path) -> None:
    """One frame a line, of a combined stream or of a single one, and its answer in a file of its own."""
    frames = [depth("AAAUSDT", n, n, "10.00000000", f"{n}.00000000", (n - 5) * 500)[1] for n in range(6, 10)]
    path, beside = tmp_path / "x.ndjson.gz", tmp_path / "rest.json"
    lines = [frames[0], frames[1]["data"], {"u": 7, "s": "AAAUSDT", "b": "10.0", "B": "7.0", "a": "11.0", "A": "2.0"}]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, [*lines, *frames[2:]])).encode()))
    beside.write_text(json.dumps(answer(None, 5, 0)[1]))

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path, beside), speed=0, patience_s=0.0))
        assert exchange.venue.status()["length_s"] == 1.5
        async with exchange, Listener(exchange.ws_url, "aaausdt@depth@100ms", "aaausdt@bookTicker") as listener:
            assert [(await listener.next())[1]["u"] for _ in range(5)] == [6, 7, 7, 8, 9]
            await exchange.finished()
            assert (await snapshot(exchange.rest_url, "AAAUSDT"))["bids"][0] == ["10.00000000", "9.00000000"]

    run(body())


def test_an_answer_that_names_nobody_is_of_the_symbol_that_it_continues(tmp_path: Path) -> None:
    path = write(
        tmp_path / "two",
        answer(None, 5, 0),
        depth("BBBUSDT", 70, 71, "1.00000000", "1.00000000", 1),
        depth("AAAUSDT", 5, 6, "10.00000000", "7.00000000", 2),
    )

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=0.0))
        async with exchange, Listener(exchange.ws_url, "aaausdt@depth@100ms"):
            await exchange.finished()
            assert (await snapshot(exchange.rest_url, "AAAUSDT"))["lastUpdateId"] == 6
            assert not exchange.venue._symbols["BBBUSDT"].live

    run(body())


def test_a_cut_recording_is_replayed_up_to_the_cut(tmp_path: Path) -> None:
    lines = [depth("AAAUSDT", n, n, "10.00000000", f"{n}.00000000", n) for n in range(6, 2000)]
    path = write(tmp_path / "cut.gz", answer(None, 5, 0), *lines)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=0.0))
        async with exchange, Listener(exchange.ws_url, "aaausdt@depth@100ms") as listener:
            await exchange.finished()
            count = exchange.venue.counts["DepthUpdate"]
            assert 100 < count < 1900
            assert [(await listener.next())[1]["u"] for _ in range(count)] == list(range(6, 6 + count))

    run(body())


def test_a_made_up_aggregate_trade_goes_out_when_time_has_completed_it(tmp_path: Path) -> None:
    """The next recorded line of a quiet symbol came up to 27.8 s later, and 621 seconds had their trades wrong."""
    path = write(
        tmp_path / "quiet",
        answer(None, 5, 0),
        depth("AAAUSDT", 6, 6, "10.00000000", "7.00000000", 1),
        fill("AAAUSDT", 70, "10.00000000", "0.30000000", 2, 1_700_000_001_001),
        depth("AAAUSDT", 7, 7, "10.00000000", "6.00000000", 3_600_000),
    )

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path,), speed=1))
        async with exchange, Listener(exchange.ws_url, "aaausdt@aggTrade", "aaausdt@depth@100ms") as listener:
            assert (await listener.next())[1]["u"] == 6
            assert (await listener.next())[1]["l"] == 70  # an hour before the next line
            status = exchange.venue.status()
            assert status["playing"]
            assert status["position_s"] == 0.022

    run(body())


def test_made_up_aggregate_trades_of_one_symbol_do_not_wait_for_another_s_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path / "two",
        *(answer(symbol, 5, 0) for symbol in ("AAAUSDT", "BBBUSDT")),
        *(depth(symbol, 6, 6, "10.00000000", "7.00000000", 1) for symbol in ("AAAUSDT", "BBBUSDT")),
        fill("AAAUSDT", 70, "10.00000000", "0.30000000", 2, 1_700_000_001_001),
        fill("BBBUSDT", 90, "10.00000000", "0.30000000", 5, 1_700_000_001_001),
        *(depth("BBBUSDT", n, n, "10.00000000", f"{n}.00000000", n * 10) for n in range(7, 12)),
    )

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=0.0))
        streams = ("aaausdt@depth@100ms", "aaausdt@aggTrade", "bbbusdt@aggTrade", "bbbusdt@depth@100ms")
        async with exchange, Listener(exchange.ws_url, *streams) as listener:
            found = [(stream, event.get("u")) for stream, event in [await listener.next() for _ in range(9)]]
        assert found[2:4] == [("aaausdt@aggTrade", None), ("bbbusdt@aggTrade", None)]
        assert found[4:] == [("bbbusdt@depth@100ms", n) for n in range(7, 12)]

    run(body())


def test_at_full_speed_no_more_is_on_its_way_than_a_client_has_read(tmp_path: Path) -> None:
    """Frames in buffers are lost with a connection that is closed for being slow."""
    lines = [depth("AAAUSDT", n, n, "10.00000000", f"{n}.00000000", n) for n in range(6, 20_000)]
    path = write(tmp_path / "long.gz", answer(None, 5, 0), *lines)

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=0.0))
        async with exchange:
            url = f"{exchange.ws_url}/stream?streams=aaausdt@depth@100ms"
            async with websockets.connect(url, max_queue=4) as socket:
                most = 0
                for number in range(6, 20_000):
                    assert json.loads(await socket.recv())["data"]["u"] == number
                    most = max(most, exchange.hub.frames_sent - (number - 5))
        assert most < 2000

    run(body())


def test_at_full_speed_a_client_that_lost_its_connection_is_waited_for(tmp_path: Path) -> None:
    lines = [depth("AAAUSDT", n, n, "10.00000000", f"{n}.00000000", n) for n in range(6, 3000)]
    path = write(tmp_path / "long.gz", answer(None, 5, 0), *lines)

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=60.0))
        async with exchange:
            async with Listener(exchange.ws_url, "aaausdt@depth@100ms") as listener:
                assert (await listener.next())[1]["u"] == 6
                await snapshot(exchange.rest_url, "AAAUSDT")
                exchange.faults.add(Disconnect())
                with contextlib.suppress(websockets.ConnectionClosed):
                    while True:
                        await listener.next()
            assert not exchange.venue.finished.is_set()
            async with Listener(exchange.ws_url, "aaausdt@depth@100ms") as listener:
                first = (await listener.next())[1]["u"]
                await snapshot(exchange.rest_url, "AAAUSDT")
                assert [(await listener.next())[1]["u"] for _ in range(first + 1, 3000)] == list(range(first + 1, 3000))

    run(body())


def test_at_full_speed_nobody_misses_the_time_before_the_book_was_asked_for(tmp_path: Path) -> None:
    lines = [depth("AAAUSDT", n, n, "10.00000000", f"{n}.00000000", n * 1000) for n in range(6, 500)]
    path = write(tmp_path / "long.gz", answer(None, 5, 0), *lines)

    async def body() -> None:
        exchange = ReplayExchange(ReplayConfig(files=(path,), speed=0, patience_s=60.0))
        async with exchange, Listener(exchange.ws_url, "aaausdt@depth@100ms") as listener:
            assert (await listener.next())[1]["u"] == 6
            assert await listener.silent(0.3)
            assert (await snapshot(exchange.rest_url, "AAAUSDT"))["lastUpdateId"] == 6
            assert (await listener.next())[1]["u"] == 7

    run(body())


def test_every_rest_answer_says_that_its_market_is_a_recording(tmp_path: Path) -> None:
    path = write(tmp_path / "own", answer(None, 5, 0), depth("AAAUSDT", 6, 6, "10.00000000", "7.00000000", 1))

    async def body() -> None:
        async with ReplayExchange(ReplayConfig(files=(path,))) as exchange:
            for where in ("/api/v3/time", "/api/v3/exchangeInfo", "/api/v3/nothing"):
                answer = await get(exchange.rest_url, where)
                assert answer.headers.get("x-vibe-source") == (None if "nothing" in where else "recording")
        async with SimExchange(SimConfig(symbols=("BTCUSDT",), history_hours=0.0)) as simulated:
            assert (await get(simulated.rest_url, "/api/v3/time")).headers["x-vibe-source"] == "simulated"

    run(body())
