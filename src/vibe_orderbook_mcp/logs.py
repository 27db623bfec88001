"""Logging to stderr; stdout belongs to the protocol."""

from __future__ import annotations

import inspect
import json
import logging
import sys
import traceback
from typing import TYPE_CHECKING, Literal

from loguru import logger

if TYPE_CHECKING:
    from loguru import Message

TEXT = "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <7}</level> {message}"


# uvicorn says this of every event stream that a stop ends: nothing failed.
EXPECTED = "ASGI callable returned without completing response"


class _Forward(logging.Handler):
    """Standard logging (uvicorn, the SDK, httpx) into the same log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception:  # somebody's arguments do not fit their text: said on stderr, and the caller goes on
            self.handleError(record)
            return
        if EXPECTED in text:
            return
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
    sys.stderr.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")


def set_up_logging(level: str, style: Literal["text", "json"]) -> None:
    """Call before the MCP server is made: the SDK sets up a handler of its own where none is."""
    logger.remove()
    if style == "json":
        # Without these two, values of local variables are gathered for every stack that is logged.
        logger.add(_write_json, level=level, backtrace=False, diagnose=False)
    else:
        logger.add(sys.stderr, level=level, format=TEXT, backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_Forward()], level=logging.NOTSET, force=True)
    # One line a request or frame helps nobody; what goes wrong there is said by us, or at WARNING.
    for name in ("httpx", "httpcore", "websockets", "uvicorn.access", "sse_starlette", "asyncio", "mcp", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger().setLevel(logging.WARNING)
