"""Binance's markets, where their REST interfaces differ. Pure.

Weights and limits are those of the official documents of each market (Spot, Binance.US, USD-M futures).
"""

from __future__ import annotations

from typing import Final

import msgspec


class Family(msgspec.Struct, frozen=True):
    """One market's REST interface. `depth_weights` has what a snapshot costs, by its most levels, ascending."""

    venue: str
    path: str
    depth_weights: tuple[tuple[int, int], ...]  # (levels, weight)
    short_depth: int  # levels of a snapshot while much of the minute's weight is used
    glance_levels: int
    info_weight: int
    trades_weight: int
    weight_limit: int  # a minute

    @property
    def most_depth(self) -> int:
        return self.depth_weights[-1][0]

    def depth_weight(self, levels: int) -> int:
        return next((weight for most, weight in self.depth_weights if levels <= most), self.depth_weights[-1][1])


_SPOT_DEPTHS: Final = ((100, 5), (500, 25), (1000, 50), (5000, 250))

SPOT: Final = Family("binance", "/api/v3", _SPOT_DEPTHS, 1000, 100, 20, 4, 6000)
US: Final = Family("binance-us", "/api/v3", _SPOT_DEPTHS, 1000, 100, 20, 4, 1200)
USDM: Final = Family("binance-usdm", "/fapi/v1", ((50, 2), (100, 5), (500, 10), (1000, 20)), 500, 50, 1, 20, 2400)
