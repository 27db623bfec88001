"""Trades from before the simulated exchange opened. PURE.

Ids and times are two spellings of one thing: `id_rate` ids a second since the epoch, in blocks of 64. Any block can
be made on its own from the seed, so hours of history cost nothing until somebody asks, and an exchange that is
started again finds the ids of the one before filled.
"""

from __future__ import annotations

import math
from functools import lru_cache
from random import Random
from typing import Final, NamedTuple

from vibe_orderbook_mcp.sim.catalog import TradingStyle

BLOCK: Final = 64
FILLS_A_BLOCK: Final = 2 * BLOCK
OCTAVES_S: Final = (14_400, 3_600, 900, 240, 60, 15)


class AggRow(NamedTuple):
    """One aggregate trade in grid units."""

    agg_id: int
    time_ms: int
    price: int
    size: int
    first_trade_id: int
    last_trade_id: int
    buyer_is_maker: bool


class PastTrades:
    """Aggregate trades with ids below `first_live_id`, ending at the opening price."""

    def __init__(
        self, profile: TradingStyle, *, seed: int, start_ms: int, hours: float, walks_as: str | None = None
    ) -> None:
        """`walks_as`: the symbol whose price this one has followed, if any."""
        self._profile = profile
        self._name = f"{seed}:{profile.rules.symbol}"
        self._walk_name = f"{seed}:{walks_as or profile.rules.symbol}"
        self._start_ms = start_ms
        self._block_ms = BLOCK * 1000.0 / profile.id_rate
        end_block = int(start_ms / self._block_ms)
        first_block = min(end_block, int((start_ms - hours * 3_600_000.0) / self._block_ms))
        self._block = lru_cache(maxsize=64)(self._make_block)
        self._knot = lru_cache(maxsize=1024)(self._make_knot)
        newest = [row for row in self._block(end_block) if row.time_ms <= start_ms]
        self.first_live_id = end_block * BLOCK + len(newest)
        self.first_live_trade_id = newest[-1].last_trade_id + 1 if newest else end_block * FILLS_A_BLOCK
        self.first_id = first_block * BLOCK if hours else self.first_live_id

    def from_id(self, agg_id: int, limit: int) -> list[AggRow]:
        """Up to `limit` rows from `agg_id` on."""
        agg_id = max(agg_id, self.first_id)
        out: list[AggRow] = []
        while agg_id < self.first_live_id and len(out) < limit:
            rows = self._block(agg_id // BLOCK)[agg_id % BLOCK :][: self.first_live_id - agg_id]
            out += rows[: limit - len(out)]
            agg_id += len(rows)
        return out

    def id_at(self, time_ms: int) -> int:
        """The id of the first trade at or after `time_ms`; `first_live_id` when there is none."""
        block = int((time_ms - 1) / self._block_ms)  # times are rounded up: a block may end in the next one's first ms
        if block * BLOCK < self.first_id:
            return self.first_id
        while block * BLOCK < self.first_live_id:
            for row in self._block(block):
                if row.time_ms >= time_ms:
                    return min(row.agg_id, self.first_live_id)
            block += 1
        return self.first_live_id

    def price_at(self, time_ms: float) -> float:
        """The fair price in ticks: a fractal noise that meets the opening price at the start."""
        return self._profile.open_ticks * math.exp(self._walk(time_ms) - self._walk(self._start_ms))

    def _walk(self, time_ms: float) -> float:
        total = 0.0
        for period_s in OCTAVES_S:
            knot, part = divmod(time_ms / 1000.0 / period_s, 1.0)
            smooth = part * part * (3.0 - 2.0 * part)
            left, right = self._knot(period_s, int(knot)), self._knot(period_s, int(knot) + 1)
            # Halving the period halves the variance: the octaves add up to a random walk's spectrum.
            total += (left + (right - left) * smooth) * self._profile.vol_bps / 1e4 * math.sqrt(period_s) * 0.7
        return total

    def _make_knot(self, period_s: int, knot: int) -> float:
        return Random(f"{self._walk_name}:{period_s}:{knot}").gauss(0.0, 1.0)

    def _make_block(self, block: int) -> list[AggRow]:
        random = Random(f"{self._name}:block:{block}")
        begin = block * self._block_ms
        bursts = [random.random() for _ in range(BLOCK // 4)]
        places = sorted(
            min(0.999999, random.choice(bursts) + random.expovariate(1 / 0.004))
            if random.random() < 0.8
            else random.random()
            for _ in range(BLOCK)
        )
        fills = [1] * BLOCK
        for _ in range(FILLS_A_BLOCK - BLOCK):
            fills[random.randrange(BLOCK)] += 1
        opening, closing = self.price_at(begin), self.price_at(begin + self._block_ms)
        rows: list[AggRow] = []
        trade_id, sells = block * FILLS_A_BLOCK, False
        for index, (place, count) in enumerate(zip(places, fills, strict=True)):
            if random.random() < 0.4:
                sells = random.random() < 0.5
            fair = opening + (closing - opening) * place
            price = max(1, math.floor(fair) if sells else math.ceil(fair))
            size = max(count, round(self._profile.typical_lots * 0.1 * random.lognormvariate(0.0, 2.0)))
            time_ms = math.ceil(begin + place * self._block_ms)
            rows.append(AggRow(block * BLOCK + index, time_ms, price, size, trade_id, trade_id + count - 1, sells))
            trade_id += count
        return rows
