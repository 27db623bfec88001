"""Columns of whole numbers as bytes: `[width, bytes]`, little-endian. PURE

Widths are 1, 2, 4 or 8 bytes, negative means signed: a larger number widens its column. Width 0 is a list of numbers
beyond 64 bits, each as bytes. A single number beyond MessagePack's integers is stored as bytes too.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Any, Final

_TYPE_CODES: Final = {1: "B", 2: "H", 4: "I", 8: "Q", -1: "b", -2: "h", -4: "i", -8: "q"}
_BIG_ENDIAN: Final = sys.byteorder == "big"
_BEYOND: Final = 1 << 63

Packed = list[Any]


def pack(values: Sequence[int]) -> Packed:
    low, high = min(values, default=0), max(values, default=0)
    if max(high, -low) >= _BEYOND:
        return [0, [number_bytes(value) for value in values]]
    if low >= 0:
        width = next(width for width in (1, 2, 4, 8) if high < 1 << 8 * width)
    else:
        width = -next(width for width in (1, 2, 4, 8) if max(high, -low - 1) < 1 << 8 * width - 1)
    column = array(_TYPE_CODES[width], values)
    if _BIG_ENDIAN:
        column.byteswap()
    return [width, column.tobytes()]


def unpack(packed: Packed) -> Sequence[int]:
    width, data = packed
    if not width:
        return [int.from_bytes(value, "little", signed=True) for value in data]
    column = array(_TYPE_CODES[width], data)
    if _BIG_ENDIAN:
        column.byteswap()
    return column


def number(value: int) -> int | bytes:
    return value if -_BEYOND < value < _BEYOND else number_bytes(value)


def to_number(value: int | bytes) -> int:
    return value if isinstance(value, int) else int.from_bytes(value, "little", signed=True)


def number_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
