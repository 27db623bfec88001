"""The figures of a second that a baseline keeps, and the scales on which they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, expm1, log, log1p
from typing import Final, Literal, NamedTuple, get_args

from vibe_orderbook_mcp.model.rows import BANDS_BPS

Score = Literal["updates", "order_to_trade", "spread", "depth_50", "depth_25", "depth_own"]
Level = Literal[
    "spread",
    "round_trip",
    "minute_updates",
    "minute_volume",
    "turnover",
    "kept_up",
    "fleeting",
    "wall_minutes",
]

SCORES: Final[tuple[Score, ...]] = ("updates", "order_to_trade", "spread", "depth_50", "depth_25", "depth_own")
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
# In the order of BANDS_BPS: the amounts of each side and of the thinner side within a band, and the cost of taking a
# quarter of a usual side with that band as the symbol's own.
BAND_FIGURES: Final = tuple((f"bid_{bps}", f"ask_{bps}", f"thin_{bps}") for bps in BANDS_BPS)
COST_FIGURES: Final = tuple(f"cost_{bps}" for bps in BANDS_BPS)
NOTHING: Final = 1e-12  # an empty side has no logarithm; this value ranks below every amount

Amounts = tuple[float | None, ...]


def thinner(bid: float | None, ask: float | None) -> float | None:
    """The smaller amount of the two sides. None if either is unknown."""
    return None if bid is None or ask is None else min(bid, ask)


class Sample(NamedTuple):
    """A second's figures. None: unknown, which is not 0."""

    updates: float
    order_to_trade: float
    spread_bps: float | None
    depth_50: float | None  # quote units of the thinner side
    depth_25: float | None
    move_ticks: float | None  # |mid change|
    mid: float | None
    quote_volume: float
    buy_volume: float
    sell_volume: float
    walls_watched: bool
    bids: Amounts = ()  # quote units within each of BANDS_BPS; None: beyond the known book
    asks: Amounts = ()
    depth_own: float | None = None  # of the thinner side within the symbol's own band
    costs_bps: Mapping[int, float] = {}  # of taking a quarter of a usual side, by index in BANDS_BPS
    round_trip_bps: float | None = None  # cost of buying and of selling 10,000 quote units

    def thin(self, place: int) -> float | None:
        """The thinner side's amount within the band with this index in BANDS_BPS."""
        return thinner(self.bids[place], self.asks[place]) if place < len(self.bids) else None


def transformed(sample: Sample) -> tuple[float | None, ...]:
    """All scores of a second, on the scale used for standardising, in the order of SCORES."""
    spread, wide, near, own = sample.spread_bps, sample.depth_50, sample.depth_25, sample.depth_own
    return (
        log1p(sample.updates),
        log1p(sample.order_to_trade),
        None if spread is None else log(spread),
        None if wide is None else log(wide),
        None if near is None else log(near),
        None if own is None else log(max(own, NOTHING)),
    )


def transform(name: Score, value: float) -> float:
    """Logarithms, so that twice is as far from usual as half. Counts may be 0."""
    return log1p(value) if name in ("updates", "order_to_trade") else log(max(value, NOTHING))


def raw(name: Score, value: float) -> float:
    """Back to the figure's own unit."""
    return expm1(value) if name in ("updates", "order_to_trade") else exp(value)
