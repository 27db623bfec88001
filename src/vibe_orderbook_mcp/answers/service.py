"""One async method a tool. Each reads what it needs in one go, then hands it to a free function of `analytics`."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TypedDict

from vibe_orderbook_mcp.analytics.anomalies.answer import AnomaliesAnswer, anomalies_answer
from vibe_orderbook_mcp.analytics.book.answers import NOTIONALS, L1Answer, L2Answer, l1_answer, l2_answer
from vibe_orderbook_mcp.analytics.findings import from_stored
from vibe_orderbook_mcp.analytics.flow.absorption import kappa_ticks
from vibe_orderbook_mcp.analytics.flow.answer import order_flow_answer
from vibe_orderbook_mcp.analytics.flow.past import EqualWindows
from vibe_orderbook_mcp.analytics.flow.result import OrderFlowAnswer
from vibe_orderbook_mcp.analytics.flow.toxicity import Vpin
from vibe_orderbook_mcp.analytics.health.answer import HealthScoreAnswer, health_score_answer
from vibe_orderbook_mcp.analytics.numbers import readable
from vibe_orderbook_mcp.analytics.profile.answer import volume_profile_answer
from vibe_orderbook_mcp.analytics.profile.coverage import too_early
from vibe_orderbook_mcp.analytics.profile.result import VolumeProfileAnswer
from vibe_orderbook_mcp.analytics.profile.vacuums_answer import liquidity_vacuums_answer
from vibe_orderbook_mcp.analytics.profile.vacuums_result import LiquidityVacuumsAnswer
from vibe_orderbook_mcp.analytics.results import of_window
from vibe_orderbook_mcp.analytics.views import view
from vibe_orderbook_mcp.analytics.windows import Span, cut, held_part, missing_trades
from vibe_orderbook_mcp.answers.access import (
    broken,
    explained,
    history_of,
    known_state,
    live_state,
    not_live,
    storage_refusal,
)
from vibe_orderbook_mcp.answers.arguments import (
    LONGEST_SECS,
    MOST_HOURS,
    MOST_LEVELS,
    SHORTEST_SECS,
    flag,
    positive_decimal,
    symbol_of,
    whole_number,
)
from vibe_orderbook_mcp.answers.health import HealthAnswer, health_answer
from vibe_orderbook_mcp.answers.past_cache import PastCache
from vibe_orderbook_mcp.answers.row_cache import hour_and_window, hour_before
from vibe_orderbook_mcp.answers.session import stored_session
from vibe_orderbook_mcp.answers.shared import Shared
from vibe_orderbook_mcp.answers.trade_window import Traded, traded_window
from vibe_orderbook_mcp.answers.turns import Turns
from vibe_orderbook_mcp.answers.volume_clock import VolumeClocks
from vibe_orderbook_mcp.book.book import OrderBook
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.errors import StorageError
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.model.moment import Moment, Status
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.seconds.traded import with_trades
from vibe_orderbook_mcp.store.history import History

FEW_LEVELS = 100  # so many take 2 ms: they need not wait for their turn
LEVELS_KEPT = 8  # answers
HOUR_SECS = 3600
# The newest row is final 0.7 s after its second and stored a tick later. A window that ends there is the present.
WRITE_LAG_SECS = 5


class Facts(TypedDict):
    """What every answer about a symbol says of the moment it was made."""

    as_of_ms: int
    age_ms: int
    status: Status
    warnings: list[str]


class Tools:
    """Raises Refusal for whatever cannot be answered, nothing else on purpose."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pasts = PastCache()
        self._clocks = VolumeClocks()
        self._shared = Shared()
        self._turns = Turns()
        self._newest_levels: dict[tuple[str, int], tuple[tuple[object, ...], L2Answer]] = {}
        runtime.forgetters.append(self._forget)

    def _forget(self, symbol: str) -> None:
        for kept in (self._pasts, self._clocks, self._shared):
            kept.forget(symbol)

    @property
    def source(self) -> PriceSource | None:
        """Whose prices the answers have."""
        return self._runtime.source

    async def orderbook_l1(self, symbol: object) -> L1Answer:
        state, _ = await self._book(symbol)
        if (frame := state.frame(notional=max(NOTIONALS))) is None:
            raise not_live(self._runtime, state)
        return l1_answer(
            state.spec,
            frame.view,
            last_update_id=frame.last_update_id,
            microprice=state.microprice,
            baseline=state.watch.baseline,
            findings=state.watch.open,
            level_history=frame.level_history,
            **self._facts(state),
        )

    async def orderbook_l2(self, symbol: object, levels: object = 20) -> L2Answer:
        count = whole_number("levels", levels, 1, MOST_LEVELS)
        state, book = await self._book(symbol)
        if count <= FEW_LEVELS:
            return self._levels(state, book, count)
        async with self._turns.taken():
            if (present := state.book) is None:  # it was lost while others had their turns
                raise not_live(self._runtime, state)
            return self._levels(state, present, count)

    def _levels(self, state: InstrumentOwner, book: OrderBook, count: int) -> L2Answer:
        """Callers who ask for the same levels of the same book get the same lists."""
        facts = self._facts(state)
        as_of, known = facts["as_of_ms"], (state.spec.symbol, count)
        # Two books that stand at the same update may know different levels: one was loaded later.
        basis = (state.spec, state.counts.loads, book.last_update_id, as_of, facts["status"], *facts["warnings"])
        found = self._newest_levels.get(known)
        if found is None or found[0] != basis:
            made = l2_answer(state.spec, view(book, count), levels=count, last_update_id=book.last_update_id, **facts)
            found = self._newest_levels[known] = basis, made
            while len(self._newest_levels) > LEVELS_KEPT:
                del self._newest_levels[next(iter(self._newest_levels))]
        return found[1].model_copy(update={"age_ms": facts["age_ms"]})

    async def get_order_flow(
        self, symbol: object, window_duration_secs: object = 60, detail: object = False
    ) -> OrderFlowAnswer:
        secs = whole_number("window_duration_secs", window_duration_secs, SHORTEST_SECS, LONGEST_SECS)
        with_detail = flag("detail", detail)
        state = await self._known(symbol_of(symbol))
        history = history_of(self._runtime)
        end = self._end(state)
        span = Span(end - secs, end)
        facts = self._facts(state, end)

        async def answer() -> OrderFlowAnswer:
            try:
                rows = await self._flow_rows(history, state, span)
                held = held_part(rows, span)
                earlier = await self._pasts.windows(history, state.spec.symbol, secs, span.start)
                buckets = session = None
                if with_detail:
                    buckets = await self._clocks.buckets(history, state.spec, end * 1000)
                    session = state.day_volumes
                    if session is None:
                        session = await stored_session(history, state.spec.symbol, list(state.watch.rows), end)
            except StorageError as error:
                raise storage_refusal(error) from error
            if earlier.read_secs is not None:
                facts["warnings"] = [*facts["warnings"], _still_reading(earlier.read_secs)]
            with explained(state):
                work = partial(
                    order_flow_answer,
                    state.spec,
                    rows,
                    held,
                    # Windows of another length are no measure of this one.
                    before=earlier.windows if held == span else EqualWindows(),
                    session=session,
                    buckets=buckets,
                    detail=with_detail,
                    **facts,
                )
                # With details it takes some 10 ms: on a thread of its own, so that books and clients do not wait.
                return of_window(await asyncio.to_thread(work) if with_detail else work(), secs)

        question = "flow", state.spec.symbol, secs, with_detail
        stands = facts["as_of_ms"], facts["status"], *facts["warnings"]
        known = self._clocks.is_known(state.spec.symbol), self._pasts.is_whole(state.spec.symbol)
        basis = (*self._basis(history, state, span), *stands, *known)
        found = await self._shared.get(question, basis, answer)
        return found.model_copy(update={"age_ms": facts["age_ms"]})

    async def get_volume_profile(
        self, symbol: object, duration_hours: object = 24, tick_size: object = None, detail: object = False
    ) -> VolumeProfileAnswer:
        hours = whole_number("duration_hours", duration_hours, 1, MOST_HOURS)
        width = None if tick_size is None else positive_decimal("tick_size", tick_size)
        with_detail = flag("detail", detail)
        state = await self._known(symbol_of(symbol))
        span, histogram, tape = await self._traded(state, hours)
        answer = volume_profile_answer(
            state.spec,
            histogram,
            span,
            tape,
            tick_size=width,
            detail=with_detail,
            now_ms=self._now_ms(state),
            **self._facts(state, span.end),
        )
        if (early := too_early(state.spec.symbol, span, tape)) is not None:
            early.meanwhile = answer
            raise early
        return answer

    async def get_liquidity_vacuums(
        self, symbol: object, duration_hours: object = 24, detail: object = False
    ) -> LiquidityVacuumsAnswer:
        hours = whole_number("duration_hours", duration_hours, 1, MOST_HOURS)
        with_detail = flag("detail", detail)
        state = await self._known(symbol_of(symbol))
        span, histogram, tape = await self._traded(state, hours)
        # The book is newer than the window's end, by up to seconds: the answer is dated by the price it measures from.
        facts, price, trade_age_secs = self._facts(state), state.mid, None
        if price is None:
            now = state.moment(time.monotonic_ns())
            price, trade_ms = now.last_price, now.last_trade_ms
            if price is None or trade_ms is None:
                raise not_live(self._runtime, state)
            facts["as_of_ms"], trade_age_secs = trade_ms, max(0, self._now_ms(state) - trade_ms) / 1000
        resting = state.resting()
        return liquidity_vacuums_answer(
            state.spec,
            histogram,
            span,
            tape,
            mid=price,
            trade_age_secs=trade_age_secs,
            resting=resting,
            detail=with_detail,
            **facts,
        )

    async def get_microstructure_health(
        self, symbol: object, window_duration_secs: object = 60, detail: object = False
    ) -> HealthScoreAnswer:
        secs = whole_number("window_duration_secs", window_duration_secs, SHORTEST_SECS, LONGEST_SECS)
        with_detail = flag("detail", detail)
        state = await self._known(symbol_of(symbol))
        end = self._end(state)
        book = state.book
        invalid = unseen = None
        if book is not None:
            invalid = broken(book)
        elif state.suspension is not None:
            invalid = state.suspension.rstrip(".")
        else:
            unseen = state.reason or "the book is not in sequence"
        span = Span(end - secs, end)
        rows = await self._with_late_trades(state, list(state.watch.rows), span)
        with explained(state):
            answer = health_score_answer(
                state.spec,
                rows,
                held_part(rows, span),
                state.watch.normal,
                measures=list(state.watch.measures),
                invalid_reason=invalid,
                unseen_reason=unseen,
                detail=with_detail,
                **self._facts(state, end),
            )
        return of_window(answer, secs)

    async def detect_market_anomalies(
        self, symbol: object, window_duration_secs: object = 60, since_hours: object = 0, detail: object = False
    ) -> AnomaliesAnswer:
        secs = whole_number("window_duration_secs", window_duration_secs, SHORTEST_SECS, LONGEST_SECS)
        hours = whole_number("since_hours", since_hours, 0, MOST_HOURS)
        with_detail = flag("detail", detail)
        state = await self._known(symbol_of(symbol))
        end = self._end(state)
        past = None
        if hours:
            try:
                stored = await history_of(self._runtime).events(
                    state.spec.symbol, (end - hours * HOUR_SECS) * 1000, (end + WRITE_LAG_SECS) * 1000
                )
                past = [from_stored(event) for event in stored]
            except StorageError as error:
                raise storage_refusal(error) from error
        vpin = await self._vpin(state, end) if with_detail else None
        span = Span(end - secs, end)
        usual_move = await self._usual_move(state, span)
        with explained(state):
            answer = anomalies_answer(
                state.watch,
                held_part(list(state.watch.rows), span),
                past=past,
                past_hours=hours,
                vpin=vpin,
                usual_move_ticks=usual_move,
                detail=with_detail,
                **self._facts(state, end),
            )
        return of_window(answer, secs)

    async def orderbook_health(self) -> HealthAnswer:
        return health_answer(self._runtime)

    async def _traded(self, state: InstrumentOwner, hours: int) -> Traded:
        """The trades of the last hours by price, and which part of them is held."""
        name, history, end = state.spec.symbol, history_of(self._runtime), self._proven_end(state)
        span = Span(end - hours * HOUR_SECS, end)

        async def read() -> Traded:
            try:
                return await traded_window(self._runtime, history, state, span)
            except StorageError as error:
                raise storage_refusal(error) from error

        return await self._shared.get(("traded", name, hours), self._basis(history, state, span), read)

    def _basis(self, history: History, state: InstrumentOwner, span: Span) -> tuple[object, ...]:
        """What an answer about stored and finished seconds rests on: while none of it changes, nor does the answer."""
        name, runtime = state.spec.symbol, self._runtime
        newest = state.watch.rows[-1].second if state.watch.rows else None
        stored, filling = runtime.recorder.trades_stored[name], state.filling
        return history, state, span, newest, stored, filling.filled, filling.is_exhausted

    async def _vpin(self, state: InstrumentOwner, end: int) -> Vpin | None:
        """None while it is not known: it stands beside what was asked for."""
        history = self._runtime.archive.history
        if history is None:
            return None
        try:
            buckets = await self._clocks.buckets(history, state.spec, end * 1000)
        except StorageError:
            return None
        return None if buckets is None else buckets.vpin()

    async def _usual_move(self, state: InstrumentOwner, span: Span) -> float | None:
        """How far mid usually moves in equal windows of the hour before, in ticks. None: less than 15 minutes of it."""
        history = self._runtime.archive.history
        earlier = state.past.before(span.start)
        if history is not None:
            with suppress(StorageError):  # memory has what this process saw
                earlier = await hour_before(history, state, span)
        return kappa_ticks(earlier, cut(earlier, span), float(state.spec.tick_size))

    async def _flow_rows(self, history: History, state: InstrumentOwner, span: Span) -> list[SecondRow]:
        """Rows of the hour before the window and of the window. Raises StorageError."""
        return await self._with_late_trades(state, await hour_and_window(history, state, span), span)

    async def _with_late_trades(self, state: InstrumentOwner, rows: list[SecondRow], span: Span) -> list[SecondRow]:
        """Rows of a window whose trades were fetched by id after they were final, or of which nobody watched a part,
        summed up anew."""
        window = cut(rows, span).rows
        history = self._runtime.archive.history
        # Ids tell what is missing between rows, not before the first: it may be the second in which the process began.
        in_doubt = len(window) < span.secs or window[0].covered_ms < 1000 or missing_trades(window)
        if history is None or not in_doubt:
            return rows
        try:
            stored = await history.trades(state.spec.symbol, span.start * 1000, span.end * 1000)
        except StorageError:
            return rows  # what was seen, with the warning that trades are missing
        whole = with_trades(window, stored, state.spec)
        if sum(row.agg_trades for row in whole) <= sum(row.agg_trades for row in window):
            return rows
        return [*(row for row in rows if row.second < span.start), *whole, *(r for r in rows if r.second >= span.end)]

    async def _known(self, symbol: str) -> InstrumentOwner:
        """A symbol with a past can be asked about while its book resyncs; one never used is subscribed first."""
        state = known_state(self._runtime, symbol)
        return state if state is not None else await live_state(self._runtime, symbol)

    async def _book(self, symbol: object) -> tuple[InstrumentOwner, OrderBook]:
        state = await live_state(self._runtime, symbol_of(symbol))
        book = state.book
        if book is None:
            raise not_live(self._runtime, state)
        return state, book

    def _now_ms(self, state: InstrumentOwner) -> int:
        """The exchange's time."""
        now_ms = self._runtime.market.exchange_ms(time.monotonic_ns())
        if now_ms is None:
            raise not_live(self._runtime, state)
        return now_ms

    def _end(self, state: InstrumentOwner) -> int:
        """The end of a window that reaches up to now: behind the newest row, unless rows have stopped coming."""
        now = self._now_ms(state) // 1000
        rows = state.watch.rows
        newest = rows[-1].second + 1 if rows else None
        return newest if newest is not None and now - WRITE_LAG_SECS <= newest <= now else now

    def _proven_end(self, state: InstrumentOwner) -> int:
        """The same, but no later than the last event while nothing comes: trades since then may be missing."""
        end = self._end(state)
        if state.status(time.monotonic_ns()) == "live" or state.heard_ms is None:
            return end
        return min(end, state.heard_ms // 1000)

    def _facts(self, state: InstrumentOwner, end: int | None = None) -> Facts:
        """`end` is that of a window: events behind it were not used."""
        now = state.moment(time.monotonic_ns())
        newest_ms = now.newest_ms
        as_of_ms = (newest_ms or 0) if end is None else min(newest_ms or end * 1000, end * 1000)
        return Facts(
            as_of_ms=as_of_ms, age_ms=(now.age_ns or 0) // 1_000_000, status=now.status, warnings=_warnings(now)
        )


def _warnings(now: Moment) -> list[str]:
    if now.suspension is not None:
        return [f"{now.suspension} Nothing can be traded at these prices."]
    if now.status == "stale":
        return [f"Nothing has come for {now.silent_secs:.0f} s: this is the last known book, not the present one."]
    if not now.has_book:
        return [f"The book is resyncing: {now.reason}. Figures are of the seconds that were covered."]
    return []


def _still_reading(read_secs: int) -> str:
    basis = f"rest on the {readable(read_secs / 3600, 2)} h before the window" if read_secs else "are missing"
    return f"The past day is still being read: rarities {basis}. Ask again in a few seconds for those of the whole day."
