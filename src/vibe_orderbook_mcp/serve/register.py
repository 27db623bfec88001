"""The tools as an MCP client sees them: the table of tools as the SDK wants it, and answers or refusals as results."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, Final

from loguru import logger
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent, ToolAnnotations
from pydantic import Field

from vibe_orderbook_mcp.answers.answer_json import AnswerTexts, short_text
from vibe_orderbook_mcp.answers.contract import Answers
from vibe_orderbook_mcp.answers.fields import HEAD_SCHEMA, fields_text
from vibe_orderbook_mcp.answers.tools import REQUIRED, TOOLS, Tool, uses
from vibe_orderbook_mcp.model.errors import Refusal, StorageError
from vibe_orderbook_mcp.model.listed import PriceSource
from vibe_orderbook_mcp.model.refusals import storage_refusal
from vibe_orderbook_mcp.serve.metrics import Metrics
from vibe_orderbook_mcp.serve.waiting import Patience, Waiting

READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, open_world_hint=False)


def register_tools(server: MCPServer[Any], answers: Answers, metrics: Metrics, prefix: str = "") -> None:
    answering = _Answering(answers, metrics, prefix)
    for tool in TOOLS:
        name = prefix + tool.name
        function = _function(tool, answering)
        server.add_tool(function, name=name, title=tool.title, description=tool.description, annotations=READ_ONLY)
        if (added := server._tool_manager.get_tool(name)) is not None:
            added.parameters = brief(added.parameters)
            # What is answered was written by the answer's own model: the SDK need not check it again.
            added.fn_metadata.output_model = None
            added.fn_metadata.output_schema = HEAD_SCHEMA


def _function(tool: Tool, answering: _Answering) -> Callable[..., Awaitable[CallToolResult]]:
    """With the signature that the SDK makes the tool's schema from.

    Arguments are typed loosely for the SDK and checked in `arguments`: its own texts for a wrong value name pydantic
    and repeat the input. What clients see in the schema is the table's.
    """

    async def call(**arguments: object) -> CallToolResult:
        return await answering.call(tool.name, arguments)

    call.__name__ = call.__qualname__ = tool.name
    parameters = [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is REQUIRED else each.default,
            annotation=Annotated[Any, Field(description=each.description, json_schema_extra=each.schema)],
        )
        for each in tool.parameters
    ]
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # functions take attributes
        parameters, return_annotation=Annotated[CallToolResult, tool.answer]
    )
    return call


def register_fields(server: MCPServer[Any], prefix: str = "") -> None:
    @server.resource(
        "figures://all",
        name="figures",
        title="What each field means",
        description="Every field of every tool's answer: its meaning and its unit.",
        mime_type="text/markdown",
    )
    def figures() -> str:
        return fields_text(prefix)


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

    def __init__(self, answers: Answers, metrics: Metrics, prefix: str) -> None:
        self._answers = answers
        self._waiting = Waiting()
        self._metrics = metrics
        self._prefix = prefix
        self._texts = AnswerTexts()

    async def call(self, name: str, arguments: dict[str, object]) -> CallToolResult:
        began, patience = time.perf_counter(), Patience()
        try:
            ask = getattr(self._answers, name)
            answer = await self._waiting.ask(partial(ask, **arguments), patience)
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
        body, text = self._texts.written(answer, self._answers.source)
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=body, is_error=False)

    def _refused(self, name: str, refusal: Refusal) -> CallToolResult:
        self._metrics.refusals.labels(self._prefix + name, refusal.code).inc()
        return refused(refusal)


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
