"""The coding of a feature row's single values: prices, sizes, logarithms, touched levels. PURE"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from vibe_orderbook_mcp.model.rows import BANDS_BPS, SecondRow, TouchedLevel
from vibe_orderbook_mcp.store.records.grid import MAX_EXP, POWERS, to_steps

_EXACT: Final = 2**53
MEAN_STEPS: Final = 1000  # spread_mean counts thousandths of a tick
_PRICE_STEPS: Final = 15  # a band's mean price, from mid (0) to the band's edge: half a byte
_PRICE_STEPS_1: Final = 255  # in version 1: a byte

# A 16-bit logarithm: 0 is 0.0, n is e^((n - 1) / SCALE + LOWEST). From 1e-9 to 1e14, with an error of at most 0.04 %.
_LEAST, _MOST = 1e-9, 1e14
_LOWEST: Final = math.log(_LEAST)
_SCALE: Final = 65_534 / (math.log(_MOST) - _LOWEST)
_LOG_VALUES: Final = (0.0, *(math.exp(code / _SCALE + _LOWEST) for code in range(65_535)))
_log_value: Final = _LOG_VALUES.__getitem__

# A 12-bit logarithm of a share of the greatest value: 0 is 0.0, 4095 the whole, 1 a hundred-billionth. Error at most
# 0.31 %.
_SHARE_CODES: Final = 4095
_SHARE_SCALE: Final = (_SHARE_CODES - 1) / math.log(1e11)
_SHARES: Final = (0.0, *(math.exp((code - _SHARE_CODES) / _SHARE_SCALE) for code in range(1, _SHARE_CODES + 1)))

# By steps, sign and band: the factor of a code on mid.
_BAND_FACTORS: Final = {
    (steps, sign): tuple(
        tuple(1 + sign * code * width / (1e4 * steps) for code in range(steps + 1)) for width in BANDS_BPS
    )
    for steps in (_PRICE_STEPS, _PRICE_STEPS_1)
    for sign in (-1, 1)
}


# --- prices ---------------------------------------------------------------------------------------------------


def placed(values: Sequence[float | None], steps: Iterator[int]) -> list[int | None]:
    """The next steps, each at the index of its value."""
    return [None if value is None else next(steps) for value in values]


def first(*values: int | None) -> int:
    return next((value for value in values if value is not None), 0)


def minus(value: int | None, base: int) -> int | None:
    return None if value is None else value - base


def mid_code(row: SecondRow) -> float | bool | None:
    """True if it equals the mid of the best prices to the bit."""
    if row.best_bid is None or row.best_ask is None or row.mid is None:
        return row.mid
    return True if row.mid == (row.best_bid + row.best_ask) / 2 else row.mid


def spread_codes(row: SecondRow, tick_exp: int) -> tuple[int | None, int | None, int | None]:
    low = None if row.spread_min is None else to_steps(row.spread_min, tick_exp)
    high = None if row.spread_max is None else to_steps(row.spread_max, tick_exp)
    mean = None if row.spread_mean is None else round(row.spread_mean * POWERS[tick_exp] * MEAN_STEPS)
    return low, minus(high, low or 0), minus(mean, (low or 0) * MEAN_STEPS)


def quote_code(amount: float, expected: int, exp: int) -> int | float:
    """A sum of price times size, less `expected`; 0 for a second with one traded price."""
    if exp > MAX_EXP or abs(units := amount * POWERS[exp]) >= _EXACT or abs(expected) >= _EXACT:
        return amount
    return round(units) - expected


# --- sizes ----------------------------------------------------------------------------------------------------


def _log_code(value: float) -> int:
    return 0 if value <= 0 else max(1, min(65_535, round((math.log(value) - _LOWEST) * _SCALE) + 1))


def logs(values: Sequence[float]) -> bytes:
    """Low bytes, then high bytes, because the high ones hardly change from second to second."""
    log = math.log
    codes = [
        round((log(value) - _LOWEST) * _SCALE) + 1 if _LEAST <= value <= _MOST else _log_code(value) for value in values
    ]
    packed = struct.pack(f"<{len(codes)}H", *codes)
    return packed[::2] + packed[1::2]


def unlog(data: bytes) -> tuple[float, ...]:
    half = len(data) // 2
    packed = bytearray(len(data))
    packed[::2], packed[1::2] = data[:half], data[half:]
    return tuple(map(_log_value, struct.unpack(f"<{half}H", packed)))


def unlog_part(data: bytes, lengths: Sequence[int], part: int) -> tuple[float, ...]:
    """One of `parts(unlog(data), lengths)`, the others unread."""
    start = sum(lengths[:part])
    end = start + lengths[part]
    half = len(data) // 2
    pairs = zip(data[start:end], data[half + start : half + end], strict=True)
    return tuple([_LOG_VALUES[low | high << 8] for low, high in pairs])


def shares(*columns: Sequence[float]) -> bytes:
    """Columns of sizes of one kind, not negative: `[lengths..., logarithm of the greatest, high bytes, low halves]`."""
    values = [value for column in columns for value in column]
    most = _log_code(max(values, default=0.0))
    whole, log = _LOG_VALUES[most] or 1.0, math.log
    least = whole * _SHARES[1]
    codes = [
        round(log(value / whole) * _SHARE_SCALE) + _SHARE_CODES if value >= least else int(value > 0)
        for value in values
    ]
    if max(codes, default=0) > _SHARE_CODES:  # the greatest may be slightly above its own logarithm
        codes = [min(code, _SHARE_CODES) for code in codes]
    head = bytes(map(len, columns)) + most.to_bytes(2, "little")
    return head + bytes([code >> 4 for code in codes]) + _halves(codes)


def unshare(data: bytes, columns: int) -> list[tuple[float, ...]]:
    """The columns of `shares`."""
    lengths = data[:columns]
    count = sum(lengths)
    start, whole = columns + 2, _LOG_VALUES[int.from_bytes(data[columns : columns + 2], "little")]
    highs, packed = data[start : start + count], data[start + count :]
    if len(highs) != count or len(packed) != (count + 1) // 2:
        raise ValueError("the length of the shares is wrong")
    lows = _from_halves(packed)
    values = tuple([whole * _SHARES[high << 4 | low] for high, low in zip(highs, lows, strict=False)])
    return parts(values, lengths)


def parts(values: tuple[float, ...], lengths: Sequence[int]) -> list[tuple[float, ...]]:
    found = []
    start = 0
    for length in lengths:
        found.append(values[start : start + length])
        start += length
    return found


def mlofi(sizes: Sequence[float], signs: int, best: int, lot: int) -> tuple[float, ...]:
    """The best level's size is exact and replaces the one in `sizes`."""
    if not sizes:
        return ()
    found = [round(size * lot) / lot for size in sizes]
    found[0] = best / lot
    if signs > 1:
        for index in range(1, len(found)):
            if signs >> index & 1:
                found[index] = 0.0 - found[index]  # not -0.0
    return tuple(found)


