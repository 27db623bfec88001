"""Frames through decoding, books, rows and RocksDB at full speed, in the exchange's own time."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import msgspec

from tests.fuzz.frames import frame, frames
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.recorder import Recorder
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.events import DepthSnapshot, DepthUpdate, Trade
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.model.wire import MalformedMessage
from vibe_orderbook_mcp.sim.driver import SNAPSHOT_LEVELS, Drive, model_of
from vibe_orderbook_mcp.store.history import History
from vibe_orderbook_mcp.venues.binance import messages

CLEAN_MS = 3_000


class Pipeline:
    """What feed, line and recorder do, without sockets and without waiting."""

    def __init__(self, symbols: tuple[str, ...], path: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.drives = [Drive(model_of(symbol, seed=seed), DepthUpdate, Trade) for symbol in symbols]
        self.market = Market()
        self.archive = Archive(path, cap_mb=64, retention_days=365)
        self.recorder = Recorder(self.market, self.archive)
        self.seen: Counter[str] = Counter()
        for drive in self.drives:
            listing = msgspec.json.encode({"symbols": [drive.rules.listing()]})
            spec = messages.parse_symbol(listing, drive.symbol)
            assert spec is not None
            self.market.add(spec)

    async def run(self, count: int, share: float = 0.3) -> None:
        await self.archive.open()
        try:
            second = 0
            for _, (now_ms, raw) in zip(range(count), frames(self.chance, self.drives, share), strict=False):
                self.receive(raw, now_ms)
                if now_ms // 1000 != second:
                    second = now_ms // 1000
                    await self.tick(now_ms)
            await self.end()
        finally:
            await self.archive.close()

    def receive(self, raw: bytes, now_ms: int) -> None:
        now_ns = now_ms * 1_000_000
        try:
            event = messages.parse_frame(raw)
        except MalformedMessage:
            self.seen["malformed"] += 1
            return
        if isinstance(event, messages.DepthMessage):
            outcome = self.market.receive_depth(event, now_ns)
            self.seen[outcome.name.lower() if outcome is not None else "of no symbol"] += 1
        elif isinstance(event, messages.TradeMessage):
            self.market.receive_trade(event.symbol, event.trade())
            self.seen["trade"] += 1
        else:
            self.seen["other"] += 1
        for drive in self.drives:
            state = self.market.symbols[drive.symbol]
            assert_sane(state)
            if state.needs_snapshot and self.chance.random() < 0.05:
                self.load(drive, now_ns)

    def load(self, drive: Drive[DepthUpdate, Trade], now_ns: int) -> None:
        self.market.load(drive.symbol, drive.snapshot(DepthSnapshot), SNAPSHOT_LEVELS, now_ns)
        self.seen["snapshot"] += 1

    async def tick(self, now_ms: int) -> None:
        self.recorder.tick(now_ms * 1_000_000)
        while self.recorder.queue_ticks:
            await self.recorder._write_next()  # raises what would be logged
        assert self.archive.error is None, self.archive.error

    async def end(self) -> None:
        """After all that: a snapshot, true frames, and each book is the exchange's again, and history readable."""
        until_ms = max(drive.now_ms for drive in self.drives) + CLEAN_MS
        for drive in self.drives:
            self.market.disconnected({drive.symbol})
            snapshot = drive.snapshot(DepthSnapshot)
            self.market.load(drive.symbol, snapshot, SNAPSHOT_LEVELS, drive.now_ms * 1_000_000)
            self.market.confirm(drive.symbol)  # a quiet symbol may say nothing in so short a time
            sides = (dict(snapshot.bids), dict(snapshot.asks))
            for event in drive.until(until_ms):
                self.receive(frame(drive.symbol, event), drive.now_ms)
                if isinstance(event, DepthUpdate) and event.final_id > snapshot.last_update_id:
                    note(sides[0], event.bids)
                    note(sides[1], event.asks)
            book = self.market.symbols[drive.symbol].book
            assert book is not None, self.market.symbols[drive.symbol].reason
            assert book.bids.top(20) == sorted(sides[0].items(), reverse=True)[:20]
            assert book.asks.top(20) == sorted(sides[1].items())[:20]
        await self.tick(until_ms + 2_000)
        history = self.archive.history
        assert history is not None
        for drive in self.drives:
            state = self.market.symbols[drive.symbol]
            self.seen["rows read back"] += len(await self.rows(history, state))

    async def rows(self, history: History, state: InstrumentOwner) -> list[SecondRow]:
        rows = await history.rows(state.spec.symbol, 0, 4_102_444_800)
        seconds = [row.second for row in rows]
        assert seconds == sorted(set(seconds))
        await history.trades(state.spec.symbol, 0, 4_102_444_800_000)
        await history.histogram(state.spec.symbol, 0, 4_102_444_800_000)
        return rows


def note(side: dict[float, float], levels: list[tuple[float, float]]) -> None:
    """The plainest book there is."""
    for price, size in levels:
        side[price] = size
        if not size:
            del side[price]


def assert_sane(state: InstrumentOwner) -> None:
    """Whatever came: a book that is served has its best prices the right way round."""
    book = state.book
    if book is not None and book.bids.best is not None and book.asks.best is not None:
        assert book.bids.best < book.asks.best
