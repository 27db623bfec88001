"""Resting depth by price, averaged over the last minute."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from math import ceil, floor
from typing import NamedTuple

from vibe_orderbook_mcp.book.book import BookSide
from vibe_orderbook_mcp.model.events import Side
from vibe_orderbook_mcp.model.symbol import SymbolSpec, tick_ticks

REACH_BPS = 100
KEPT_MS = 60_000
MIN_SAMPLES = 10

# All bins are sampled every five seconds, new ones immediately: resting depth changes slowly.
LOOK_SECS = 5
# A new grid is made when a basis point of mid is this many times the bin width, or this part of it.
WIDTH_DRIFT = 1.7


@dataclass(frozen=True, slots=True)
class RestingDepth:
    """One side's time-averaged depth, nearest bin first: (lowest price of the bin in ticks, base units)."""

    side: Side
    width_ticks: int
    bins: tuple[tuple[int, float], ...]
    samples: int

    @property
    def is_enough(self) -> bool:
        return self.samples >= MIN_SAMPLES


class RestingGrid:
    """The last minute of one book's depth on a grid of max(tick, 1 bp), anchored at zero, up to 100 bps from mid.

    Call `sample` where each second ends. A sample counts a bin that is completely known and on its side of the
    book then, the touch's own bin included; empty bins count as 0. The answer covers the range of the newest sample.
    """

    __slots__ = ("_scale", "_sides", "_tick", "_times", "_width")

    def __init__(self, spec: SymbolSpec) -> None:
        self._scale = 10.0**spec.tick_exp
        self._tick = tick_ticks(spec, spec.tick_exp)
        self.clear()

    def clear(self) -> None:
        """Clear everything, because the book was lost."""
        self._width = 0
        self._times: deque[int] = deque()
        self._sides: dict[Side, _GridSide] = {}

    def sample(self, now_ms: int, bids: BookSide, asks: BookSide) -> None:
        """Sample all bins; between two such samples only new bins. A book without a mid is skipped."""
        best_bid, best_ask = bids.best, asks.best
        if best_bid is None or best_ask is None or best_bid >= best_ask:
            return
        scale = self._scale
        mid = (best_bid + best_ask) / 2
        if not self._fits(mid * scale):
            self.clear()
            self._width = _grid_width(mid * scale, self._tick)
            self._sides = {"bid": _GridSide("bid", self._width, scale), "ask": _GridSide("ask", self._width, scale)}
        while self._times and self._times[0] <= now_ms - KEPT_MS:
            self._times.popleft()
        self._times.append(now_ms)
        for levels in (bids, asks):
            self._sides[levels.side].sample(now_ms, levels, mid)

    def depth(self, side: Side) -> RestingDepth | None:
        """None before the first sample."""
        if side not in self._sides:
            return None
        return self._sides[side].average(self._times[-1] - KEPT_MS, len(self._times) // LOOK_SECS)

    def _fits(self, mid_ticks: float) -> bool:
        wanted = max(float(self._tick), mid_ticks * 1e-4)
        return self._width / WIDTH_DRIFT < wanted < self._width * WIDTH_DRIFT


class _Look(NamedTuple):
    at_ms: int
    first: int  # bin
    depths: array[float]  # base units, lowest bin first


class _GridSide:
    __slots__ = ("_looks", "_range", "_scale", "_side", "_whole_ms", "_width")

    def __init__(self, side: Side, width: int, scale: float) -> None:
        self._side: Side = side
        self._width = width
        self._scale = scale
        self._looks: deque[_Look] = deque()  # oldest first
        self._range = range(0)  # lowest bin first
        self._whole_ms = -KEPT_MS  # of the newest sample of all bins

    def sample(self, now_ms: int, levels: BookSide, mid: float) -> None:
        while self._looks and self._looks[0].at_ms <= now_ms - KEPT_MS:
            self._looks.popleft()
        before, known = self._range, self._known(levels, mid)
        self._range = known
        if now_ms - self._whole_ms >= 1000 * LOOK_SECS:
            self._whole_ms = now_ms
            self._look(now_ms, levels, known)
        elif known != before:
            self._look(now_ms, levels, range(known.start, min(known.stop, before.start)))
            self._look(now_ms, levels, range(max(known.start, before.stop), known.stop))

    def average(self, since_ms: int, samples: int) -> RestingDepth:
        known = self._range
        sums, counts = [0.0] * len(known), [0] * len(known)
        for at_ms, first, depths in self._looks:
            if at_ms > since_ms:
                for key in range(max(first, known.start), min(first + len(depths), known.stop)):
                    sums[key - known.start] += depths[key - first]
                    counts[key - known.start] += 1
        bins = [(key * self._width, total / count) for key, total, count in zip(known, sums, counts, strict=True)]
        return RestingDepth(self._side, self._width, tuple(reversed(bins) if self._side == "bid" else bins), samples)

    def _look(self, now_ms: int, levels: BookSide, bins: range) -> None:
        if bins:
            edges = [key * self._width / self._scale for key in range(bins.start, bins.stop + 1)]
            self._looks.append(_Look(now_ms, bins.start, array("d", levels.sums_between(edges))))

    def _known(self, levels: BookSide, mid: float) -> range:
        """From the bin of the best price to the last bin that is completely within 100 bps and the known book."""
        best, horizon = levels.best, levels.horizon
        if best is None:
            return range(0)
        touch = round(best * self._scale) // self._width
        if self._side == "bid":
            limit = mid * (1 - REACH_BPS / 1e4)
            lowest = limit if horizon is None else max(limit, horizon)
            return range(ceil(round(lowest * self._scale, 3) / self._width), touch + 1)
        limit = mid * (1 + REACH_BPS / 1e4)
        highest = limit if horizon is None else min(limit, horizon)
        return range(touch, floor((round(highest * self._scale, 3) + 1) / self._width))


def _grid_width(mid_ticks: float, step: int) -> int:
    return max(1, round(mid_ticks * 1e-4 / step)) * step
