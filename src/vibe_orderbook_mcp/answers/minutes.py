"""Answers about windows of seconds: flow, health of the market, what is unusual."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from vibe_orderbook_mcp.analytics.anomalies.answer import AnomaliesAnswer, anomalies_answer
from vibe_orderbook_mcp.analytics.flow.absorption import kappa_ticks
from vibe_orderbook_mcp.analytics.flow.answer import order_flow_answer
from vibe_orderbook_mcp.analytics.flow.past import EqualWindows
from vibe_orderbook_mcp.analytics.flow.result import OrderFlowAnswer
from vibe_orderbook_mcp.analytics.flow.toxicity import Vpin
from vibe_orderbook_mcp.analytics.health.answer import HealthScoreAnswer, health_score_answer
from vibe_orderbook_mcp.analytics.numbers import readable
from vibe_orderbook_mcp.analytics.results import of_window
from vibe_orderbook_mcp.analytics.windows import Span, cut, held_part
from vibe_orderbook_mcp.answers.arguments import (
    LONGEST_SECS,
    MOST_HOURS,
    SHORTEST_SECS,
    flag,
    symbol_of,
    whole_number,
)
from vibe_orderbook_mcp.answers.moments import HOUR_SECS, WRITE_LAG_SECS, Facts, facts, window_end
from vibe_orderbook_mcp.answers.shared import Shared
from vibe_orderbook_mcp.answers.source import Source
from vibe_orderbook_mcp.model.errors import Refusal, StorageError
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.model.refusals import standing_still, storage_refusal


class MinuteAnswers:
    """`window_duration_secs` is 10 to 300."""

    def __init__(self, source: Source, shared: Shared) -> None:
        self._source = source
        self._shared = shared

    async def get_order_flow(
        self, symbol: object, window_duration_secs: object = 60, detail: object = False
    ) -> OrderFlowAnswer:
        secs = whole_number("window_duration_secs", window_duration_secs, SHORTEST_SECS, LONGEST_SECS)
        with_detail = flag("detail", detail)
        now = await self._source.want(symbol_of(symbol))
        name = now.spec.symbol
        revision, end = self._source.revision(name), window_end(now)
        span, head = Span(end - secs, end), facts(now, end)
        work = partial(self._flow, now, span, head, with_detail=with_detail)
        basis = revision, span, head["as_of_ms"], head["status"], *head["warnings"]
        found = await self._shared.get(("flow", name, secs, with_detail), basis, work)
        return found.model_copy(update={"age_ms": head["age_ms"]})

    async def _flow(self, now: Moment, span: Span, head: Facts, *, with_detail: bool) -> OrderFlowAnswer:
        source, name, secs = self._source, now.spec.symbol, span.secs
        vpin = day_volumes = None
        try:
            rows = await source.rows(name, span, "whole")
            earlier = await source.windows(name, secs, span.start)
            if with_detail:
                vpin, day_volumes = await source.vpin(name, span.end), await source.today(name, span.end)
        except StorageError as error:
            raise storage_refusal(error) from error
        if earlier.read_secs is not None:
            head["warnings"] = [*head["warnings"], _still_reading(earlier.read_secs)]
        held = held_part(rows, span)
        with self._explained(name):
            work = partial(
                order_flow_answer,
                now.spec,
                rows,
                held,
                # Windows of another length are no measure of this one.
                before=earlier.windows if held == span else EqualWindows(),
                session=day_volumes,
                vpin=vpin,
                detail=with_detail,
                **head,
            )
            # With details it takes some 10 ms: on a thread of its own, so that books and clients do not wait.
            return of_window(await asyncio.to_thread(work) if with_detail else work(), secs)

    async def get_microstructure_health(
        self, symbol: object, window_duration_secs: object = 60, detail: object = False
    ) -> HealthScoreAnswer:
        secs = whole_number("window_duration_secs", window_duration_secs, SHORTEST_SECS, LONGEST_SECS)
        with_detail = flag("detail", detail)
        now = await self._source.want(symbol_of(symbol))
        name, end = now.spec.symbol, window_end(now)
        invalid = unseen = None
        if now.has_book:
            invalid = now.defect
        elif now.suspension is not None:
            invalid = now.suspension.rstrip(".")
        else:
            unseen = now.reason or "the book is not in sequence"
        span = Span(end - secs, end)
        rows = await self._source.rows(name, span, "seen")
        compared = self._source.normal(name)
        with self._explained(name):
            answer = health_score_answer(
                now.spec,
                rows,
                held_part(rows, span),
                compared.normal,
                measures=compared.measures,
                invalid_reason=invalid,
                unseen_reason=unseen,
                detail=with_detail,
                **facts(self._source.moment(name), end),
            )
        return of_window(answer, secs)

    async def detect_market_anomalies(
        self, symbol: object, window_duration_secs: object = 60, since_hours: object = 0, detail: object = False
    ) -> AnomaliesAnswer:
        secs = whole_number("window_duration_secs", window_duration_secs, SHORTEST_SECS, LONGEST_SECS)
        hours = whole_number("since_hours", since_hours, 0, MOST_HOURS)
        with_detail = flag("detail", detail)
        now = await self._source.want(symbol_of(symbol))
        name, end = now.spec.symbol, window_end(now)
        since, past = end - hours * HOUR_SECS, None
        if hours:
            try:
                past = await self._source.findings(name, since * 1000, (end + WRITE_LAG_SECS) * 1000)
            except StorageError as error:
                raise storage_refusal(error) from error
        vpin = await self._vpin(name, end) if with_detail else None
        span = Span(end - secs, end)
        hour = await self._source.rows(name, span, "hour")
        with self._explained(name):
            answer = anomalies_answer(
                self._source.watched(name, span, since),
                past=past,
                past_hours=hours,
                vpin=vpin,
                # How far mid usually moves in equal windows of the hour before.
                usual_move_ticks=kappa_ticks(hour, cut(hour, span), float(now.spec.tick_size)),
                detail=with_detail,
                **facts(self._source.moment(name), end),
            )
        return of_window(answer, secs)

    async def _vpin(self, symbol: str, end: int) -> Vpin | None:
        """None while unknown: it is an extra to the requested answer."""
        with suppress(StorageError, Refusal):
            newest = await self._source.vpin(symbol, end)
            return None if newest is None else newest.vpin
        return None

    @contextmanager
    def _explained(self, symbol: str) -> Iterator[None]:
        """A refusal for a window that cannot be answered while no data comes."""
        try:
            yield
        except Refusal as refusal:
            if refusal.code != "insufficient_historical_data":
                raise
            told = standing_still(self._source.moment(symbol), refusal)
            if told is refusal:
                raise
            raise told from refusal


def _still_reading(read_secs: int) -> str:
    basis = f"rest on the {readable(read_secs / 3600, 2)} h before the window" if read_secs else "are missing"
    return f"The past day is still being read: rarities {basis}. Ask again in a few seconds for those of the whole day."
