"""The normal state that health compares a market with: medians of its own last day.

They count fully from 15 minutes of history, and not at all below five. In between their weight grows (`weight`), so
that a score does not jump.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, expm1, inf
from typing import Final, NamedTuple

from vibe_orderbook_mcp.analytics.numbers import clip01
from vibe_orderbook_mcp.analytics.usual.figures import BAND_FIGURES, NOTHING
from vibe_orderbook_mcp.analytics.usual.histograms import Pool
from vibe_orderbook_mcp.analytics.usual.own_band import facts_of, own_band
from vibe_orderbook_mcp.analytics.usual.row_cost import NOT_FILLED_BPS
from vibe_orderbook_mcp.model.rows import BANDS_BPS

EARLY_SECS: Final = 300
FULL_SECS: Final = 900
MINUTE: Final = 60


class UsualDepth(NamedTuple):
    """Usual depth of either side within the symbol's own band, in quote units."""

    band_bps: int
    place: int  # of that band in BANDS_BPS
    bid: float
    ask: float


@dataclass(frozen=True, slots=True)
class Normal:
    """Medians of the last day. None: not known yet. A weight is 0 below five minutes and 1 from fifteen."""

    seconds: int = 0  # of the last day that count
    spread_bps: float | None = None
    spread_weight: float = 0.0
    depth: UsualDepth | None = None
    depth_weight: float = 0.0
    updates_per_s: float | None = None
    minute_volume_quote: float | None = None
    minutes_weight: float = 0.0  # of the two before
    price_weight: float = 0.0  # of moves of mid against the hour before; those need 15 minutes for a first value
    round_trip_bps: float | None = None  # of 10,000 quote units; None below 15 minutes; infinite: they do not fill
    own_band_bps: int | None = None  # as it was chosen; None below 15 minutes
    band_before_bps: int | None = None  # the band in use before the last choice, if another

    @property
    def is_warm(self) -> bool:
        """Whether there are 15 minutes of history."""
        return self.spread_weight >= 1.0


def weight_of(values: int, step_secs: int = 1) -> float:
    """Weight of a baseline with this number of values, one in `step_secs`."""
    return clip01((values * step_secs - EARLY_SECS) / (FULL_SECS - EARLY_SECS))


def normal_of(
    level: Callable[[str], Pool], seconds: int, own_bps: int | None, tick_bps: float | None, price_secs: int
) -> Normal:
    """`level` gives the day's values of a figure. `own_bps` is the symbol's own band once it is chosen.

    `price_secs`: how much of the hour before is known that moves of mid are compared with.
    """
    spreads, minutes = level("spread"), level("minute_updates")
    spread = _median(spreads, EARLY_SECS)
    band = own_bps
    if band is None and spread is not None and tick_bps is not None:  # the band that a choice now would give
        band = own_band(spread, tick_bps, facts_of([level(thin) for _, _, thin in BAND_FIGURES]))
    depth, depth_weight = (None, 0.0) if band is None else _depth(level, band)
    round_trip = _median(level("round_trip"), FULL_SECS)
    updates, volume = (_median_count(level(name)) for name in ("minute_updates", "minute_volume"))
    return Normal(
        seconds=seconds,
        spread_bps=spread,
        spread_weight=weight_of(spreads.n),
        depth=depth,
        depth_weight=depth_weight,
        updates_per_s=updates,
        minute_volume_quote=volume,
        minutes_weight=weight_of(minutes.n, MINUTE),
        price_weight=clip01((price_secs - FULL_SECS) / EARLY_SECS),
        round_trip_bps=inf if round_trip is not None and round_trip > NOT_FILLED_BPS / 2 else round_trip,
    )


def _depth(level: Callable[[str], Pool], band_bps: int) -> tuple[UsualDepth | None, float]:
    """None if a side of the band is empty more than half of the time."""
    place = BANDS_BPS.index(band_bps)
    bids, asks = (level(name) for name in BAND_FIGURES[place][:2])
    bid, ask = _median(bids, EARLY_SECS), _median(asks, EARLY_SECS)
    weight = weight_of(min(bids.n, asks.n))
    if bid is None or ask is None or min(bid, ask) <= 2 * NOTHING:
        return None, weight
    return UsualDepth(band_bps, place, bid, ask), weight


def _median(pool: Pool, least: int) -> float | None:
    middle = pool.quantile(0.5) if pool.n >= least else None
    return None if middle is None else exp(middle)


def _median_count(pool: Pool) -> float | None:
    """The reverse of ln(1 + count)."""
    middle = pool.quantile(0.5) if pool.n >= EARLY_SECS // MINUTE else None
    return None if middle is None else max(0.0, expm1(middle))
