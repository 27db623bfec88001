"""What the feed needs of each venue. A venue's own code is imported when its first instrument is wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from vibe_orderbook_mcp.venues.contract import Rest, Venue


class Adapter(NamedTuple):
    venue: Venue
    rest: Rest


def _binance(rest_url: str) -> Adapter:
    from vibe_orderbook_mcp.venues.binance.rest import BinanceRest  # noqa: PLC0415  # see above
    from vibe_orderbook_mcp.venues.binance.wire import BinanceSpot  # noqa: PLC0415

    return Adapter(BinanceSpot(), BinanceRest(rest_url))


def _binance_us(rest_url: str) -> Adapter:
    from vibe_orderbook_mcp.venues.binance.rest import BinanceRest  # noqa: PLC0415
    from vibe_orderbook_mcp.venues.binance.weights import US  # noqa: PLC0415
    from vibe_orderbook_mcp.venues.binance.wire import US_TRAITS, BinanceSpot  # noqa: PLC0415

    return Adapter(BinanceSpot(US_TRAITS), BinanceRest(rest_url, family=US))


def _binance_usdm(rest_url: str) -> Adapter:
    from vibe_orderbook_mcp.venues.binance.futures import BinanceUsdm  # noqa: PLC0415
    from vibe_orderbook_mcp.venues.binance.rest import BinanceRest  # noqa: PLC0415
    from vibe_orderbook_mcp.venues.binance.weights import USDM  # noqa: PLC0415

    return Adapter(BinanceUsdm(), BinanceRest(rest_url, family=USDM))


def _kraken(rest_url: str) -> Adapter:
    from vibe_orderbook_mcp.venues.kraken.rest import KrakenRest  # noqa: PLC0415
    from vibe_orderbook_mcp.venues.kraken.wire import Kraken  # noqa: PLC0415

    return Adapter(Kraken(), KrakenRest(rest_url))


def _okx(rest_url: str) -> Adapter:
    from vibe_orderbook_mcp.venues.okx.rest import OkxRest  # noqa: PLC0415
    from vibe_orderbook_mcp.venues.okx.wire import Okx  # noqa: PLC0415

    return Adapter(Okx(), OkxRest(rest_url))


def _bybit(rest_url: str) -> Adapter:
    from vibe_orderbook_mcp.venues.bybit.rest import BybitRest  # noqa: PLC0415
    from vibe_orderbook_mcp.venues.bybit.wire import Bybit  # noqa: PLC0415

    return Adapter(Bybit("spot"), BybitRest(rest_url, "spot"))


def _bybit_linear(rest_url: str) -> Adapter:
    from vibe_orderbook_mcp.venues.bybit.rest import BybitRest  # noqa: PLC0415
    from vibe_orderbook_mcp.venues.bybit.wire import Bybit  # noqa: PLC0415

    return Adapter(Bybit("linear"), BybitRest(rest_url, "linear"))


# As many as `model.instrument.KEPT_VENUES`.
ADAPTERS: Final[dict[str, Callable[[str], Adapter]]] = {
    "binance": _binance,
    "binance-us": _binance_us,
    "binance-usdm": _binance_usdm,
    "kraken": _kraken,
    "okx": _okx,
    "bybit": _bybit,
    "bybit-linear": _bybit_linear,
}
