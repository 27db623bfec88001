"""Binance's public files of aggregate trades (data.binance.vision, "aggTrades"), plain or zipped.

Columns: id, price, quantity, first and last trade id, time, whether the buyer is the maker, and for spot whether it was
the best match. The first line may have names. Times are milliseconds, and microseconds since 2025.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from vibe_orderbook_mcp.model.errors import ConfigError
from vibe_orderbook_mcp.model.events import Trade

TAKEN: Final = "Binance's public aggTrades files are read: .csv, or a .zip with one such file"
COLUMNS: Final = (7, 8)  # the eighth column is in spot files
_MOST_MILLIS: Final = 10**14  # larger numbers are microseconds
_MOST_ID: Final = 2**62
_NUMBER: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_WHOLE: Final = re.compile(r"[0-9]{1,19}", re.ASCII)
_FLAGS: Final = {"true": True, "false": False, "1": True, "0": False}
_NAMED: Final = re.compile(r"([^-/]+)-aggTrades-")


class TradeFile:
    """One file. `price_places` and `size_places` are (printed, significant) decimals of the rows so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.price_places = self.size_places = (0, 0)

    @property
    def symbol(self) -> str | None:
        """The symbol in its name, if the file has Binance's own name."""
        found = _NAMED.match(self.path.name)
        return None if found is None else found[1]

    def trades(self) -> Iterator[Trade]:
        """Trades in the order of the file. Raises ConfigError with file and line for any other file."""
        name, line = self.path.name, 0
        try:
            with _text(self.path) as text:
                for row in csv.reader(text):
                    line += 1
                    if not row or (line == 1 and not _WHOLE.fullmatch(row[0].strip().removeprefix("\ufeff"))):
                        self._check_names(row)
                        continue
                    yield self._trade(row)
        except (ValueError, csv.Error) as error:
            raise ConfigError(f"{name}, line {max(1, line)}, is not an aggregate trade: {error}. {TAKEN}.") from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise ConfigError(f"{name} cannot be unpacked: {error}. {TAKEN}.") from error
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read ({error.strerror or error}).") from error

    def _check_names(self, row: list[str]) -> None:
        if row and len(row) not in COLUMNS:
            raise ValueError(f"it has {len(row)} columns instead of 7 or 8")

    def _trade(self, row: list[str]) -> Trade:
        if len(row) not in COLUMNS:
            raise ValueError(f"it has {len(row)} columns instead of 7 or 8")
        agg_id, first_id, last_id, time = (_whole(row[place], what) for place, what in _WHOLES)
        price, size = _positive(row[1], "price"), _positive(row[2], "quantity")
        maker = _FLAGS.get(row[6].strip().lower())
        if maker is None:
            raise ValueError(f"{row[6][:20]!r} is neither true nor false")
        if last_id < first_id:
            raise ValueError(f"its last trade id {last_id} is below the first {first_id}")
        self.price_places = _wider(self.price_places, row[1])
        self.size_places = _wider(self.size_places, row[2])
        time_ms = time if time < _MOST_MILLIS else time // 1000
        return Trade(agg_id, time_ms, price, size, first_id, last_id, maker)


_WHOLES: Final = ((0, "id"), (3, "first trade id"), (4, "last trade id"), (5, "time"))


@contextmanager
def _text(path: Path) -> Iterator[io.TextIOBase]:
    if zipfile.is_zipfile(path) or path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".csv")]
            if len(names) != 1:
                raise zipfile.BadZipFile(f"it holds {len(names)} files of .csv instead of one")
            with archive.open(names[0]) as packed:
                yield io.TextIOWrapper(packed, "utf-8", newline="")
    else:
        with path.open(encoding="utf-8", newline="") as plain:
            yield plain


def _whole(text: str, what: str) -> int:
    text = text.strip().removeprefix("\ufeff")
    if not _WHOLE.fullmatch(text) or int(text) > _MOST_ID:
        raise ValueError(f"its {what} is {text[:40]!r}")
    return int(text)


def _positive(text: str, what: str) -> float:
    if not _NUMBER.fullmatch(text.strip()) or float(text) <= 0:
        raise ValueError(f"its {what} is {text[:40]!r}")
    return float(text)


def _wider(places: tuple[int, int], text: str) -> tuple[int, int]:
    fraction = text.strip().partition(".")[2]
    return max(places[0], len(fraction)), max(places[1], len(fraction.rstrip("0")))
