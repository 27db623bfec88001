"""The tools over a source: all that `answers.contract` asks for. Those about the book of this moment are here."""

from __future__ import annotations

from vibe_orderbook_mcp.analytics.book.answers import NOTIONALS, L1Answer, L2Answer, l1_answer, l2_answer
from vibe_orderbook_mcp.answers.arguments import MOST_LEVELS, symbol_of, whole_number
from vibe_orderbook_mcp.answers.health import HealthAnswer, health_answer
from vibe_orderbook_mcp.answers.hours import HourAnswers
from vibe_orderbook_mcp.answers.minutes import MinuteAnswers
from vibe_orderbook_mcp.answers.moments import facts
from vibe_orderbook_mcp.answers.shared import Shared
from vibe_orderbook_mcp.answers.source import Source
from vibe_orderbook_mcp.answers.turns import Turns
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.model.refusals import not_live

FEW_LEVELS = 100  # this many take 2 ms: they need not wait for their turn
LEVELS_KEPT = 8  # answers


class BookAnswers:
    """Reads everything that it needs without an await in between."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._turns = Turns()
        self._newest_levels: dict[tuple[str, int], tuple[tuple[object, ...], L2Answer]] = {}

    async def orderbook_l1(self, symbol: object) -> L1Answer:
        now = await self._source.want(symbol_of(symbol), live=True)
        name = now.spec.symbol
        if (frame := self._source.book(name, notional=max(NOTIONALS))) is None:
            raise not_live(now)
        usual = self._source.usual(name)
        return l1_answer(
            now.spec,
            frame.view,
            last_update_id=frame.last_update_id,
            microprice=usual.microprice,
            day=usual.day,
            findings=usual.findings,
            level_history=frame.level_history,
            **facts(now),
        )

    async def orderbook_l2(self, symbol: object, levels: object = 20) -> L2Answer:
        count = whole_number("levels", levels, 1, MOST_LEVELS)
        now = await self._source.want(symbol_of(symbol), live=True)
        if count <= FEW_LEVELS:
            return self._levels(now, count)
        async with self._turns.taken():  # the book may be lost while others have their turns
            return self._levels(self._source.moment(now.spec.symbol), count)

    def _levels(self, now: Moment, count: int) -> L2Answer:
        """Callers with the same question about the same book get the same lists."""
        if now.last_update_id is None:
            raise not_live(now)
        head = facts(now)
        known = now.spec.symbol, count
        # Two books at the same update may know different levels: one was loaded later.
        basis = now.spec, now.loads, now.last_update_id, head["as_of_ms"], head["status"], *head["warnings"]
        found = self._newest_levels.get(known)
        if found is None or found[0] != basis:
            if (frame := self._source.book(now.spec.symbol, count)) is None:
                raise not_live(now)
            made = l2_answer(now.spec, frame.view, levels=count, last_update_id=frame.last_update_id, **head)
            found = self._newest_levels[known] = basis, made
            while len(self._newest_levels) > LEVELS_KEPT:
                del self._newest_levels[next(iter(self._newest_levels))]
        return found[1].model_copy(update={"age_ms": head["age_ms"]})


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
