"""`verify`: all instruments of a recording."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from loguru import logger

from vibe_orderbook_mcp.frames.lines import RecordedLine, RecordingFile, read_lines, with_answers
from vibe_orderbook_mcp.frames.venues import LABELS, Recognizer
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.verify.binance_spot import BinanceSpotRules
from vibe_orderbook_mcp.verify.instrument import InstrumentCheck, Top
from vibe_orderbook_mcp.verify.parts import (
    BestPrices,
    BookAnswer,
    BookUpdate,
    TradeNumber,
    UnreadableFrame,
    VenueRules,
)

# Another venue is a module with its `VenueRules`, and an entry here.
RULES: Final[dict[str, Callable[[], VenueRules]]] = {
    "binance": BinanceSpotRules,
    "binance-us": lambda: BinanceSpotRules("binance-us"),
}


_SYMBOL: Final = re.compile(rb'"(?:s|symbol)"\s*:\s*"([^"]{1,60})"|"stream"\s*:\s*"([^"@]{1,60})@')


class Found(msgspec.Struct, frozen=True):
    """`instruments` are the reports by name; see `InstrumentCheck.report`."""

    instruments: list[dict[str, Any]]
    is_sound: bool


def verify_files(files: Sequence[Path], venue: str | None = None, top: Callable[[Top], object] | None = None) -> Found:
    """Rebuild every book. `top` gets the best levels after each applied frame. Raises ConfigError.

    Lines are counted from 1 over `files` in their order. REST answers may lie in any of them, or beside them.
    """
    first = _FirstReading(with_answers(files), venue)
    checks: dict[str, InstrumentCheck] = {}
    before = 0
    for path in files:
        file = RecordingFile(path, lambda _sentence: None)  # said at the first reading
        for line in file:
            _take(first, checks, path, line, before + line.number, top)
        before += file.lines
    if not checks:
        raise ConfigError(f"There is nothing to verify in {', '.join(path.name for path in files)}.")
    for check in checks.values():
        check.finish()
    ordered = sorted(checks.values(), key=lambda check: check.instrument)
    return Found([check.report() for check in ordered], all(check.is_sound for check in ordered))


def _take(
    first: _FirstReading,
    checks: dict[str, InstrumentCheck],
    path: Path,
    line: RecordedLine,
    number: int,
    top: Callable[[Top], object] | None,
) -> None:
    def check_of(symbol: str) -> InstrumentCheck:
        if symbol not in checks:
            checks[symbol] = InstrumentCheck(first.rules, symbol, first.answers_of(symbol))
        return checks[symbol]

    try:
        part = first.rules.part(line)
    except UnreadableFrame as error:
        symbol = _symbol_in(line.frame)
        if not symbol:
            raise ConfigError(f"{path.name}, line {line.number}, cannot be read: {error}.") from error
        check_of(symbol).unread(number, str(error))
        return
    if isinstance(part, BookUpdate):
        shown = check_of(part.symbol).frame(number, part)
        if shown is not None and top is not None:
            top(shown)
    elif isinstance(part, BestPrices):
        check_of(part.symbol).best_prices(part)
    elif isinstance(part, TradeNumber):
        check_of(part.symbol).trade(number, part)


class _FirstReading:
    """The venue of the files, and every whole book in them: it may come after the frames that continue it."""

    def __init__(self, paths: Sequence[Path], venue: str | None) -> None:
        if venue is not None and venue not in RULES:
            raise ConfigError(f"--venue is {venue!r}; recordings of {_verified()} can be verified.")
        self._symbols: dict[Path, set[str]] = {path: set() for path in paths}  # of which a file has frames
        self._answers: list[tuple[Path, BookAnswer]] = []
        waiting: list[tuple[Path, RecordedLine]] = []
        recognizer = Recognizer()
        for path in paths:
            of_file = Recognizer()
            for line in read_lines(path, logger.warning):
                self._see(path, line, of_file.see(line.frame, line.url), venue)
                if b'"lastUpdateId"' in line.frame[:400]:
                    waiting.append((path, line))
                elif not line.is_answer and (symbol := _symbol_in(line.frame[:400])):
                    self._symbols[path].add(symbol)
            if (found := of_file.venue) is not None:
                recognizer.seen[found] += 1
                self._see(path, None, found, venue)
        self.rules: VenueRules = RULES[venue or recognizer.venue or "binance"]()
        for path, line in waiting:
            self._keep_answer(path, line)

    def answers_of(self, symbol: str) -> list[BookAnswer]:
        """Those that name the symbol, and those that name none and may be its."""
        return [
            answer
            for path, answer in self._answers
            if answer.symbol == symbol
            or (not answer.symbol and (not self._symbols[path] or symbol in self._symbols[path]))
        ]

    def _see(self, path: Path, line: RecordedLine | None, found: str | None, venue: str | None) -> None:
        is_said = line is not None and bool(line.url)  # venues with frames of one shape differ by their addresses
        if found is not None and (found not in RULES or (is_said and venue not in (None, found))):
            raise ConfigError(
                f"{path.name} is a recording of {LABELS[found]} ({found}); recordings of {_verified()} can be verified."
            )

    def _keep_answer(self, path: Path, line: RecordedLine) -> None:
        try:
            part = self.rules.part(line)
        except UnreadableFrame as error:
            raise ConfigError(f"{path.name}, line {line.number}, cannot be read: {error}.") from error
        if isinstance(part, BookAnswer):
            self._answers.append((path, part))


def _verified() -> str:
    return " and ".join(f"{LABELS[venue]} ({venue})" for venue in RULES)


def _symbol_in(frame: bytes) -> str:
    found = _SYMBOL.search(frame)
    return "" if found is None else (found[1] or found[2]).decode(errors="replace").upper()
