"""Recordings of Binance spot as a replay serves them: each line a record with its time and its symbol."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn
from urllib.parse import parse_qs, urlsplit

import msgspec
from loguru import logger

from vibe_orderbook_mcp.frames.lines import RecordedLine, read_lines, with_answers
from vibe_orderbook_mcp.frames.venues import LABELS, Recognizer
from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, Depth, DepthEvent, Event, TextLevel, TradeFill

SERVED: Final = ("binance", "binance-us")


class Record(NamedTuple):
    """One line that matters to a replay, and its file.

    `what` of an exchangeInfo answer is the decoded JSON, with no symbol. A depth answer that does not say whose it is
    has its file's first symbol, and is not `is_named`.
    """

    received_ns: int
    symbol: str
    what: Event | Depth | dict[str, Any]
    path: Path
    is_named: bool = True


class _Line(msgspec.Struct, rename={"last_update_id": "lastUpdateId"}):
    """A frame of a combined stream, a frame of a single stream, or a REST answer."""

    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    e: str = ""
    u: int | None = None
    last_update_id: int | None = None
    bids: list[TextLevel] = []
    asks: list[TextLevel] = []
    symbol: str = ""
    symbols: msgspec.Raw = msgspec.Raw()


_LINE: Final = msgspec.json.Decoder(_Line)
_KINDS: Final[dict[str, type[Event]]] = {
    "depth": DepthEvent,
    "aggTrade": AggTrade,
    "trade": TradeFill,
    "bookTicker": BookTicker,
}
_EVENTS: Final = {"depthUpdate": "depth", "aggTrade": "aggTrade", "trade": "trade"}
_STREAM_NAME: Final = re.compile(rb'"stream"\s*:\s*"([^"@]+)@|"s"\s*:\s*"([^"]+)"')
_PAYLOADS: Final = {kind: msgspec.json.Decoder(type_) for kind, type_ in _KINDS.items()}


def read(files: Sequence[Path], check: Check | None = None) -> Iterator[Record]:
    """All records of all files, merged by the time they were received. Raises ConfigError.

    A first reading should `check` whose frames they are, and says where a file is cut.
    """
    return merge(*(_records(path, check) for path in files), key=lambda record: record.received_ns)


class Check:
    """That all frames can be those of Binance spot, and of `venue` where one is named."""

    def __init__(self, venue: str | None = None) -> None:
        if venue is not None and venue not in SERVED:
            raise ConfigError(f"--venue is {venue!r}; recordings of {_served()} can be replayed.")
        self._venue = venue
        self._recognizers: dict[Path, Recognizer] = {}

    def see(self, path: Path, line: RecordedLine) -> None:
        """Raises ConfigError for a frame of another venue."""
        found = self._recognizers.setdefault(path, Recognizer()).see(line.frame, line.url)
        is_said = bool(line.url)  # both kinds of spot have frames of one shape
        if found is not None and (found not in SERVED or (is_said and self._venue not in (None, found))):
            _refuse(path, found)

    def finish(self, path: Path) -> None:
        found = self._recognizers[path].venue if path in self._recognizers else None
        if found is not None and found not in SERVED:
            _refuse(path, found)


def _refuse(path: Path, venue: str) -> NoReturn:
    raise ConfigError(f"{path.name} is a recording of {LABELS[venue]} ({venue}); {_served()} can be replayed.")


def _served() -> str:
    return " and ".join(f"{LABELS[venue]} ({venue})" for venue in SERVED)


def book_tickers(files: Sequence[Path]) -> dict[str, list[tuple[int, str, str, str, str]]]:
    """The recorded best prices, an independent truth: (update id, bid, bid size, ask, ask size) by symbol, in order."""
    out: dict[str, list[tuple[int, str, str, str, str]]] = {}
    for record in read(files):
        if isinstance(what := record.what, BookTicker):
            row = (what.update_id, what.bid, what.bid_size, what.ask, what.ask_size)
            out.setdefault(record.symbol, []).append(row)
    return out


def complete(files: Sequence[Path]) -> list[Path]:
    """The files, and the REST answers that lie beside them. Raises ConfigError."""
    return with_answers(files)


def _records(path: Path, check: Check | None) -> Iterator[Record]:
    now_ns = 0
    for line in read_lines(path, logger.debug if check is None else logger.warning):
        if check is not None:
            check.see(path, line)
        try:
            record = _record(path, line, now_ns)
        except (ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise ConfigError(f"{path.name}, line {line.number}, is not a frame of {_served()}: {error}.") from None
        if record is not None:
            now_ns = record.received_ns
            yield record
    if check is not None:
        check.finish(path)


def _record(path: Path, line: RecordedLine, now_ns: int) -> Record | None:
    """`now_ns` is the time of the line before: the one of a line that has none and says none."""
    frame = _LINE.decode(line.frame)
    received_ns = now_ns if line.received_ns is None else line.received_ns
    if frame.last_update_id is not None:
        named = frame.symbol or parse_qs(urlsplit(line.url).query).get("symbol", [""])[0]
        snapshot = Depth(frame.last_update_id, frame.bids, frame.asks)
        return Record(received_ns, named or _first_symbol(path), snapshot, path, bool(named))
    if bytes(frame.symbols):
        return Record(received_ns, "", msgspec.json.decode(line.frame), path)
    kind = frame.stream.partition("@")[2].partition("@")[0] if frame.stream else _EVENTS.get(frame.e, "")
    if not frame.stream and not frame.e and frame.u is not None:
        kind = "bookTicker"
    decoder = _PAYLOADS.get(kind)
    if decoder is None:
        return None
    event = decoder.decode(frame.data if frame.stream else line.frame)
    if line.received_ns is None and not isinstance(event, BookTicker):
        received_ns = max(now_ns, event.event_ms * 1_000_000)
    return Record(received_ns, event.symbol, event, path)


def _first_symbol(path: Path) -> str:
    for line in read_lines(path, logger.debug):
        found = _STREAM_NAME.search(line.frame)
        if found is not None:
            return (found[1] or found[2]).decode(errors="replace").upper()
    return ""
