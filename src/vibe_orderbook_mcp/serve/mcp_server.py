"""The MCP server: the SDK's `MCPServer` with our resources, our tools, and a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from loguru import logger
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, SERVER_INFO_META_KEY, CallToolResult, TextContent
from pydantic import ValidationError
from starlette.requests import Request

from vibe_orderbook_mcp import __version__
from vibe_orderbook_mcp.answers.service import SourceAnswers
from vibe_orderbook_mcp.answers.turns import CALLER
from vibe_orderbook_mcp.collect.local_source import LocalSource
from vibe_orderbook_mcp.collect.runtime import Runtime
from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.process import stderr
from vibe_orderbook_mcp.process.config import Settings
from vibe_orderbook_mcp.process.stopping import on_stop
from vibe_orderbook_mcp.serve.limits import MESSAGES_PATH, HttpLimits, InFlight, Refusals, caller_of
from vibe_orderbook_mcp.serve.metrics import Metrics
from vibe_orderbook_mcp.serve.oauth import oauth
from vibe_orderbook_mcp.serve.register import (
    TITLES,
    instructions,
    refused,
    register_fields,
    register_tools,
    with_warning,
)
from vibe_orderbook_mcp.serve.waiting import TELL, Tell

LIST_FRESH_MS = 3_600_000  # the tools of a running server do not change
INTRODUCTIONS = ("initialize", "server/discover")
CRASHED = "The tool failed by a mistake of this server, whose log says more. Asking again may help."


class VibeServer(MCPServer[Runtime]):
    """`runtime` exists once for all transports; nothing is opened before the first holder."""

    def __init__(self, settings: Settings, limits: HttpLimits | None = None) -> None:
        self.runtime = Runtime(settings)
        self.limits = limits or HttpLimits()
        self.in_flight = InFlight(self.limits)
        self.metrics = Metrics(self.runtime, self.in_flight)
        self.refusals = Refusals(self.metrics.http_refusals)
        self.oauth = oauth(settings)
        self.before_exit: Callable[[], None] = _nothing  # what a stop by signal has to clean up
        super().__init__(
            name="vibe-orderbook",
            title="Vibe Orderbook",
            instructions=instructions(None, settings.tool_prefix),
            version=__version__,
            lifespan=self._lifespan,
            log_level=settings.log_level,
            subscriptions=False,
            middleware=[self._introduce],
            cache_hints={"tools/list": CacheHint(ttl_ms=LIST_FRESH_MS, scope="public")},
            auth=self.oauth and self.oauth.settings,
            token_verifier=self.oauth and self.oauth.verifier,
        )
        register_tools(self, SourceAnswers(LocalSource(self.runtime)), self.metrics, settings.tool_prefix)
        register_fields(self, settings.tool_prefix)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        async with self.runtime.hold() as runtime:
            yield runtime

    async def _introduce(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Who shakes hands hears whose prices these are. That is known once the exchange has answered."""
        result = await call_next(ctx)
        if ctx.method in INTRODUCTIONS and isinstance(result, dict):
            source = self.runtime.source
            result["instructions"] = instructions(source, self.runtime.settings.tool_prefix)
            for holder, key in ((result, "serverInfo"), (result.get("_meta", {}), SERVER_INFO_META_KEY)):
                if source in TITLES and key in holder:
                    holder[key] = {**holder[key], "title": TITLES[source]}
        return result

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Runtime, Any] | None = None
    ) -> Any:
        """Missing arguments become refusals like all others, not the SDK's texts. Unknown ones are ignored: some
        gateways add their own to every call, and strict hosts send null for every optional one.

        Raises MCPError for an unknown tool, as the specification wants it.
        """
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, "There is no tool of that name. List the tools first.")
        known, required = set(tool.parameters.get("properties", {})), tool.parameters.get("required", ())
        given = {
            key: value for key, value in arguments.items() if key in known and (key in required or not is_unset(value))
        }
        CALLER.set(_caller(context))
        TELL.set(_tell(context))
        try:
            with self._counted(context):
                result = await super().call_tool(name, given, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                missing = ", ".join(str(item["loc"][-1]) for item in error.__cause__.errors()[:5])
                return refused(
                    Refusal("invalid_argument", f"Missing or wrong: {missing}.", "See the tool's input schema.")
                )
            # The crash is in our log; its text stays there. No refusal: none of their codes would be true.
            return CallToolResult(content=[TextContent(type="text", text=CRASHED)], is_error=True)
        return result if known.issuperset(arguments) else with_warning(result, ignored(arguments, known))

    def _counted(self, context: Context[Runtime, Any] | None) -> contextlib.AbstractContextManager[None]:
        """Over SSE the POST that brought a call is over before the call is: it goes on counting as in flight."""
        request = _request(context)
        if request is not None and request.scope["path"] == MESSAGES_PATH:
            return self.in_flight.held(caller_of(request.scope))
        return contextlib.nullcontext()

    def run(self, transport: Any = "stdio", **options: Any) -> None:
        """Stdio on uvloop where there is one, as uvicorn does it for HTTP: asyncio's loop costs more a wake-up."""
        if transport == "stdio":
            has_uvloop = importlib.util.find_spec("uvloop") is not None
            anyio.run(self.run_stdio_async, backend_options={"use_uvloop": has_uvloop})
        else:
            super().run(transport, **options)

    async def run_stdio_async(self) -> None:
        """Serve stdio until end of input or a signal to stop.

        The SDK's own loop dies on SIGTERM without cleaning up and hangs on SIGINT in a thread that reads stdin; so
        after a signal everything is closed here and the process left without waiting for that thread.
        """
        told = asyncio.Event()
        on_stop(told.set)
        self.runtime.recorder.says_each_second = False  # hosts keep what a server says in a file that nobody reads
        async with self.runtime.hold():
            with self.runtime.session("stdio"):
                serving = asyncio.ensure_future(super().run_stdio_async())
                waiting = asyncio.ensure_future(told.wait())
                await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if serving.done():
                    try:
                        serving.result()
                    except* OSError as gone:
                        logger.info("The client takes no more answers: {}", gone.exceptions[0])
                    return
            await self.runtime.stop()
        self.before_exit()
        logging.shutdown()
        stderr.drain()
        os._exit(0)


def _request(context: Context[Runtime, Any] | None) -> Request | None:
    request = None if context is None or context._request_context is None else context._request_context.request
    return request if isinstance(request, Request) else None


def _caller(context: Context[Runtime, Any] | None) -> str | None:
    request = _request(context)
    return None if request is None else caller_of(request.scope)


def _tell(context: Context[Runtime, Any] | None) -> Tell | None:
    """For a call whose client wants to hear of its progress."""
    request = None if context is None else context._request_context
    if context is None or request is None or "progress_token" not in (request.meta or {}):
        return None
    return context.report_progress


def is_unset(value: object) -> bool:
    """Whether an optional argument was sent although nobody gave it."""
    return value is None or (isinstance(value, str) and not value.strip())


def ignored(arguments: dict[str, Any], known: set[str]) -> str:
    unknown = sorted(set(arguments) - known)
    shown = ", ".join(json.dumps(name[:40], ensure_ascii=False) for name in unknown[:5])
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    return f"Arguments that this tool does not have were ignored: {shown}{more}."


def _nothing() -> None:
    pass
