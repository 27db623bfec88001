"""The venues of this process: each with its feed and the filling of its trades, made with its first instrument.

A venue that nobody wants an instrument of is not imported, opens nothing and starts no task.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import NamedTuple

from vibe_orderbook_mcp.collect.adapters import ADAPTERS, Adapter
from vibe_orderbook_mcp.collect.archive import Archive
from vibe_orderbook_mcp.collect.filler import Filler
from vibe_orderbook_mcp.market.market import Market
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE, Instrument
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.model.wire import Malformation
from vibe_orderbook_mcp.process import outbound
from vibe_orderbook_mcp.process.addresses import Addresses
from vibe_orderbook_mcp.process.config import Settings
from vibe_orderbook_mcp.venues.contract import Rest
from vibe_orderbook_mcp.venues.feed import Feed


class Exchange(NamedTuple):
    """One venue at work."""

    venue: str
    adapter: Adapter
    feed: Feed
    filler: Filler

    @property
    def rest(self) -> Rest:
        return self.adapter.rest


class Exchanges:
    """Iterating goes over those that are in use."""

    def __init__(self, settings: Settings, market: Market, archive: Archive, *, rest: Rest | None = None) -> None:
        """`rest`: what answers for the default venue, instead of a client of its own.

        Raises ConfigError if the environment names a proxy or certificates that cannot be used for an eager instrument.
        """
        self._settings = settings
        self._market = market
        self._archive = archive
        self._default_rest = rest
        self._exchanges: dict[str, Exchange] = {}
        self._filling: dict[str, asyncio.Task[None]] = {}
        self._is_running = False
        for venue in dict.fromkeys(Instrument.of(name).venue for name in settings.symbols):
            self.of_venue(venue)

    def __iter__(self) -> Iterator[Exchange]:
        return iter(list(self._exchanges.values()))

    def of(self, name: str) -> Exchange:
        """The venue of this instrument. Raises ConfigError as the constructor does."""
        return self.of_venue(Instrument.of(name).venue)

    def feed(self, name: str) -> Feed:
        """Of this instrument."""
        return self.of(name).feed

    def name(self, written: str) -> str:
        """An eager instrument's name as its venue spells it, or as the operator wrote it before that is known."""
        return self.feed(written).found.get(written, written)

    def start(self) -> None:
        """Trades are filled from now on, also of venues that are made later."""
        self._is_running = True
        for exchange in self:
            self._fill(exchange)

    def stop_filling(self) -> None:
        self._is_running = False
        for task in self._filling.values():
            task.cancel()

    def closing(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """What has to be closed before the recorder, by name."""
        return [(f"feed of {each.venue}", each.feed.aclose) for each in self]

    def closing_clients(self) -> list[tuple[str, Callable[[], Awaitable[None]]]]:
        """What has to be closed behind it."""
        return [(f"exchange client of {each.venue}", each.rest.aclose) for each in self]

    # --- all of them together --------------------------------------------------------------------------------

    @property
    def source(self) -> PriceSource | None:
        """The origin of the prices; None until an exchange has answered. One that is not live says so for all."""
        found = [each.rest.source for each in self if each.rest.source is not None]
        return next((source for source in found if source != "live"), found[0] if found else None)

    @property
    def wanted(self) -> set[str]:
        """Instruments that are subscribed, being subscribed, or eager and still missing."""
        return set().union(*(each.feed.wanted for each in self))

    @property
    def failed(self) -> dict[str, str]:
        """Eager instruments that could not be subscribed yet, and why."""
        return {name: why for each in self for name, why in each.feed.failed.items()}

    @property
    def is_connected(self) -> bool:
        """Every connection of every venue in use is open."""
        return bool(self._exchanges) and all(each.feed.is_connected for each in self)

    @property
    def reconnects(self) -> int:
        return sum(each.feed.reconnects for each in self)

    @property
    def replacements(self) -> int:
        """Connections that were changed, make before break."""
        return sum(each.feed.replacements for each in self)

    @property
    def malformed_frames(self) -> Counter[Malformation]:
        return sum((each.feed.malformed_frames for each in self), Counter())

    def of_venue(self, venue: str) -> Exchange:
        """Raises ConfigError as the constructor does."""
        exchange = self._exchanges.get(venue)
        if exchange is None:
            exchange = self._exchanges[venue] = self._made(venue, self._settings.addresses(venue))
            if self._is_running:
                self._fill(exchange)
        return exchange

    def _made(self, venue: str, addresses: Addresses) -> Exchange:
        outbound.check(*addresses)
        adapter = ADAPTERS[venue](addresses.rest_url)
        if venue == DEFAULT_VENUE and self._default_rest is not None:
            adapter = adapter._replace(rest=self._default_rest)
        feed = Feed(self._market, adapter.venue, adapter.rest, addresses.ws_url)
        filler = Filler(
            self._market,
            self._archive,
            adapter.rest,
            venue=venue,
            trades_a_page=adapter.venue.traits.trades_a_page,
            backfill_hours=self._settings.backfill_hours,
        )
        return Exchange(venue, adapter, feed, filler)

    def _fill(self, exchange: Exchange) -> None:
        if exchange.venue not in self._filling and exchange.adapter.venue.traits.trades_a_page:
            self._filling[exchange.venue] = asyncio.create_task(exchange.filler.run())
