"""The introduction that a client gets: the origin of the prices, the use of each tool, and the limits of the server.

Hosts show a model the first 512 characters at least.
"""

from __future__ import annotations

from typing import Final

from vibe_orderbook_mcp.answers.tools import uses
from vibe_orderbook_mcp.model.listed import PriceSource

SOURCES: Final[dict[PriceSource | None, str]] = {
    "live": "Binance spot order books, live and checked by sequence numbers, and their history.",
    "simulated": "SIMULATED MARKET: prices, trades and books here are made up, for trying this out. Say so.",
    "recording": "RECORDING: a past stretch of Binance spot is played back; nothing here is the present. Say so.",
    None: "Binance spot order books and their history. `source`: live, simulated (made up) or recording.",
}
# How hosts name the server where its prices are not those of a market.
TITLES: Final[dict[PriceSource | None, str]] = {
    "simulated": "Vibe Orderbook (simulated market)",
    "recording": "Vibe Orderbook (recording)",
}
MANNERS: Final = (
    "Quote `summary`, mention `warnings` and a `status` other than live. "
    "Not covered: futures, other exchanges, accounts, orders. "
    "Refusals are JSON with a hint. Fields and units: resource figures://all."
)


def instructions(source: PriceSource | None, prefix: str = "") -> str:
    """`prefix` stands before the names of the tools."""
    return " ".join((SOURCES[source], f"{uses(prefix)}.", MANNERS))
