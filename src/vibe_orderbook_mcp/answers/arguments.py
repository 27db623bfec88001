"""Checking what a client sent, before anything is looked up."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from vibe_orderbook_mcp.model.errors import Refusal, RefusalCode
from vibe_orderbook_mcp.model.naming import NameRefused, read_instrument

MOST_LEVELS = 1000
SHORTEST_SECS, LONGEST_SECS = 10, 300
MOST_HOURS = 168
SMALLEST, LARGEST = Decimal("1e-12"), Decimal("1e12")


def symbol_of(value: object) -> str:
    """The name of the instrument that was asked for. Raises Refusal."""
    try:
        return read_instrument(value if isinstance(value, str) else "").name
    except NameRefused as refused:
        code: RefusalCode = "invalid_argument" if refused.is_malformed else "symbol_not_found"
        raise Refusal(code, str(refused), refused.hint) from None


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
