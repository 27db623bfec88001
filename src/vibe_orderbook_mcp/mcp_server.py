"""The MCP server: the SDK's `MCPServer` with our resources, our tools, and a clean stop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, TextContent
from pydantic import ValidationError
from starlette.requests import Request

from vibe_orderbook_mcp import __version__, stderr
from vibe_orderbook_mcp.config import Settings
from vibe_orderbook_mcp.errors import Refusal
from vibe_orderbook_mcp.http_limits import MESSAGES_PATH, HttpLimits, InFlight, Refusals, session_named
from vibe_orderbook_mcp.metrics import Metrics
from vibe_orderbook_mcp.oauth import oauth
from vibe_orderbook_mcp.runtime import Runtime
from vibe_orderbook_mcp.tools.register import refused, register_tools
from vibe_orderbook_mcp.tools.service import Tools

# Hosts show a model the first 512 characters.
INSTRUCTIONS = (
    "Live Binance spot order books, checked by sequence numbers, and their history. orderbook_l1: spread, depth, cost "
    "of trading; orderbook_l2: levels; get_order_flow: who bought and sold; get_volume_profile, get_liquidity_vacuums: "
    "where volume is and is not; get_microstructure_health, detect_market_anomalies: is this normal; orderbook_health: "
    "is the data live. Quote `summary`, mention `warnings` and a `status` other than live. Refusals are JSON with a "
    "hint. No advice."
)
CRASHED = "The tool failed by a mistake of this server, whose log says more. Asking again may help."


SWITCH_SECS = 0.0005


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
            instructions=INSTRUCTIONS,
            version=__version__,
            lifespan=self._lifespan,
            log_level=settings.log_level,
            subscriptions=False,
            auth=self.oauth and self.oauth.settings,
            token_verifier=self.oauth and self.oauth.verifier,
        )
        register_tools(self, Tools(self.runtime), self.metrics, settings.tool_prefix)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: MCPServer[Runtime]) -> AsyncIterator[Runtime]:
        async with self.runtime.hold() as runtime:
            yield runtime

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Runtime, Any] | None = None
    ) -> Any:
        """Wrong names and missing arguments become refusals like all others, not the SDK's texts."""
        tool = self._tool_manager.get_tool(name)
        if tool is None:
            return refused(Refusal("invalid_argument", "There is no tool of that name.", "List the tools first."))
        known = set(tool.parameters.get("properties", {}))
        if unknown := sorted(set(arguments) - known):
            shown = ", ".join(json.dumps(item[:40], ensure_ascii=False) for item in unknown[:5])
            allowed = ", ".join(sorted(known)) or "no arguments"
            return refused(Refusal("invalid_argument", f"Unknown arguments: {shown}.", f"This tool takes {allowed}."))
        try:
            with self._counted(context):
                return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                missing = ", ".join(str(item["loc"][-1]) for item in error.__cause__.errors()[:5])
                return refused(
                    Refusal("invalid_argument", f"Missing or wrong: {missing}.", "See the tool's input schema.")
                )
            # The crash is in our log; its text stays there. No refusal: none of their codes would be true.
            return CallToolResult(content=[TextContent(type="text", text=CRASHED)], is_error=True)

    def _counted(self, context: Context[Runtime, Any] | None) -> contextlib.AbstractContextManager[None]:
        """Over SSE the POST that brought a call is over before the call is: it goes on counting as in flight."""
        request = None if context is None or context._request_context is None else context._request_context.request
        if isinstance(request, Request) and request.scope["path"] == MESSAGES_PATH:
            return self.in_flight.held(session_named(request.scope))
        return contextlib.nullcontext()

    def run(self, transport: Any = "stdio", **options: Any) -> None:
        """Stdio on uvloop where there is one, as uvicorn does it for HTTP: asyncio's loop costs more a wake-up."""
        if transport == "stdio":
            has_uvloop = importlib.util.find_spec("uvloop") is not None
            anyio.run(self.run_stdio_async, backend_options={"use_uvloop": has_uvloop})
        else:
            super().run(transport, **options)

    async def run_stdio_async(self) -> None:
        """Serve stdio until end of input, SIGTERM or SIGINT.

        The SDK's own loop dies on SIGTERM without cleaning up and hangs on SIGINT in a thread that reads stdin; so
        after a signal everything is closed here and the process left without waiting for that thread.
        """
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(NotImplementedError):  # Windows: the host kills, the store survives that
                loop.add_signal_handler(number, told.set)
        self.runtime.recorder.says_each_second = False  # hosts keep what a server says in a file that nobody reads
        async with self.runtime.hold():
            with self.runtime.session("stdio"):
                serving = asyncio.ensure_future(super().run_stdio_async())
                waiting = asyncio.ensure_future(told.wait())
                await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if serving.done():
                    return serving.result()
            await self.runtime.stop()
        self.before_exit()
        logging.shutdown()
        stderr.drain()
        os._exit(0)

    def sse_app(self, **_: Any) -> Any:
        """For `mcp run -t sse`: the same application as `serve --transport http`."""
        from vibe_orderbook_mcp.http import http_app  # noqa: PLC0415  # http imports this module

        return http_app(self)


def _nothing() -> None:
    pass


def create_server(settings: Settings) -> VibeServer:
    # Reading history takes a thread of its own many milliseconds; the event loop, which books and clients wait for,
    # should not wait Python's usual 5 ms for its turn.
    sys.setswitchinterval(SWITCH_SECS)
    return VibeServer(settings)