def band_prices(bases: Sequence[float], quotes: Sequence[float], mid: float | None, sign: int) -> bytes | list[float]:
    """The distance of each band's mean price from mid; the amounts themselves if a distance cannot express them."""
    if mid is not None and mid > 0 and len(bases) == len(quotes) == len(BANDS_BPS):
        away = [
            round((quote / base / mid - 1) * sign * 1e4 / width * _PRICE_STEPS) if base > 0 else 0
            for base, quote, width in zip(bases, quotes, BANDS_BPS, strict=True)
        ]
        if min(away) >= 0 and max(away) <= _PRICE_STEPS and (min(bases) > 0 or _is_zero_without_base(bases, quotes)):
            return _halves(away)
    return list(quotes)


def _is_zero_without_base(bases: Sequence[float], quotes: Sequence[float]) -> bool:
    return not any(quote and base <= 0 for base, quote in zip(bases, quotes, strict=True))


def band_quotes(bases: Sequence[float], prices: bytes | list[float], mid: float | None, sign: int) -> tuple[float, ...]:
    if not isinstance(prices, bytes) or mid is None:
        return tuple(float(price) for price in prices)
    codes, steps = (prices, _PRICE_STEPS_1) if len(prices) == len(bases) else (_from_halves(prices), _PRICE_STEPS)
    factors = _BAND_FACTORS[steps, sign]
    return tuple([base * mid * band[code] for base, code, band in zip(bases, codes, factors, strict=False)])


def _halves(codes: list[int]) -> bytes:
    """The low halves of bytes: two of them a byte."""
    even = [*codes, 0] if len(codes) % 2 else codes
    return bytes([first << 4 & 240 | second & 15 for first, second in zip(even[::2], even[1::2], strict=True)])


def _from_halves(data: bytes) -> list[int]:
    """Returns one more than was packed if that number was odd."""
    return [half for pair in data for half in (pair >> 4, pair & 15)]


# --- touched levels: columns compress better than rows --------------------------------------------------------


def touched_columns(
    levels: Sequence[TouchedLevel], prices: Sequence[int], shown: Sequence[int], traded: Sequence[int], base: int
) -> list[list[int]]:
    """`prices` and `traded` of each level, and what was `shown` at its start, at most and at its end, in turn."""
    if not levels:
        return []
    starts, mosts = shown[::3], shown[1::3]
    return [
        [
            (price - before) * 2 + (level.side == "ask")
            for level, price, before in zip(levels, prices, (base, *prices), strict=False)
        ],
        list(traded),
        [level.trades for level in levels],
        [start - volume for start, volume in zip(starts, traded, strict=True)],
        [most - start for most, start in zip(mosts, starts, strict=True)],
        list(shown[2::3]),
    ]


def touched_levels(columns: list[list[int]], base: int, tick: int, lot: int) -> tuple[TouchedLevel, ...]:
    levels = []
    price = base
    for code, traded, trades, rest, rise, end in zip(*columns, strict=True):
        price += code >> 1
        start = rest + traded
        levels.append(
            TouchedLevel(
                "ask" if code & 1 else "bid",
                price / tick,
                traded / lot,
                trades,
                start / lot,
                (start + rise) / lot,
                end / lot,
            )
        )
    return tuple(levels)
