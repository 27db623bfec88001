"""The interface behind the tools: one method for each."""

from __future__ import annotations

from typing import Protocol

from vibe_orderbook_mcp.analytics.anomalies.answer import AnomaliesAnswer
from vibe_orderbook_mcp.analytics.book.answers import L1Answer, L2Answer
from vibe_orderbook_mcp.analytics.flow.result import OrderFlowAnswer
from vibe_orderbook_mcp.analytics.health.answer import HealthScoreAnswer
from vibe_orderbook_mcp.analytics.profile.result import VolumeProfileAnswer
from vibe_orderbook_mcp.analytics.profile.vacuums_result import LiquidityVacuumsAnswer
from vibe_orderbook_mcp.answers.health import HealthAnswer
from vibe_orderbook_mcp.model.listed import PriceSource


class Answers(Protocol):
    """Arguments come as the client sent them. Each method raises Refusal if there is no answer, or StorageError if
    history fails during it.

    A tool's method has the name of the tool; the table of `answers.tools` has everything else about it.
    """

    @property
    def source(self) -> PriceSource | None:
        """The origin of the prices; None while unknown."""

    async def orderbook_l1(self, symbol: object) -> L1Answer: ...

    async def orderbook_l2(self, symbol: object, levels: object = 20) -> L2Answer: ...

    async def get_order_flow(
        self, symbol: object, window_duration_secs: object = 60, detail: object = False
    ) -> OrderFlowAnswer: ...

    async def get_volume_profile(
        self, symbol: object, duration_hours: object = 24, tick_size: object = None, detail: object = False
    ) -> VolumeProfileAnswer: ...

    async def get_microstructure_health(
        self, symbol: object, window_duration_secs: object = 60, detail: object = False
    ) -> HealthScoreAnswer: ...

    async def get_liquidity_vacuums(
        self, symbol: object, duration_hours: object = 24, detail: object = False
    ) -> LiquidityVacuumsAnswer: ...

    async def detect_market_anomalies(
        self, symbol: object, window_duration_secs: object = 60, since_hours: object = 0, detail: object = False
    ) -> AnomaliesAnswer: ...

    async def orderbook_health(self) -> HealthAnswer: ...
