"""The venues beside Binance spot: which ones there are, and the one market that all of them follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol

from starlette.routing import Route

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.catalog import PROFILES, profile_of
from vibe_orderbook_mcp.sim.dialects import binance_family, bybit, coinbase, deribit, hyperliquid, kraken, okx
from vibe_orderbook_mcp.sim.dialects.contract import (
    Dialect,
    Product,
)
from vibe_orderbook_mcp.sim.faults import LEAD_VENUE
from vibe_orderbook_mcp.sim.following import FreePrice, LeadPrice, PriceAt
from vibe_orderbook_mcp.sim.hub import Hub
from vibe_orderbook_mcp.sim.market_venue import ModelVenue
from vibe_orderbook_mcp.sim.scenarios import Scenario
from vibe_orderbook_mcp.sim.sockets import SimConnection, Speaker, Turned
from vibe_orderbook_mcp.sim.venue_market import MakeMarket, VenueMarket
from vibe_orderbook_mcp.sim.venue_rest import VenueRest
from vibe_orderbook_mcp.sim.venue_room import VenueRoom


class MakeDialect(Protocol):
    def __call__(self, products: Sequence[Product], /) -> Dialect: ...


# What each venue lists, and who words it.
DIALECTS: Final[Mapping[str, tuple[Sequence[Product], MakeDialect]]] = {
    "kraken": (kraken.PRODUCTS, kraken.KrakenDialect),
    "binance-usdm": (binance_family.USDM_PRODUCTS, partial(binance_family.BinanceFamily, "usdm")),
    "binance-coinm": (binance_family.COINM_PRODUCTS, partial(binance_family.BinanceFamily, "coinm")),
    "binance-us": (binance_family.US_PRODUCTS, partial(binance_family.BinanceFamily, "us")),
    "okx": (okx.PRODUCTS, okx.OkxDialect),
    "coinbase": (coinbase.PRODUCTS, coinbase.CoinbaseDialect),
    "bybit": (bybit.SPOT_PRODUCTS, partial(bybit.BybitDialect, "spot")),
    "bybit-linear": (bybit.LINEAR_PRODUCTS, partial(bybit.BybitDialect, "linear")),
    "hyperliquid": (hyperliquid.PRODUCTS, hyperliquid.HyperliquidDialect),
    "deribit": (deribit.PRODUCTS, deribit.DeribitDialect),
}

SIMULATED: Final = frozenset({LEAD_VENUE, *DIALECTS})


def sort_names(names: Iterable[str]) -> tuple[tuple[str, ...], dict[str, tuple[Product, ...]]]:
    """Symbols of Binance spot, and what each other venue is to list. Raises ConfigError for one that nobody lists."""
    spot: list[str] = []
    others: dict[str, list[Product]] = {}
    for name in dict.fromkeys(names):
        venue, colon, symbol = name.partition(":")
        if not colon or venue == LEAD_VENUE:
            spot.append(profile_of(symbol or venue).rules.symbol)
            continue
        if venue not in DIALECTS:
            known = ", ".join((LEAD_VENUE, *DIALECTS))
            raise ConfigError(f"The simulated exchange speaks for {known}; it does not know the venue of {name!r}.")
        products = DIALECTS[venue][0]
        found = next((product for product in products if _bare(product.symbol) == _bare(symbol)), None)
        if found is None:
            known = ", ".join(product.symbol for product in products)
            raise ConfigError(f"The simulated {venue} does not list {symbol!r}; it lists {known}.")
        others.setdefault(venue, []).append(found)
    if not spot:  # the markets that the named ones follow
        leads = [f"{product.asset}USDT" for products in others.values() for product in products]
        spot = list(dict.fromkeys(symbol for symbol in leads if symbol in PROFILES))
    return tuple(dict.fromkeys(spot)), {venue: tuple(products) for venue, products in others.items()}


def _bare(symbol: str) -> str:
    """In any case and with or without separators, as people write it."""
    return "".join(part for part in symbol.upper() if part.isalnum())


class Venues:
    """Their rooms. A venue costs nothing until somebody asks it for a market."""

    def __init__(
        self,
        lead: ModelVenue,
        hub: Hub,
        chosen: Mapping[str, Sequence[Product]],
        *,
        seed: int,
        hours: float,
        scenario: Scenario,
    ) -> None:
        self._lead = lead
        self._seed, self._hours, self._scenario = seed, hours, scenario
        self._prices: dict[str, PriceAt] = {}
        self.rooms = {
            venue: VenueRoom(dialect := make(chosen.get(venue, products)), self._maker(dialect), hub, lead.now_ms)
            for venue, (products, make) in DIALECTS.items()
        }
        lead.followers = self.advance

    def advance(self, to_ms: int) -> None:
        for room in self.rooms.values():
            room.advance(to_ms)

    def routes(self) -> list[Route]:
        return [
            Route(f"/{venue}/{{path:path}}", VenueRest(room).answer, methods=["GET", "POST"])
            for venue, room in self.rooms.items()
        ]

    def speaker(self, connection: SimConnection, path: str, query: str) -> Speaker | Turned:
        """For a path that begins with a venue's name."""
        venue, _, rest = path.removeprefix("/").partition("/")
        room = self.rooms.get(venue)
        if room is None:
            return Turned(HTTPStatus.NOT_FOUND, "Not Found\n")
        return room.speaker(connection, f"/{rest}", query)

    def market(self, name: str) -> VenueMarket:
        """By its full name. Raises ConfigError where there is none."""
        venue, _, symbol = name.partition(":")
        if venue not in self.rooms:
            raise ConfigError(f"The simulated exchange does not list {name!r}.")
        return self.rooms[venue].market(symbol)

    def markets(self) -> list[VenueMarket]:
        """Those that there are."""
        return [market for room in self.rooms.values() for market in room.markets.values()]

    def _maker(self, dialect: Dialect) -> MakeMarket:
        def make(product: Product) -> VenueMarket:
            return VenueMarket(
                product,
                self._price_of(product.asset),
                seed=self._seed,
                start_ms=self._lead.now_ms(),
                hours=self._hours,
                event_ms=dialect.event_ms,
                scenario=self._scenario,
            )

        return make

    def _price_of(self, asset: str) -> PriceAt:
        """All venues follow the same one."""
        if asset not in self._prices:
            model = self._lead.model(f"{asset}USDT")
            self._prices[asset] = (
                FreePrice(asset, seed=self._seed, start_ms=self._lead.now_ms()).at
                if model is None
                else LeadPrice(model).at
            )
        return self._prices[asset]
