"""Binance's public REST endpoints, within their weights."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypeVar

import httpx
from loguru import logger

from vibe_orderbook_mcp.model.errors import ExchangeUnavailable, RateLimited, SymbolUnknown
from vibe_orderbook_mcp.model.events import DepthSnapshot, Trade
from vibe_orderbook_mcp.model.listed import Listing, PriceSource
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.process.pace import Repeats
from vibe_orderbook_mcp.process.web import ANSWER_SECS, TIMEOUT_SECS, WebAnswer, WebClient, source_of
from vibe_orderbook_mcp.venues.binance import messages
from vibe_orderbook_mcp.venues.binance.refusals import parse_reply, wait_secs
from vibe_orderbook_mcp.venues.binance.weights import (
    GLANCES,
    LOOKUPS,
    OLDER_PAGES,
    PAGES,
    SPOT,
    Family,
    Lane,
    WeightBudget,
)

DEPTH_SHARE = 0.5  # while more of the minute's weight is used (many resyncs), snapshots have fewer levels
AGG_TRADES_LIMIT = 1000
# A page of trades has 0.1 MB. A task that waits for a lost page is not ready when the exchange answers again.
PAGE_SECS = 5.0
INVALID_SYMBOL_CODES = (-1121, -1100, -1220)
T = TypeVar("T")


class BinanceRest:
    """One client for all requests: it knows the used weight and the time until which requests are forbidden.

    Every method raises ExchangeUnavailable, RateLimited or SymbolUnknown, nothing else.
    """

    def __init__(
        self,
        base_url: str,
        *,
        family: Family = SPOT,
        budget: WeightBudget | None = None,
        timeout_secs: float = TIMEOUT_SECS,
    ) -> None:
        self._family = family
        # Pages of trades have separate connections, so that a snapshot always gets one.
        self._web, self._page_web = (WebClient(base_url, timeout_secs=timeout_secs) for _ in range(2))
        self.budget = budget or WeightBudget(family.weight_limit)
        self.source: PriceSource | None = None  # None until the exchange has answered
        self.requests = 0
        self.failures: Counter[str] = Counter()  # by HTTP status; "no answer" if none came or could be read
        self.skipped: Counter[str] = Counter()  # rows of answers that could not be read: levels, symbols, trades
        self._said = Repeats()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def weight_used(self) -> int:
        """Of this minute."""
        return self.budget.used

    async def aclose(self) -> None:
        await self._web.aclose()
        await self._page_web.aclose()

    def affordable_depth(self) -> int:
        """Levels a side for a snapshot now: all, unless that would use up the minute's weight."""
        family, now = self._family, time.monotonic()
        is_dear = self.budget.delay(family.depth_weight(family.most_depth), now, share=DEPTH_SHARE) > 0
        return family.short_depth if is_dear else family.most_depth

    async def depth(self, symbol: str, limit: int | None = None) -> DepthSnapshot:
        levels = self._family.most_depth if limit is None else limit
        parse = partial(messages.parse_snapshot, skipped=partial(self._note_skipped, "levels", symbol))
        return await self._get(parse, "depth", self._family.depth_weight(levels), symbol, limit=levels)

    async def glance(self, symbol: str) -> DepthSnapshot:
        """Only the best levels, for little weight. Raises RateLimited at once while much of the weight is used up."""
        levels = self._family.glance_levels
        weight = self._family.depth_weight(levels)
        if (delay := self.budget.delay(weight, time.monotonic(), lane=GLANCES)) > 0:
            raise RateLimited("The share of the exchange's request limit for this is used up.", retry_after_secs=delay)
        return await self._get(messages.parse_snapshot, "depth", weight, symbol, lane=GLANCES, limit=levels)

    async def symbol(self, symbol: str, *, is_lookup: bool = False) -> SymbolSpec:
        """`is_lookup`: for a client's question. Then it has a small share of the weight and does not wait for it."""
        parse = partial(messages.parse_symbol, symbol=symbol)
        spec = await self._get(
            parse, "exchangeInfo", self._family.info_weight, symbol, lane=LOOKUPS if is_lookup else None
        )
        if spec is None:
            raise SymbolUnknown(symbol)
        return spec

    async def all_symbols(self) -> Listing:
        """The exchange's whole list, as a client's look-up. Unreadable entries are left out."""
        try:  # without account rules, which are not needed here, the list is much shorter
            raw = await self._get(
                bytes, "exchangeInfo", self._family.info_weight, lane=LOOKUPS, showPermissionSets="false"
            )
        except ExchangeUnavailable as error:
            if error.status != httpx.codes.BAD_REQUEST:
                raise
            raw = await self._info(bytes, lane=LOOKUPS)
        read_secs, skipped = time.monotonic(), list[int]()
        try:  # thousands of entries: on a thread, books do not wait for it
            listing = await asyncio.to_thread(
                lambda: Listing(messages.parse_listing(raw, skipped.append), read_secs=read_secs)
            )
        except ExchangeUnavailable:
            self.failures["no answer"] += 1
            raise
        if skipped:
            self._note_skipped("symbols", "the exchange's list", sum(skipped))
        return listing

    async def listing(self, symbol: str) -> tuple[str, SymbolSpec]:
        """The exchange's present description of the symbol, and its status: TRADING, HALT, BREAK and others.

        Waits while half of the weight is used up.
        """

        def parse(raw: bytes) -> tuple[str | None, SymbolSpec | None]:
            return messages.parse_trading_status(raw, symbol), messages.parse_symbol(raw, symbol)

        status, spec = await self._info(parse, symbol, share=0.5)
        if status is None or spec is None:
            raise SymbolUnknown(symbol)
        return status, spec

    async def server_time_ms(self) -> int:
        """The exchange's clock."""
        return await self._get(messages.parse_time, "time", 1)

    async def agg_trades(
        self, symbol: str, from_id: int | None, *, is_older: bool = False, limit: int = AGG_TRADES_LIMIT
    ) -> list[Trade]:
        """Up to `limit` trades from `from_id` on, or the newest. Books come first.

        `is_older`: what such pages may use up, and however long they wait, what is missing since a moment ago has a
        share of its own.
        """
        query: dict[str, Any] = {"limit": limit} if from_id is None else {"limit": limit, "fromId": from_id}
        parse = partial(messages.parse_trades, skipped=partial(self._note_skipped, "trades", symbol))
        return await self._get(
            parse, "aggTrades", self._family.trades_weight, symbol, lane=OLDER_PAGES if is_older else PAGES, **query
        )

    async def _info(self, parse: Callable[[bytes], T], symbol: str | None = None, **options: Any) -> T:
        """`exchangeInfo` of one symbol, or of all."""
        return await self._get(parse, "exchangeInfo", self._family.info_weight, symbol, **options)

    async def _get(
        self,
        parse: Callable[[bytes], T],
        path: str,
        weight: int,
        symbol: str | None = None,
        *,
        share: float = 1.0,
        lane: Lane | None = None,
        **query: str | int,
    ) -> T:
        if lane is LOOKUPS and (delay := self.budget.delay(weight, time.monotonic(), lane=lane)) > 0:
            raise RateLimited(
                "The share of the exchange's request limit for look-ups is used up.", retry_after_secs=delay
            )
        while (delay := self.budget.delay(weight, time.monotonic(), share=share, lane=lane)) > 0:
            if delay > TIMEOUT_SECS and share == 1.0 and lane is None:
                raise RateLimited("The exchange's request limit is used up.", retry_after_secs=delay)
            await asyncio.sleep(delay)
        self.budget.spend(weight, time.monotonic(), lane=lane)
        self.requests += 1
        try:
            return parse(await self._fetch(f"{self._family.path}/{path}", symbol, query, lane))
        except (ExchangeUnavailable, RateLimited) as error:
            self.failures["no answer" if error.status is None else str(error.status)] += 1
            raise

    def _note_skipped(self, rows: str, what: str, count: int) -> None:
        """Log once, and then once a minute, because the same request may be repeated."""
        self.skipped[rows] += count
        if (more := self._said.more((rows, what), time.monotonic())) is not None:
            logger.warning("Skipped {} unreadable {} in an answer about {}{}", count, rows, what, more)

    async def _fetch(self, path: str, symbol: str | None, query: dict[str, str | int], lane: Lane | None) -> bytes:
        web, answer_secs = (self._page_web, PAGE_SECS) if lane in (PAGES, OLDER_PAGES) else (self._web, ANSWER_SECS)
        parameters: dict[str, str | int] = {**query} if symbol is None else {"symbol": symbol, **query}
        answer = await web.get(path, parameters, answer_secs=answer_secs)
        used = answer.headers.get("X-MBX-USED-WEIGHT-1M", "")
        if used.isdigit():
            self.budget.observe(int(used), time.monotonic())
        if answer.status == httpx.codes.OK:
            self.source = source_of(answer.headers)
            return answer.body
        raise self._refused(answer, symbol)

    def _refused(self, answer: WebAnswer, symbol: str | None) -> Exception:
        status, reply = answer.status, parse_reply(answer.body)
        if (wait := wait_secs(status, answer.headers, reply, time.time())) is not None:
            self.budget.block(wait, time.monotonic())
            return RateLimited(
                f"The exchange demands a pause of {wait:.0f} s (HTTP {status}).", retry_after_secs=wait, status=status
            )
        if status == httpx.codes.UNAVAILABLE_FOR_LEGAL_REASONS:
            return ExchangeUnavailable(
                "The exchange refuses this location (HTTP 451). Set VIBE_REST_URL and VIBE_WS_URL to a base that "
                "serves it, for example https://api.binance.us with wss://stream.binance.us:9443.",
                status=status,
            )
        if symbol is not None and status == httpx.codes.BAD_REQUEST and reply.code in INVALID_SYMBOL_CODES:
            return SymbolUnknown(symbol)
        return ExchangeUnavailable(f"The exchange answered HTTP {status}.", status=status)
