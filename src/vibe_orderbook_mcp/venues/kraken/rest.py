"""Kraken's public REST endpoints."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections import Counter
from typing import Final

from loguru import logger

from vibe_orderbook_mcp.model.errors import ExchangeUnavailable, RateLimited, SymbolUnknown
from vibe_orderbook_mcp.model.events import Trade
from vibe_orderbook_mcp.model.listed import Listing, PriceSource
from vibe_orderbook_mcp.model.symbol import SymbolSpec
from vibe_orderbook_mcp.process.asking import Spacing
from vibe_orderbook_mcp.process.pace import Repeats
from vibe_orderbook_mcp.process.web import TIMEOUT_SECS, WebAnswer, WebClient, source_of
from vibe_orderbook_mcp.venues.kraken import messages
from vibe_orderbook_mcp.venues.kraken.messages import PagedTrade, WirePair

REQUEST_SECS: Final = 1.0  # public requests are counted by address; one a second is always within the limit
LOOKUP_WAIT_SECS: Final = 3.0  # a client's look-up is refused rather than waiting longer for its turn
LIMITED_SECS: Final = 5.0
PAIRS_SECS: Final = 60.0  # how long the list of pairs stays valid
PAGE_TRADES: Final = 1000
MOST_PAGES: Final = 12  # to find an id by time
TIME_ERROR_NS: Final = 1_000  # times are printed with less digits than they are paged by
HTTP_OK, HTTP_TOO_MANY = 200, 429


class KrakenRest:
    """See `venues.contract.Rest`. Methods raise ExchangeUnavailable, RateLimited or SymbolUnknown, nothing else."""

    def __init__(
        self, base_url: str, *, timeout_secs: float = TIMEOUT_SECS, request_secs: float = REQUEST_SECS
    ) -> None:
        self._web = WebClient(base_url, timeout_secs=timeout_secs)
        self._spacing = Spacing(request_secs)
        self._page_spacing = Spacing(2 * request_secs)  # older trades leave half of the requests to everything else
        self._pairs: dict[str, WirePair] = {}
        self._pairs_read = float("-inf")
        self._known: dict[str, _KnownIds] = {}
        self._said = Repeats()
        self.source: PriceSource | None = None  # None until the exchange has answered
        self.requests = 0
        self.failures: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    @property
    def weight_used(self) -> None:
        """Requests keep a distance here."""

    async def aclose(self) -> None:
        await self._web.aclose()

    async def symbol(self, symbol: str, *, is_lookup: bool = False) -> SymbolSpec:
        return (await self._pair(symbol, is_lookup=is_lookup)).spec()

    async def listing(self, symbol: str) -> tuple[str, SymbolSpec]:
        pair = await self._pair(symbol)
        return pair.status_word, pair.spec()

    async def all_symbols(self) -> Listing:
        await self._read_pairs(is_lookup=True)
        entries = [listed for pair in self._pairs.values() if (listed := pair.listed()) is not None]
        return Listing(entries, read_secs=self._pairs_read)

    async def server_time_ms(self) -> int:
        return messages.parse_time(await self._get("Time"))

    async def agg_trades(self, symbol: str, from_id: int | None, *, is_older: bool = False) -> list[Trade]:
        """Pages go by time. What is known of ids and times says where to look."""
        if is_older:
            await self._page_spacing.wait()
        pair = await self._pair(symbol)
        known = self._known.setdefault(symbol, _KnownIds())
        if from_id is None or not known:
            newest = await self._page(pair, None)
            known.learn(newest)
            if from_id is None or not newest or newest[0].trade.agg_id <= from_id:
                return [row.trade for row in newest if from_id is None or row.trade.agg_id >= from_id]
        return await self._find(pair, known, from_id)

    async def _find(self, pair: WirePair, known: _KnownIds, from_id: int) -> list[Trade]:
        """The page that `from_id` is in, or that begins behind it where the exchange has no such trade."""
        search = _Search(from_id, known)
        for _ in range(MOST_PAGES):
            page = await self._page(pair, since_ns := search.since_ns())
            known.learn(page)
            first, last = (page[0].trade.agg_id, page[-1].trade.agg_id) if page else (None, None)
            if first is None or last is None:
                search.is_before(since_ns)
            elif first <= from_id <= last or (from_id < first and search.is_exact(since_ns)):
                return await self._whole_page(pair, known, [row for row in page if row.trade.agg_id >= from_id])
            elif from_id < first:
                search.is_before(since_ns, first)
            else:
                search.is_after(page[-1].time_ns, last)
        raise ExchangeUnavailable("The exchange's trades of that time could not be found.")

    async def _whole_page(self, pair: WirePair, known: _KnownIds, begun: list[PagedTrade]) -> list[Trade]:
        """A page was found by time: what it lacks at its end is on the next one."""
        known.learn(begun)
        found = {row.trade.agg_id: row.trade for row in begun}
        if len(begun) < PAGE_TRADES:
            page = await self._page(pair, begun[-1].time_ns - TIME_ERROR_NS)
            known.learn(page)
            found |= {row.trade.agg_id: row.trade for row in page}
        return [found[agg_id] for agg_id in sorted(found) if agg_id >= begun[0].trade.agg_id][:PAGE_TRADES]

    async def _page(self, pair: WirePair, since_ns: int | None) -> list[PagedTrade]:
        query: dict[str, str | int] = {"pair": pair.altname, "count": PAGE_TRADES}
        if since_ns is not None:
            query["since"] = str(since_ns)
        page, skipped = messages.parse_page(await self._get("Trades", query))
        if skipped:
            self._note_skipped("trades", pair.symbol, skipped)
        return page

    async def _pair(self, symbol: str, *, is_lookup: bool = False) -> WirePair:
        if symbol not in self._pairs or time.monotonic() - self._pairs_read > PAIRS_SECS:
            await self._read_pairs(is_lookup=is_lookup)
        if (pair := self._pairs.get(symbol)) is None:
            raise SymbolUnknown(symbol)
        return pair

    async def _read_pairs(self, *, is_lookup: bool = False) -> None:
        """The whole list: a name that is in it under another spelling is found as well."""
        if is_lookup and self._spacing.delay_secs > LOOKUP_WAIT_SECS:
            raise RateLimited(
                "The share of the exchange's request limit for look-ups is used up.",
                retry_after_secs=self._spacing.delay_secs,
            )
        found, skipped = messages.parse_pairs(await self._get("AssetPairs"))
        if skipped:
            self._note_skipped("symbols", "the exchange's list", skipped)
        self._pairs = {pair.symbol: pair for pair in found}
        self._pairs_read = time.monotonic()

    async def _get(self, name: str, query: dict[str, str | int] | None = None) -> bytes:
        await self._spacing.wait()
        self.requests += 1
        try:
            return self._read(await self._web.get(f"/0/public/{name}", query))
        except (ExchangeUnavailable, RateLimited) as error:
            self.failures["no answer" if error.status is None else str(error.status)] += 1
            raise

    def _read(self, answer: WebAnswer) -> bytes:
        if answer.status == HTTP_TOO_MANY:
            raise self._limited()
        if answer.status != HTTP_OK:
            raise ExchangeUnavailable(f"The exchange answered HTTP {answer.status}.", status=answer.status)
        errors, result = messages.parse_answer(answer.body)
        if errors:
            raise self._refused(errors)
        self.source = source_of(answer.headers)
        return result

    def _refused(self, errors: list[str]) -> ExchangeUnavailable | RateLimited:
        """Its words are for the log: a refusal's text reaches clients."""
        logger.debug("The exchange refused a request: {}", str(errors)[:200])
        if any("Too many requests" in error or "Rate limit" in error for error in errors):
            return self._limited()
        return ExchangeUnavailable("The exchange refused the request.")

    def _limited(self) -> RateLimited:
        self._spacing.block(LIMITED_SECS)
        return RateLimited(
            f"The exchange asks to wait; trying again in {LIMITED_SECS:.0f} s.", retry_after_secs=LIMITED_SECS
        )

    def _note_skipped(self, rows: str, what: str, count: int) -> None:
        """Once, and then once a minute: the same answer may be asked for again."""
        self.skipped[rows] += count
        if (more := self._said.more((rows, what), time.monotonic())) is not None:
            logger.warning("Skipped {} unreadable {} in an answer about {}{}", count, rows, what, more)


