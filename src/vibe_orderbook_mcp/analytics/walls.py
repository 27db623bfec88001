"""Walls: resting size that stands out from its own side of the book (definition sheet 1.5).

Sizes in a book are close to log-normal with a wide spread, so "twice the median" flags a third of all levels. A
wall must stand out on a robust log scale and hold a real share of its side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from operator import itemgetter
from statistics import median

from vibe_orderbook_mcp.analytics.snapshot import BookLevel, BookLevels, count_to, limit_at
from vibe_orderbook_mcp.core.events import Side

WALL_BAND_BPS = 100
MIN_LEVELS = 20
MIN_Z = 2.5
MIN_SHARE = 0.05
PERSISTENT_SECS = 10.0

# (side, price) -> (time at which the level was first seen at its present life, volume traded there since).
LevelHistory = Callable[[Side, float], tuple[int | None, float]]


@dataclass(frozen=True, slots=True)
class Wall:
    price: float
    size: float
    z: float
    share: float


def robust_log_z(sizes: Sequence[float]) -> list[float]:
    """(ln q - median) / (1.4826 * MAD) for each size; all 0 when the spread is 0."""
    logs = [log(size) for size in sizes]
    middle = median(logs)
    scale = 1.4826 * median([abs(value - middle) for value in logs])
    return [(value - middle) / scale if scale > 0.0 else 0.0 for value in logs]


def find_walls(levels: BookLevels) -> list[Wall] | None:
    """The walls among the levels of one side, best first. None: fewer than 20 levels say too little."""
    if len(levels) < MIN_LEVELS:
        return None
    total = sum(size for _, size in levels)
    scores = robust_log_z([size for _, size in levels])
    return [
        Wall(price, size, z, size / total)
        for (price, size), z in zip(levels, scores, strict=True)
        if z >= MIN_Z and size / total >= MIN_SHARE
    ]


def wall_candidates(levels: BookLevels, side: Side, middle: float, tick: float) -> list[BookLevel]:
    """Levels within 1 % of mid, grouped on a grid of max(tick, 1 bp) so that a wall split over ticks is seen.

    A group stands at the price of its largest level. `levels` must be complete as far as they go.
    """
    step = max(1, round(middle * 1e-4 / tick))
    groups: list[BookLevel] = []
    start, stop = 0, count_to(levels, side, limit_at(middle, side, WALL_BAND_BPS))
    while start < stop:
        group = round(levels[start][0] / tick) // step
        # Half a tick beyond the group's last price, on the side that the levels run to.
        edge = group * step - 0.5 if side == "bid" else (group + 1) * step - 0.5
        end = min(stop, max(start + 1, count_to(levels, side, edge * tick)))
        members = levels[start:end]
        groups.append((max(members, key=_size)[0], sum(map(_size, members))))
        start = end
    return [level for level in groups if level[1] > 0.0]


_size = itemgetter(1)
