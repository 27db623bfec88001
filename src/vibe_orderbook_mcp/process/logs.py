"""Logging to stderr; stdout belongs to the protocol. No caller waits for a line: see `stderr`."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Literal, TypedDict

from loguru import logger

from vibe_orderbook_mcp.process.stderr import never_waiting

if TYPE_CHECKING:
    from loguru import Message, Record

TEXT = "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <7}</level> {extra[shown]}"


# Log lines of libraries about requests that anybody can send. We answer such requests and count some of them.
EXPECTED = (
    "ASGI callable returned without completing response",  # for every event stream that ends at a stop
    "Invalid HTTP request received",
    "Failed to parse message",  # with the message and a stack
    "Received request without session_id",
    "Received invalid session ID",
    "Could not find session for ID",
)

# Control characters (a line break forges a line, an escape colours a terminal), Unicode's own line breaks, and
# characters that reverse the direction of text.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def printable(text: str) -> str:
    """Untrusted text on one line, without effect on the terminal that shows it."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Options(TypedDict):
    """Arguments of a loguru sink."""

    backtrace: bool
    diagnose: bool
    enqueue: bool
    serialize: bool
    catch: bool


class _Forward(logging.Handler):
    """Standard logging (uvicorn, the SDK, httpx) into the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # arguments that do not fit their text: reported on stderr, and the caller goes on
            self.handleError(record)
            return
        if text.startswith(EXPECTED) or (record.exc_info and record.exc_info[0] is asyncio.CancelledError):
            return  # a request that a stop cut off is not a crash
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        frame, depth = inspect.currentframe(), 0
        while frame is not None and (depth == 0 or frame.f_code.co_filename == logging.__file__):
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log(level, "{}", text)


def _write_json(message: Message) -> None:
    record = message.record
    line = {
        **record["extra"],
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "message": record["message"],
    }
    if (error := record["exception"]) is not None:
        line["exception"] = "".join(traceback.format_exception(error.type, error.value, error.traceback))
    # Characters that JSON leaves as they are, escaped in JSON's way.
    if sys.stderr is not None:  # closed by the process that started this one
        sys.stderr.write(printable(json.dumps(line, ensure_ascii=False, default=str)) + "\n")


def _text(record: Record) -> str:
    """The format of one record. A stack is indented, so that none of its lines looks like another record."""
    record["extra"]["shown"] = printable(record["message"])
    if (error := record["exception"]) is None:
        return TEXT + "\n"
    stack = "".join(traceback.format_exception(error.type, error.value, error.traceback))
    record["extra"]["stack"] = "\n".join("    | " + printable(line) for line in stack.split("\n") if line)
    return TEXT + "\n{extra[stack]}\n"


def _say_dropped(level: str, lines: int, secs: float) -> None:
    logger.log(level, "{} log lines were dropped in {:.0f} s because standard error was not read", lines, secs)


def set_up_logging(level: str, style: Literal["text", "json"]) -> None:
    """Call before the MCP server is made: without a handler the SDK installs its own."""
    logger.remove()
    if (lines := never_waiting()) is not None:
        # At a level of ERROR the dropped lines were errors.
        lines.say_dropped = partial(_say_dropped, level if level in ("ERROR", "CRITICAL") else "WARNING")
    # Without the first two, loguru collects the local variables of every logged stack. Its environment variables could
    # set the others.
    options: Options = {"backtrace": False, "diagnose": False, "enqueue": False, "serialize": False, "catch": True}
    if style == "json":
        logger.add(_write_json, level=level, **options)
    elif sys.stderr is not None:  # closed by the process that started this one
        logger.add(sys.stderr, level=level, format=_text, **options)
    logging.basicConfig(handlers=[_Forward()], level=logging.NOTSET, force=True)
    # One line a request or frame is useless. Errors there are logged by us, or at WARNING.
    for name in ("httpx", "httpcore", "websockets", "uvicorn.access", "sse_starlette", "asyncio", "mcp", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger().setLevel(logging.WARNING)
