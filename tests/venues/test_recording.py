"""A recording of an exchange, and the same exchange out of the recording."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path

import pytest

from tests.answers.serving import exchange
from tests.e2e.rig import WatchedMarket, all_live, feeding, listening, until
from tests.e2e.test_replay import compare
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.book.sync import Outcome
from vibe_orderbook_mcp.model.errors import ConfigError, ExchangeUnavailable, SymbolUnknown
from vibe_orderbook_mcp.sim import ReplayConfig, ReplayExchange, book_tickers
from vibe_orderbook_mcp.sim.faults import Disconnect, Refuse, RestStatus
from vibe_orderbook_mcp.venues.recording import record_to

SYMBOLS = ("BTCUSDT", "币安人生USDT")


def lines(path: Path) -> list[tuple[int, dict[str, object]]]:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    found = []
    for line in raw.splitlines():
        received, _, frame = line.partition(b" ")
        found.append((int(received), json.loads(frame)))
    return found


def test_a_recording_is_served_again_and_its_books_are_the_recorded_ones(tmp_path: Path) -> None:
    path = tmp_path / "recording.gz"
    market = WatchedMarket()

    async def run() -> None:
        async with exchange(*SYMBOLS) as sim:
            frames = await record_to(path, SYMBOLS, sim.rest_url, sim.ws_url, seconds=4.0)
        found = lines(path)
        assert frames == sum("stream" in frame for _, frame in found) > 50
        assert [received for received, _ in found] == sorted(received for received, _ in found)
        assert {frame["symbol"] for _, frame in found if "lastUpdateId" in frame} == set(SYMBOLS)
        async with (
            ReplayExchange(ReplayConfig(files=(path,), speed=2)) as replay,  # slow enough for snapshots to fall into it
            feeding(replay.rest_url, replay.ws_url, SYMBOLS, market) as feed,
        ):
            await all_live(feed, SYMBOLS)
            await asyncio.wait_for(replay.finished(), PATIENCE_SECS)
            await until(lambda: all(len(market.tops[symbol]) >= 1 for symbol in SYMBOLS))
            await until(lambda: market.count("BTCUSDT", Outcome.APPLIED) >= 10)

    asyncio.run(run())
    tickers = book_tickers((path,))
    for symbol in SYMBOLS:
        state = market.symbols[symbol]
        assert (state.counts.gaps, state.counts.crossings) == (0, 0)
        equal, different = compare(market.tops[symbol], tickers[symbol])
        assert equal >= 1
        assert different == 0


def test_a_recording_goes_on_after_the_exchange_was_away(tmp_path: Path) -> None:
    """Handshakes are refused, then the depth answers: both are tried again, and a replay can resync there."""

    async def run() -> None:
        path = tmp_path / "recording"
        async with exchange() as sim:
            with listening("INFO") as logged:
                recording = asyncio.create_task(record_to(path, ("BTCUSDT",), sim.rest_url, sim.ws_url))
                await until(lambda: logged.count("Recorded the book of BTCUSDT") == 1)
                sim.faults.add(Refuse(count=2))
                sim.faults.add(RestStatus(status=500, endpoint="depth", count=2))
                sim.faults.add(Disconnect())
                await until(lambda: "No depth answer of BTCUSDT yet" in logged)
                await until(lambda: logged.count("Recorded the book of BTCUSDT") == 2)
                sent = sim.hub.frames_sent
                await until(lambda: sim.hub.frames_sent > sent + 100)
                recording.cancel()  # as SIGINT does
                frames = await recording
        found = [frame for _, frame in lines(path)]
        assert frames == sum("stream" in frame for frame in found) > 100
        assert sum("lastUpdateId" in frame for frame in found) == 2
        assert logged.count("Cannot connect to the exchange's stream: The exchange refused the stream (HTTP 503).") == 2

    asyncio.run(run())


def test_what_cannot_be_recorded_is_said_in_one_sentence_and_leaves_no_file(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "x"
        async with exchange() as sim:
            urls = sim.rest_url, sim.ws_url
            for target, force in ((path, False), (kept, True)):
                with pytest.raises(SymbolUnknown, match="does not list 'NOPEUSDT'"):
                    await record_to(target, ("NOPEUSDT",), *urls, force=force)
                with pytest.raises(ConfigError, match="At most 15 symbols"):
                    await record_to(target, tuple(f"A{n}" for n in range(16)), *urls, force=force)
                sim.faults.add(RestStatus(status=451, count=1))
                with pytest.raises(ExchangeUnavailable, match="HTTP 451"):
                    await record_to(target, ("BTCUSDT",), *urls, force=force)
                sim.faults.add(Refuse(count=1))
                with pytest.raises(ExchangeUnavailable, match="HTTP 503"):
                    await record_to(target, ("BTCUSDT",), *urls, force=force)
                assert await record_to(target, ("BTCUSDT",), *urls, force=force, seconds=1e-6) == 0
            with pytest.raises(ConfigError, match="cannot be written"):
                await record_to(tmp_path / "no" / "x", ("BTCUSDT",), *urls)
            with pytest.raises(ConfigError, match="cannot be written"):
                await record_to(tmp_path, ("BTCUSDT",), *urls, force=True)
        for target, force in ((path, False), (kept, True)):
            with pytest.raises(ExchangeUnavailable, match="cannot be reached"):
                await record_to(target, ("BTCUSDT",), *urls, force=force)

    kept = tmp_path / "kept.gz"
    kept.write_bytes(b"an hour of frames")
    asyncio.run(run())
    assert [found.name for found in tmp_path.iterdir()] == ["kept.gz"]
    assert kept.read_bytes() == b"an hour of frames"


def test_a_recording_that_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / "x"
        path.write_bytes(b"an hour of frames")
        async with exchange() as sim:
            with pytest.raises(ConfigError, match=r"x exists already: .* --force"):
                await record_to(path, ("BTCUSDT",), sim.rest_url, sim.ws_url)
            assert path.read_bytes() == b"an hour of frames"
            recording = asyncio.create_task(
                record_to(path, ("BTCUSDT",), sim.rest_url, sim.ws_url, force=True),
            )
            await until(lambda: path.read_bytes() != b"an hour of frames")
            sent = sim.hub.frames_sent
            await until(lambda: sim.hub.frames_sent > sent + 50)
            recording.cancel()
            frames = await recording
        found = [frame for _, frame in lines(path)]
        assert frames == sum("stream" in frame for frame in found) > 0
        assert "symbols" in found[0]  # what came before the first frame is there as well

    asyncio.run(run())
