"""Whose frames these are, by their shape or by the address they came from. PURE.

A venue that is known here can be named to the user; whether its recordings can be used is another question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

LABELS: Final = {
    "binance": "Binance spot",
    "binance-us": "Binance.US spot",
    "binance-usdm": "Binance USD-M futures",
    "binance-coinm": "Binance COIN-M futures",
    "kraken": "Kraken spot",
    "kraken-futures": "Kraken futures",
    "coinbase": "Coinbase",
    "okx": "OKX",
    "bybit": "Bybit spot",
    "bybit-linear": "Bybit linear perpetuals",
    "hyperliquid": "Hyperliquid",
    "deribit": "Deribit",
    "kucoin": "KuCoin",
    "gateio": "Gate",
    "bitfinex": "Bitfinex",
    "bitget": "Bitget",
    "htx": "HTX",
}

# Part of a host name -> venue; the first that fits.
HOSTS: Final = (
    *(("binance.us", "binance-us"), ("fstream.binance", "binance-usdm"), ("fapi.binance", "binance-usdm")),
    *(("dstream.binance", "binance-coinm"), ("dapi.binance", "binance-coinm"), ("binance.", "binance")),
    *(("futures.kraken.com", "kraken-futures"), ("kraken.com", "kraken"), ("coinbase.com", "coinbase")),
    *(("okx.com", "okx"), ("hyperliquid", "hyperliquid"), ("deribit.com", "deribit")),
    *(("kucoin.com", "kucoin"), ("gateio.", "gateio"), ("bitfinex.com", "bitfinex"), ("bitget.com", "bitget")),
    *(("huobi.", "htx"), ("hbdm.com", "htx"), ("htx.com", "htx")),
)

# Keys that all have to be there -> venue; the first that fits.
SHAPES: Final = (
    *(({"jsonrpc"}, "deribit"), ({"feed"}, "kraken-futures"), ({"sequence_num", "channel"}, "coinbase")),
    *(({"chanId"}, "bitfinex"), ({"topic", "subject"}, "kucoin"), ({"ret_msg"}, "bybit")),
    *(({"type", "product_id"}, "coinbase"), ({"type", "channels"}, "coinbase"), ({"ch"}, "htx")),
    *(({"channel", "time", "event"}, "gateio"), ({"channel", "type", "data"}, "kraken")),
    *(({"method", "success"}, "kraken"), ({"channel", "data"}, "hyperliquid")),
)

# Venues with frames of one shape.
FAMILIES: Final = ({"binance", "binance-us"}, {"binance-usdm", "binance-coinm"}, {"bybit", "bybit-linear"})
# Where some frames of the first have the shape of the second, and others say that they are the first's.
SAID_BY_SOME: Final = (("bybit-linear", "bybit"),)
SPECIAL: Final = frozenset(special for special, _ in SAID_BY_SOME)

_KEYS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
# What only events of Binance's futures have, or spot's have not.
_FUTURES_KEYS: Final = frozenset({"pu", "X", "nq"})
_FUTURES_EVENTS: Final = frozenset({b'"bookTicker"', b'"markPriceUpdate"', b'"forceOrder"'})
# COIN-M is priced in dollars; contracts of USD-M that end are named by other currencies.
_CONTRACT: Final = re.compile(rb'".*USD_(PERP|\d{6})"')
# Of Bybit's frames, what only linear perpetuals have: prices of a mark, liquidations, and trades with such ids.
_LINEAR: Final = re.compile(
    rb'"markPrice"|"fundingRate"|"bid1Price"|iquidation|"i"\s*:\s*"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"'
)


def venue_of(frame: bytes, url: str = "") -> str | None:
    """The venue of one frame or REST answer; None where it could be several's or nobody's that is known here."""
    if url:
        address = urlsplit(url)
        if address.netloc.endswith("bybit.com"):
            return "bybit-linear" if address.path.endswith("/linear") else "bybit"
        if (said := _of_host(address.netloc)) is not None:
            return said
    return "bitfinex" if frame.startswith(b"[") else _of_shape(frame)


def of_one_shape(one: str, other: str) -> bool:
    """Whether frames alone do not tell these venues apart."""
    return one == other or any({one, other} <= family for family in FAMILIES)


def _of_host(host: str) -> str | None:
    return next((venue for part, venue in HOSTS if part in host), None)


def _of_shape(frame: bytes) -> str | None:
    try:
        keys = _KEYS.decode(frame)
        if keys.keys() >= {"stream", "data"}:
            keys = _KEYS.decode(keys["data"])
    except (msgspec.MsgspecError, RecursionError):
        return None
    if "e" in keys or keys.keys() >= {"u", "s", "b", "B"}:
        return _of_event(keys)
    if "lastUpdateId" in keys or keys.keys() >= {"timezone", "symbols"}:
        return _of_answer(keys)
    if "topic" in keys and "subject" not in keys:
        is_linear = _LINEAR.search(bytes(keys["topic"]) + bytes(keys.get("data", b""))[:4000])
        return "bybit-linear" if is_linear else "bybit"
    if "arg" in keys:
        return "bitget" if b'"instType"' in bytes(keys["arg"]) else "okx"
    return next((venue for needed, venue in SHAPES if needed <= keys.keys()), None)


def _of_answer(keys: Mapping[str, msgspec.Raw]) -> str:
    """A REST answer of Binance: a book, or the list of symbols."""
    if "pair" in keys or b'"contractSize"' in bytes(keys.get("symbols", b"")):
        return "binance-coinm"
    return "binance-usdm" if "T" in keys or "futuresType" in keys else "binance"


def _of_event(keys: Mapping[str, msgspec.Raw]) -> str | None:
    """An event of Binance: spot and futures differ by a few keys."""
    event = bytes(keys.get("e", b""))
    if "st" in keys:
        return "binance-coinm" if bytes(keys["st"]) == b"2" else "binance-usdm"  # both on one address
    if "ps" in keys or _CONTRACT.fullmatch(bytes(keys.get("s", b""))):
        return "binance-coinm"
    if keys.keys() & _FUTURES_KEYS or event in _FUTURES_EVENTS:
        return "binance-usdm"
    if event == b'"aggTrade"' and "M" not in keys:
        return None  # of futures, or of spot from somebody who left out a key that says nothing
    return "binance"


class Recognizer:
    """The venue of a recording, from all its frames."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.is_said = False  # whether an address said a venue
        self._unsaid = 0

    def see(self, frame: bytes, url: str = "") -> str | None:
        venue = venue_of(frame, url)
        if venue is not None:
            self.seen[venue] += 1
            self.is_said |= bool(url)
        elif b'"aggTrade"' in frame:
            self._unsaid += 1
        return venue

    @property
    def venue(self) -> str | None:
        """The one of most frames; None where no frame says one."""
        for special, general in SAID_BY_SOME:
            if self.seen[special]:
                self.seen[special] += self.seen.pop(general, 0)
        if self.seen:
            return self.seen.most_common(1)[0][0]
        return "binance-usdm" if self._unsaid else None
