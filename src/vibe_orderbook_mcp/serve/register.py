"""The tools as an MCP client sees them: names, descriptions, schemas, and answers or refusals as JSON text."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any

import msgspec
from loguru import logger
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from vibe_orderbook_mcp.analytics.anomalies.answer import AnomaliesAnswer
from vibe_orderbook_mcp.analytics.book.answers import L1Answer, L2Answer
from vibe_orderbook_mcp.analytics.flow.result import OrderFlowAnswer
from vibe_orderbook_mcp.analytics.health.answer import HealthScoreAnswer
from vibe_orderbook_mcp.analytics.profile.result import VolumeProfileAnswer
from vibe_orderbook_mcp.analytics.profile.vacuums_result import LiquidityVacuumsAnswer
from vibe_orderbook_mcp.analytics.results import Envelope
from vibe_orderbook_mcp.answers.access import storage_refusal
from vibe_orderbook_mcp.answers.health import ALL, HealthAnswer
from vibe_orderbook_mcp.answers.service import LONGEST_SECS, MOST_HOURS, MOST_LEVELS, SHORTEST_SECS, Tools
from vibe_orderbook_mcp.model.errors import Refusal, StorageError
from vibe_orderbook_mcp.model.listed import Source
from vibe_orderbook_mcp.serve.fields import HEAD_SCHEMA, fields_text
from vibe_orderbook_mcp.serve.level_texts import LevelTexts, short_text
from vibe_orderbook_mcp.serve.metrics import Metrics
from vibe_orderbook_mcp.serve.waiting import Patience, Waiting

# Arguments are typed loosely for the SDK and checked in `arguments`: its own texts for a wrong value name pydantic
# and repeat the input. What clients see in the schema is written here.
SymbolArgument = Annotated[
    Any,
    Field(
        description='Spot pair in any spelling: "BTCUSDT", "btc/usdt"; "BTC" is BTCUSDT.',
        json_schema_extra={"type": "string", "minLength": 1, "maxLength": 40},
    ),
]
LevelsArgument = Annotated[
    Any,
    Field(
        description="Levels a side, best first.",
        json_schema_extra={"type": "integer", "minimum": 1, "maximum": MOST_LEVELS},
    ),
]
WindowArgument = Annotated[
    Any,
    Field(
        description="Seconds up to the newest whole second (window.end).",
        json_schema_extra={"type": "integer", "minimum": SHORTEST_SECS, "maximum": LONGEST_SECS},
    ),
]
HoursArgument = Annotated[
    Any,
    Field(
        description="Hours up to the newest whole second (window.end).",
        json_schema_extra={"type": "integer", "minimum": 1, "maximum": MOST_HOURS},
    ),
]
SinceArgument = Annotated[
    Any,
    Field(
        description="Also what was found in these last hours.",
        json_schema_extra={"type": "integer", "minimum": 0, "maximum": MOST_HOURS},
    ),
]
TickArgument = Annotated[
    Any,
    Field(
        description="Width of the price bins in quote units; null: chosen.",
        json_schema_extra={"type": ["string", "number", "null"]},
    ),
]
DetailArgument = Annotated[
    Any,
    Field(description="true: further figures.", json_schema_extra={"type": "boolean"}),
]

L1_TEXT = (
    "Use this for the current best bid and ask of a Binance spot symbol: spread, mid, microprice, imbalance, resting "
    "depth by distance (bps), large resting orders, and what a market order of 10k/25k/50k quote units would cost. "
    "Prices and sizes are exact decimals; sizes in base units, amounts in quote units."
)
L2_TEXT = (
    "Use this for the price levels themselves: [price, size] pairs of both sides, best first, as exact decimals "
    "(size in base units). For spread, depth or imbalance figures orderbook_l1 is shorter."
)
FLOW_TEXT = (
    "Use this for what price did and who bought and sold in the last 10 to 300 seconds: open, close, range, VWAP, "
    "traded volume by aggressor, order-flow imbalance of the book, orders added and cancelled per side, levels that "
    "absorbed trading. Computed from every book event and trade, not samples. detail: effective spread, impact, VPIN."
)
PROFILE_TEXT = (
    "Use this for where volume traded over the last 1 to 168 hours: point of control (most traded price), value area "
    "(70 %), high and low volume nodes, buy and sell split. Exact from every trade. Prices in quote, volume in base "
    "units. detail: every bin."
)
MARKET_HEALTH_TEXT = (
    "Use this for whether a market is in its usual shape now: a score from 0 to 100 from spread, depth, price moves, "
    "balance of flow and update rate, each against the symbol's own usual, with the weakest part named; and a class "
    "from A to E for how dear it is. About the market; for the state of this server use orderbook_health."
)
VACUUM_TEXT = (
    "Use this for price zones with little to stop a move: where little was traded in the last hours, and where the "
    "resting book is thin now, nearest first on both sides, with distance in bps and the amount that must trade to "
    "reach and cross a zone. detail: all zones, every bin."
)
ANOMALY_TEXT = (
    "Use this for anything unusual: update bursts with hardly any trades, clusters of short-lived large orders, "
    "thinning liquidity, absorption and refilled levels, now or in the past (since_hours). Each finding says how rare "
    "it is for this symbol."
)
HEALTH_TEXT = (
    "Use this to see whether the server's books are live and its history is being recorded: per symbol sync state, "
    "ages, gaps, audits; connection, recorder and storage. Not a figure about the market."
)


READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)

ANSWERS: dict[str, type[Envelope]] = {
    "orderbook_l1": L1Answer,
    "orderbook_l2": L2Answer,
    "get_order_flow": OrderFlowAnswer,
    "get_volume_profile": VolumeProfileAnswer,
    "get_microstructure_health": HealthScoreAnswer,
    "get_liquidity_vacuums": LiquidityVacuumsAnswer,
    "detect_market_anomalies": AnomaliesAnswer,
    "orderbook_health": HealthAnswer,
}


def register_tools(server: MCPServer[Any], tools: Tools, metrics: Metrics, prefix: str = "") -> None:
    answering = _Answering(tools, metrics, prefix)

    def add(name: str, title: str, text: str, function: Any) -> None:
        server.add_tool(function, name=prefix + name, title=title, description=text, annotations=READ_ONLY)
        if (tool := server._tool_manager.get_tool(prefix + name)) is not None:
            tool.parameters = brief(tool.parameters)
            # What is answered was written by the answer's own model: the SDK need not check it again.
            tool.fn_metadata.output_model = None
            tool.fn_metadata.output_schema = HEAD_SCHEMA

    async def orderbook_l1(symbol: SymbolArgument) -> Annotated[CallToolResult, L1Answer]:
        return await answering.call("orderbook_l1", tools.orderbook_l1, symbol)

    async def orderbook_l2(symbol: SymbolArgument, levels: LevelsArgument = 20) -> Annotated[CallToolResult, L2Answer]:
        return await answering.call("orderbook_l2", tools.orderbook_l2, symbol, levels)

    async def get_order_flow(
        symbol: SymbolArgument, window_duration_secs: WindowArgument = 60, detail: DetailArgument = False
    ) -> Annotated[CallToolResult, OrderFlowAnswer]:
        return await answering.call("get_order_flow", tools.get_order_flow, symbol, window_duration_secs, detail)

    async def get_volume_profile(
        symbol: SymbolArgument,
        duration_hours: HoursArgument = 24,
        tick_size: TickArgument = None,
        detail: DetailArgument = False,
    ) -> Annotated[CallToolResult, VolumeProfileAnswer]:
        ask = tools.get_volume_profile
        return await answering.call("get_volume_profile", ask, symbol, duration_hours, tick_size, detail)

    async def get_microstructure_health(
        symbol: SymbolArgument, window_duration_secs: WindowArgument = 60, detail: DetailArgument = False
    ) -> Annotated[CallToolResult, HealthScoreAnswer]:
        ask = tools.get_microstructure_health
        return await answering.call("get_microstructure_health", ask, symbol, window_duration_secs, detail)

    async def get_liquidity_vacuums(
        symbol: SymbolArgument, duration_hours: HoursArgument = 24, detail: DetailArgument = False
    ) -> Annotated[CallToolResult, LiquidityVacuumsAnswer]:
        ask = tools.get_liquidity_vacuums
        return await answering.call("get_liquidity_vacuums", ask, symbol, duration_hours, detail)

    async def detect_market_anomalies(
        symbol: SymbolArgument,
        window_duration_secs: WindowArgument = 60,
        since_hours: SinceArgument = 0,
        detail: DetailArgument = False,
    ) -> Annotated[CallToolResult, AnomaliesAnswer]:
        ask = tools.detect_market_anomalies
        return await answering.call("detect_market_anomalies", ask, symbol, window_duration_secs, since_hours, detail)

    async def orderbook_health() -> Annotated[CallToolResult, HealthAnswer]:
        return await answering.call("orderbook_health", tools.orderbook_health)

    add("orderbook_l1", "Best bid and ask", L1_TEXT, orderbook_l1)
    add("orderbook_l2", "Order book levels", L2_TEXT, orderbook_l2)
    add("get_order_flow", "Order flow", FLOW_TEXT, get_order_flow)
    add("get_volume_profile", "Volume profile", PROFILE_TEXT, get_volume_profile)
    add("get_microstructure_health", "Market health", MARKET_HEALTH_TEXT, get_microstructure_health)
    add("get_liquidity_vacuums", "Liquidity vacuums", VACUUM_TEXT, get_liquidity_vacuums)
    add("detect_market_anomalies", "Market anomalies", ANOMALY_TEXT, detect_market_anomalies)
    add("orderbook_health", "Server health", HEALTH_TEXT, orderbook_health)


def register_fields(server: MCPServer[Any], prefix: str = "") -> None:
    @server.resource(
        "figures://all",
        name="figures",
        title="What each field means",
        description="Every field of every tool's answer: its meaning and its unit.",
        mime_type="text/markdown",
    )
    def figures() -> str:
        return fields_text({prefix + name: model for name, model in ANSWERS.items()})


def brief(schema: dict[str, Any]) -> dict[str, Any]:
    """An input schema without what the names say already: "title": "Levels" beside "levels"."""
    properties = {
        name: {key: value for key, value in field.items() if key != "title"}
        for name, field in schema.get("properties", {}).items()
    }
    rest = {key: value for key, value in schema.items() if key not in ("title", "properties")}
    return {**rest, "properties": properties}


class _Answering:
    """Turns an answer or a refusal into a tool result, and measures."""

    def __init__(self, tools: Tools, metrics: Metrics, prefix: str) -> None:
        self._tools = tools
        self._waiting = Waiting()
        self._metrics = metrics
        self._prefix = prefix
        self._levels = LevelTexts()

    async def call(self, name: str, ask: Callable[..., Awaitable[BaseModel]], *arguments: object) -> CallToolResult:
        began, patience = time.perf_counter(), Patience()
        try:
            answer = await self._waiting.ask(partial(ask, *arguments), patience)
        except Refusal as refusal:
            return self._refused(name, refusal)
        except StorageError as error:
            return self._refused(name, storage_refusal(error))
        except Exception as error:
            self._metrics.crashes.labels(self._prefix + name).inc()
            logger.opt(exception=error).error("Tool {} failed", name)
            raise
        finally:
            worked_secs = max(0.0, time.perf_counter() - began - patience.slept_secs)
            self._metrics.tool_seconds.labels(self._prefix + name).observe(worked_secs)
        answer = _said(answer, self._tools.source)
        # Compact text: the SDK's own is indented, about twice the bytes, and a model pays for each.
        if isinstance(answer, L2Answer):
            body, text = self._levels.written(answer)
        else:
            text = answer.model_dump_json()
            body = msgspec.json.decode(text)
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=body, is_error=False)

    def _refused(self, name: str, refusal: Refusal) -> CallToolResult:
        self._metrics.refusals.labels(self._prefix + name, refusal.code).inc()
        return refused(refusal)


# How a summary begins where prices are not those of a market: it is quoted without its surroundings.
MADE_UP: dict[Source | None, str] = {"simulated": "Simulated market: ", "recording": "Recording, not the present: "}


def _said(answer: BaseModel, source: Source | None) -> BaseModel:
    """With whose prices these are, and of when where the book has stopped."""
    if not isinstance(answer, Envelope):
        return answer
    summary = answer.summary
    if answer.status == "stale" and answer.symbol != ALL:
        summary = f"As of {answer.age_ms / 1000:.0f} s ago: {summary}"
    return answer.model_copy(update={"source": source, "summary": MADE_UP.get(source, "") + summary})


def with_warning(result: Any, warning: str) -> Any:
    """An answer with one warning more; a refusal as it is."""
    if not isinstance(result, CallToolResult) or result.is_error or not isinstance(result.structured_content, dict):
        return result
    body = {**result.structured_content, "warnings": [*result.structured_content["warnings"], warning]}
    return CallToolResult(
        content=[TextContent(type="text", text=short_text(body))], structured_content=body, is_error=False
    )


def refused(refusal: Refusal) -> CallToolResult:
    body: dict[str, object] = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
    if refusal.retry_after_secs is not None:
        body["retry_after_secs"] = refusal.retry_after_secs
    return CallToolResult(content=[TextContent(type="text", text=json.dumps(body, ensure_ascii=False))], is_error=True)
