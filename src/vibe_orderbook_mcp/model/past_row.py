"""What is remembered of a second that has been over for minutes: a few of its fields. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

import msgspec

from vibe_orderbook_mcp.model.rows import SecondRow

KEPT_SECS: Final = 3600 + 300  # the hour before the longest window of seconds, and that window


class PastRow(msgspec.Struct, frozen=True, gc=False):
    """The kept fields of a `SecondRow`, under its names. Other fields raise AttributeError."""

    second: int
    covered_ms: int
    flags: int
    mid: float | None
    ofi: float
    buy_volume: float
    sell_volume: float
    buy_quote: float
    sell_quote: float


KEPT_FIELDS: Final = PastRow.__struct_fields__


def kept(values: Iterable[Any]) -> SecondRow:
    """A row of `KEPT_FIELDS`, in their order, for functions that need only these."""
    return cast("SecondRow", PastRow(*values))
