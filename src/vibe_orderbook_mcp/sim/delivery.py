"""Scenarios of delivery: the market goes on, and its streams do not tell. PURE.

Unlike the faults, which know only sockets and the clock, these begin and end at the exchange's own time.
"""

from __future__ import annotations

from vibe_orderbook_mcp.sim.episode import Episode
from vibe_orderbook_mcp.sim.scenarios import FrozenFeed, Resync


class FrozenFeedEpisode(Episode[FrozenFeed]):
    changes_market = False

    def begin(self, at: float) -> None:
        self.truth.numbers |= {"lost_depth": 0, "lost_trades": 0}

    def loses(self, is_depth: bool, time_ms: int) -> bool:
        # An event that ends with the last millisecond is told: the market's time is past it when it is published.
        end_ms = self.end_ms if self.truth.end_ms is None else self.truth.end_ms
        if self.truth.start_ms is None or not self.start_ms <= time_ms < end_ms:
            return False
        self.truth.numbers["lost_depth" if is_depth else "lost_trades"] += 1
        return True


class ResyncEpisode(Episode[Resync]):
    changes_market = False

    def begin(self, at: float) -> None:
        self.truth.numbers["lost_depth"] = 0

    def loses(self, is_depth: bool, time_ms: int) -> bool:
        lost = self.truth.numbers.get("lost_depth", 0)
        if not is_depth or self.truth.start_ms is None or time_ms < self.start_ms or lost >= self.request.frames:
            return False
        self.truth.numbers["lost_depth"] = lost + 1
        return True
