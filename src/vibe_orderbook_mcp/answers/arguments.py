"""Checking what a client sent, before anything is looked up."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from vibe_orderbook_mcp.model.errors import Refusal
from vibe_orderbook_mcp.model.naming import DEFAULT_VENUE, read_name, spot_of
from vibe_orderbook_mcp.model.symbol import LONGEST_SYMBOL

MOST_LEVELS = 1000
SHORTEST_SECS, LONGEST_SECS = 10, 300
MOST_HOURS = 168
SMALLEST, LARGEST = Decimal("1e-12"), Decimal("1e12")


def symbol_of(value: object) -> str:
    """The default venue's spelling of what was asked for. Raises Refusal."""
    name = read_name(value) if isinstance(value, str) else None
    if name is None:
        raise Refusal(
            "invalid_argument",
            f"symbol must be a trading pair of 1 to {LONGEST_SYMBOL} letters and digits.",
            'Pass a spot symbol such as "BTCUSDT"; "btc/usdt" and "BTC-USDT" are understood too.',
        )
    if name.venue is None:
        raise Refusal(
            "invalid_argument",
            "symbol names a venue that this server does not know.",
            f'Leave the venue out, or write "{DEFAULT_VENUE}:BTCUSDT".',
        )
    if name.venue != DEFAULT_VENUE:
        raise Refusal(
            "symbol_not_found",
            f"This server keeps books of Binance spot only; {name.venue} is not among its venues.",
            f"Ask for the pair on Binance spot, such as {DEFAULT_VENUE}:BTCUSDT.",
        )
    if name.is_perpetual:
        raise Refusal(
            "symbol_not_found",
            "This server keeps books of Binance spot only; perpetuals and other futures are not among its markets.",
            f"Did you mean the spot pair {spot_of(name.symbol)}?",
        )
    return name.symbol


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
    """true or false; hosts send 1, 0 and text too. Raises Refusal."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int | float) else ""
    if word in ("true", "1", "1.0", "yes"):
        return True
    if word in ("false", "0", "0.0", "no"):
        return False
    raise Refusal("invalid_argument", f"{name} must be true or false.", f"Leave {name} out for its default.")


def _as_whole(value: object) -> int | None:
    """Some hosts send numbers as text, and whole ones with a fraction of zero."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,9}(?:\.0{1,9})?\s*", value):
        value = float(value)
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) else None
