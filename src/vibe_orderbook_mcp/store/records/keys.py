"""Keys: `{symbol}:{unix seconds, 10 digits}` and `{symbol}:{unix milliseconds, 13 digits}`. PURE

A roll-up's has `m:` (a minute) or `h:` (an hour) before it, an event's `:{type}` behind it.

Fixed widths make byte order time order (until the year 2286). A symbol never holds a colon, so all keys of one lie
between `symbol:` and its end, whatever other symbols start alike.
"""

from __future__ import annotations

from typing import Final

from vibe_orderbook_mcp.model.errors import StorageCorrupt, StorageError

_SECOND_DIGITS: Final = 10
_MILLI_DIGITS: Final = 13


def symbol_bytes(symbol: str) -> bytes:
    """UTF-8 of a symbol that can be part of a key. Binance lists Chinese names too."""
    if not symbol or ":" in symbol or not symbol.isprintable():
        raise StorageError(f"{symbol!r} cannot be stored: a symbol is printable text without a colon.")
    try:
        return symbol.encode()
    except UnicodeEncodeError as error:
        raise StorageError(f"{symbol!r} cannot be stored: it is not valid Unicode text.") from error


def second_key(symbol: str, second: int) -> bytes:
    return _key(symbol, second, _SECOND_DIGITS)


def milli_key(symbol: str, millis: int) -> bytes:
    return _key(symbol, millis, _MILLI_DIGITS)


def parse_key(key: bytes) -> tuple[str, int]:
    """Symbol and number of a key of either width."""
    name, colon, digits = key.rpartition(b":")
    if not colon or len(digits) not in (_SECOND_DIGITS, _MILLI_DIGITS) or not digits.isdigit():
        raise StorageCorrupt(f"{key!r} is not a key of this program.")
    try:
        return name.decode(), int(digits)
    except UnicodeDecodeError as error:
        raise StorageCorrupt(f"{key!r} is not a key of this program.") from error


def second_bounds(symbol: str, start: int, end: int) -> tuple[bytes, bytes]:
    """First key of [start, end) and the first after it; times outside of what a key can hold are clamped."""
    return _bounds(symbol, start, end, _SECOND_DIGITS)


def milli_bounds(symbol: str, start: int, end: int) -> tuple[bytes, bytes]:
    return _bounds(symbol, start, end, _MILLI_DIGITS)


def symbol_bounds(symbol: str) -> tuple[bytes, bytes]:
    """All keys of a symbol: `;` is the byte after `:`."""
    name = symbol_bytes(symbol)
    return name + b":", name + b";"


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
