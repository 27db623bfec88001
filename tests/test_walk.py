"""The ways of a depth frame to the book and of a symbol to its answer, as `docs/ARCHITECTURE.md` draws them.

A stay is a stretch of calls in one room. A climb is a step into a room on a higher floor than the one before it, a
return a step into a room that the frame was in already; calls that end count as steps, too.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import cast

import msgspec
import pytest

from tests.answers.test_source import Lived
from tests.book.exchange import SPEC, SYMBOL
from tests.patience import PATIENCE_SECS
from tests.rooms import SOURCE, house, room_of
from vibe_orderbook_mcp.answers.service import SourceAnswers
from vibe_orderbook_mcp.book.compiled import IS_COMPILED
from vibe_orderbook_mcp.book.sync import Loaded
from vibe_orderbook_mcp.collect.local_source import LocalSource
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.events import DepthSnapshot
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.serve.metrics import Metrics
from vibe_orderbook_mcp.serve.register import _Answering
from vibe_orderbook_mcp.venues.binance.rest import BinanceRest
from vibe_orderbook_mcp.venues.binance.wire import BinanceSpot
from vibe_orderbook_mcp.venues.connection import Connection
from vibe_orderbook_mcp.venues.feed import Feed
from vibe_orderbook_mcp.venues.line import Line

WALK = ["venues", "venues.binance", "venues", "market", "seconds", "book", "seconds", "market", "venues"]


class Frames:
    """An open connection that has just these frames to say."""

    frame_ns = 0

    wire = BinanceSpot().wire()

    def __init__(self, *raw: bytes) -> None:
        self._raw = raw

    async def frames(self) -> AsyncIterator[bytes]:
        for raw in self._raw:
            yield raw


def frame(update_id: int, event_ms: int) -> bytes:
    rows = [["100.00", "5.0"], ["99.99", f"{update_id}.0"]]
    data = {"e": "depthUpdate", "E": event_ms, "s": SYMBOL, "U": update_id, "u": update_id, "b": rows, "a": []}
    return msgspec.json.encode({"stream": f"{SYMBOL.lower()}@depth@100ms", "data": data})


async def walked() -> list[str]:
    """The rooms that one frame in the middle of a second passes."""
    market, rest = Market(), BinanceRest("http://127.0.0.1:9")
    owner = market.add(SPEC)
    feed = Feed(market, BinanceSpot(), rest, "ws://127.0.0.1:9")
    line, rooms = Line(BinanceSpot(), "ws://127.0.0.1:9", feed), list[str]()
    waiting: list[str] = []

    def step(code: FrameType, event: str, _: object) -> None:
        path = Path(code.f_code.co_filename)
        if event not in ("call", "return") or not path.is_relative_to(SOURCE):
            return
        if event == "call":
            waiting.append(room_of(".".join(path.relative_to(SOURCE).with_suffix("").parts)))
        else:
            waiting.pop()
        if waiting and (not rooms or rooms[-1] != waiting[-1]):
            rooms.append(waiting[-1])

    now_ms = time.time_ns() // 1_000_000 // 1000 * 1000
    for place in range(3):
        said = Frames(frame(11 + place, now_ms + 100 * place))
        line.connection = cast("Connection", said)
        reading = line._read(line.connection)
        if place == 2:
            sys.setprofile(step)
        try:
            await reading
        finally:
            sys.setprofile(None)
        if place == 0:
            snapshot = DepthSnapshot(11, [(100.0, 5.0)], [(101.0, 5.0)])
            assert market.load(SYMBOL, snapshot, 5000, time.monotonic_ns()) is Loaded.LIVE
    assert owner.counts.events == 2
    await feed.aclose()
    await rest.aclose()
    return rooms


@pytest.mark.skipif(not IS_COMPILED, reason="in plain Python each look at a best price is a stay in `book`")
def test_a_depth_frame_climbs_four_times_on_its_way_to_the_book_and_back() -> None:
    """It climbed ten times and came back seventeen times when each part of an instrument was changed from outside."""
    rooms, floors = asyncio.run(walked()), house().floors
    assert rooms == WALK
    climbs = sum(floors[after] > floors[before] for before, after in pairwise(rooms))
    returns = len(rooms) - len(set(rooms))
    assert (climbs, returns) == (4, 4)


# --- the symbol of a question ------------------------------------------------------------------------------------

ASKED, SAID = "btc/usdt", "BTCUSDT"
SYMBOL_WALK = [
    *("serve", "answers", "model", "collect", "market", "collect", "answers", "collect", "answers", "analytics"),
]
SYMBOL_NAMES = {"arguments", "symbol", "value", "text", "owner", "now"}


def symbol_in(frame: FrameType) -> str | None:
    """The name under which a call is handed the symbol: as text, or as its owner or moment."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        if name != "self" and (
            (isinstance(value, str) and value in (ASKED, SAID))
            or (isinstance(value, dict) and value.get("symbol") == ASKED)
            or isinstance(value, InstrumentOwner | Moment)
        ):
            return name
    return None


async def asked(path: Path) -> tuple[list[str], set[str]]:
    """The rooms that hand the symbol on, in their order, and its names there. The store has been read before."""
    lived, rooms, names = Lived(path), list[str](), set[str]()
    await lived.live()
    source = LocalSource(lived.runtime)
    arguments = {"symbol": ASKED, "window_duration_secs": 20}
    async with asyncio.timeout(PATIENCE_SECS):
        while any(
            "still being read" in text for text in (await SourceAnswers(source).get_order_flow(SAID, 20)).warnings
        ):
            await asyncio.sleep(0.01)
    answering = _Answering(SourceAnswers(source), Metrics(lived.runtime), "")  # shares no result with the one above

    def step(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(SOURCE) and (name := symbol_in(frame)) is not None:
            room = room_of(".".join(path.relative_to(SOURCE).with_suffix("").parts))
            names.add(name)
            if frame not in seen and (not rooms or rooms[-1] != room):
                rooms.append(room)
            seen.add(frame)  # a coroutine that goes on is no other call

    seen: set[FrameType] = set()
    sys.setprofile(step)
    try:
        result = await answering.call("get_order_flow", arguments)
    finally:
        sys.setprofile(None)
        await lived.aclose()
    assert not result.is_error, result.content
    return rooms, names


@pytest.mark.skipif(not IS_COMPILED, reason="as above")
def test_a_symbol_climbs_three_times_on_its_way_to_the_figures_of_order_flow(tmp_path: Path) -> None:
    """It went through eleven rooms under fifty names when the tools read the collector's objects."""
    rooms, names = asyncio.run(asked(tmp_path / "db"))
    floors = house().floors
    assert rooms == SYMBOL_WALK
    climbs = sum(floors[after] > floors[before] for before, after in pairwise(rooms))
    assert (climbs, len(rooms) - len(set(rooms))) == (3, 4)
    assert names == SYMBOL_NAMES
