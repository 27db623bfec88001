"""Questions to a venue that counts requests by address: a distance between them, and what became of each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final, TypeVar

from loguru import logger

from vibe_orderbook_mcp.model.errors import ExchangeUnavailable, RateLimited
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.process.pace import Repeats
from vibe_orderbook_mcp.process.web import WebAnswer, WebClient, source_of


class Spacing:
    """`wait` lets one request go every `secs`, in the order in which they came."""

    def __init__(self, secs: float) -> None:
        self._secs = secs
        self._free_at = float("-inf")

    @property
    def delay_secs(self) -> float:
        """How long a request would wait now."""
        return max(0.0, self._free_at - time.monotonic())

    def block(self, secs: float) -> None:
        """No request is sent for this time."""
        self._free_at = max(self._free_at, time.monotonic() + secs)

    async def wait(self) -> None:
        delay = self.delay_secs
        self._free_at = time.monotonic() + delay + self._secs
        if delay:
            await asyncio.sleep(delay)


LOOKUP_WAIT_SECS: Final = 3.0  # a client's look-up is refused rather than waiting longer for its turn
LIMITED_SECS: Final = 5.0  # no request for this time after a refusal because of their number
HTTP_OK, TOO_MANY = 200, 429

Failure = TypeVar("Failure", ExchangeUnavailable, RateLimited)


class SpacedClient:
    """`ask` raises ExchangeUnavailable or RateLimited, nothing else. A failure of its answer is for `fail`."""

    def __init__(self, base_url: str, *, timeout_secs: float, request_secs: float) -> None:
        self._web = WebClient(base_url, timeout_secs=timeout_secs)
        self._spacing = Spacing(request_secs)
        self._page_spacing = Spacing(2 * request_secs)  # older trades leave half of the requests to everything else
        self._said = Repeats()
        self.source: PriceSource | None = None  # None until the exchange has answered
        self.requests = 0
        self.failures: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()

    @property
    def weight_used(self) -> None:
        """Requests are counted one by one."""

    async def aclose(self) -> None:
        await self._web.aclose()

    async def ask(
        self, path: str, query: Mapping[str, str | int], *, is_lookup: bool = False, is_older: bool = False
    ) -> WebAnswer:
        """Whatever the exchange answers, unless it asks to wait."""
        if is_lookup and self._spacing.delay_secs > LOOKUP_WAIT_SECS:
            raise RateLimited(
                "The share of the exchange's request limit for look-ups is used up.",
                retry_after_secs=self._spacing.delay_secs,
            )
        if is_older:
            await self._page_spacing.wait()
        await self._spacing.wait()
        self.requests += 1
        try:
            answer = await self._web.get(path, query)
        except ExchangeUnavailable as error:
            raise self.fail(error) from error
        if answer.status == TOO_MANY:
            raise self.limited()
        if answer.status == HTTP_OK:
            self.source = source_of(answer.headers)
        return answer

    def fail(self, error: Failure) -> Failure:
        """The error, counted."""
        self.failures["no answer" if error.status is None else str(error.status)] += 1
        return error

    def limited(self) -> RateLimited:
        """The exchange asks to wait: no request is sent for a while."""
        self._spacing.block(LIMITED_SECS)
        text = f"The exchange asks to wait; trying again in {LIMITED_SECS:.0f} s."
        return self.fail(RateLimited(text, retry_after_secs=LIMITED_SECS, status=TOO_MANY))

    def refused(self, answer: WebAnswer, words: str) -> ExchangeUnavailable:
        """Its words are for the log: a refusal's text reaches clients."""
        logger.debug("The exchange refused a request: {}", words[:200])
        if answer.status == HTTP_OK:
            return self.fail(ExchangeUnavailable("The exchange refused the request."))
        text = f"The exchange answered HTTP {answer.status}."
        return self.fail(ExchangeUnavailable(text, status=answer.status))

    def note_skipped(self, rows: str, what: str, count: int) -> None:
        """Log once, and then once a minute: the same answer may be asked for again."""
        self.skipped[rows] += count
        if (more := self._said.more((rows, what), time.monotonic())) is not None:
            logger.warning("Skipped {} unreadable {} in an answer about {}{}", count, rows, what, more)
