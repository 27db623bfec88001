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
from vibe_orderbook_mcp.process.pace import Repeats
from vibe_orderbook_mcp.process.spacing import Spacing
from vibe_orderbook_mcp.process.web import TIMEOUT_SECS, WebAnswer, WebClient, source_of
from vibe_orderbook_mcp.venues.kraken import messages
from vibe_orderbook_mcp.venues.kraken.messages import PagedTrade, WirePair

REQUEST_SECS: Final = 1.0  # public requests are counted by address; one a second is always within the limit
LOOKUP_WAIT_SECS: Final = 3.0  # a client's look-up is refused rather than waiting longer for its turn
LIMITED_SECS: Final = 5.0
PAIRS_SECS: Final = 60.0  # the list of pairs is believed for so long
PAGE_TRADES: Final = 1000
MOST_PAGES: Final = 12  # to find an id by time
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
        for back in range(MOST_PAGES):
            page = await self._page(pair, known.since_ns(from_id, back))
            known.learn(page)
            if not page:
                continue  # so late that nothing came since
            if page[0].trade.agg_id <= from_id <= page[-1].trade.agg_id or page[0].trade.agg_id == 1:
                return [row.trade for row in page if row.trade.agg_id >= from_id]
            if (before := known.neighbours(from_id)) is not None and before[1] == before[0] + 1:
                return []  # the ids on both sides of it are known, and it is none
        raise ExchangeUnavailable("The exchange's trades of that time could not be found.")

    async def _page(self, pair: WirePair, since_ns: int | None) -> list[PagedTrade]:
        query: dict[str, str | int] = {"pair": pair.altname, "count": PAGE_TRADES}
        if since_ns is not None:
            query["since"] = str(max(0, since_ns))
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

    def neighbours(self, agg_id: int) -> tuple[int, int] | None:
        """The known ids before and after this one."""
        place = bisect_left(self._points, (agg_id, 0))
        if not 0 < place < len(self._points):
            return None
        return self._points[place - 1][0], self._points[place][0]

    def since_ns(self, agg_id: int, tries: int) -> int:
        """A time just before that id's, as good as it is known; each further try looks from further back."""
        points = self._points
        place = bisect_left(points, (agg_id, 0))
        if place < len(points) and points[place][0] == agg_id:
            return points[place][1] - 1
        (first_id, first_ns), (last_id, last_ns) = (
            (points[0], points[-1]) if place in (0, len(points)) else (points[place - 1], points[place])
        )
        ns_an_id = max(1.0, (last_ns - first_ns) / max(1, last_id - first_id))
        if place == 0:  # older than everything known: far enough back that the page may begin before it
            return int(first_ns - (first_id - agg_id + PAGE_TRADES // 4) * ns_an_id * 1.2**tries)
        if agg_id - first_id < PAGE_TRADES:
            return first_ns - 1  # on the page that begins with the known one
        guess = first_ns + (agg_id - first_id - PAGE_TRADES // 2) * ns_an_id
        return int(max(first_ns - 1, guess))
