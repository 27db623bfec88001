"""Thin zones of a volume profile: prices with little volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from vibe_orderbook_mcp.analytics.profile.shape import Run, runs

Severity = Literal["Medium", "High", "Critical"]

TRIM_PERCENT = 1  # of volume, off each end
MIN_MEDIAN_TRADES = 10


@dataclass(frozen=True, slots=True)
class TradedVacuum:
    """Bins `first` to `last`, both included, each with less than half of a usual bin's volume."""

    first: int
    last: int
    deficit_pct: float  # 100 (1 - mean / reference), above 50
    severity: Severity


@dataclass(frozen=True, slots=True)
class TradedVacuums:
    """`reference`: median volume of the core's bins that traded; None without any.

    `low_confidence`: the usual bin has fewer than 10 trades, so a thin one may be chance.
    """

    reference: float | None
    zones: tuple[TradedVacuum, ...]
    low_confidence: bool
    core: Run = (0, 0)  # the bins that were searched for zones


def core(volume: Sequence[int]) -> Run | None:
    """The bins that hold the middle 98 % of the volume."""
    total, sum_before, inside = sum(volume), 0, []
    for index, amount in enumerate(volume):
        reached = sum_before + amount
        if 100 * reached > TRIM_PERCENT * total and 100 * sum_before < (100 - TRIM_PERCENT) * total:
            inside.append(index)
        sum_before = reached
    return (inside[0], inside[-1]) if inside else None


def traded_vacuums(volume: Sequence[int], trades: Sequence[int]) -> TradedVacuums:
    """Interior zones only: a thin stretch at an end of the core is just the end of trading."""
    middle = core(volume)
    if middle is None:
        return TradedVacuums(None, (), low_confidence=True)
    first, last = middle
    usual = [index for index in range(first, last + 1) if volume[index] > 0]
    reference = float(median(volume[index] for index in usual))
    low = runs([index for index in range(first, last + 1) if 2 * volume[index] < reference])
    zones = tuple(
        TradedVacuum(start, stop, deficit, severity(deficit))
        for start, stop in low
        if start > first and stop < last
        for deficit in (100 * (1 - sum(volume[start : stop + 1]) / (stop - start + 1) / reference),)
    )
    return TradedVacuums(reference, zones, median(trades[index] for index in usual) < MIN_MEDIAN_TRADES, middle)


def severity(deficit_pct: float) -> Severity:
    """Medium up to 80, High up to 95, Critical above."""
    return "Critical" if deficit_pct > 95 else "High" if deficit_pct > 80 else "Medium"
