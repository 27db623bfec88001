"""Seeded order-book messages in Binance's wire format: a busy symbol's large ones and a quiet symbol's small ones.

A book of 5000 levels a side, a cent or two apart, whose best prices walk. A message changes a lognormal number of
levels (15 to 330, median 75), most of them near the touch; a seventh removes a level and as many add one.
Every fifth depth message is followed by a trade at the touch. Sides are sorted best first, as the exchange does.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from dataclasses import dataclass, field
from decimal import Decimal
from math import log

import msgspec

from bench.sets import MessageSet
from vibe_orderbook_mcp.model.symbol import SymbolSpec

LEVELS = 5000
MID_TICKS = 6_000_000  # 60,000.00
FEWEST, MOST, MEDIAN = 15, 330, 75
SPREAD_OF_COUNTS = 0.65
REMOVED_OR_ADDED = 0.3  # half of each
SCALE = 10**8  # the exchange prints eight places
TRADE_EVERY = 5
EVENT_MS = 100
START_MS = 1_723_161_600_000
TICK, STEP = Decimal("0.01000000"), Decimal("0.00001000")


@dataclass
class _Side:
    sign: int  # +1: the best price is the highest (bids)
    levels: int  # about as many are kept
    sizes: dict[int, int] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)  # sign * ticks, ascending: the best stands last

    def fill(self, best: int, chance: random.Random) -> None:
        for place in range(self.levels):
            self.put(best - self.sign * (place * 5 // 4), _size(chance))  # every fifth price is empty

    def put(self, ticks: int, size: int) -> None:
        if size and ticks not in self.sizes:
            insort(self.order, self.sign * ticks)
        elif not size:
            del self.order[bisect_left(self.order, self.sign * ticks)]
            del self.sizes[ticks]
            return
        self.sizes[ticks] = size

    @property
    def best(self) -> int:
        return self.sign * self.order[-1]

    def change(self, count: int, limit: int, chance: random.Random) -> dict[int, int]:
        """Change `count` levels; none is put beyond `limit`, where the other side begins."""
        changes: dict[int, int] = {}
        while len(changes) < count:
            kind = chance.random()
            new = _size(chance)
            if kind < REMOVED_OR_ADDED and len(self.order) > self.levels:
                ticks, new = self._standing(chance), 0
            elif kind < REMOVED_OR_ADDED:
                ticks = self._hole(limit, chance)
            else:
                ticks = self._standing(chance)
            if ticks not in changes:
                changes[ticks] = new
                self.put(ticks, new)
        return changes

    def _standing(self, chance: random.Random) -> int:
        return self.sign * self.order[-1 - min(_rank(chance), len(self.order) - 1)]

    def _hole(self, limit: int, chance: random.Random) -> int:
        """An empty price: now and then better than the best one, else the first one behind some level."""
        better = self.best + self.sign
        if chance.random() < 0.1 and self.sign * better < self.sign * limit:
            return better
        ticks = self._standing(chance)
        while ticks in self.sizes:
            ticks -= self.sign
        return ticks


def _rank(chance: random.Random) -> int:
    """Places from the touch: a half within 90, a hundredth beyond 1500, as recorded for BTCUSDT."""
    return int(chance.lognormvariate(log(90), 1.3))


def _size(chance: random.Random) -> int:
    """Lots of 0.00001."""
    return max(1, int(chance.lognormvariate(10.0, 1.5)))


def _text(value: int, unit: int) -> str:
    whole, rest = divmod(value * unit, SCALE)
    return f"{whole}.{rest:08d}"


def _rows(side: _Side, changes: dict[int, int]) -> list[tuple[str, str]]:
    ordered = sorted(changes, key=lambda ticks: -side.sign * ticks)
    return [(_text(ticks, 10**6), _text(changes[ticks], 10**3)) for ticks in ordered]


def synthetic(
    messages: int,
    *,
    seed: int = 7,
    levels: int = LEVELS,
    counts: tuple[int, int, int] = (FEWEST, MEDIAN, MOST),
    symbol: str = "SYNUSDT",
    name: str = "synthetic",
) -> MessageSet:
    """`counts` are the fewest, the median and the most level changes of a message."""
    chance = random.Random(seed)  # noqa: S311  # reproducible on purpose
    bids, asks = _Side(1, levels), _Side(-1, levels)
    bids.fill(MID_TICKS - 1, chance)
    asks.fill(MID_TICKS + 1, chance)
    update_id = 1_000
    snapshot = msgspec.json.encode(
        {
            "lastUpdateId": update_id,
            "bids": _rows(bids, bids.sizes),
            "asks": _rows(asks, asks.sizes),
        }
    )
    frames: list[tuple[int, bytes]] = []
    fewest, median, most = counts
    trade_id = 0
    for place in range(messages):
        event_ms = START_MS + place * EVENT_MS
        count = min(most, max(fewest, int(chance.lognormvariate(log(median), SPREAD_OF_COUNTS))))
        of_bids = sum(chance.random() < 0.5 for _ in range(count))
        changed_bids = bids.change(of_bids, asks.best, chance)
        changed_asks = asks.change(count - of_bids, bids.best, chance)
        first, update_id = update_id + 1, update_id + 2 * count
        data = {
            "e": "depthUpdate",
            "E": event_ms,
            "s": symbol,
            "U": first,
            "u": update_id,
            "b": _rows(bids, changed_bids),
            "a": _rows(asks, changed_asks),
        }
        frames.append((event_ms, _frame(symbol, "depth@100ms", data)))
        if place % TRADE_EVERY == TRADE_EVERY - 1:
            trade_id += 1
            frames.append(
                (event_ms, _frame(symbol, "aggTrade", _trade(symbol, trade_id, event_ms, bids, asks, chance)))
            )
    spec = SymbolSpec(symbol, symbol[:3], symbol[3:], tick_size=TICK, step_size=STEP)
    return MessageSet(name, spec, snapshot, tuple(frames), limit=0)


def _trade(
    symbol: str, trade_id: int, event_ms: int, bids: _Side, asks: _Side, chance: random.Random
) -> dict[str, object]:
    is_sell = chance.random() < 0.5
    side = bids if is_sell else asks
    return {
        "e": "aggTrade",
        "E": event_ms,
        "s": symbol,
        "a": trade_id,
        "p": _text(side.best, 10**6),
        "q": _text(_size(chance), 10**3),
        "f": 2 * trade_id,
        "l": 2 * trade_id + 1,
        "T": event_ms + chance.randint(0, 60),
        "m": is_sell,
        "M": True,
    }


def _frame(symbol: str, stream: str, data: dict[str, object]) -> bytes:
    return msgspec.json.encode({"stream": f"{symbol.lower()}@{stream}", "data": data})
