"""Small arithmetic that every figure shares: guarded ratios, rounding for readers, exact decimals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, sqrt
from typing import overload

from vibe_orderbook_mcp.model.symbol import SymbolSpec, decimal_text


def ratio(part: float, whole: float) -> float | None:
    """part / whole, or None if that is undefined."""
    if whole == 0.0:
        return None
    value = part / whole
    return value if isfinite(value) else None


def clip01(value: float) -> float:
    return min(1.0, max(0.0, value))


@overload
def significant(value: float, digits: int = 6) -> float: ...
@overload
def significant(value: None, digits: int = 6) -> None: ...
@overload
def significant(value: float | None, digits: int = 6) -> float | None: ...
def significant(value: float | None, digits: int = 6) -> float | None:
    """Rounded to significant digits: a model pays for every token, and float noise is not information."""
    if value is None:
        return None
    return float(f"{value:.{digits - 1}e}") + 0.0  # + 0.0 turns -0.0 into 0.0


@overload
def decimals(value: float, places: int = 6) -> float: ...
@overload
def decimals(value: None, places: int = 6) -> None: ...
@overload
def decimals(value: float | None, places: int = 6) -> float | None: ...
def decimals(value: float | None, places: int = 6) -> float | None:
    """Rounded to decimal places, for figures with a fixed range such as -1..1."""
    return None if value is None else round(value, places) + 0.0


def readable(value: float, digits: int = 3) -> str:
    """A number inside a sentence: significant digits, thousands separators, never an exponent."""
    text = format(Decimal(repr(significant(value, digits))), ",f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def secs_text(secs: float) -> str:
    """Seconds inside a sentence: whole ones, tenths below ten."""
    return f"{secs:.0f}" if secs >= 10 else f"{secs:.1f}".removesuffix(".0")


def span_text(secs: int) -> str:
    """A length of time in a sentence, rounded down: "24 h", "75 min", "42 s"."""
    if secs % 3600 == 0 or secs >= 7200:
        return f"{int(secs / 360) / 10:g} h"
    return f"{secs // 60} min" if secs >= 120 else f"{secs} s"


def counted(count: int, noun: str, nouns: str | None = None) -> str:
    """A count inside a sentence: "1 trade", "1,234 trades"."""
    return f"{count:,} {noun if abs(count) == 1 else nouns or noun + 's'}"


def price_text(spec: SymbolSpec, price: float) -> str:
    """A price inside a sentence: to the tick, or to half a tick between two."""
    text = f"{price:,.{spec.tick_exp + 1}f}"
    return text[:-1].rstrip(".") if text.endswith("0") else text


def exact_price(spec: SymbolSpec, price: float) -> str:
    """The price in the exchange's spelling. One off the symbol's grid keeps its digits rather than being rounded."""
    return decimal_text(price, spec.price_decimals)


def exact_mid(spec: SymbolSpec, price: float) -> str:
    """A price on the grid of half ticks, such as a mid, without trailing zeros."""
    return plain(Decimal(f"{price:.{spec.tick_exp + 1}f}"))


def exact_size(spec: SymbolSpec, size: float) -> str:
    """The size in the exchange's spelling; one off the symbol's grid keeps its digits."""
    return decimal_text(size, spec.size_decimals)


def exact_levels(spec: SymbolSpec, levels: Iterable[tuple[float, float]]) -> list[tuple[str, str]]:
    """(price, size) of each level, both in the exchange's spelling."""
    price_places, size_places = spec.price_decimals, spec.size_decimals
    return [(decimal_text(price, price_places), decimal_text(size, size_places)) for price, size in levels]


def plain(value: Decimal) -> str:
    """An exact decimal without trailing zeros or exponent."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class FittedLine:
    """y = intercept + slope * x. `r2` is None when y does not vary, `t` when there is no residual to judge by."""

    slope: float
    intercept: float
    r2: float | None
    t: float | None
    n: int


def fit_line(x: Sequence[float], y: Sequence[float]) -> FittedLine | None:
    """The line of least squares, or None when x does not vary."""
    n = len(x)
    if n < 2 or min(x) == max(x):
        return None
    mean_x, mean_y = sum(x) / n, sum(y) / n
    sxx = sum((value - mean_x) ** 2 for value in x)
    slope = ratio(sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)), sxx)
    if slope is None:
        return None
    intercept = mean_y - slope * mean_x
    residual = sum((b - intercept - slope * a) ** 2 for a, b in zip(x, y, strict=True))
    total = sum((b - mean_y) ** 2 for b in y)
    unexplained = ratio(residual, total)
    error = sqrt(residual / (n - 2) / sxx) if n > 2 else 0.0
    r2 = None if unexplained is None else max(0.0, 1 - unexplained)
    return FittedLine(slope, intercept, r2, ratio(slope, error), n)
