"""Checking what a client sent, before anything is looked up."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from vibe_orderbook_mcp.core.symbol import LONGEST_SYMBOL, normal_symbol
from vibe_orderbook_mcp.errors import Refusal

SMALLEST, LARGEST = Decimal("1e-12"), Decimal("1e12")


def symbol_of(value: object) -> str:
    """The exchange's spelling. Raises Refusal."""
    symbol = normal_symbol(value) if isinstance(value, str) else None
    if symbol is None:
        raise Refusal(
            "invalid_argument",
            f"symbol must be a trading pair of 1 to {LONGEST_SYMBOL} letters and digits.",
            'Pass a spot symbol such as "BTCUSDT"; "btc/usdt" and "BTC-USDT" are understood too.',
        )
    return symbol


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """An integer within bounds. Raises Refusal."""
    number = _as_whole(value)
    if number is None or not low <= number <= high:
        raise Refusal(
            "invalid_argument",
            f"{name} must be a whole number from {low} to {high}.",
            f"Call again with {name} between {low} and {high}.",
        )
    return number


def positive_decimal(name: str, value: object) -> Decimal:
    """A number above 0, given as text or number. Raises Refusal."""
    try:
        number = Decimal(str(value)) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or not SMALLEST <= number <= LARGEST:
        raise Refusal(
            "invalid_argument",
            f'{name} must be a number above 0, such as 0.5 or "0.01".',
            f"Leave {name} out to have a fitting one chosen.",
        )
    return number


def flag(name: str, value: object) -> bool:
    """true or false. Raises Refusal."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise Refusal("invalid_argument", f"{name} must be true or false.", f"Leave {name} out for its default.")


def _as_whole(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    # Some hosts send numbers as text.
    return int(value) if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,9}\s*", value) else None
