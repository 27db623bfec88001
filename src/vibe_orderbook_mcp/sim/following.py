"""Markets of other venues: each follows the lead market in the same asset, a bit later, with a small gap. PURE."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from random import Random
from typing import Final

from vibe_orderbook_mcp.sim.catalog import MAJOR_MAKES, PROFILES, TradingStyle
from vibe_orderbook_mcp.sim.dialects.contract import Product
from vibe_orderbook_mcp.sim.model import Ids, MarketModel
from vibe_orderbook_mcp.sim.past import PastTrades
from vibe_orderbook_mcp.sim.rules import Grid, Rules
from vibe_orderbook_mcp.sim.scenarios import Scenario

DELAY_MS: Final = (50.0, 500.0)
GAP_BPS: Final = 1.2  # standard deviation of what comes and goes
GAP_FADE_S: Final = 15.0
CATCH_UP_S: Final = 20.0  # what a market moved on its own is bought and sold away
TAKES: Final = 11.5  # of the lead market in BTC, taker orders a second
SEEN_MS: Final = 5_000.0  # the lead's past that is kept for its followers
SEEN_EVERY_MS: Final = 5.0

PriceAt = Callable[[float], float]


class LeadPrice:
    """The lead's fair price as its market went through it, in units of the quote asset."""

    def __init__(self, model: MarketModel) -> None:
        self._tick = 10.0**model.rules.price.exp
        self._times: deque[float] = deque([float(model.time_ms)])
        self._prices: deque[float] = deque([model.fair / self._tick])
        model.fair_seen = self._see

    def at(self, time_ms: float) -> float:
        """The newest one that had been seen by then."""
        place = bisect_right(self._times, time_ms)
        return self._prices[max(0, place - 1)]

    def _see(self, at: float, fair: float) -> None:
        if at - self._times[-1] < SEEN_EVERY_MS:
            return
        self._times.append(at)
        self._prices.append(fair / self._tick)
        while self._times[0] < at - SEEN_MS:
            self._times.popleft()
            self._prices.popleft()


class FollowingModel(MarketModel):
    """`lead` says what the asset was worth at a time, on the lead market."""

    def __init__(
        self, product: Product, style: TradingStyle, *, seed: int, start_ms: int, ids: Ids, scenario: Scenario,
        event_ms: int, lead: PriceAt,
    ) -> None:  # fmt: skip
        random = self._wander = Random(f"{seed}:{product.name}:gap")
        self.delay_ms = random.uniform(*DELAY_MS)
        self._lead = lead
        self._ticks_a_unit = 10.0**product.price.exp / product.price.times
        self._usual_bps = product.lead_bps
        self._gap_bps = random.gauss(0.0, GAP_BPS)
        self._own_bps = 0.0  # by what happened here alone
        super().__init__(style, seed=seed, start_ms=start_ms, ids=ids, scenario=scenario, event_ms=event_ms)

    def _move_fair(self, at: float) -> None:
        elapsed = (at - self._fair_ms) / 1000.0
        if elapsed <= 0:
            return
        self._fair_ms = at
        mood = self.mood
        lead = self._lead(at - self.delay_ms) * self._ticks_a_unit
        if not mood.vol:  # a scenario holds the price: what that is away from the lead, it is by its own doing
            self.fair *= 1.0 + mood.drift / 1e4 * elapsed
            self._own_bps = (self.fair / lead - 1.0) * 1e4 - self._usual_bps - self._gap_bps
            return
        fade = min(1.0, elapsed / GAP_FADE_S)
        self._gap_bps += -self._gap_bps * fade + GAP_BPS * math.sqrt(2.0 * fade) * self._wander.gauss(0.0, 1.0)
        self._own_bps += -self._own_bps * min(1.0, elapsed / CATCH_UP_S) + mood.drift * elapsed
        self.fair = max(2.0, lead * (1.0 + (self._usual_bps + self._gap_bps + self._own_bps) / 1e4))


def style_of(product: Product, price: float) -> TradingStyle:
    """How a product trades that opens at a price."""
    lead = PROFILES[f"{product.asset}USDT"]
    grid, lots = Grid(product.price.exp), Grid(product.size.exp)
    return TradingStyle(
        rules=Rules(
            symbol=product.name,
            base=product.asset,
            quote=product.quote,
            price=grid,
            size=lots,
            max_price=grid.text(10 ** (len(str(round(price * 10**grid.exp))) + 1)),
            max_size=lots.text(9 * 10**14),
        ),
        open_ticks=max(2, product.price.units(price)),
        makes=MAJOR_MAKES * product.liveliness,
        takes=TAKES * product.liveliness,
        far_levels=product.levels,
        typical_lots=product.lots_worth(900.0, price),
        vol_bps=lead.vol_bps,
        id_rate=max(0.2, 52 * product.liveliness),
    )


class FreePrice:
    """The lead of an asset whose lead market is not simulated: a random walk that needs no market."""

    def __init__(self, asset: str, *, seed: int, start_ms: int) -> None:
        profile = PROFILES[f"{asset}USDT"]
        self._walk = PastTrades(profile, seed=seed, start_ms=start_ms, hours=0.0)
        self._tick = 10.0**profile.rules.price.exp

    def at(self, time_ms: float) -> float:
        return self._walk.price_at(time_ms) / self._tick
