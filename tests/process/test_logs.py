"""Logging: to stderr only, as text or as one JSON object a line, with standard logging in the same log."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from loguru import logger

from vibe_orderbook_mcp.process.logs import printable, set_up_logging


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Setting up logging is the process's own affair: put back what the test run had."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logging.Logger.manager.loggerDict}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in levels.items():
        logging.getLogger(name).setLevel(old)
    logger.remove()
    logger.add(sys.__stderr__ or sys.stderr)  # not a test's own, which is closed after it


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_one_object_a_line_with_the_bound_fields(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("INFO", "json")
    logger.bind(symbol="币安人生USDT", timestamp=1795443450).info(
        "Stored snapshot for {} at {}", "币安人生USDT", 1795443450
    )
    logger.debug("not at this level")
    logger.warning("two\nlines")
    out, err = capsys.readouterr()
    assert out == ""
    stored, two = lines(err)
    assert stored["message"] == "Stored snapshot for 币安人生USDT at 1795443450"
    assert (stored["level"], stored["symbol"], stored["timestamp"]) == ("INFO", "币安人生USDT", 1795443450)
    assert stored["time"][:2] == "20"
    assert (two["level"], two["message"]) == ("WARNING", "two\nlines")


def test_a_crash_is_logged_with_its_stack_in_both_formats(capsys: pytest.CaptureFixture[str]) -> None:
    """To repair it one needs to know where it was."""

    def failing() -> None:
        raise ZeroDivisionError("by zero")

    for style in ("json", "text"):
        set_up_logging("INFO", style)
        try:
            failing()
        except ZeroDivisionError as error:
            logger.opt(exception=error).error("Tool failed")
        out, err = capsys.readouterr()
        assert out == ""
        text = lines(err)[0]["exception"] if style == "json" else err
        assert "ZeroDivisionError: by zero" in text
        assert "in failing" in text


def test_text_names_time_level_and_message_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("DEBUG", "text")
    logger.bind(symbol="BTCUSDT").debug("Captured snapshot for {}", "BTCUSDT")
    out, err = capsys.readouterr()
    assert out == ""
    assert "DEBUG" in err
    assert err.endswith("Captured snapshot for BTCUSDT\n")


def test_standard_logging_comes_into_the_same_log(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("INFO", "json")
    logging.getLogger("somebody").warning("with %s and {braces}", "arguments")
    logging.getLogger("somebody").info("of no interest")
    for name in ("httpx", "uvicorn.access", "websockets.client", "mcp.server.lowlevel"):
        logging.getLogger(name).info("a line a request")
    try:
        int("x")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("it broke")
    found = lines(capsys.readouterr().err)
    assert [line["message"] for line in found] == ["with arguments and {braces}", "it broke"]
    assert "ValueError" in found[1]["exception"]


def test_a_record_that_cannot_be_put_together_does_not_stop_its_sender(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Standard logging promises that: a library's slip must not break what it was doing."""
    set_up_logging("INFO", "text")
    logging.getLogger("somebody").error("%d", "not a number")
    logging.getLogger("somebody").error("goes on")
    assert "goes on" in capsys.readouterr().err


def test_setting_up_twice_does_not_log_twice(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        set_up_logging("INFO", "json")
    logger.info("once")
    logging.getLogger("somebody").error("once too")
    assert len(lines(capsys.readouterr().err)) == 2


HOSTILE = [
    "BTC\n2026-11-23 12:00:00.000 ERROR   forged",
    "BTC\r\nforged",
    "\x1b[2J\x1b[31mred\x1b[0m",
    "\x9b31mred",
    "\x00nul\x7f",
    "one\u2028two\u2029three\x85four",
    "\u202etxt.exe",
    "\ud800 alone",
    "{shown} {extra} <red>no markup</red> %s",
]


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("text", HOSTILE)
def test_nobody_can_forge_a_line_or_colour_a_terminal(
    text: str, style: Literal["text", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    """Symbols, paths, headers and the exchange's reasons come into the log, and others chose them."""
    set_up_logging("INFO", style)
    logger.bind(symbol=text).warning("Refused {}", text)
    logger.opt(exception=ValueError(text)).error("Failed")
    logging.getLogger("somebody").warning(text.replace("%", "%%"))
    err = capsys.readouterr().err
    for line in err.split("\n"):
        assert printable(line) == line
        assert not line.startswith(("forged", "2026-11-23 12"))
    begun = [line for line in err.split("\n") if re.match(r"\{|\d{4}-\d\d-\d\d ", line)]
    assert len(begun) == 3
    if style == "json":
        refused = json.loads(begun[0])
        assert refused["message"] == "Refused " + text
        assert refused["symbol"] == text
    else:
        assert f"Refused {printable(text)}" in begun[0]
