"""Times as venues write them, into whole units. They are cut and never rounded: 59.9999996 s are in that second."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache


def rfc3339_ms(text: str) -> int:
    """Milliseconds of "2026-07-07T23:00:03.977459Z", with any number of digits behind the second. Raises ValueError."""
    whole, point, fraction = text.removesuffix("Z").partition(".")
    if point and not (fraction.isascii() and fraction.isdigit()):
        raise ValueError(text[:40])
    return _second_of(whole) * 1000 + int(f"{fraction:0<3}"[:3])


@lru_cache(maxsize=64)
def _second_of(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())
