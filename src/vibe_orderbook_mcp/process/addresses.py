"""Where each venue's public interfaces are: `VIBE_{VENUE}_REST_URL` and `VIBE_{VENUE}_WS_URL`.

Those of the default venue are `VIBE_REST_URL` and `VIBE_WS_URL`. Each is a base: a path in it is kept, and the venue's
own path is put behind it.
"""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE

_REST = "an http(s) URL"
_WS = "a ws(s) URL"


class Addresses(NamedTuple):
    rest_url: str
    ws_url: str


class VenueAddresses(BaseSettings):
    """Settings of the venues beside the default one. Defaults are the official addresses."""

    binance_us_rest_url: str = Field("https://api.binance.us", description=_REST)
    binance_us_ws_url: str = Field("wss://stream.binance.us:9443", description=_WS)
    binance_usdm_rest_url: str = Field("https://fapi.binance.com", description=_REST)
    binance_usdm_ws_url: str = Field("wss://fstream.binance.com", description=_WS)
    binance_coinm_rest_url: str = Field("https://dapi.binance.com", description=_REST)
    binance_coinm_ws_url: str = Field("wss://dstream.binance.com", description=_WS)
    kraken_rest_url: str = Field("https://api.kraken.com", description=_REST)
    kraken_ws_url: str = Field("wss://ws.kraken.com", description=_WS)
    coinbase_rest_url: str = Field("https://api.coinbase.com", description=_REST)
    coinbase_ws_url: str = Field("wss://advanced-trade-ws.coinbase.com", description=_WS)
    okx_rest_url: str = Field("https://www.okx.com", description=_REST)
    okx_ws_url: str = Field("wss://ws.okx.com:8443", description=_WS)
    bybit_rest_url: str = Field("https://api.bybit.com", description=_REST)
    bybit_ws_url: str = Field("wss://stream.bybit.com", description=_WS)
    bybit_linear_rest_url: str = Field("https://api.bybit.com", description=_REST)
    bybit_linear_ws_url: str = Field("wss://stream.bybit.com", description=_WS)
    hyperliquid_rest_url: str = Field("https://api.hyperliquid.xyz", description=_REST)
    hyperliquid_ws_url: str = Field("wss://api.hyperliquid.xyz", description=_WS)
    deribit_rest_url: str = Field("https://www.deribit.com", description=_REST)
    deribit_ws_url: str = Field("wss://www.deribit.com", description=_WS)

    @field_validator("*")
    @classmethod
    def _venue_url(cls, value: Any, info: Any) -> Any:
        name: str = info.field_name
        if name in VenueAddresses.model_fields:
            return base_url(value, is_rest=name.endswith("_rest_url"))
        return value

    def addresses(self, venue: str) -> Addresses:
        """Of one venue; KeyError for one that has none."""
        known = self.model_dump(include={f"{name}_url" for name in names(venue)})
        rest, ws = names(venue)
        return Addresses(known[f"{rest}_url"], known[f"{ws}_url"])


def names(venue: str) -> tuple[str, str]:
    """What the venue's settings begin with: ("rest", "ws") of the default venue, ("kraken_rest", "kraken_ws")."""
    prefix = "" if venue == DEFAULT_VENUE else f"{venue.replace('-', '_')}_"
    return f"{prefix}rest", f"{prefix}ws"


def base_url(value: str, *, is_rest: bool, with_path: bool = True) -> str:
    """Without a slash at its end. Raises ValueError for what is no base URL."""
    parts = urlsplit(value)
    schemes = ("http", "https") if is_rest else ("ws", "wss")
    if parts.scheme not in schemes or not parts.hostname or parts.username or any(map(str.isspace, value)):
        raise ValueError("not a base URL")
    # `port` raises ValueError for what is none.
    if parts.query or parts.fragment or parts.port == 0 or (parts.path.strip("/") and not with_path):
        raise ValueError("not a base URL")
    return value.rstrip("/")
