"""Thin stretches of the resting book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from vibe_orderbook_mcp.analytics.profile.shape import runs

THIN_SHARE = 0.2
NEIGHBOURS = 3
MIN_RUN = 3


@dataclass(frozen=True, slots=True)
class ThinZone:
    """Bins `first` to `last`, counted from the touch. Amounts in the unit of the given depths."""

    first: int
    last: int
    before: float  # amount that must trade to reach the zone
    inside: float  # amount that must trade to cross it


def thin_zones(depths: Sequence[float]) -> list[ThinZone]:
    """Runs of at least three bins below a fifth of their neighbours' median, or of the side's, nearest first."""
    filled = [depth for depth in depths if depth > 0.0]
    if not filled:
        return []
    usual = median(filled)  # the neighbours' median collapses inside a wide hole; this one does not
    thin = [
        index
        for index, depth in enumerate(depths)
        if depth < THIN_SHARE * usual or depth < THIN_SHARE * median(_neighbours(depths, index) or [0.0])
    ]
    return [
        ThinZone(first, last, sum(depths[:first]), sum(depths[first : last + 1]))
        for first, last in runs(thin)
        if last - first + 1 >= MIN_RUN
    ]


def _neighbours(depths: Sequence[float], index: int) -> list[float]:
    return [*depths[max(0, index - NEIGHBOURS) : index], *depths[index + 1 : index + 1 + NEIGHBOURS]]
