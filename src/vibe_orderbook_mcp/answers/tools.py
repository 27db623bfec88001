"""The table of tools: names, texts, parameters and answers. The work of a tool is a method of `Answers`."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from vibe_orderbook_mcp.analytics.anomalies.answer import AnomaliesAnswer
from vibe_orderbook_mcp.analytics.book.answers import L1Answer, L2Answer
from vibe_orderbook_mcp.analytics.flow.result import OrderFlowAnswer
from vibe_orderbook_mcp.analytics.health.answer import HealthScoreAnswer
from vibe_orderbook_mcp.analytics.profile.result import VolumeProfileAnswer
from vibe_orderbook_mcp.analytics.profile.vacuums_result import LiquidityVacuumsAnswer
from vibe_orderbook_mcp.analytics.results import Envelope
from vibe_orderbook_mcp.answers.arguments import LONGEST_SECS, MOST_HOURS, MOST_LEVELS, SHORTEST_SECS
from vibe_orderbook_mcp.answers.health import HealthAnswer

REQUIRED: Final = ...  # the default of a parameter that has none


class ToolParameter(NamedTuple):
    """As a client sees it: `schema` is JSON Schema. The value is checked by the method (`answers.arguments`)."""

    name: str
    description: str
    schema: dict[str, Any]
    default: object = REQUIRED


class Tool(NamedTuple):
    """`name` is also that of its method of `Answers`. `use` says in a few words what it is for, when a client and the
    server meet; tools with the same words share them.
    """

    name: str
    title: str
    use: str
    description: str
    answer: type[Envelope]
    parameters: tuple[ToolParameter, ...] = ()


SYMBOL = ToolParameter(
    "symbol",
    'Spot pair in any spelling: "BTCUSDT", "btc/usdt"; "BTC" is BTCUSDT.',
    {"type": "string", "minLength": 1, "maxLength": 40},
)
LEVELS = ToolParameter(
    "levels", "Levels a side, best first.", {"type": "integer", "minimum": 1, "maximum": MOST_LEVELS}, 20
)
WINDOW = ToolParameter(
    "window_duration_secs",
    "Seconds up to the newest whole second (window.end).",
    {"type": "integer", "minimum": SHORTEST_SECS, "maximum": LONGEST_SECS},
    60,
)
HOURS = ToolParameter(
    "duration_hours",
    "Hours up to the newest whole second (window.end).",
    {"type": "integer", "minimum": 1, "maximum": MOST_HOURS},
    24,
)
SINCE = ToolParameter(
    "since_hours",
    "Also the findings of these last hours.",
    {"type": "integer", "minimum": 0, "maximum": MOST_HOURS},
    0,
)
TICK = ToolParameter(
    "tick_size",
    "Width of the price bins in quote units; null: chosen.",
    {"type": ["string", "number", "null"]},
    None,
)
DETAIL = ToolParameter("detail", "true: further figures.", {"type": "boolean"}, False)

TOOLS: Final = (
    Tool(
        "orderbook_l1",
        "Best bid and ask",
        "spread, depth, cost",
        "Use this for the current best bid and ask of a Binance spot symbol: spread, mid, microprice, imbalance, "
        "resting depth by distance (bps), large resting orders, and what a market order of 10k/25k/50k quote units "
        "would cost. Prices and sizes are exact decimals; sizes in base units, amounts in quote units.",
        L1Answer,
        (SYMBOL,),
    ),
    Tool(
        "orderbook_l2",
        "Order book levels",
        "levels",
        "Use this for the price levels themselves: [price, size] pairs of both sides, best first, as exact decimals "
        "(size in base units). For spread, depth or imbalance figures orderbook_l1 is shorter.",
        L2Answer,
        (SYMBOL, LEVELS),
    ),
    Tool(
        "get_order_flow",
        "Order flow",
        "who bought and sold",
        "Use this for what price did and who bought and sold in the last 10 to 300 seconds: open, close, range, VWAP, "
        "traded volume by aggressor, order-flow imbalance of the book, orders added and cancelled per side, levels "
        "that absorbed trading. Computed from every book event and trade, not samples. detail: effective spread, "
        "impact, VPIN.",
        OrderFlowAnswer,
        (SYMBOL, WINDOW, DETAIL),
    ),
    Tool(
        "get_volume_profile",
        "Volume profile",
        "where volume is and is not",
        "Use this for where volume traded over the last 1 to 168 hours: point of control (most traded price), value "
        "area (70 %), high and low volume nodes, buy and sell split. Exact from every trade. Prices in quote, volume "
        "in base units. detail: every bin.",
        VolumeProfileAnswer,
        (SYMBOL, HOURS, TICK, DETAIL),
    ),
    Tool(
        "get_microstructure_health",
        "Market health",
        "is this normal",
        "Use this for whether a market is in its usual shape now: a score from 0 to 100 from spread, depth, price "
        "moves, balance of flow and update rate, each against the symbol's own usual, with the weakest part named; and "
        "a class from A to E for its cost. About the market; for the state of this server use orderbook_health.",
        HealthScoreAnswer,
        (SYMBOL, WINDOW, DETAIL),
    ),
    Tool(
        "get_liquidity_vacuums",
        "Liquidity vacuums",
        "where volume is and is not",
        "Use this for price zones with little to stop a move: little volume in the last hours, or a thin "
        "book now; nearest first on both sides, with distance in bps and the amount that must trade to "
        "reach and cross a zone. detail: all zones, every bin.",
        LiquidityVacuumsAnswer,
        (SYMBOL, HOURS, DETAIL),
    ),
    Tool(
        "detect_market_anomalies",
        "Market anomalies",
        "is this normal",
        "Use this for anything unusual: update bursts with hardly any trades, clusters of short-lived large orders, "
        "thinning liquidity, absorption and refilled levels, now or in the past (since_hours). Each finding says how "
        "rare it is for this symbol.",
        AnomaliesAnswer,
        (SYMBOL, WINDOW, SINCE, DETAIL),
    ),
    Tool(
        "orderbook_health",
        "Server health",
        "is the data live",
        "Use this to see whether the server's books are live and its history is being recorded: per symbol sync state, "
        "ages, gaps, audits; connection, recorder and storage. Not a figure about the market.",
        HealthAnswer,
    ),
)


def uses(prefix: str = "") -> str:
    """The use of each tool, in one line. `prefix` is put before the names of the tools."""
    names: dict[str, list[str]] = {}
    for tool in TOOLS:
        names.setdefault(tool.use, []).append(prefix + tool.name)
    return "; ".join(f"{', '.join(tools)}: {use}" for use, tools in names.items())
