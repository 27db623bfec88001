"""What a client is told of the server when they meet: whose prices these are, which tool is for what, what is not here.

Hosts show a model the first 512 characters at least.
"""

from __future__ import annotations

from typing import Final

from vibe_orderbook_mcp.model.listed import Source

SOURCES: Final[dict[Source | None, str]] = {
    "live": "Binance spot order books, live and checked by sequence numbers, and their history.",
    "simulated": "SIMULATED MARKET: prices, trades and books here are made up, for trying this out. Say so.",
    "recording": "RECORDING: a past stretch of Binance spot is played back; nothing here is the present. Say so.",
    None: "Binance spot order books and their history. `source`: live, simulated (made up) or recording.",
}
# How hosts name the server where its prices are not those of a market.
TITLES: Final[dict[Source | None, str]] = {
    "simulated": "Vibe Orderbook (simulated market)",
    "recording": "Vibe Orderbook (recording)",
}
TOOLS: Final = (
    "{0}orderbook_l1: spread, depth, cost; {0}orderbook_l2: levels; {0}get_order_flow: who bought and sold; "
    "{0}get_volume_profile, {0}get_liquidity_vacuums: where volume is and is not; {0}get_microstructure_health, "
    "{0}detect_market_anomalies: is this normal; {0}orderbook_health: is the data live."
)
MANNERS: Final = (
    "Quote `summary`, mention `warnings` and a `status` other than live. "
    "Not covered: futures, other exchanges, accounts, orders. "
    "Refusals are JSON with a hint. Fields and units: resource figures://all."
)


def instructions(source: Source | None, prefix: str = "") -> str:
    """`prefix` stands before the names of the tools."""
    return " ".join((SOURCES[source], TOOLS.format(prefix), MANNERS))
