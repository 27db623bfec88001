"""The process-wide resources: one market, one feed a venue, one recorder, one archive, however many clients.

The SDK enters a server's lifespan once per SSE connection and never before the first client. So
users of the resources are counted: the first one starts them, the last one stops them. The HTTP app uses them for its
whole life.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from loguru import logger

from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.exchanges import Exchanges
from vibe_orderbook_mcp.collect.places import Places
from vibe_orderbook_mcp.collect.recorder import Recorder
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.process import outbound
from vibe_orderbook_mcp.process.config import Settings
from vibe_orderbook_mcp.venues.contract import Rest

STEP_SECS = 2.0  # time for each part to close; the whole stop must fit into 5 s


class Runtime:
    """Nothing is opened before `start`; `stop` closes in reverse order and may be called twice."""

    def __init__(self, settings: Settings, market: Market | None = None, *, rest: Rest | None = None) -> None:
        """Raises ConfigError if the environment names a proxy or certificates that cannot be used."""
        outbound.check(*filter(None, (settings.oauth_jwks_url,)))
        self.settings = settings
        self.market = market or Market()
        self.archive = Archive(
            settings.data_path, cap_mb=settings.storage_cap_mb, retention_days=settings.retention_days
        )
        self.recorder = Recorder(self.market, self.archive)
        self.exchanges = Exchanges(settings, self.market, self.archive, rest=rest)
        self.places = Places(settings.max_symbols, settings.symbols)
        self.forgetters: list[Callable[[str], None]] = []  # called with a dropped symbol
        self.sessions: Counter[str] = Counter()
        self._presumed: PriceSource | None = None
        self._holders = 0
        self._starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None

    @property
    def source(self) -> PriceSource | None:
        """The origin of the prices; None until an exchange has answered."""
        return self.exchanges.source or self._presumed

    def presume(self, source: PriceSource | None) -> None:
        """What is known of it before an exchange has answered."""
        self._presumed = source

    @contextlib.asynccontextmanager
    async def hold(self) -> AsyncIterator[Runtime]:
        """The first user starts everything, the last one stops it."""
        self._holders += 1
        try:
            await self.start()
            yield self
        finally:
            self._holders -= 1
            if self._holders == 0:
                await self.stop()

    async def start(self) -> None:
        """Plain tasks, no task group: a group would belong to the first user."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def stop(self) -> None:
        if self._starting is None:
            return
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        await asyncio.shield(self._stopping)

    def make_room(self, symbol: str) -> None:
        """A place for a symbol of a client, before it is subscribed. Raises NoRoom."""
        leaving = self.places.take(symbol, self.exchanges.wanted, time.monotonic())
        if leaving is not None and (owner := self.market.symbols.get(leaving)) is not None:
            logger.bind(symbol=leaving).info(
                "{} was dropped, since its last question is the oldest and {} needs a place",
                *(leaving, symbol),
            )
            self.recorder.forget(owner)
            exchange = self.exchanges.of(leaving)
            exchange.filler.forget(leaving)
            exchange.feed.drop(leaving)
            for forget in self.forgetters:
                forget(leaving)

    @contextlib.contextmanager
    def session(self, transport: str) -> Iterator[None]:
        """Count a client session during its life."""
        self.sessions[transport] += 1
        try:
            yield
        finally:
            self.sessions[transport] -= 1

    async def _start(self) -> None:
        kept_in = "compiled code" if self.market.is_compiled else "plain Python: slower, same results"
        logger.info("Books are kept in {}", kept_in)
        # A hanging disk must not delay the books: the recorder queues until the archive is open.
        self._keeping = asyncio.create_task(self.archive.run())
        for symbol in self.settings.symbols:
            self.exchanges.feed(symbol).keep(symbol)
        self.recorder.start(len(self.settings.symbols))
        self.exchanges.start()

    async def _stop(self) -> None:
        self.exchanges.stop_filling()
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            *self.exchanges.closing(),
            ("recorder", self.recorder.stop),
            *self.exchanges.closing_clients(),
            ("history", self._close_archive),
        ]
        for name, close in steps:
            try:
                await asyncio.wait_for(close(), STEP_SECS)
            except TimeoutError:
                logger.error("Closing the {} took longer than {} s; not waiting for it", name, STEP_SECS)
            except Exception as error:
                logger.opt(exception=error).error("Closing the {} failed", name)

    async def _close_archive(self) -> None:
        """The last step, since the recorder's last seconds may wait for an opening history."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        await self.archive.close()
