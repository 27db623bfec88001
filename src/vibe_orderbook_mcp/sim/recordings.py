"""Recordings of an exchange's public streams, read back line by line.

Three line formats, plain or gzipped, may be mixed:

    <ns> {"stream": ..., "data": {...}}        a frame as received
    <ns> {"lastUpdateId": ..., "bids": ...}    a REST depth answer, of the file's symbol or of its "symbol" key
    <ns> {"timezone": ..., "symbols": [...]}   an exchangeInfo answer
    <seconds>: {...}                           the same three, in the older format, whose first line names a URL
    https://... -> <seconds>: {...}            a REST answer of the older format, in a file of its own
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

from vibe_orderbook_mcp.errors import ConfigError
from vibe_orderbook_mcp.sim.wire import AggTrade, BookTicker, Depth, DepthUpdate, Event, TextLevel, TradeFill


class Record(NamedTuple):
    """One line that matters to a replay. `what` of an exchangeInfo answer is the decoded JSON, with no symbol."""

    received_ns: int
    symbol: str
    what: Event | Depth | dict[str, Any]


class _Line(msgspec.Struct, rename={"last_update_id": "lastUpdateId"}):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()
    last_update_id: int | None = None
    bids: list[TextLevel] = []
    asks: list[TextLevel] = []
    symbol: str = ""
    symbols: msgspec.Raw = msgspec.Raw()


_STREAM_NAME: Final = re.compile(rb'"stream"\s*:\s*"([^@"]+)@')
_LINE: Final = msgspec.json.Decoder(_Line)
_PAYLOADS: Final[dict[str, msgspec.json.Decoder[Event]]] = {
    "depth": msgspec.json.Decoder(DepthUpdate),
    "aggTrade": msgspec.json.Decoder(AggTrade),
    "trade": msgspec.json.Decoder(TradeFill),
    "bookTicker": msgspec.json.Decoder(BookTicker),
}


def read(files: Sequence[Path]) -> Iterator[Record]:
    """All records of all files, merged by the time they were received."""
    return merge(*(_records(path) for path in files), key=lambda record: record.received_ns)


def book_tickers(files: Sequence[Path]) -> dict[str, list[tuple[int, str, str, str, str]]]:
    """The recorded best prices, an independent truth: (update id, bid, bid size, ask, ask size) by symbol, in order."""
    out: dict[str, list[tuple[int, str, str, str, str]]] = {}
    for record in read(files):
        if isinstance(what := record.what, BookTicker):
            row = (what.update_id, what.bid, what.bid_size, what.ask, what.ask_size)
            out.setdefault(record.symbol, []).append(row)
    return out


def complete(files: Sequence[Path]) -> list[Path]:
    """The files, and for frames of the older format the REST answers that lie beside them."""
    for path in files:
        if not path.is_file():
            raise ConfigError(f"There is no recording {path}.")
    if any(_first_bytes(path).startswith(b"http") for path in files):
        return list(files)
    beside = {
        answer
        for path in files
        if _first_bytes(path).startswith(b"ws")
        for answer in path.parent.iterdir()
        if ".http." in answer.name and answer.name.split(".")[0] == path.name.split(".")[0]
    }
    return [*files, *sorted(beside)]


def _first_bytes(path: Path) -> bytes:
    with _open(path) as file:
        head: bytes = file.read(8)
    return head


def _open(path: Path) -> Any:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else path.open("rb")


def _records(path: Path) -> Iterator[Record]:
    symbol = _symbol_of(path)
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            try:
                record = _record(line, symbol)
            except (ValueError, msgspec.MsgspecError) as error:
                raise ConfigError(f"{path.name}, line {number}, is not a recorded line: {error}.") from None
            if record is not None:
                yield record


def _symbol_of(path: Path) -> str:
    """The symbol of the file's first frame: a REST answer may come before it and does not say whose it is."""
    with _open(path) as file:
        for line in file:
            found = _STREAM_NAME.search(line)
            if found:
                return found.group(1).decode().upper()
    return ""


def _record(line: bytes, file_symbol: str) -> Record | None:
    line = line.strip()
    if not line or line.startswith(b"ws"):
        return None
    symbol = file_symbol
    if line.startswith(b"http"):
        url, _, line = line.partition(b" -> ")
        symbol = parse_qs(urlsplit(url.decode()).query).get("symbol", [""])[0]
    stamp, _, text = line.partition(b" ")
    received_ns = int(float(stamp[:-1]) * 1e9) if stamp.endswith(b":") else int(stamp)
    frame = _LINE.decode(text)
    if frame.stream:
        name, _, kind = frame.stream.partition("@")
        decoder = _PAYLOADS.get(kind.partition("@")[0])
        return None if decoder is None else Record(received_ns, name.upper(), decoder.decode(frame.data))
    if frame.last_update_id is not None:
        snapshot = Depth(frame.last_update_id, frame.bids, frame.asks)
        return Record(received_ns, frame.symbol or symbol, snapshot)
    if bytes(frame.symbols):
        return Record(received_ns, "", msgspec.json.decode(text))
    return None
