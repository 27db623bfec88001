"""Walls: resting size that stands out from its own side of the book.

Sizes in a book are close to log-normal with a wide spread, so "twice the median" flags a third of all levels. A
wall must stand out on a robust log scale and be a real share of its side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, log, nextafter
from operator import itemgetter
from statistics import median

from vibe_orderbook_mcp.analytics.snapshot import EDGE, BookLevel, DepthCurve, limit_at
from vibe_orderbook_mcp.book.book import BookSide
from vibe_orderbook_mcp.model.events import Side

WALL_BAND_BPS = 100
FURTHEST_BPS = 500  # used if groups are so coarse or few that 1 % has too few of them
MIN_LEVELS = 20
MIN_Z = 2.5
MIN_SHARE = 0.05
PERSISTENT_SECS = 10.0

# (side, price) -> (time of the level's arrival, volume traded there since).
LevelHistory = Callable[[Side, float], tuple[int | None, float]]


@dataclass(frozen=True, slots=True)
class Wall:
    """A group of neighbouring levels."""

    price: float  # of the largest level
    level_size: float  # at that price alone
    size: float  # of the group
    low: float  # the group's lowest and highest price
    high: float
    z: float
    share: float

    @property
    def amount(self) -> float:
        """Quote units of the group, at the price of its largest level."""
        return self.price * self.size


def log_scale(sizes: Sequence[float]) -> tuple[float, float]:
    """Median of ln q, and 1.4826 * MAD."""
    logs = [log(size) for size in sizes]
    middle = median(logs)
    return middle, 1.4826 * median([abs(value - middle) for value in logs])


def robust_log_z(sizes: Sequence[float]) -> list[float]:
    """(ln q - median) / (1.4826 * MAD) for each size; all 0 when the spread is 0."""
    middle, scale = log_scale(sizes)
    return [(log(size) - middle) / scale if scale > 0.0 else 0.0 for size in sizes]


@dataclass(frozen=True, slots=True)
class PriceGroups:
    """Neighbouring levels of one side taken together, best first."""

    curve: DepthCurve
    edges: list[int]  # group i holds the levels from edges[i] to edges[i + 1]
    sizes: list[float]

    def levels(self, group: int) -> list[BookLevel]:
        """(price, size), best first."""
        return list(zip(*self.curve.ladder.levels(self.edges[group], self.edges[group + 1]), strict=True))


def find_walls(groups: PriceGroups) -> list[Wall] | None:
    """The walls of one side, best first. None: fewer than 20 groups are too few.

    The best level trades next and is not a wall: its group counts without it.
    """
    sizes = groups.sizes
    if len(sizes) < MIN_LEVELS:
        return None
    total, scores = sum(sizes), robust_log_z(sizes)
    scores[0] = _score(sizes, sum(size for _, size in groups.levels(0)[1:]))
    walls = []
    for group, z in enumerate(scores):
        if z < MIN_Z:
            continue
        levels = groups.levels(group)[group == 0 :]
        size = sum(size for _, size in levels)
        if size / total >= MIN_SHARE:
            prices = [price for price, _ in levels]
            price, level_size = max(levels, key=itemgetter(1))
            walls.append(Wall(price, level_size, size, min(prices), max(prices), z, size / total))
    return walls


def largest_wall(walls: Mapping[Side, Sequence[Wall] | None]) -> tuple[Side, Wall] | None:
    """The largest wall of both sides, by amount."""
    found = [(side, wall) for side, each in walls.items() for wall in each or ()]
    return max(found, key=lambda one: one[1].amount, default=None)


def _score(sizes: Sequence[float], size: float) -> float:
    """`robust_log_z` of a size that is not among these."""
    middle, scale = log_scale(sizes)
    return (log(size) - middle) / scale if scale > 0.0 and size > 0.0 else 0.0


def price_groups(curve: DepthCurve, middle: float, tick: float) -> PriceGroups:
    """Levels within 1 % of mid, grouped on a grid of max(tick, 1 bp) so that a wall split over ticks is seen.

    Levels beyond the horizon are left out, since some between them may be missing.
    """
    stop = min(curve.sure, curve.count_to(limit_at(middle, curve.side, WALL_BAND_BPS)))
    if stop == 0:
        return PriceGroups(curve, [0], [])
    step = max(1, round(middle * 1e-4 / tick))
    first, last = (round(curve.ladder.price(index) / tick) // step for index in (0, stop - 1))
    # Half a tick beyond each group's last price, away from mid.
    if curve.side == "bid":
        limits = [(group * step - 0.5) * tick for group in range(first, last, -1)]
    else:
        limits = [((group + 1) * step - 0.5) * tick for group in range(first, last)]
    counts = map(curve.ladder.count_to, limits)  # between ticks: no level is exactly there
    edges = [0, *(edge for edge in dict.fromkeys(counts) if edge), stop]
    return PriceGroups(curve, edges, curve.ladder.parts(edges))


def group_sizes(side: BookSide, middle: float, tick: float, *, reach_bps: float = WALL_BAND_BPS) -> list[float]:
    """The sizes of `price_groups` for a side in the book's own order (lowest price first), within `reach_bps` of
    mid."""
    best = side.best
    if best is None:
        return []
    step = max(1, round(middle * 1e-4 / tick))
    limit = limit_at(middle, side.side, reach_bps)
    if side.side == "bid":
        limit *= 1 - EDGE
        low, high = limit if side.horizon is None else max(limit, side.horizon * (1 - EDGE)), best
    else:
        limit *= 1 + EDGE
        low, high = best, limit if side.horizon is None else min(limit, side.horizon * (1 + EDGE))
    first, last = round(low / tick) // step, round(high / tick) // step
    # Half a tick below each group's first price; both ends are in.
    edges = [low, *[(group * step - 0.5) * tick for group in range(first + 1, last + 1)], nextafter(high, inf)]
    return [size for size in side.sums_between(edges) if size]


def nearest_groups(side: BookSide, middle: float, tick: float, count: int) -> list[float]:
    """The sizes of at most `count` groups next to mid that are not empty and within 5 %. A side's lowest price comes
    first."""
    for reach_bps in (WALL_BAND_BPS, FURTHEST_BPS):
        sizes = group_sizes(side, middle, tick, reach_bps=reach_bps)
        if len(sizes) > count:  # the furthest one may be cut off by the reach
            break
    return sizes[-count:] if side.side == "bid" else sizes[:count]