class _KnownIds:
    """Ids of trades of one pair, and when they were. Pages go by time, holes by id."""

    def __init__(self) -> None:
        self._points: list[tuple[int, int]] = []  # (id, ns), ascending

    def __bool__(self) -> bool:
        return bool(self._points)

    def learn(self, page: list[PagedTrade]) -> None:
        """The ends of a page are enough: what lies between them is on it."""
        for row in page[:1] + page[-1:]:
            point = (row.trade.agg_id, row.time_ns)
            place = bisect_left(self._points, point)
            if place == len(self._points) or self._points[place] != point:
                insort(self._points, point)

    def around(self, agg_id: int) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """The known trades with that id or the next lower one, and with the next higher one."""
        place = bisect_left(self._points, (agg_id + 1, 0))
        low = self._points[place - 1] if place else None
        return low, self._points[place] if place < len(self._points) else None

    @property
    def ns_an_id(self) -> float:
        """From one trade to the next, of all that is known."""
        (first_id, first_ns), (last_id, last_ns) = self._points[0], self._points[-1]
        return max(1.0, (last_ns - first_ns) / max(1, last_id - first_id))


class _Search:
    """When a trade was, between what is known to be before it and what is not: closer with each page."""

    def __init__(self, agg_id: int, known: _KnownIds) -> None:
        self._agg_id = agg_id
        self._low, high = known.around(agg_id)
        self._high_id: int | None = None if high is None else high[0]
        self._high_ns: int | None = None if high is None else high[1]
        self._step_ns = known.ns_an_id
        self._tries = 0

    def since_ns(self) -> int:
        """From when on to ask next."""
        self._tries += 1
        if self._low is not None and self._agg_id - self._low[0] < PAGE_TRADES:
            return self._low[1] - TIME_ERROR_NS  # on the page that begins with the known one
        if self._low is None:
            behind = (self._high_id or self._agg_id) - self._agg_id + PAGE_TRADES // 4
            return max(0, int((self._high_ns or 0) - behind * self._step_ns * 1.5**self._tries))
        (low_id, low_ns), high_ns, high_id = self._low, self._high_ns, self._high_id
        if high_ns is None or high_id is None:
            return int(low_ns + (self._agg_id - low_id - PAGE_TRADES // 2) * self._step_ns)
        if self._tries % 2 == 0:  # hours without a trade may lie between: halve the time
            return (low_ns + high_ns) // 2
        share = (self._agg_id - low_id - PAGE_TRADES // 2) / max(1, high_id - low_id)
        return int(low_ns + max(0.0, share) * (high_ns - low_ns))

    def is_exact(self, since_ns: int) -> bool:
        """Whether a page since then begins with the trade, or with the first one behind it: there is none before."""
        return since_ns == 0 or (self._low is not None and since_ns == self._low[1] - TIME_ERROR_NS)

    def is_before(self, since_ns: int, first_id: int | None = None) -> None:
        """It was not after that: the page since then begins with a higher id, or has nothing."""
        self._high_ns, self._high_id = since_ns, self._high_id if first_id is None else first_id

    def is_after(self, time_ns: int, agg_id: int) -> None:
        """A trade of then has a lower id."""
        self._low = agg_id, time_ns
