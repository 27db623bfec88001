"""A recording of a public stream, read line by line, whatever its venue.

Lines of four forms are read, plain or gzipped:

    <unix time> <frame>                  10, 13, 16 or 19 digits: seconds, milliseconds, microseconds, nanoseconds
    <seconds>: <frame>                   what cryptofeed writes
    <url> -> <seconds>: <answer>         a REST answer, as cryptofeed writes it into a file of its own
    <frame>                              no time of receipt

cryptofeed also writes `<url> <-> <seconds>` for a connection, `<url> <- <seconds>: <message>` for what the client
sent, and `configuration: ...`. They hold no frames and are skipped.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

import msgspec

from vibe_orderbook_mcp.model.errors import ConfigError

TAKEN: Final = (
    "Lines may be `<unix time> <frame>` with a time of 10, 13, 16 or 19 digits, `<seconds>: <frame>`, "
    "or one JSON frame each; files may be plain or .gz"
)

# Digits of a unix time -> its unit in nanoseconds.
UNITS_NS: Final = {10: 10**9, 13: 10**6, 16: 10**3, 19: 1}

Notice = Callable[[str], object]


class RecordedLine(NamedTuple):
    """`number` counts the file's lines from 1. `received_ns` is None where the line has no time of receipt.

    `url` is the address that was asked for a REST answer, or that the stream was opened at; empty where it is not
    recorded. `connection` counts the connections that the file says were opened, up to this line.
    """

    number: int
    received_ns: int | None
    frame: bytes
    url: str = ""
    is_answer: bool = False
    connection: int = 0


_STAMPED: Final = re.compile(rb"(\d+)(?:\.(\d+))?:?[ \t]+(\S.*)", re.DOTALL)
_ADDRESSED: Final = re.compile(rb"((?:wss?|https?)://\S+) (<->|<-|->) (.*)", re.DOTALL)


class RecordingFile:
    """The frames and answers of a file in its order. `lines` is how many of its lines were read so far.

    `notice` gets a sentence where the file is cut. Iterating raises ConfigError for a file that cannot be read and for
    a line of another form.
    """

    def __init__(self, path: Path, notice: Notice) -> None:
        self.path = path
        self.lines = 0
        self._notice = notice

    def __iter__(self) -> Iterator[RecordedLine]:
        path, stream_url, connection = self.path, "", 0
        for raw in self._raw_lines():
            line, number = raw.strip(), self.lines
            if not line or line.startswith(b"configuration:"):
                continue
            addressed = _ADDRESSED.fullmatch(line)
            url, is_answer = stream_url, False
            if addressed is not None:
                arrow = addressed[2]
                if arrow != b"->":
                    if arrow == b"<->":
                        stream_url, connection = addressed[1].decode(errors="replace"), connection + 1
                    continue
                url, is_answer, line = addressed[1].decode(errors="replace"), True, addressed[3]
            received_ns, frame = _split(path, number, line)
            if not raw.endswith(b"\n") and not _is_whole(frame):
                self._notice(f"{path.name} ends within line {number}: what comes before it is used.")
                return
            yield RecordedLine(number, received_ns, frame, url, is_answer, connection)

    def _raw_lines(self) -> Iterator[bytes]:
        path = self.path
        try:
            with _open(path) as file:
                for self.lines, line in enumerate(file, 1):
                    yield line
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self._notice(f"{path.name} is cut after line {self.lines}: what comes before the cut is used.")
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error.strerror or error}).") from error


def read_lines(path: Path, notice: Notice) -> Iterator[RecordedLine]:
    """See `RecordingFile`."""
    return iter(RecordingFile(path, notice))


def with_answers(files: Sequence[Path]) -> list[Path]:
    """The files, and the REST answers that cryptofeed writes beside them: `X.http.0.0` for `X.ws.1.0`.

    Raises ConfigError for a file that is not there.
    """
    out = list(dict.fromkeys(files))
    for path in files:
        if not path.is_file():
            raise ConfigError(f"There is no recording {path}.")
        name, mark, _ = path.name.partition(".ws.")
        if mark:
            out += [each for each in sorted(path.parent.glob(f"{name}.http.*")) if each not in out]
    return out


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path, "rb") if is_packed else path.open("rb"))


def _split(path: Path, number: int, line: bytes) -> tuple[int | None, bytes]:
    if line[:1] in (b"{", b"["):
        return None, line
    stamped = _STAMPED.fullmatch(line)
    if stamped is None:
        raise ConfigError(f"{path.name}, line {number}, is not a line of a recording. {TAKEN}.")
    whole, fraction, frame = stamped.groups()
    unit_ns = UNITS_NS.get(len(whole))
    if unit_ns is None:
        raise ConfigError(f"{path.name}, line {number}, has a time of {len(whole)} digits. {TAKEN}.")
    # Cut, never rounded: digits beyond a nanosecond would move a time into the next one.
    part = int((fraction or b"").ljust(9, b"0")[:9]) * unit_ns // 10**9
    return int(whole) * unit_ns + part, frame


def _is_whole(frame: bytes) -> bool:
    """Whether a last line without its end is all there."""
    try:
        msgspec.json.decode(frame, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True
