"""The source of this process: its market, its history, and what it remembers of it for questions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal

from vibe_orderbook_mcp.analytics.anomalies.watched import NormalNow, Usual, Watched
from vibe_orderbook_mcp.analytics.findings import Finding, from_stored
from vibe_orderbook_mcp.analytics.flow.past import Earlier
from vibe_orderbook_mcp.analytics.flow.toxicity import VolumeVpin
from vibe_orderbook_mcp.analytics.profile.coverage import TradedWindow
from vibe_orderbook_mcp.analytics.resting import RestingDepth
from vibe_orderbook_mcp.analytics.views import BookFrame
from vibe_orderbook_mcp.analytics.windows import Span
from vibe_orderbook_mcp.collect.asking import known_owner, live_owner, moment_of
from vibe_orderbook_mcp.collect.condition import condition
from vibe_orderbook_mcp.collect.past_cache import PastCache
from vibe_orderbook_mcp.collect.row_cache import RowCache, with_late_trades
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.collect.trade_window import stored_day, traded_window
from vibe_orderbook_mcp.collect.volume_clock import VolumeClocks
from vibe_orderbook_mcp.market.owner import InstrumentOwner
from vibe_orderbook_mcp.model.condition import ServerCondition
from vibe_orderbook_mcp.model.errors import Refusal, StorageError
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.model.moment import Moment
from vibe_orderbook_mcp.model.refusals import RETRY_SECS, no_history
from vibe_orderbook_mcp.model.rows import SecondRow
from vibe_orderbook_mcp.store.history import History


class LocalSource:
    """A `Source` (see `answers.source`). A question changes nothing of what the process collects."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._rows = RowCache()
        self._pasts = PastCache()
        self._clocks = VolumeClocks()
        runtime.forgetters.append(self._forget)

    def _forget(self, symbol: str) -> None:
        for kept in (self._rows, self._pasts, self._clocks):
            kept.forget(symbol)

    # --- present ------------------------------------------------------------------------------------------------

    @property
    def origin(self) -> PriceSource | None:
        return self._runtime.source

    async def want(self, symbol: str, *, live: bool = False) -> Moment:
        owner = None if live else known_owner(self._runtime, symbol)
        if owner is None:
            owner = await live_owner(self._runtime, symbol)
        return moment_of(self._runtime, owner)

    def moment(self, symbol: str) -> Moment:
        return moment_of(self._runtime, self._owner(symbol))

    def book(self, symbol: str, levels: int | None = None, *, notional: float = 0.0) -> BookFrame | None:
        return self._owner(symbol).frame(levels, notional=notional)

    def resting(self, symbol: str) -> Sequence[RestingDepth]:
        return self._owner(symbol).resting()

    def usual(self, symbol: str) -> Usual:
        return self._owner(symbol).usual()

    def normal(self, symbol: str) -> NormalNow:
        return self._owner(symbol).normal()

    def watched(self, symbol: str, span: Span, since: int) -> Watched:
        return self._owner(symbol).watched(span, since)

    def condition(self) -> ServerCondition:
        return condition(self._runtime)

    # --- recorded -----------------------------------------------------------------------------------------------

    async def rows(self, symbol: str, span: Span, part: Literal["seen", "hour", "whole"]) -> list[SecondRow]:
        owner, history = self._owner(symbol), self._runtime.archive.history
        if part == "seen":
            return await with_late_trades(history, owner, list(owner.watch.rows), span)
        if part == "whole":
            history = self._history
            return await with_late_trades(history, owner, await self._rows.hour_and_window(history, owner, span), span)
        seen = owner.past.before(span.start)
        if history is None:
            return seen
        try:
            return await self._rows.hour_before(history, owner, span)
        except StorageError:
            return seen

    async def windows(self, symbol: str, secs: int, before: int) -> Earlier:
        return await self._pasts.windows(self._history, symbol, secs, before)

    async def sums(self, symbol: str, span: Span) -> TradedWindow:
        return await traded_window(self._runtime, self._history, self._owner(symbol), span)

    async def vpin(self, symbol: str, end: int) -> VolumeVpin | None:
        buckets = await self._clocks.buckets(self._history, self._owner(symbol).spec, end * 1000)
        return None if buckets is None else buckets.newest

    async def today(self, symbol: str, end: int) -> tuple[float, float] | None:
        owner = self._owner(symbol)
        if owner.day_volumes is not None:
            return owner.day_volumes
        return await stored_day(self._history, symbol, list(owner.watch.rows), end)

    async def findings(self, symbol: str, start_ms: int, end_ms: int) -> list[Finding]:
        return [from_stored(event) for event in await self._history.events(symbol, start_ms, end_ms)]

    def revision(self, symbol: str) -> Hashable:
        history, owner = self._history, self._owner(symbol)
        newest = owner.watch.rows[-1].second if owner.watch.rows else None
        stored, filling = self._runtime.recorder.trades_stored[symbol], owner.filling
        read = self._clocks.is_known(symbol), self._pasts.is_whole(symbol)
        return history, owner, newest, stored, filling.filled, filling.is_exhausted, *read

    @property
    def _history(self) -> History:
        """Raises Refusal when there is none to read."""
        archive = self._runtime.archive
        if archive.history is None:
            raise no_history(archive.error)
        return archive.history

    def _owner(self, symbol: str) -> InstrumentOwner:
        """Raises Refusal: between two steps of a question its symbol can make room for another."""
        if (owner := self._runtime.market.symbols.get(symbol)) is None:
            raise Refusal(
                "syncing",
                f"{symbol} has just made room for another symbol.",
                "Ask again after the delay.",
                retry_after_secs=RETRY_SECS,
            )
        return owner
