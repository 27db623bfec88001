"""Answers about the trades of the last hours by price."""

from __future__ import annotations

from vibe_orderbook_mcp.analytics.profile.answer import volume_profile_answer
from vibe_orderbook_mcp.analytics.profile.coverage import TradedWindow, too_early
from vibe_orderbook_mcp.analytics.profile.result import VolumeProfileAnswer
from vibe_orderbook_mcp.analytics.profile.vacuums_answer import liquidity_vacuums_answer
from vibe_orderbook_mcp.analytics.profile.vacuums_result import LiquidityVacuumsAnswer
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.answers.arguments import MOST_HOURS, flag, positive_decimal, symbol_of, whole_number
from vibe_orderbook_mcp.answers.moments import HOUR_SECS, exchange_ms, facts, proven_end
from vibe_orderbook_mcp.answers.shared import Shared
from vibe_orderbook_mcp.answers.source import Source
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.model.refusals import not_live, storage_refusal


class HourAnswers:
    """`duration_hours` is 1 to 168."""

    def __init__(self, source: Source, shared: Shared) -> None:
        self._source = source
        self._shared = shared

    async def get_volume_profile(
        self, symbol: object, duration_hours: object = 24, tick_size: object = None, detail: object = False
    ) -> VolumeProfileAnswer:
        hours = whole_number("duration_hours", duration_hours, 1, MOST_HOURS)
        width = None if tick_size is None else positive_decimal("tick_size", tick_size)
        with_detail = flag("detail", detail)
        asked = await self._source.want(symbol_of(symbol))
        span, histogram, tape = await self._traded(asked, hours)
        now = self._source.moment(asked.spec.symbol)
        answer = volume_profile_answer(
            now.spec,
            histogram,
            span,
            tape,
            tick_size=width,
            detail=with_detail,
            now_ms=exchange_ms(now),
            **facts(now, span.end),
        )
        if (early := too_early(now.spec.symbol, span, tape)) is not None:
            early.meanwhile = answer
            raise early
        return answer

    async def get_liquidity_vacuums(
        self, symbol: object, duration_hours: object = 24, detail: object = False
    ) -> LiquidityVacuumsAnswer:
        hours = whole_number("duration_hours", duration_hours, 1, MOST_HOURS)
        with_detail = flag("detail", detail)
        asked = await self._source.want(symbol_of(symbol))
        span, histogram, tape = await self._traded(asked, hours)
        # The book is up to seconds newer than the window's end: the answer has the date of its reference price.
        now = self._source.moment(asked.spec.symbol)
        head, price, trade_age_secs = facts(now), now.mid, None
        if price is None:
            price, trade_ms = now.last_price, now.last_trade_ms
            if price is None or trade_ms is None:
                raise not_live(now)
            head["as_of_ms"], trade_age_secs = trade_ms, max(0, exchange_ms(now) - trade_ms) / 1000
        return liquidity_vacuums_answer(
            now.spec,
            histogram,
            span,
            tape,
            mid=price,
            trade_age_secs=trade_age_secs,
            resting=self._source.resting(now.spec.symbol),
            detail=with_detail,
            **head,
        )

    async def _traded(self, now: Moment, hours: int) -> TradedWindow:
        """The trades of the last hours by price, and the stored share of them."""
        name, revision, end = now.spec.symbol, self._source.revision(now.spec.symbol), proven_end(now)
        span = Span(end - hours * HOUR_SECS, end)

        async def read() -> TradedWindow:
            try:
                return await self._source.sums(name, span)
            except StorageError as error:
                raise storage_refusal(error) from error

        return await self._shared.get(("traded", name, hours), (revision, span), read)
