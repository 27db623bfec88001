"""A server over an in-memory SDK client, on a simulated exchange behind real sockets and a real data directory."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from loguru import logger
from mcp import Client
from mcp_types import CallToolResult, TextContent

from tests.collect.venue import feed_of
from tests.e2e.rig import settings_for
from tests.patience import PATIENCE_SECS
from vibe_orderbook_mcp.model.errors import RefusalCode
from vibe_orderbook_mcp.serve.limits import HttpLimits
from vibe_orderbook_mcp.serve.mcp_server import VibeServer
from vibe_orderbook_mcp.sim import SimConfig, SimExchange
from vibe_orderbook_mcp.sim.server import VenueServer

Mode = Literal["auto", "legacy"]
CODES = set(RefusalCode.__args__)  # type: ignore[attr-defined]  # a Literal has them
# What tells of the inside: a path, a stack, the name of an exception class.
INSIDE = re.compile(r"(/tmp/|/home/|/root/|\.py\b|Traceback|File \"|\b[A-Z]\w*(Error|Exception|Warning)\b|pydantic)")


class Serving(NamedTuple):
    sim: SimExchange
    server: VibeServer
    client: Client


def exchange(*symbols: str, **changes: Any) -> SimExchange:
    return SimExchange(SimConfig(symbols=symbols or ("BTCUSDT",), seed=5, history_hours=0.0, **changes))


@contextlib.asynccontextmanager
async def serving(
    path: Path, sim: SimExchange, *, mode: Mode = "auto", live: tuple[str, ...] = ("BTCUSDT",), **settings: Any
) -> AsyncIterator[Serving]:
    """Eager BTCUSDT unless said otherwise; entered once the symbols of `live` have a book."""
    async with sim:
        server = server_for(sim, path, **settings)
        async with Client(server, mode=mode) as client:
            for symbol in live:
                assert await feed_of(server.runtime).wait_live(symbol, PATIENCE_SECS)
            yield Serving(sim, server, client)


def server_for(sim: VenueServer, path: Path, limits: HttpLimits | None = None, **settings: Any) -> VibeServer:
    settings = {"symbols": "BTCUSDT", "backfill_hours": 0, **settings}
    return VibeServer(settings_for(sim.rest_url, sim.ws_url, path, **settings), limits)


async def answer(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's structured content; its text is the same JSON, without indentation and trailing zeros of book levels.

    A book that is not there yet is asked for again after the delay, as a client does: a busy machine takes its time.
    """
    async with asyncio.timeout(PATIENCE_SECS):
        while (result := await client.call_tool(tool, arguments)).is_error:
            refused = json.loads(text_of(result))
            assert refused["code"] == "syncing", result.content
            await asyncio.sleep(refused["retry_after_secs"])
    body: dict[str, Any] | None = result.structured_content
    assert body is not None
    assert json.loads(text_of(result)) == as_text(body)
    assert "\n" not in text_of(result)
    assert '": ' not in re.sub(r'"[^"]*: [^"]*"', "", text_of(result))
    return body


def as_text(body: dict[str, Any]) -> dict[str, Any]:
    """What an answer's text says, given its structured content."""
    out = dict(body)
    for side in body.keys() & {"bids", "asks"}:
        out[side] = [[short(part) for part in level] for level in body[side]]
    for name in body.keys() & {"bid_horizon", "ask_horizon"}:
        out[name] = short(body[name])
    return out


def short(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


async def refusal(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's refusal: one JSON object that says what to do and nothing of the inside."""
    return checked_refusal(await client.call_tool(tool, arguments))


def checked_refusal(result: CallToolResult) -> dict[str, Any]:
    assert result.is_error, result.content
    assert result.structured_content is None
    body: dict[str, Any] = json.loads(text_of(result), parse_constant=_no_constant)
    assert set(body) - {"retry_after_secs"} == {"code", "message", "hint"}
    assert body["code"] in CODES
    assert body["message"]
    assert body["hint"]
    assert INSIDE.search(text_of(result)) is None, text_of(result)
    if "retry_after_secs" in body:
        assert 0 < body["retry_after_secs"] < 1e6
    return body


@contextlib.contextmanager
def tracebacks() -> Iterator[list[str]]:
    """The errors that are logged meanwhile, each with its traceback."""
    found: list[str] = []

    def note(message: Any) -> None:
        if (error := message.record["exception"]) is not None:
            found.append(message.record["message"] + "\n" + "".join(traceback.format_exception(error.value)))

    sink = logger.add(note, level="ERROR", backtrace=False, diagnose=False)
    try:
        yield found
    finally:
        logger.remove(sink)


def text_of(result: CallToolResult) -> str:
    (only,) = result.content
    assert isinstance(only, TextContent)
    return only.text


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")
