"""A data directory with days of many symbols, built within a minute: what questions are measured on.

    python -m bench.week DIRECTORY [--days 7] [--symbols 20] [--trades 10000000]

A row of every second of every symbol, ten million trades of BTCUSDT and a hundredth of that of each other symbol,
with their roll-ups. Ten recorded (or synthetic) minutes repeat: an encoded row holds no time, and an hour of trades is
moved to other hours, prices and ids by the heads of its blocks alone. The last hours are written as they would have
been, ids and all; the last two minutes of trades are not sealed yet.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import ormsgpack

from bench.sets import MessageSet, recorded
from bench.synthetic import synthetic
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.seconds.traded import trade_fields
from vibe_orderbook_mcp.store.disk.layout import META, ROLL, ROW, TRADE_MIN, TRADE_SEC, Layout
from vibe_orderbook_mcp.store.disk.rocks import Database, Put
from vibe_orderbook_mcp.store.records.keys import HOURS, MINUTES, milli_key, roll_key, second_key
from vibe_orderbook_mcp.store.records.meta import SymbolMeta, encode_ids, encode_meta, grid_key, ids_key, symbol_key
from vibe_orderbook_mcp.store.records.rollups import (
    HOUR,
    add_trades,
    empty_histogram,
    encode_block,
    encode_grid,
    grid_for,
)
from vibe_orderbook_mcp.store.records.rows import encode_row
from vibe_orderbook_mcp.store.records.trades import encode_minute, encode_second
from vibe_orderbook_mcp.venues.binance.messages import DepthMessage, TradeMessage, parse_frame, parse_snapshot

ASKED = "BTCUSDT"
CAP_MB = 40_000
DAY, MINUTE = 86_400, 60
EXACT_SECS = 2 * HOUR  # this many of the newest rows have the ids of the newest trades
UNSEALED_SECS = 2 * MINUTE
CHUNK_SECS = 600
SPEC = SymbolSpec(ASKED, "BTC", "USDT", Decimal("0.01000000"), Decimal("0.00001000"))


class Week(msgspec.Struct, frozen=True):
    """What was built."""

    symbols: tuple[str, ...]
    end: int  # the second after the newest row
    days: float
    trades: int  # of the symbol that is asked about


def template() -> tuple[MessageSet, list[SecondRow]]:
    """Some minutes of whole rows, and the messages they come from."""
    messages = recorded(ASKED, "0.01000000", "0.00001000") or synthetic(4_000)
    market = Market()
    state = market.add(messages.spec)
    market.load(messages.symbol, parse_snapshot(messages.snapshot), messages.limit or 5000, 0)
    for received_ms, raw in messages.frames:
        event = parse_frame(raw)
        if isinstance(event, DepthMessage):
            market.receive_depth(event, received_ms * 1_000_000)
        elif isinstance(event, TradeMessage):
            market.receive_trade(event.symbol, event.trade())
    rows = [each.record.row for each in state.take().seconds]
    return messages, [row for row in rows if row.covered_ms == 1000 and not row.flags]


def hour_of_trades(per_hour: int, seed: int = 7) -> list[Trade]:
    """From time 0 and id 1 on: bursts of trades whose price walks."""
    chance = random.Random(seed)  # noqa: S311  # a seeded generator is the point
    times = sorted(chance.randrange(HOUR * 1000) for _ in range(per_hour))
    ticks, trades = 6_500_000, []
    for number, time_ms in enumerate(times, start=1):
        ticks += round(chance.gauss(0, 15))
        lots = 1 + int(chance.lognormvariate(5, 2))
        trades.append(Trade(number, time_ms, ticks / 100, lots / 1e5, number, number, chance.random() < 0.5))
    return trades


class _Moved:
    """An encoded hour of trades and its roll-ups, moved to another hour, price and id."""

    def __init__(self, trades: Sequence[Trade]) -> None:
        self.grid = grid_for(trades[0].price, SPEC.tick_exp)
        self.count = len(trades)
        parts = [[t for t in trades if t.time_ms // 60_000 == minute] for minute in range(60)]
        self._blocks = [
            ormsgpack.unpackb(encode_minute(part, tick_exp=SPEC.tick_exp, lot_exp=SPEC.lot_exp)) for part in parts
        ]
        self._minutes = [self._rolled(part) for part in parts]
        self._hour = self._rolled(trades)

    def _rolled(self, trades: Sequence[Trade]) -> list[object]:
        total = empty_histogram(self.grid, SPEC.lot_exp)
        add_trades(total, trades)
        rolled: list[object] = ormsgpack.unpackb(encode_block(total))
        return rolled

    def puts(self, symbol: str, hour: int, minutes: int, bins: int, ids: int) -> Iterator[Put]:
        """`bins` and `ids` are how far prices and ids move."""
        ticks, since_ms = bins * self.grid.width_ticks, hour * 1000
        for number in range(minutes):
            block = self._blocks[number]
            head = [block[4] + ids, block[5] + since_ms, block[6] + ticks, block[7] + ids]
            second = hour + number * MINUTE
            yield TRADE_MIN, second_key(symbol, second), ormsgpack.packb([*block[:4], *head, *block[8:]])
            rolled = self._moved(self._minutes[number], ticks, ids, since_ms)
            yield ROLL, roll_key(MINUTES, symbol, second), rolled
        if minutes == 60:
            yield ROLL, roll_key(HOURS, symbol, hour), self._moved(self._hour, ticks, ids, since_ms)

    def _moved(self, rolled: list[object], ticks: int, ids: int, since_ms: int) -> bytes:
        moved = list(rolled)
        for place, change in ((10, ticks), (14, ids), (16, since_ms)):
            moved[place] += change  # type: ignore[operator]  # lowest price, first id, first time
        return ormsgpack.packb(moved)


def build(path: Path, *, days: float = 7, symbols: int = 20, trades: int = 10_000_000, end: int | None = None) -> Week:
    """A directory that did not exist, up to `end` (now)."""
    end = int(time.time()) if end is None else end
    names = (ASKED, *(f"S{number:02d}USDT" for number in range(1, symbols)))
    _, rows = template()
    database = Database.open(path, Layout(cap_mb=CAP_MB, retention_days=days + 1))
    try:
        start = end - int(days * DAY)
        _write_rows(database, names, rows, start, end - EXACT_SECS)
        for name in names:
            per_hour = int((trades if name == ASKED else trades // 100) / (days * 24))
            _write_trades(database, name, hour_of_trades(per_hour), rows, start, end)
        database.flush()
    finally:
        database.close()
    week = Week(names, end, days, trades)
    about(path).write_bytes(msgspec.json.encode(week))
    return week


def about(path: Path) -> Path:
    """What is said of a directory, beside it."""
    return path.with_suffix(".json")


def _write_rows(database: Database, names: Sequence[str], rows: Sequence[SecondRow], start: int, end: int) -> None:
    encoded = [encode_row(row, tick_exp=SPEC.tick_exp, lot_exp=SPEC.lot_exp) for row in rows]
    for first in range(start, end, CHUNK_SECS):
        span = range(first, min(end, first + CHUNK_SECS))
        for name in names:
            database.write((ROW, second_key(name, second), encoded[second % len(encoded)]) for second in span)


def _write_trades(
    database: Database, name: str, hour: Sequence[Trade], rows: Sequence[SecondRow], start: int, end: int
) -> None:
    """Sealed up to some minutes before the end; the newest seconds, and rows that agree with the newest trades."""
    moved, chance = _Moved(hour), random.Random(3)  # noqa: S311  # a seeded generator is the point
    spec = msgspec.structs.replace(SPEC, symbol=name)
    sealed = (end - UNSEALED_SECS) // MINUTE * MINUTE
    first_hour = -(-start // HOUR) * HOUR
    bins = ids = 0
    newest: list[Trade] = []
    for at in range(first_hour, end, HOUR):
        minutes = min(60, max(0, (sealed - at) // MINUTE))
        database.write(moved.puts(name, at, minutes, bins, ids))
        if at + HOUR > end - EXACT_SECS:
            ticks = bins * moved.grid.width_ticks
            newest += (
                Trade(
                    t.agg_id + ids,
                    t.time_ms + at * 1000,
                    (round(t.price * 100) + ticks) / 100,
                    t.size,
                    t.first_trade_id + ids,
                    t.last_trade_id + ids,
                    t.buyer_is_maker,
                )
                for t in hour
                if t.time_ms + at * 1000 < end * 1000
            )
        ids += moved.count
        bins += round(chance.gauss(0, 60))
    held = newest[-1].agg_id if newest else ids
    database.write(
        [
            (META, symbol_key(name), encode_meta(SymbolMeta(spec, created=start, sealed=sealed))),
            (META, ids_key(name), encode_ids([(1, held)])),
            (META, grid_key(name), encode_grid(moved.grid)),
        ]
    )
    by_second: dict[int, list[Trade]] = {}
    for trade in newest:
        by_second.setdefault(trade.time_ms // 1000, []).append(trade)
    puts: list[Put] = []
    for second in range(end - EXACT_SECS, end):
        held_now = by_second.get(second, [])
        row = msgspec.structs.replace(
            rows[second % len(rows)], second=second, **trade_fields(held_now, spec.tick_exp, spec.lot_exp)
        )
        puts.append((ROW, second_key(name, second), encode_row(row, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)))
        if second >= sealed and held_now:
            value = encode_second(held_now, tick_exp=spec.tick_exp, lot_exp=spec.lot_exp)
            puts.append((TRADE_SEC, milli_key(name, second * 1000), value))
    database.write(puts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--trades", type=int, default=10_000_000)
    options = parser.parse_args()
    began = time.monotonic()
    week = build(options.path, days=options.days, symbols=options.symbols, trades=options.trades)
    held = sum(file.stat().st_size for file in options.path.iterdir())
    print(f"{len(week.symbols)} symbols, {week.days:g} days, {held / 1e6:,.0f} MB, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
