"""The figures of a second that a baseline keeps, and the scales on which they are compared."""

from __future__ import annotations

from math import exp, expm1, log, log1p
from typing import Final, Literal, NamedTuple, get_args

Score = Literal["updates", "order_to_trade", "spread", "depth_50", "depth_25"]
Level = Literal[
    "spread",
    "depth_10",
    "minute_updates",
    "minute_volume",
    "buying",
    "selling",
    "turnover",
    "kept_up",
    "fleeting",
    "wall_minutes",
]

SCORES: Final[tuple[Score, ...]] = ("updates", "order_to_trade", "spread", "depth_50", "depth_25")
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


class Sample(NamedTuple):
    """A second's figures. None: not known, which is not 0."""

    updates: float
    order_to_trade: float
    spread_bps: float | None
    depth_50: float | None  # quote units of the thinner side
    depth_25: float | None
    depth_10: float | None
    move_ticks: float | None  # |mid change|
    mid: float | None
    quote_volume: float
    buy_volume: float
    sell_volume: float
    walls_watched: bool


def transformed(sample: Sample) -> tuple[float | None, ...]:
    """All scores of a second, on the scale on which they are standardised, in the order of SCORES."""
    spread, wide, near = sample.spread_bps, sample.depth_50, sample.depth_25
    return (
        log1p(sample.updates),
        log1p(sample.order_to_trade),
        None if spread is None else log(spread),
        None if wide is None else log(wide),
        None if near is None else log(near),
    )


def transform(name: Score, value: float) -> float:
    """Logarithms: twice as much is as far from usual as half. Counts may be 0."""
    return log1p(value) if name in ("updates", "order_to_trade") else log(value)


def raw(name: Score, value: float) -> float:
    """Back to the figure's own unit."""
    return expm1(value) if name in ("updates", "order_to_trade") else exp(value)


def unlog1p(value: float | None) -> float | None:
    return None if value is None else max(0.0, expm1(value))


def per_tick(volume: float, adverse_ticks: float) -> float:
    """ln of the volume per tick of adverse move, at least one (4.1). Nothing traded ranks below everything."""
    return log(max(volume / max(adverse_ticks, 1.0), 1e-12))
