"""The tools over a source: the implementation of `answers.contract`."""

from __future__ import annotations

from vibe_orderbook_mcp.answers.health import HealthAnswer, health_answer
from vibe_orderbook_mcp.answers.hours import HourAnswers
from vibe_orderbook_mcp.answers.minutes import MinuteAnswers
from vibe_orderbook_mcp.answers.now import BookAnswers
from vibe_orderbook_mcp.answers.shared import Shared
from vibe_orderbook_mcp.answers.source import Source
from vibe_orderbook_mcp.model.listed import PriceSource


class SourceAnswers(BookAnswers, MinuteAnswers, HourAnswers):
    """The `Answers` of the process that has the books. Raises Refusal if there is no answer, and nothing else on
    purpose.
    """

    def __init__(self, source: Source) -> None:
        shared = Shared()
        BookAnswers.__init__(self, source)
        MinuteAnswers.__init__(self, source, shared)
        HourAnswers.__init__(self, source, shared)

    @property
    def source(self) -> PriceSource | None:
        """The origin of the prices."""
        return self._source.origin

    async def orderbook_health(self) -> HealthAnswer:
        return health_answer(self._source.condition())
