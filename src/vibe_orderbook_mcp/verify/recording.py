"""`verify`: all instruments of a recording."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from loguru import logger

from vibe_orderbook_mcp.frames.lines import RecordedLine, RecordingFile, read_lines, with_answers
from vibe_orderbook_mcp.frames.venues import LABELS, SPECIAL, Recognizer, of_one_shape
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.verify.binance_spot import BinanceFuturesRules, BinanceSpotRules
from vibe_orderbook_mcp.verify.book_check import Top
from vibe_orderbook_mcp.verify.bybit import BybitRules
from vibe_orderbook_mcp.verify.coinbase import CoinbaseRules
from vibe_orderbook_mcp.verify.deribit import DeribitRules
from vibe_orderbook_mcp.verify.gateio import GateRules
from vibe_orderbook_mcp.verify.hyperliquid import HyperliquidRules
from vibe_orderbook_mcp.verify.instrument import InstrumentCheck
from vibe_orderbook_mcp.verify.kraken import KrakenRules
from vibe_orderbook_mcp.verify.kraken_futures import KrakenFuturesRules
from vibe_orderbook_mcp.verify.kucoin import KucoinRules
from vibe_orderbook_mcp.verify.okx import OkxRules
from vibe_orderbook_mcp.verify.parts import (
    BookAnswer,
    FramesLost,
    UnreadableFrame,
    VenueRules,
)

RULES: Final[dict[str, Callable[[], VenueRules]]] = {
    "binance": BinanceSpotRules,
    "binance-us": lambda: BinanceSpotRules("binance-us"),
    "binance-usdm": BinanceFuturesRules,
    "binance-coinm": lambda: BinanceFuturesRules("binance-coinm"),
    "kraken": KrakenRules,
    "coinbase": CoinbaseRules,
    "okx": OkxRules,
    "bybit": BybitRules,
    "bybit-linear": lambda: BybitRules("bybit-linear"),
    "hyperliquid": HyperliquidRules,
    "deribit": DeribitRules,
    "kucoin": KucoinRules,
    "gateio": GateRules,
    "kraken-futures": KrakenFuturesRules,
}


_SYMBOL: Final = re.compile(
    rb'"(?:s|symbol|instId|product_id|coin|instrument_name|contract|currency_pair)"\s*:\s*"([^"]{1,60})"'
    rb'|"stream"\s*:\s*"([^"@]{1,60})@|"topic"\s*:\s*"[^"]{1,60}[.:]([^".:]{1,60})"'
)


class Found(msgspec.Struct, frozen=True):
    """`instruments` are the reports by name; see `InstrumentCheck.reports`."""

    instruments: list[dict[str, Any]]
    is_sound: bool


def verify_files(files: Sequence[Path], venue: str | None = None, top: Callable[[Top], object] | None = None) -> Found:
    """Rebuild every book. `top` gets the best levels after each applied frame. Raises ConfigError.

    Lines are counted from 1 over `files` in their order. REST answers may lie in any of them, or beside them.
    """
    first = _FirstReading(with_answers(files), venue)
    run = _Run(first, top)
    before = 0
    for path in files:
        file = RecordingFile(path, lambda _sentence: None)  # said at the first reading
        for line in file:
            run.take(path, line, before + line.number)
        before += file.lines
    found = (check for check in run.checks.values() if not check.is_mentioned_alone)
    checks = sorted(found, key=lambda check: check.instrument)
    if not checks:
        names = ", ".join(path.name for path in files)
        raise ConfigError(f"There is nothing to verify in {names}; recordings of {_verified()} can be verified.")
    for check in checks:
        check.finish()
    reports = [report for check in checks for report in check.reports()]
    return Found(reports, all(check.is_sound for check in checks))


class _Run:
    """The second reading: each part to the instrument that it is of."""

    def __init__(self, first: _FirstReading, top: Callable[[Top], object] | None) -> None:
        self.checks: dict[str, InstrumentCheck] = {}
        self._first = first
        self._rules = first.rules
        self._top = top

    def take(self, path: Path, line: RecordedLine, number: int) -> None:
        try:
            parts = self._rules.parts(line)
        except UnreadableFrame as error:
            symbol = _symbol_in(line.frame)
            if not symbol:
                raise ConfigError(f"{path.name}, line {line.number}, cannot be read: {error}.") from error
            self._check(symbol).unread(number, str(error))
            return
        for part in parts:
            if isinstance(part, FramesLost):
                for check in self.checks.values():
                    check.receive(number, part)
            elif not isinstance(part, BookAnswer):
                shown = self._check(part.symbol).receive(number, part)
                if shown is not None and self._top is not None:
                    self._top(shown)

    def _check(self, symbol: str) -> InstrumentCheck:
        check = self.checks.get(symbol)
        if check is None:
            check = self.checks[symbol] = InstrumentCheck(self._rules, symbol, self._first.answers_of(symbol))
        return check


class _FirstReading:
    """The venue of the files, and every whole book in them: it may come after the frames that continue it."""

    def __init__(self, paths: Sequence[Path], venue: str | None) -> None:
        if venue is not None and venue not in RULES:
            raise ConfigError(f"--venue is {venue!r}; recordings of {_verified()} can be verified.")
        self._symbols: dict[Path, set[str]] = {path: set() for path in paths}  # symbols with frames in a file
        self._answers: list[tuple[Path, BookAnswer]] = []
        waiting: list[tuple[Path, RecordedLine]] = []
        seen: dict[Path, str] = {}
        said: set[Path] = set()  # by addresses
        for path in paths:
            of_file = Recognizer()
            for line in read_lines(path, logger.warning):
                of_file.see(line.frame, line.url)
                if line.is_answer or _may_be_answer(line.frame[:400]):
                    waiting.append((path, line))
                elif symbol := _symbol_in(line.frame[:400]):
                    self._symbols[path].add(symbol)
            if (found := of_file.venue) is not None:
                seen[path] = found
                said |= {path} if of_file.is_said else set()
                self._refuse_others(path, found, venue, is_said=of_file.is_said)
        self.rules: VenueRules = RULES[venue or _one_of(seen, said)]()
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

    def _refuse_others(self, path: Path, found: str, venue: str | None, *, is_said: bool) -> None:
        """`is_said`: by its addresses. Venues with frames of one shape differ by nothing else."""
        if found not in RULES:
            said = f"recordings of {_verified()} can be verified"
        elif venue is not None and found != venue and (is_said or not of_one_shape(found, venue)):
            said = f"--venue says {LABELS[venue]} ({venue})"
        else:
            return
        raise ConfigError(f"{path.name} is a recording of {LABELS[found]} ({found}); {said}.")

    def _keep_answer(self, path: Path, line: RecordedLine) -> None:
        try:
            parts = self.rules.parts(line)
        except UnreadableFrame as error:
            raise ConfigError(f"{path.name}, line {line.number}, cannot be read: {error}.") from error
        self._answers += [(path, part) for part in parts if isinstance(part, BookAnswer)]


def _may_be_answer(start: bytes) -> bool:
    """Streams of a book's best levels have the same field."""
    return b'"lastUpdateId"' in start and b'"stream"' not in start


def _one_of(seen: dict[Path, str], said: set[Path]) -> str:
    """The venue of all files; of `said` it is known by addresses. Raises ConfigError where they are of several."""
    venues = sorted(seen, key=lambda path: (path not in said, seen[path] not in SPECIAL))
    found = seen[venues[0]] if venues else "binance"
    if not all(of_one_shape(found, other) for other in seen.values()):
        of_files = ", ".join(f"{path.name} of {LABELS[found]} ({found})" for path, found in seen.items())
        raise ConfigError(f"The files are of several venues: {of_files}; verify each by itself.")
    return found


def _verified() -> str:
    names = [f"{LABELS[venue]} ({venue})" for venue in RULES]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _symbol_in(frame: bytes) -> str:
    found = _SYMBOL.search(frame)
    if found is None:
        return ""
    named, stream, topic = found.groups()
    return stream.decode(errors="replace").upper() if stream else (named or topic).decode(errors="replace")
