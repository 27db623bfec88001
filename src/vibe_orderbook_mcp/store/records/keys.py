"""Keys: `{symbol}:{unix seconds, 10 digits}` and `{symbol}:{unix milliseconds, 13 digits}`. PURE

An instrument of another venue than the default one has `{venue}/{symbol}` there: the name ends at the last colon, the
venue at the first slash. A roll-up's key begins with `m:` (a minute) or `h:` (an hour), an event's ends with `:{type}`.

Fixed widths make byte order time order (until the year 2286). Behind a name come a colon and a digit, and inside of a
name no colon comes before a digit: so all keys of one instrument lie together, whatever other names start alike.
"""

from __future__ import annotations

import re
from typing import Final

from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError
from vibe_orderbook_mcp.model.instrument import DEFAULT_VENUE, VENUES, Instrument

_SECOND_DIGITS: Final = 10
_MILLI_DIGITS: Final = 13


# What would look like the end of a name, and the mark that stands for it.
_LIKE_AN_END: Final = re.compile(r"%|:(?=[0-9])")
_MARKED: Final = re.compile(r"%25|%3A")


def symbol_bytes(name: str) -> bytes:
    """UTF-8 of an instrument's name as keys have it: `BTCUSDT`, `kraken/BTC/USD`. Binance lists Chinese names too."""
    text = name
    if ":" in name and (instrument := Instrument.of(name)).venue != DEFAULT_VENUE:
        text = f"{instrument.venue}/{_LIKE_AN_END.sub(_mark, instrument.symbol)}" if instrument.symbol else ""
    elif ":" in name or "/" in name:
        text = ""
    if not text.isprintable() or not text:
        raise StorageError(
            f"{name!r} cannot be stored: a symbol is printable text, without colon or slash where no venue is named."
        )
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise StorageError(f"{name!r} cannot be stored: it is not valid Unicode text.") from error


def name_of(stored: bytes) -> str:
    """The name from which `symbol_bytes` made this. Raises StorageCorrupt."""
    try:
        venue, slash, symbol = stored.decode().partition("/")
    except UnicodeDecodeError as error:
        raise StorageCorrupt(f"{stored!r} is not a name of this program.") from error
    if not slash:
        return venue
    if venue not in VENUES or venue == DEFAULT_VENUE or not symbol:
        raise StorageCorrupt(f"{stored!r} is not a name of this program: {venue!r} is not a venue that it knows.")
    return Instrument(venue, _MARKED.sub(_unmark, symbol)).name


def _mark(found: re.Match[str]) -> str:
    return f"%{ord(found[0]):02X}"


def _unmark(found: re.Match[str]) -> str:
    return chr(int(found[0][1:], 16))


def second_key(symbol: str, second: int) -> bytes:
    return _key(symbol, second, _SECOND_DIGITS)


def milli_key(symbol: str, millis: int) -> bytes:
    return _key(symbol, millis, _MILLI_DIGITS)


def parse_key(key: bytes) -> tuple[str, int]:
    """Name and number of a key of either width."""
    number = key_time(key)
    return name_of(key.rpartition(b":")[0]), number


def key_time(key: bytes) -> int:
    """The number of a key of either width: of many keys it is all that is asked for."""
    _, colon, digits = key.rpartition(b":")
    if not colon or len(digits) not in (_SECOND_DIGITS, _MILLI_DIGITS) or not digits.isdigit():
        raise StorageCorrupt(f"{key!r} is not a key of this program.")
    return int(digits)


def second_bounds(symbol: str, start: int, end: int) -> tuple[bytes, bytes]:
    """First key of [start, end) and the first after it; times beyond the range of a key are clamped."""
    return _bounds(symbol, start, end, _SECOND_DIGITS)


def milli_bounds(symbol: str, start: int, end: int) -> tuple[bytes, bytes]:
    return _bounds(symbol, start, end, _MILLI_DIGITS)


def symbol_bounds(symbol: str) -> tuple[bytes, bytes]:
    """All keys of an instrument, and none of another one: its colon is followed by a digit, and `:` comes after `9`."""
    name = symbol_bytes(symbol)
    return name + b":0", name + b"::"


MINUTES: Final = b"m:"
HOURS: Final = b"h:"


def roll_key(kind: bytes, symbol: str, second: int) -> bytes:
    return kind + second_key(symbol, second)


def roll_bounds(kind: bytes, symbol: str, start: int, end: int) -> tuple[bytes, bytes]:
    low, high = second_bounds(symbol, start, end)
    return kind + low, kind + high


def event_key(symbol: str, millis: int, kind: str) -> bytes:
    if not kind or ":" in kind or not kind.isprintable():
        raise StorageError(f"{kind!r} cannot be stored: a type is printable text without a colon.")
    return milli_key(symbol, millis) + b":" + kind.encode()


def parse_event_key(key: bytes) -> tuple[int, str]:
    """Start in milliseconds, and type."""
    try:
        _, millis, kind = key.rsplit(b":", 2)
        return int(millis), kind.decode()
    except ValueError as error:
        raise StorageCorrupt(f"{key!r} is not the key of an event.") from error


def _key(symbol: str, number: int, digits: int) -> bytes:
    if not 0 <= number < 10**digits:
        raise StorageError(f"{symbol}: the time {number} cannot be stored: it needs at most {digits} digits.")
    return b"%s:%0*d" % (symbol_bytes(symbol), digits, number)


def _bounds(symbol: str, start: int, end: int, digits: int) -> tuple[bytes, bytes]:
    low, high = _key(symbol, min(max(start, 0), 10**digits - 1), digits), symbol_bounds(symbol)[1]
    if end < 10**digits:
        high = _key(symbol, max(end, 0), digits)
    return low, high
