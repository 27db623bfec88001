"""One async method a tool. Each reads what it needs in one go, then hands it to a free function of `analytics`."""

from __future__ import annotations

import time

from vibe_orderbook_mcp.analytics.book_answers import L1Answer, L2Answer, l1_answer, l2_answer
from vibe_orderbook_mcp.analytics.flow_answer import OrderFlowAnswer, order_flow_answer
from vibe_orderbook_mcp.analytics.snapshot import BookView
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.core.book import OrderBook
from vibe_orderbook_mcp.errors import StorageError
from vibe_orderbook_mcp.market import SymbolState
from vibe_orderbook_mcp.runtime import Runtime
from vibe_orderbook_mcp.tools.access import history_of, live_state, not_live, storage_refusal
from vibe_orderbook_mcp.tools.arguments import flag, symbol_of, whole_number
from vibe_orderbook_mcp.tools.health import HealthAnswer, health_answer
from vibe_orderbook_mcp.tools.row_cache import RowCache

MOST_LEVELS = 1000
# The newest row is final 0.7 s after its second and stored a tick later. A window that ends there is the present.
WRITE_LAG_SECS = 5


class Tools:
    """Raises Refusal for whatever cannot be answered, nothing else on purpose."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._rows = RowCache()

    async def orderbook_l1(self, symbol: object) -> L1Answer:
        state, book = await self._book(symbol)
        now_ns = time.monotonic_ns()
        levels = state.seconds.levels
        return l1_answer(
            state.spec,
            view(book),
            last_update_id=book.last_update_id,
            as_of_ms=book.event_ms or 0,
            age_ms=(state.age_ns(now_ns) or 0) // 1_000_000,
            status=state.status(now_ns),
            microprice=state.microprice_table,
            level_history=lambda side, price: (levels.first_seen_ms(side, price), levels.traded(side, price)),
            warnings=self._warnings(state, now_ns),
        )

    async def orderbook_l2(self, symbol: object, levels: object = 20) -> L2Answer:
        count = whole_number("levels", levels, 1, MOST_LEVELS)
        state, book = await self._book(symbol)
        now_ns = time.monotonic_ns()
        return l2_answer(
            state.spec,
            view(book, count),
            levels=count,
            last_update_id=book.last_update_id,
            as_of_ms=book.event_ms or 0,
            age_ms=(state.age_ns(now_ns) or 0) // 1_000_000,
            status=state.status(now_ns),
            warnings=self._warnings(state, now_ns),
        )

    async def get_order_flow(
        self, symbol: object, window_duration_secs: object = 60, detail: object = False
    ) -> OrderFlowAnswer:
        window_secs = whole_number("window_duration_secs", window_duration_secs, 10, 300)
        with_detail = flag("detail", detail)
        name = symbol_of(symbol)
        state = await self._known(name)
        history = history_of(self._runtime)
        now_ms = self._runtime.market.exchange_ms(time.monotonic_ns())
        if now_ms is None:
            raise not_live(self._runtime, state)
        try:
            newest = await history.newest_second(name)
            end = now_ms // 1000
            if newest is not None and end - WRITE_LAG_SECS <= newest + 1 <= end:
                end = newest + 1
            rows = await self._rows.rows(history, name, end)
        except StorageError as error:
            raise storage_refusal(error) from error
        now_ns = time.monotonic_ns()
        book = state.book
        return order_flow_answer(
            state.spec,
            rows,
            Span(end - window_secs, end),
            as_of_ms=(book.event_ms if book is not None else None) or end * 1000,
            age_ms=(state.age_ns(now_ns) or 0) // 1_000_000,
            status=state.status(now_ns),
            session=state.session_volumes,
            detail=with_detail,
            warnings=self._warnings(state, now_ns),
        )

    async def orderbook_health(self) -> HealthAnswer:
        return health_answer(self._runtime)

    async def _known(self, symbol: str) -> SymbolState:
        """A symbol with a past can be asked about while its book resyncs; one never used is subscribed first."""
        state = self._runtime.market.symbols.get(symbol)
        return state if state is not None else await live_state(self._runtime, symbol)

    async def _book(self, symbol: object) -> tuple[SymbolState, OrderBook]:
        state = await live_state(self._runtime, symbol_of(symbol))
        book = state.book
        if book is None:
            raise not_live(self._runtime, state)
        return state, book

    def _warnings(self, state: SymbolState, now_ns: int) -> list[str]:
        warnings: list[str] = []
        if state.status(now_ns) == "stale":
            silent = (state.age_ns(now_ns) or 0) / 1e9
            warnings.append(f"Nothing has come for {silent:.0f} s: this is the last known book, not the present one.")
        elif state.book is None:
            warnings.append(f"The book is resyncing: {state.reason}. Figures are of the seconds that were covered.")
        if not state.spec.trading:
            warnings.append(f"{state.spec.symbol} was not trading at the exchange when it was subscribed.")
        return warnings


def view(book: OrderBook, levels: int | None = None) -> BookView:
    """The book as the analytics take it: plain lists, best first."""
    return BookView(
        bids=book.bids.top(levels or len(book.bids.prices)),
        asks=book.asks.top(levels or len(book.asks.prices)),
        bid_horizon=book.bids.horizon,
        ask_horizon=book.asks.horizon,
    )
