"""What happens in one symbol's market, and when. PURE."""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

import msgspec

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.episode import Episode, Truth
from vibe_orderbook_mcp.sim.quoting import UpdateBurstEpisode, WallEpisode
from vibe_orderbook_mcp.sim.scenarios import (
    AnyRequest,
    Drain,
    EmptySide,
    FrozenFeed,
    Iceberg,
    NewsBurst,
    OneSidedFlow,
    RepeatedWall,
    Request,
    Resync,
    Squeeze,
    Sweep,
    UpdateBurst,
    Withdrawal,
    mirrored,
)
from vibe_orderbook_mcp.sim.shocks import SqueezeEpisode, SweepEpisode, WithdrawalEpisode
from vibe_orderbook_mcp.sim.sinks import MarketSink
from vibe_orderbook_mcp.sim.stage import Stage
from vibe_orderbook_mcp.sim.trading import IcebergEpisode, NewsBurstEpisode, OneSidedFlowEpisode
from vibe_orderbook_mcp.sim.withdrawing import DrainEpisode, EmptySideEpisode


class FrozenFeedEpisode(Episode[FrozenFeed]):
    changes_market = False

    def begin(self, at: float) -> None:
        self.truth.numbers |= {"lost_depth": 0, "lost_trades": 0}

    def loses(self, is_depth: bool, time_ms: int) -> bool:
        # An event that ends with the last millisecond is reported: the market's time is past it when it is published.
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


KEPT: Final = 1000  # truths of what is over
ROOM_MS: Final = 30_000  # between two scenarios that change the same market
LATE_MS: Final = 2_000  # events are published at most this long after their time

EPISODES: Final[dict[type[Request], type[Episode[Any]]]] = {
    OneSidedFlow: OneSidedFlowEpisode,
    UpdateBurst: UpdateBurstEpisode,
    NewsBurst: NewsBurstEpisode,
    Iceberg: IcebergEpisode,
    RepeatedWall: WallEpisode,
    Drain: DrainEpisode,
    EmptySide: EmptySideEpisode,
    Sweep: SweepEpisode,
    Squeeze: SqueezeEpisode,
    Withdrawal: WithdrawalEpisode,
    FrozenFeed: FrozenFeedEpisode,
    Resync: ResyncEpisode,
}


class Programme:
    def __init__(self, market: Stage) -> None:
        self.next_ms = math.inf  # when it must be stepped next
        self.truths: deque[Truth] = deque(maxlen=KEPT)
        self._market = market
        self._episodes: list[Episode[Any]] = []
        self._losing: list[Episode[Any]] = []
        self._count = 0

    def add(self, request: AnyRequest) -> Truth:
        """`ConfigError` when something else is going on at that time."""
        episode = self._planned(request, self._market.time_ms + 1 + round(request.after * 1000))
        clash = self._clash(episode)
        if clash is not None:
            going = "is going on" if clash.truth.start_ms is not None else "is planned"
            raise ConfigError(
                f"Scenario {clash.request.name} {going} in {request.symbol} at that time;"
                " only one at a time may change a market."
            )
        return self._take_in(episode)

    def step(self, at: float, sink: MarketSink) -> None:
        """Let the episode act whose turn it is."""
        episode = min(self._episodes, key=lambda each: each.next_ms)
        episode.step(at, sink)
        if episode.truth.state == "over":
            self._episodes.remove(episode)
            self._again(episode, at)
        self._look_ahead()

    def stop(self, number: int) -> bool:
        """End an episode now, and do not begin it again; False when there is none of that number."""
        found = next((each for each in self._episodes if each.truth.id == number), None)
        if found is None:
            return False
        found.request = msgspec.structs.replace(found.request, every=None)
        found.stop(self._market.time_ms + 1)
        if found.truth.state == "over":
            self._episodes.remove(found)
        self._look_ahead()
        return True

    @property
    def is_losing(self) -> bool:
        return bool(self._losing)

    def loses(self, is_depth: bool, time_ms: int) -> bool:
        """Whether an event is lost on its way. Asked once for each, in order."""
        if not self._losing:
            return False
        self._losing = [each for each in self._losing if time_ms < each.end_ms + LATE_MS]
        lost = [each.loses(is_depth, time_ms) for each in self._losing]
        return any(lost)

    def _planned(self, request: AnyRequest, start_ms: int) -> Episode[Any]:
        self._count += 1
        return EPISODES[type(request)](request, self._count, self._market, start_ms)

    def _take_in(self, episode: Episode[Any]) -> Truth:
        self._episodes.append(episode)
        self.truths.append(episode.truth)
        if not episode.changes_market:
            self._losing.append(episode)
        self._look_ahead()
        return episode.truth

    def _clash(self, new: Episode[Any]) -> Episode[Any] | None:
        for each in self._episodes:
            apart = new.start_ms >= each.end_ms + ROOM_MS or each.start_ms >= new.end_ms + ROOM_MS
            leaving = each.truth.state == "leaving"
            if new.changes_market and each.changes_market and (leaving or not apart):
                return each
        return None

    def _again(self, episode: Episode[Any], at: float) -> None:
        request: AnyRequest = episode.request
        if request.every is None:
            return
        start_ms = episode.start_ms + round(request.every * 1000)
        while start_ms <= at:
            start_ms += round(request.every * 1000)
        self._take_in(self._planned(mirrored(request), start_ms))

    def _look_ahead(self) -> None:
        self.next_ms = min((each.next_ms for each in self._episodes), default=math.inf)
